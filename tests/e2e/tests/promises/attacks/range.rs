//! Where attacks are tried: a namespace with an operator, and a rollout of its own for each that may change anything.

use std::time::{Duration, Instant};

use futures::StreamExt;
use greenlight_api::{BlueGreenRollout, BlueGreenRolloutStatus, Phase, PodTemplate, names};
use greenlight_core::hash::Digest;
use greenlight_e2e::{Lab, cluster, merge, rollout};
use greenlight_overview::Whole;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::attack::{Attack, Expected, How, Role, Step, Verdict, refused_by};
use super::production::Production;
use crate::chart::{chart, helm, kubeconfig_of};

/// So many at a time, from the beginning of a rollout to the attack on it: a slow machine takes longer for all, and not too long for one.
const PARALLEL: usize = 12;
/// So many attacks that the API server has to refuse are tried on one rollout.
const ON_ONE: usize = 10;
/// After this the operator has taken up what was asked, on a busy machine, too.
const TAKES_UP: Duration = Duration::from_secs(3);
/// Within this it has been told what is to be told.
const TOLD: Duration = Duration::from_secs(30);
/// How long production is watched after the last attack: the operator acts within milliseconds of what it sees.
const WATCHED: Duration = Duration::from_secs(6);
/// How long a rollout may take to be ready for its attack.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often somebody replaces an object while others write it. More conflicts than that are told.
const TRIES: usize = 10;
/// Kinds whose objects belong to the whole cluster.
const OF_NO_NAMESPACE: [&str; 8] = [
    "clusteranalysistemplates",
    "clusterrolebindings",
    "clusterroles",
    "customresourcedefinitions",
    "mutatingadmissionpolicies",
    "namespaces",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
];
/// The namespace in which the policies hold.
pub(super) const GUARDED: &str = "attacks";
/// The image that only attackers use.
pub(super) const EVIL: &str = "evil:v1";

/// A namespace with an operator.
pub(super) struct Range {
    lab: Lab,
    /// The policies hold here, so that some attacks change nothing.
    guarded: bool,
    production: Production,
}

/// What stands for the words in braces.
pub(super) struct Words(Vec<(&'static str, String)>);

impl Words {
    /// Each word with what it stands for.
    pub(super) fn of(words: Vec<(&'static str, String)>) -> Words {
        Words(words)
    }

    fn put_into(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
    }
}

impl Range {
    /// With the chart's policies, and an operator that has no more than the chart's permissions.
    pub(super) async fn with_policies(namespace: &str) -> Range {
        let mut lab = Lab::without_operator(namespace).await;
        let system = format!("{namespace}-system");
        cluster().kubectl(&["create", "namespace", &system]).expect("created");
        let chart = chart().display().to_string();
        let watched = format!("watchNamespace={namespace}");
        let set = ["--set", "crds.install=false", "--set", &watched];
        helm(&[&["install", "guard", &chart, "--namespace", &system], &set[..]].concat()).expect("installed");
        lab.start_operator_with(&kubeconfig_of(&system, "guard"), &[]);
        let range = Range::of(lab, true).await;
        range.policies_are_in_force().await;
        range
    }

    /// Without them; the roles are the same.
    pub(super) async fn without_policies(namespace: &str) -> Range {
        Range::of(Lab::new(namespace).await, false).await
    }

    /// Where nobody is kept from anything, Services come to be what the policy on the operator lets it change nothing of.
    pub(super) fn forgive_denials(&mut self) {
        self.lab.forgive_denials();
    }

    async fn of(lab: Lab, guarded: bool) -> Range {
        let namespace = lab.namespace.clone();
        let elsewhere = format!("{namespace}-tenant");
        // Both ranges have the roles of the one install.
        let of_chart = |role: &str| format!("{GUARDED}.guard-{role}");
        cluster().kubectl(&["create", "namespace", &elsewhere]).expect("created");
        for role in Role::ALL {
            let (at, cluster_role) = match role {
                Role::Viewer => (&namespace, of_chart("viewer")),
                Role::Editor => (&namespace, of_chart("editor")),
                Role::OnCall => (&namespace, of_chart("operator")),
                Role::Promoter => (&namespace, of_chart("promoter")),
                Role::Edit => (&namespace, "edit".to_owned()),
                Role::Admin => (&namespace, "admin".to_owned()),
                Role::Tenant => (&elsewhere, "admin".to_owned()),
                Role::Nobody => continue,
            };
            let (role, user) = (format!("--clusterrole={cluster_role}"), format!("--user={}", role.user()));
            let name = cluster_role.replace(':', "-");
            cluster().kubectl(&["-n", at, "create", "rolebinding", &name, &role, &user]).expect("bound");
        }
        // No role has this verb, so it is given here: what is deleted by lists is to be kept by the policies, too.
        let lists =
            ["create", "role", "lists", "--verb=deletecollection", "--resource=bluegreenrollouts.greenlight.dev"];
        cluster().kubectl(&[&["-n", &namespace], &lists[..]].concat()).expect("created");
        for role in [Role::Editor, Role::Edit] {
            let (name, user) = (format!("lists-{}", role.user()), format!("--user={}", role.user()));
            cluster()
                .kubectl(&["-n", &namespace, "create", "rolebinding", &name, "--role=lists", &user])
                .expect("bound");
        }
        // The second is for who edits it.
        for name in ["endless", "edited"] {
            lab.apply(&json!({
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": name},
                "spec": endless(),
            }))
            .expect("applied");
        }
        lab.apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "secret"}, "stringData": {"token": "x"},
        }))
        .expect("applied");
        let production = Production::watch(&lab.client, &namespace);
        Range { lab, guarded, production }
    }

    /// A policy takes a moment until it is in force.
    async fn policies_are_in_force(&self) {
        let mut bare = rollout(json!({}));
        bare["metadata"]["name"] = "probe".into();
        bare["metadata"]["annotations"] = json!({names::REQUEST: "promote"});
        let create = Step {
            how: How::Create,
            path: "bluegreenrollouts?dryRun=All".to_owned(),
            body: bare,
            may_fail: false,
            by: None,
        };
        let started = Instant::now();
        loop {
            match send(&self.lab, Role::Editor.user(), &create, &Words(Vec::new())).await {
                Err(why) if why.contains("may not ask to promote") => return,
                answer => assert!(started.elapsed() < PATIENCE, "the policies do not come into force: {answer:?}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Tries each, and tells what came of it. Production is watched until the last one is over.
    pub(super) async fn try_all(&self, attacks: &[Attack]) -> Vec<Verdict> {
        let groups = self.groups(attacks);
        let attempts: Vec<(Words, Vec<Result<(), String>>)> = futures::stream::iter(groups.iter().enumerate())
            .map(|(number, group)| self.attempt(number, attacks, group))
            .buffered(PARALLEL)
            .collect()
            .await;
        tokio::time::sleep(WATCHED).await;
        let verdicts: Vec<Vec<Verdict>> = futures::stream::iter(attempts.into_iter().enumerate())
            .map(|(number, attempt)| self.verdicts(number, &attacks[groups[number][0]], attempt))
            .buffered(PARALLEL)
            .collect()
            .await;
        self.production.assert_watched();
        let mut verdicts: Vec<(usize, Verdict)> =
            groups.into_iter().flatten().zip(verdicts.into_iter().flatten()).collect();
        verdicts.sort_by_key(|(number, _)| *number);
        verdicts.into_iter().map(|(_, verdict)| verdict).collect()
    }

    /// The attacks, by number, that are tried on each rollout.
    fn groups(&self, attacks: &[Attack]) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (number, attack) in attacks.iter().enumerate() {
            let fits = |group: &Vec<usize>| group.len() < ON_ONE && attacks[group[0]].may_share_with(attack);
            match groups.iter().position(fits).filter(|_| self.guarded) {
                Some(place) => groups[place].push(number),
                None => groups.push(vec![number]),
            }
        }
        groups
    }

    /// What came of the attacks on one rollout. Where production moved that is said of all of them.
    async fn verdicts(
        &self,
        number: usize,
        attack: &Attack,
        (words, answers): (Words, Vec<Result<(), String>>),
    ) -> Vec<Verdict> {
        let name = name_of(number);
        let moved = self.moved(&name, attack, &words).await;
        let is_right = moved.is_none() || self.is_where_it_was_to_go(&name, attack, &words).await;
        // An attack that has to be told of has a rollout of its own.
        let untold = match answers.first() {
            _ if attack.told.is_empty() || !self.guarded => None,
            Some(Err(why)) => (!why.contains(attack.told)).then(|| why.clone()),
            _ => self.untold(&name, attack.told).await,
        };
        let verdict = |answer: Result<(), String>| match (moved.clone(), answer, untold.clone()) {
            (Some(how), ..) if is_right => Verdict::Moved(how),
            (Some(how), ..) => Verdict::Astray(how),
            (None, _, Some(instead)) => Verdict::Untold(instead),
            (None, Err(why), None) => Verdict::Refused(why),
            (None, Ok(()), None) => Verdict::WithoutEffect,
        };
        answers.into_iter().map(verdict).collect()
    }

    /// Makes a rollout that serves one revision while another waits, and tries these attacks on it, one after the other.
    async fn attempt(&self, number: usize, attacks: &[Attack], group: &[usize]) -> (Words, Vec<Result<(), String>>) {
        let (name, attack) = (name_of(number), &attacks[group[0]]);
        self.create(name.clone()).await;
        self.until(&name, "it serves", |status| !status.active_revision.is_empty() && status.phase == Phase::Healthy)
            .await;
        self.ask_for_v2(&name, attack.spec.clone()).await;
        self.until(&name, "the candidate waits", |status| {
            let is_shown = !status.preview_revision.is_empty() && status.preview_revision != status.active_revision;
            is_shown && [Phase::Paused, Phase::Progressing].contains(&status.phase) && !status.message.is_empty()
        })
        .await;
        let mut words = self.words(number).await;
        if attack.promoted {
            let promote = Step {
                how: How::Merge,
                path: "bluegreenrollouts/{name}".to_owned(),
                body: json!({"metadata": {"annotations": {names::REQUEST: "promote {v2}"}}}),
                may_fail: false,
                by: None,
            };
            send(&self.lab, Role::Promoter.user(), &promote, &words).await.expect("who may promote does");
            let v2 = words.put_into("{v2}");
            let is_proven = |status: &BlueGreenRolloutStatus| {
                status.active_revision == v2 && status.switch.as_ref().is_some_and(|switch| switch.proven_at.is_some())
            };
            self.until(&name, "the candidate serves", is_proven).await;
            if attack.spec["strategy"]["blueGreen"]["postPromotionAnalysis"].is_object() {
                words.0.retain(|(word, _)| *word != "{run}");
                words.0.push(("{run}", self.run_of(&name).await));
            }
        }
        self.production.begin(&active(&name), &name, &words.put_into(attack.serving())).await;
        let mut answers = Vec::new();
        for number in group {
            answers.push(self.make(&attacks[*number], &words).await);
        }
        (words, answers)
    }

    /// Makes the requests until one is refused that has to be answered. Who attacks is refused, too, if nothing of theirs was let through.
    async fn make(&self, attack: &Attack, words: &Words) -> Result<(), String> {
        // Of what may fail: how it did.
        let make = async |step: &Step| -> Result<Option<String>, String> {
            let as_who = step.by.unwrap_or(attack.role).user();
            let (mut answer, started) = (send(&self.lab, as_who, step, words).await, Instant::now());
            // What was deleted is there until its finalizer is done, and whoever makes it anew waits for that.
            while answer.as_ref().is_err_and(|why| why.contains("object is being deleted"))
                && started.elapsed() < PATIENCE
            {
                tokio::time::sleep(Duration::from_millis(200)).await;
                answer = send(&self.lab, as_who, step, words).await;
            }
            match answer {
                Ok(()) => Ok(None),
                Err(why) if step.may_fail => Ok(Some(why)),
                Err(why) if refused_by(&why) == Some("roles") && !is_there(&self.lab, step, words).await => {
                    Err(format!("nothing is there by the path {}", words.put_into(&step.path)))
                }
                Err(why) => Err(why),
            }
        };
        let is_theirs = |step: &Step| step.by.is_none() && step.how != How::Wait;
        let (mut asked, mut refused) = (0, Vec::<String>::new());
        let mut steps = attack.steps.iter();
        while let Some(step) = steps.next() {
            let made = if step.how == How::Together {
                let mut next = || steps.next().expect("it is about the two behind it");
                let (one, other) = (next(), next());
                let (of_one, of_other) = tokio::join!(make(one), make(other));
                vec![(one, of_one?), (other, of_other?)]
            } else {
                vec![(step, make(step).await?)]
            };
            for (_, failure) in made.into_iter().filter(|(step, _)| is_theirs(step)) {
                asked += 1;
                refused.extend(failure);
            }
        }
        let nothing_was_let_through = refused.len() == asked;
        match refused.pop() {
            Some(why) if nothing_was_let_through => Err(why),
            _ => Ok(()),
        }
    }

    async fn create(&self, name: String) {
        for service in ["active", "preview"] {
            let service: Service = serde_json::from_value(json!({
                "metadata": {"name": format!("{name}-{service}")},
                "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
            }))
            .expect("a Service");
            self.lab.api().create(&PostParams::default(), &service).await.expect("created");
        }
        let base = json!({
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"blueGreen": {
                "activeService": format!("{name}-active"), "previewService": format!("{name}-preview"),
                "scaleDownDelaySeconds": 600,
            }},
            "template": template(&name, "app:v1"),
        });
        let mut object = rollout(base);
        object["metadata"]["name"] = name.clone().into();
        let object: BlueGreenRollout = serde_json::from_value(object).expect("a rollout");
        self.lab.api().create(&PostParams::default(), &object).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    async fn ask_for_v2(&self, name: &str, mut spec: Value) {
        spec["template"] = template(name, "app:v2");
        let patch = Patch::Merge(json!({"spec": spec}));
        let api: Api<BlueGreenRollout> = self.lab.api();
        api.patch(name, &PatchParams::default(), &patch).await.expect("patched");
    }

    async fn until(&self, name: &str, what: &str, is: impl Fn(&BlueGreenRolloutStatus) -> bool) {
        let api: Api<BlueGreenRollout> = self.lab.api();
        let it_is = |rollout: Option<&BlueGreenRollout>| rollout.and_then(|it| it.status.as_ref()).is_some_and(&is);
        let waited = tokio::time::timeout(PATIENCE, await_condition(api.clone(), name, it_is)).await;
        if !matches!(waited, Ok(Ok(_))) {
            let status = api.get(name).await.map(|rollout| json!(rollout.status));
            panic!("{name}: {what}: {waited:?}: {status:?}");
        }
    }

    /// The name of the AnalysisRun of a candidate, once there is one.
    async fn run_of(&self, name: &str) -> String {
        let started = Instant::now();
        loop {
            let runs = self.lab.runs().await;
            if let Some(run) =
                runs.iter().find(|run| run.annotations().get(names::ROLLOUT).is_some_and(|of| of == name))
            {
                return run.name_any();
            }
            assert!(started.elapsed() < PATIENCE, "{name}: no analysis begins");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn words(&self, number: usize) -> Words {
        let name = name_of(number);
        let api: Api<BlueGreenRollout> = self.lab.api();
        let rollout = api.get(&name).await.expect("a rollout");
        let uid = rollout.uid().unwrap_or_default();
        let status = rollout.status.unwrap_or_default();
        let run = if rollout.spec.blue_green().pre_promotion_analysis.is_some() {
            self.run_of(&name).await
        } else {
            String::new()
        };
        let pods: Api<Pod> = self.lab.api();
        let served =
            ListParams::default().labels(&format!("app={name},{}={}", names::HASH_LABEL, status.active_revision));
        let pod = pods.list(&served).await.expect("pods").items.first().map(ResourceExt::name_any).unwrap_or_default();
        let next: PodTemplate = serde_json::from_value(template(&name, "app:v3")).expect("a template");
        let v3 = Digest::of(&next).hash(&name, 0);
        Words(vec![
            ("{name}", name),
            ("{ns}", self.lab.namespace.clone()),
            ("{uid}", uid),
            ("{v1}", status.active_revision),
            ("{v2}", status.preview_revision),
            ("{v3}", v3),
            ("{digest3}", Digest::of(&next).to_string()),
            ("{run}", run),
            ("{pod1}", pod),
        ])
    }

    /// What is told of a rollout, by its status and its events, if that has not these words in it after a while.
    async fn untold(&self, name: &str, words: &str) -> Option<String> {
        let (rollouts, events): (Api<Whole<BlueGreenRollout>>, Api<Event>) = (self.lab.api(), self.lab.api());
        let is_about =
            |event: &Event| event.regarding.as_ref().is_some_and(|about| about.name.as_deref() == Some(name));
        let started = Instant::now();
        loop {
            let status = rollouts.get(name).await.expect("a rollout").0.status;
            let events = events.list(&ListParams::default()).await.expect("events").items;
            let notes: Vec<String> = events.into_iter().filter(is_about).filter_map(|event| event.note).collect();
            let told = format!("{}\n{}", json!(status), notes.join("\n"));
            if told.contains(words) {
                return None;
            }
            if started.elapsed() > TOLD {
                return Some(format!("nothing of {words:?} in: {told}"));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// How production moved, if it did.
    async fn moved(&self, name: &str, attack: &Attack, words: &Words) -> Option<String> {
        let (active, serving) = (active(name), words.put_into(attack.serving()));
        let selected = self.production.selected(&active);
        // What is to move does so by its selector.
        if selected.is_some() || attack.expected == Expected::Moves {
            return selected;
        }
        let led = self.production.led_to(&active, name, &serving, attack.may_be_empty);
        if led.is_some() {
            return led;
        }
        let images = self.images(name, &serving).await;
        if images.iter().any(|image| image == EVIL) {
            return Some(format!("{active} leads to {images:?}"));
        }
        // What waits is still what was asked for: it is what a promotion would serve.
        let sets: Api<Whole<ReplicaSet>> = self.lab.api();
        let api: Api<Whole<BlueGreenRollout>> = self.lab.api();
        let status = api.get_opt(name).await.expect("an answer").and_then(|Whole(rollout)| rollout.status)?;
        let updated = sets.get_opt(&format!("{name}-{}", status.updated_revision)).await.expect("an answer")?;
        let image = updated.0.spec?.template?.spec?.containers.into_iter().next()?.image?;
        (image == EVIL && status.preview_revision == status.updated_revision)
            .then(|| format!("{EVIL} waits in the place of what was asked for"))
    }

    /// Whether production, which moved, did so as it may: straight to the revision that was asked for, and to pods of whose it is.
    async fn is_where_it_was_to_go(&self, name: &str, attack: &Attack, words: &Words) -> bool {
        if attack.expected != Expected::Moves || attack.to.is_empty() {
            return true;
        }
        let (serving, to) = (words.put_into(attack.serving()), words.put_into(attack.to));
        let is_evil = self.images(name, &to).await.iter().any(|image| image == EVIL);
        is_evil == attack.is_evil && self.production.went(&active(name), &serving, &to)
    }

    /// What the pods with the labels of this revision run.
    async fn images(&self, name: &str, hash: &str) -> Vec<String> {
        let pods: Api<Whole<Pod>> = self.lab.api();
        let of_revision = ListParams::default().labels(&format!("app={name},{}={hash}", names::HASH_LABEL));
        let specs = pods.list(&of_revision).await.expect("pods").items.into_iter().filter_map(|Whole(pod)| pod.spec);
        specs.filter_map(|spec| spec.containers.into_iter().next()?.image).collect()
    }
}

/// Whether there is what a request is about, unless it makes that: roles say no to a path with a mistake in it, too.
async fn is_there(lab: &Lab, step: &Step, words: &Words) -> bool {
    let path = words.put_into(&step.path);
    let object: Vec<&str> = path.split('?').next().unwrap_or_default().split('/').take(2).collect();
    if object.len() < 2 || [How::Create, How::Apply].contains(&step.how) {
        return true;
    }
    let get = http::Request::get(address(lab, &object.join("/"))).body(Vec::new()).expect("a request");
    lab.client.request_text(get).await.is_ok()
}

/// The address of what a path of a step says.
fn address(lab: &Lab, path: &str) -> String {
    let (namespace, path) = path.split_once(':').unwrap_or((lab.namespace.as_str(), path));
    let resource = path.split(['/', '?']).next().unwrap_or_default();
    let group = match resource {
        "bluegreenrollouts" | "analysisruns" | "analysistemplates" | "clusteranalysistemplates" => {
            "apis/greenlight.dev/v1alpha1"
        }
        "replicasets" | "deployments" => "apis/apps/v1",
        "jobs" => "apis/batch/v1",
        "roles" | "rolebindings" | "clusterroles" | "clusterrolebindings" => "apis/rbac.authorization.k8s.io/v1",
        "leases" => "apis/coordination.k8s.io/v1",
        "endpointslices" => "apis/discovery.k8s.io/v1",
        "poddisruptionbudgets" => "apis/policy/v1",
        "horizontalpodautoscalers" => "apis/autoscaling/v2",
        "validatingadmissionpolicies" | "validatingadmissionpolicybindings" | "mutatingadmissionpolicies" => {
            "apis/admissionregistration.k8s.io/v1"
        }
        "customresourcedefinitions" => "apis/apiextensions.k8s.io/v1",
        _ => "api/v1",
    };
    if OF_NO_NAMESPACE.contains(&resource) {
        return format!("/{group}/{path}");
    }
    format!("/{group}/namespaces/{namespace}/{path}")
}

/// Makes a request as somebody, and returns why it was refused. If others have written between the read and the replacement, that refuses nobody for long.
pub(super) async fn send(lab: &Lab, user: &str, step: &Step, words: &Words) -> Result<(), String> {
    for _ in 1..TRIES {
        match send_once(lab, user, step, words).await {
            Err(kube::Error::Api(status)) if matches!(step.how, How::Replace) && status.is_conflict() => {}
            result => return in_words(result),
        }
    }
    in_words(send_once(lab, user, step, words).await)
}

fn in_words(result: kube::Result<()>) -> Result<(), String> {
    result.map_err(|error| match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    })
}

async fn send_once(lab: &Lab, user: &str, step: &Step, words: &Words) -> kube::Result<()> {
    let mut uri = address(lab, &words.put_into(&step.path));
    let mut body = words.put_into(&step.body.to_string());
    let (method, content) = match step.how {
        How::Merge => ("PATCH", "application/merge-patch+json"),
        How::Strategic => ("PATCH", "application/strategic-merge-patch+json"),
        How::Json => ("PATCH", "application/json-patch+json"),
        How::Apply => {
            uri += if uri.contains('?') { "&" } else { "?" };
            uri += if uri.contains("fieldManager=") { "force=true" } else { "fieldManager=attacker&force=true" };
            ("PATCH", "application/apply-patch+yaml")
        }
        How::Create => ("POST", "application/json"),
        How::Replace => {
            let get = http::Request::get(&uri).body(Vec::new()).expect("a request");
            let mut object: Value = lab.client.request(get).await?;
            merge(&mut object, &serde_json::from_str(&body).expect("JSON"));
            body = object.to_string();
            ("PUT", "application/json")
        }
        How::Delete => ("DELETE", "application/json"),
        How::Read => ("GET", "application/json"),
        How::Wait => {
            tokio::time::sleep(TAKES_UP).await;
            return Ok(());
        }
        How::Together => return Ok(()),
    };
    let request = http::Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", content)
        .header("impersonate-user", user)
        .body(if step.body.is_null() { Vec::new() } else { body.into_bytes() })
        .expect("a request");
    lab.client.request_text(request).await.map(drop)
}

fn name_of(number: usize) -> String {
    format!("r{number}")
}

fn active(name: &str) -> String {
    format!("{name}-active")
}

/// The template of a rollout of the range, with this image.
fn template(name: &str, image: &str) -> Value {
    json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "web", "image": image}]}})
}

/// What is measured of a candidate. It never ends: nobody answers there, and that is tolerated.
pub(super) fn endless() -> Value {
    json!({"metrics": [{
        "name": "endless", "interval": "5s", "consecutiveErrorLimit": 1000,
        "provider": {"web": {"url": "http://127.0.0.1:1/"}},
    }]})
}

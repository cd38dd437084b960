//! Fifty Argo Rollouts of eight shapes become ours by Git, as docs/migrations.md says: a real Argo CD applies the commits, the real
//! Argo Rollouts controller runs all the while, and everything that production leads to is seen. One of each shape goes back while its Argo
//! Rollout is still there, and another one after that was removed.

use std::collections::BTreeMap;
use std::path::Path;

use greenlight_api::{BlueGreenRollout, names};
use greenlight_e2e::argo_cd::ArgoCd;
use greenlight_e2e::git::Repository;
use greenlight_e2e::{Lab, Snapshot, cluster, eventually};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::ListParams;

use crate::production::Production;
use crate::{QUIET, argo_rollouts};

const APPLICATIONS: usize = 50;
/// The manifests in `tests/e2e/argo` that they are made from.
const SHAPES: [&str; 8] = [
    "01-minimal",
    "02-preview",
    "03-manual",
    "04-preview-count",
    AUTOSCALED,
    "08-anti-affinity-preferred",
    "16-pre-analysis",
    "23-workload-ref",
];
/// This one gets an autoscaler, too.
const AUTOSCALED: &str = "06-delays";
/// So many pods the autoscaler wants at least: more than there are without it.
const AUTOSCALED_TO: usize = 3;

/// One application.
struct Application {
    name: String,
    /// As it is with Argo Rollouts.
    before: String,
    /// What `convert` makes of it.
    converted: String,
    /// What `convert --pause` makes of it.
    beside: String,
}

impl Application {
    fn new(number: usize, lab: &Lab) -> Application {
        let shape = SHAPES[number % SHAPES.len()];
        let name = format!("shop-{number:02}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("argo/{shape}.yaml"));
        let text = std::fs::read_to_string(path).expect("the manifest of the shape");
        let text = text.replace("web", &name).replace("smoke", &format!("smoke-{number:02}"));
        // Who scales is an autoscaler or Argo Rollouts' controller: there Git says nothing of it.
        let scaled_by_others = |document: &str| shape == AUTOSCALED || document.contains("kind: Deployment");
        let without_scale = |document: &str| match scaled_by_others(document) {
            true => document.replace("  replicas: 2\n", ""),
            false => document.to_owned(),
        };
        let mut documents: Vec<String> = text.split("---\n").map(without_scale).collect();
        if shape == AUTOSCALED {
            documents.push(autoscaler(&name));
        }
        let before = documents.join("---\n");
        let file = cluster().dir().join(format!("{name}-before.yaml"));
        std::fs::write(&file, &before).expect("written");
        let file = file.display().to_string();
        let converted = lab.greenlight(&["convert", &file]).expect("nothing is left to a person");
        let beside = lab.greenlight(&["convert", &file, "--pause"]).expect("converted");
        assert!(!beside.contains("kind: Service") && beside.contains("paused: true"), "{beside}");
        Application { name, before, converted, beside }
    }

    fn active(&self) -> String {
        format!("{}-active", self.name)
    }

    fn file(&self) -> String {
        format!("{}.yaml", self.name)
    }

    fn file_beside(&self) -> String {
        format!("{}-argo.yaml", self.name)
    }

    /// The converted, with Argo Rollouts' annotation on its Services, so that Git has it and can take it away.
    fn annotated(&self) -> String {
        let annotate = |document: &str| match document.contains("kind: Service\n") {
            true => {
                let annotation = format!("metadata:\n  annotations:\n    {}: {}\n", names::MANAGED_BY_ARGO, self.name);
                document.replacen("metadata:\n", &annotation, 1)
            }
            false => document.to_owned(),
        };
        self.converted.split("---\n").map(annotate).collect::<Vec<_>>().join("---\n")
    }

    fn is_autoscaled(&self) -> bool {
        self.before.contains("kind: HorizontalPodAutoscaler")
    }

    /// The Argo Rollout, not paused: it takes its Services. Where Git does not say how many pods, it would take them with one.
    fn resumed(&self, version: &str, pods: usize) -> String {
        let resumed = match self.beside.contains("\n  replicas: ") {
            true => "paused: false".to_owned(),
            false => format!("paused: false\n  replicas: {pods}"),
        };
        of_version(version, &self.beside.replace("paused: true", &resumed))
    }

    /// What belongs neither to Argo Rollouts nor to Greenlight.
    fn around(&self, version: &str) -> String {
        let is_theirs = |document: &&str| document.lines().any(|line| line.starts_with("apiVersion: argoproj.io"));
        let others: Vec<&str> = self.before.split("---\n").filter(|document| !is_theirs(document)).collect();
        of_version(version, &others.join("---\n"))
    }
}

/// Manifests of v1, for another version.
fn of_version(version: &str, manifests: &str) -> String {
    manifests.replace(":v1\n", &format!(":{version}\n"))
}

fn autoscaler(name: &str) -> String {
    format!(
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: {name}\nspec:\n  scaleTargetRef:\n    \
         apiVersion: argoproj.io/v1alpha1\n    kind: Rollout\n    name: {name}\n  minReplicas: {AUTOSCALED_TO}\n  maxReplicas: 6\n  metrics:\n  \
         - type: Resource\n    resource:\n      name: cpu\n      target:\n        type: Utilization\n        averageUtilization: 50\n"
    )
}

/// The hash that each Service selects, where it has one.
fn hashes(now: &Snapshot) -> BTreeMap<String, String> {
    now.services.keys().filter_map(|name| Some((name.clone(), now.hash_of(name)?))).collect()
}

/// How many rollouts are in that phase, with this many revisions, as far as their newest spec was seen.
async fn count(lab: &Lab, is: impl Fn(&BlueGreenRollout) -> bool) -> usize {
    let rollouts = lab.api::<BlueGreenRollout>().list(&ListParams::default()).await.expect("rollouts").items;
    let seen = |it: &&BlueGreenRollout| {
        it.status.as_ref().is_some_and(|status| Some(status.observed_generation) == it.metadata.generation)
    };
    rollouts.iter().filter(seen).filter(|rollout| is(rollout)).count()
}

fn is_claimed(rollout: &BlueGreenRollout) -> bool {
    let conditions = rollout.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.reason == "ServiceClaimed" && condition.type_ == "Stalled")
}

fn phase(rollout: &BlueGreenRollout) -> &'static str {
    rollout.status.as_ref().map_or("", |status| status.phase.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_argo_rollouts_of_eight_shapes_move_by_git() {
    let lab = Lab::new("fifty").await;
    let _argo = argo_rollouts::start(&lab);
    let argo_cd = ArgoCd::start().expect("Argo CD starts");
    let applications: Vec<Application> = (0..APPLICATIONS).map(|number| Application::new(number, &lab)).collect();
    let (first_batch, second_batch) = applications.split_at(APPLICATIONS / 2);
    let repository = Repository::create("fifty").expect("a repository");
    let commit = |message: &str, files: Vec<(String, String)>| {
        let files: Vec<(&str, String)> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
        repository.commit(message, &files).expect("committed")
    };

    // As they are.
    let files = applications.iter().map(|it| (it.file(), it.before.clone())).collect();
    let first = commit("with Argo Rollouts", files);
    argo_cd.create_application("fifty", &[], &serde_json::json!({})).expect("an Application");
    argo_cd.until_synced("fifty", &first).await.expect("applied");
    eventually("Argo Rollouts has all of them", async || {
        let services = lab.api::<Service>().list(&ListParams::default()).await.expect("Services").items;
        let has =
            |it: &&Service| it.annotations().contains_key(names::MANAGED_BY_ARGO) && it.name_any().ends_with("-active");
        services.iter().filter(has).count() == APPLICATIONS
    })
    .await;
    for application in &applications {
        eventually("it serves", async || lab.endpoints(&application.active()).await > 0).await;
    }
    let theirs = hashes(&lab.now().await);
    let production = Production::watch(lab.api::<EndpointSlice>()).await;

    // 1: ours beside, theirs paused.
    let beside = applications.iter().map(|it| (it.file(), it.annotated()));
    let paused = applications.iter().map(|it| (it.file_beside(), it.beside.clone()));
    let second = commit("Greenlight beside, Argo Rollouts paused", beside.chain(paused).collect());
    argo_cd.until_synced("fifty", &second).await.expect("applied");
    eventually("all say what they wait for", async || count(&lab, is_claimed).await == APPLICATIONS).await;
    let is_up = |now: &Snapshot| {
        let ours = now.sets.iter().filter(|set| {
            let status = set.status.clone().unwrap_or_default();
            let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default();
            let owned = set.owner_references().iter().any(|owner| owner.kind == "BlueGreenRollout");
            owned && wanted > 0 && status.available_replicas == Some(wanted)
        });
        ours.count() == APPLICATIONS
    };
    lab.until("the first revisions are up", is_up).await;
    assert_eq!(hashes(&lab.now().await), theirs, "nothing has moved");

    // 2: let go, one half after the other.
    let let_go = |batch: &[Application]| -> Vec<(String, String)> {
        batch.iter().map(|it| (it.file(), it.converted.clone())).collect()
    };
    let third = commit("let the first batch go", let_go(first_batch));
    argo_cd.until_synced("fifty", &third).await.expect("applied");
    eventually("the first batch has moved", async || {
        count(&lab, |rollout| phase(rollout) == "Healthy").await == first_batch.len()
    })
    .await;
    let now = hashes(&lab.now().await);
    assert!(second_batch.iter().all(|it| now[&it.active()] == theirs[&it.active()]), "the others wait");
    let fourth = commit("let the second batch go", let_go(second_batch));
    argo_cd.until_synced("fifty", &fourth).await.expect("applied");
    eventually("all have moved", async || count(&lab, |rollout| phase(rollout) == "Healthy").await == APPLICATIONS)
        .await;

    // One of each shape goes back: its Argo Rollout is resumed.
    let (back_early, applications) = applications.split_at(SHAPES.len());
    go_back(&lab, &argo_cd, &commit, back_early, "v1").await;

    // 3: theirs go.
    let beside: Vec<String> = applications.iter().map(Application::file_beside).collect();
    let fifth = repository.remove("without Argo Rollouts", &beside).expect("committed");
    argo_cd.until_synced("fifty", &fifth).await.expect("pruned");
    eventually("no other Argo Rollout is left", async || {
        lab.kubectl(&["get", "rollouts.argoproj.io", "-o", "name"]).lines().count() == back_early.len()
    })
    .await;

    // A release of each.
    let files = applications.iter().map(|it| (it.file(), of_version("v2", &it.converted))).collect();
    let sixth = commit("v2", files);
    argo_cd.until_synced("fifty", &sixth).await.expect("applied");
    let second_revision =
        |rollout: &BlueGreenRollout| rollout.status.as_ref().is_some_and(|status| status.current_revision == 2);
    eventually("v2 waits or serves", async || {
        count(&lab, |it| second_revision(it) && ["Healthy", "Paused"].contains(&phase(it))).await == applications.len()
    })
    .await;
    let rollouts = lab.api::<BlueGreenRollout>().list(&ListParams::default()).await.expect("rollouts").items;
    for rollout in rollouts.iter().filter(|rollout| phase(rollout) == "Paused") {
        lab.greenlight(&["promote", &rollout.name_any()]).expect("promoted");
    }
    eventually("all serve v2", async || {
        count(&lab, |it| second_revision(it) && phase(it) == "Healthy").await == applications.len()
    })
    .await;

    // One of each shape goes back: its Argo Rollout is added again.
    let (back_late, stay) = applications.split_at(SHAPES.len());
    go_back(&lab, &argo_cd, &commit, back_late, "v2").await;

    let now = hashes(&lab.now().await);
    for (moved, switches) in [(back_early, 2), (back_late, 3), (stay, 2)] {
        for application in moved {
            let service = application.active();
            let course = production.course(&service).await;
            assert_eq!(course.len(), switches + 1, "{}: {course:?}", application.name);
            assert!(course[0].ends_with(&theirs[&service]), "{}: {course:?}", application.name);
            assert!(course[switches].ends_with(&now[&service]), "{}: {course:?}", application.name);
        }
    }
    let returned = |it: &Application| now[&it.active()] == theirs[&it.active()];
    assert!(back_early.iter().all(returned), "those of Argo's pods that were up all the time serve again");
}

/// The way back: the Argo Rollout is resumed, or added again, its controller takes the Services with as many pods as served before, and then
/// the BlueGreenRollout goes.
async fn go_back(
    lab: &Lab,
    argo_cd: &ArgoCd,
    commit: &impl Fn(&str, Vec<(String, String)>) -> String,
    back: &[Application],
    version: &str,
) {
    let ours = hashes(&lab.now().await);
    let rollouts = async || lab.api::<BlueGreenRollout>().list(&ListParams::default()).await.expect("rollouts").items;
    let left = rollouts().await.len() - back.len();
    let is_theirs = |now: &Snapshot, service: String| {
        let is_annotated = now.services[&service].annotations().contains_key(names::MANAGED_BY_ARGO);
        is_annotated && now.hash_of(&service).is_some_and(|hash| hash != ours[&service])
    };
    let are_theirs = |now: &Snapshot| back.iter().all(|it| is_theirs(now, it.active()));

    let mut sizes = Vec::new();
    for it in back {
        if it.is_autoscaled() {
            lab.until_endpoints(&it.active(), AUTOSCALED_TO).await;
        }
        sizes.push(lab.endpoints(&it.active()).await);
    }
    let sized = || back.iter().zip(&sizes);
    let files = sized().map(|(it, pods)| (it.file_beside(), it.resumed(version, *pods))).collect();
    let resumed = commit("Argo Rollouts again", files);
    argo_cd.until_synced("fifty", &resumed).await.expect("applied");
    lab.until("Argo Rollouts has taken them", are_theirs).await;
    for (it, pods) in sized() {
        lab.until_endpoints(&it.active(), *pods).await;
    }
    eventually("they say so", async || count(lab, is_claimed).await == back.len()).await;

    let files = back.iter().map(|it| (it.file(), it.around(version))).collect();
    let without = commit("without Greenlight", files);
    argo_cd.until_synced("fifty", &without).await.expect("pruned");
    eventually("their BlueGreenRollouts are gone", async || rollouts().await.len() == left).await;
    lab.throughout(QUIET, "they stay with Argo Rollouts", are_theirs).await;
    let now = lab.now().await;
    let is_marked = |it: &&Application| now.services[&it.active()].annotations().contains_key(names::MANAGED_BY);
    assert_eq!(back.iter().filter(is_marked).count(), 0, "no mark of Greenlight is left");
}

//! What will happen, before it does. The operator's own core decides, and the core's own simulation carries it out, on a copy of the
//! world in which pods start at once; nothing is changed.

use anyhow::Result;
use greenlight_api::{BlueGreenRollout, BlueGreenRolloutStatus, PodTemplate, names};
use greenlight_core::retire::{Owner, ScaleDown, Selected, scale_down};
use greenlight_core::simulate::{self, Written};
use greenlight_core::world::{Endpoint, Pod, ReplicaSet, Selection, Service};
use greenlight_core::{Action, Change, Plan, World, metadata, plan};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::observe::{LeftBehind, Observed, add_neighbours, observe};
use crate::session::Session;

/// A release that takes more rounds of planning than this never comes to rest. A restart takes a few for each pod.
const MOST_ROUNDS: usize = 5000;

/// A copy of the world.
pub struct Simulation {
    /// The world, as it has become.
    pub world: World,
    now: Timestamp,
    /// What happened, step by step, as a person would say it.
    pub steps: Vec<String>,
    /// The most pods that there were at one time.
    pub peak: i32,
    version: u64,
    /// What one new pod requests: CPU in cores, memory in bytes.
    pub requests: (f64, f64),
    left_behind: Vec<LeftBehind>,
}

impl Simulation {
    /// The world of a rollout as it would be written, read from the API server.
    pub async fn read(session: &Session, object: BlueGreenRollout) -> Result<Simulation> {
        let requests = requests_of(&object.spec.template());
        let Observed { mut world, left_behind, .. } = observe(session, object).await?;
        add_neighbours(session, &mut world).await;
        Ok(Simulation::new(world, Timestamp::now(), requests).with(left_behind))
    }

    /// A world, whose new pods request this.
    pub fn new(world: World, now: Timestamp, requests: (f64, f64)) -> Simulation {
        let (steps, left_behind) = (Vec::new(), Vec::new());
        Simulation { world, now, steps, peak: 0, version: 0, requests, left_behind }.with(Vec::new())
    }

    /// The same world, where an earlier rollout of the name left these behind.
    fn with(mut self, left_behind: Vec<LeftBehind>) -> Simulation {
        self.left_behind = left_behind;
        self.peak = self.pods();
        self
    }

    /// The pods that are to run, those included that belong to nobody.
    pub fn pods(&self) -> i32 {
        let left_behind = self.left_behind.iter().map(|left| &left.replica_set);
        self.world.replica_sets.iter().chain(left_behind).map(|rs| rs.replicas).sum()
    }

    /// Until a person, an analysis or nothing is waited for. Says what.
    pub fn run(&mut self) -> String {
        let mut message = String::new();
        for _ in 0..MOST_ROUNDS {
            self.world.endpoints =
                self.world.services.values().map(|service| (service.name.clone(), self.endpoints(service))).collect();
            let Plan { actions, status, replan, next, .. } = plan(&self.world, self.now);
            message.clone_from(&status.message);
            if replan {
                self.publish(status);
                continue;
            }
            if !actions.is_empty() {
                if let Some(why) = actions.iter().find_map(|action| self.keeps_from_creating(action)) {
                    return why;
                }
                self.carry_out_all(&actions);
                if actions.iter().any(|action| matches!(action, Action::StartAnalysis { .. })) {
                    return "the operator continues when the analysis has succeeded".to_owned();
                }
                continue;
            }
            if self.world.rollout.status.as_ref() != Some(&status) {
                self.publish(status);
                continue;
            }
            if self.start_pods() || self.scale_down() {
                continue;
            }
            let retires = self.world.replica_sets.iter().filter_map(ReplicaSet::scale_down_at);
            match retires.chain(next).filter(|at| *at > self.now).min() {
                Some(at) => self.wait_until(at + SignedDuration::from_millis(1)),
                None => return message,
            }
        }
        format!("{message}; it does not come to rest")
    }

    fn next_version(&mut self) -> String {
        self.version += 1;
        format!("s{}", self.version)
    }

    fn publish(&mut self, status: BlueGreenRolloutStatus) {
        let version = self.next_version();
        simulate::publish(&mut self.world, status, &version);
    }

    /// In order, each only if the one before succeeded, as the operator does it.
    fn carry_out_all(&mut self, actions: &[Action]) {
        for action in actions {
            if self.carry_out(action) == Written::Conflict {
                return;
            }
        }
    }

    fn carry_out(&mut self, action: &Action) -> Written {
        let steps = self.describe(action);
        let version = self.next_version();
        let written = match self.left_behind_of(action) {
            Some(position) => self.take_over(position, action, version),
            None => simulate::apply(&mut self.world, action, &version, self.now),
        };
        if written == Written::Done {
            self.steps.extend(steps);
        }
        self.peak = self.peak.max(self.pods());
        written
    }

    /// The place of the ReplicaSet that belongs to nobody and has the name of the one that is to be created.
    fn left_behind_of(&self, action: &Action) -> Option<usize> {
        let Action::CreateReplicaSet { name, .. } = action else { return None };
        self.left_behind.iter().position(|left| left.replica_set.name == *name)
    }

    /// Why what is to be created cannot be, because of what was left behind.
    fn keeps_from_creating(&self, action: &Action) -> Option<String> {
        self.left_behind_of(action).and_then(|position| self.left_behind[position].kept_by.clone())
    }

    /// What was left behind is the rollout's now, as it is.
    fn take_over(&mut self, position: usize, action: &Action, version: String) -> Written {
        let Action::CreateReplicaSet { digest, .. } = action else { return Written::Conflict };
        let LeftBehind { mut replica_set, pods, .. } = self.left_behind.remove(position);
        replica_set.annotations.insert(names::TEMPLATE_DIGEST.to_owned(), digest.clone());
        replica_set.digest.clone_from(digest);
        (replica_set.resource_version, replica_set.fresh) = (version, true);
        self.world.pods.insert(replica_set.hash.clone(), pods);
        self.world.replica_sets.push(replica_set);
        Written::Done
    }

    /// What an action does, as a person would say it; nothing for what only the operator takes note of.
    fn describe(&self, action: &Action) -> Vec<String> {
        let step = match action {
            Action::AddFinalizer
            | Action::RemoveFinalizer
            | Action::CompleteRequest { .. }
            | Action::WithdrawClaims { .. }
            | Action::RemoveMarks { .. } => return Vec::new(),
            Action::CreateReplicaSet { name, replicas, .. } => {
                let image = &self.world.rollout.template.image;
                if let Some(position) = self.left_behind_of(action) {
                    let pods = self.left_behind[position].replica_set.replicas;
                    return vec![format!(
                        "take over ReplicaSet {name} ({image}) with its {pods} pods, which an earlier rollout left behind, if it is what \
                         would be created"
                    )];
                }
                let pods = if *replicas == 1 { "pod" } else { "pods" };
                format!("create ReplicaSet {name} ({image}) with {replicas} {pods}")
            }
            Action::ChangeReplicaSet { name, change, .. } => return self.describe_change(name, change),
            Action::DeleteReplicaSet { name, .. } => format!("delete ReplicaSet {name} from the history"),
            // Its annotations alone change.
            Action::SelectRevision { name, selection, .. } if self.selects(name, selection) => return Vec::new(),
            Action::SelectRevision { name, selection, .. } => match selection {
                Selection::Revision(hash) => format!("point Service {name} at {hash}"),
                Selection::Both(_) => format!("point Service {name} at both revisions"),
                Selection::Nothing => format!("point Service {name} at no revision"),
                Selection::Unmanaged => format!("give Service {name} its own selector back"),
            },
            // It is told once its pods are changed, which comes last.
            Action::ChangePodMetadata { name, from, to, .. } => {
                let rs = self.world.replica_sets.iter().find(|rs| rs.name == *name);
                if !rs.is_some_and(|rs| metadata::has_begun(rs, from, to)) {
                    return Vec::new();
                }
                format!("give the pods of ReplicaSet {name} the labels and annotations of their role")
            }
            Action::ScaleWorkload { name, replicas, .. } => format!("scale Deployment {name} to {replicas}"),
            Action::StartAnalysis { kind, latest, .. } => {
                format!("start the {} analysis of {latest}", kind.as_str())
            }
            Action::StopAnalysis { name } => format!("stop the analysis {name}"),
            Action::EvictPod { name, .. } => format!("evict pod {name}"),
        };
        vec![step]
    }

    /// Whether a Service selects this already.
    fn selects(&self, name: &str, selection: &Selection) -> bool {
        self.world.services.get(name).is_some_and(|service| service.selection() == *selection)
    }

    fn describe_change(&self, name: &str, change: &Change) -> Vec<String> {
        let mut steps = Vec::new();
        let before = self.world.replica_sets.iter().find(|rs| rs.name == name).map(|rs| rs.replicas);
        if let (Some(before), Some(replicas)) = (before, change.replicas) {
            steps.push(format!("scale ReplicaSet {name} from {before} to {replicas}"));
        }
        if let Some(Some(at)) = change.annotations.get(names::SCALE_DOWN_AT) {
            let seconds = at.parse::<Timestamp>().map_or(0, |at| at.duration_since(self.now).as_secs());
            steps.push(format!("keep ReplicaSet {name} for {seconds} s more"));
        }
        steps
    }

    /// What others do meanwhile makes every picture of a ReplicaSet an old one.
    fn wait_until(&mut self, at: Timestamp) {
        self.now = at;
        self.world.replica_sets.iter_mut().for_each(|rs| rs.fresh = false);
    }

    /// The pods that should be there start, and are ready at once.
    fn start_pods(&mut self) -> bool {
        let mut started = false;
        for rs in &mut self.world.replica_sets {
            let pods = self.world.pods.entry(rs.hash.clone()).or_default();
            let evicted = pods.iter().any(|pod| pod.deleting);
            let is_complete = rs.deleting || rs.available == rs.replicas && !rs.is_shrinking() && !evicted;
            if is_complete {
                // What it has not seen may be new labels alone.
                started |= !rs.settled;
                (rs.settled, rs.fully_labeled) = (true, rs.current);
                continue;
            }
            self.version += 1;
            replace_pods(pods, rs, self.version, self.now);
            (rs.settled, rs.fresh, rs.failure) = (true, false, None);
            (rs.current, rs.ready, rs.available, rs.fully_labeled) =
                (rs.replicas, rs.replicas, rs.replicas, rs.replicas);
            started = true;
            match rs.replicas {
                0 => {}
                1 => self.steps.push(format!("wait until the pod of ReplicaSet {} is available", rs.name)),
                pods => self.steps.push(format!("wait until {pods} pods of ReplicaSet {} are available", rs.name)),
            }
        }
        started
    }

    /// The ready endpoints that a Service has.
    fn endpoints(&self, service: &Service) -> Vec<Endpoint> {
        let selected = self.world.replica_sets.iter().filter(|rs| selects(service, rs));
        let pods = selected.flat_map(|rs| (0..rs.available).map(|number| format!("{}-{number}", rs.name)));
        pods.map(|pod| Endpoint { pod, ready: true }).collect()
    }

    /// What the scale-down controller does now.
    fn scale_down(&mut self) -> bool {
        let mut done = false;
        for rs in self.world.replica_sets.clone() {
            let by = self.world.services.values().find(|service| service.hash() == Some(&rs.hash));
            let selected = by.map_or(Selected::No, |service| Selected::By(service.name.clone()));
            match scale_down(&rs, Owner::Exists(&self.world.rollout), &selected, self.now) {
                ScaleDown::Finish(change) | ScaleDown::Shrink(change) | ScaleDown::RemoveFinalizer(change) => {
                    let (name, resource_version) = (rs.name, rs.resource_version);
                    self.carry_out(&Action::ChangeReplicaSet { name, resource_version, change });
                    done = true;
                }
                ScaleDown::Nothing | ScaleDown::Wait(_) | ScaleDown::CheckServices => {}
            }
        }
        done
    }
}

/// Whether the pods of a ReplicaSet are endpoints of a Service.
fn selects(service: &Service, rs: &ReplicaSet) -> bool {
    let of_ours = match service.selection() {
        Selection::Revision(hash) => hash == rs.hash,
        Selection::Both(_) => metadata::carried(rs).labels.contains_key(names::SERVING_LABEL),
        Selection::Nothing => false,
        Selection::Unmanaged => true,
    };
    of_ours && service.missing_labels(rs).is_empty()
}

/// The pods that a ReplicaSet has once its controller is done: evicted ones are gone, new ones take their place.
fn replace_pods(pods: &mut Vec<Pod>, rs: &ReplicaSet, generation: u64, now: Timestamp) {
    let wanted = usize::try_from(rs.replicas).unwrap_or(0);
    pods.retain(Pod::counts);
    pods.truncate(wanted);
    pods.iter_mut().for_each(|pod| pod.ready = true);
    for number in pods.len()..wanted {
        let name = format!("{}-s{generation}n{number}", rs.name);
        pods.push(Pod {
            uid: name.clone(),
            name,
            resource_version: generation.to_string(),
            created: now,
            deleting: false,
            over: false,
            ready: true,
            deletion_cost: 0,
            reason: String::new(),
            message: String::new(),
        });
    }
}

/// What a pod of a template requests: CPU in cores, memory in bytes. What is limited and not requested counts as requested.
fn requests_of(template: &PodTemplate) -> (f64, f64) {
    let list = |name: &str| template.0.get("spec").and_then(|spec| spec[name].as_array()).into_iter().flatten();
    let sidecars = list("initContainers").filter(|container| container["restartPolicy"] == "Always");
    let request = |container: &Value, what: &str| {
        let resources = &container["resources"];
        match resources["requests"].get(what).or_else(|| resources["limits"].get(what)) {
            Some(Value::String(text)) => quantity(text),
            // Nobody has made a text of it: a template is kept as it is written.
            Some(number) => number.as_f64().unwrap_or(0.0),
            None => 0.0,
        }
    };
    list("containers").chain(sidecars).fold((0.0, 0.0), |(cpu, memory), container| {
        (cpu + request(container, "cpu"), memory + request(container, "memory"))
    })
}

/// A Kubernetes quantity as a number: `250m`, `1.5`, `64Mi`, `1e3`.
pub fn quantity(text: &str) -> f64 {
    if let Ok(number) = text.parse() {
        return number;
    }
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().unwrap_or(0.0);
    let factor = match &text[digits..] {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        _ => 1.0,
    };
    number * factor
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use greenlight_api::BlueGreenRolloutSpec;
    use greenlight_core::world::{Rollout, Template};
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn spec(image: &str, change: &Value) -> BlueGreenRolloutSpec {
        let mut spec = json!({
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]},
            },
            "strategy": {"blueGreen": {"activeService": "web-active", "scaleDownDelaySeconds": 5}},
        });
        for (field, value) in change.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        serde_json::from_value(spec).expect("a spec")
    }

    /// The first revision serves, and everything has come to rest.
    fn served() -> Simulation {
        let spec = spec("web:v1", &json!({}));
        let selector = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        let service = Service {
            name: "web-active".into(),
            resource_version: "0".into(),
            deleting: false,
            selector,
            managed_by: None,
            production: None,
            moved_by: None,
            withdrawn: None,
            rejections: BTreeMap::new(),
            argo_rollout: None,
            answered: false,
        };
        let rollout = Rollout {
            namespace: "shop".into(),
            name: "web".into(),
            uid: "uid".into(),
            labels: BTreeMap::new(),
            generation: 1,
            resource_version: "0".into(),
            created: at(0),
            deleting_since: None,
            finalizers: Vec::new(),
            request: None,
            template: Template::from(&*spec.template()),
            spec,
            status: None,
        };
        let world =
            World { services: BTreeMap::from([(service.name.clone(), service)]), live: true, ..World::of(rollout) };
        let mut simulation = Simulation::new(world, at(0), (0.0, 0.0));
        let outcome = simulation.run();
        assert!(outcome.ends_with("is active"), "{outcome}: {:#?}", simulation.steps);
        let now = simulation.now + SignedDuration::from_secs(60);
        Simulation::new(simulation.world, now, (0.0, 0.0))
    }

    fn apply(simulation: &mut Simulation, image: &str, change: &Value) -> (String, String) {
        let spec = spec(image, change);
        simulation.world.rollout.template = Template::from(&*spec.template());
        simulation.world.rollout.spec = spec;
        simulation.world.rollout.generation += 1;
        let outcome = simulation.run();
        (outcome, simulation.steps.join("\n"))
    }

    #[test]
    fn a_pod_requests_what_its_containers_do_however_that_is_written() {
        let of = |resources: Value| {
            let mesh = json!({"name": "mesh", "restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}});
            let migrate = json!({"name": "migrate", "resources": {"requests": {"cpu": 8}}});
            let web = json!({"name": "web", "resources": resources});
            let template = json!({"spec": {"initContainers": [mesh, migrate], "containers": [web]}});
            requests_of(&serde_json::from_value(template).expect("a template"))
        };
        assert_eq!(of(json!({"requests": {"cpu": 2, "memory": "1Ki"}})), (2.5, 1024.0), "a number is no text");
        assert_eq!(of(json!({"limits": {"cpu": "1.5"}, "requests": {"memory": 64}})), (2.0, 64.0));
        assert_eq!(of(Value::Null), (0.5, 0.0));
        let told = ["250m", "1.5", "64Mi", "1e3", "2E", "1Pi"].map(quantity);
        assert_eq!(told, [0.25, 1.5, 67_108_864.0, 1000.0, 2e18, 1_125_899_906_842_624.0]);
    }

    #[test]
    fn a_new_template_is_created_switched_to_and_the_old_one_goes() {
        let mut simulation = served();
        let (outcome, steps) = apply(&mut simulation, "web:v2", &json!({}));
        assert!(outcome.ends_with("is active"), "{outcome}\n{steps}");
        for step in ["(web:v2) with 2 pods", "point Service web-active at", "for 5 s more", "from 2 to 0"] {
            assert!(steps.contains(step), "{step:?} is missing in\n{steps}");
        }
        assert_eq!((simulation.peak, simulation.pods()), (4, 2));
    }

    #[test]
    fn a_plan_that_decides_nothing_new_has_no_steps() {
        let mut simulation = served();
        let (outcome, steps) = apply(&mut simulation, "web:v1", &json!({}));
        assert!(outcome.ends_with("is active"), "{outcome}");
        assert_eq!(steps, "");
    }

    #[test]
    fn what_was_rejected_is_not_served_again_by_a_change_of_scale() {
        let mut simulation = served();
        apply(&mut simulation, "web:v2", &json!({}));
        let status = simulation.world.rollout.status.clone().expect("published");
        let request =
            json!({"action": "rollback", "revision": status.active_revision, "by": "ann", "at": simulation.now});
        simulation.world.rollout.request = Some(request.to_string());
        simulation.steps.clear();
        let (outcome, steps) = apply(&mut simulation, "web:v2", &json!({"replicas": 3}));
        assert!(outcome.contains("was rejected by ann") && outcome.contains("revision 1"), "{outcome}\n{steps}");
        let now = simulation.world.rollout.status.as_ref().expect("published");
        assert_ne!(now.active_revision, status.active_revision);
        assert_eq!(simulation.pods(), 3, "{steps}");
    }

    #[test]
    fn a_service_of_which_only_annotations_change_is_not_said_to_move() {
        let active = |simulation: &Simulation| {
            simulation.world.rollout.status.as_ref().expect("published").active_revision.clone()
        };
        let mut simulation = served();
        let one = active(&simulation);
        apply(&mut simulation, "web:v2", &json!({}));
        let two = active(&simulation);
        let ask = |simulation: &mut Simulation, action: &str| {
            let request = json!({"action": action, "revision": two, "by": "ann", "at": simulation.now});
            simulation.world.rollout.request = Some(request.to_string());
            simulation.steps.clear();
            simulation.run()
        };
        ask(&mut simulation, "rollback");
        assert_eq!(active(&simulation), one);
        // As the move of an undo leaves it, if what production goes back to is up.
        let record = simulation.world.rollout.record().expect("published");
        let rejection = record.rejection(&two).cloned().expect("it was undone");
        let service = simulation.world.services.get_mut("web-active").expect("it is there");
        service.rejections.insert(two.clone(), rejection);
        let outcome = ask(&mut simulation, "retry");
        let steps = simulation.steps.join("\n");
        assert!(steps.contains(&format!("point Service web-active at {two}")), "{outcome}\n{steps}");
        assert!(!steps.contains(&format!("at {one}")), "{outcome}\n{steps}");
    }

    #[test]
    fn what_an_earlier_rollout_left_behind_is_taken_over_and_not_created() {
        let Simulation { mut world, now, .. } = served();
        let replica_set = world.replica_sets.remove(0);
        let pods = world.pods.remove(&replica_set.hash).expect("its pods");
        (world.rollout.uid, world.rollout.created, world.rollout.status) = ("another".into(), now, None);
        for kept_by in [None, Some("Service other leads to its pods".to_owned())] {
            let left_behind =
                LeftBehind { replica_set: replica_set.clone(), pods: pods.clone(), kept_by: kept_by.clone() };
            let mut simulation = Simulation::new(world.clone(), now, (0.0, 0.0)).with(vec![left_behind]);
            let (outcome, steps) = apply(&mut simulation, "web:v1", &json!({}));
            assert!(!steps.contains("create ReplicaSet"), "{steps}");
            assert_eq!((simulation.peak, simulation.pods()), (2, 2), "{steps}");
            match kept_by {
                None => {
                    assert!(outcome.ends_with("is active"), "{outcome}\n{steps}");
                    assert!(steps.contains(&format!("take over ReplicaSet {} (web:v1)", replica_set.name)), "{steps}");
                }
                Some(why) => assert_eq!(outcome, why),
            }
        }
    }

    #[test]
    fn a_restart_replaces_each_pod_and_then_rests() {
        let mut simulation = served();
        let restart_at = simulation.now.to_string();
        let (outcome, steps) = apply(&mut simulation, "web:v1", &json!({"restartAt": restart_at}));
        assert!(outcome.ends_with("is active"), "{outcome}\n{steps}");
        assert_eq!(steps.matches("evict pod").count(), 2, "{steps}");
        assert_eq!((simulation.peak, simulation.pods()), (3, 2));
    }

    #[test]
    fn an_overlap_shows_both_for_a_while() {
        let mut simulation = served();
        let blue_green = json!({"activeService": "web-active", "switchMode": "Overlap", "overlapSeconds": 30});
        let (outcome, steps) = apply(&mut simulation, "web:v2", &json!({"strategy": {"blueGreen": blue_green}}));
        assert!(outcome.ends_with("is active"), "{outcome}\n{steps}");
        assert!(steps.contains("point Service web-active at both revisions"), "{steps}");
    }
}

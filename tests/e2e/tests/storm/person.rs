//! A person with one rollout, who asks for things whatever the weather is, directly at the API server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use greenlight_api::{BlueGreenRollout, Request, Verb, names};
use greenlight_e2e::{merge, rollout};
use greenlight_test_cluster::BEHAVIOUR;
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::again::create;
use crate::dice::Dice;
use crate::history::World;
use crate::judge::{End, EndState, Terms, not_at};
use crate::recorder::Recorder;
use crate::weather::{NAMESPACE, Weather};

/// How long anything may take in fair weather.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much longer if watches stay frozen: so long it takes until the operator gives one up.
const LINGERING: Duration = Duration::from_secs(75);
/// So often a request may be refused after the storm: what it refused before may take a while to be tried again.
const REFUSALS: usize = 15;
/// What stays up for longer than any storm.
const LONG: i64 = 600;

/// What a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Asks for a new image.
    Preview,
    /// The same, and then for the promotion of what waited before, which has to be refused.
    Supersede,
    /// Asks for the promotion of what waits.
    Promote,
    /// Rejects what waits.
    Abort,
    /// Goes back.
    Undo,
    /// Starts what was rejected over.
    Retry,
    /// Asks for the image that serves.
    BackTo,
    /// Asks for the image that served before. Who may edit the spec moves production by it only where nobody is asked.
    Return,
    /// Asks for a new image whose analysis will fail.
    Fail,
    /// Asks for new pods.
    Restart,
    /// Asks for one pod more.
    Scale,
}

/// What a seed makes of a rollout and of whoever works with it.
#[derive(Clone, Debug)]
pub struct Story {
    seed: u64,
    spec: Value,
    steps: Vec<Step>,
    auto: bool,
    /// Does not wait for what is not needed for the next step.
    hasty: bool,
    /// Images whose pods become ready late.
    late: Vec<u64>,
    begins_after: Duration,
    web: String,
    /// What holds all the time.
    pub terms: Terms,
}

/// What a person believes to have brought about.
#[derive(Clone, Debug)]
struct Belief {
    /// The image that serves.
    production: u64,
    /// The image that the spec asks for.
    asked_for: u64,
    rejected: Vec<u64>,
    failed: Vec<u64>,
    /// What served and was not rejected, the last one at the end.
    served: Vec<u64>,
    newest: u64,
    scaled: bool,
    restarted: bool,
}

impl Belief {
    fn new() -> Belief {
        Belief {
            production: 1,
            asked_for: 1,
            rejected: vec![],
            failed: vec![],
            served: vec![1],
            newest: 1,
            scaled: false,
            restarted: false,
        }
    }

    fn waits(&self) -> bool {
        self.asked_for != self.production && !self.rejected.contains(&self.asked_for)
    }

    fn served(&mut self, version: u64) {
        self.served.retain(|served| *served != version);
        self.served.push(version);
        self.production = version;
    }

    fn reject(&mut self, version: u64) {
        self.rejected.push(version);
        self.served.retain(|served| *served != version);
    }

    /// What comes of a step; false if it makes no sense now.
    fn take(&mut self, step: Step, auto: bool) -> bool {
        let asks_for_rejected = self.rejected.contains(&self.asked_for);
        let makes_sense = match step {
            Step::Preview => auto || !self.waits(),
            Step::Supersede => !auto && self.waits(),
            Step::Promote | Step::Abort => !auto && self.waits(),
            Step::Undo => self.served.len() >= 2,
            Step::Retry => {
                asks_for_rejected && self.asked_for != self.production && !self.failed.contains(&self.asked_for)
            }
            Step::Return => !self.waits() && self.served.len() >= 2,
            Step::Fail => !self.waits(),
            Step::BackTo => asks_for_rejected,
            Step::Restart => !self.waits() && !self.restarted,
            Step::Scale => !self.waits() && !self.scaled,
        };
        if !makes_sense {
            return false;
        }
        match step {
            Step::Preview | Step::Supersede => {
                self.newest += 1;
                self.asked_for = self.newest;
                if auto {
                    self.served(self.newest);
                }
            }
            Step::Promote => self.served(self.asked_for),
            Step::Abort => self.reject(self.asked_for),
            Step::Undo => {
                self.reject(self.production);
                self.production = *self.served.last().expect("there were two");
            }
            Step::Retry => {
                self.rejected.retain(|rejected| *rejected != self.asked_for);
                if auto {
                    self.served(self.asked_for);
                }
            }
            Step::BackTo => self.asked_for = self.production,
            Step::Return => {
                self.asked_for = self.served[self.served.len() - 2];
                if auto {
                    self.served(self.asked_for);
                }
            }
            Step::Fail => {
                self.newest += 1;
                self.asked_for = self.newest;
                self.failed.push(self.newest);
                self.reject(self.newest);
            }
            Step::Restart => self.restarted = true,
            Step::Scale => self.scaled = true,
        }
        true
    }

    fn end(&self) -> End {
        let state = if self.rejected.contains(&self.asked_for) {
            EndState::Rejected
        } else if self.waits() {
            EndState::Waits
        } else {
            EndState::Healthy
        };
        End { production: image(self.production), asked_for: image(self.asked_for), state }
    }
}

fn image(version: u64) -> String {
    format!("web:v{version}")
}

impl Story {
    /// The story of a seed. `web` is the address of a server that says that all is well.
    pub fn of(seed: u64, web: &str) -> Story {
        let mut dice = Dice::new(&[seed, 10]);
        let replicas = dice.pick(&[(2, 1), (5, 2), (2, 3)]);
        let stays_up = dice.chance(0.55);
        let auto = dice.chance(0.3);
        let additional = dice.chance(0.25);
        let idle_shows_active = dice.chance(0.6);
        let delay = if stays_up { LONG } else { dice.pick(&[(1, 0), (2, 1), (2, 3)]) };
        let mut blue_green = json!({
            "autoPromotionEnabled": auto,
            "scaleDownDelaySeconds": delay,
            "abortScaleDownDelaySeconds": if stays_up { LONG } else { 1 },
            "previewServiceIdle": if idle_shows_active { "Active" } else { "None" },
        });
        if auto && dice.chance(0.4) {
            blue_green["autoPromotionSeconds"] = 2.into();
        }
        if dice.chance(0.4) && replicas > 1 {
            blue_green["previewReplicaCount"] = 1.into();
        }
        if dice.chance(0.2) {
            blue_green["switchMode"] = "Overlap".into();
            blue_green["overlapSeconds"] = 2.into();
        }
        if dice.chance(0.15) {
            blue_green["activeMetadata"] = json!({"labels": {"role": "active"}});
            blue_green["previewMetadata"] = json!({"labels": {"role": "preview"}});
        }
        let analysis = json!({"templates": [{"templateName": "good"}]});
        if dice.chance(0.15) {
            blue_green["prePromotionAnalysis"] = analysis.clone();
        }
        if dice.chance(0.1) {
            blue_green["postPromotionAnalysis"] = analysis;
        }
        let mut active = vec!["web-active".to_owned()];
        if additional {
            blue_green["additionalActiveServices"] = json!(["web-internal"]);
            active.push("web-internal".to_owned());
        }
        let late = (1..=12).filter(|_| dice.chance(0.12)).collect();
        Story {
            seed,
            spec: json!({"replicas": replicas, "strategy": {"blueGreen": blue_green}}),
            steps: steps(&mut dice, auto),
            auto,
            hasty: dice.chance(0.4),
            late,
            begins_after: Duration::from_secs_f64(dice.between(0.0, 6.0)),
            web: web.to_owned(),
            terms: Terms { replicas, stays_up, active, preview: "web-preview".to_owned(), idle_shows_active },
        }
    }

    /// Its namespace.
    pub fn namespace(&self) -> String {
        format!("{NAMESPACE}{}", self.seed)
    }

    /// In a line.
    pub fn words(&self) -> String {
        let hasty = if self.hasty { ", in haste" } else { "" };
        format!("{:?}{hasty}; late: {:?}; {}", self.steps, self.late, self.spec)
    }

    /// How it has to end.
    pub fn end(&self) -> End {
        let mut belief = Belief::new();
        for step in &self.steps {
            belief.take(*step, self.auto);
        }
        belief.end()
    }

    fn template(&self, version: u64) -> Value {
        let late = self.late.contains(&version);
        json!({
            "metadata": {
                "labels": {"app": "web"},
                "annotations": if late { json!({BEHAVIOUR: "late"}) } else { Value::Null },
            },
            "spec": {"containers": [{"name": "web", "image": image(version)}]},
        })
    }
}

/// Steps that make sense one after the other, an undo among them.
fn steps(dice: &mut Dice, auto: bool) -> Vec<Step> {
    loop {
        let steps = some_steps(dice, auto);
        if steps.contains(&Step::Undo) {
            return steps;
        }
    }
}

fn some_steps(dice: &mut Dice, auto: bool) -> Vec<Step> {
    let mut belief = Belief::new();
    let mut steps = Vec::new();
    let wanted = 4 + dice.below(4);
    while (steps.len() as u64) < wanted {
        let step = dice.pick(&[
            (6, Step::Preview),
            (2, Step::Supersede),
            (7, Step::Promote),
            (1, Step::Abort),
            (4, Step::Undo),
            (2, Step::Retry),
            (1, Step::BackTo),
            (1, Step::Return),
            (1, Step::Fail),
            (1, Step::Restart),
            (1, Step::Scale),
        ]);
        if belief.take(step, auto) {
            steps.push(step);
        }
    }
    steps
}

/// Whoever lives through a story.
pub struct Person {
    client: Client,
    recorder: Arc<Recorder>,
    weather: Arc<Weather>,
    story: Story,
    belief: Belief,
    /// Refusals that were not expected: the operator may have been behind.
    pub refusals: Vec<String>,
}

impl Person {
    /// Whoever lives through this story.
    pub fn new(client: Client, recorder: Arc<Recorder>, weather: Arc<Weather>, story: Story) -> Person {
        Person { client, recorder, weather, story, belief: Belief::new(), refusals: Vec::new() }
    }

    /// Makes the namespace and what the rollout needs.
    ///
    /// # Errors
    /// The API server does not want it.
    pub async fn prepare(&self) -> Result<()> {
        let name = self.story.namespace();
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        create(&Api::all(self.client.clone()), &namespace).await?;
        let services: Api<Service> = Api::namespaced(self.client.clone(), &name);
        for service in self.story.terms.active.iter().chain([&self.story.terms.preview]) {
            let service = json!({
                "metadata": {"name": service},
                "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
            });
            create(&services, &serde_json::from_value(service)?).await?;
        }
        for (name, wanted) in [("good", "true"), ("bad", "false")] {
            let template = json!({
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": name},
                "spec": {"args": [{"name": "url", "value": self.story.web}], "metrics": [{
                    "name": "errors", "provider": {"web": {"url": "{{args.url}}"}},
                    "successCondition": format!("result == {wanted}"),
                }]},
            });
            self.create("AnalysisTemplate", "analysistemplates", template).await?;
        }
        Ok(())
    }

    async fn create(&self, kind: &str, plural: &str, object: Value) -> Result<()> {
        let resource = ApiResource {
            group: "greenlight.dev".into(),
            version: "v1alpha1".into(),
            api_version: "greenlight.dev/v1alpha1".into(),
            kind: kind.into(),
            plural: plural.into(),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.story.namespace(), &resource);
        Ok(create(&api, &serde_json::from_value(object)?).await?)
    }

    /// Lives through it.
    ///
    /// # Errors
    /// What was asked for did not come, long after the storm was over; or was refused again and again.
    pub async fn live(&mut self) -> Result<()> {
        sleep(self.story.begins_after).await;
        let mut first = rollout(self.story.spec.clone());
        merge(&mut first["spec"], &json!({"template": self.story.template(1)}));
        self.create("BlueGreenRollout", "bluegreenrollouts", first).await?;
        self.until("v1 serves", |world| world.status().phase == "Healthy").await?;
        let steps = self.story.steps.clone();
        for (number, step) in steps.iter().enumerate() {
            let next = steps.get(number + 1).copied();
            self.weather.note(&self.story.namespace(), "person", format!("{step:?}"));
            self.step(*step, next).await?;
        }
        let (terms, end) = (self.story.terms.clone(), self.belief.end());
        self.until(&format!("the end: {end:?}"), |world| not_at(world, &terms, &end).is_empty()).await
    }

    async fn step(&mut self, step: Step, next: Option<Step>) -> Result<()> {
        let before = self.belief.clone();
        anyhow::ensure!(self.belief.take(step, self.story.auto), "{step:?} makes no sense now");
        let (production, asked_for) = (image(self.belief.production), image(self.belief.asked_for));
        let hasty = self.story.hasty;
        match step {
            Step::Fail => {
                self.ask_for(true).await?;
                self.until(&format!("{asked_for} has failed"), |world| world.status().phase == "Degraded").await
            }
            Step::Preview | Step::Supersede | Step::BackTo | Step::Return => {
                let stale = self
                    .recorder
                    .see(&self.story.namespace(), |world| world.hash_of(&image(before.asked_for)).map(str::to_owned));
                self.ask_for(false).await?;
                if step == Step::Supersede {
                    let stale = stale.expect("it waited");
                    self.ask_in_vain(Verb::Promote, &stale).await?;
                }
                if step == Step::BackTo || self.story.auto {
                    return self.serves(&production, next).await;
                }
                self.waits_in_preview(&asked_for).await
            }
            Step::Promote => {
                self.ask(Verb::Promote, &asked_for).await?;
                self.serves(&production, next).await
            }
            Step::Abort => {
                self.ask(Verb::Abort, &asked_for).await?;
                if hasty {
                    return Ok(());
                }
                self.until(&format!("{asked_for} is rejected"), |world| world.status().phase == "Degraded").await
            }
            Step::Undo => {
                self.ask(Verb::Rollback, &image(before.production)).await?;
                let waits = self.belief.waits();
                let told: &[&str] = if asked_for == production { &["Healthy"] } else { &["Degraded", "Paused"] };
                self.until(&format!("{production} serves again"), |world| {
                    let there = world.carried_by("web-active").is_some_and(|hash| world.image_of(hash) == production);
                    let told = told.contains(&world.status().phase.as_str()) || waits;
                    there && (hasty || told)
                })
                .await
            }
            Step::Retry => {
                self.ask(Verb::Retry, &asked_for).await?;
                if self.story.auto {
                    return self.serves(&production, next).await;
                }
                self.waits_in_preview(&asked_for).await
            }
            Step::Restart => self.ask(Verb::Restart, &production).await,
            Step::Scale => {
                let wanted = self.story.terms.replicas + 1;
                self.patch(json!({"spec": {"replicas": wanted}})).await?;
                // What is asked for together with another template belongs to that.
                self.until(&format!("{wanted} pods serve"), |world| {
                    let serving = world.sets.values().find(|set| set.image == production);
                    serving.is_some_and(|set| set.replicas == wanted) && !world.status().phase.is_empty()
                })
                .await
            }
        }
    }

    /// Waits until an image serves; in haste only until the Service has moved, if it is left again at once.
    async fn serves(&self, image: &str, next: Option<Step>) -> Result<()> {
        let at_once = self.story.hasty && next == Some(Step::Undo);
        self.until(&format!("{image} serves"), |world| {
            let there = world.carried_by("web-active").is_some_and(|hash| world.image_of(hash) == image);
            there && (at_once || world.status().phase == "Healthy")
        })
        .await
    }

    async fn waits_in_preview(&self, image: &str) -> Result<()> {
        let hasty = self.story.hasty;
        self.until(&format!("{image} waits in preview"), |world| {
            let waits = || {
                let status = world.status();
                status.phase == "Paused" && world.image_of(&status.updated) == image
            };
            world.hash_of(image).is_some() && (hasty || waits())
        })
        .await
    }

    /// Changes the spec to the image that is asked for by now.
    async fn ask_for(&self, and_fail: bool) -> Result<()> {
        let usual = self.story.spec.pointer("/strategy/blueGreen/prePromotionAnalysis").cloned().unwrap_or_default();
        let analysis = if and_fail { json!({"templates": [{"templateName": "bad"}]}) } else { usual };
        self.patch(json!({"spec": {
            "template": self.story.template(self.belief.asked_for),
            "strategy": {"blueGreen": {"prePromotionAnalysis": analysis}},
        }}))
        .await
    }

    async fn patch(&self, patch: Value) -> Result<()> {
        let api: Api<BlueGreenRollout> = Api::namespaced(self.client.clone(), &self.story.namespace());
        // A merge patch keeps annotations of the template that another version had.
        let mut patch = patch;
        if let Some(metadata) = patch.pointer_mut("/spec/template/metadata")
            && metadata["annotations"].is_null()
        {
            metadata["annotations"] = json!({BEHAVIOUR: null});
        }
        let mut left = 50;
        let written = loop {
            match api.patch("web", &PatchParams::default(), &Patch::Merge(&patch)).await {
                Ok(written) => break written,
                Err(error) if left == 0 => return Err(error.into()),
                // The API server itself may be down.
                Err(_) => left -= 1,
            }
            sleep(Duration::from_millis(500)).await;
        };
        // What is waited for next has to come after this.
        let generation = written.metadata.generation.unwrap_or_default();
        let request = written.annotations().get(names::REQUEST).cloned().unwrap_or_default();
        self.until("the change is recorded", |world| {
            world.rollout.as_ref().is_some_and(|it| it.generation >= generation && it.request == request)
        })
        .await
    }

    /// Asks, until it is accepted.
    async fn ask(&mut self, action: Verb, image: &str) -> Result<()> {
        let mut in_fair_weather = 0;
        while in_fair_weather < REFUSALS {
            let revision = self.recorder.see(&self.story.namespace(), |world| world.hash_of(image).map(str::to_owned));
            let (accepted, answer) = self.ask_once(action, &revision.unwrap_or_default()).await?;
            if accepted {
                return Ok(());
            }
            // It was seen, so it is there: whoever finds it has to take it over before it answers.
            anyhow::ensure!(!answer.ends_with("has no ReplicaSet yet"), "{} {image}: {answer}", action.as_str());
            self.refusals.push(format!("{} {image}: {answer}", action.as_str()));
            in_fair_weather += usize::from(!self.weather.storms());
            sleep(Duration::from_secs(1)).await;
        }
        bail!("{} {image} is refused again and again: {:?}", action.as_str(), self.refusals.last())
    }

    async fn ask_in_vain(&self, action: Verb, revision: &str) -> Result<()> {
        let (accepted, answer) = self.ask_once(action, revision).await?;
        anyhow::ensure!(
            !accepted,
            "{} {revision}, which nobody asks for any more, is accepted: {answer}",
            action.as_str()
        );
        Ok(())
    }

    async fn ask_once(&self, action: Verb, revision: &str) -> Result<(bool, String)> {
        let at = jiff::Timestamp::now();
        let request = Request {
            action,
            revision: revision.to_owned(),
            to: None,
            by: format!("seed {}", self.story.seed),
            at,
            reason: None,
        };
        let value = request.to_value();
        self.patch(json!({"metadata": {"annotations": {names::REQUEST: value}}})).await?;
        let answer = |world: &World| {
            let status = world.rollout.as_ref()?.status.as_ref()?;
            status.answer.clone().filter(|(answered, ..)| *answered == value)
        };
        self.until(&format!("an answer to {} {revision}", action.as_str()), |world| answer(world).is_some()).await?;
        let answer = self.recorder.see(&self.story.namespace(), answer);
        Ok(answer.map(|(_, accepted, answer)| (accepted, answer)).unwrap_or_default())
    }

    /// Waits as long as it storms, and then for as long as anything may take.
    async fn until(&self, what: &str, holds: impl Fn(&World) -> bool) -> Result<()> {
        let patience = if self.weather.lingers { PATIENCE + LINGERING } else { PATIENCE };
        let mut fair_since = None;
        loop {
            if self.recorder.see(&self.story.namespace(), &holds) {
                return Ok(());
            }
            if self.weather.storms() {
                fair_since = None;
            } else if fair_since.get_or_insert_with(Instant::now).elapsed() > patience {
                let (terms, end) = (&self.story.terms, self.belief.end());
                let lacks = self.recorder.see(&self.story.namespace(), |world| not_at(world, terms, &end));
                bail!("waited in vain, {} s after the storm, until {what}; {lacks:?}", patience.as_secs());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

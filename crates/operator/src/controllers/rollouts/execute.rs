//! Carrying out an action: one request each, and what it answers goes into the caches.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use greenlight_api::{BlueGreen, BlueGreenRollout, BlueGreenRolloutStatus, PodMetadata, PodTemplate, names};
use greenlight_core::hash::{self, Digest};
use greenlight_core::metadata;
use greenlight_core::simulate::selector_patch;
use greenlight_core::words::brief;
use greenlight_core::world::{Rollout, Selection};
use greenlight_core::{Action, Change, stall};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, GetParams, ListParams, ObjectList, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::adopt;
use super::affinity;
use super::memory::{Memories, RefusedTemplate};
use super::observe::Fresh;
use super::older_crd;
use crate::api_server::backoff::chance;
use crate::api_server::error::{Doing, Error, is_conflict, is_refusal};
use crate::api_server::pages::by_pages;
use crate::cluster::cache::{Cached, Key};
use crate::cluster::caches::Caches;
use crate::cluster::live::read_rollout;
use crate::cluster::objects::narrow::MetadataView;
use crate::cluster::objects::{
    DeploymentView, KeptRun, OwnedSet, PublishedView, ReplicaSetView, RolloutView, ServiceView, WholeRollout,
};
use crate::cluster::on_demand::OnDemand;
use crate::controllers::analysis::{self, Start};
use crate::controllers::lanes::MOST;
use crate::telemetry::recorder::Recorder;

/// How long to wait until a refused template is tried again; a changed template is tried at once.
const REFUSAL_PAUSE: Duration = Duration::from_secs(10);

/// How long to wait at most until another refused write is tried again.
const LONGEST_REFUSAL_PAUSE: Duration = Duration::from_secs(5);

/// How many pods of a ReplicaSet get other labels or annotations at the same time, while few others do that: enough for a hundred of them within
/// seconds, and few beside what the API server admits of one client.
const PODS_AT_ONCE: usize = 8;
/// How many of these requests may be under way in all, beside the one that each work has. A webhook may hold them up in some namespaces, and others need
/// streams of the same connection.
const BESIDE: usize = 14;
/// How many pods of one ReplicaSet may be refused without holding up the others. Where there are more, the others are probably refused, too, and wait for the
/// next try, which begins with any of them.
const MOST_REFUSED: usize = 7;
static PLACES_BESIDE: Semaphore = Semaphore::const_new(BESIDE);
const _: () = assert!(MOST + BESIDE < 100, "an API server gives a hundred streams to a connection");

/// The rollout with its template, as an answer within one piece of work had it last.
pub type Whole = Mutex<Option<BlueGreenRollout>>;

/// Whether the answer that was had last is of the rollout as it is here.
pub fn is_of(whole: &Whole, rollout: &Rollout) -> bool {
    let answered = whole.lock().expect("no panic while locked");
    answered.as_ref().is_some_and(|whole| whole.metadata.resource_version.as_ref() == Some(&rollout.resource_version))
}

/// A status as it is applied. It is the largest write of most releases, so no tree of JSON is made of it first.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied<'a> {
    api_version: Cow<'static, str>,
    kind: Cow<'static, str>,
    metadata: Value,
    status: &'a BlueGreenRolloutStatus,
}

/// Everything that writing takes.
pub struct Executor<'a> {
    /// The API server.
    pub client: &'a Client,
    /// Where answers go.
    pub caches: &'a Caches,
    /// Where refusals go.
    pub memories: &'a Memories,
    /// Where the pods that a plan needs are seen.
    pub on_demand: &'a OnDemand,
    /// Where events go.
    pub recorder: &'a Recorder,
    /// The rollout.
    pub rollout: &'a Rollout,
    /// The same with its template, if it was just answered.
    pub whole: &'a Whole,
}

impl Executor<'_> {
    /// Carries out one action, unless the API server refuses it: then that is remembered, with when to try again, and the answer is
    /// no.
    pub async fn execute_unless_refused(&self, action: &Action, fresh: &mut Fresh) -> Result<bool, Error> {
        let target = action.target(&self.rollout.name);
        let message = match self.execute(action, fresh).await {
            Err(Error::Api { source: kube::Error::Api(status), .. }) if is_refusal(&status) => status.message.clone(),
            Err(Error::Refused(message)) => message,
            answer => {
                answer?;
                self.memories.update(&self.rollout.key(), |memory| drop(memory.refused_writes.remove(&target)));
                return Ok(true);
            }
        };
        tracing::warn!(rollout = %self.rollout.key(), target, message, "the API server refused a write");
        self.memories.update(&self.rollout.key(), |memory| memory.note_refused(target, message, refused_for));
        Ok(false)
    }

    /// Carries out one action. ReplicaSets that the answer shows as they are now are added to `fresh`.
    pub async fn execute(&self, action: &Action, fresh: &mut Fresh) -> Result<(), Error> {
        match action {
            Action::AddFinalizer => {
                let mut finalizers = self.rollout.finalizers.clone();
                finalizers.push(names::SERVICES_FINALIZER.to_owned());
                self.patch_rollout(json!({"finalizers": finalizers}), || "add the finalizer".into()).await
            }
            Action::RemoveFinalizer => {
                let mut finalizers = self.rollout.finalizers.clone();
                finalizers.retain(|finalizer| finalizer != names::SERVICES_FINALIZER);
                self.patch_rollout(json!({"finalizers": finalizers}), || "remove the finalizer".into()).await
            }
            Action::CompleteRequest { value } => {
                let annotations = json!({names::REQUEST: value});
                self.patch_rollout(json!({"annotations": annotations}), || "complete the request".into()).await
            }
            Action::CreateReplicaSet { .. } => self.create(action).await,
            Action::ChangeReplicaSet { name, resource_version, change } => {
                let set = self.patch_replica_set(name, resource_version, change).await?;
                fresh.extend(set);
                Ok(())
            }
            Action::DeleteReplicaSet { name, resource_version } => self.delete(name, resource_version).await,
            Action::SelectRevision { name, resource_version, selection, production, rejections, event } => {
                let rejections = (!rejections.is_empty()).then(|| json!(rejections).to_string());
                let marks = json!({
                    names::MANAGED_BY: (*selection != Selection::Unmanaged).then_some(&self.rollout.name),
                    names::PRODUCTION: production,
                    names::REJECTED: rejections,
                });
                self.patch_selector(name, resource_version, selection, marks).await?;
                if let Some(event) = event {
                    self.recorder.record(self.rollout, event);
                }
                Ok(())
            }
            Action::WithdrawClaims { name, resource_version, claims } => {
                self.withdraw_claims(name, resource_version, claims).await
            }
            Action::RemoveMarks { name, resource_version } => self.remove_marks(name, resource_version).await,
            Action::ChangePodMetadata { name, resource_version, hash, from, to } => {
                fresh.extend(self.change_pod_metadata(name, resource_version, hash, from, to).await?);
                Ok(())
            }
            Action::ScaleWorkload { name, resource_version, replicas } => {
                self.scale_workload(name, resource_version, *replicas).await
            }
            Action::StartAnalysis { name, kind, replica_set: set, latest, stable } => {
                let Some(wanted) = kind.spec(&self.rollout.spec) else { return Ok(()) };
                let rollout = &self.rollout.key();
                let start = Start { rollout, name, analysis: wanted, set, latest, stable };
                let run = analysis::start(self.client, &start).await?;
                tracing::info!(rollout = %self.rollout.key(), run = name, "started an analysis");
                self.caches.runs.put_answer(KeptRun::from(run));
                Ok(())
            }
            Action::StopAnalysis { name } => {
                let key = self.rollout.key().sibling(name);
                // It has gone since: what has its name by now is another one.
                let Some(known) = self.caches.runs.outline(&key) else { return Ok(()) };
                let run = analysis::stop(self.client, &key, known.resource_version()).await?;
                self.caches.runs.put_answer(KeptRun::from(run));
                Ok(())
            }
            Action::EvictPod { hash, name, uid, resource_version } => {
                let as_seen =
                    Preconditions { uid: Some(uid.clone()), resource_version: Some(resource_version.clone()) };
                self.evict(hash, name, as_seen).await
            }
        }
    }

    /// Writes the status.
    pub async fn publish(&self, status: &BlueGreenRolloutStatus) -> Result<(), Error> {
        let rollout = self.rollout;
        let applied = Applied {
            api_version: BlueGreenRollout::api_version(&()),
            kind: BlueGreenRollout::kind(&()),
            // With the version that it was decided at: an operator that slept must not undo what another one has decided since.
            metadata: json!({
                "name": rollout.name, "namespace": rollout.namespace, "uid": rollout.uid,
                "resourceVersion": rollout.resource_version,
            }),
            status,
        };
        let recorded = |status: &BlueGreenRolloutStatus| Some(status.decisions.as_ref()?.template.clone());
        // While a CRD is being changed, a watch brings a new template without the fields that only the new CRD has, and brings it only once.
        let is_new = recorded(status).is_some() && recorded(status) != rollout.status.as_ref().and_then(recorded);
        let (whole, version, kept) = if is_new {
            let whole = self.apply_status::<RolloutView>(&applied).await?.keep();
            let (version, kept) = (whole.resource_version.clone(), whole.status.clone());
            (Some(whole), version, kept)
        } else {
            let view = self.apply_status::<PublishedView>(&applied).await?;
            (None, view.resource_version().unwrap_or_default(), view.status)
        };
        // A CRD of before an upgrade does not know all of it. To write it again would change nothing.
        let is_cut = kept.as_ref() != Some(status);
        let cut = is_cut.then(|| Box::new((version.clone(), status.clone())));
        let record = kept.as_ref().and_then(|kept| kept.decisions.as_ref());
        self.memories.update(&rollout.key(), |memory| {
            if is_cut && memory.cut.is_none() {
                tracing::warn!(
                    rollout = %rollout.key(),
                    "the CRD is older than this operator, and does not keep all of the status. Apply crds.yaml of its chart"
                );
            }
            memory.cut = cut;
            memory.published = Some(Instant::now());
            memory.forget_recorded(|uid| record.is_some_and(|record| record.knows(uid)));
        });
        // The watch may have been quicker. What is newer than both stays.
        let known = || self.caches.rollouts.get(&rollout.key());
        let is_that = |known: &Rollout| [&rollout.resource_version, &version].contains(&&known.resource_version);
        let answered = whole.or_else(|| {
            let known = known().filter(is_that)?;
            Some(Rollout { resource_version: version.clone(), status: kept, ..known })
        });
        answered.into_iter().for_each(|answered| self.caches.rollouts.put_answer(answered));
        Ok(())
    }

    /// Writes a status, as far as the CRD knows it.
    async fn apply_status<V>(&self, applied: &Applied<'_>) -> Result<V, Error>
    where
        V: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<V> = Api::namespaced(self.client.clone(), &self.rollout.namespace);
        let params = PatchParams::apply(names::FIELD_MANAGER).force();
        let mut written = api.patch_status(&self.rollout.name, &params, &Patch::Apply(applied)).await;
        if let Err(kube::Error::Api(refused)) = &written {
            if older_crd::lacks_the_record(&refused.message) {
                return Err(Error::RecordNotKept);
            }
            let mut known = json!(applied);
            if older_crd::take_out(&mut known, &refused.message) {
                written = api.patch_status(&self.rollout.name, &params, &Patch::Apply(&known)).await;
            }
        }
        written.doing(|| "publish the status".to_owned())
    }

    async fn patch_rollout(&self, mut metadata: Value, what: impl FnOnce() -> String) -> Result<(), Error> {
        metadata["resourceVersion"] = self.rollout.resource_version.clone().into();
        let patch = Patch::Merge(json!({"metadata": metadata}));
        let request = Request::new(RolloutView::url_path(&(), Some(&self.rollout.namespace)));
        let request = request.patch(&self.rollout.name, &params(), &patch);
        let mut request = request.expect("the URL is made of valid names");
        request.extensions_mut().insert("patch");
        let WholeRollout(whole) = self.client.request(request).await.doing(what)?;
        self.caches.rollouts.put_answer(RolloutView::from(whole.clone()).keep());
        *self.whole.lock().expect("no panic while locked") = Some(whole);
        Ok(())
    }

    /// The template of this digest, of which a ReplicaSet is to be made: as a watch has just brought it, or as it is now. None if the rollout has
    /// another one by now.
    async fn template(&self, digest: &str) -> Result<Option<PodTemplate>, Error> {
        if self.rollout.spec.workload_ref.is_none()
            && let Some(kept) = self.caches.templates.take(&self.rollout.key(), digest)
        {
            return Ok(Some(kept));
        }
        let rollout = self.read_whole().await?;
        let template = match &rollout.spec.workload_ref {
            Some(workload) => self.workload_template(&workload.name).await?,
            None => rollout.spec.template().into_owned(),
        };
        let is_that = rollout.uid().as_ref() == Some(&self.rollout.uid);
        if is_that && Digest::of(&template).as_str() == digest {
            return Ok(Some(template));
        }
        // The template has changed since the plan was made, or another rollout has the name: what is known now leads to another plan.
        self.caches.rollouts.put_answer(RolloutView::from(rollout).keep());
        Ok(None)
    }

    /// The rollout with its template, from the API server: the answer to the write before, if the plan was made from that. The next plan takes no
    /// longer than a request would, so it is as fresh as one that is read now.
    async fn read_whole(&self) -> Result<BlueGreenRollout, Error> {
        let is_as_planned = is_of(self.whole, self.rollout);
        let answered = self.whole.lock().expect("no panic while locked").take();
        match answered {
            Some(whole) if is_as_planned => Ok(whole),
            _ => read_rollout(self.client, &self.rollout.key()).await,
        }
    }

    async fn patch_replica_set(&self, name: &str, resource_version: &str, change: &Change) -> Result<Fresh, Error> {
        let view = change_replica_set(self.client, &self.rollout.key().sibling(name), resource_version, change).await;
        let view = view.inspect_err(|error| self.forget_if_gone(error, name, resource_version))?;
        let Some(owned) = view.keep() else { return Ok(Fresh::new()) };
        let fresh = Fresh::from([(owned.set.name.clone(), owned.set.resource_version.clone())]);
        self.caches.sets.put_answer(owned);
        Ok(fresh)
    }

    /// The template first, and with it the note that the pods are being changed; what they carry then comes last. So a crash in between does it
    /// all again, also if something else is wanted by then. Until the controller of ReplicaSets has seen the template it may make pods of the one
    /// before: the pods are changed by a later plan then, and none is missed.
    async fn change_pod_metadata(
        &self,
        name: &str,
        resource_version: &str,
        hash: &str,
        from: &PodMetadata,
        to: &PodMetadata,
    ) -> Result<Fresh, Error> {
        let metadata = json!({
            "labels": merge_keys(&from.labels, &to.labels),
            "annotations": merge_keys(&from.annotations, &to.annotations),
        });
        let either = serde_json::to_string(&metadata::either(from, to)).expect("it has only strings in it");
        let patch = json!({
            "metadata": {"resourceVersion": resource_version, "annotations": {names::ROLE_METADATA: either}},
            "spec": {"template": {"metadata": metadata}},
        });
        let sets: Api<ReplicaSetView> = Api::namespaced(self.client.clone(), &self.rollout.namespace);
        let what = || format!("change the pods' metadata of ReplicaSet {name}");
        let view = sets.patch(name, &params(), &Patch::Merge(patch)).await.doing(what);
        let view = view.inspect_err(|error| self.forget_if_gone(error, name, resource_version))?;
        if !view.is_settled() {
            view.keep().into_iter().for_each(|owned| self.caches.sets.put_answer(owned));
            return Ok(Fresh::new());
        }
        let pods = Request::new(Pod::url_path(&(), Some(&self.rollout.namespace)));
        let uid = view.uid().unwrap_or_default();
        let mut to_change = self.pods_to_change(&pods, hash, &uid, from, to).await.doing(what)?;
        let count = to_change.len();
        to_change.rotate_left(usize::try_from(chance()).unwrap_or(0) % count.max(1));
        let (pods, metadata, left_out, refused) = (&pods, &metadata, &Mutex::new(Vec::new()), &AtomicUsize::new(0));
        let others = count.min(PODS_AT_ONCE).saturating_sub(1);
        let places = std::iter::from_fn(|| PLACES_BESIDE.try_acquire().ok());
        let beside: Vec<SemaphorePermit> = places.take(others).collect();
        let to_change = futures::stream::iter(to_change.into_iter().map(Ok));
        let changed = to_change.try_for_each_concurrent(1 + beside.len(), |(pod, version)| async move {
            let mut metadata = metadata.clone();
            // As it was read: by these labels pods get traffic, and who sleeps on the way must not take back what another operator has settled.
            metadata["resourceVersion"] = version.into();
            let patch = Patch::Merge(json!({"metadata": metadata}));
            let request = pods.patch_metadata(&pod, &params(), &patch).expect("the URL is made of valid names");
            match self.client.request::<IgnoredAny>(request).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                // The others do not wait for it: it has changed, or is refused by itself. A webhook that does not answer keeps them waiting, though.
                Err(kube::Error::Api(status))
                    if is_conflict(&status)
                        || is_refusal(&status)
                            && status.code < 500
                            && refused.fetch_add(1, Ordering::Relaxed) < MOST_REFUSED =>
                {
                    left_out.lock().expect("no panic while locked").push(status);
                    Ok(())
                }
                answer => answer.doing(what).map(drop),
            }
        });
        changed.await?;
        drop(beside);
        let left_out = std::mem::take(&mut *left_out.lock().expect("no panic while locked"));
        let (mut conflicts, mut refusals): (Vec<_>, Vec<_>) =
            left_out.into_iter().partition(|status| is_conflict(status));
        if refusals.is_empty() && (1..count).contains(&conflicts.len()) {
            // It has come further, and the next plan looks at these again: neither it nor anybody else waits for that.
            view.keep().into_iter().for_each(|owned| self.caches.sets.put_answer(owned));
            return Ok(Fresh::new());
        }
        if let Some(status) = refusals.pop().or_else(|| conflicts.pop()) {
            return Err(kube::Error::Api(status)).doing(what);
        }
        let mut change = Change::default();
        change.annotate(names::ROLE_METADATA, serde_json::to_string(to).expect("it has only strings in it"));
        self.patch_replica_set(name, &view.resource_version().unwrap_or_default(), &change).await
    }

    /// The name and the version of each pod of the ReplicaSet of this UID that is not yet as the change leaves it. `pods` is the way to the pods of
    /// the namespace.
    async fn pods_to_change(
        &self,
        pods: &Request,
        hash: &str,
        uid: &str,
        from: &PodMetadata,
        to: &PodMetadata,
    ) -> kube::Result<Vec<(String, Option<String>)>> {
        let labelled = ListParams::default().labels(&format!("{}={hash}", names::HASH_LABEL));
        // Another rollout with the same template has pods of the same hash.
        let own = |pod: &ObjectMeta| pod.owner_references.iter().flatten().any(|owner| owner.uid == uid);
        // A change that is interrupted, by a conflict say, does not begin with all of them again.
        let lacks = |pod: &ObjectMeta| {
            let none = BTreeMap::new();
            let (labels, annotations) = (pod.labels.as_ref(), pod.annotations.as_ref());
            !carries(labels.unwrap_or(&none), &from.labels, &to.labels)
                || !carries(annotations.unwrap_or(&none), &from.annotations, &to.annotations)
        };
        let mut to_change = Vec::new();
        let take = |MetadataView { metadata: pod }: MetadataView| {
            if own(&pod) && lacks(&pod) {
                to_change.push((pod.name.unwrap_or_default(), pod.resource_version));
            }
        };
        let list = |page: ListParams| {
            let request = pods.list_metadata(&page).expect("it asks for nothing that contradicts itself");
            self.client.request::<ObjectList<MetadataView>>(request)
        };
        by_pages(&self.rollout.namespace, labelled, list, take).await?;
        Ok(to_change)
    }

    /// Not by [`Api::evict`]: that writes `delete_options`, which the API server does not know, and so it would take the pod whatever became of it.
    async fn evict(&self, hash: &str, name: &str, as_seen: Preconditions) -> Result<(), Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.rollout.namespace);
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": self.rollout.namespace},
            "deleteOptions": {"preconditions": as_seen},
        });
        match api.create_subresource::<_, IgnoredAny>("eviction", name, &PostParams::default(), &eviction).await {
            // A budget that has nothing left to give.
            Err(kube::Error::Api(status)) if status.code == 429 => return Err(Error::Refused(status.message.clone())),
            // It is gone.
            Err(kube::Error::Api(status)) if status.code == 404 && is_conflict(&status) => {}
            answer => {
                answer.doing(|| format!("evict pod {name}"))?;
                tracing::info!(rollout = %self.rollout.key(), pod = name, "evicted");
            }
        }
        self.on_demand.evicted(&self.rollout.key(), hash, name);
        Ok(())
    }

    async fn delete(&self, name: &str, resource_version: &str) -> Result<(), Error> {
        let api: Api<ReplicaSetView> = Api::namespaced(self.client.clone(), &self.rollout.namespace);
        let preconditions = Preconditions { resource_version: Some(resource_version.to_owned()), uid: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        let key = self.rollout.key().sibling(name);
        match api.delete(name, &params).await {
            Ok(_) => {
                self.caches.sets.remove(&key, resource_version);
                Ok(())
            }
            Err(error) => {
                let error = Error::Api { what: format!("delete ReplicaSet {name}"), source: error };
                self.forget_if_gone(&error, name, resource_version);
                Err(error)
            }
        }
    }

    async fn patch_selector(
        &self,
        name: &str,
        resource_version: &str,
        selection: &Selection,
        mut marks: Value,
    ) -> Result<(), Error> {
        if *selection == Selection::Unmanaged {
            marks[names::WITHDRAWN] = Value::Null;
        }
        let patch = json!({
            "metadata": {"resourceVersion": resource_version, "annotations": marks},
            "spec": {"selector": BTreeMap::from(selector_patch(selection))},
        });
        let api: Api<ServiceView> = Api::namespaced(self.client.clone(), &self.rollout.namespace);
        let view = api.patch(name, &params(), &Patch::Merge(patch)).await;
        let revision = match selection {
            Selection::Revision(hash) => hash.as_str(),
            Selection::Both(_) => "both",
            Selection::Nothing | Selection::Unmanaged => "none",
        };
        let view = view.doing(|| format!("point Service {name} at {revision}"))?;
        tracing::info!(rollout = %self.rollout.key(), service = name, revision, "moved Service");
        self.take_answer_of_service(view);
        Ok(())
    }

    async fn withdraw_claims(&self, name: &str, resource_version: &str, claims: &str) -> Result<(), Error> {
        let view = self.annotate_service(name, resource_version, json!({names::WITHDRAWN: claims})).await;
        let view = view.doing(|| format!("withdraw a claim from Service {name}"))?;
        tracing::info!(rollout = %self.rollout.key(), service = name, claims, "withdrew claims");
        self.take_answer_of_service(view);
        Ok(())
    }

    async fn remove_marks(&self, name: &str, resource_version: &str) -> Result<(), Error> {
        let marks = [names::MANAGED_BY, names::PRODUCTION, names::WITHDRAWN, names::REJECTED];
        let none = json!(BTreeMap::from(marks.map(|mark| (mark, Value::Null))));
        let view = self.annotate_service(name, resource_version, none).await;
        let view = view.doing(|| format!("take the marks off Service {name}"))?;
        tracing::info!(rollout = %self.rollout.key(), service = name, "took the marks off a Service that is moved by others");
        self.take_answer_of_service(view);
        Ok(())
    }

    async fn annotate_service(&self, name: &str, version: &str, annotations: Value) -> kube::Result<ServiceView> {
        let patch = json!({"metadata": {"resourceVersion": version, "annotations": annotations}});
        let api: Api<ServiceView> = Api::namespaced(self.client.clone(), &self.rollout.namespace);
        api.patch(name, &params(), &Patch::Merge(patch)).await
    }

    fn take_answer_of_service(&self, view: ServiceView) {
        let kept = view.keep();
        let (name, version) = (kept.service.name.clone(), kept.service.resource_version.clone());
        let key = self.rollout.key();
        let is_as_it_was = |name: &str, version: &str| {
            let known = self.caches.services.outline(&key.sibling(name));
            known.is_some_and(|known| known.service.resource_version == version)
        };
        self.memories.update(&key, |memory| memory.note_moved(name, version, is_as_it_was));
        self.caches.services.put_answer(kept);
    }

    async fn create(&self, action: &Action) -> Result<(), Error> {
        let Action::CreateReplicaSet { name, hash, digest, replicas, annotations, pod_metadata, event } = action else {
            return Ok(());
        };
        let Some(template) = self.template(digest).await? else { return Ok(()) };
        let (rollout, spec) = (self.rollout, &self.rollout.spec);
        let made_before_an_upgrade = self.made_before_an_upgrade(digest);
        let (name, hash) = made_before_an_upgrade.as_ref().map_or((name, hash), |(name, hash)| (name, hash));
        if let Some(other) = self.caches.sets.other_template_of(self.rollout, hash, digest) {
            let message = format!(
                "another template in rollout {other} has the same hash, so a Service would take its pods for those of this one: \
                 change the template, an annotation will do"
            );
            self.remember_refusal(digest, message);
            return Ok(());
        }
        let owner = json!({
            "apiVersion": BlueGreenRollout::api_version(&()), "kind": BlueGreenRollout::kind(&()),
            "name": rollout.name, "uid": rollout.uid, "controller": true,
        });
        let mut labels = template.labels();
        labels.insert(names::HASH_LABEL.to_owned(), hash.clone());
        let mut selector = json!(spec.selector);
        selector["matchLabels"][names::HASH_LABEL] = hash.clone().into();
        let own = Value::Object(template.0);
        let mut template = with_metadata(own.clone(), &labels, pod_metadata);
        if let Some(anti_affinity) = &spec.blue_green().anti_affinity {
            affinity::keep_apart(&mut template, anti_affinity, &spec.selector, hash);
        }
        let wanted = json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": name, "labels": labels, "annotations": annotations, "ownerReferences": [owner]},
            "spec": {
                "replicas": replicas,
                "minReadySeconds": spec.min_ready_seconds(),
                "selector": selector,
                "template": template,
            },
        });
        let url = ReplicaSetView::url_path(&(), Some(&self.rollout.namespace));
        let post = PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let what = || format!("create ReplicaSet {name}");
        let body = serde_json::to_vec(&wanted).expect("JSON can be written");
        let mut request = Request::new(url).create(&post, body).expect("the URL is made of valid names");
        request.extensions_mut().insert("create");
        match self.client.request::<ReplicaSetView>(request).await {
            Ok(view) => {
                tracing::info!(rollout = %self.rollout.key(), replica_set = name, replicas, "created ReplicaSet");
                view.keep().into_iter().for_each(|owned| self.take_for_ours(owned));
                self.recorder.record(self.rollout, event);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
                let taken = Taken { name, hash, digest, own: &own, blue_green: spec.blue_green() };
                self.adopt_existing(taken, wanted).await
            }
            Err(kube::Error::Api(status)) if is_refusal(&status) => {
                self.remember_refusal(digest, status.message.clone());
                Ok(())
            }
            Err(error) => Err(error).doing(what),
        }
    }

    async fn workload_template(&self, name: &str) -> Result<PodTemplate, Error> {
        let request = Request::new(DeploymentView::url_path(&(), Some(&self.rollout.namespace)));
        let request = request.get(name, &GetParams::default()).expect("the URL is made of valid names");
        let mut deployment: Value = self.client.request(request).await.doing(|| format!("read Deployment {name}"))?;
        if let Ok(view) = serde_json::from_value::<DeploymentView>(deployment.clone()) {
            self.caches.workloads.put_answer(view.keep());
        }
        Ok(serde_json::from_value(deployment["spec"]["template"].take()).unwrap_or_default())
    }

    async fn scale_workload(&self, name: &str, resource_version: &str, replicas: i32) -> Result<(), Error> {
        let api: Api<DeploymentView> = Api::namespaced(self.client.clone(), &self.rollout.namespace);
        let patch = json!({"metadata": {"resourceVersion": resource_version}, "spec": {"replicas": replicas}});
        let view = api.patch(name, &params(), &Patch::Merge(patch)).await;
        self.caches.workloads.put_answer(view.doing(|| format!("scale Deployment {name}"))?.keep());
        tracing::info!(rollout = %self.rollout.key(), deployment = name, replicas, "scaled Deployment");
        Ok(())
    }

    /// The name is taken. Usually by us: another operator was quicker, or one died right after; or by nobody, since a rollout of this name
    /// was deleted and left its pods behind (`--cascade=orphan`), which may be all that serves. But people who may create ReplicaSets may
    /// write any owner, or none; so it is ours only if it is what would be created, with the server's defaults.
    async fn adopt_existing(&self, taken: Taken<'_>, mut wanted: Value) -> Result<(), Error> {
        let Taken { name, hash, digest, own, blue_green } = taken;
        let Some((found, view)) = self.read_existing(name, digest).await? else { return Ok(()) };
        let metadata = &found["metadata"];
        let left_behind = metadata["ownerReferences"].as_array().is_none_or(Vec::is_empty);
        let ours = view.keep().filter(|owned| owned.owner_uid == self.rollout.uid);
        if left_behind && let Some(why) = self.may_not_adopt(name, hash, metadata) {
            self.remember_refusal(digest, why);
            return Ok(());
        }
        if ours.is_none() && !left_behind {
            self.remember_refusal(digest, format!("ReplicaSet {name} exists and belongs to something else. Delete it"));
            return Ok(());
        }
        let owners = wanted["metadata"]["ownerReferences"].clone();
        // Under another name, because this one is taken; with the same beginning, by which the chart's policy knows whose it is.
        wanted["metadata"]["generateName"] = name.strip_suffix(hash).unwrap_or(name).into();
        wanted["metadata"].as_object_mut().expect("it was made as an object").remove("name");
        let wanted = self.with_defaults(name, &wanted).await?;
        if !adopt::is_same(&found, &wanted, blue_green, own) {
            let message = if left_behind {
                format!(
                    "ReplicaSet {name} exists, belongs to nobody, and is not what the operator would create. Change the template, an annotation \
                     will do, and delete that ReplicaSet once no Service leads to its pods"
                )
            } else {
                format!(
                    "ReplicaSet {name} exists, names this rollout as its owner, and is not what the operator would create: somebody else made it. Delete it"
                )
            };
            self.remember_refusal(digest, message);
            return Ok(());
        }
        match ours {
            Some(owned) => self.take_for_ours(owned),
            None => {
                let metadata = json!({
                    "resourceVersion": metadata["resourceVersion"],
                    "ownerReferences": owners,
                    "annotations": {names::TEMPLATE_DIGEST: digest},
                });
                let sets: Api<ReplicaSetView> = Api::namespaced(self.client.clone(), &self.rollout.namespace);
                let view = sets.patch(name, &params(), &Patch::Merge(json!({"metadata": metadata}))).await;
                let view = view.doing(|| format!("take over ReplicaSet {name}"))?;
                tracing::info!(rollout = %self.rollout.key(), replica_set = name, "took over what an earlier rollout left behind");
                view.keep().into_iter().for_each(|owned| self.take_for_ours(owned));
            }
        }
        Ok(())
    }

    /// A ReplicaSet as the API server has it; `None` if it cannot be read, which is remembered.
    async fn read_existing(&self, name: &str, digest: &str) -> Result<Option<(Value, ReplicaSetView)>, Error> {
        let request = Request::new(ReplicaSetView::url_path(&(), Some(&self.rollout.namespace)));
        let request = request.get(name, &GetParams::default()).expect("the URL is made of valid names");
        let read = match self.client.request::<Value>(request).await {
            // Whoever made it may have written what is nested too deep.
            Err(kube::Error::SerdeError(error)) => Err(error),
            answer => {
                let found = answer.doing(|| format!("read ReplicaSet {name}"))?;
                serde_json::from_value::<ReplicaSetView>(found.clone()).map(|view| (found, view))
            }
        };
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error) => {
                let message = format!("ReplicaSet {name} exists and cannot be read: {error}. Delete it");
                self.remember_refusal(digest, message);
                Ok(None)
            }
        }
    }

    /// What the API server would make of this ReplicaSet, to be compared with the one of this name.
    async fn with_defaults(&self, name: &str, wanted: &Value) -> Result<Value, Error> {
        let url = ReplicaSetView::url_path(&(), Some(&self.rollout.namespace));
        let post = PostParams { dry_run: true, ..PostParams::default() };
        let body = serde_json::to_vec(wanted).expect("JSON can be written");
        let ask = || {
            let request = Request::new(&url).create(&post, body.clone()).expect("the URL is made of valid names");
            self.client.request::<Value>(request)
        };
        // It changes nothing, so it may be asked again when the answer is lost.
        match ask().await {
            Ok(made) => Ok(made),
            Err(_) => ask().await.doing(|| format!("compare ReplicaSet {name}")),
        }
    }

    /// Why a ReplicaSet that belongs to nobody cannot be this rollout's, whatever it is.
    fn may_not_adopt(&self, name: &str, hash: &str, metadata: &Value) -> Option<String> {
        if !metadata["deletionTimestamp"].is_null() {
            return Some(format!("ReplicaSet {name} is being deleted. See what its finalizers wait for"));
        }
        let marked = self.caches.services.group_keys(&self.rollout.key());
        let marked: Vec<_> = marked.iter().filter_map(|key| self.caches.services.outline(key)).collect();
        stall::adoption(self.rollout, name, hash, marked.iter().map(|kept| &kept.service))
    }

    /// The name and the hash of the ReplicaSet of this template that an older version made, and died before it was on record: its hash is
    /// of the digest alone, so another one would be made beside it, and nobody would look after its pods.
    fn made_before_an_upgrade(&self, digest: &str) -> Option<(String, String)> {
        let hash = Digest::read(digest).hash_of_older_version(0);
        let name = hash::replica_set_name(&self.rollout.name, &hash);
        let found = self.caches.sets.get(&self.rollout.key().sibling(&name))?;
        let is_on_record = self.rollout.record().is_some_and(|record| record.knows(&found.set.uid));
        (found.owner_uid == self.rollout.uid && !found.set.deleting && !is_on_record).then_some((name, hash))
    }

    /// It is not on record yet, and known to be ours.
    fn take_for_ours(&self, owned: OwnedSet) {
        self.memories.update(&self.rollout.key(), |memory| memory.note_ours(owned.set.uid.clone()));
        self.caches.sets.put_answer(owned);
    }

    fn remember_refusal(&self, digest: &str, message: String) {
        tracing::warn!(rollout = %self.rollout.key(), message, "the API server refused the ReplicaSet");
        let retry = Instant::now() + REFUSAL_PAUSE;
        let refusal = RefusedTemplate { digest: digest.to_owned(), message: brief(message), retry };
        self.memories.update(&self.rollout.key(), |memory| memory.refused = Some(Box::new(refusal)));
    }

    fn forget_if_gone(&self, error: &Error, name: &str, resource_version: &str) {
        if matches!(error, Error::Api { source: kube::Error::Api(status), .. } if status.code == 404) {
            self.caches.sets.remove(&self.rollout.key().sibling(name), resource_version);
        }
    }
}

/// A ReplicaSet whose name was taken when it was to be created.
#[derive(Clone, Copy)]
struct Taken<'a> {
    name: &'a str,
    hash: &'a str,
    digest: &'a str,
    /// The template as the spec has it.
    own: &'a Value,
    blue_green: &'a BlueGreen,
}

/// How long to wait after so many refusals in a row: longer each time, and never so long that somebody who has mended the cause waits.
fn refused_for(times: u32) -> Duration {
    Duration::from_secs(1 << times.min(3)).min(LONGEST_REFUSAL_PAUSE)
}

/// Changes a ReplicaSet, if it still is as it was read.
pub async fn change_replica_set(
    client: &Client,
    key: &Key,
    resource_version: &str,
    change: &Change,
) -> Result<ReplicaSetView, Error> {
    let mut metadata = json!({"resourceVersion": resource_version});
    if !change.annotations.is_empty() {
        metadata["annotations"] = json!(change.annotations);
    }
    if let Some(finalizers) = &change.finalizers {
        metadata["finalizers"] = json!(finalizers);
    }
    let mut patch = json!({"metadata": metadata});
    if let Some(replicas) = change.replicas {
        patch["spec"]["replicas"] = replicas.into();
    }
    if let Some(seconds) = change.min_ready_seconds {
        patch["spec"]["minReadySeconds"] = seconds.into();
    }
    let api: Api<ReplicaSetView> = Api::namespaced(client.clone(), &key.namespace);
    let view = api.patch(&key.name, &params(), &Patch::Merge(patch)).await;
    view.doing(|| format!("change ReplicaSet {key}"))
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// The template with these labels, and with what its pods carry for their role.
fn with_metadata(mut template: Value, labels: &BTreeMap<String, String>, of_role: &PodMetadata) -> Value {
    let labels: BTreeMap<_, _> = labels.iter().chain(&of_role.labels).collect();
    template["metadata"]["labels"] = json!(labels);
    for (key, value) in &of_role.annotations {
        template["metadata"]["annotations"][key] = value.clone().into();
    }
    template
}

/// Whether these are as a change from one map to another leaves them.
fn carries(these: &BTreeMap<String, String>, from: &BTreeMap<String, String>, to: &BTreeMap<String, String>) -> bool {
    to.iter().all(|(key, value)| these.get(key) == Some(value))
        && from.keys().all(|key| to.contains_key(key) || !these.contains_key(key))
}

/// A merge patch from one map to another: what is not wanted any more is null.
fn merge_keys(from: &BTreeMap<String, String>, to: &BTreeMap<String, String>) -> Value {
    let removed = from.keys().map(|key| (key.clone(), Value::Null));
    removed.chain(to.iter().map(|(key, value)| (key.clone(), value.clone().into()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_tried_again_later_and_later_and_soon_after_its_cause_is_gone() {
        let pauses: Vec<u64> = [1, 2, 3, 100, u32::MAX].map(|times| refused_for(times).as_secs()).to_vec();
        assert_eq!(pauses, [2, 4, 5, 5, 5]);
    }
}

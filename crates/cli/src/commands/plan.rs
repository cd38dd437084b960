//! `plan`: what applying a manifest to the live cluster will do; and what would come of any other change that is only tried.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use greenlight_api::BlueGreenRollout;
use greenlight_api::text::{one_line, printable};
use greenlight_overview::containers::lasting;
use greenlight_overview::{Session, Simulation, Whole, is_forbidden, quantity, sentence};
use k8s_openapi::api::core::v1::{Node, Pod as KubePod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::Value;

use crate::commands::params;
use crate::exit::Exit;
use crate::manifests;
use crate::output::style::Style;
use crate::session::explain;

/// Where kubectl keeps what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Prints the steps, the peak, and whether it fits. The namespace is that of the manifest; one that was named beside it has to be the same, as
/// for kubectl: a plan of another rollout than the one that was meant is worse than none.
pub async fn run(session: &Session, files: &[PathBuf], named: Option<&str>) -> Result<Exit> {
    let manifests = manifests::read(files)?;
    let wanted: Vec<_> = manifests.iter().filter(|manifest| manifest.kind() == "BlueGreenRollout").collect();
    let [manifest] = wanted.as_slice() else { bail!("plan takes one BlueGreenRollout; there are {}", wanted.len()) };
    let mut session = session.clone();
    session.namespace = namespace(&session.namespace, named, manifest.namespace())?;
    let api: Api<Whole<BlueGreenRollout>> = session.api();
    let name = manifest.name();
    let after = applied(&api, name, &manifest.value).await;
    let Whole(after) = after.with_context(|| format!("the API server would refuse rollout {name}"))?;
    if after.spec.workload_ref.is_some() {
        bail!("rollout {name} takes its template from a Deployment: plan knows only templates of its own");
    }
    let mut simulation = Simulation::read(&session, after).await?;
    let before = simulation.pods();
    tell(
        &mut simulation,
        &format!("Applying {} to rollout {name} in namespace {}", manifest.file.display(), session.namespace),
    );
    capacity(&session, &simulation, before).await;
    Ok(Exit::Done)
}

/// The namespace that a manifest is applied to.
fn namespace(of_session: &str, named: Option<&str>, of_manifest: &str) -> Result<String> {
    match named.filter(|named| !named.is_empty()) {
        _ if of_manifest.is_empty() => Ok(of_session.to_owned()),
        Some(named) if named != of_manifest => {
            bail!(
                "the manifest is for namespace {of_manifest}, and -n names {named}: leave -n out, or correct one of them"
            )
        }
        _ => Ok(of_manifest.to_owned()),
    }
}

/// What the rollout would be, defaults and all, or why the API server refuses it. A field that is not in the manifest any more is gone, as it
/// is when whoever applied the manifest before does so again.
async fn applied(
    api: &Api<Whole<BlueGreenRollout>>,
    name: &str,
    manifest: &Value,
) -> kube::Result<Whole<BlueGreenRollout>> {
    let live = api.get_opt(name).await?.map(|Whole(live)| live);
    let owner = live.as_ref().and_then(applied_by);
    let last = live.as_ref().and_then(|live| live.annotations().get(LAST_APPLIED));
    let last = last.and_then(|last| serde_json::from_str::<Value>(last).ok());
    if let (None, Some(last)) = (&owner, &last) {
        let mut patch = manifest.clone();
        if let Some(spec) = patch.get_mut("spec") {
            remove_what_is_gone(&last["spec"], spec);
        }
        return api.patch(name, &params(true), &Patch::Merge(patch)).await;
    }
    // Fields are removed only for the manager that they belong to.
    let manager = owner.unwrap_or_else(|| "kubectl-greenlight-plan".to_owned());
    let params = PatchParams { dry_run: true, ..PatchParams::apply(&manager).force() };
    api.patch(name, &params, &Patch::Apply(manifest)).await
}

/// The manager that applied the spec on the server's side, if one did.
fn applied_by(live: &BlueGreenRollout) -> Option<String> {
    let mut entries = live.metadata.managed_fields.iter().flatten();
    let applies = |entry: &&ManagedFieldsEntry| {
        let has_spec = entry.fields_v1.as_ref().is_some_and(|fields| fields.0.get("f:spec").is_some());
        has_spec && entry.operation.as_deref() == Some("Apply") && entry.subresource.is_none()
    };
    entries.find(applies)?.manager.clone()
}

/// Has a merge patch remove what the manifest had when it was last applied, and has no more.
fn remove_what_is_gone(last: &Value, patch: &mut Value) {
    let (Some(last), Some(patch)) = (last.as_object(), patch.as_object_mut()) else { return };
    for (field, before) in last {
        match patch.get_mut(field) {
            Some(now) => remove_what_is_gone(before, now),
            None => drop(patch.insert(field.clone(), Value::Null)),
        }
    }
}

/// Tells what would come of a change that the API server has looked at and not made. It may be a request that the operator would
/// refuse; what it said of an earlier one is no answer to this change.
pub async fn tell_what_would_come_of(
    session: &Session,
    after: BlueGreenRollout,
    change: &str,
    request: Option<&str>,
) -> Result<Exit> {
    if after.spec.workload_ref.is_some() {
        println!(
            "{change} is allowed. Nothing was changed. What would come of it is not known here: the template is a Deployment's."
        );
        return Ok(Exit::Done);
    }
    let mut simulation = match Simulation::read(session, after).await {
        Ok(simulation) => simulation,
        // Whoever may ask need not be one who may see the pods.
        Err(error) if error.downcast_ref::<kube::Error>().is_some_and(is_forbidden) => {
            println!("{change} is allowed. Nothing was changed. What would come of it is not known here:");
            println!("{}", printable(&explain(&error, &session.flags)));
            return Ok(Exit::Done);
        }
        Err(error) => return Err(error),
    };
    tell(&mut simulation, &format!("Nothing was changed. {change} is allowed, and this would come of it"));
    let status = simulation.world.rollout.status.as_ref();
    let answer = status.and_then(|status| status.observed_request.as_ref());
    let refused = answer.filter(|answer| !answer.accepted && Some(answer.value.as_str()) == request);
    if let Some(refused) = refused {
        eprintln!("The operator would refuse: {}", sentence(&refused.answer));
        return Ok(Exit::Refused);
    }
    Ok(Exit::Done)
}

/// Carries everything out on the copy, and prints it.
fn tell(simulation: &mut Simulation, what: &str) {
    let before = simulation.pods();
    let outcome = simulation.run();
    let style = Style::detect();
    println!("{}", style.wrapped(&format!("{what}:")));
    for (number, step) in simulation.steps.iter().enumerate() {
        println!("{}", style.hanging(&format!("  {}. ", number + 1), "     ", &one_line(step)));
    }
    if simulation.steps.is_empty() {
        println!("  nothing happens");
    }
    println!("{}", style.wrapped(&format!("Then: {}.", one_line(&outcome))));
    println!("Pods: {before} now, {} at the peak, {} in the end.", simulation.peak, simulation.pods());
}

/// What the peak takes beyond now, against what the nodes have free.
async fn capacity(session: &Session, simulation: &Simulation, running: i32) {
    let style = Style::detect();
    let (cpu, memory) = simulation.requests;
    let pods = f64::from(simulation.peak);
    let (nodes, all_pods) = (Api::<Node>::all(session.client.clone()), Api::<KubePod>::all(session.client.clone()));
    let free = async {
        let everything = ListParams::default();
        let (nodes, pods) = tokio::try_join!(nodes.list(&everything), all_pods.list(&everything))?;
        Ok::<_, kube::Error>(free(&nodes.items, &pods.items))
    };
    let gibibytes = |bytes: f64| bytes / f64::from(1 << 30);
    println!("At the peak they request {:.2} CPU and {:.2} GiB.", cpu * pods, gibibytes(memory) * pods);
    match free.await {
        Ok((free_cpu, free_memory)) => {
            println!("The nodes have {free_cpu:.2} CPU and {:.2} GiB free.", gibibytes(free_memory));
            let more = f64::from((simulation.peak - running).max(0));
            if cpu * more > free_cpu || memory * more > free_memory {
                let fits_not = "It does not fit: pods would wait for nodes. Add nodes, or set previewReplicaCount.";
                println!("{}", style.wrapped(fits_not));
            }
        }
        Err(_) => {
            let unknown = "You may not read nodes and pods of all namespaces, so nobody knows here whether it fits.";
            println!("{}", style.wrapped(unknown));
        }
    }
}

/// What all schedulable nodes have left.
fn free(nodes: &[Node], pods: &[KubePod]) -> (f64, f64) {
    let usable = nodes.iter().filter(|node| node.spec.as_ref().and_then(|spec| spec.unschedulable) != Some(true));
    let mut free = (0.0, 0.0);
    for allocatable in usable.filter_map(|node| node.status.as_ref()?.allocatable.as_ref()) {
        free.0 += allocatable.get("cpu").map_or(0.0, |amount| quantity(&amount.0));
        free.1 += allocatable.get("memory").map_or(0.0, |amount| quantity(&amount.0));
    }
    let over = |pod: &&KubePod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        !matches!(phase, Some("Succeeded" | "Failed"))
    };
    for container in pods.iter().filter(over).flat_map(lasting) {
        let requests =
            container.resources.as_ref().and_then(|resources| resources.requests.clone()).unwrap_or_default();
        free.0 -= requests.get("cpu").map_or(0.0, |amount| quantity(&amount.0));
        free.1 -= requests.get("memory").map_or(0.0, |amount| quantity(&amount.0));
    }
    free
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_is_of_the_namespace_that_kubectl_would_apply_to() {
        let of = |named: Option<&str>, of_manifest: &str| namespace("default", named, of_manifest);
        assert_eq!(of(None, "").expect("the context's"), "default");
        assert_eq!(of(None, "shop").expect("the manifest's"), "shop");
        assert_eq!(of(Some("shop"), "shop").expect("both"), "shop");
        assert_eq!(of(Some(""), "shop").expect("an empty one is none"), "shop");
        let error = of(Some("pay"), "shop").expect_err("not the same").to_string();
        assert!(error.contains("for namespace shop, and -n names pay"), "{error}");
    }

    #[test]
    fn what_sidecars_request_is_not_free() {
        let node = json!({"metadata": {"name": "one"}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}}});
        let of = |policy: Option<&str>, cpu: &str| {
            let resources = json!({"requests": {"cpu": cpu}});
            json!({"name": "web", "restartPolicy": policy, "resources": resources})
        };
        let initial = [of(None, "3"), of(Some("Always"), "500m")];
        let spec = json!({"initContainers": initial, "containers": [of(None, "1")]});
        let pod = json!({"metadata": {"name": "web-1"}, "spec": spec});
        let node: Node = serde_json::from_value(node).expect("a node");
        let pod: KubePod = serde_json::from_value(pod).expect("a pod");
        let (cpu, _) = free(&[node], &[pod]);
        assert!((cpu - 2.5).abs() < 1e-9, "{cpu}");
    }

    #[test]
    fn what_the_manifest_has_no_more_goes_and_what_others_wrote_stays() {
        let last =
            json!({"paused": true, "strategy": {"blueGreen": {"activeService": "web", "autoPromotionEnabled": false}}});
        let mut patch = json!({"strategy": {"blueGreen": {"activeService": "shop"}}, "template": {"a": 1}});
        remove_what_is_gone(&last, &mut patch);
        let blue_green = json!({"activeService": "shop", "autoPromotionEnabled": null});
        assert_eq!(patch, json!({"paused": null, "strategy": {"blueGreen": blue_green}, "template": {"a": 1}}));
    }
}

//! `plan`: what applying a manifest to the live cluster will do; and what would come of any other change that is only tried.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use greenlight_api::BlueGreenRollout;
use greenlight_api::text::{one_line, printable};
use greenlight_overview::{Session, Simulation, is_forbidden, quantity, sentence};
use k8s_openapi::api::core::v1::{Node, Pod as KubePod};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};

use crate::exit::Exit;
use crate::manifests;
use crate::session::explain;

/// Prints the steps, the peak, and whether it fits.
pub async fn run(session: &Session, files: &[PathBuf]) -> Result<Exit> {
    let manifests = manifests::read(files)?;
    let wanted: Vec<_> = manifests.iter().filter(|manifest| manifest.kind() == "BlueGreenRollout").collect();
    let [manifest] = wanted.as_slice() else { bail!("plan takes one BlueGreenRollout; there are {}", wanted.len()) };
    let mut session = session.clone();
    if !manifest.namespace().is_empty() {
        session.namespace = manifest.namespace().to_owned();
    }
    // The server says what the object would be, defaults and all, or why it refuses.
    let api: Api<BlueGreenRollout> = session.api();
    let name = manifest.name();
    let params = PatchParams { dry_run: true, ..PatchParams::apply("kubectl-greenlight-plan").force() };
    let after = api.patch(name, &params, &Patch::Apply(&manifest.value)).await;
    let after = after.with_context(|| format!("the API server would refuse rollout {name}"))?;
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

/// Tells what would come of a change that the API server has looked at and not made. It may be a request that the operator would
/// refuse.
pub async fn tell_what_would_come_of(session: &Session, after: BlueGreenRollout, change: &str) -> Result<Exit> {
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
            println!("{}", printable(&explain(&error)));
            return Ok(Exit::Done);
        }
        Err(error) => return Err(error),
    };
    let asked = simulation.world.rollout.request.clone();
    tell(&mut simulation, &format!("Nothing was changed. {change} is allowed, and this would come of it"));
    let status = simulation.world.rollout.status.as_ref();
    let answer = status.and_then(|status| status.observed_request.as_ref());
    let refused = answer.filter(|answer| !answer.accepted && Some(&answer.value) == asked.as_ref());
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
    println!("{what}:");
    for (number, step) in simulation.steps.iter().enumerate() {
        println!("  {}. {}", number + 1, one_line(step));
    }
    if simulation.steps.is_empty() {
        println!("  nothing happens");
    }
    println!("Then: {}.", one_line(&outcome));
    println!("Pods: {before} now, {} at the peak, {} in the end.", simulation.peak, simulation.pods());
}

/// What the peak takes beyond now, against what the nodes have free.
async fn capacity(session: &Session, simulation: &Simulation, running: i32) {
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
                println!("It does not fit: pods would wait for nodes. Add nodes, or set previewReplicaCount.");
            }
        }
        Err(_) => println!("You may not read nodes and pods of all namespaces, so nobody knows here whether it fits."),
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
    for container in pods.iter().filter(over).flat_map(|pod| pod.spec.iter().flat_map(|spec| &spec.containers)) {
        let requests =
            container.resources.as_ref().and_then(|resources| resources.requests.clone()).unwrap_or_default();
        free.0 -= requests.get("cpu").map_or(0.0, |amount| quantity(&amount.0));
        free.1 -= requests.get("memory").map_or(0.0, |amount| quantity(&amount.0));
    }
    free
}

//! `set image`: another image is a new revision.

use anyhow::{Context, Result, bail};
use greenlight_api::BlueGreenRollout;
use greenlight_overview::Session;
use kube::Api;
use kube::api::Patch;
use serde_json::json;

use crate::commands::{params, plan};
use crate::exit::Exit;

/// Asks for other images.
pub async fn run(session: &Session, name: &str, images: &[(String, String)], dry_run: bool) -> Result<Exit> {
    let rollout = session.rollout(name).await?;
    if let Some(workload) = &rollout.spec.workload_ref {
        bail!(
            "the template of rollout {name} is that of Deployment {0}: kubectl set image deployment/{0} ...",
            workload.name
        );
    }
    let containers: Vec<String> =
        rollout.spec.template().images().into_iter().map(|(container, _)| container).collect();
    let mut patch = Vec::new();
    for (wanted, image) in images {
        let matching: Vec<usize> =
            (0..containers.len()).filter(|index| wanted == "*" || containers[*index] == *wanted).collect();
        if matching.is_empty() {
            bail!("rollout {name} has no container {wanted}; there are: {}", containers.join(", "));
        }
        for index in matching {
            let path = format!("/spec/template/spec/containers/{index}");
            // Lists are patched by position: the test makes sure that it is still the same container.
            patch.push(json!({"op": "test", "path": format!("{path}/name"), "value": containers[index]}));
            patch.push(json!({"op": "replace", "path": format!("{path}/image"), "value": image}));
        }
    }
    let api: Api<BlueGreenRollout> = session.api();
    let patch: Patch<()> = Patch::Json(serde_json::from_value(patch.into())?);
    let after = api.patch(name, &params(dry_run), &patch).await;
    let after = after.with_context(|| format!("cannot change rollout {name}"))?;
    let asked_for = images.iter().map(|(_, image)| image.as_str()).collect::<Vec<_>>().join(", ");
    if dry_run {
        return plan::tell_what_would_come_of(session, after, &format!("Asking rollout {name} for {asked_for}")).await;
    }
    println!("Rollout {name} asks for {asked_for}.");
    Ok(Exit::Done)
}

//! `set image`: another image is a new revision.

use anyhow::{Result, bail};
use greenlight_api::names::CHANGE_CAUSE;
use greenlight_api::{BlueGreenRollout, PodTemplate};
use greenlight_overview::{Flags, Session, SpecChange, Whole, quoted};
use kube::Api;
use kube::api::Patch;
use serde_json::{Value, json};

use crate::commands::{cause, params, plan, written};
use crate::exit::Exit;
use crate::options::Change;

/// Asks for other images.
pub async fn run(session: &Session, name: &str, images: &[(String, String)], change: &Change) -> Result<Exit> {
    let rollout = session.rollout(name).await?;
    if let Some(workload) = &rollout.spec.workload_ref {
        let instead = of_deployment(&workload.name, images, &session.namespace, &session.flags);
        bail!("the template of rollout {name} is that of Deployment {}. Use {instead}", workload.name);
    }
    let mut patch = of_images(name, &rollout.spec.template(), images)?;
    if let Some(cause) = cause(session, SpecChange::SetImage, &rollout, change).await? {
        patch.extend(of_annotation(rollout.metadata.annotations.is_some(), &cause));
    }
    let api: Api<Whole<BlueGreenRollout>> = session.api();
    let patch: Patch<()> = Patch::Json(serde_json::from_value(patch.into())?);
    let after = api.patch(name, &params(change.dry_run), &patch).await;
    let Whole(after) = written(session, name, &format!("change rollout {name}"), after)?;
    let asked_for = images.iter().map(|(_, image)| image.as_str()).collect::<Vec<_>>().join(", ");
    if change.dry_run {
        return plan::tell_what_would_come_of(session, after, &format!("Asking rollout {name} for {asked_for}"), None)
            .await;
    }
    println!("The spec of rollout {name} now has {asked_for}.");
    Ok(Exit::Done)
}

/// The command that changes the images where the template is.
fn of_deployment(name: &str, images: &[(String, String)], namespace: &str, flags: &Flags) -> String {
    let images = images.iter().map(|(container, image)| quoted(&format!("{container}={image}")));
    let images: Vec<String> = images.collect();
    format!("kubectl set image deployment/{} {} -n {namespace}{flags}", quoted(name), images.join(" "))
}

/// The changes of the template, one for each container that is named.
fn of_images(name: &str, template: &PodTemplate, images: &[(String, String)]) -> Result<Vec<Value>> {
    let mut there = Vec::new();
    for list in ["containers", "initContainers"] {
        let containers = template.0.get("spec").and_then(|spec| spec[list].as_array());
        for (index, container) in containers.into_iter().flatten().enumerate() {
            let container = container["name"].as_str().unwrap_or_default();
            there.push((container, format!("/spec/template/spec/{list}/{index}")));
        }
    }
    let mut patch = Vec::new();
    for (wanted, image) in images {
        let mut matching = there.iter().filter(|(container, _)| wanted == "*" || container == wanted).peekable();
        if images.iter().any(|(other, another)| other == wanted && another != image) {
            bail!("container {wanted} is named twice, with different images: name it once");
        }
        if matching.peek().is_none() {
            let names: Vec<&str> = there.iter().map(|(container, _)| *container).collect();
            bail!("rollout {name} has no container {wanted}; there are: {}", names.join(", "));
        }
        for (container, path) in matching {
            // Lists are patched by position: the test makes sure that it is still the same container.
            patch.push(json!({"op": "test", "path": format!("{path}/name"), "value": container}));
            patch.push(json!({"op": "replace", "path": format!("{path}/image"), "value": image}));
        }
    }
    Ok(patch)
}

/// The change of the annotation that says why. Where there are no annotations, they are made; if somebody else has made them
/// meanwhile, the test fails, and nothing of theirs is lost.
fn of_annotation(has_annotations: bool, cause: &Value) -> Vec<Value> {
    let path = format!("/metadata/annotations/{}", CHANGE_CAUSE.replace('~', "~0").replace('/', "~1"));
    match cause {
        Value::Null => vec![json!({"op": "remove", "path": path})],
        cause if has_annotations => vec![json!({"op": "add", "path": path, "value": cause})],
        cause => vec![
            json!({"op": "test", "path": "/metadata/annotations", "value": null}),
            json!({"op": "add", "path": "/metadata/annotations", "value": {CHANGE_CAUSE: cause}}),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> PodTemplate {
        let of = |name: &str| json!({"name": name, "image": "v1"});
        let spec = json!({"containers": [of("web"), of("proxy")], "initContainers": [of("init")]});
        serde_json::from_value(json!({"spec": spec})).expect("a template")
    }

    fn patched(container: &str) -> Result<Vec<String>> {
        let patch = of_images("web", &template(), &[(container.to_owned(), "v2".to_owned())])?;
        Ok(patch.iter().filter(|op| op["op"] == "replace").map(|op| op["path"].to_string()).collect())
    }

    #[test]
    fn a_container_is_found_also_among_those_that_initialise() {
        assert_eq!(patched("proxy").expect("there is one"), [r#""/spec/template/spec/containers/1/image""#]);
        assert_eq!(patched("init").expect("there is one"), [r#""/spec/template/spec/initContainers/0/image""#]);
        assert_eq!(patched("*").expect("there are some").len(), 3);
        let error = patched("app").expect_err("there is none").to_string();
        assert!(error.contains("has no container app; there are: web, proxy, init"), "{error}");
    }

    #[test]
    fn the_deployment_that_is_to_be_changed_instead_is_that_of_the_same_cluster_and_namespace() {
        let flags = Flags { of_cluster: " --context prod".to_owned(), of_user: " --as ann".to_owned() };
        let images = [("web", "v2"), ("*", "v3")].map(|(container, image)| (container.to_owned(), image.to_owned()));
        assert_eq!(
            of_deployment("web", &images, "shop", &flags),
            "kubectl set image deployment/web web=v2 '*=v3' -n shop --context prod --as ann"
        );
    }

    #[test]
    fn a_container_is_not_asked_for_two_images() {
        let asked = |images: &[(&str, &str)]| {
            let images: Vec<_> = images.iter().map(|(name, image)| ((*name).to_owned(), (*image).to_owned())).collect();
            of_images("web", &template(), &images).map(|patch| patch.len())
        };
        let error = asked(&[("web", "v2"), ("web", "v3")]).expect_err("which one?").to_string();
        assert!(error.contains("container web is named twice"), "{error}");
        assert!(asked(&[("*", "v2"), ("web", "v3")]).is_ok(), "all of them, and that one otherwise");
        assert!(asked(&[("web", "v2"), ("web", "v2")]).is_ok());
    }

    #[test]
    fn the_cause_takes_no_annotation_away() {
        let added = of_annotation(true, &json!("why"));
        assert_eq!(
            added,
            [json!({"op": "add", "path": "/metadata/annotations/kubernetes.io~1change-cause", "value": "why"})]
        );
        assert_eq!(of_annotation(true, &Value::Null)[0]["op"], "remove");
        assert_eq!(of_annotation(false, &json!("why"))[0]["op"], "test");
    }
}

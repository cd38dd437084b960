//! The name of a template must never change by itself.

use greenlight_api::PodTemplate;
use greenlight_core::hash::{Digest, is_pod_of, replica_set_name};
use serde_json::{Value, json};

fn digest(template: Value) -> Digest {
    Digest::of(&serde_json::from_value::<PodTemplate>(template).expect("a template"))
}

fn plain() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:v1"}]}})
}

#[test]
fn it_is_the_same_in_every_version_of_the_operator() {
    let why = "a changed hash would restart every pod of every user";
    assert_eq!(digest(plain()).hash("web", 0), "9rzrtmjlsp", "{why}");
    assert_eq!(digest(plain()).hash_of_older_version(0), "5shpm7h2q6", "{why}");
    for hash in ["9rzrtmjlsp", "5shpm7h2q6"] {
        assert!(digest(plain()).makes("web", hash), "{hash}: {why}");
    }
}

#[test]
fn what_json_writes_in_a_special_way_is_written_so() {
    let template = json!({
        "metadata": {"annotations": {"a\"b": "line\nend\t\\ \u{1} \u{e9} \u{1f980}"}},
        "spec": {"containers": [{"name": "web", "port": 8080, "tty": true, "cpu": 1.5}]},
    });
    // SHA-256 of the canonical text, which another program has made.
    assert_eq!(digest(template).as_str(), "7f075e4746d3eff3cc23307db5a70e76343570cc2fc0fc494ecd5a60b0b0527c");
}

#[test]
fn two_rollouts_with_the_same_template_have_hashes_of_their_own() {
    assert_ne!(digest(plain()).hash("web", 0), digest(plain()).hash("other", 0));
    assert!(!digest(plain()).makes("other", &digest(plain()).hash("web", 0)));
}

#[test]
fn nulls_and_empty_fields_do_not_count() {
    let mut written_out = plain();
    written_out["metadata"]["creationTimestamp"] = Value::Null;
    written_out["metadata"]["annotations"] = json!({});
    written_out["spec"]["securityContext"] = json!({});
    written_out["spec"]["containers"][0]["resources"] = json!({"limits": {}});
    written_out["spec"]["containers"][0]["env"] = json!([]);
    assert_eq!(digest(written_out), digest(plain()));
}

#[test]
fn an_empty_selector_is_not_a_missing_one() {
    let term = json!({"topologyKey": "zone", "labelSelector": {}});
    let mut empty = plain();
    empty["spec"]["topologySpreadConstraints"] = json!([term]);
    let mut missing = plain();
    missing["spec"]["topologySpreadConstraints"] = json!([{"topologyKey": "zone"}]);
    assert_ne!(digest(empty), digest(missing));
}

#[test]
fn a_change_or_a_collision_gives_another_hash() {
    let mut changed = plain();
    changed["spec"]["containers"][0]["image"] = "web:v2".into();
    assert_ne!(digest(changed).hash("web", 0), digest(plain()).hash("web", 0));
    assert_ne!(digest(plain()).hash("web", 1), digest(plain()).hash("web", 0));
}

#[test]
fn long_names_leave_the_hash_and_the_pod_suffix_whole() {
    let rollout = "a-very-long-name-of-a-rollout-that-somebody-chose-for-reasons-of-their-own";
    let name = replica_set_name(rollout, "bcdfghjklm");
    assert!(name.len() <= 57, "{name}");
    assert!(name.ends_with("-bcdfghjklm"), "{name}");
    assert!(is_pod_of(&format!("{name}-x2k9d"), &name));
    assert!(!is_pod_of("web-1-x2k9d", "web"));
}

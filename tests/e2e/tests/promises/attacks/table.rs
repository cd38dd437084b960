//! The attacks, a line each. A new one is a new line: who, what, which requests.
//!
//! `refused`: a policy or the roles have to say no; whoever else may say it is known by the words of `told`. `holds`: it may be let through, and
//! production has to stay. `moves`: no attack, but what this role may do, so that it is seen that something can move here at all, and goes where
//! it was to.

use serde_json::{Value, json};

use super::attack::{Attack, How, Role, Role::*, Step};
use super::range::{EVIL, endless};

/// All of them.
pub(super) fn attacks() -> Vec<Attack> {
    let groups = [
        ("names of Services", services()),
        ("gates", gates()),
        ("metadata and status of the rollout", metadata()),
        ("requests", requests()),
        ("requests out of turn", out_of_turn()),
        ("escapes in requests", escapes()),
        ("deletion", deletion()),
        ("deputies", deputies()),
        ("ReplicaSets", replica_sets()),
        ("analyses", analyses()),
        ("sub-resources and dry runs", sub_resources()),
        ("pods", pods()),
        ("field managers", field_managers()),
        ("odd words", odd_words()),
        ("owners and finalizers", owners_and_finalizers()),
        ("crowds", crowds()),
        ("side doors", side_doors()),
        ("around the namespace", surroundings()),
        ("bystanders", bystanders()),
        ("closed doors", closed_doors()),
        ("templates of revisions", revisions()),
        ("second thoughts", second_thoughts()),
        ("after a promotion", promoted()),
        ("roundabout ways", roundabout()),
        ("races", races()),
        ("what may be done", allowed()),
    ];
    let of_group = |(group, attacks): (&'static str, Vec<Attack>)| attacks.into_iter().map(move |it| it.of(group));
    groups.into_iter().flat_map(of_group).collect()
}

/// The names of Services.
fn services() -> Vec<Attack> {
    vec![
        Attack::refused(
            Editor,
            "active and preview Service exchanged",
            [blue_green(json!({"activeService": "{name}-preview", "previewService": "{name}-active"}))],
        ),
        Attack::refused(
            Edit,
            "active and preview Service exchanged",
            [blue_green(json!({"activeService": "{name}-preview", "previewService": "{name}-active"}))],
        ),
        Attack::refused(
            Editor,
            "the active Service becomes the preview Service",
            [blue_green(json!({"activeService": null, "previewService": "{name}-active"}))],
        ),
        Attack::refused(
            Edit,
            "the active Service becomes the preview Service",
            [blue_green(json!({"activeService": null, "previewService": "{name}-active"}))],
        ),
        Attack::refused(Editor, "no active Service any more", [blue_green(json!({"activeService": null}))]),
        Attack::refused(
            Editor,
            "the preview Service as one more active one",
            [blue_green(json!({"previewService": null, "additionalActiveServices": ["{name}-preview"]}))],
        ),
        Attack::refused(
            Editor,
            "no preview Service, so that nothing has to be shown",
            [blue_green(json!({"previewService": null}))],
        ),
        Attack::refused(
            Editor,
            "the same, by server-side apply",
            [apply_blue_green(json!({"activeService": "{name}-preview", "previewService": "{name}-active"}))],
        ),
        Attack::refused(
            Editor,
            "the same, by a JSON patch",
            [json_patch(
                json!([{"op": "replace", "path": "/spec/strategy/blueGreen/activeService", "value": "{name}-preview"}, {"op": "replace", "path": "/spec/strategy/blueGreen/previewService", "value": "{name}-active"}]),
            )],
        ),
        Attack::refused(
            Editor,
            "the same, by an update of all of it",
            [step(
                How::Replace,
                ROLLOUT,
                json!({"spec": {"strategy": {"blueGreen": {"activeService": "{name}-preview", "previewService": "{name}-active"}}}}),
            )],
        ),
        Attack::refused(
            Editor,
            "an overlap, so that the candidate gets traffic",
            [blue_green(json!({"switchMode": "Overlap", "overlapSeconds": 3600}))],
        ),
        Attack::holds(
            Edit,
            "the active Service leads to pods that are not ready, and each client to the same one",
            [step(
                How::Merge,
                "services/{name}-active",
                json!({"spec": {"publishNotReadyAddresses": true, "sessionAffinity": "ClientIP"}}),
            )],
        ),
        Attack::holds(
            Edit,
            "the preview Service leads to what serves",
            [
                step(
                    How::Merge,
                    "services/{name}-preview",
                    json!({"spec": {"selector": {"rollouts-pod-template-hash": "{v1}"}}}),
                ),
                wait(),
            ],
        ),
        Attack::holds(
            Edit,
            "the preview Service selects nothing of anybody's",
            [step(How::Merge, "services/{name}-preview", json!({"spec": {"selector": null}})), wait()],
        ),
        Attack::holds(
            Edit,
            "the active Service deleted, while a finalizer of theirs keeps it",
            [
                step(
                    How::Merge,
                    "services/{name}-active",
                    json!({"metadata": {"finalizers": ["tenant.example/held"]}}),
                ),
                step(How::Delete, "services/{name}-active", Value::Null),
            ],
        )
        .told("is being deleted"),
        Attack::refused(
            Editor,
            "the active Service deleted",
            [step(How::Delete, "services/{name}-active", Value::Null)],
        ),
        Attack::refused(
            Promoter,
            "the active Service deleted",
            [step(How::Delete, "services/{name}-active", Value::Null)],
        ),
        Attack::refused(
            OnCall,
            "the preview Service leads to what serves",
            [step(
                How::Merge,
                "services/{name}-preview",
                json!({"spec": {"selector": {"rollouts-pod-template-hash": "{v1}"}}}),
            )],
        ),
    ]
}

/// What the promotion waits for.
fn gates() -> Vec<Attack> {
    let timer = json!({"strategy": {"blueGreen": {"autoPromotionSeconds": 3600}}});
    let paused = json!({"paused": true, "strategy": {"blueGreen": {"autoPromotionEnabled": true}}});
    let two = json!({"strategy": {"blueGreen": {"requiredApprovals": 2}}});
    vec![
        Attack::refused(Editor, "autoPromotionEnabled true", [blue_green(json!({"autoPromotionEnabled": true}))]),
        Attack::refused(Edit, "autoPromotionEnabled left out", [blue_green(json!({"autoPromotionEnabled": null}))]),
        Attack::holds(Editor, "the gate opened in another spelling, which is no field", [blue_green(json!({"AutoPromotionEnabled": true, "autopromotionenabled": true}))]),
        Attack::refused(Editor, "a timer of a second", [blue_green(json!({"autoPromotionSeconds": 1}))]),
        Attack::refused(Editor, "a shorter timer", [blue_green(json!({"autoPromotionSeconds": 1}))]).on(timer.clone()),
        Attack::refused(Editor, "a timer of no seconds", [blue_green(json!({"autoPromotionSeconds": 0}))]).on(timer.clone()),
        Attack::refused(Editor, "no timer any more", [blue_green(json!({"autoPromotionSeconds": null}))]).on(timer),
        Attack::refused(Editor, "un-pausing what promotes by itself", [spec(json!({"paused": false}))]).on(paused.clone()),
        Attack::refused(Editor, "un-pausing by null", [spec(json!({"paused": null}))]).on(paused.clone()),
        Attack::refused(Editor, "un-pausing by leaving it out", [json_patch(json!([{"op": "remove", "path": "/spec/paused"}]))]).on(paused),
        Attack::refused(Editor, "fewer approvals", [blue_green(json!({"requiredApprovals": 1}))]).on(two.clone()),
        Attack::refused(Editor, "fewer approvals and another template in one go", [spec(json!({"template": {"metadata": {"annotations": {"x": "y"}}}, "strategy": {"blueGreen": {"requiredApprovals": null}}}))]).on(two.clone()),
        Attack::holds(Promoter, "one person approves twice, by two spellings of the name", [request(r#"{"action":"promote","revision":"{v2}","by":"paula","at":"2026-01-01T00:00:00Z"}"#), or(request(r#"{"action":"promote","revision":"{v2}","by":"Paula","at":"2026-01-01T00:00:01Z"}"#)), or(request(r#"{"action":"promote","revision":"{v2}","by":"paula ","at":"2026-01-01T00:00:02Z"}"#)), request(r#"{"action":"promote","revision":"{v2}","by":"paula","at":"2026-01-01T00:00:03Z"}"#)]).on(two),
        Attack::refused(Editor, "a large rollback window, so that old ones need no gate", [spec(json!({"rollbackWindow": {"revisions": 1000}}))]),
        Attack::refused(Editor, "a longer delay, so that old ones need no gate", [blue_green(json!({"scaleDownDelaySeconds": 86400}))]),
        Attack::refused(Editor, "rolling back by itself", [blue_green(json!({"autoRollback": {"unavailableSeconds": 1}}))]),
        Attack::refused(Editor, "an analysis after the switch that fails", [blue_green(json!({"postPromotionAnalysis": {"templates": [{"templateName": "none"}]}}))]),
        Attack::refused(Editor, "a restart by restartAt", [spec(json!({"restartAt": "2026-11-27T00:00:00Z"}))]),
        Attack::refused(Editor, "a history of none, so that nothing can be gone back to", [spec(json!({"revisionHistoryLimit": 0}))]),
        Attack::refused(Editor, "another selector", [spec(json!({"selector": {"matchLabels": {"app": "other"}}}))]).told("selector is immutable"),
        Attack::holds(Editor, "the scale alone", [spec(json!({"replicas": 2}))]),
        Attack::holds(Editor, "the scale by its sub-resource", [step(How::Merge, "bluegreenrollouts/{name}/scale", json!({"spec": {"replicas": 2}}))]),
        Attack::refused(Editor, "a dry run of an open gate", [step(How::Merge, "bluegreenrollouts/{name}?dryRun=All", json!({"spec": {"strategy": {"blueGreen": {"autoPromotionEnabled": true}}}}))]),
        Attack::holds(Editor, "a deadline of a second", [spec(json!({"progressDeadlineSeconds": 1, "progressDeadlineAbort": true}))]),
        Attack::holds(Editor, "templates back and forth", [template("app:v1"), template("app:v2"), template("app:v1"), template("app:v2")]),
        Attack::refused(Editor, "a template with the label that overlaps select", [spec(json!({"template": {"metadata": {"labels": {"greenlight.dev/serving": "true"}}}}))]).told("greenlight sets them"),
        Attack::refused(Editor, "a template with the hash of production", [spec(json!({"template": {"metadata": {"labels": {"rollouts-pod-template-hash": "{v1}"}}}}))]).told("greenlight sets them"),
        Attack::refused(Editor, "the hash of production as a preview label", [blue_green(json!({"previewMetadata": {"labels": {"rollouts-pod-template-hash": "{v1}"}}}))]).told("greenlight sets them"),
    ]
}

/// Metadata and status of the rollout.
fn metadata() -> Vec<Attack> {
    let decisions = json!({"status": {"decisions": {"serving": "{v2}"}}});
    let approval = json!({"status": {"decisions": {"revisions": [{"hash": "{v2}", "digest": "x", "number": 2, "returned": true}]}}});
    vec![
        Attack::refused(
            Editor,
            "a forged status",
            [step(How::Merge, "bluegreenrollouts/{name}/status", decisions.clone())],
        ),
        Attack::refused(Edit, "a forged status", [step(How::Merge, "bluegreenrollouts/{name}/status", approval)]),
        Attack::refused(
            Admin,
            "a forged status",
            [step(How::Merge, "bluegreenrollouts/{name}/status", decisions.clone())],
        ),
        Attack::refused(
            Edit,
            "no status any more",
            [step(How::Json, "bluegreenrollouts/{name}/status", json!([{"op": "remove", "path": "/status"}]))],
        ),
        Attack::holds(Editor, "a status by the main resource", [step(How::Merge, ROLLOUT, decisions)]),
        Attack::refused(Editor, "no finalizers", [metadata_of(json!({"finalizers": null}))]),
        Attack::refused(
            Editor,
            "an owner that does not exist, so that it is collected",
            [metadata_of(
                json!({"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000"}]}),
            )],
        ),
        Attack::refused(
            Edit,
            "an annotation of the operator's on the rollout",
            [metadata_of(json!({"annotations": {"greenlight.dev/returned": "true"}}))],
        ),
        Attack::holds(
            Editor,
            "the cause of the last change in somebody else's name",
            [metadata_of(json!({"annotations": {"kubernetes.io/change-cause": "paused by paula: as agreed"}}))],
        ),
        Attack::holds(
            Editor,
            "two hundred kilobytes of annotations",
            [metadata_of(json!({"annotations": {"note": "x".repeat(200_000)}}))],
        ),
    ]
}

/// Requests that are not theirs to make.
fn requests() -> Vec<Attack> {
    vec![
        Attack::refused(Viewer, "promote", [request("promote")]),
        Attack::refused(Editor, "promote", [request("promote")]),
        Attack::refused(Editor, "promote of a revision", [request("promote {v2}")]),
        Attack::refused(Editor, "promote in full", [request("promote-full")]),
        Attack::refused(
            Editor,
            "a signed promote",
            [request(r#"{"action":"promote","revision":"{v2}","by":"ed","at":"2026-01-01T00:00:00Z"}"#)],
        ),
        Attack::refused(Editor, "rollback", [request("rollback")]),
        Attack::refused(Editor, "abort", [request("abort")]),
        Attack::refused(Editor, "restart", [request("restart")]),
        Attack::refused(Editor, "retry", [request("retry")]),
        Attack::refused(OnCall, "promote", [request("promote")]),
        Attack::refused(OnCall, "promote in full", [request("promote-full {v2}")]),
        Attack::refused(OnCall, "another template", [template("app:v3")]),
        Attack::refused(OnCall, "an open gate", [blue_green(json!({"autoPromotionEnabled": true}))]),
        Attack::refused(
            OnCall,
            "a signed promote dressed as an abort",
            [request(
                r#"{"action":"promote","revision":"{v2}","by":"olga","at":"2026-01-01T00:00:00Z","to":"\"action\":\"abort\""}"#,
            )],
        ),
        Attack::refused(
            OnCall,
            "a signed promote with an abort for a reason",
            [request(
                r#"{"action":"promote","revision":"{v2}","by":"olga","at":"2026-01-01T00:00:00Z","reason":"\"action\":\"abort\""}"#,
            )],
        ),
        Attack::refused(
            Promoter,
            "a promote signed by another, with one's own name for a reason",
            [request(
                r#"{"action":"promote","revision":"{v2}","by":"adam","at":"2026-01-01T00:00:00Z","reason":"\"by\":\"paula\""}"#,
            )],
        ),
        Attack::refused(Promoter, "another template", [template("app:v3")]),
        Attack::refused(
            Promoter,
            "a promote signed by another",
            [request(r#"{"action":"promote","revision":"{v2}","by":"adam","at":"2026-01-01T00:00:00Z"}"#)],
        ),
        Attack::refused(
            Admin,
            "a promote signed by another",
            [request(r#"{"action":"promote","revision":"{v2}","by": "paula","at":"2026-01-01T00:00:00Z"}"#)],
        )
        .told(r#"You are adam: write "by": "adam""#),
        Attack::refused(
            Promoter,
            "a request together with another template",
            [step(
                How::Merge,
                ROLLOUT,
                json!({"metadata": {"annotations": {REQUEST: "promote {v2}"}}, "spec": {"template": {"metadata": {"annotations": {"x": "y"}}}}}),
            )],
        ),
        Attack::holds(
            Editor,
            "a request of theirs taken away and made again",
            [
                or(request("promote {v2}")),
                metadata_of(json!({"annotations": {REQUEST: null}})),
                or(request("promote {v2}")),
            ],
        ),
        Attack::refused(Viewer, "rollback", [request("rollback")]),
        Attack::refused(Viewer, "abort", [request("abort")]),
        Attack::refused(Viewer, "restart", [request("restart")]),
        Attack::refused(
            Editor,
            "a note that a patch makes a request",
            [json_patch(json!([
                {"op": "add", "path": "/metadata/annotations", "value": {"note": "promote {v2}"}},
                {"op": "copy", "from": "/metadata/annotations/note", "path": "/metadata/annotations/greenlight.dev~1request"},
            ]))],
        ),
        Attack::refused(Tenant, "abort", [request("abort {v2}")]),
        Attack::refused(Nobody, "abort", [request("abort {v2}")]),
        Attack::refused(Tenant, "promote", [request("promote")]),
        Attack::refused(Nobody, "promote", [request("promote")]),
    ]
}

/// Requests that somebody may make, of what they are not for; and those that come with something else.
fn out_of_turn() -> Vec<Attack> {
    let among_annotations =
        || json_patch(json!([{"op": "add", "path": "/metadata/annotations", "value": {REQUEST: "promote {v2}"}}]));
    let scaled = || step(How::Merge, "bluegreenrollouts/{name}/scale", json!({"spec": {"replicas": 0}}));
    let measured = json!({"strategy": {"blueGreen": {"autoPromotionEnabled": true, "prePromotionAnalysis": {"templates": [{"templateName": "endless"}]}}}});
    vec![
        Attack::refused(Editor, "all annotations anew, with a promote among them", [among_annotations()]),
        Attack::refused(OnCall, "all annotations anew, with a promote among them", [among_annotations()]),
        Attack::refused(OnCall, "retry", [request("retry {v2}")]),
        Attack::refused(OnCall, "the scale by its sub-resource", [scaled()]),
        Attack::refused(Promoter, "the scale by its sub-resource", [scaled()]),
        Attack::refused(
            Editor,
            "a request that is made together with a rollout of a generated name",
            [step(How::Create, "bluegreenrollouts", {
                let mut object = without_services("", EVIL);
                object["metadata"] = json!({"generateName": "{name}-", "annotations": {REQUEST: "promote"}});
                object
            })],
        ),
        Attack::refused(Promoter, "a run deleted", [step(How::Delete, "analysisruns/{run}", Value::Null)]).on(measured),
        Attack::refused(Promoter, "an open gate", [blue_green(json!({"autoPromotionEnabled": true}))]),
        Attack::refused(Promoter, "a pause", [spec(json!({"paused": true}))]),
        Attack::refused(Promoter, "no finalizers", [metadata_of(json!({"finalizers": null}))]),
        Attack::refused(Promoter, "a label", [metadata_of(json!({"labels": {"tier": "evil"}}))]),
        Attack::refused(Promoter, "deleting what serves", [step(How::Delete, ROLLOUT, Value::Null)]),
        Attack::refused(
            Promoter,
            "a rollout of their own",
            [step(How::Create, "bluegreenrollouts", without_services("{name}-second", EVIL))],
        ),
        Attack::refused(OnCall, "a pause", [spec(json!({"paused": true}))]),
        Attack::refused(OnCall, "a label", [metadata_of(json!({"labels": {"tier": "evil"}}))]),
        Attack::refused(
            OnCall,
            "a rollout of their own",
            [step(How::Create, "bluegreenrollouts", without_services("{name}-second", EVIL))],
        ),
        Attack::holds(
            Promoter,
            "one person approves twice, by a verb without a name",
            [request("promote {v2}"), wait(), or(request("promote  {v2}")), wait()],
        )
        .on(json!({"strategy": {"blueGreen": {"requiredApprovals": 2}}})),
        Attack::moves(
            OnCall,
            "a promote of somebody else's that is taken away before it has an answer: it is carried out",
            [
                by(Promoter, request("promote {v2}")),
                or(metadata_of(json!({"annotations": {REQUEST: null}}))),
                wait(),
                wait(),
            ],
        ),
        Attack::holds(OnCall, "a rollback with nothing to go back to", [or(request("rollback")), wait()]),
        Attack::holds(OnCall, "a rollback of what waits", [or(request("rollback {v2}")), wait()]),
        Attack::holds(OnCall, "an abort of what serves", [or(request("abort {v1}")), wait()]),
        Attack::holds(
            OnCall,
            "what waits aborted, and then a rollback of what serves",
            [request("abort {v2}"), wait(), or(request("rollback {v1}")), wait()],
        ),
        Attack::holds(
            Promoter,
            "a promote of what is to come, and then its template",
            [or(request("promote {v3}")), wait(), by(Editor, template("app:v3")), wait()],
        ),
    ]
}

/// Requests that say one thing to the policy and another to the operator.
fn escapes() -> Vec<Attack> {
    vec![
        Attack::refused(
            Editor,
            "the verb in an escape",
            [request(r#"{"action":"\u0070romote","revision":"{v2}","by":"ed","at":"2026-01-01T00:00:00Z"}"#)],
        ),
        Attack::refused(
            Editor,
            "the key in an escape",
            [request(r#"{"\u0061ction":"promote","revision":"{v2}","by":"ed","at":"2026-01-01T00:00:00Z"}"#)],
        ),
        Attack::holds(
            OnCall,
            "two actions, the first harmless",
            [request(
                r#"{"action":"restart","action":"promote","revision":"{v2}","by":"olga","at":"2026-01-01T00:00:00Z"}"#,
            )],
        ),
        Attack::holds(
            OnCall,
            "two actions, the second in an escape",
            [request(
                r#"{"action":"restart","\u0061ction":"promote","revision":"{v2}","by":"olga","at":"2026-01-01T00:00:00Z"}"#,
            )],
        ),
        Attack::holds(
            OnCall,
            "a harmless action within another object",
            [request(
                r#"{"x":{"action":"restart"},"\u0061ction":"promote","revision":"{v2}","by":"olga","at":"2026-01-01T00:00:00Z"}"#,
            )],
        ),
        Attack::refused(
            OnCall,
            "a harmless action within a text",
            [request(
                r#"{"revision":"{v2}","to":"x\"action\":\"restart","\u0061ction":"promote","by":"olga","at":"2026-01-01T00:00:00Z"}"#,
            )],
        ),
        Attack::refused(
            OnCall,
            "the verb as a map",
            [request(r#"{"action":{"promote":null},"revision":"{v2}","by":"olga","at":"2026-01-01T00:00:00Z"}"#)],
        ),
        Attack::refused(Editor, "a line break before the verb", [request("\npromote")]),
        Attack::refused(Editor, "a space that is not one", [request("\u{a0}promote")]),
        Attack::refused(Editor, "a tab after the verb", [request("promote\t{v2}")]),
        Attack::refused(Editor, "a vertical tab between", [request("restart\u{b}promote")]),
        Attack::refused(Editor, "a zero-width space in the verb", [request("pro\u{200b}mote")]),
        Attack::refused(OnCall, "a restart with a vertical tab and more", [request("restart\u{b}promote")]),
        Attack::refused(Editor, "a request in capitals", [request("PROMOTE")]),
        Attack::refused(Editor, "a request of two kilobytes", [request(&format!("promote {}", "x".repeat(2000)))]),
        Attack::refused(Promoter, "a request of two kilobytes", [request(&format!("promote {}", "x".repeat(2000)))]),
        Attack::refused(
            Promoter,
            "a request of two kilobytes in few characters",
            [request(&format!("promote {}", "\u{20ac}".repeat(700)))],
        )
        .told("at most 1024 bytes"),
        Attack::refused(
            Promoter,
            "another's name within a text",
            [request(
                r#"{"action":"promote","revision":"{v2}","to":"\"by\":\"paula\"","by":"adam","at":"2026-01-01T00:00:00Z"}"#,
            )],
        ),
        Attack::refused(
            Promoter,
            "one's own name in an escape",
            [request(r#"{"action":"promote","revision":"{v2}","by":"pa\u0075la","at":"2026-01-01T00:00:00Z"}"#)],
        ),
        Attack::refused(
            Promoter,
            "nobody's name",
            [request(r#"{"action":"promote","revision":"{v2}","by":"","at":"2026-01-01T00:00:00Z"}"#)],
        ),
        Attack::refused(
            Promoter,
            "no name",
            [request(r#"{"action":"promote","revision":"{v2}","at":"2026-01-01T00:00:00Z"}"#)],
        ),
        Attack::refused(
            OnCall,
            "a signed verb with a capital",
            [request(r#"{"action":"Restart","revision":"{v1}","by":"olga","at":"2026-01-01T00:00:00Z"}"#)],
        ),
        Attack::holds(
            Promoter,
            "two signatures",
            [or(request(
                r#"{"action":"promote","revision":"{v2}","by":"paula","by":"adam","at":"2026-01-01T00:00:00Z"}"#,
            ))],
        ),
        Attack::holds(
            Promoter,
            "a signature within another object",
            [or(request(
                r#"{"x":{"by":"paula"},"action":"promote","revision":"{v2}","\u0062y":"adam","at":"2026-01-01T00:00:00Z"}"#,
            ))],
        ),
        Attack::refused(
            Editor,
            "a request under the key with another case",
            [metadata_of(json!({"annotations": {"greenlight.dev/Request": "promote"}}))],
        ),
    ]
}

/// Deleting it, to make it anew without a gate.
fn deletion() -> Vec<Attack> {
    let deleted = || step(How::Delete, ROLLOUT, Value::Null);
    let by_itself = |more: Value| {
        let mut spec = json!({"strategy": {"blueGreen": {"autoPromotionEnabled": true}}});
        greenlight_e2e::merge(&mut spec, &more);
        spec
    };
    let timer = json!({"strategy": {"blueGreen": {"autoPromotionSeconds": 3600}}});
    let measured =
        json!({"strategy": {"blueGreen": {"prePromotionAnalysis": {"templates": [{"templateName": "endless"}]}}}});
    vec![
        Attack::refused(Editor, "deleting what serves, where a timer promotes", [deleted()]).on(by_itself(timer)),
        Attack::refused(Editor, "deleting what serves, where an analysis does", [deleted()]).on(by_itself(measured)),
        Attack::refused(Editor, "deleting what serves, while it is paused", [deleted()])
            .on(by_itself(json!({"paused": true}))),
        Attack::refused(Editor, "deleting what serves", [deleted()]),
        Attack::refused(
            Edit,
            "deleting what serves, leaving its pods",
            [step(How::Delete, "bluegreenrollouts/{name}?propagationPolicy=Orphan", Value::Null)],
        ),
        Attack::refused(OnCall, "deleting what serves", [step(How::Delete, ROLLOUT, Value::Null)]),
        Attack::refused(
            Editor,
            "deleting all of this name",
            [step(How::Delete, "bluegreenrollouts?fieldSelector=metadata.name%3D{name}", Value::Null)],
        ),
        Attack::refused(
            Edit,
            "deleting all of this name",
            [step(How::Delete, "bluegreenrollouts?fieldSelector=metadata.name%3D{name}", Value::Null)],
        ),
        Attack::refused(
            Editor,
            "deleting and making anew without a gate",
            [
                step(How::Delete, ROLLOUT, Value::Null),
                step(How::Create, "bluegreenrollouts", second("{name}", EVIL, json!({"autoPromotionEnabled": true}))),
            ],
        ),
        Attack::refused(
            Editor,
            "making it anew under its name",
            [step(How::Create, "bluegreenrollouts", second("{name}", EVIL, json!({})))],
        ),
        Attack::refused(Tenant, "deleting what serves", [step(How::Delete, ROLLOUT, Value::Null)]),
    ]
}

/// Having the operator do what they may not.
fn deputies() -> Vec<Attack> {
    vec![
        Attack::refused(
            Editor,
            "a second rollout that waits for the Service",
            [step(
                How::Create,
                "bluegreenrollouts",
                second("{name}-second", EVIL, json!({"autoPromotionEnabled": true})),
            )],
        ),
        Attack::refused(
            Editor,
            "a second rollout with a generated name",
            [step(How::Create, "bluegreenrollouts", generated(EVIL))],
        ),
        Attack::refused(
            Editor,
            "a second rollout by server-side apply",
            [step(
                How::Apply,
                "bluegreenrollouts/{name}-second",
                second("{name}-second", EVIL, json!({"autoPromotionEnabled": true})),
            )],
        ),
        Attack::refused(
            Editor,
            "a second rollout that shows its own in preview at the Service",
            [step(
                How::Create,
                "bluegreenrollouts",
                second("{name}-second", EVIL, json!({"activeService": null, "previewService": "{name}-active"})),
            )],
        ),
        Attack::refused(
            Editor,
            "a second rollout with the Service as an additional one",
            [step(
                How::Create,
                "bluegreenrollouts",
                second(
                    "{name}-second",
                    EVIL,
                    json!({"activeService": "other", "additionalActiveServices": ["{name}-active"]}),
                ),
            )],
        ),
        Attack::refused(
            Edit,
            "a second rollout that waits for the Service, and the first deleted",
            [
                step(
                    How::Create,
                    "bluegreenrollouts",
                    second("{name}-second", EVIL, json!({"autoPromotionEnabled": true})),
                ),
                step(How::Delete, ROLLOUT, Value::Null),
            ],
        ),
        Attack::holds(
            Edit,
            "a second rollout that waits for the Service",
            [step(
                How::Create,
                "bluegreenrollouts",
                second("{name}-second", EVIL, json!({"autoPromotionEnabled": true})),
            )],
        ),
        Attack::refused(
            Editor,
            "a rollout that takes over a Deployment of others",
            [step(How::Create, "bluegreenrollouts", of_workload())],
        )
        .told("may not patch Deployment others"),
        Attack::refused(
            Editor,
            "a rollout of theirs that waits for nobody, and then names the Service",
            [
                step(How::Create, "bluegreenrollouts", without_services("{name}-second", "app:v2")),
                step(
                    How::Merge,
                    "bluegreenrollouts/{name}-second",
                    json!({"spec": {"strategy": {"blueGreen": {"activeService": "{name}-active"}}}}),
                ),
            ],
        )
        .told("may not patch Service"),
        Attack::refused(
            Editor,
            "a rollout of theirs that waits for nobody, and then shows its own in preview at the Service",
            [
                step(How::Create, "bluegreenrollouts", without_services("{name}-second", "app:v2")),
                step(
                    How::Merge,
                    "bluegreenrollouts/{name}-second",
                    json!({"spec": {"strategy": {"blueGreen": {"previewService": "{name}-active"}}}}),
                ),
            ],
        )
        .told("may not patch Service"),
        Attack::refused(
            Editor,
            "a rollout of theirs that waits for nobody, and then takes over a Deployment of others",
            [
                step(How::Create, "bluegreenrollouts", without_services("{name}-second", "app:v2")),
                step(
                    How::Json,
                    "bluegreenrollouts/{name}-second",
                    json!([{"op": "remove", "path": "/spec/template"}, {"op": "add", "path": "/spec/workloadRef", "value": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "others"}}]),
                ),
            ],
        )
        .told("may not patch Deployment others"),
        Attack::refused(
            Editor,
            "the template of a Deployment of others",
            [step(
                How::Json,
                ROLLOUT,
                json!([{"op": "remove", "path": "/spec/template"}, {"op": "add", "path": "/spec/workloadRef", "value": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "others"}}]),
            )],
        ),
        Attack::holds(
            Editor,
            "a rollout of the name of one that left its Service behind, and names none",
            [
                by(Admin, step(How::Delete, "bluegreenrollouts/{name}?propagationPolicy=Orphan", Value::Null)),
                wait(),
                wait(),
                step(How::Create, "bluegreenrollouts", without_services("{name}", "app:v2")),
                wait(),
                template("app:v3"),
                wait(),
            ],
        ),
        Attack::refused(
            Editor,
            "a request that is made together with a rollout",
            [step(How::Create, "bluegreenrollouts", {
                let mut object = without_services("{name}-second", EVIL);
                object["metadata"]["annotations"] = json!({REQUEST: "promote"});
                object
            })],
        ),
        Attack::holds(
            Editor,
            "a rollout that is made with a forged status",
            [step(How::Create, "bluegreenrollouts", {
                let mut object = without_services("{name}-second", EVIL);
                object["status"] = json!({"decisions": {"serving": "{v1}", "activeServices": ["{name}-active"]}});
                object
            })],
        ),
        Attack::refused(Tenant, "the active Service patched", [select("{v2}")]),
        Attack::refused(Editor, "the active Service patched", [select("{v2}")]),
        Attack::refused(Promoter, "the active Service patched", [select("{v2}")]),
    ]
}

/// ReplicaSets, which Kubernetes' `edit` may write.
fn replica_sets() -> Vec<Attack> {
    let annotate = |hash: &str, annotations: Value| {
        step(How::Merge, &format!("replicasets/{{name}}-{hash}"), json!({"metadata": {"annotations": annotations}}))
    };
    let approvals =
        r#"[{"by":"paula","at":"2026-01-01T00:00:00Z"},{"by":"adam","at":"2026-01-01T00:00:00Z","full":true}]"#;
    vec![
        Attack::holds(Edit, "annotated as returned", [annotate("{v2}", json!({"greenlight.dev/returned": "true"}))]),
        Attack::holds(Edit, "forged approvals", [annotate("{v2}", json!({"greenlight.dev/approvals": approvals}))]),
        Attack::holds(
            Edit,
            "a forged promoted-at",
            [annotate("{v2}", json!({"greenlight.dev/promoted-at": "2026-11-27T00:00:00Z"}))],
        ),
        Attack::holds(
            Edit,
            "a forged promoted-at in the year 9000",
            [annotate(
                "{v2}",
                json!({"greenlight.dev/promoted-at": "9000-01-01T00:00:00Z", "greenlight.dev/confirmed-at": "9000-01-01T00:00:00Z"}),
            )],
        ),
        Attack::holds(
            Edit,
            "a forged preview-ready-at, with a timer",
            [annotate("{v2}", json!({"greenlight.dev/preview-ready-at": "2020-01-01T00:00:00Z"}))],
        )
        .on(json!({"strategy": {"blueGreen": {"autoPromotionSeconds": 3600}}})),
        Attack::holds(
            Edit,
            "what serves marked as rejected",
            [annotate(
                "{v1}",
                json!({"greenlight.dev/rejected": r#"{"by":"bill","at":"2026-01-01T00:00:00Z","reason":"x","to":"{v2}"}"#}),
            )],
        ),
        Attack::moves(
            Edit,
            "what waits marked as rejected in the operator's name: it is promoted all the same",
            [
                annotate(
                    "{v2}",
                    json!({"greenlight.dev/rejected": r#"{"by":"greenlight","at":"2026-01-01T00:00:00Z","reason":"aborted by adam"}"#}),
                ),
                by(Promoter, request("promote {v2}")),
                wait(),
                wait(),
            ],
        ),
        Attack::holds(
            Edit,
            "the revision numbers exchanged",
            [
                annotate("{v1}", json!({"greenlight.dev/revision": "9"})),
                annotate("{v2}", json!({"greenlight.dev/revision": "-1"})),
            ],
        ),
        Attack::holds(
            Edit,
            "the largest revision number there is",
            [annotate("{v2}", json!({"greenlight.dev/revision": "9223372036854775807"}))],
        ),
        Attack::holds(
            Edit,
            "what serves due to be scaled down",
            [annotate(
                "{v1}",
                json!({"greenlight.dev/scale-down-at": "2020-01-01T00:00:00Z", "greenlight.dev/retired-replicas": "0"}),
            )],
        ),
        Attack::holds(
            Edit,
            "the digests exchanged",
            [
                annotate("{v1}", json!({"greenlight.dev/template-digest": "{digest3}"})),
                annotate("{v2}", json!({"greenlight.dev/template-digest": "x"})),
            ],
        ),
        Attack::holds(
            Edit,
            "annotations that are no JSON, no time and no number",
            [annotate(
                "{v2}",
                json!({"greenlight.dev/rejected": "{{{", "greenlight.dev/revision": "many", "greenlight.dev/role-metadata": "[", "greenlight.dev/scaled-at": "now"}),
            )],
        ),
        Attack::holds(
            Edit,
            "a forged ReplicaSet for the next template, made beforehand",
            [step(How::Create, "replicasets", replica_set("{name}-{v3}", "{v3}")), template("app:v3")],
        )
        .told("somebody else made it"),
        Attack::holds(
            Edit,
            "a forged ReplicaSet in the place of the candidate's",
            [
                step(How::Delete, "replicasets/{name}-{v2}", Value::Null),
                or(step(How::Create, "replicasets", replica_set("{name}-{v2}", "{v2}"))),
            ],
        ),
        Attack::holds(
            Edit,
            "the candidate's ReplicaSet deleted",
            [step(How::Delete, "replicasets/{name}-{v2}", Value::Null)],
        ),
        Attack::holds(
            Edit,
            "all ReplicaSets at once",
            [step(How::Delete, "replicasets?labelSelector=app%3D{name}", Value::Null), wait()],
        )
        .may_empty(),
        Attack::holds(
            Edit,
            "what serves deleted in the foreground",
            [step(How::Delete, "replicasets/{name}-{v1}?propagationPolicy=Foreground", Value::Null), wait()],
        )
        .may_empty(),
        Attack::holds(
            Edit,
            "pods that count as available after a day, by the ReplicaSet that serves",
            [step(How::Merge, "replicasets/{name}-{v1}", json!({"spec": {"minReadySeconds": 86400}})), wait()],
        ),
        Attack::holds(
            Edit,
            "the preview Service deleted, and the template again",
            [step(How::Delete, "services/{name}-preview", Value::Null), template("app:v3"), wait()],
        ),
        Attack::holds(
            Edit,
            "a ReplicaSet of another owner under the name of the next",
            [step(How::Create, "replicasets", of_nobody("{name}-{v3}", "{v3}")), template("app:v3")],
        )
        .told("belongs to nobody"),
        Attack::holds(
            Edit,
            "a forged ReplicaSet of a generated name, which nobody promotes",
            [
                step(How::Create, "replicasets", {
                    let mut forged = replica_set("", "{v2}");
                    forged["metadata"]["name"] = Value::Null;
                    forged["metadata"]["generateName"] = "{name}-".into();
                    forged
                }),
                wait(),
            ],
        ),
        Attack::holds(
            Edit,
            "a ReplicaSet of theirs whose pods have the hash of what waits, which nobody promotes",
            [step(How::Create, "replicasets", of_nobody("{name}-theirs", "{v2}")), wait()],
        ),
        Attack::holds(
            Edit,
            "a Deployment of theirs whose pods have the hash of what waits, which nobody promotes",
            [
                step(
                    How::Create,
                    "deployments",
                    deployment(json!({"app": "{name}", "of": "theirs", "rollouts-pod-template-hash": "{v2}"})),
                ),
                wait(),
            ],
        ),
        Attack::holds(
            Edit,
            "what serves given to nobody, and at once a Deployment of theirs that takes such",
            [
                step(How::Merge, "replicasets/{name}-{v1}", json!({"metadata": {"ownerReferences": null}})),
                step(How::Create, "deployments", deployment(json!({"app": "{name}"}))),
                wait(),
            ],
        )
        .may_empty(),
        Attack::holds(
            Edit,
            "a pod that serves without its hash",
            [
                step(How::Merge, "pods/{pod1}", json!({"metadata": {"labels": {"rollouts-pod-template-hash": null}}})),
                wait(),
            ],
        )
        .may_empty(),
        Attack::holds(
            Edit,
            "a pod that serves with the hash of what waits",
            [
                step(
                    How::Merge,
                    "pods/{pod1}",
                    json!({"metadata": {"labels": {"rollouts-pod-template-hash": "{v2}"}}}),
                ),
                wait(),
            ],
        )
        .may_empty(),
        Attack::refused(
            Edit,
            "another selector of the ReplicaSet that waits",
            [step(
                How::Merge,
                "replicasets/{name}-{v2}",
                json!({"spec": {"selector": {"matchLabels": {"rollouts-pod-template-hash": "{v1}"}}}}),
            )],
        )
        .told("field is immutable"),
        Attack::refused(
            Editor,
            "annotated as returned",
            [annotate("{v2}", json!({"greenlight.dev/returned": "true"}))],
        ),
        Attack::refused(
            Promoter,
            "annotated as returned",
            [annotate("{v2}", json!({"greenlight.dev/returned": "true"}))],
        ),
        Attack::refused(OnCall, "what waits deleted", [step(How::Delete, "replicasets/{name}-{v2}", Value::Null)]),
        Attack::refused(Editor, "what serves deleted", [step(How::Delete, "replicasets/{name}-{v1}", Value::Null)]),
        Attack::refused(Promoter, "what serves deleted", [step(How::Delete, "replicasets/{name}-{v1}", Value::Null)]),
    ]
}

/// Analyses.
fn analyses() -> Vec<Attack> {
    let measured = || json!({"strategy": {"blueGreen": {"autoPromotionEnabled": true, "prePromotionAnalysis": {"templates": [{"templateName": "endless"}]}}}});
    let run = "analysisruns/{run}";
    let good = || json!({"metrics": [{"name": "good", "successCondition": "true", "failureLimit": 1000, "count": 0, "provider": {"web": {"url": "http://127.0.0.1:1/"}}}]});
    let forged = |name: &str, spec: Value| {
        step(
            How::Create,
            "analysisruns",
            json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "metadata": {"name": name, "annotations": {"greenlight.dev/rollout": "{name}"}}, "spec": spec}),
        )
    };
    // The run of a new revision has its number and 1: it is recorded together with the change of the template, which begins an attempt.
    let terminated = |terminate: bool| step(How::Merge, run, json!({"spec": {"terminate": terminate}}));
    let unowned = |name: &str| json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "metadata": {"name": name}, "spec": {"metrics": []}});
    let template_of_all = || json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "ClusterAnalysisTemplate", "metadata": {"name": "{name}-theirs"}, "spec": {"metrics": []}});
    vec![
        Attack::refused(Editor, "the analysis taken away", [blue_green(json!({"prePromotionAnalysis": null}))])
            .on(measured()),
        Attack::refused(
            Editor,
            "another analysis",
            [blue_green(json!({"prePromotionAnalysis": {"templates": [{"templateName": "other"}]}}))],
        )
        .on(measured()),
        Attack::holds(Editor, "a run terminated", [step(How::Merge, run, json!({"spec": {"terminate": true}}))])
            .on(measured())
            .told("its analysis came to no conclusion"),
        Attack::holds(
            Editor,
            "a run terminated, and that taken back when it was over",
            [terminated(true), wait(), terminated(false)],
        )
        .on(measured()),
        Attack::holds(
            Editor,
            "a run whose metrics were only reported until it was over",
            [
                step(How::Merge, run, json!({"spec": {"dryRun": [{"metricName": ".*"}], "terminate": true}})),
                wait(),
                step(How::Merge, run, json!({"spec": {"dryRun": null, "terminate": null}})),
            ],
        )
        .on(measured()),
        Attack::holds(
            Editor,
            "a run made beforehand, which is over when it gets what is to be measured",
            [
                step(How::Create, "analysisruns", unowned("{name}-{v3}-3-1-pre")),
                wait(),
                step(How::Merge, "analysisruns/{name}-{v3}-3-1-pre", json!({"spec": endless()})),
                template("app:v3"),
            ],
        )
        .on(measured())
        .told("somebody else"),
        Attack::holds(
            Editor,
            "a run with no metrics any more",
            [step(How::Merge, run, json!({"spec": {"metrics": []}}))],
        )
        .on(measured())
        .told("somebody else made it, or has edited it"),
        Attack::holds(
            Editor,
            "a run with metrics that are done at once",
            [step(How::Merge, run, json!({"spec": good()}))],
        )
        .on(measured()),
        Attack::holds(
            Editor,
            "a run whose metrics are only reported",
            [step(How::Merge, run, json!({"spec": {"dryRun": [{"metricName": ".*"}], "terminate": true}}))],
        )
        .on(measured()),
        Attack::refused(
            Edit,
            "a forged status of a run",
            [step(How::Merge, "analysisruns/{run}/status", json!({"status": {"phase": "Successful"}}))],
        )
        .on(measured()),
        Attack::holds(
            Editor,
            "a forged status of a run, by the main resource",
            [step(How::Merge, run, json!({"status": {"phase": "Successful", "specDigest": "x"}})), wait()],
        )
        .on(measured()),
        Attack::holds(
            Editor,
            "a run deleted and made anew, with no metrics",
            [step(How::Delete, run, Value::Null), or(forged("{run}", json!({"metrics": []})))],
        )
        .on(measured()),
        Attack::holds(
            Editor,
            "a run made beforehand for the next template",
            [forged("{name}-{v3}-3-1-pre", good()), template("app:v3")],
        )
        .on(measured())
        .told("somebody else made it"),
        Attack::holds(
            Editor,
            "a run with no metrics made beforehand",
            [forged("{name}-{v3}-3-1-pre", json!({"metrics": []})), template("app:v3")],
        )
        .on(measured())
        .told("somebody else made it"),
        Attack::holds(
            Editor,
            "a run with no metrics, by force in the operator's name",
            [
                step(
                    How::Apply,
                    "analysisruns/{run}?fieldManager=greenlight",
                    json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "metadata": {"name": "{run}"}, "spec": {"metrics": []}}),
                ),
                wait(),
            ],
        )
        .on(measured()),
        Attack::holds(
            Editor,
            "a run replaced by one with metrics that are done at once",
            [step(How::Replace, run, json!({"spec": good()})), wait()],
        )
        .on(measured()),
        Attack::holds(
            Editor,
            "the template of a run that is under way, with metrics that are done at once",
            [step(How::Merge, "analysistemplates/edited", json!({"spec": good()})), wait()],
        )
        .on(json!({"strategy": {"blueGreen": {"autoPromotionEnabled": true, "prePromotionAnalysis": {"templates": [{"templateName": "edited"}]}}}})),
        Attack::holds(
            Editor,
            "a run with other arguments",
            [step(How::Merge, run, json!({"spec": {"args": [{"name": "x", "value": "y"}]}})), wait()],
        )
        .on(measured()),
        Attack::holds(
            Edit,
            "who wrote the fields of a run, nested so that nobody can read it",
            [step(How::Merge, run, json!({"metadata": nested("greenlight.dev/v1alpha1")})), wait()],
        )
        .on(measured()),
        Attack::refused(OnCall, "a run terminated", [terminated(true)]).on(measured()),
        Attack::refused(Promoter, "a run terminated", [terminated(true)]).on(measured()),
        Attack::refused(Viewer, "a run terminated", [terminated(true)]).on(measured()),
        Attack::refused(OnCall, "a run made beforehand", [forged("{name}-{v3}-3-1-pre", good())]).on(measured()),
        Attack::refused(
            Editor,
            "a forged status of a run",
            [step(How::Merge, "analysisruns/{run}/status", json!({"status": {"phase": "Successful"}}))],
        )
        .on(measured()),
        Attack::refused(
            Admin,
            "a forged status of a run",
            [step(How::Merge, "analysisruns/{run}/status", json!({"status": {"phase": "Successful"}}))],
        )
        .on(measured()),
        Attack::refused(
            Edit,
            "a ClusterAnalysisTemplate of theirs",
            [step(How::Create, "clusteranalysistemplates?dryRun=All", template_of_all())],
        ),
        Attack::refused(
            Admin,
            "a ClusterAnalysisTemplate of theirs",
            [step(How::Create, "clusteranalysistemplates?dryRun=All", template_of_all())],
        ),
        Attack::holds(Editor, "a run of no such rollout", [forged("{name}-nothing-1-0-pre", json!({"metrics": []}))])
            .on(measured()),
    ]
}

/// Sub-resources, and requests that only pretend.
fn sub_resources() -> Vec<Attack> {
    let scale = |hash: &str, replicas: i32| {
        step(How::Merge, &format!("replicasets/{{name}}-{hash}/scale"), json!({"spec": {"replicas": replicas}}))
    };
    let debugger = || {
        let container = json!({"name": "debugger", "image": EVIL, "targetContainerName": "web"});
        step(How::Strategic, "pods/{pod1}/ephemeralcontainers", json!({"spec": {"ephemeralContainers": [container]}}))
    };
    let status = || json!({"status": {"activeRevision": "{v2}", "phase": "Healthy", "decisions": {"serving": "{v2}"}}});
    vec![
        Attack::holds(Edit, "the candidate scaled by its sub-resource", [scale("{v2}", 3)]),
        Attack::holds(Edit, "what serves scaled to none by its sub-resource", [scale("{v1}", 0)]).may_empty(),
        Attack::refused(Editor, "what serves scaled to none by its sub-resource", [scale("{v1}", 0)]),
        Attack::refused(Editor, "a container of theirs in a pod that serves", [debugger()]),
        Attack::refused(Promoter, "a container of theirs in a pod that serves", [debugger()]),
        Attack::refused(OnCall, "a container of theirs in a pod that serves", [debugger()]),
        Attack::refused(Edit, "a container of theirs in a pod that serves", [debugger()]),
        Attack::refused(Admin, "a container of theirs in a pod that serves", [debugger()]),
        Attack::refused(
            Edit,
            "a forged status of a pod that serves",
            [step(How::Merge, "pods/{pod1}/status", json!({"status": {"phase": "Failed"}}))],
        ),
        Attack::refused(
            Edit,
            "a forged status of the active Service",
            [step(How::Merge, "services/{name}-active/status", json!({"status": {"loadBalancer": {}}}))],
        ),
        Attack::refused(
            Edit,
            "less memory for a pod that serves",
            [step(
                How::Strategic,
                "pods/{pod1}/resize",
                json!({"spec": {"containers": [{"name": "web", "resources": {"limits": {"memory": "1Mi"}}}]}}),
            )],
        ),
        Attack::refused(OnCall, "what serves scaled to none by its sub-resource", [scale("{v1}", 0)]),
        Attack::refused(Promoter, "what serves scaled to none by its sub-resource", [scale("{v1}", 0)]),
        Attack::refused(
            Editor,
            "a request to a pod that serves, by the API server's proxy",
            [step(How::Create, "pods/{pod1}/proxy", Value::Null)],
        ),
        Attack::refused(
            Promoter,
            "a request to the active Service, by the API server's proxy",
            [step(How::Create, "services/{name}-active/proxy", Value::Null)],
        ),
        Attack::refused(OnCall, "a forged status", [step(How::Merge, "bluegreenrollouts/{name}/status", status())]),
        Attack::refused(Promoter, "a forged status", [step(How::Replace, "bluegreenrollouts/{name}/status", status())]),
        Attack::refused(Tenant, "a forged status", [step(How::Merge, "bluegreenrollouts/{name}/status", status())]),
        Attack::refused(
            Editor,
            "a dry run of a second rollout that waits for the Service",
            [step(How::Create, "bluegreenrollouts?dryRun=All", second("{name}-second", EVIL, json!({})))],
        ),
        Attack::refused(
            Editor,
            "a dry run of deleting what serves",
            [step(How::Delete, "bluegreenrollouts/{name}?dryRun=All", Value::Null)],
        ),
        Attack::holds(
            Edit,
            "a dry run of a forged ReplicaSet, and then the template",
            [step(How::Create, "replicasets?dryRun=All", replica_set("{name}-{v3}", "{v3}")), template("app:v3")],
        ),
    ]
}

/// Pods. Whoever may take them away takes production away, as in any cluster; it goes nowhere else.
fn pods() -> Vec<Attack> {
    let of = |hash: &str| {
        let selector = format!("labelSelector=app%3D{{name}},rollouts-pod-template-hash%3D{hash}");
        step(How::Delete, &format!("pods?{selector}"), Value::Null)
    };
    let command = || step(How::Create, "pods/{pod1}/exec?command=sh", Value::Null);
    let evicted = || {
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "{pod1}"}});
        step(How::Create, "pods/{pod1}/eviction", eviction)
    };
    let autoscaler = || {
        let target = json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "{name}"});
        let body = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "{name}"}, "spec": {"maxReplicas": 9, "scaleTargetRef": target}});
        step(How::Create, "horizontalpodautoscalers", body)
    };
    vec![
        Attack::refused(Editor, "a command in a pod that serves", [command()]),
        Attack::refused(Promoter, "a command in a pod that serves", [command()]),
        Attack::refused(Editor, "a pod that serves evicted", [evicted()]),
        Attack::refused(OnCall, "a pod that serves evicted", [evicted()]),
        Attack::refused(Promoter, "a pod that serves evicted", [evicted()]),
        Attack::refused(Editor, "the pods that serve deleted", [of("{v1}")]),
        Attack::refused(OnCall, "the pods that serve deleted", [of("{v1}")]),
        Attack::refused(Tenant, "the pods that serve deleted", [of("{v1}")]),
        Attack::refused(
            Editor,
            "a pod that serves without its hash",
            [step(How::Merge, "pods/{pod1}", json!({"metadata": {"labels": {"rollouts-pod-template-hash": null}}}))],
        ),
        Attack::refused(Promoter, "the pods that serve deleted", [of("{v1}")]),
        Attack::refused(OnCall, "a command in a pod that serves", [command()]),
        Attack::refused(Promoter, "an autoscaler for the rollout", [autoscaler()]),
        Attack::holds(Edit, "an autoscaler for the rollout", [autoscaler(), wait()]),
        Attack::holds(Edit, "a pod that serves evicted", [evicted(), wait()]).may_empty(),
        Attack::holds(Edit, "the pods that serve deleted", [of("{v1}"), wait()]).may_empty(),
        Attack::holds(
            Edit,
            "the pods that wait deleted, and the template again",
            [of("{v2}"), template("app:v2"), wait()],
        ),
    ]
}

/// Server-side apply in the operator's name, and patches that look before they leap.
fn field_managers() -> Vec<Attack> {
    let mine = |path: &str, body: Value| step(How::Apply, &format!("{path}?fieldManager=greenlight"), body);
    let rollout = |more: Value| {
        let mut object = json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "metadata": {"name": "{name}"}});
        greenlight_e2e::merge(&mut object, &more);
        object
    };
    let annotated = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "{name}-{v2}", "annotations": {"greenlight.dev/returned": "true", "greenlight.dev/promoted-at": "2026-01-01T00:00:00Z"}},
    });
    vec![
        Attack::refused(
            Editor,
            "an open gate, applied in the operator's name",
            [mine(
                ROLLOUT,
                rollout(json!({"spec": {
                    "selector": {"matchLabels": {"app": "{name}"}},
                    "strategy": {"blueGreen": {"autoPromotionEnabled": true}},
                }})),
            )],
        ),
        Attack::refused(
            Admin,
            "a status, applied in the operator's name",
            [mine("bluegreenrollouts/{name}/status", rollout(json!({"status": {"decisions": {"serving": "{v2}"}}})))],
        ),
        Attack::holds(
            Edit,
            "annotations of a ReplicaSet, applied in the operator's name",
            [mine("replicasets/{name}-{v2}", annotated)],
        ),
        Attack::holds(
            OnCall,
            "who wrote the fields of the rollout and its status, forgotten",
            [metadata_of(json!({"managedFields": [{}]}))],
        ),
        Attack::moves(
            OnCall,
            "who wrote the fields, nested so that nobody can read the rollout: it is promoted all the same",
            [
                metadata_of(nested("greenlight.dev/v1alpha1")),
                by(Promoter, request("promote {v2}")),
                wait(),
                wait(),
                // What is not done by now is too late.
                by(Admin, template("app:v3")),
                metadata_of(json!({"managedFields": [{}]})),
            ],
        ),
        Attack::moves(
            Edit,
            "who wrote the fields of what belongs to it, nested so that nobody can read that: it is promoted all the same",
            [
                or(step(How::Merge, "replicasets/{name}-{v1}", json!({"metadata": nested("apps/v1")}))),
                or(step(How::Merge, "replicasets/{name}-{v2}", json!({"metadata": nested("apps/v1")}))),
                or(step(How::Merge, "services/{name}-active", json!({"metadata": nested("v1")}))),
                or(step(How::Merge, "services/{name}-preview", json!({"metadata": nested("v1")}))),
                or(step(How::Merge, "pods/{pod1}", json!({"metadata": nested("v1")}))),
                by(Promoter, request("promote {v2}")),
                wait(),
                wait(),
            ],
        ),
        Attack::refused(
            Editor,
            "a gate that is null",
            [json_patch(
                json!([{"op": "replace", "path": "/spec/strategy/blueGreen/autoPromotionEnabled", "value": null}]),
            )],
        ),
        Attack::refused(
            Promoter,
            "a promote by an update of all of it",
            [step(How::Replace, ROLLOUT, json!({"metadata": {"annotations": {REQUEST: "promote {v2}"}}}))],
        ),
        Attack::refused(
            Editor,
            "an open gate by a patch that tests first",
            [json_patch(json!([
                {"op": "test", "path": "/spec/strategy/blueGreen/activeService", "value": "{name}-active"},
                {"op": "add", "path": "/spec/strategy/blueGreen/autoPromotionEnabled", "value": true},
            ]))],
        ),
        Attack::refused(
            Editor,
            "one Service moved over the other by a patch",
            [json_patch(
                json!([{"op": "move", "from": "/spec/strategy/blueGreen/previewService", "path": "/spec/strategy/blueGreen/activeService"}]),
            )],
        ),
        Attack::refused(
            Editor,
            "one Service copied over the other by a patch",
            [json_patch(
                json!([{"op": "copy", "from": "/spec/strategy/blueGreen/previewService", "path": "/spec/strategy/blueGreen/activeService"}]),
            )],
        )
        .told("must be another Service than activeService"),
        Attack::refused(
            Editor,
            "the gate replaced together with all of the strategy",
            [json_patch(
                json!([{"op": "replace", "path": "/spec/strategy", "value": {"blueGreen": {"activeService": "{name}-active"}}}]),
            )],
        ),
    ]
}

/// Unicode, escapes and odd names.
fn odd_words() -> Vec<Attack> {
    vec![
        Attack::refused(
            Editor,
            "full-width letters",
            [request("\u{ff50}\u{ff52}\u{ff4f}\u{ff4d}\u{ff4f}\u{ff54}\u{ff45}")],
        ),
        Attack::refused(OnCall, "a line separator between two verbs", [request("restart\u{2028}promote")]),
        Attack::refused(
            OnCall,
            "a byte order mark before a signed promote",
            [request(
                "\u{feff}{\"action\":\"promote\",\"revision\":\"{v2}\",\"by\":\"olga\",\"at\":\"2026-01-01T00:00:00Z\"}",
            )],
        ),
        Attack::refused(
            OnCall,
            "a line break before the colon of a promote",
            [request(
                "{\"action\"\n:\"promote\",\"revision\":\"{v2}\",\"by\":\"olga\",\"at\":\"2026-01-01T00:00:00Z\"}",
            )],
        ),
        Attack::holds(
            OnCall,
            "the same, with a harmless action further on",
            [or(request(
                "{\"action\"\n:\"promote\",\"revision\":\"{v2}\",\"by\":\"olga\",\"at\":\"2026-01-01T00:00:00Z\",\"x\":{\"action\":\"restart\"}}",
            ))],
        ),
        Attack::holds(
            OnCall,
            "a second document after a harmless one",
            [or(request(
                r#"{"action":"restart","revision":"{v1}","by":"olga","at":"2026-01-01T00:00:00Z"}{"action":"promote","revision":"{v2}","by":"olga","at":"2026-01-01T00:00:00Z"}"#,
            ))],
        ),
        Attack::holds(
            OnCall,
            "an abort that leads somewhere",
            [or(request(
                r#"{"action":"abort","revision":"{v2}","to":"{v2}","by":"olga","at":"2026-01-01T00:00:00Z"}"#,
            ))],
        )
        .told("leave to out"),
        Attack::holds(
            OnCall,
            "a rollback to what was never promoted",
            [or(request(
                r#"{"action":"rollback","revision":"{v1}","to":"{v2}","by":"olga","at":"2026-01-01T00:00:00Z"}"#,
            ))],
        ),
        Attack::refused(
            Admin,
            "a Service whose name is a path",
            [blue_green(json!({"activeService": "../services/{name}-preview"}))],
        )
        .told("spec.strategy.blueGreen.activeService in body should match"),
        Attack::refused(
            Admin,
            "a Service whose name has a query",
            [blue_green(json!({"previewService": "{name}-active?dryRun=All"}))],
        )
        .told("spec.strategy.blueGreen.previewService in body should match"),
    ]
}

/// Owners that do not exist, and finalizers of tenants.
fn owners_and_finalizers() -> Vec<Attack> {
    let of = |hash: &str, metadata: Value| {
        step(How::Merge, &format!("replicasets/{{name}}-{hash}"), json!({"metadata": metadata}))
    };
    let gone = || json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000", "blockOwnerDeletion": true});
    let held = || json!({"finalizers": ["tenant.example/held"]});
    let owned = |spec: Value| {
        let mut object = second("{name}-second", EVIL, json!({"activeService": null}));
        object["metadata"]["ownerReferences"] = json!([gone()]);
        greenlight_e2e::merge(&mut object["spec"], &spec);
        step(How::Create, "bluegreenrollouts", object)
    };
    vec![
        Attack::refused(Editor, "a finalizer of theirs on the rollout", [metadata_of(held())]),
        Attack::refused(
            Editor,
            "an owner that blocks, on the rollout",
            [metadata_of(json!({"ownerReferences": [gone()]}))],
        ),
        Attack::refused(
            Editor,
            "a rollout that waits for a person, made with an owner whose end is its own",
            [owned(json!({"strategy": {"blueGreen": {"autoPromotionEnabled": false}}}))],
        ),
        Attack::refused(
            Editor,
            "a rollout that waits for a timer, made with an owner whose end is its own",
            [owned(json!({"strategy": {"blueGreen": {"autoPromotionSeconds": 60}}}))],
        ),
        Attack::refused(
            Editor,
            "a rollout that waits for an analysis, made with an owner whose end is its own",
            [owned(
                json!({"strategy": {"blueGreen": {"prePromotionAnalysis": {"templates": [{"templateName": "endless"}]}}}}),
            )],
        ),
        Attack::refused(
            Editor,
            "a rollout that is paused, made with an owner whose end is its own",
            [owned(json!({"paused": true}))],
        ),
        Attack::holds(Edit, "a finalizer of theirs on what serves", [of("{v1}", held())]),
        Attack::holds(
            Edit,
            "a finalizer of theirs on what waits, which is deleted",
            [of("{v2}", held()), step(How::Delete, "replicasets/{name}-{v2}", Value::Null)],
        ),
        Attack::holds(
            Edit,
            "what waits given to an owner that does not exist",
            [of("{v2}", json!({"ownerReferences": [gone()]}))],
        ),
        Attack::holds(
            Edit,
            "what serves given to an owner that does not exist",
            [of("{v1}", json!({"ownerReferences": [gone()]}))],
        )
        .may_empty(),
        Attack::holds(Edit, "what serves given to nobody", [of("{v1}", json!({"ownerReferences": null}))]),
        Attack::holds(Edit, "what serves deleted", [step(How::Delete, "replicasets/{name}-{v1}", Value::Null)])
            .may_empty(),
        Attack::holds(
            Edit,
            "what serves deleted, leaving its pods",
            [step(How::Delete, "replicasets/{name}-{v1}?propagationPolicy=Orphan", Value::Null)],
        ),
        Attack::holds(
            Edit,
            "the scale-down finalizer on what serves, with a deadline that is over",
            [of(
                "{v1}",
                json!({"finalizers": ["greenlight.dev/scale-down-delay"], "annotations": {"greenlight.dev/scale-down-at": "2020-01-01T00:00:00Z"}}),
            )],
        ),
        Attack::holds(
            Edit,
            "the scale-down finalizer on what waits, with a deadline that is over",
            [
                of(
                    "{v2}",
                    json!({"finalizers": ["greenlight.dev/scale-down-delay"], "annotations": {"greenlight.dev/scale-down-at": "2020-01-01T00:00:00Z"}}),
                ),
                wait(),
            ],
        ),
    ]
}

/// Large objects, and many.
fn crowds() -> Vec<Attack> {
    let numbered = |kind: &str, number: usize, mut object: Value| {
        object["metadata"]["name"] = format!("{{name}}-crowd-{number}").into();
        step(How::Create, kind, object)
    };
    let run = |metrics: Vec<Value>| {
        json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun",
            "metadata": {"name": "{name}-large", "annotations": {"greenlight.dev/rollout": "{name}"}}, "spec": {"metrics": metrics},
        })
    };
    let metric = |number: usize, condition: String| json!({"name": format!("m{number}"), "successCondition": condition, "provider": {"web": {"url": "http://127.0.0.1:1/"}}});
    let sets = (0..40).map(|number| numbered("replicasets", number, replica_set("x", "{v2}")));
    let runs = (0..40).map(|number| numbered("analysisruns", number, run(vec![metric(0, "true".to_owned())])));
    vec![
        Attack::holds(Edit, "forty ReplicaSets that say that they are the candidate's", sets),
        Attack::holds(Editor, "forty AnalysisRuns that say that they are the rollout's", runs),
        Attack::holds(
            Editor,
            "a run of fifty metrics with the longest conditions",
            [step(How::Create, "analysisruns", {
                let mut object = run((0..50).map(|number| metric(number, "!".repeat(4095) + "x")).collect());
                // One that says that it is the rollout's is not begun by anybody.
                object["metadata"]["annotations"] = Value::Null;
                object
            })],
        ),
        Attack::refused(
            Editor,
            "a run of more metrics than there may be",
            [step(How::Create, "analysisruns", run((0..51).map(|number| metric(number, "true".to_owned())).collect()))],
        )
        .told("must have at most 50 items"),
        Attack::refused(
            Editor,
            "a run with more arguments than there may be",
            [step(How::Create, "analysisruns", {
                let mut object = run(vec![metric(0, "true".to_owned())]);
                object["spec"]["args"] =
                    (0..51).map(|number| json!({"name": format!("a{number}"), "value": "x"})).collect();
                object
            })],
        )
        .told("must have at most 50 items"),
        Attack::holds(
            Editor,
            "a template of two hundred kilobytes",
            [spec(json!({"template": {"metadata": {"annotations": {"note": "x".repeat(200_000)}}}}))],
        ),
        Attack::refused(
            Editor,
            "a rollout larger than etcd takes",
            [spec(json!({"template": {"spec": {"containers": [{"name": "web", "image": "x".repeat(3_200_000)}]}}}))],
        )
        .told("Request entity too large"),
    ]
}

/// Leases, EndpointSlices, marks of Services, Jobs.
fn side_doors() -> Vec<Attack> {
    let slice = || {
        let labels =
            json!({"kubernetes.io/service-name": "{name}-active", "endpointslice.kubernetes.io/managed-by": "me"});
        step(
            How::Create,
            "endpointslices",
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "{name}-by-hand", "labels": labels},
                "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": [{"addresses": ["192.0.2.7"]}],
            }),
        )
    };
    let lease = |namespace: &str, how: How, path: &str| {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "greenlight"},
            "spec": {"holderIdentity": "me", "leaseDurationSeconds": 86400},
        });
        step(how, &format!("{namespace}{path}"), lease)
    };
    let marks = |annotations: Value| {
        step(How::Merge, "services/{name}-active", json!({"metadata": {"annotations": annotations}}))
    };
    let job = || {
        let labels = json!({"app": "{name}", "rollouts-pod-template-hash": "{v1}"});
        let pod = json!({"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never", "containers": [{"name": "web", "image": EVIL}]}});
        json!([{"name": "x", "provider": {"job": {"spec": {"template": pod}}}}])
    };
    let analysis = |kind: &str, metrics: Value| json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": kind, "metadata": {"name": "{name}-theirs"}, "spec": {"metrics": metrics}});
    let secret = json!([{"name": "x", "valueFrom": {"secretKeyRef": {"name": "../secrets/x", "key": "x"}}}]);
    let mut with_secret = analysis("AnalysisTemplate", json!([]));
    with_secret["spec"]["args"] = secret;
    vec![
        Attack::refused(Editor, "an EndpointSlice of theirs for the active Service", [slice()]),
        Attack::refused(Edit, "an EndpointSlice of theirs for the active Service", [slice()]),
        Attack::refused(Tenant, "an EndpointSlice of theirs for the active Service", [slice()]),
        Attack::refused(
            Edit,
            "Endpoints of theirs for the active Service",
            [step(
                How::Create,
                "endpoints",
                json!({
                    "metadata": {"name": "{name}-active"},
                    "subsets": [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 8080}]}],
                }),
            )],
        ),
        Attack::refused(Admin, "an EndpointSlice of theirs for the active Service", [slice()]),
        Attack::refused(Promoter, "an EndpointSlice of theirs for the active Service", [slice()]),
        Attack::refused(
            Edit,
            "the EndpointSlices of the active Service deleted",
            [step(
                How::Delete,
                "endpointslices?labelSelector=kubernetes.io/service-name%3D{name}-active&dryRun=All",
                Value::Null,
            )],
        ),
        Attack::refused(Edit, "the operator's lease", [lease("{ns}-system:", How::Create, "leases")]),
        Attack::refused(Admin, "the operator's lease", [lease("{ns}-system:", How::Apply, "leases/greenlight")]),
        Attack::refused(Tenant, "the operator's lease", [lease("{ns}-system:", How::Create, "leases")]),
        Attack::holds(
            Edit,
            "the active Service marked as production of the candidate",
            [marks(json!({"greenlight.dev/production": "{v2}"}))],
        ),
        Attack::holds(
            Edit,
            "the active Service marked as production of the candidate, which is marked as promoted",
            [
                step(
                    How::Merge,
                    "replicasets/{name}-{v2}",
                    json!({"metadata": {"annotations": {"greenlight.dev/promoted-at": "2026-11-27T00:00:00Z"}}}),
                ),
                marks(json!({"greenlight.dev/production": "{v2}"})),
                wait(),
            ],
        ),
        Attack::holds(
            Edit,
            "the active Service marked as another rollout's",
            [marks(json!({"greenlight.dev/managed-by": "other", "greenlight.dev/production": null}))],
        ),
        Attack::holds(
            Edit,
            "the active Service marked as an Argo Rollout's",
            [marks(json!({"argo-rollouts.argoproj.io/managed-by-rollouts": "other"})), wait()],
        ),
        Attack::holds(
            Edit,
            "a Service of theirs with the marks of the active one, which leads to what waits",
            [
                step(
                    How::Create,
                    "services",
                    json!({
                        "metadata": {"name": "{name}-theirs", "annotations": {"greenlight.dev/managed-by": "{name}", "greenlight.dev/production": "{v2}"}},
                        "spec": {"selector": {"app": "{name}", "rollouts-pod-template-hash": "{v2}"}, "ports": [{"port": 80, "targetPort": 8080}]},
                    }),
                ),
                wait(),
            ],
        ),
        Attack::holds(
            Edit,
            "an event that says that it was promoted",
            [step(
                How::Create,
                "events",
                json!({
                    "metadata": {"name": "{name}-forged"}, "reason": "Promoted", "type": "Normal", "message": "revision {v2} serves",
                    "involvedObject": {"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "namespace": "{ns}", "name": "{name}", "uid": "{uid}"},
                }),
            )],
        ),
        Attack::holds(
            Edit,
            "withdrawn claims on the active Service",
            [marks(json!({"greenlight.dev/withdrawn": "{v1} {v2} [["}))],
        ),
        Attack::refused(
            Editor,
            "a Job that gets traffic, by an AnalysisRun of theirs",
            [step(How::Create, "analysisruns", analysis("AnalysisRun", job()))],
        ),
        Attack::refused(
            Editor,
            "a Job in an AnalysisTemplate",
            [step(How::Create, "analysistemplates", analysis("AnalysisTemplate", job()))],
        ),
        Attack::refused(Admin, "a Secret whose name is a path", [step(How::Create, "analysistemplates", with_secret)])
            .told("spec.args[0].valueFrom.secretKeyRef.name in body should match"),
    ]
}

/// What a rollout stands on: roles, policies, kinds, the namespace, the operator's own. What would harm the others here is only pretended, since a dry
/// run takes the same rights.
fn surroundings() -> Vec<Attack> {
    let binding = |role: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "{name}-theirs"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}],
        })
    };
    let role = |group: &str, resource: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "{name}-theirs"},
            "rules": [{"apiGroups": [group], "resources": [resource], "verbs": ["create", "update", "patch"]}],
        })
    };
    let bound = |binding: Value| step(How::Create, "rolebindings?dryRun=All", binding);
    let made = |role: Value| step(How::Create, "roles?dryRun=All", role);
    let quota = || {
        step(
            How::Create,
            "resourcequotas?dryRun=All",
            json!({"metadata": {"name": "{name}"}, "spec": {"hard": {"pods": "0"}}}),
        )
    };
    let deleted = |path: &str| step(How::Delete, &format!("{path}?dryRun=All"), Value::Null);
    let policy = "validatingadmissionpolicies/attacks.guard-requests";
    let held = "is attempting to grant RBAC permissions not currently held";
    let stopped = || step(How::Merge, "{ns}-system:deployments/guard?dryRun=All", json!({"spec": {"replicas": 0}}));
    vec![
        Attack::refused(Editor, "somebody bound to the promoter's role", [bound(binding("attacks.guard-promoter"))]),
        Attack::refused(Edit, "somebody bound to the promoter's role", [bound(binding("attacks.guard-promoter"))]),
        Attack::refused(Promoter, "somebody bound to the promoter's role", [bound(binding("attacks.guard-promoter"))]),
        Attack::refused(Admin, "somebody bound to cluster-admin", [bound(binding("cluster-admin"))]).told(held),
        Attack::refused(
            Admin,
            "a role that may write the status of rollouts",
            [made(role("greenlight.dev", "bluegreenrollouts/status"))],
        )
        .told(held),
        Attack::refused(
            Admin,
            "a role that may write EndpointSlices",
            [made(role("discovery.k8s.io", "endpointslices"))],
        )
        .told(held),
        Attack::refused(Edit, "the policy on requests deleted", [deleted(policy)]),
        Attack::refused(Admin, "the policy on requests deleted", [deleted(policy)]),
        Attack::refused(
            Admin,
            "the policy on requests bound to nothing",
            [deleted("validatingadmissionpolicybindings/attacks.guard-requests")],
        ),
        Attack::refused(
            Admin,
            "the kind deleted, and all rollouts with it",
            [deleted("customresourcedefinitions/bluegreenrollouts.greenlight.dev")],
        ),
        Attack::refused(Edit, "the namespace deleted, and all in it", [deleted("namespaces/{ns}")]),
        Attack::refused(Admin, "the namespace deleted, and all in it", [deleted("namespaces/{ns}")]),
        Attack::refused(
            Admin,
            "the namespace with another label, so that the policies do not hold there",
            [step(
                How::Merge,
                "namespaces/{ns}?dryRun=All",
                json!({"metadata": {"labels": {"kubernetes.io/metadata.name": "other"}}}),
            )],
        ),
        Attack::refused(Edit, "a quota of no pods, so that nothing can come up", [quota()]),
        Attack::refused(Admin, "a quota of no pods, so that nothing can come up", [quota()]),
        Attack::refused(Edit, "the operator stopped", [stopped()]),
        Attack::refused(Admin, "the operator stopped", [stopped()]),
        Attack::refused(Tenant, "the operator stopped", [stopped()]),
        Attack::refused(
            Admin,
            "a pod of theirs beside the operator, with its account",
            [step(
                How::Create,
                "{ns}-system:pods?dryRun=All",
                json!({
                    "metadata": {"name": "{name}-theirs"},
                    "spec": {"serviceAccountName": "guard", "containers": [{"name": "web", "image": EVIL}]},
                }),
            )],
        ),
    ]
}

/// Who may only look, and who may nothing.
fn bystanders() -> Vec<Attack> {
    vec![
        Attack::refused(Viewer, "another template", [template("app:v3")]),
        Attack::refused(Viewer, "an open gate", [blue_green(json!({"autoPromotionEnabled": true}))]),
        Attack::refused(Viewer, "deleting what serves", [step(How::Delete, ROLLOUT, Value::Null)]),
        Attack::refused(Viewer, "a pause", [spec(json!({"paused": true}))]),
        Attack::refused(
            Viewer,
            "a forged status",
            [step(How::Merge, "bluegreenrollouts/{name}/status", json!({"status": {"phase": "Healthy"}}))],
        ),
        Attack::refused(Viewer, "the active Service patched", [select("{v2}")]),
        Attack::refused(Nobody, "the active Service patched", [select("{v2}")]),
        Attack::refused(Nobody, "deleting what serves", [step(How::Delete, ROLLOUT, Value::Null)]),
        Attack::refused(Nobody, "another template", [template("app:v3")]),
        Attack::refused(Nobody, "an open gate", [blue_green(json!({"autoPromotionEnabled": true}))]),
        Attack::refused(Tenant, "another template", [template("app:v3")]),
        Attack::refused(
            Editor,
            "a role of their own that may promote",
            [step(How::Create, "roles", role_that_promotes())],
        ),
        Attack::refused(
            Edit,
            "a role of their own that may promote",
            [step(How::Create, "roles", role_that_promotes())],
        ),
        Attack::refused(
            Edit,
            "the operator's token",
            [step(
                How::Create,
                "{ns}-system:serviceaccounts/guard/token",
                json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}),
            )],
        ),
        Attack::refused(
            Admin,
            "the operator's token",
            [step(
                How::Create,
                "{ns}-system:serviceaccounts/guard/token",
                json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}),
            )],
        ),
    ]
}

/// What takes a right that these roles have nothing of.
fn closed_doors() -> Vec<Attack> {
    let labels = |hash: &str| json!({"app": "{name}", "rollouts-pod-template-hash": hash});
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "web", "image": EVIL}]});
    let job = json!({"metadata": {"name": "{name}-theirs"}, "spec": {"template": {"metadata": {"labels": labels("{v1}")}, "spec": pod}}});
    let bare = json!({"metadata": {"name": "{name}-theirs", "labels": labels("{v1}")}, "spec": pod});
    let service = json!({
        "metadata": {"name": "{name}-theirs", "annotations": {"greenlight.dev/managed-by": "{name}", "greenlight.dev/production": "{v2}"}},
        "spec": {"selector": labels("{v2}"), "ports": [{"port": 80, "targetPort": 8080}]},
    });
    let readable = json!({"metadata": {"name": "{name}-theirs", "labels": {"greenlight.dev/analysis": "true"}}, "stringData": {"token": "x"}});
    let run = json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "metadata": {"name": "{name}-{v3}-3-1-pre"}, "spec": {"metrics": []}});
    let bound_pod = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "{pod1}"}, "target": {"kind": "Node", "name": "theirs"}});
    let promotes = json!({"rules": [{"apiGroups": ["greenlight.dev"], "resources": ["bluegreenrollouts"], "verbs": ["patch", "promote"]}]});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "{name}-theirs"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "attacks.guard-promoter"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}],
    });
    let changes_others = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": "{name}-theirs"}, "spec": {}});
    let create = |kind: &str, object: &Value| step(How::Create, kind, object.clone());
    let merge = |path: &str, patch: Value| step(How::Merge, path, patch);
    let read = |path: &str| step(How::Read, path, Value::Null);
    let delete = |path: &str| step(How::Delete, path, Value::Null);
    let returned = json!({"metadata": {"annotations": {"greenlight.dev/returned": "true"}}});
    let shows_production = json!({"spec": {"selector": {"rollouts-pod-template-hash": "{v1}"}}});
    let outside = [Viewer, Tenant, Nobody];
    let all_but_edit = [Viewer, Editor, OnCall, Promoter, Tenant, Nobody];
    let release = "{ns}-system:secrets/sh.helm.release.v1.guard.v1";
    [
        by_each(&all_but_edit, "a Secret read", read("secrets/secret")),
        by_each(&[Editor, Edit, Admin, Tenant], "a Secret of the operator's namespace read", read(release)),
        by_each(&[Editor, OnCall, Promoter], "a Secret for analyses", create("secrets", &readable)),
        by_each(&all_but_edit, "a Job of theirs with the labels of what serves", create("jobs", &job)),
        by_each(&all_but_edit, "a pod of theirs with the labels of what serves", create("pods", &bare)),
        by_each(&all_but_edit, "a Service of theirs with the marks of the active one", create("services", &service)),
        by_each(
            &all_but_edit,
            "a forged ReplicaSet for the next template",
            create("replicasets", &replica_set("{name}-{v3}", "{v3}")),
        ),
        by_each(&all_but_edit, "a Deployment of theirs", create("deployments", &deployment(labels("{v2}")))),
        by_each(&outside, "what serves deleted", delete("replicasets/{name}-{v1}")),
        by_each(
            &[Viewer, OnCall, Tenant, Nobody],
            "what waits marked as returned",
            merge("replicasets/{name}-{v2}", returned),
        ),
        by_each(&[Viewer, OnCall, Tenant, Nobody], "the active Service deleted", delete("services/{name}-active")),
        by_each(
            &[Viewer, Editor, Promoter, Tenant, Nobody],
            "the preview Service leads to what serves",
            merge("services/{name}-preview", shows_production),
        ),
        by_each(
            &[Viewer, OnCall, Promoter, Tenant, Nobody],
            "deleting all of this name",
            delete("bluegreenrollouts?fieldSelector=metadata.name%3D{name}"),
        ),
        by_each(
            &[Viewer, OnCall, Promoter, Tenant, Nobody],
            "a template of analyses with nothing to measure",
            merge("analysistemplates/endless", json!({"spec": {"metrics": []}})),
        ),
        by_each(
            &[Viewer, OnCall, Promoter, Tenant, Nobody],
            "a template of analyses deleted",
            delete("analysistemplates/endless"),
        ),
        by_each(&[Viewer, Promoter, Tenant, Nobody], "a run made beforehand", create("analysisruns", &run)),
        by_each(
            &[Tenant, Nobody],
            "the scale by its sub-resource",
            merge("bluegreenrollouts/{name}/scale", json!({"spec": {"replicas": 0}})),
        ),
        by_each(&[Tenant, Nobody], "rollback", request("rollback")),
        by_each(&[Tenant, Nobody], "restart", request("restart")),
        by_each(&outside, "retry", request("retry {v2}")),
        by_each(&outside, "promote in full", request("promote-full {v2}")),
        by_each(
            &[Edit, Admin],
            "a pod that serves bound to a node of theirs",
            create("pods/{pod1}/binding", &bound_pod),
        ),
        by_each(
            &[Edit, Admin],
            "the namespace without its finalizer",
            merge("namespaces/{ns}/finalize?dryRun=All", json!({"spec": {"finalizers": []}})),
        ),
        by_each(
            &[Edit, Admin, Tenant],
            "the editor's role with promote in it",
            merge("clusterroles/attacks.guard-editor?dryRun=All", promotes),
        ),
        by_each(
            &[Edit, Admin, Tenant],
            "somebody bound to the promoter's role in all namespaces",
            create("clusterrolebindings?dryRun=All", &binding),
        ),
        by_each(
            &[Editor, Edit, Admin, Tenant],
            "the policy on requests let through what it cannot decide",
            merge(
                "validatingadmissionpolicies/attacks.guard-requests?dryRun=All",
                json!({"spec": {"failurePolicy": "Ignore"}}),
            ),
        ),
        by_each(
            &[Editor, Edit, Admin, Tenant],
            "a policy of theirs that changes what others write",
            create("mutatingadmissionpolicies?dryRun=All", &changes_others),
        ),
    ]
    .concat()
}

/// The same, tried by each of these.
fn by_each(roles: &[Role], what: &'static str, step: Step) -> Vec<Attack> {
    roles.iter().map(|role| Attack::refused(*role, what, [step.clone()])).collect()
}

/// What a revision is made of, changed after it was looked at.
fn revisions() -> Vec<Attack> {
    let image = "/spec/template/spec/containers/0/image";
    let tampered = |hash: &str| {
        step(
            How::Json,
            &format!("replicasets/{{name}}-{hash}"),
            json!([{"op": "replace", "path": image, "value": EVIL}]),
        )
    };
    let pods_of = |hash: &str| {
        let selector = format!("labelSelector=app%3D{{name}},rollouts-pod-template-hash%3D{hash}");
        step(How::Delete, &format!("pods?{selector}"), Value::Null)
    };
    let set = |hash: &str, patch: Value| step(How::Merge, &format!("replicasets/{{name}}-{hash}"), patch);
    let applied = || {
        let pod = json!({"containers": [{"name": "web", "image": EVIL}]});
        let object = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "{name}-{v2}"}, "spec": {"template": {"spec": pod}}});
        step(How::Apply, "replicasets/{name}-{v2}?fieldManager=greenlight", object)
    };
    vec![
        Attack::refused(Edit, "another image in the ReplicaSet that waits", [tampered("{v2}")]),
        Attack::refused(
            Edit,
            "another image in the ReplicaSet that waits, promoted by somebody who looked at it before",
            [tampered("{v2}"), pods_of("{v2}"), by(Promoter, request("promote {v2}"))],
        ),
        Attack::refused(
            Edit,
            "another image in the ReplicaSet that serves, and its pods deleted",
            [tampered("{v1}"), pods_of("{v1}")],
        ),
        Attack::refused(Admin, "another image in the ReplicaSet that serves", [tampered("{v1}")]),
        Attack::refused(Edit, "another image in the ReplicaSet that waits, in the operator's name", [applied()]),
        Attack::refused(
            Edit,
            "a ReplicaSet without owner, labels and annotations, and then another image in it",
            [
                set("{v2}", json!({"metadata": {"ownerReferences": null, "labels": null, "annotations": null}})),
                tampered("{v2}"),
            ],
        ),
        Attack::refused(
            Edit,
            "another command in the ReplicaSet that waits, by a strategic merge",
            [step(
                How::Strategic,
                "replicasets/{name}-{v2}",
                json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "command": ["evil"]}]}}}}),
            )],
        ),
        Attack::holds(
            Edit,
            "other annotations on the pods of the ReplicaSet that waits",
            [set(
                "{v2}",
                json!({"spec": {"template": {"metadata": {"annotations": {"sidecar.example/image": EVIL}}}}}),
            )],
        ),
        Attack::refused(
            Edit,
            "all of the pods' spec replaced in the ReplicaSet that waits, by a strategic merge",
            [step(
                How::Strategic,
                "replicasets/{name}-{v2}",
                json!({"spec": {"template": {"spec": {"$patch": "replace", "containers": [{"name": "web", "image": EVIL}]}}}}),
            )],
        ),
        Attack::refused(
            Edit,
            "one more container, which runs first, in the ReplicaSet that waits",
            [set(
                "{v2}",
                json!({"spec": {"template": {"spec": {"initContainers": [{"name": "first", "image": EVIL}]}}}}),
            )],
        ),
        Attack::refused(
            Edit,
            "another account for the pods of the ReplicaSet that serves",
            [set("{v1}", json!({"spec": {"template": {"spec": {"serviceAccountName": "other"}}}}))],
        ),
        Attack::refused(
            Edit,
            "another image in the ReplicaSet that waits, by an update of all of it",
            [step(
                How::Replace,
                "replicasets/{name}-{v2}",
                json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": EVIL}]}}}}),
            )],
        ),
        Attack::refused(
            Edit,
            "a forged status of the ReplicaSet that waits",
            [step(
                How::Merge,
                "replicasets/{name}-{v2}/status",
                json!({"status": {"availableReplicas": 9, "replicas": 9}}),
            )],
        ),
    ]
}

/// What may be changed without promote, put together.
fn second_thoughts() -> Vec<Attack> {
    let scale = |replicas: i32| spec(json!({"replicas": replicas}));
    let crowded = |count: usize| or(metadata_of(json!({"annotations": many(count)})));
    vec![
        Attack::holds(
            Editor,
            "scaled to none, another template, and scaled up again",
            [scale(0), spec(json!({"template": {"metadata": {"annotations": {"x": "y"}}}})), scale(1)],
        )
        .may_empty(),
        Attack::holds(
            Editor,
            "a request in what the scale sub-resource is sent",
            [or(step(
                How::Merge,
                "bluegreenrollouts/{name}/scale",
                json!({"metadata": {"annotations": {REQUEST: "promote {v2}"}}, "spec": {"replicas": 1}}),
            ))],
        ),
        Attack::refused(
            Viewer,
            "the scale by its sub-resource",
            [step(How::Merge, "bluegreenrollouts/{name}/scale", json!({"spec": {"replicas": 0}}))],
        ),
        Attack::refused(
            Editor,
            "a label of the operator's on the rollout",
            [metadata_of(json!({"labels": {"greenlight.dev/serving": "{uid}"}}))],
        ),
        Attack::refused(
            OnCall,
            "a restart, and a label in the same breath",
            [metadata_of(json!({"annotations": {REQUEST: "restart"}, "labels": {"tier": "evil"}}))],
        ),
        Attack::refused(
            OnCall,
            "a promote by server-side apply",
            [step(
                How::Apply,
                ROLLOUT,
                json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "metadata": {"name": "{name}", "annotations": {REQUEST: "promote"}}}),
            )],
        ),
        Attack::refused(
            Editor,
            "a strategic merge, which this kind does not know",
            [step(
                How::Strategic,
                ROLLOUT,
                json!({"spec": {"strategy": {"blueGreen": {"autoPromotionEnabled": true}}}}),
            )],
        )
        .told("the body of the request was in an unknown format"),
        Attack::holds(
            Editor,
            "a template whose pods have finalizers, owners and a name",
            [or(spec(json!({"template": {"metadata": {
                "name": "x", "generateName": "x-", "finalizers": ["tenant.example/held"],
                "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "x"}],
            }}})))],
        ),
        Attack::holds(
            Editor,
            "a second rollout without Services, whose pods have the labels of production",
            [step(
                How::Create,
                "bluegreenrollouts",
                second("{name}-second", EVIL, json!({"activeService": null, "autoPromotionEnabled": true})),
            )],
        ),
        Attack::refused(
            Editor,
            "the same, with the hash of production as a label of theirs",
            [step(How::Create, "bluegreenrollouts", {
                let mut object = second("{name}-second", EVIL, json!({"activeService": null}));
                object["spec"]["template"]["metadata"]["labels"]["rollouts-pod-template-hash"] = "{v1}".into();
                object
            })],
        )
        .told("greenlight sets them"),
        Attack::refused(Editor, "thousands of labels", [metadata_of(json!({"labels": many(5_000)}))]),
        Attack::moves(
            Editor,
            "many annotations, so that nobody may promote any more: somebody may",
            [crowded(900), crowded(2_000), crowded(20_000), crowded(40_000), by(Promoter, request("promote {v2}"))],
        ),
    ]
}

/// Right after a promotion, when there is something to go back to: back to where it was takes `rollback`, and not the template, the scale or an
/// analysis.
fn promoted() -> Vec<Attack> {
    let measured =
        || json!({"strategy": {"blueGreen": {"postPromotionAnalysis": {"templates": [{"templateName": "endless"}]}}}});
    let goes_back = || json!({"strategy": {"blueGreen": {"autoRollback": {"unavailableSeconds": 1}}}});
    let run = "analysisruns/{run}";
    let of_run = |spec: Value| step(How::Merge, run, json!({"spec": spec}));
    let bad = || json!({"metrics": [{"name": "endless", "successCondition": "false", "failureLimit": 0, "count": 1, "provider": {"web": {"url": "http://127.0.0.1:1/"}}}]});
    let forged = || {
        let metadata = json!({"name": "{run}", "annotations": {"greenlight.dev/rollout": "{name}"}});
        step(
            How::Create,
            "analysisruns",
            json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "metadata": metadata, "spec": bad()}),
        )
    };
    let annotations = || json!({"annotations": many(40_000)});
    let finalizers = || {
        let names: Vec<String> = (0..3_000).map(|number| format!("example.com/n{number}")).collect();
        json!({"finalizers": names})
    };
    let crowd = |object: &str, metadata: Value| step(How::Merge, object, json!({"metadata": metadata}));
    let goes_back_all_the_same = |role, what, before: Vec<Step>| {
        let goes_back = by(OnCall, request("rollback {v2}"));
        // Objects of nearly a megabyte take their time.
        Attack::moves(role, what, before.into_iter().chain([goes_back, wait(), wait(), wait()]))
    };
    let no_request = || metadata_of(json!({"annotations": {REQUEST: null}}));
    let budget = || {
        let selector = json!({"matchLabels": {"app": "{name}"}});
        let body = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "{name}"}, "spec": {"maxUnavailable": 0, "selector": selector}});
        step(How::Create, "poddisruptionbudgets", body)
    };
    let autoscaler = || {
        let target = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "{name}-{v1}"});
        let body = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "{name}"}, "spec": {"maxReplicas": 1, "scaleTargetRef": target}});
        step(How::Create, "horizontalpodautoscalers", body)
    };
    let attacks = vec![
        Attack::holds(Editor, "the template that served before", [template("app:v1"), wait()]),
        Attack::holds(
            Editor,
            "the template that served before, and another at once",
            [template("app:v1"), template("app:v3"), wait()],
        ),
        Attack::holds(Editor, "the analysis of what serves ended", [of_run(json!({"terminate": true})), wait()])
            .on(measured()),
        Attack::holds(Editor, "the analysis of what serves edited, so that it fails", [of_run(bad()), wait()])
            .on(measured()),
        Attack::holds(
            Editor,
            "the analysis of what serves made anew, so that it fails",
            [step(How::Delete, run, Value::Null), or(forged()), wait()],
        )
        .on(measured()),
        Attack::holds(
            Editor,
            "a deadline of a second for what serves",
            [spec(json!({"progressDeadlineSeconds": 1, "progressDeadlineAbort": true})), wait()],
        )
        .on(measured()),
        Attack::holds(
            Editor,
            "pods that count as available after a day, with a way back by itself",
            [spec(json!({"minReadySeconds": 86400, "progressDeadlineSeconds": 90000})), wait()],
        )
        .on(goes_back()),
        Attack::holds(Editor, "scaled to none, with a way back by itself", [spec(json!({"replicas": 0})), wait()])
            .on(goes_back())
            .may_empty(),
        Attack::holds(
            Edit,
            "a forged rejection of what serves, which says where to go",
            [
                step(
                    How::Merge,
                    "replicasets/{name}-{v2}",
                    json!({"metadata": {"annotations": {"greenlight.dev/rejected": r#"{"by":"greenlight","at":"2026-01-01T00:00:00Z","reason":"x","to":"{v1}"}"#}}}),
                ),
                wait(),
            ],
        ),
        Attack::holds(
            Edit,
            "pods that count as available after a day, by the ReplicaSet, with a way back by itself",
            [step(How::Merge, "replicasets/{name}-{v2}", json!({"spec": {"minReadySeconds": 86400}})), wait()],
        )
        .on(goes_back()),
        Attack::holds(
            Edit,
            "what production left without its finalizer and its deadline",
            [
                step(
                    How::Merge,
                    "replicasets/{name}-{v1}",
                    json!({"metadata": {"finalizers": null, "annotations": {"greenlight.dev/scale-down-at": null}}}),
                ),
                wait(),
            ],
        ),
        Attack::refused(Editor, "a rollback", [request("rollback")]),
        Attack::refused(
            Editor,
            "the request by which it was promoted, taken away and made again",
            [metadata_of(json!({"annotations": {REQUEST: null}})), template("app:v3"), request("promote {v2}")],
        ),
        Attack::refused(Promoter, "the template that served before", [template("app:v1")]),
        Attack::moves(OnCall, "a rollback", [request("rollback {v2}"), wait()]),
        Attack::moves(
            OnCall,
            "a rollback that says that it was asked for in the year 1",
            [
                request(r#"{"action":"rollback","revision":"{v2}","by":"olga","at":"0001-01-01T00:00:00Z"}"#),
                wait(),
                wait(),
            ],
        ),
        goes_back_all_the_same(
            Edit,
            "very many annotations on the ReplicaSets, so that nobody may go back: somebody may",
            ["replicasets/{name}-{v1}", "replicasets/{name}-{v2}"].map(|set| crowd(set, annotations())).into(),
        ),
        goes_back_all_the_same(
            Edit,
            "very many finalizers on the ReplicaSets, so that nobody may go back: somebody may",
            ["replicasets/{name}-{v1}", "replicasets/{name}-{v2}"].map(|set| crowd(set, finalizers())).into(),
        ),
        goes_back_all_the_same(
            Edit,
            "very many annotations and finalizers on the active Service, so that nobody may go back: somebody may",
            [annotations(), finalizers()].map(|metadata| crowd("services/{name}-active", metadata)).into(),
        ),
        goes_back_all_the_same(
            Editor,
            "very many annotations on the analysis of what serves, so that nobody may go back: somebody may",
            vec![crowd(run, annotations())],
        )
        .on(measured()),
        goes_back_all_the_same(
            Editor,
            "annotations of as many bytes as there may be, so that nobody may ask for a rollback: somebody may",
            [no_request()].into_iter().chain(fill()).collect(),
        ),
        goes_back_all_the_same(
            Editor,
            "an image with a name that is longer than what is kept of a rollout, so that nobody may go back: somebody may",
            vec![template(&noise(200_000))],
        ),
        goes_back_all_the_same(
            Editor,
            "very many finalizers on a rollout that waits for nobody, so that nobody may go back: somebody may",
            vec![by(Admin, blue_green(json!({"autoPromotionEnabled": true}))), or(metadata_of(finalizers()))],
        ),
        goes_back_all_the_same(
            Edit,
            "pods that count as available after a day, by what production left, so that nobody may go back: somebody may",
            vec![step(How::Merge, "replicasets/{name}-{v1}", json!({"spec": {"minReadySeconds": 86400}}))],
        ),
        goes_back_all_the_same(
            Edit,
            "what production left marked as rejected and scaled to none, so that nobody may go back: somebody may",
            vec![
                crowd(
                    "replicasets/{name}-{v1}",
                    json!({"annotations": {"greenlight.dev/rejected": r#"{"by":"bill","at":"2026-01-01T00:00:00Z","reason":"x"}"#}}),
                ),
                step(How::Merge, "replicasets/{name}-{v1}/scale", json!({"spec": {"replicas": 0}})),
            ],
        ),
        goes_back_all_the_same(
            Editor,
            "a pause and a template that the API server refuses, so that nobody may go back: somebody may",
            vec![spec(
                json!({"paused": true, "template": {"spec": {"containers": [{"name": "Not A Name", "image": "app:v3"}]}}}),
            )],
        ),
        goes_back_all_the_same(
            Edit,
            "the preview Service deleted, so that nobody may go back: somebody may",
            vec![step(How::Delete, "services/{name}-preview", Value::Null)],
        ),
        Attack::moves(
            Editor,
            "another template in the moment in which somebody goes back: they do",
            [together(), by(OnCall, request("rollback {v2}")), template("app:v3"), wait(), wait()],
        ),
        goes_back_all_the_same(
            Edit,
            "a budget that lets no pod go, and an autoscaler for what production left, so that nobody may go back",
            vec![budget(), autoscaler()],
        ),
        goes_back_all_the_same(
            Edit,
            "who wrote the fields of what belongs to it, nested so that nobody can read that, so that nobody may go back: somebody may",
            ["replicasets/{name}-{v1}", "replicasets/{name}-{v2}"]
                .map(|set| or(crowd(set, nested("apps/v1"))))
                .into_iter()
                .chain(["services/{name}-active", "services/{name}-preview"].map(|it| or(crowd(it, nested("v1")))))
                .collect(),
        ),
        goes_back_all_the_same(
            Edit,
            "an AnalysisRun with a Job that nobody can read, so that nobody may go back: somebody may",
            vec![step(How::Create, "analysisruns", {
                let deep = (0..200).fold(json!({}), |inner, _| json!({"a": inner}));
                let metrics = json!([{"name": "x", "provider": {"job": {"spec": deep}}}]);
                let metadata = json!({"name": "{name}-deep", "annotations": {"greenlight.dev/rollout": "{name}"}});
                json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "metadata": metadata, "spec": {"metrics": metrics}})
            })],
        ),
        Attack::moves(
            OnCall,
            "a rollback, twice at the same moment",
            [together(), request("rollback {v2}"), or(request("rollback  {v2}")), wait()],
        ),
        Attack::moves(
            Editor,
            "a request to roll back that is taken away before it has an answer: it is carried out",
            [by(OnCall, request("rollback {v2}")), or(no_request()), wait(), wait()],
        ),
    ];
    attacks.into_iter().map(Attack::promoted).collect()
}

/// Ways around by things that are open to who may edit.
fn roundabout() -> Vec<Attack> {
    let applied = |blue_green: Value| {
        let object = json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "metadata": {"name": "{name}"}, "spec": {"selector": {"matchLabels": {"app": "{name}"}}, "strategy": {"blueGreen": blue_green}}});
        step(How::Apply, "bluegreenrollouts/{name}?fieldManager=mine", object)
    };
    let measured = || json!({"strategy": {"blueGreen": {"autoPromotionEnabled": true, "prePromotionAnalysis": {"templates": [{"templateName": "endless"}]}}}});
    let overlap = || json!({"strategy": {"blueGreen": {"switchMode": "Overlap", "overlapSeconds": 3600}}});
    vec![
        Attack::holds(
            Editor,
            "the gate owned by nobody, taken, and left out",
            [
                metadata_of(json!({"managedFields": [{}]})),
                applied(json!({"autoPromotionEnabled": false})),
                metadata_of(json!({"managedFields": [{}]})),
                applied(json!({"autoPromotionEnabled": false})),
                applied(json!({})),
            ],
        ),
        Attack::refused(
            Editor,
            "a rollout of theirs whose pods are in the overlap of another",
            [step(How::Create, "bluegreenrollouts", {
                let mut object = second("{name}-second", EVIL, json!({"activeService": null}));
                object["spec"]["template"]["metadata"]["labels"]["greenlight.dev/serving"] = "{uid}".into();
                object
            })],
        )
        .told("greenlight sets them")
        .on(overlap()),
        Attack::holds(
            Editor,
            "an analysis whose run has a finalizer of theirs, and is deleted",
            [
                step(How::Merge, "analysisruns/{run}", json!({"metadata": {"finalizers": ["tenant.example/held"]}})),
                step(How::Delete, "analysisruns/{run}", Value::Null),
                wait(),
            ],
        )
        .on(measured()),
        Attack::holds(
            Editor,
            "an analysis whose run gets another rollout, and is given back",
            [
                step(
                    How::Merge,
                    "analysisruns/{run}",
                    json!({"metadata": {"annotations": {"greenlight.dev/rollout": "other"}}}),
                ),
                wait(),
                step(
                    How::Merge,
                    "analysisruns/{run}",
                    json!({"metadata": {"annotations": {"greenlight.dev/rollout": "{name}"}}}),
                ),
                wait(),
            ],
        )
        .on(measured()),
        Attack::holds(
            Editor,
            "an analysis whose run has no owner any more",
            [step(How::Merge, "analysisruns/{run}", json!({"metadata": {"ownerReferences": null}})), wait()],
        )
        .on(measured()),
        Attack::refused(
            Editor,
            "what serves in the foreground, by a list of rollouts",
            [step(
                How::Delete,
                "bluegreenrollouts?labelSelector=%21nothing&fieldSelector=metadata.name%3D{name}&propagationPolicy=Foreground",
                Value::Null,
            )],
        ),
        Attack::refused(
            Editor,
            "what serves deleted in the background, on a condition that holds",
            [step(
                How::Delete,
                ROLLOUT,
                json!({
                    "apiVersion": "v1", "kind": "DeleteOptions",
                    "gracePeriodSeconds": 0, "propagationPolicy": "Background", "preconditions": {"uid": "{uid}"},
                }),
            )],
        ),
        Attack::refused(
            Editor,
            "a pause that is as it was, and the gate in the same breath",
            [spec(json!({"paused": true, "strategy": {"blueGreen": {"autoPromotionEnabled": true}}}))],
        ),
        Attack::holds(
            Editor,
            "a pause, another template, and a request of theirs that is none",
            [
                spec(json!({"paused": true})),
                template("app:v3"),
                or(metadata_of(json!({"annotations": {REQUEST: "  "}}))),
                wait(),
            ],
        ),
        Attack::holds(
            Editor,
            "the scale by an update of the sub-resource, with the gate beside it",
            [step(
                How::Replace,
                "bluegreenrollouts/{name}/scale",
                json!({"spec": {"replicas": 2, "strategy": {"blueGreen": {"autoPromotionEnabled": true}}}}),
            )],
        ),
    ]
}

/// Two requests at the same moment, of two people or of one.
fn races() -> Vec<Attack> {
    let two = json!({"strategy": {"blueGreen": {"requiredApprovals": 2}}});
    let paused = json!({"paused": true, "strategy": {"blueGreen": {"autoPromotionEnabled": true}}});
    let measured = json!({"strategy": {"blueGreen": {"autoPromotionEnabled": true, "prePromotionAnalysis": {"templates": [{"templateName": "endless"}]}}}});
    let signed = |at: &str| {
        request(&format!(r#"{{"action":"promote","revision":"{{v2}}","by":"paula","at":"2026-01-01T00:00:0{at}Z"}}"#))
    };
    let of_theirs =
        |name: &str| step(How::Create, "bluegreenrollouts", second(name, EVIL, json!({"autoPromotionEnabled": true})));
    let service = || json!({"metadata": {"name": "{name}-active"}, "spec": {"selector": {"app": "{name}", "rollouts-pod-template-hash": "{v1}"}, "ports": [{"port": 80, "targetPort": 8080}]}});
    vec![
        Attack::refused(
            Editor,
            "the active Service left out, and at the same moment it becomes the preview Service",
            [
                together(),
                blue_green(json!({"activeService": null})),
                blue_green(json!({"activeService": null, "previewService": "{name}-active"})),
            ],
        ),
        Attack::refused(
            Editor,
            "the Services exchanged, at the moment in which somebody restarts",
            [
                together(),
                by(OnCall, or(request("restart"))),
                blue_green(json!({"activeService": "{name}-preview", "previewService": "{name}-active"})),
            ],
        ),
        Attack::moves(
            Editor,
            "the Services exchanged in the moment of a promotion: that is carried out where it was to be",
            [
                together(),
                by(Promoter, request("promote {v2}")),
                or(blue_green(json!({"activeService": "{name}-preview", "previewService": "{name}-active"}))),
                wait(),
                wait(),
            ],
        ),
        Attack::refused(
            Editor,
            "a pause, and at the same moment its end, of what promotes by itself",
            [together(), spec(json!({"paused": true})), spec(json!({"paused": false}))],
        )
        .on(paused),
        Attack::refused(
            Editor,
            "an annotation, and at the same moment an open gate",
            [
                together(),
                or(metadata_of(json!({"annotations": {"note": "x"}}))),
                blue_green(json!({"autoPromotionEnabled": true})),
            ],
        ),
        Attack::refused(
            Editor,
            "deleted, and at the same moment made anew without a gate",
            [
                together(),
                step(How::Delete, ROLLOUT, Value::Null),
                or(step(
                    How::Create,
                    "bluegreenrollouts",
                    second("{name}", EVIL, json!({"autoPromotionEnabled": true})),
                )),
            ],
        ),
        Attack::holds(
            Editor,
            "another template at the moment of the first approval, and the second one as it was meant",
            [
                together(),
                template("app:v3"),
                by(Promoter, request("promote {v2}")),
                wait(),
                by(Admin, or(request("promote {v2}"))),
                wait(),
            ],
        )
        .on(two.clone()),
        Attack::holds(
            Promoter,
            "two approvals of one person at the same moment",
            [together(), signed("0"), signed("1"), wait(), signed("2"), wait()],
        )
        .on(two),
        Attack::holds(
            Editor,
            "another template at the moment in which what waits is aborted, and the aborted one again",
            [together(), by(OnCall, request("abort {v2}")), template("app:v3"), wait(), template("app:v2"), wait()],
        ),
        Attack::holds(
            Edit,
            "two rollouts of theirs at the same moment that name the Service",
            [together(), or(of_theirs("{name}-second")), or(of_theirs("{name}-third")), wait()],
        ),
        Attack::holds(
            Edit,
            "the active Service deleted, and made anew at the same moment in which somebody changes the template",
            [
                step(How::Delete, "services/{name}-active", Value::Null),
                together(),
                or(step(How::Create, "services", service())),
                template("app:v3"),
                wait(),
            ],
        )
        .may_empty(),
        Attack::holds(
            Edit,
            "what waits deleted, and at the same moment a forged one in its place",
            [
                together(),
                or(step(How::Delete, "replicasets/{name}-{v2}", Value::Null)),
                or(step(How::Create, "replicasets", replica_set("{name}-{v2}", "{v2}"))),
                or(step(How::Create, "replicasets", replica_set("{name}-{v2}", "{v2}"))),
                wait(),
            ],
        ),
        Attack::holds(
            Edit,
            "a forged ReplicaSet for the next template, at the same moment as the template",
            [
                together(),
                or(step(How::Create, "replicasets", replica_set("{name}-{v3}", "{v3}"))),
                template("app:v3"),
                wait(),
            ],
        ),
        Attack::holds(
            Edit,
            "what serves scaled to none at the moment in which another template arrives",
            [
                together(),
                step(How::Merge, "replicasets/{name}-{v1}/scale", json!({"spec": {"replicas": 0}})),
                template("app:v3"),
                wait(),
            ],
        )
        .may_empty(),
        Attack::holds(
            Editor,
            "a run terminated, and at the same moment another template",
            [
                together(),
                step(How::Merge, "analysisruns/{run}", json!({"spec": {"terminate": true}})),
                template("app:v3"),
                wait(),
            ],
        )
        .on(measured),
        Attack::refused(
            Editor,
            "an open gate, pretended, and at the same moment for real",
            [
                together(),
                or(step(
                    How::Merge,
                    "bluegreenrollouts/{name}?dryRun=All",
                    json!({"spec": {"strategy": {"blueGreen": {"autoPromotionEnabled": true}}}}),
                )),
                blue_green(json!({"autoPromotionEnabled": true})),
            ],
        ),
        Attack::holds(
            OnCall,
            "what waits aborted, and at the same moment a rollback",
            [together(), or(request("abort {v2}")), or(request("rollback {v1}")), wait()],
        ),
        Attack::moves(
            Promoter,
            "a promote, and at the same moment another one",
            [together(), request("promote {v2}"), or(request("promote-full {v2}")), wait()],
        ),
        Attack::holds(
            Editor,
            "the template that served before, and at the same moment another one",
            [together(), template("app:v1"), template("app:v3"), wait()],
        )
        .promoted(),
    ]
}

/// No attacks: what may be done, so that it is seen that this is alive. And what nobody can keep who may create pods from doing.
fn allowed() -> Vec<Attack> {
    let pod_of = |hash: &str| {
        step(
            How::Create,
            "pods",
            json!({
                "metadata": {
                    "name": format!("{{name}}-{hash}-forge"),
                    "labels": {"app": "{name}", "rollouts-pod-template-hash": hash},
                },
                "spec": {"containers": [{"name": "web", "image": EVIL}]},
            }),
        )
    };
    vec![
        Attack::moves(
            Promoter,
            "a signed promote",
            [request(r#"{"action":"promote","revision":"{v2}","by":"paula","at":"2026-01-01T00:00:00Z"}"#)],
        ),
        Attack::moves(
            Promoter,
            "a signed promote, with spaces as most write JSON",
            [request(r#"{"action": "promote", "revision": "{v2}", "by": "paula", "at": "2026-01-01T00:00:00Z"}"#)],
        ),
        Attack::moves(Promoter, "promote, typed by hand", [request("promote {v2}")]),
        Attack::moves(Admin, "promote, typed by hand", [request("promote")]),
        Attack::moves(
            Promoter,
            "a promote by server-side apply",
            [step(
                How::Apply,
                ROLLOUT,
                json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "metadata": {"name": "{name}", "annotations": {REQUEST: "promote {v2}"}}}),
            )],
        ),
        Attack::moves(Admin, "an open gate", [blue_green(json!({"autoPromotionEnabled": true}))]),
        // Not by Greenlight, and it cannot keep them from it: docs/security.md says so.
        Attack::moves(Edit, "the active Service patched, as in any cluster", [select("{v2}")]),
        Attack::moves(
            Edit,
            "the active Service patched in somebody else's name, as in any cluster",
            [select_as("paula", "{v2}")],
        ),
        Attack::moves(
            Edit,
            "the active Service patched together with the operator's mark on it, as in any cluster",
            [step(
                How::Merge,
                "services/{name}-active",
                json!({"metadata": {"annotations": {"greenlight.dev/production": "{v2}"}}, "spec": {"selector": {"rollouts-pod-template-hash": "{v2}"}}}),
            )],
        ),
        // For the operator's own move there would be a mark: it takes this back.
        Attack::moves(
            Edit,
            "the active Service patched in the operator's name, as in any cluster",
            [select_as("greenlight", "{v2}"), wait()],
        )
        .anywhere(),
        Attack::moves(
            Edit,
            "the active Service without a selector, as in any cluster",
            [step(How::Merge, "services/{name}-active", json!({"spec": {"selector": null}}))],
        )
        .anywhere(),
        Attack::moves(
            Edit,
            "the active Service selects what no pod has, as in any cluster",
            [step(How::Merge, "services/{name}-active", json!({"spec": {"selector": {"tier": "none"}}}))],
        )
        .anywhere(),
        Attack::moves(
            Edit,
            "the active Service leads to a name elsewhere, as in any cluster",
            [step(
                How::Merge,
                "services/{name}-active",
                json!({"spec": {"type": "ExternalName", "externalName": "evil.example"}}),
            )],
        )
        .anywhere(),
        // The ReplicaSet adopts it, has one too many, and deletes the youngest.
        Attack::moves(
            Edit,
            "a pod of theirs with the labels of what waits, before it is promoted",
            [pod_of("{v2}"), wait(), by(Promoter, request("promote {v2}")), wait()],
        ),
        // The ReplicaSet adopts it, and makes none of its own.
        Attack::moves(
            Edit,
            "a pod of theirs with the labels of the next revision, before there is one, as in any cluster",
            [
                pod_of("{v3}"),
                wait(),
                template("app:v3"),
                wait(),
                wait(),
                wait(),
                by(Promoter, request("promote {v3}")),
                wait(),
                wait(),
            ],
        )
        .with_evil("{v3}"),
    ]
}

const ROLLOUT: &str = "bluegreenrollouts/{name}";
const REQUEST: &str = "greenlight.dev/request";

fn step(how: How, path: &str, body: Value) -> Step {
    Step { how, path: path.to_owned(), body, may_fail: false, by: None }
}

/// So many annotations, or labels.
pub(super) fn many(count: usize) -> serde_json::Map<String, Value> {
    (0..count).map(|number| (format!("n{number}"), "".into())).collect()
}

/// Annotations until the API server takes no more: each half as large as the one before.
fn fill() -> impl Iterator<Item = Step> {
    (0..18).rev().map(|power| {
        let mut annotations = serde_json::Map::new();
        annotations.insert(format!("f{power}"), "x".repeat(1_usize << power).into());
        or(metadata_of(json!({"annotations": annotations})))
    })
}

/// So many characters that no compression makes fewer.
fn noise(length: usize) -> String {
    let mut state = 1_u64;
    let mut character = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + u8::try_from((state >> 33) % 43).expect("less than 43"))
    };
    (0..length).map(|_| character()).collect()
}

/// Somebody manages a field that is so deep that most parsers do not follow.
fn nested(api_version: &str) -> Value {
    let fields = (0..200).fold(json!({}), |fields, _| json!({"f:a": fields}));
    json!({"managedFields": [{
        "manager": "attacker", "operation": "Update", "apiVersion": api_version, "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:annotations": fields}},
    }]})
}

fn wait() -> Step {
    step(How::Wait, "", Value::Null)
}

/// The two behind it at the same moment.
fn together() -> Step {
    step(How::Together, "", Value::Null)
}

/// Whatever comes of it.
fn or(step: Step) -> Step {
    Step { may_fail: true, ..step }
}

/// Made by somebody else than whoever attacks.
fn by(role: Role, step: Step) -> Step {
    Step { by: Some(role), ..step }
}

fn spec(spec: Value) -> Step {
    step(How::Merge, ROLLOUT, json!({"spec": spec}))
}

fn blue_green(blue_green: Value) -> Step {
    spec(json!({"strategy": {"blueGreen": blue_green}}))
}

fn apply_blue_green(blue_green: Value) -> Step {
    let object = json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "metadata": {"name": "{name}"}, "spec": {"selector": {"matchLabels": {"app": "{name}"}}, "strategy": {"blueGreen": blue_green}}});
    step(How::Apply, ROLLOUT, object)
}

fn json_patch(patch: Value) -> Step {
    step(How::Json, ROLLOUT, patch)
}

fn metadata_of(metadata: Value) -> Step {
    step(How::Merge, ROLLOUT, json!({"metadata": metadata}))
}

fn request(value: &str) -> Step {
    metadata_of(json!({"annotations": {REQUEST: value}}))
}

fn template(image: &str) -> Step {
    json_patch(json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]))
}

fn select(hash: &str) -> Step {
    step(How::Merge, "services/{name}-active", json!({"spec": {"selector": {"rollouts-pod-template-hash": hash}}}))
}

/// The same, by a tool with this name.
fn select_as(manager: &str, hash: &str) -> Step {
    let Step { body, .. } = select(hash);
    step(How::Merge, &format!("services/{{name}}-active?fieldManager={manager}"), body)
}

/// A second rollout at the same Services.
fn second(name: &str, image: &str, more: Value) -> Value {
    let mut blue_green = json!({"activeService": "{name}-active"});
    greenlight_e2e::merge(&mut blue_green, &more);
    json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": "{name}"}}, "strategy": {"blueGreen": blue_green},
            "template": {"metadata": {"labels": {"app": "{name}"}}, "spec": {"containers": [{"name": "web", "image": image}]}},
        },
    })
}

/// One that names no Service, and asks nobody.
fn without_services(name: &str, image: &str) -> Value {
    second(name, image, json!({"activeService": null, "autoPromotionEnabled": true}))
}

fn generated(image: &str) -> Value {
    let mut rollout = second("", image, json!({"autoPromotionEnabled": true}));
    rollout["metadata"] = json!({"generateName": "{name}-"});
    rollout
}

fn of_workload() -> Value {
    let mut rollout = second("{name}-second", EVIL, json!({"activeService": null}));
    rollout["spec"]["workloadRef"] =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "others", "scaleDown": "onsuccess"});
    rollout["spec"].as_object_mut().expect("an object").remove("template");
    rollout
}

/// One that says that it is the rollout's, and runs something else.
fn replica_set(name: &str, hash: &str) -> Value {
    let mut forged = of_nobody(name, hash);
    forged["metadata"]["ownerReferences"] = json!([{"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "{name}", "uid": "{uid}", "controller": true, "blockOwnerDeletion": true}]);
    forged
}

fn of_nobody(name: &str, hash: &str) -> Value {
    let labels = json!({"app": "{name}", "rollouts-pod-template-hash": hash});
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": name, "labels": labels, "annotations": {"greenlight.dev/template-digest": "{digest3}", "greenlight.dev/revision": "2", "greenlight.dev/desired-replicas": "1"}},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": EVIL}]}}},
    })
}

/// One that takes what has the labels of the rollout and belongs to nobody.
fn deployment(labels: Value) -> Value {
    let mut selected = labels.clone();
    selected.as_object_mut().expect("labels").remove("rollouts-pod-template-hash");
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "{name}-theirs"},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": selected},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": EVIL}]}},
        },
    })
}

fn role_that_promotes() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "{name}-promotes"},
        "rules": [{"apiGroups": ["greenlight.dev"], "resources": ["bluegreenrollouts"], "verbs": ["promote"]}],
    })
}

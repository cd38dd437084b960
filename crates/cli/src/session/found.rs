//! Rollouts as a list or a watch brings them. One that cannot be read must not hide the others.

use std::borrow::Cow;

use anyhow::{Context, Result};
use greenlight_api::BlueGreenRollout;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::{Api, ListParams, ObjectList};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::session::Session;

/// Only the columns of a list come back, without the objects: a tenth of what it takes otherwise.
const AS_TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// Where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The session's namespace.
    Namespace,
    /// All that the caller may see.
    Everywhere,
}

/// A rollout that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Namespace, name and resourceVersion at least.
    pub metadata: ObjectMeta,
    /// The object, or why it cannot be read.
    pub rollout: Result<Box<BlueGreenRollout>, String>,
    /// The object as the API server wrote it.
    pub json: Box<RawValue>,
}

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Found, D::Error> {
        #[derive(Deserialize)]
        struct Labelled {
            metadata: ObjectMeta,
        }
        // Set apart as text first, which knows no depth.
        let json = Box::<RawValue>::deserialize(deserializer)?;
        // With the path of the field, where one is in the way.
        let mut reader = serde_json::Deserializer::from_str(json.get());
        let (metadata, rollout) = match serde_path_to_error::deserialize::<_, BlueGreenRollout>(&mut reader) {
            Ok(rollout) => (rollout.metadata.clone(), Ok(Box::new(rollout))),
            Err(error) => {
                let labelled: Labelled = serde_json::from_str(json.get()).map_err(D::Error::custom)?;
                (labelled.metadata, Err(error.to_string()))
            }
        };
        Ok(Found { metadata, rollout, json })
    }
}

impl Resource for Found {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        BlueGreenRollout::kind(&())
    }
    fn group(_: &()) -> Cow<'_, str> {
        BlueGreenRollout::group(&())
    }
    fn version(_: &()) -> Cow<'_, str> {
        BlueGreenRollout::version(&())
    }
    fn plural(_: &()) -> Cow<'_, str> {
        BlueGreenRollout::plural(&())
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Place {
    /// The API there.
    pub fn api(self, session: &Session) -> Api<Found> {
        match self {
            Place::Namespace => session.api(),
            Place::Everywhere => Api::all(session.client.clone()),
        }
    }

    /// The rollouts there.
    pub async fn list(self, session: &Session, labels: Option<&str>) -> Result<ObjectList<Found>> {
        let params = ListParams { label_selector: labels.map(str::to_owned), ..ListParams::default() };
        self.api(session).list(&params).await.context("cannot list rollouts")
    }
}

/// The names of the rollouts in the session's namespace, and nothing else of them: there may be ten thousand.
pub async fn names(session: &Session) -> Result<Vec<String>, kube::Error> {
    #[derive(Deserialize)]
    struct Table {
        #[serde(default)]
        rows: Vec<Row>,
    }
    #[derive(Deserialize)]
    struct Row {
        cells: Vec<serde_json::Value>,
    }
    let url = Place::Namespace.api(session).resource_url().to_owned();
    // From the server's cache: for a hint it need not be the newest.
    let request = http::Request::get(format!("{url}?includeObject=None&resourceVersion=0"));
    let request = request.header(http::header::ACCEPT, AS_TABLE).body(Vec::new()).map_err(kube::Error::HttpError)?;
    let table: Table = session.client.request(request).await?;
    let name = |row: Row| row.cells.into_iter().next()?.as_str().map(str::to_owned);
    Ok(table.rows.into_iter().filter_map(name).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_that_cannot_be_read_hides_no_other_and_says_where_it_is_wrong() {
        let of = |name: &str, restart_at: serde_json::Value| {
            json!({
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
                "metadata": {"name": name, "namespace": "shop"},
                "spec": {"selector": {}, "strategy": {"blueGreen": {}}, "restartAt": restart_at},
            })
        };
        let deep = (0..300).fold(json!(1), |inner, _| json!({"a": inner}));
        let items = [of("good", json!(null)), of("late", json!("9999-12-31T23:59:59Z")), of("deep", deep)];
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}).to_string();
        let list: ObjectList<Found> = serde_json::from_str(&list).expect("a list");
        let names: Vec<_> = list.items.iter().filter_map(|found| found.metadata.name.as_deref()).collect();
        assert_eq!(names, ["good", "late", "deep"]);
        let errors: Vec<_> = list.items.into_iter().map(|found| found.rollout.err()).collect();
        assert_eq!(errors[0], None);
        assert!(errors[1].as_ref().is_some_and(|error| error.starts_with("spec.restartAt: ")), "{errors:?}");
        assert!(errors[2].is_some(), "{errors:?}");
    }
}

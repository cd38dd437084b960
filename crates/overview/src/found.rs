//! Rollouts as a list or a watch brings them. One that cannot be read must not hide the others.

use std::borrow::Cow;

use anyhow::{Context, Result, bail};
use greenlight_api::BlueGreenRollout;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::{Api, ListParams, ObjectList};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::session::{Flags, Session, is_forbidden};
use crate::whole::without_managed_fields;

/// How many names are shown in the place of one that does not exist.
const SHOWN: usize = 3;
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
        if let Ok(rollout) = read(json.get()) {
            return Ok(Found { metadata: rollout.metadata.clone(), rollout: Ok(Box::new(rollout)), json });
        }
        let narrow = without_managed_fields(json.get()).map_err(D::Error::custom)?;
        let (metadata, rollout) = match read(&narrow) {
            Ok(rollout) => (rollout.metadata.clone(), Ok(Box::new(rollout))),
            Err(error) => {
                let labelled: Labelled = serde_json::from_str(&narrow).map_err(D::Error::custom)?;
                (labelled.metadata, Err(error))
            }
        };
        Ok(Found { metadata, rollout, json })
    }
}

impl Found {
    /// The whole object as the API server has it, also what this version knows nothing of; without who manages which field of it, which
    /// kubectl leaves out as well.
    ///
    /// # Errors
    /// It is nested too deep.
    pub fn object(&self) -> serde_json::Result<Value> {
        serde_json::from_str(&without_managed_fields(self.json.get())?)
    }
}

/// The rollout, or why it cannot be read, with the path of the field where one is in the way.
fn read(json: &str) -> Result<BlueGreenRollout, String> {
    let mut reader = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| error.to_string())
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
    ///
    /// # Errors
    /// The caller may not list them.
    pub async fn list(self, session: &Session, labels: Option<&str>) -> Result<ObjectList<Found>> {
        let params = ListParams { label_selector: labels.map(str::to_owned), ..ListParams::default() };
        self.api(session).list(&params).await.context("cannot list rollouts")
    }
}

impl Session {
    /// The rollout, or an error that says what there is instead.
    ///
    /// # Errors
    /// It is not there, or the caller may not read it.
    pub async fn rollout(&self, name: &str) -> Result<BlueGreenRollout> {
        match self.api::<Found>().get_opt(name).await {
            Ok(Some(Found { rollout: Ok(rollout), .. })) => Ok(*rollout),
            Ok(Some(Found { rollout: Err(error), .. })) => {
                bail!(
                    "rollout {name} cannot be read: {error}. {}",
                    what_to_do(name, &self.namespace, &self.flags, &error)
                )
            }
            Ok(None) => bail!("no rollout {name} in namespace {}: {}", self.namespace, self.instead_of(name).await?),
            Err(error) => Err(error).with_context(|| format!("cannot read rollout {name}")),
        }
    }

    /// What there is instead of a rollout that is not there.
    async fn instead_of(&self, name: &str) -> Result<String> {
        match self.names().await {
            Ok(names) if !names.is_empty() => return Ok(named_like(name, &names)),
            Ok(_) => {}
            Err(error) if is_forbidden(&error) => return Ok("and you may not list which ones there are".to_owned()),
            Err(error) => return Err(error).context("cannot list rollouts"),
        }
        // Not everybody may look; then it may be there.
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        if let Ok(None) = namespaces.get_opt(&self.namespace).await {
            return Ok("there is no such namespace".to_owned());
        }
        Ok(format!("there are none; is it in another one? See kubectl greenlight list -A{}", self.flags))
    }

    /// The names of the rollouts in the namespace, and nothing else of them: there may be ten thousand.
    ///
    /// # Errors
    /// The caller may not list them.
    pub async fn names(&self) -> Result<Vec<String>, kube::Error> {
        #[derive(Deserialize)]
        struct Table {
            #[serde(default)]
            rows: Vec<Row>,
        }
        #[derive(Deserialize)]
        struct Row {
            cells: Vec<Value>,
        }
        let url = Place::Namespace.api(self).resource_url().to_owned();
        // From the server's cache: for a hint it need not be the newest.
        let request = http::Request::get(format!("{url}?includeObject=None&resourceVersion=0"));
        let request =
            request.header(http::header::ACCEPT, AS_TABLE).body(Vec::new()).map_err(kube::Error::HttpError)?;
        let table: Table = self.client.request(request).await?;
        let name = |row: Row| row.cells.into_iter().next()?.as_str().map(str::to_owned);
        Ok(table.rows.into_iter().filter_map(name).collect())
    }
}

/// What to do about a rollout that cannot be read. Only the operator writes the status.
fn what_to_do(name: &str, namespace: &str, flags: &Flags, error: &str) -> String {
    if error.starts_with("status") {
        return "Is the operator newer than this program? Then install the version of the operator".to_owned();
    }
    format!("Correct it: kubectl edit bgr {name} -n {namespace}{flags}")
}

/// What there is instead of a name: all, or of many those that are the most alike.
fn named_like(name: &str, names: &[String]) -> String {
    if names.len() <= SHOWN {
        return format!("there are: {}", names.join(", "));
    }
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    let likeness = |other: &str| strsim::jaro_winkler(name, other);
    names.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)).then(a.cmp(b)));
    format!("of {} there the nearest are: {}", names.len(), names[..SHOWN].join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_that_cannot_be_read_hides_no_other_and_says_where_it_is_wrong() {
        let of = |name: &str, restart_at: Value| {
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

    /// Whoever may make requests of a rollout may patch it, and so write anything there.
    #[test]
    fn what_is_said_of_who_manages_which_field_hides_no_rollout() {
        let deep = (0..300).fold(json!({}), |inner, _| json!({"f:a": inner}));
        let of = |name: &str, restart_at: Value| {
            let managed = json!([{"manager": "someone", "operation": "Update", "fieldsV1": deep}]);
            json!({
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
                "metadata": {"name": name, "namespace": "shop", "managedFields": managed},
                "spec": {"selector": {}, "strategy": {"blueGreen": {}}, "restartAt": restart_at},
            })
        };
        let items = [of("good", json!(null)), of("late", json!("9999-12-31T23:59:59Z"))];
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}).to_string();
        let list: ObjectList<Found> = serde_json::from_str(&list).expect("a list");
        let [good, late]: [Found; 2] = list.items.try_into().expect("two");
        let object = late.object().expect("what is deep is left out");
        assert_eq!(object["spec"]["restartAt"], "9999-12-31T23:59:59Z", "what cannot be understood is there");
        assert_eq!(object["metadata"], json!({"name": "late", "namespace": "shop"}));
        assert_eq!(good.rollout.err(), None);
        assert_eq!(late.metadata.name.as_deref(), Some("late"));
        assert!(late.rollout.is_err_and(|error| error.starts_with("spec.restartAt: ")));
    }

    #[test]
    fn what_only_a_newer_operator_writes_is_not_for_people_to_correct() {
        let object = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "metadata": {"name": "web"},
            "spec": {"selector": {}, "strategy": {"blueGreen": {}}}, "status": {"phase": "Hovering"},
        });
        let found: Found = serde_json::from_str(&object.to_string()).expect("found");
        let error = found.rollout.expect_err("there is no such phase");
        let told = what_to_do("web", "shop", &Flags::default(), &error);
        assert!(told.contains("Is the operator newer") && !told.contains("kubectl edit"), "{error}: {told}");
        let flags = Flags { of_cluster: " --context prod".to_owned(), of_user: String::new() };
        let told = what_to_do("web", "shop", &flags, "spec.restartAt: no");
        assert!(told.ends_with("kubectl edit bgr web -n shop --context prod"), "{told}");
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_nearest_three() {
        let names: Vec<String> = (0..10_000).map(|number| format!("shop-{number:04}")).collect();
        let hint = named_like("shop-0421x", &names);
        assert!(hint.starts_with("of 10000 there the nearest are: shop-0421, "), "{hint}");
        assert_eq!(hint.matches("shop-").count(), 3, "{hint}");
        assert_eq!(named_like("wbe", &["web".to_owned()]), "there are: web");
    }
}

//! The cluster, as one caller sees it.

use anyhow::{Context, Result, bail};
use greenlight_api::BlueGreenRollout;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::PostParams;
use kube::{Api, Client};

/// So many names are shown in the place of one that does not exist.
const SHOWN: usize = 3;

/// A client and a namespace.
#[derive(Clone)]
pub struct Session {
    /// The client.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
}

impl Session {
    /// An API in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The rollout, or an error that says what there is instead.
    pub async fn rollout(&self, name: &str) -> Result<BlueGreenRollout> {
        let api: Api<BlueGreenRollout> = self.api();
        match api.get_opt(name).await {
            Ok(Some(rollout)) => Ok(rollout),
            Ok(None) => {
                let there = api.list_metadata(&Default::default()).await?;
                let names: Vec<_> = there.items.into_iter().filter_map(|object| object.metadata.name).collect();
                let hint = match names.as_slice() {
                    [] => "there are none; is it in another one? See kubectl greenlight list -A".to_owned(),
                    names => named_like(name, names),
                };
                bail!("no rollout {name} in namespace {}: {hint}", self.namespace)
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                bail!("the cluster does not know BlueGreenRollouts: install Greenlight first")
            }
            Err(error) => Err(error).context(format!("cannot read rollout {name}")),
        }
    }

    /// The caller's user name, as the API server knows it.
    pub async fn user(&self) -> Result<String> {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await?;
        let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username);
        Ok(user.unwrap_or_default())
    }
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
    use super::named_like;

    #[test]
    fn a_wrong_name_is_answered_with_the_nearest_three() {
        let names: Vec<String> = (0..10_000).map(|number| format!("shop-{number:04}")).collect();
        let hint = named_like("shop-0421x", &names);
        assert!(hint.starts_with("of 10000 there the nearest are: shop-0421, "), "{hint}");
        assert_eq!(hint.matches("shop-").count(), 3, "{hint}");
        assert_eq!(named_like("wbe", &["web".to_owned()]), "there are: web");
    }
}

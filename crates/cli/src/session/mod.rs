//! The cluster that a command talks to.
//!
//! | question | file |
//! |---|---|
//! | Which API server, and as whom? | [`config`] |
//! | What goes over the wire, and for how long? | [`requests`] |
//! | What does an error mean, and which Role would help? | [`explain`] |
//! | Which rollouts are there, also those that cannot be read? | [`found`] |
//! | What changes while somebody looks? | [`changes`] |

mod changes;
mod config;
mod explain;
mod found;
mod requests;

use anyhow::{Context, Result, bail};
use greenlight_api::BlueGreenRollout;
use http::header::{HeaderName, HeaderValue};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::Namespace;
use kube::client::ClientBuilder;
use kube::{Api, Client};

pub use self::changes::{around, is_final, of_rollout, selector};
pub use self::explain::{explain, is_forbidden};
pub use self::found::{Found, Place};
use crate::options::ClusterOptions;

/// So many names are shown in the place of one that does not exist.
const SHOWN: usize = 3;
/// How the API server's audit log knows the plugin.
const USER_AGENT: &str = concat!("kubectl-greenlight/", env!("CARGO_PKG_VERSION"));

/// A client and a namespace.
#[derive(Clone)]
pub struct Session {
    /// The client.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
}

impl Session {
    /// Opens it as kubectl would.
    pub async fn open(options: &ClusterOptions) -> Result<Session> {
        let mut config = config::config(options).await?;
        config.headers.push((HeaderName::from_static("user-agent"), HeaderValue::from_static(USER_AGENT)));
        let timeout = options.request_timeout.filter(|timeout| !timeout.is_zero());
        config.connect_timeout = timeout.or(config.connect_timeout);
        let namespace = options.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let server = config.cluster_url.to_string();
        let treatment = requests::Treatment { verbosity: options.verbosity, timeout, server };
        Ok(Session { client: ClientBuilder::try_from(config)?.with_layer(&treatment).build(), namespace })
    }

    /// An API in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The rollout, or an error that says what there is instead.
    pub async fn rollout(&self, name: &str) -> Result<BlueGreenRollout> {
        match self.api::<Found>().get_opt(name).await {
            Ok(Some(Found { rollout: Ok(rollout), .. })) => Ok(*rollout),
            Ok(Some(Found { rollout: Err(error), .. })) => {
                bail!(
                    "rollout {name} cannot be read: {error}. Correct it: kubectl edit bgr {name} -n {}",
                    self.namespace
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
        Ok("there are none; is it in another one? See kubectl greenlight list -A".to_owned())
    }

    /// The names of the rollouts in the namespace.
    pub async fn names(&self) -> Result<Vec<String>, kube::Error> {
        found::names(self).await
    }

    /// The caller's user name, as the API server knows it.
    pub async fn user(&self) -> Result<String> {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = api.create(&Default::default(), &SelfSubjectReview::default()).await;
        let review = review.context("cannot ask the API server who you are")?;
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

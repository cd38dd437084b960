//! The cluster that a command talks to.
//!
//! | question | file |
//! |---|---|
//! | Which API server, and as whom? | [`config`] |
//! | What goes over the wire, and for how long? | [`requests`] |
//! | What does an error mean, and which Role would help? | [`mod@explain`] |
//! | What changes while somebody looks? | [`changes`] |

mod changes;
mod config;
mod explain;
mod requests;

use anyhow::Result;
use greenlight_overview::Session;
use greenlight_overview::again::Again;
use http::header::{HeaderName, HeaderValue};
use kube::client::ClientBuilder;

pub use self::changes::{around, is_final, is_outdated, last_look, of_rollout, state_of};
pub use self::config::lasting;
pub use self::explain::explain;
use crate::options::ClusterOptions;

/// How the API server's audit log knows the plugin.
const USER_AGENT: &str = concat!("kubectl-greenlight/", env!("CARGO_PKG_VERSION"));

/// Opens it as kubectl would. What it asks while the API server is busy is asked again as is said.
pub async fn open(options: &ClusterOptions, again: &Again) -> Result<Session> {
    let (mut config, cluster) = config::config(options).await?;
    // Not every request may be made again.
    config.default_retry = false;
    config.headers.push((HeaderName::from_static("user-agent"), HeaderValue::from_static(USER_AGENT)));
    let timeout = options.request_timeout.filter(|timeout| !timeout.is_zero());
    config.connect_timeout = timeout.or(config.connect_timeout);
    let namespace = namespace(options.namespace.as_deref(), &config.default_namespace);
    let server = config.cluster_url.to_string();
    let treatment = requests::Treatment { verbosity: options.verbosity, timeout, server };
    Ok(Session {
        client: ClientBuilder::try_from(config)?.with_layer(again).with_layer(&treatment).build(),
        namespace,
        flags: options.flags(),
        cluster,
    })
}

/// The namespace that is given, or that of the context. As by kubectl, one without a name counts as none.
fn namespace(given: Option<&str>, of_context: &str) -> String {
    let named = [given.unwrap_or_default(), of_context, "default"].into_iter().find(|name| !name.is_empty());
    named.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::namespace;

    #[test]
    fn a_namespace_without_a_name_is_none() {
        assert_eq!(namespace(Some("shop"), "pay"), "shop");
        assert_eq!((namespace(None, "pay"), namespace(Some(""), "pay")), ("pay".to_owned(), "pay".to_owned()));
        assert_eq!(namespace(Some(""), ""), "default");
    }
}

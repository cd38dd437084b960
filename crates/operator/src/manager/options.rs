//! How to run the operator. Every flag can also be given as an environment variable of the same name.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::division::MOST_SHARDS;
use crate::api_server::backoff::chance;
use crate::controllers::lanes::MOST_QUICK;
use crate::web::reach::Network;

/// How to run the operator.
#[derive(Clone, Debug, Args)]
pub struct ControllerOptions {
    /// Watch only this namespace [default: all]
    #[arg(long, env = "GREENLIGHT_NAMESPACE", value_parser = NonEmptyStringValueParser::new())]
    pub namespace: Option<String>,
    /// Where to serve /healthz, /readyz and /metrics
    #[arg(long, env = "GREENLIGHT_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Work only while holding the lease `greenlight`, so that a second instance can stand by
    #[arg(long, env = "GREENLIGHT_LEADER_ELECT")]
    pub leader_elect: bool,
    /// Namespace of that lease
    #[arg(long, env = "GREENLIGHT_LEASE_NAMESPACE", default_value = "default", value_parser = NonEmptyStringValueParser::new())]
    pub lease_namespace: String,
    /// Into how many shards to divide the namespaces, with a lease each, so that several instances work at the same time; the same for all
    #[arg(long, env = "GREENLIGHT_SHARDS", default_value_t = 1, value_parser = shards)]
    pub shards: usize,
    /// How many rollouts to work on at the same time, 64 at most
    #[arg(long, env = "GREENLIGHT_PARALLEL", default_value_t = 16, value_parser = parallel)]
    pub parallel: usize,
    /// Networks that analyses may ask, such as 10.0.0.0/8, and no others [default: all but loopback, link-local and the API server]
    #[arg(long, env = "GREENLIGHT_ANALYSIS_ALLOW", value_delimiter = ',')]
    pub analysis_allow: Vec<Network>,
    /// Networks that analyses may not ask
    #[arg(long, env = "GREENLIGHT_ANALYSIS_DENY", value_delimiter = ',')]
    pub analysis_deny: Vec<Network>,
    /// Whether analyses may ask web servers (and Prometheus) at all
    #[arg(long, env = "GREENLIGHT_WEB_ANALYSES", default_value_t = true, action = clap::ArgAction::Set)]
    pub web_analyses: bool,
    /// Let analyses read the Secrets that are labelled greenlight.dev/analysis=true
    #[arg(long, env = "GREENLIGHT_ANALYSIS_LABELLED_SECRETS")]
    pub analysis_labelled_secrets: bool,
    /// Names of Secrets that analyses may read, labelled or not
    #[arg(long, env = "GREENLIGHT_ANALYSIS_SECRETS", value_delimiter = ',')]
    pub analysis_secrets: Vec<String>,
    /// File with the token that who reads /metrics sends as a bearer token [default: anybody may read them]
    #[arg(long, env = "GREENLIGHT_METRICS_TOKEN_FILE")]
    pub metrics_token_file: Option<PathBuf>,
    /// File that says who is notified of what; see docs/notifications.md
    #[arg(long, env = "GREENLIGHT_NOTIFICATIONS")]
    pub notifications: Option<PathBuf>,
    /// Log filter: a level, or target=level pairs
    #[arg(long, env = "GREENLIGHT_LOG", default_value = "info")]
    pub log: String,
}

fn shards(number: &str) -> Result<usize, String> {
    up_to(MOST_SHARDS, number)
}

fn parallel(number: &str) -> Result<usize, String> {
    up_to(MOST_QUICK, number)
}

fn up_to(most: usize, number: &str) -> Result<usize, String> {
    let number = number.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("write a number from 1 to {most}"))
}

/// What tells this instance from all others: the pod's name, or the host's, and the process number, for people; and chance, since in containers
/// two may have the same of both, and each would take the other's lease for its own.
pub fn instance() -> String {
    let host = std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let host = host.as_deref().unwrap_or("greenlight").trim();
    format!("{host}_{}_{:016x}", std::process::id(), chance())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With none nothing would ever be done, and nobody told; with more than the streams of a connection, what hangs would keep all others waiting.
    #[test]
    fn as_many_may_be_worked_on_at_a_time_as_a_connection_has_room_for_and_not_none() {
        for number in ["0", "65", "-1", "many", ""] {
            assert_eq!(parallel(number), Err("write a number from 1 to 64".to_owned()), "{number}");
        }
        assert_eq!((parallel("1"), parallel("64")), (Ok(1), Ok(64)));
    }
}

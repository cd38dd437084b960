//! Who is told what.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use greenlight_core::events::REASONS;
use serde::Deserialize;

use super::Notification;

/// The file of `--notifications`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Every sink is told by itself.
    pub sinks: Vec<Sink>,
    /// Where people find the dashboard; each message leads to the page of its rollout. Default: nowhere.
    pub dashboard: Option<String>,
}

/// One that is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sink {
    /// For logs and metrics.
    pub name: String,
    /// Where to; or `urlFile`, if the address is a secret.
    url: Option<String>,
    /// File with the address.
    url_file: Option<PathBuf>,
    /// File with a token, sent as `Authorization: Bearer`.
    token_file: Option<PathBuf>,
    /// How it is written. Default cloudevents.
    #[serde(default)]
    pub format: Format,
    /// Reasons of events. Default: all.
    #[serde(default)]
    events: Vec<String>,
    /// Namespaces; a `*` at the end stands for anything. Default: all.
    #[serde(default)]
    namespaces: Vec<String>,
    /// Labels that the rollout must have. Default: none.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// How a notification is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// CloudEvents 1.0, structured mode.
    #[default]
    Cloudevents,
    /// An incoming webhook of Slack.
    Slack,
    /// A workflow webhook of Microsoft Teams.
    Teams,
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// It is not there, is not readable, or names what does not exist.
    pub fn read(path: &Path) -> Result<Config> {
        let text = std::fs::read_to_string(path).with_context(|| format!("--notifications {}", path.display()))?;
        Config::parse(&text).with_context(|| format!("--notifications {}", path.display()))
    }

    fn parse(text: &str) -> Result<Config> {
        let config: Config = serde_saphyr::from_str(text)?;
        if let Some(url) = config.dashboard.as_ref().filter(|url| !is_origin(url)) {
            bail!("dashboard: {url:?} is not where a dashboard can be: write https://host, with a port if need be");
        }
        let mut names = std::collections::BTreeSet::new();
        for sink in &config.sinks {
            let name = &sink.name;
            if !names.insert(name) {
                bail!("there are two sinks named {name}: give each a name of its own");
            }
            match (&sink.url, &sink.url_file) {
                (Some(url), None) if url.parse().is_ok_and(|uri: http::Uri| is_web_address(&uri)) => {}
                (Some(url), None) => bail!("sink {name}: {url:?} is not an address: write https://host/path"),
                (None, Some(_)) => {}
                _ => bail!("sink {name} needs exactly one of url and urlFile"),
            }
            if let Some(unknown) = sink.events.iter().find(|event| !REASONS.contains(&event.as_str())) {
                bail!("sink {name}: there is no event {unknown}; there are: {}", REASONS.join(", "));
            }
        }
        Ok(config)
    }
}

impl Sink {
    /// Whether it is to be told of this.
    pub fn wants(&self, notification: &Notification) -> bool {
        let rollout = &notification.rollout;
        let in_namespace = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => rollout.namespace.starts_with(prefix),
            None => rollout.namespace == *pattern,
        };
        (self.events.is_empty() || self.events.iter().any(|event| event == notification.event.reason))
            && (self.namespaces.is_empty() || self.namespaces.iter().any(in_namespace))
            && self.labels.iter().all(|(key, value)| rollout.labels.get(key) == Some(value))
    }

    /// Where to.
    pub fn url(&self) -> Result<String, String> {
        match (&self.url, &self.url_file) {
            (Some(url), _) => Ok(url.clone()),
            (None, Some(file)) => read(file),
            (None, None) => Err("missing".into()),
        }
    }

    /// What it authorizes the operator with.
    pub fn token(&self) -> Result<Option<String>, String> {
        self.token_file.as_deref().map(read).transpose()
    }
}

fn is_web_address(uri: &http::Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
}

/// Whether this is a web address without a path, a name or anything else: the dashboard's pages are where they are from there.
fn is_origin(url: &str) -> bool {
    url.parse().is_ok_and(|uri: http::Uri| {
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        is_web_address(&uri) && !has_user && uri.path() == "/" && uri.query().is_none() && !url.contains('#')
    })
}

fn read(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    match text.trim() {
        "" => Err(format!("{}: it is empty", file.display())),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Config, read};

    /// As a Secret is while it is made anew, or with the wrong key. Each letter of the cause would be followed by the name of the sink otherwise, since the
    /// address is taken out of it.
    #[test]
    fn a_file_without_an_address_says_so() {
        assert_eq!(read(Path::new("/dev/null")), Err("/dev/null: it is empty".to_owned()));
    }

    #[test]
    fn a_wrong_file_says_what_to_write_instead() {
        let says = |text: &str| format!("{:#}", Config::parse(text).expect_err("it is wrong"));
        assert!(says("sinks: [{name: a}]").contains("exactly one of url and urlFile"));
        assert!(says("sinks: [{name: a, url: here}]").contains("write https://host/path"));
        assert!(says("sinks: [{name: a, url: http://b/, events: [Promote]}]").contains("there are: RevisionCreated"));
        assert!(says("sinks: [{name: a, url: http://b/, sceret: x}]").contains("sceret"));
        assert!(says("sinks: [{name: a, url: http://b/}, {name: a, url: http://b/}]").contains("two sinks named a"));
        assert!(says("sinks: [{name: a, url: http://b/, format: irc}]").contains("irc"));
        for wrong in
            ["releases", "ftp://b", "javascript:alert(1)", "https://b/path", "https://b?a=b", "https://me:secret@b"]
        {
            let config = format!("{{sinks: [], dashboard: {wrong:?}}}");
            assert!(says(&config).contains("write https://host"), "{wrong}");
        }
        for right in ["https://releases.example.com", "http://localhost:8080/"] {
            assert!(Config::parse(&format!("{{sinks: [], dashboard: {right:?}}}")).is_ok(), "{right}");
        }
    }
}

//! The API server's own account of who asked it for what.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use serde_json::Value;

/// One request that the API server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: String,
    /// Plural, with the subresource: `bluegreenrollouts/status`.
    pub resource: String,
    /// Namespace, empty for what has none.
    pub namespace: String,
    /// Name, empty for lists and creates.
    pub name: String,
    /// The client's User-Agent header.
    pub user_agent: String,
    /// Who asked.
    pub user: String,
    /// As whom they asked instead of as themselves (impersonation); empty: as themselves.
    pub acts_as: String,
    /// HTTP status of the answer.
    pub code: u64,
}

/// A reader of the audit log.
#[derive(Clone, Debug)]
pub struct Audit {
    pub(crate) path: PathBuf,
}

impl Audit {
    /// A mark to count from later.
    pub fn mark(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// The finished requests since `mark`, in order.
    pub fn since(&self, mark: u64) -> Result<Vec<Request>> {
        self.read(mark, |_| true)
    }

    /// Those that are about this namespace. What others do meanwhile is hundreds of lines a second: they are not read as JSON.
    pub fn of_namespace(&self, mark: u64, namespace: &str) -> Result<Vec<Request>> {
        let words = format!("\"namespace\":\"{namespace}\"");
        let mut requests = self.read(mark, |line| line.contains(&words))?;
        requests.retain(|request| request.namespace == namespace);
        Ok(requests)
    }

    fn read(&self, mark: u64, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Request>> {
        use std::io::{BufRead, BufReader, Seek, SeekFrom};
        let mut file = std::fs::File::open(&self.path)?;
        file.seek(SeekFrom::Start(mark))?;
        let mut requests = Vec::new();
        for line in BufReader::new(file).lines() {
            let line = line?;
            if !is_wanted(&line) {
                continue;
            }
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let object = &event["objectRef"];
            let subresource = text(&object["subresource"]);
            let slash = if subresource.is_empty() { "" } else { "/" };
            requests.push(Request {
                verb: text(&event["verb"]),
                resource: format!("{}{slash}{subresource}", text(&object["resource"])),
                namespace: text(&object["namespace"]),
                name: text(&object["name"]),
                user_agent: text(&event["userAgent"]),
                user: text(&event["user"]["username"]),
                acts_as: text(&event["impersonatedUser"]["username"]),
                code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
            });
        }
        Ok(requests)
    }

    /// Counts by verb and resource of the requests that a client with this user agent made since `mark`, watches and
    /// leases aside.
    pub fn counts(&self, mark: u64, user_agent: &str, namespace: Option<&str>) -> Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        let requests = match namespace {
            Some(namespace) => self.of_namespace(mark, namespace),
            None => self.since(mark),
        };
        for request in requests? {
            let counted =
                request.user_agent.starts_with(user_agent) && request.verb != "watch" && request.resource != "leases";
            if counted {
                *counts.entry(format!("{} {}", request.verb, request.resource)).or_default() += 1;
            }
        }
        Ok(counts)
    }
}

//! `logs`: what the pods of a revision print. With more than one container, each line begins with where it comes from.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::io::{AsyncBufRead, AsyncBufReadExt};
use futures::stream::{FuturesUnordered, StreamExt};
use greenlight_api::names;
use greenlight_api::text::printable;
use greenlight_overview::containers::{initial, is_sidecar};
use greenlight_overview::{Facts, Known, Role, Session, Whole, gather};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, ResourceExt};

use crate::exit::Exit;
use crate::options::LogsOptions;
use crate::session::{explain, is_final};

/// Prints the logs, and goes on with `--follow` until Ctrl-C.
pub async fn run(session: &Session, options: &LogsOptions) -> Result<Exit> {
    let facts = gather(session, &options.of.name).await?;
    let revision = &revision(&facts, options)?;
    let pods: Api<Pod> = session.api();
    let labelled = format!("{}={}", names::HASH_LABEL, revision.hash);
    if options.follow {
        return follow(session, &labelled, revision, options).await;
    }
    let mut sources = Vec::new();
    for pod in
        session.list::<Pod>(&kube::api::ListParams::default().labels(&labelled)).await.context("cannot list pods")?
    {
        if is_of(&pod, revision) {
            sources.extend(containers(&pod, options)?);
        }
    }
    if sources.is_empty() {
        eprintln!("No pod of revision {} of rollout {} has a container to read.", revision.number, facts.name);
        return Ok(Exit::Done);
    }
    let prefixed = sources.len() > 1;
    let mut failed = Vec::new();
    for source in &sources {
        // One that has printed nothing yet, or never starts, hides no other.
        if let Err(error) = source.print(&pods, options, prefixed).await {
            failed.push(error);
        }
    }
    match failed.pop() {
        Some(error) if failed.len() + 1 == sources.len() => Err(error),
        last => {
            for error in failed.iter().chain(&last) {
                eprintln!("{}", printable(&explain(error, &session.flags)));
            }
            Ok(Exit::Done)
        }
    }
}

/// The revision that is meant.
fn revision(facts: &Facts, options: &LogsOptions) -> Result<Known> {
    let (name, known) = (&facts.name, facts.known());
    if let Some(number) = options.revision {
        let there: Vec<String> = known.iter().map(|known| known.number.to_string()).collect();
        let found = known.into_iter().find(|known| known.number == number);
        return found
            .with_context(|| format!("rollout {name} has no revision {number}; there are: {}", there.join(", ")));
    }
    let of_role = |role: Role| known.iter().find(|known| known.role == role).cloned();
    if options.preview {
        return of_role(Role::Preview).with_context(|| {
            format!("no revision of rollout {name} waits in preview: leave --preview out for the one that serves")
        });
    }
    if let Some(active) = of_role(Role::Active) {
        return Ok(active);
    }
    match of_role(Role::Preview).filter(|_| !options.active) {
        Some(first) => Ok(first),
        None => bail!("no revision of rollout {name} serves: --preview, or --revision NUMBER, names another one"),
    }
}

/// Revisions of two rollouts may have the same hash.
fn is_of(pod: &Pod, revision: &Known) -> bool {
    pod.owner_references().iter().any(|owner| owner.name == revision.replica_set)
}

/// A container that prints.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    pod: String,
    container: String,
}

/// The containers of a pod that are asked for.
fn containers(pod: &Pod, options: &LogsOptions) -> Result<Vec<Source>> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let named = |name: &String| options.container.as_ref().is_none_or(|wanted| wanted == name);
    // Init containers only when one is named: they have done their work. A sidecar has not.
    let initial = initial(pod).filter(|container| options.container.is_some() || is_sidecar(container));
    let all: Vec<String> = containers.chain(initial).map(|container| container.name.clone()).collect();
    let wanted: Vec<Source> = all
        .iter()
        .filter(|name| named(name))
        .map(|container| Source { pod: pod.name_any(), container: container.clone() })
        .collect();
    match &options.container {
        Some(container) if wanted.is_empty() => {
            bail!("pod {} has no container {container}; there are: {}", pod.name_any(), all.join(", "))
        }
        _ => Ok(wanted),
    }
}

impl Source {
    /// Prints what it has printed, and with `--follow` what it prints. It belongs to others: a terminal shows it and obeys nothing of it.
    async fn print(&self, pods: &Api<Pod>, options: &LogsOptions, prefixed: bool) -> Result<()> {
        let params = LogParams {
            container: Some(self.container.clone()),
            follow: options.follow,
            previous: options.previous,
            // All of them, as for kubectl.
            tail_lines: options.tail.filter(|lines| *lines >= 0),
            since_seconds: options.since.filter(|since| !since.is_zero()).and_then(whole_seconds),
            ..LogParams::default()
        };
        let what = || format!("cannot read the log of pod {}, container {}", self.pod, self.container);
        let log = pods.log_stream(&self.pod, &params).await.with_context(what)?;
        let prefix = if prefixed { format!("[{}/{}] ", self.pod, self.container) } else { String::new() };
        let mut out = std::io::stdout();
        let to_terminal = out.is_terminal();
        copy(log, &prefix, to_terminal, &mut out).await.with_context(what)
    }
}

/// Writes each line as it comes. A container may print what is no text: where something is shown (`to_terminal`), as far as that can be; a
/// pipe gets every byte.
async fn copy(
    mut log: impl AsyncBufRead + Unpin,
    prefix: &str,
    to_terminal: bool,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let mut line = Vec::new();
    while log.read_until(b'\n', &mut line).await? > 0 {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let mut told = prefix.as_bytes().to_vec();
        if to_terminal {
            told.extend_from_slice(printable(&String::from_utf8_lossy(text)).as_bytes());
        } else {
            told.extend_from_slice(text);
        }
        told.push(b'\n');
        out.write_all(&told)?;
        line.clear();
    }
    Ok(())
}

/// Prints the logs of the pods that are there, and of those that come, until somebody has seen enough.
async fn follow(session: &Session, labelled: &str, revision: &Known, options: &LogsOptions) -> Result<Exit> {
    let (watched, pods): (Api<Whole<Pod>>, Api<Pod>) = (session.api(), session.api());
    let mut changes = pin!(watcher(watched, Config::default().labels(labelled)).default_backoff());
    let mut known = BTreeSet::new();
    let mut printing = FuturesUnordered::new();
    // One from the beginning to the end: none comes between two.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            change = changes.next() => match change {
                Some(Ok(Event::InitApply(Whole(pod)) | Event::Apply(Whole(pod)))) if is_of(&pod, revision) => {
                    for source in containers(&pod, options)? {
                        // One that has begun anew has another log.
                        let Some(restarts) = started(&pod, &source.container) else { continue };
                        if known.insert((source.clone(), restarts)) {
                            let pods = pods.clone();
                            printing.push(async move { (source.print(&pods, options, true).await, source) });
                        }
                    }
                }
                Some(Err(error)) if is_final(&error) => return Err(anyhow::Error::from(error).context("cannot watch pods")),
                Some(_) => {}
                None => bail!("the watch ended"),
            },
            Some((ended, source)) = printing.next() => {
                // It printed its last line; or it cannot be read, which is told once.
                if let Err(error) = ended {
                    eprintln!("{}", printable(&explain(&error, &session.flags)));
                } else {
                    eprintln!("[{}/{}] ends here.", source.pod, source.container);
                }
            }
            _ = &mut interrupted => return Ok(Exit::Done),
        }
    }
}

/// How often a container has begun anew; `None` if it has not begun, and has no log.
fn started(pod: &Pod, container: &str) -> Option<i32> {
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().chain(&status.init_container_statuses).flatten());
    let status = statuses.into_iter().find(|status| status.name == container)?;
    let state = status.state.as_ref()?;
    (state.running.is_some() || state.terminated.is_some()).then_some(status.restart_count)
}

/// The API server takes whole seconds, and refuses none.
fn whole_seconds(since: Duration) -> Option<i64> {
    i64::try_from(since.as_secs().max(1)).ok()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use futures::io::Cursor;
    use serde_json::json;

    use super::*;
    use crate::options::{Command, Options};

    fn options(flags: &[&str]) -> LogsOptions {
        let args = ["kubectl-greenlight", "logs", "web"].iter().chain(flags);
        match Options::try_parse_from(args).expect("flags").command {
            Command::Logs(options) => options,
            other => panic!("{other:?}"),
        }
    }

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "web-1"},
            "spec": {
                "initContainers": [{"name": "init"}, {"name": "mesh", "restartPolicy": "Always"}],
                "containers": [{"name": "web"}, {"name": "proxy"}],
            },
            "status": {"containerStatuses": [
                {"name": "web", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}},
                {"name": "proxy", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"waiting": {}}},
            ]},
        }))
        .expect("a pod")
    }

    #[test]
    fn all_containers_print_or_the_one_that_is_named() {
        let names = |flags: &[&str]| {
            let sources = containers(&pod(), &options(flags)).expect("there are some");
            sources.into_iter().map(|source| source.container).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["web", "proxy", "mesh"], "a sidecar runs beside them");
        assert_eq!(names(&["-c", "proxy"]), ["proxy"]);
        assert_eq!(names(&["-c", "init"]), ["init"]);
        let error = containers(&pod(), &options(&["-c", "x"])).expect_err("there is none").to_string();
        assert!(error.contains("has no container x; there are: web, proxy, init, mesh"), "{error}");
    }

    #[test]
    fn what_has_started_is_followed_and_again_when_it_begins_anew() {
        let mut pod = pod();
        assert_eq!(["web", "proxy", "init"].map(|container| started(&pod, container)), [Some(0), None, None]);
        let status = pod.status.as_mut().and_then(|status| status.container_statuses.as_mut()).expect("a status");
        status[0].restart_count = 1;
        assert_eq!(started(&pod, "web"), Some(1), "it prints into another log");
    }

    #[tokio::test]
    async fn what_is_no_text_ends_no_log() {
        let log = b"one\xff\x1b[2J\r\n\ntwo".as_slice();
        let (mut shown, mut piped) = (Vec::new(), Vec::new());
        copy(Cursor::new(log), "[web-1/web] ", true, &mut shown).await.expect("read");
        copy(Cursor::new(log), "", false, &mut piped).await.expect("read");
        let shown = String::from_utf8(shown).expect("text");
        assert_eq!(shown, "[web-1/web] one\u{fffd}\u{fffd}[2J \n[web-1/web] \n[web-1/web] two\n");
        assert_eq!(piped, b"one\xff\x1b[2J\r\n\ntwo\n", "as it was printed");
    }

    #[test]
    fn fewer_lines_than_none_are_all() {
        assert_eq!(options(&["--tail", "-1"]).tail, Some(-1));
    }

    #[test]
    fn less_than_a_second_is_a_second() {
        assert_eq!(whole_seconds(Duration::from_millis(500)), Some(1));
        assert_eq!(whole_seconds(Duration::from_secs(90)), Some(90));
    }
}

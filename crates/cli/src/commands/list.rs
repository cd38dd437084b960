//! `get rollouts` and `list`: a line for each. One that cannot be read has a line that says so, and hides no other.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use greenlight_api::text::one_line;
use greenlight_overview::{Found, Place, Session, age};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use serde_json::Value;

use crate::exit::Exit;
use crate::options::{Format, ListFormat, ListOptions};
use crate::output::format::print_facts;
use crate::output::screen::Screen;
use crate::output::style::Style;
use crate::output::table::{Long, table};
use crate::session::is_final;

/// What stands before a name that kubectl takes.
pub const KIND_AND_GROUP: &str = "bluegreenrollout.greenlight.dev/";
/// Changes that come together are drawn together.
const SETTLE: Duration = Duration::from_millis(100);

/// Lists the rollouts, once or for as long as somebody looks.
pub async fn run(session: &Session, options: &ListOptions) -> Result<Exit> {
    let place = if options.all_namespaces { Place::Everywhere } else { Place::Namespace };
    let labels = options.labels.as_deref();
    let machine = options.output.filter(|format| *format != ListFormat::Wide);
    if options.watch {
        if machine.is_some() {
            bail!("--watch shows text for people: leave -o out, or use kubectl get bgr -o json --watch");
        }
        return watch(session, place, labels, options.output.is_some()).await;
    }
    let found = place.list(session, labels).await?.items;
    match machine {
        Some(ListFormat::Name) => found.iter().for_each(|found| println!("{KIND_AND_GROUP}{}", found.name_any())),
        Some(format) => {
            let all: Result<Vec<Value>, _> = found.iter().map(|found| serde_json::from_str(found.json.get())).collect();
            let all = all.context("a rollout is nested too deep to be printed: -o name, or no -o, lists it")?;
            print_facts(&all, if format == ListFormat::Json { Format::Json } else { Format::Yaml })?;
        }
        None if found.is_empty() => eprintln!("No rollouts{} in {}.", with(labels), place_name(session, place)),
        None => {
            let rows = Columns { place, wide: options.output.is_some() }.rows(found.iter(), Timestamp::now());
            print!("{}", table(&rows, Style::detect().width, Long::Cut));
        }
    }
    for (found, error) in found.iter().filter_map(|found| Some((found, found.rollout.as_ref().err()?))) {
        eprintln!("Rollout {} in namespace {} cannot be read: {}", found.name_any(), namespace(found), one_line(error));
    }
    Ok(Exit::Done)
}

fn namespace(found: &Found) -> String {
    found.namespace().unwrap_or_default()
}

fn place_name(session: &Session, place: Place) -> String {
    match place {
        Place::Everywhere => "any namespace".to_owned(),
        Place::Namespace => format!("namespace {}", session.namespace),
    }
}

fn with(labels: Option<&str>) -> String {
    labels.map(|labels| format!(" with {labels}")).unwrap_or_default()
}

/// What of a rollout is shown.
#[derive(Clone, Copy)]
struct Columns {
    place: Place,
    wide: bool,
}

impl Columns {
    fn rows<'a>(self, found: impl Iterator<Item = &'a Found>, now: Timestamp) -> Vec<Vec<String>> {
        let names = ["NAMESPACE", "NAME", "PHASE", "ACTIVE", "PREVIEW", "READY", "AGE"];
        let wide = ["REVISION", "REPLICAS", "IMAGES"].into_iter().filter(|_| self.wide);
        let head = names.into_iter().chain(wide).chain(["MESSAGE"]).map(str::to_owned).collect();
        let mut rows: Vec<Vec<String>> = [head].into_iter().chain(found.map(|found| self.row(found, now))).collect();
        if self.place == Place::Namespace {
            rows.iter_mut().for_each(|row| drop(row.remove(0)));
        }
        rows
    }

    fn row(self, found: &Found, now: Timestamp) -> Vec<String> {
        let created = found.creation_timestamp().map(|created| age(created.0, now)).unwrap_or_default();
        let mut row = vec![namespace(found), found.name_any()];
        match &found.rollout {
            Ok(rollout) => {
                let status = rollout.status.clone().unwrap_or_default();
                row.push(status.phase.as_str().to_owned());
                row.extend([status.active_revision, status.preview_revision, status.ready, created]);
                if self.wide {
                    let images: Vec<String> =
                        rollout.spec.template().images().into_iter().map(|(_, image)| image).collect();
                    row.extend([status.current_revision.to_string(), status.replicas.to_string(), images.join(",")]);
                }
                row.push(status.message);
            }
            Err(error) => {
                row.extend(["Unreadable".to_owned(), String::new(), String::new(), String::new(), created]);
                row.extend((0..3).filter(|_| self.wide).map(|_| String::new()));
                row.push(error.clone());
            }
        }
        row
    }
}

/// Shows the list in its place on a terminal, and elsewhere a line for every change.
async fn watch(session: &Session, place: Place, labels: Option<&str>, wide: bool) -> Result<Exit> {
    let columns = Columns { place, wide };
    let config = Config { label_selector: labels.map(str::to_owned), ..Config::default() };
    let mut changes = pin!(watcher(place.api(session), config).default_backoff());
    let screen = if std::io::stdout().is_terminal() { Some(Screen::open()?) } else { None };
    let mut shown = Shown { columns, found: BTreeMap::new(), printed: BTreeMap::new(), complete: false };
    let result = loop {
        let change = tokio::select! {
            change = changes.next() => change,
            // Ages grow.
            () = tokio::time::sleep(Duration::from_secs(1)), if screen.is_some() && shown.complete => {
                screen.iter().try_for_each(|screen| screen.draw(&shown.picture()))?;
                continue;
            }
            _ = tokio::signal::ctrl_c() => break Ok(Exit::Done),
        };
        match change {
            Some(Ok(event)) => shown.take(event, screen.is_none()),
            Some(Err(error)) if is_final(&error) => {
                break Err(anyhow::Error::from(error).context("cannot watch rollouts"));
            }
            // It comes again.
            Some(Err(_)) => continue,
            None => bail!("the watch ended"),
        }
        if let Some(screen) = screen.as_ref().filter(|_| shown.complete) {
            // What comes at the same moment is drawn together with it.
            while let Ok(Some(Ok(event))) = tokio::time::timeout(SETTLE, changes.next()).await {
                shown.take(event, false);
            }
            screen.draw(&shown.picture())?;
        }
    };
    let on_screen = screen.is_some();
    drop(screen);
    if on_screen {
        print!("{}", shown.picture());
    }
    result
}

/// What is shown of a list that is watched.
struct Shown {
    columns: Columns,
    found: BTreeMap<(String, String), Found>,
    /// The last line that was printed of each, without its age.
    printed: BTreeMap<(String, String), Vec<String>>,
    /// All that was there in the beginning has arrived.
    complete: bool,
}

impl Shown {
    fn take(&mut self, event: Event<Found>, print: bool) {
        let key = |found: &Found| (namespace(found), found.name_any());
        match event {
            Event::Init => self.found.clear(),
            Event::InitApply(found) => drop(self.found.insert(key(&found), found)),
            Event::InitDone => {
                self.complete = true;
                let all: Vec<Found> = self.found.values().cloned().collect();
                if print {
                    self.print(&all);
                }
            }
            Event::Apply(found) => {
                self.found.insert(key(&found), found.clone());
                if print {
                    self.print(&[found]);
                }
            }
            Event::Delete(found) => {
                self.found.remove(&key(&found));
                self.printed.remove(&key(&found));
                if print {
                    println!("{}  deleted", found.name_any());
                }
            }
        }
    }

    fn picture(&self) -> String {
        table(&self.columns.rows(self.found.values(), Timestamp::now()), Style::detect().width, Long::Cut)
    }

    /// Prints those that look otherwise than before, and in the beginning the names of the columns.
    fn print(&mut self, found: &[Found]) {
        let looks = |found: &Found| {
            self.columns.row(found, found.creation_timestamp().map_or(Timestamp::MIN, |created| created.0))
        };
        let is_new = |found: &&Found| self.printed.get(&(namespace(found), found.name_any())) != Some(&looks(found));
        let news: Vec<&Found> = found.iter().filter(is_new).collect();
        let skipped = usize::from(!self.printed.is_empty());
        let text = table(&self.columns.rows(news.iter().copied(), Timestamp::now()), None, Long::Cut);
        if !news.is_empty() {
            print!("{}", text.lines().skip(skipped).map(|line| format!("{line}\n")).collect::<String>());
        }
        let looks: Vec<_> = news.iter().map(|found| ((namespace(found), found.name_any()), looks(found))).collect();
        self.printed.extend(looks);
    }
}

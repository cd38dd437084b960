//! `get rollouts` and `list`: a line for each. One that cannot be read has a line that says so, and hides no other.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{Stream, StreamExt};
use greenlight_api::text::one_line;
use greenlight_overview::{Found, Place, Session, age, quoted, status_of};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event, watcher};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::commands::only_for_people;
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
            return Err(only_for_people(&chosen(place, &session.namespace, labels), &session.flags));
        }
        return watch(session, place, labels, options.output.is_some()).await;
    }
    let found = place.list(session, labels).await?.items;
    match machine {
        Some(ListFormat::Name) => found.iter().for_each(|found| println!("{KIND_AND_GROUP}{}", found.name_any())),
        Some(format) => {
            let list = as_list(&found);
            let list = list.context("a rollout is nested too deep to be printed: -o name, or no -o, lists it")?;
            print_facts(&list, if format == ListFormat::Json { Format::Json } else { Format::Yaml })?;
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

/// All of them as one object, as kubectl prints them: `jq '.items[]'` has them, and `kubectl apply` takes them.
fn as_list(found: &[Found]) -> serde_json::Result<Value> {
    let items = found.iter().map(as_of_now).collect::<serde_json::Result<Vec<Value>>>()?;
    Ok(json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items}))
}

/// The object, without what its status says of an older spec.
fn as_of_now(found: &Found) -> serde_json::Result<Value> {
    let mut object = found.object()?;
    if let Ok(rollout) = &found.rollout {
        let status = status_of(rollout);
        if rollout.status.as_ref().is_some_and(|written| *written != status) {
            object["status"] = serde_json::to_value(status)?;
        }
    }
    Ok(object)
}

/// The words by which kubectl lists the same rollouts.
fn chosen(place: Place, namespace: &str, labels: Option<&str>) -> String {
    let place = match place {
        Place::Everywhere => "-A".to_owned(),
        Place::Namespace => format!("-n {namespace}"),
    };
    let labels = labels.map(|labels| format!(" -l {}", quoted(labels))).unwrap_or_default();
    place + &labels
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
                let status = status_of(rollout);
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
    let config = Config { label_selector: labels.map(str::to_owned), ..Config::default() };
    // One from the beginning to the end: none comes between two.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let mut changes = pin!(watcher(place.api(session), config).default_backoff());
    let screen = if Screen::is_there() { Some(Screen::open()?) } else { None };
    let mut shown = Shown::new(Columns { place, wide });
    let result = loop {
        let change = tokio::select! {
            change = changes.next() => change,
            // Ages grow.
            () = tokio::time::sleep(Duration::from_secs(1)), if screen.is_some() && shown.complete => {
                screen.iter().try_for_each(|screen| screen.draw(&shown.picture(), Long::Cut))?;
                continue;
            }
            _ = &mut interrupted => break Ok(Exit::Done),
        };
        match change {
            Some(Ok(event)) => print!("{}", shown.take(event, screen.is_none())),
            Some(Err(error)) if is_final(&error) => {
                break Err(anyhow::Error::from(error).context("cannot watch rollouts"));
            }
            // Who has seen nothing yet waits for nothing.
            Some(Err(error)) if !shown.complete => {
                break Err(anyhow::Error::from(error).context("cannot list rollouts"));
            }
            // It comes again.
            Some(Err(_)) => continue,
            None => bail!("the watch ended"),
        }
        if let Some(screen) = screen.as_ref().filter(|_| shown.complete) {
            shown.take_more(&mut changes).await;
            screen.draw(&shown.picture(), Long::Cut)?;
        }
    };
    let on_screen = screen.is_some();
    drop(screen);
    if on_screen && shown.complete {
        print!("{}", shown.picture());
    }
    result
}

/// Namespace and name.
type Key = (String, String);

/// What is shown of a list that is watched.
struct Shown {
    columns: Columns,
    found: BTreeMap<Key, Found>,
    /// What has arrived of a list that is read anew: until that is whole, what was there before is shown.
    arriving: BTreeMap<Key, Found>,
    /// The last line that was printed of each, without its age.
    printed: BTreeMap<Key, Vec<String>>,
    /// All that was there in the beginning has arrived.
    complete: bool,
}

impl Shown {
    fn new(columns: Columns) -> Shown {
        let (found, arriving, printed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Shown { columns, found, arriving, printed, complete: false }
    }

    /// Takes what comes at the same moment, so that it is drawn together. A moment has an end, also where changes have none.
    async fn take_more(&mut self, changes: &mut (impl Stream<Item = watcher::Result<Event<Found>>> + Unpin)) {
        let moment = Instant::now() + SETTLE;
        while Instant::now() < moment
            && let Ok(Some(Ok(event))) = timeout_at(moment, changes.next()).await
        {
            self.take(event, false);
        }
    }

    /// Takes a change. The lines that tell of it, if it is to be printed.
    fn take(&mut self, event: Event<Found>, print: bool) -> String {
        let key = |found: &Found| (namespace(found), found.name_any());
        match event {
            Event::Init => self.arriving.clear(),
            Event::InitApply(found) => drop(self.arriving.insert(key(&found), found)),
            Event::InitDone => {
                self.complete = true;
                self.found = std::mem::take(&mut self.arriving);
                if print {
                    let all: Vec<Found> = self.found.values().cloned().collect();
                    return self.gone() + &self.news(&all);
                }
            }
            Event::Apply(found) => {
                self.found.insert(key(&found), found.clone());
                if print {
                    return self.news(&[found]);
                }
            }
            Event::Delete(found) => {
                self.found.remove(&key(&found));
                if print {
                    return self.gone();
                }
            }
        }
        String::new()
    }

    fn picture(&self) -> String {
        table(&self.columns.rows(self.found.values(), Timestamp::now()), Style::detect().width, Long::Cut)
    }

    /// The lines of those that were printed and are there no more.
    fn gone(&mut self) -> String {
        let gone: Vec<Key> = self.printed.keys().filter(|key| !self.found.contains_key(*key)).cloned().collect();
        let line = |(namespace, name): &Key| match self.columns.place {
            Place::Everywhere => format!("{namespace}  {name}  deleted\n"),
            Place::Namespace => format!("{name}  deleted\n"),
        };
        let lines = gone.iter().map(line).collect();
        gone.iter().for_each(|key| drop(self.printed.remove(key)));
        lines
    }

    /// The lines of those that look otherwise than before, and in the beginning the names of the columns.
    fn news(&mut self, found: &[Found]) -> String {
        let looks = |found: &Found| {
            self.columns.row(found, found.creation_timestamp().map_or(Timestamp::MIN, |created| created.0))
        };
        let is_new = |found: &&Found| self.printed.get(&(namespace(found), found.name_any())) != Some(&looks(found));
        let news: Vec<&Found> = found.iter().filter(is_new).collect();
        if news.is_empty() {
            return String::new();
        }
        let skipped = usize::from(!self.printed.is_empty());
        let text = table(&self.columns.rows(news.iter().copied(), Timestamp::now()), None, Long::Cut);
        let looks: Vec<_> = news.iter().map(|found| ((namespace(found), found.name_any()), looks(found))).collect();
        self.printed.extend(looks);
        text.lines().skip(skipped).map(|line| format!("{line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use greenlight_overview::Flags;

    use super::*;

    fn found(namespace: &str, name: &str) -> Found {
        let object = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
            "metadata": {"name": name, "namespace": namespace}, "spec": {"selector": {}, "strategy": {"blueGreen": {}}},
        });
        serde_json::from_str(&object.to_string()).expect("a rollout")
    }

    fn shown(place: Place) -> Shown {
        Shown::new(Columns { place, wide: false })
    }

    #[test]
    fn what_went_while_nothing_was_heard_is_told_and_the_picture_is_whole_meanwhile() {
        let mut shown = shown(Place::Everywhere);
        shown.take(Event::Init, true);
        shown.take(Event::InitApply(found("pay", "web")), true);
        shown.take(Event::InitApply(found("shop", "web")), true);
        assert_eq!(shown.take(Event::InitDone, true).lines().count(), 3, "the names of the columns, and two");
        // The watch has to begin anew, as after a long sleep.
        shown.take(Event::Init, true);
        assert!(shown.picture().contains("shop"), "what is on the screen stays until the list is whole");
        shown.take(Event::InitApply(found("pay", "web")), true);
        assert_eq!(shown.take(Event::InitDone, true), "shop  web  deleted\n");
        assert!(!shown.picture().contains("shop"));
        assert_eq!(shown.take(Event::Delete(found("pay", "web")), true), "pay  web  deleted\n");
    }

    #[test]
    fn who_wants_a_watch_for_machines_is_told_the_command_of_the_same_rollouts() {
        let flags = Flags { of_cluster: " --context prod".to_owned(), of_user: String::new() };
        let told =
            |place: Place, labels: Option<&str>| only_for_people(&chosen(place, "shop", labels), &flags).to_string();
        let watched = "or use kubectl get bgr -o json --watch";
        let in_shop = told(Place::Namespace, None);
        assert!(in_shop.ends_with(&format!("{watched} -n shop --context prod")), "{in_shop}");
        let labelled = told(Place::Everywhere, Some("team in (a,b)"));
        assert!(labelled.ends_with(&format!("{watched} -A -l 'team in (a,b)' --context prod")), "{labelled}");
    }

    #[test]
    fn what_was_said_of_an_older_spec_is_not_listed() {
        let mut found = found("shop", "web");
        let rollout = found.rollout.as_mut().expect("it can be read");
        let status = json!({"phase": "Healthy", "message": "revision 1 is active", "observedGeneration": 3});
        (rollout.metadata.generation, rollout.status) = (Some(3), serde_json::from_value(status).expect("a status"));
        let columns = Columns { place: Place::Namespace, wide: false };
        assert_eq!(columns.row(&found, Timestamp::UNIX_EPOCH)[2], "Healthy");
        found.rollout.as_mut().expect("it can be read").metadata.generation = Some(4);
        let row = columns.row(&found, Timestamp::UNIX_EPOCH);
        assert_eq!(row[2], "Pending");
        assert!(row.last().is_some_and(|message| message.contains("has not looked at it yet")), "{row:?}");
    }

    #[test]
    fn for_machines_a_list_is_one_object_as_kubectl_prints_it() {
        let listed = |found: &[Found]| as_list(found).expect("it is not deep");
        let list = listed(&[found("shop", "web"), found("shop", "cart")]);
        assert_eq!((&list["apiVersion"], &list["kind"]), (&json!("v1"), &json!("List")));
        assert_eq!(list["items"][1]["metadata"]["name"], "cart");
        assert_eq!(listed(&[])["items"], json!([]));
    }

    #[test]
    fn a_script_finds_nothing_that_was_said_of_an_older_spec() {
        let listed = |generation: i64| {
            let ready = json!({
                "type": "Ready", "status": "True", "reason": "Healthy", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            });
            let object = json!({
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
                "metadata": {"name": "web", "namespace": "shop", "generation": generation},
                "spec": {"selector": {}, "strategy": {"blueGreen": {}}},
                "status": {"phase": "Healthy", "observedGeneration": 3, "conditions": [ready], "ofNewerOperator": 1},
            });
            let found: Found = serde_json::from_str(&object.to_string()).expect("a rollout");
            (as_of_now(&found).expect("it is not deep"), object)
        };
        let (told, object) = listed(3);
        assert_eq!(told, object, "as it is");
        let (told, object) = listed(4);
        assert_eq!(told["status"]["phase"], "Pending");
        assert!(told["status"]["conditions"].as_array().is_none_or(Vec::is_empty), "{told}");
        assert_eq!((&told["status"]["observedGeneration"], &told["spec"]), (&json!(3), &object["spec"]));
    }

    #[tokio::test]
    async fn changes_without_an_end_do_not_keep_the_picture_from_being_drawn() {
        let mut shown = shown(Place::Namespace);
        let mut changes = futures::stream::repeat_with(|| Ok(Event::Apply(found("shop", "web"))));
        shown.take_more(&mut changes).await;
        assert!(shown.picture().contains("web"));
    }
}

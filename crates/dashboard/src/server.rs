//! Which address leads where.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use maud::Markup;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;

use crate::action::{self, Action, Outcome, Wish};
use crate::caller::{Access, Caller, Door, TOKEN_COOKIE, same};
use crate::connections;
use crate::guard::{Hosts, guard, is_followed_link};
use crate::lines::lines;
use crate::pages::layout::{Frame, page};
use crate::pages::{confirm, list, login, logs, rollout, yaml};
use crate::room::{Page, Room};
use crate::row::{Filter, Key};

/// Changes of the list that come together are sent together.
const TOGETHER: Duration = Duration::from_millis(100);
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// So many lines of a log are sent before what is written from now on.
const LOG_TAIL: i64 = 1000;

/// How the dashboard is run.
pub struct Settings {
    /// With whose credentials.
    pub access: Access,
    /// Nothing can be done, only seen.
    pub read_only: bool,
    /// The names under which browsers call it, besides those of loopback.
    pub hosts: Vec<String>,
}

struct Dashboard {
    door: Door,
    read_only: bool,
    /// The versions of lists mean something only to the process that counted them.
    epoch: String,
}

type Shared = State<Arc<Dashboard>>;

/// Serves until the future ends.
///
/// # Errors
/// The listener breaks.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    until: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let epoch = jiff::Timestamp::now().as_millisecond().to_string();
    let dashboard = Arc::new(Dashboard { door: Door::new(settings.access), read_only: settings.read_only, epoch });
    let swept = dashboard.clone();
    let sweep = async move {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            swept.door.sweep();
        }
    };
    let server = connections::serve(listener, router(dashboard, settings.hosts));
    // What is being streamed has no end of its own, so nobody waits for it.
    tokio::select! {
        () = server => {}
        () = sweep => {}
        () = until => {}
    }
    Ok(())
}

fn router(dashboard: Arc<Dashboard>, hosts: Vec<String>) -> Router {
    Router::new()
        .route("/", get(show_list))
        .route("/live", get(live_list))
        .route("/login", post(sign_in))
        .route("/leave", post(leave))
        .route("/n/{namespace}/{name}", get(show_rollout))
        .route("/n/{namespace}/{name}/live", get(live_rollout))
        .route("/n/{namespace}/{name}/yaml", get(show_yaml))
        .route("/n/{namespace}/{name}/ask/{action}", get(ask).post(carry_out))
        .route("/n/{namespace}/{name}/logs/{pod}", get(show_logs))
        .route("/n/{namespace}/{name}/logs/{pod}/live", get(live_logs))
        .route("/healthz", get(|| async { "ok" }))
        .route("/assets/style.css", get(|| asset("text/css; charset=utf-8", include_str!("../assets/style.css"))))
        .route("/assets/app.js", get(|| asset("text/javascript; charset=utf-8", include_str!("../assets/app.js"))))
        .route("/assets/icon.svg", get(|| asset("image/svg+xml", include_str!("../assets/icon.svg"))))
        .layer(from_fn_with_state(Arc::new(Hosts(hosts)), guard))
        .with_state(dashboard)
}

async fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

impl Dashboard {
    /// Lets a caller in, or shows the way.
    async fn enter(&self, headers: &HeaderMap, back: &str) -> Result<Caller, Response> {
        self.door.enter(headers).await.map_err(|why| {
            if is_followed_link(headers) {
                return html(&login::again());
            }
            let page = match self.door.access {
                Access::Own { .. } => login::closed(&why),
                Access::Tokens { .. } => login::token(&why, back),
            };
            (StatusCode::UNAUTHORIZED, html(&page)).into_response()
        })
    }

    fn frame<'a>(&self, caller: &'a Caller, headers: &HeaderMap) -> Frame<'a> {
        let pasted = matches!(self.door.access, Access::Tokens { .. }) && !headers.contains_key(header::AUTHORIZATION);
        Frame { user: &caller.desk.user, read_only: self.read_only, can_leave: pasted.then_some(&caller.csrf) }
    }

    /// The room of a rollout. `None`: the caller looks at too many.
    fn room(&self, caller: &Caller, key: &Key) -> Option<Arc<Room>> {
        let desk = &caller.desk;
        let session = caller.session(&key.namespace);
        let open = || Room::open(session, desk.user.clone(), key.clone(), desk.rows.clone(), self.read_only);
        desk.room(key, open)
    }
}

/// One caller has more open than anybody looks at.
fn too_many() -> Response {
    (StatusCode::TOO_MANY_REQUESTS, "You have too many pages open: close some, and load this one again.")
        .into_response()
}

fn html(markup: &Markup) -> Response {
    Html(markup.0.clone()).into_response()
}

/// What stands in the address of the list.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ListQuery {
    key: Option<String>,
    version: String,
    after: String,
    everything: bool,
    q: String,
    namespace: String,
    phase: String,
    label: String,
}

impl ListQuery {
    fn filter(&self) -> Filter {
        let ListQuery { q, namespace, phase, label, .. } = self;
        Filter { q: q.clone(), namespace: namespace.clone(), phase: phase.clone(), label: label.clone() }
    }
}

async fn show_list(State(dashboard): Shared, headers: HeaderMap, Query(query): Query<ListQuery>) -> Response {
    if let (Access::Own { secret, .. }, Some(key)) = (&dashboard.door.access, &query.key) {
        let Some(cookie) = secret.exchange(key) else {
            let why =
                "This key was used already. If it was not you who used it, end the dashboard; then start it again.";
            return (StatusCode::FORBIDDEN, html(&login::closed(why))).into_response();
        };
        return ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response();
    }
    let filter = query.filter();
    let caller = match dashboard.enter(&headers, &format!("/?{}", filter.query())).await {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let frame = dashboard.frame(&caller, &headers);
    if let Some(namespace) = filter.seen() {
        caller.desk.include(namespace);
    }
    if let Err(why) = caller.desk.rows.ready(filter.seen()).await {
        return (StatusCode::FORBIDDEN, html(&rollout::failed(&frame, "Rollouts", &why))).into_response();
    }
    let (rows, version) = caller.desk.rows.all();
    let version = format!("{}-{version}", dashboard.epoch);
    match headers.get("x-part").map(HeaderValue::as_bytes) {
        Some(b"rest") => list::rest_of(&filter, &rows, &query.after).into_response(),
        Some(_) => html(&list::rows_of(&filter, &rows, &version, query.everything)),
        None => html(&list::list(&frame, &filter, &rows, &version, query.everything)),
    }
}

/// The changes of the list since the version that a page shows, and from now on.
async fn live_list(State(dashboard): Shared, headers: HeaderMap, Query(query): Query<ListQuery>) -> Response {
    let caller = match dashboard.enter(&headers, "/").await {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let filter = query.filter();
    let version = query.version.strip_prefix(&format!("{}-", dashboard.epoch)).and_then(|version| version.parse().ok());
    let Ok(place) = caller.desk.streams.clone().try_acquire_owned() else { return too_many() };
    let changes = caller.desk.rows.changes();
    // Holding the desk keeps its watch.
    let desk = (caller.desk, place);
    let state = (desk, changes, version.unwrap_or(u64::MAX), filter, true);
    let events = stream::unfold(state, |(desk, mut changes, version, filter, first)| async move {
        if !first {
            match changes.recv().await {
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
            tokio::time::sleep(TOGETHER).await;
            while changes.try_recv().is_ok() {}
        }
        let rows = &desk.0.rows;
        let (changed, version) = match rows.since(version) {
            Some((changed, now)) => (Some(changed), now),
            None => (None, rows.version()),
        };
        let event = match changed {
            _ if rows.is_denied(filter.seen()) => Some(reload()),
            None => Some(reload()),
            Some(changed) if changed.is_empty() => None,
            Some(changed) => {
                let put = changed.iter().map(|(key, row)| match row.as_ref().filter(|row| filter.wants(row)) {
                    Some(row) => json!({"id": list::id(key), "html": list::one(row).into_string()}),
                    None => json!({"id": list::id(key)}),
                });
                Some(Event::default().event("rows").data(json!(put.collect::<Vec<_>>()).to_string()))
            }
        };
        Some((stream::iter(event.map(Ok::<_, Infallible>)), (desk, changes, version, filter, false)))
    });
    live(events.flatten())
}

/// Has the page read anew what cannot be told in part. A browser overlooks events without data.
fn reload() -> Event {
    Event::default().event("reload").data("now")
}

fn live(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}

async fn show_rollout(
    State(dashboard): Shared,
    headers: HeaderMap,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let key = Key { namespace, name };
    let caller = match dashboard.enter(&headers, &crate::pages::path(&key)).await {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let frame = dashboard.frame(&caller, &headers);
    let Some(room) = dashboard.room(&caller, &key) else { return too_many() };
    let mut pages = room.pages();
    let page = pages.wait_for(Option::is_some).await.ok().and_then(|page| page.clone());
    match page.as_deref() {
        Some(Page::Sections(sections)) => html(&rollout::rollout(&frame, &key, sections)),
        Some(Page::Failed(why)) => {
            // It may be the token. Then the stream of this page is not let in, and the page asks for another one.
            caller.desk.verify(false);
            (StatusCode::NOT_FOUND, html(&rollout::missing(&frame, &key, why))).into_response()
        }
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// The object as it is.
async fn show_yaml(
    State(dashboard): Shared,
    headers: HeaderMap,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let key = Key { namespace, name };
    let caller = match dashboard.enter(&headers, &crate::pages::path(&key)).await {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let frame = dashboard.frame(&caller, &headers);
    let text = async {
        let mut rollout = caller.session(&key.namespace).rollout(&key.name).await?;
        rollout.metadata.managed_fields = None;
        anyhow::Ok(serde_saphyr::to_string(&serde_json::to_value(&rollout)?)?)
    };
    match text.await {
        Ok(text) => html(&page(&key.name, Some(&frame), &yaml::yaml(&key, &text))),
        Err(error) => {
            (StatusCode::NOT_FOUND, html(&rollout::failed(&frame, &key.name, &format!("{error:#}")))).into_response()
        }
    }
}

/// What the page of a rollout shows.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Shows {
    /// Only that the rollout is not there.
    missing: bool,
}

/// The sections of a rollout's page, each when it has changed.
async fn live_rollout(
    State(dashboard): Shared,
    headers: HeaderMap,
    Path((namespace, name)): Path<(String, String)>,
    Query(shows): Query<Shows>,
) -> Response {
    let key = Key { namespace, name };
    let caller = match dashboard.enter(&headers, "/").await {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let Some(room) = dashboard.room(&caller, &key) else { return too_many() };
    let Ok(place) = caller.desk.streams.clone().try_acquire_owned() else { return too_many() };
    let mut pages = room.pages();
    pages.mark_changed();
    // Holding the room and the desk keeps their watches.
    let state = ((room, caller.desk, place), pages, Vec::new());
    let events = stream::unfold(state, move |(held, mut pages, sent)| async move {
        pages.changed().await.ok()?;
        let page = pages.borrow_and_update().clone();
        let is_missing = matches!(page.as_deref(), None | Some(Page::Failed(_)));
        let Some(page) = page.filter(|_| !(shows.missing && is_missing)) else {
            return Some((stream::iter(None), (held, pages, sent)));
        };
        let (event, sent) = match &*page {
            Page::Sections(_) if shows.missing => (reload(), Vec::new()),
            Page::Sections(sections) => {
                let changed = sections.iter().filter(|section| !sent.contains(*section));
                let changed: Vec<_> = changed.map(|section| json!({"id": section.id, "html": section.html})).collect();
                (Event::default().event("sections").data(json!(changed).to_string()), sections.clone())
            }
            Page::Failed(_) => (reload(), Vec::new()),
        };
        Some((stream::iter(Some(Ok(event))), (held, pages, sent)))
    });
    live(events.flatten())
}

/// A part of a page for the dialog; for a browser without a script, a page.
fn in_dialog(dashboard: &Dashboard, caller: &Caller, headers: &HeaderMap, title: &str, part: &Markup) -> Response {
    if headers.contains_key("x-part") {
        return html(part);
    }
    let framed = maud::html! { section class="narrow card" { (part) } };
    html(&page(title, Some(&dashboard.frame(caller, headers)), &framed))
}

async fn ask(
    State(dashboard): Shared,
    headers: HeaderMap,
    Path((namespace, name, action)): Path<(String, String, String)>,
    Query(wish): Query<Wish>,
) -> Response {
    let key = Key { namespace, name };
    let caller = match dashboard.enter(&headers, &crate::pages::path(&key)).await {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let Some(action) = Action::parse(&action) else { return StatusCode::NOT_FOUND.into_response() };
    let session = caller.session(&key.namespace);
    let part = match action::forecast(&session, &key.name, &caller.desk.user, action, &wish).await {
        Ok(forecast) => {
            let number = number_of(&session, &key, &wish.revision).await;
            confirm::ask(&key, action, number, &wish, &forecast, &caller.csrf)
        }
        Err(error) => confirm::denied(&key, &format!("{error:#}")),
    };
    in_dialog(&dashboard, &caller, &headers, action.label(), &part)
}

/// The number of a revision.
async fn number_of(session: &greenlight_overview::Session, key: &Key, hash: &str) -> Option<i64> {
    let status = session.rollout(&key.name).await.ok()?.status?;
    Some(status.decisions?.revision(hash)?.number)
}

async fn carry_out(
    State(dashboard): Shared,
    headers: HeaderMap,
    Path((namespace, name, action)): Path<(String, String, String)>,
    Form(wish): Form<Wish>,
) -> Response {
    let key = Key { namespace, name };
    let caller = match dashboard.enter(&headers, &crate::pages::path(&key)).await {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let Some(action) = Action::parse(&action) else { return StatusCode::NOT_FOUND.into_response() };
    let refused = |why: &str| {
        (StatusCode::FORBIDDEN, in_dialog(&dashboard, &caller, &headers, action.label(), &confirm::denied(&key, why)))
            .into_response()
    };
    if dashboard.read_only {
        return refused(
            "This dashboard is read-only: use kubectl greenlight, or one that was started without --read-only.",
        );
    }
    if !same(&wish.csrf, &caller.csrf) {
        return refused("This form was not made for you: load the page again.");
    }
    let session = caller.session(&key.namespace);
    match action::carry_out(&session, &key.name, &caller.desk.user, action, &wish).await {
        Ok(outcome) => {
            let part = confirm::answer(&key, action, &outcome);
            let status = if matches!(outcome, Outcome::Refused(_)) { StatusCode::CONFLICT } else { StatusCode::OK };
            (status, in_dialog(&dashboard, &caller, &headers, action.label(), &part)).into_response()
        }
        Err(error) => refused(&format!("{error:#}")),
    }
}

#[derive(Deserialize)]
struct Login {
    token: String,
    #[serde(default)]
    back: String,
}

/// Takes a token into the browser's cookie. Whether it is good shows with the next page.
async fn sign_in(State(dashboard): Shared, Form(form): Form<Login>) -> Response {
    if matches!(dashboard.door.access, Access::Own { .. }) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let token = form.token.trim();
    let cookie = format!("{TOKEN_COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Secure");
    let is_token =
        !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ';' | ',' | '"' | '\\'));
    let Some(cookie) = HeaderValue::from_str(&cookie).ok().filter(|_| is_token) else {
        let page = login::token("This is no token: it has characters that none has.", &form.back);
        return (StatusCode::BAD_REQUEST, html(&page)).into_response();
    };
    // Only to a page of ours: `//elsewhere` is another host.
    let is_ours = form.back.starts_with('/') && !form.back.starts_with("//") && !form.back.contains('\\');
    let back = if is_ours { form.back.as_str() } else { "/" };
    ([(header::SET_COOKIE, cookie)], Redirect::to(back)).into_response()
}

/// Has the browser forget the token.
async fn leave(State(dashboard): Shared, headers: HeaderMap, Form(wish): Form<Wish>) -> Response {
    let caller = match dashboard.enter(&headers, "/").await {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    if !same(&wish.csrf, &caller.csrf) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let cookie = format!("{TOKEN_COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=0");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LogQuery {
    container: String,
    previous: bool,
}

async fn show_logs(
    State(dashboard): Shared,
    headers: HeaderMap,
    Path((namespace, name, pod)): Path<(String, String, String)>,
    Query(query): Query<LogQuery>,
) -> Response {
    let key = Key { namespace, name };
    let caller = match dashboard.enter(&headers, &crate::pages::path(&key)).await {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let frame = dashboard.frame(&caller, &headers);
    let object = match caller.session(&key.namespace).api::<Pod>().get(&pod).await {
        Ok(object) => object,
        Err(error) => return html(&rollout::failed(&frame, &pod, &error.to_string())),
    };
    let containers: Vec<String> =
        object.spec.into_iter().flat_map(|spec| spec.containers).map(|container| container.name).collect();
    let container = containers.iter().find(|name| **name == query.container).or(containers.first());
    let container = container.cloned().unwrap_or_default();
    html(&page(&pod, Some(&frame), &logs::logs(&key, &pod, &containers, &container, query.previous)))
}

async fn live_logs(
    State(dashboard): Shared,
    headers: HeaderMap,
    Path((namespace, _, pod)): Path<(String, String, String)>,
    Query(query): Query<LogQuery>,
) -> Response {
    let caller = match dashboard.enter(&headers, "/").await {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let params = LogParams {
        container: Some(query.container).filter(|container| !container.is_empty()),
        follow: !query.previous,
        previous: query.previous,
        tail_lines: Some(LOG_TAIL),
        ..LogParams::default()
    };
    let Ok(place) = caller.desk.streams.clone().try_acquire_owned() else { return too_many() };
    let said = |kind: &str, text: &str| Ok(Event::default().event(kind).data(crate::pages::plain(text).as_ref()));
    match caller.session(&namespace).api::<Pod>().log_stream(&pod, &params).await {
        Ok(log) => {
            let lines = lines(log).map(move |line| {
                let _held = &place;
                match line {
                    Ok(line) => said("line", &line),
                    Err(error) => said("end", &error.to_string()),
                }
            });
            let end = stream::once(async move { said("end", "The log ends here.") });
            live(lines.chain(end))
        }
        Err(error) => live(stream::once(async move { said("end", &error.to_string()) })),
    }
}

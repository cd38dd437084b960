//! Which address leads where.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Form, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures::{Stream, StreamExt, stream};
use greenlight_api::Decisions;
use greenlight_overview::again::Busy;
use greenlight_overview::{Found, Whole, is_forbidden, reason};
use k8s_openapi::api::core::v1::Pod;
use maud::Markup;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;

use crate::action::{self, Action, Forecast, Outcome, Wish};
use crate::caller::{Access, Caller, Door, Refusal, is_forwarded, same, token_cookie};
use crate::connections;
use crate::ends::Ends;
use crate::guard::{Hosts, guard, is_followed_link, is_to_loopback};
use crate::log::{self, Told};
use crate::pages::layout::{Frame, page};
use crate::pages::list::Listed;
use crate::pages::rollout::Section;
use crate::pages::{confirm, list, login, logs, rollout, yaml};
use crate::room::{Page, Room};
use crate::row::{Filter, Key};
use crate::silence::said;

/// Changes of the list that come together are sent together.
const TOGETHER: Duration = Duration::from_millis(100);
/// A page that has heard nothing for four times as long begins anew: see `SILENT` in `app.js`.
const HEARD_EVERY: Duration = Duration::from_secs(10);
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Browsers keep no cookie whose name and value have more bytes than this, and do not say so.
const LARGEST_COOKIE: usize = 4096;

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
        .fallback(|| async { (StatusCode::NOT_FOUND, "There is no such page.") })
        .route("/assets/style.css", get(|| asset("text/css; charset=utf-8", include_str!("../assets/style.css"))))
        .route("/assets/app.js", get(|| asset("text/javascript; charset=utf-8", include_str!("../assets/app.js"))))
        .route("/assets/icon.svg", get(|| asset("image/svg+xml", include_str!("../assets/icon.svg"))))
        .layer(from_fn_with_state(Arc::new(Hosts(hosts)), guard))
        .with_state(dashboard)
}

async fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// Somebody who was let in, and how they look.
struct Visitor {
    caller: Caller,
    /// Nothing can be done here.
    read_only: bool,
    /// They pasted a token, and can have it forgotten.
    can_leave: bool,
    /// A script asks for a part of a page, and shows it in the page that is open.
    takes_part: bool,
}

impl FromRequestParts<Arc<Dashboard>> for Visitor {
    type Rejection = Response;

    /// Lets a caller in, or shows the way.
    async fn from_request_parts(parts: &mut Parts, dashboard: &Arc<Dashboard>) -> Result<Visitor, Response> {
        let headers = &parts.headers;
        let is_of_another_user = || parts.extensions.get::<Ends>().is_some_and(Ends::is_of_another_user);
        if matches!(dashboard.door.access, Access::Own { .. }) && is_of_another_user() {
            return Err(of_another_user());
        }
        let caller = dashboard.door.enter(headers).await.map_err(|why| {
            if is_followed_link(headers) {
                return html(&login::again());
            }
            let why = match why {
                Refusal::Unknown(why) => why,
                Refusal::NotNow(why) => {
                    return (StatusCode::SERVICE_UNAVAILABLE, html(&login::not_now(&why))).into_response();
                }
            };
            let page = match dashboard.door.access {
                Access::Own { .. } => login::closed(&why),
                Access::Tokens { .. } => login::token(&why, &page_of(&parts.uri)),
            };
            (StatusCode::UNAUTHORIZED, html(&page)).into_response()
        })?;
        let pasted = matches!(dashboard.door.access, Access::Tokens { .. });
        let can_leave = pasted && !is_forwarded(headers);
        let takes_part = headers.contains_key("x-part");
        Ok(Visitor { caller, read_only: dashboard.read_only, can_leave, takes_part })
    }
}

impl Visitor {
    fn frame(&self) -> Frame<'_> {
        let can_leave = self.can_leave.then_some(self.caller.csrf.as_str());
        let Caller { desk, session, .. } = &self.caller;
        Frame { cluster: &session.cluster, user: &desk.user, read_only: self.read_only, can_leave }
    }

    /// The room of a rollout. `None`: they look at too many.
    fn room(&self, key: &Key) -> Option<Arc<Room>> {
        let desk = &self.caller.desk;
        let session = self.caller.session(&key.namespace);
        let open = || Room::open(session, desk.user.clone(), key.clone(), desk.rows.clone(), self.read_only);
        desk.room(key, open)
    }

    /// A part of a page for the dialog; for a browser without a script, a page.
    fn in_dialog(&self, title: &str, part: &Markup) -> Response {
        if self.takes_part {
            return html(part);
        }
        let framed = maud::html! { section class="narrow card" { (part) } };
        html(&page(title, Some(&self.frame()), &framed))
    }
}

/// The page that an address belongs to: the list with its filter, or a rollout.
fn page_of(uri: &Uri) -> String {
    let mut parts = uri.path().split('/').skip(1);
    match (parts.next(), parts.next(), parts.next()) {
        (Some("n"), Some(namespace), Some(name)) => format!("/n/{namespace}/{name}"),
        (Some(""), ..) => uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned(),
        _ => "/".to_owned(),
    }
}

/// Whatever they show: a cookie knows no port, so a browser sends it to whoever serves another page on this machine.
fn of_another_user() -> Response {
    let why = "Another user of this machine started this dashboard. Start one of your own.";
    (StatusCode::FORBIDDEN, html(&login::closed(why))).into_response()
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

async fn show_list(
    State(dashboard): Shared,
    ends: Option<Extension<Ends>>,
    visitor: Result<Visitor, Response>,
    headers: HeaderMap,
    Query(query): Query<ListQuery>,
) -> Response {
    if let (Access::Own { secret, first, .. }, Some(key)) = (&dashboard.door.access, &query.key) {
        // Whoever has gone would only use the key up.
        if ends.is_some_and(|ends| ends.is_of_another_user() || ends.is_left()) {
            return of_another_user();
        }
        let Some(cookie) = secret.exchange(key) else {
            let why =
                "This key was used already. If it was not you who used it, end the dashboard; then start it again.";
            return (StatusCode::FORBIDDEN, html(&login::closed(why))).into_response();
        };
        return ([(header::SET_COOKIE, cookie)], Redirect::to(first)).into_response();
    }
    let visitor = match visitor {
        Ok(visitor) => visitor,
        Err(response) => return response,
    };
    let (filter, rows) = (query.filter(), &visitor.caller.desk.rows);
    let frame = visitor.frame();
    if let Some(namespace) = filter.seen() {
        visitor.caller.desk.include(namespace);
    }
    if let Err(why) = rows.ready(filter.seen()).await {
        return (StatusCode::FORBIDDEN, html(&list::denied(&frame, &filter.namespace, &why))).into_response();
    }
    let (all, version) = rows.all();
    let version = format!("{}-{version}", dashboard.epoch);
    let (is_partial, silence) = (rows.is_partial(), rows.silence(filter.seen()));
    let silence = silence.as_ref();
    let listed = Listed { rows: &all, version: &version, is_partial, silence, everything: query.everything };
    match headers.get("x-part").map(HeaderValue::as_bytes) {
        Some(b"rest") => list::rest_of(&filter, &all, &query.after).into_response(),
        Some(_) => html(&list::rows_of(&filter, &listed)),
        None => html(&list::list(&frame, &filter, &listed)),
    }
}

/// The changes of the list since the version that a page shows, and from now on.
async fn live_list(State(dashboard): Shared, visitor: Visitor, Query(query): Query<ListQuery>) -> Response {
    let caller = visitor.caller;
    let filter = query.filter();
    let version = query.version.strip_prefix(&format!("{}-", dashboard.epoch)).and_then(|version| version.parse().ok());
    let Ok(place) = caller.desk.streams.clone().try_acquire_owned() else { return too_many() };
    let (changes, signals) = (caller.desk.rows.changes(), caller.desk.rows.signals());
    // Holding the desk keeps its watch.
    let desk = (caller.desk, place);
    let said: Option<Section> = None;
    let state = (desk, changes, signals, version.unwrap_or(u64::MAX), filter, said);
    let events = stream::unfold(state, |(desk, mut changes, mut signals, version, filter, said)| async move {
        if said.is_some() {
            let goes_on = tokio::select! {
                changed = changes.recv() => !matches!(changed, Err(RecvError::Closed)),
                signal = signals.changed() => signal.is_ok(),
            };
            if !goes_on {
                return None;
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
        let silence = rollout::silence_section(rows.silence(filter.seen()).as_ref());
        let age = (said.as_ref() != Some(&silence)).then(|| changed_sections([&silence]));
        let events = age.into_iter().chain(event).map(Ok::<_, Infallible>);
        Some((stream::iter(events), (desk, changes, signals, version, filter, Some(silence))))
    });
    live(events.flatten())
}

/// Has the page read anew what cannot be told in part. A browser overlooks events without data.
fn reload() -> Event {
    Event::default().event("reload").data("now")
}

/// Has the page show these sections as they are now.
fn changed_sections<'a>(sections: impl IntoIterator<Item = &'a Section>) -> Event {
    let sections = sections.into_iter().map(|section| json!({"id": section.id, "html": section.html}));
    Event::default().event("sections").data(json!(sections.collect::<Vec<_>>()).to_string())
}

/// A stream that a page is told by. It is never silent for long: a page that hears nothing knows that its connection is dead.
fn live(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let alive = Event::default().event("alive").data("now");
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARD_EVERY).event(alive)).into_response()
}

async fn show_rollout(visitor: Visitor, Path(key): Path<Key>) -> Response {
    let frame = visitor.frame();
    let Some(room) = visitor.room(&key) else { return too_many() };
    let mut pages = room.pages();
    let page = pages.wait_for(Option::is_some).await.ok().and_then(|page| page.clone());
    match page.as_deref() {
        Some(Page::Sections(sections)) => html(&rollout::rollout(&frame, &key, sections)),
        Some(Page::Failed(why)) => {
            // It may be the token. Then the stream of this page is not let in, and the page asks for another one.
            visitor.caller.desk.verify(false);
            (StatusCode::NOT_FOUND, html(&rollout::missing(&frame, &key, why))).into_response()
        }
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// The object as it is.
async fn show_yaml(visitor: Visitor, Path(key): Path<Key>) -> Response {
    let frame = visitor.frame();
    let text = async {
        let found = visitor.caller.session(&key.namespace).api::<Found>().get(&key.name).await?;
        anyhow::Ok(serde_saphyr::to_string(&found.object()?)?)
    };
    match text.await {
        Ok(text) => html(&page(&key.name, Some(&frame), &yaml::yaml(&key, &text))),
        Err(error) => {
            (StatusCode::NOT_FOUND, html(&rollout::failed(&frame, &key.name, &said(&*error)))).into_response()
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
async fn live_rollout(visitor: Visitor, Path(key): Path<Key>, Query(shows): Query<Shows>) -> Response {
    let Some(room) = visitor.room(&key) else { return too_many() };
    let caller = visitor.caller;
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
                (changed_sections(changed), sections.clone())
            }
            Page::Failed(_) => (reload(), Vec::new()),
        };
        Some((stream::iter(Some(Ok(event))), (held, pages, sent)))
    });
    live(events.flatten())
}

/// The action that an address names.
#[derive(Deserialize)]
struct Named {
    action: String,
}

async fn ask(
    visitor: Visitor,
    Path(key): Path<Key>,
    Path(named): Path<Named>,
    Query(mut wish): Query<Wish>,
) -> Response {
    let Some(action) = Action::parse(&named.action) else { return StatusCode::NOT_FOUND.into_response() };
    let caller = &visitor.caller;
    let session = caller.session(&key.namespace);
    let forecast = action::forecast(&session, &key.name, &caller.desk.user, action, &wish).await;
    let part = match forecast {
        Ok(forecast) => {
            // Whatever changes until it is confirmed, production goes where this says, or nowhere.
            if let Forecast::Steps { to, .. } = &forecast {
                wish.to.clone_from(to);
            }
            let decisions = decisions(&session, &key).await;
            confirm::ask(&key, action, &decisions, &wish, &forecast, &caller.csrf)
        }
        Err(error) => confirm::failed(&key, failure_of(&error).1, &said(&*error)),
    };
    visitor.in_dialog(action.label(), &part)
}

/// What is on record of a rollout's revisions, if it can be read.
async fn decisions(session: &greenlight_overview::Session, key: &Key) -> Decisions {
    let status = session.rollout(&key.name).await.ok().and_then(|rollout| rollout.status);
    status.and_then(|status| status.decisions).unwrap_or_default()
}

async fn carry_out(
    visitor: Visitor,
    Path(key): Path<Key>,
    Path(named): Path<Named>,
    Form(wish): Form<Wish>,
) -> Response {
    let Some(action) = Action::parse(&named.action) else { return StatusCode::NOT_FOUND.into_response() };
    let caller = &visitor.caller;
    let failed = |status: StatusCode, title: &str, why: &str| {
        (status, visitor.in_dialog(action.label(), &confirm::failed(&key, title, why))).into_response()
    };
    if visitor.read_only {
        return failed(
            StatusCode::FORBIDDEN,
            NOT_ALLOWED,
            "This dashboard is read-only: use kubectl greenlight, or one that was started without --read-only.",
        );
    }
    if !same(&wish.csrf, &caller.csrf) {
        return failed(StatusCode::FORBIDDEN, NOT_ALLOWED, "This form was not made for you: load the page again.");
    }
    let session = caller.session(&key.namespace);
    match action::carry_out(&session, &key.name, &caller.desk.user, action, &wish).await {
        Ok(outcome) => {
            let part = confirm::answer(&key, action, &outcome);
            let status = if matches!(outcome, Outcome::Refused(_)) { StatusCode::CONFLICT } else { StatusCode::OK };
            (status, visitor.in_dialog(action.label(), &part)).into_response()
        }
        Err(error) => {
            let (status, title) = failure_of(&error);
            failed(status, title, &said(&*error))
        }
    }
}

const NOT_ALLOWED: &str = "Not allowed";
const TOO_BUSY: (StatusCode, &str) = (StatusCode::SERVICE_UNAVAILABLE, "The API server is too busy");

/// What an error is to whoever asked: its status, and what it is called. Only what the API server refuses is not allowed.
fn failure_of(error: &anyhow::Error) -> (StatusCode, &'static str) {
    match error.downcast_ref::<kube::Error>() {
        Some(error) if is_forbidden(error) => (StatusCode::FORBIDDEN, NOT_ALLOWED),
        Some(kube::Error::Api(status)) if status.code == 401 => (StatusCode::UNAUTHORIZED, "Not signed in any more"),
        Some(kube::Error::Api(status)) if status.code == 429 => TOO_BUSY,
        Some(kube::Error::Api(status)) if (400..500).contains(&status.code) => {
            (StatusCode::CONFLICT, "The API server does not take it")
        }
        Some(error) if Busy::cause_of(error).is_some() => TOO_BUSY,
        Some(_) => (StatusCode::BAD_GATEWAY, "The API server gives no answer"),
        // There is no such rollout, or it cannot be read.
        None => (StatusCode::NOT_FOUND, "There is nothing to do it with"),
    }
}

#[derive(Deserialize)]
struct Login {
    token: String,
    #[serde(default)]
    back: String,
}

/// Takes a token into the browser's cookie. Whether it is good shows with the next page.
async fn sign_in(State(dashboard): Shared, headers: HeaderMap, Form(form): Form<Login>) -> Response {
    if matches!(dashboard.door.access, Access::Own { .. }) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let token = form.token.trim();
    if let Some(why) = not_kept(&headers, token) {
        return (StatusCode::BAD_REQUEST, html(&login::token(&why, &form.back))).into_response();
    }
    let cookie = format!("{}={token}; Path=/; HttpOnly; SameSite=Strict; Secure", token_cookie(&headers));
    let is_token =
        !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ';' | ',' | '"' | '\\'));
    let Some(cookie) = HeaderValue::from_str(&cookie).ok().filter(|_| is_token) else {
        let page = login::token("This is no token: it has characters that none has.", &form.back);
        return (StatusCode::BAD_REQUEST, html(&page)).into_response();
    };
    let back = if is_ours(&form.back) { form.back.as_str() } else { "/" };
    ([(header::SET_COOKIE, cookie)], Redirect::to(back)).into_response()
}

/// Why a browser would not keep this token, which it does not say: the person would be asked for it again and again.
fn not_kept(headers: &HeaderMap, token: &str) -> Option<String> {
    if token_cookie(headers).len() + token.len() > LARGEST_COOKIE {
        let length = token.len();
        return Some(format!(
            "No browser keeps a token of {length} bytes in a cookie. Take a shorter one, of a ServiceAccount say, or have a proxy send it."
        ));
    }
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let is_open = origin.is_some_and(|origin| origin.starts_with("http://")) && !is_to_loopback(headers);
    is_open.then(|| "No browser keeps a token for a page that came without https. Open this page by https.".to_owned())
}

/// Whether an address is that of a page of ours. `//elsewhere` is another host, and so is what a browser reads as that: it takes `\` for
/// `/`, and tabs for nothing.
fn is_ours(address: &str) -> bool {
    address.starts_with('/') && !address.starts_with("//") && address.chars().all(|c| c.is_ascii_graphic() && c != '\\')
}

/// Has the browser forget the token.
async fn leave(visitor: Visitor, headers: HeaderMap, Form(wish): Form<Wish>) -> Response {
    if !same(&wish.csrf, &visitor.caller.csrf) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let cookie = format!("{}=; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=0", token_cookie(&headers));
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LogQuery {
    container: String,
    previous: bool,
}

/// The pod that an address names.
#[derive(Deserialize)]
struct OfPod {
    pod: String,
}

async fn show_logs(
    visitor: Visitor,
    Path(key): Path<Key>,
    Path(OfPod { pod }): Path<OfPod>,
    Query(query): Query<LogQuery>,
) -> Response {
    let frame = visitor.frame();
    let object = match visitor.caller.session(&key.namespace).api::<Whole<Pod>>().get(&pod).await {
        Ok(Whole(object)) => object,
        Err(error) => return html(&rollout::failed(&frame, &pod, &reason(&error))),
    };
    let containers = logs::containers(&object);
    let container = containers.iter().find(|name| **name == query.container).or(containers.first());
    let container = container.cloned().unwrap_or_default();
    html(&page(&pod, Some(&frame), &logs::logs(&key, &pod, &containers, &container, query.previous)))
}

async fn live_logs(
    visitor: Visitor,
    Path(key): Path<Key>,
    Path(OfPod { pod }): Path<OfPod>,
    Query(LogQuery { container, previous }): Query<LogQuery>,
) -> Response {
    let caller = visitor.caller;
    let Ok(place) = caller.desk.streams.clone().try_acquire_owned() else { return too_many() };
    let event = |kind: &str, text: &str| Ok(Event::default().event(kind).data(crate::pages::plain(text).as_ref()));
    match log::told(&caller.session(&key.namespace), &pod, &container, previous).await {
        Ok(told) => live(told.map(move |told| {
            let _held = &place;
            match told {
                Told::Line(line) => event("line", &line),
                Told::End(why) => event("end", &why),
            }
        })),
        Err(error) => live(stream::once(async move { event("end", &said(&*error)) })),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use greenlight_overview::Session;

    use super::*;
    use crate::desk::Desk;
    use crate::fake::{self, Asked, allowed, api_server, failure, nothing, session};

    #[test]
    fn who_has_to_sign_in_comes_back_to_the_page_and_not_to_a_part_of_it() {
        let page = |uri: &'static str| page_of(&Uri::from_static(uri));
        assert_eq!(page("/?namespace=shop&q=a"), "/?namespace=shop&q=a");
        assert_eq!(page("/n/shop/web/ask/promote?revision=v2"), "/n/shop/web");
        assert_eq!(page("/n/shop/web/logs/web-1/live"), "/n/shop/web");
        assert_eq!(page("/live?version=1"), "/");
    }

    #[tokio::test]
    async fn only_what_the_api_server_refuses_is_called_not_allowed() {
        for (code, status) in [(403, 403), (401, 401), (409, 409), (422, 409), (429, 503), (500, 502), (504, 502)] {
            let session = session(api_server(move |_| async move { failure(code, "no") }));
            let asked = action::carry_out(&session, "web", "ann", Action::Pause, &Wish::default()).await;
            let (told, title) = failure_of(&asked.err().expect("it fails"));
            assert_eq!((told.as_u16(), title == NOT_ALLOWED), (status, code == 403), "{code}: {title}");
        }
        let gone = failure_of(&anyhow::anyhow!("no rollout web in namespace shop"));
        assert_eq!(gone.0, StatusCode::NOT_FOUND);
    }

    /// Asks the API server as ann.
    fn visitor(session: Session) -> Visitor {
        let desk = Desk::open(session.client.clone(), "ann".to_owned(), "shop");
        let caller = Caller { desk, csrf: String::new(), session };
        Visitor { caller, read_only: false, can_leave: false, takes_part: false }
    }

    #[tokio::test]
    async fn the_yaml_is_the_object_as_it_is_also_what_this_version_does_not_know() {
        let mut object = fake::rollout(json!({}), json!({"ofNewerOperator": "seven"}));
        object["spec"]["restartAt"] = json!("9999-12-31T23:59:59Z");
        object["metadata"]["managedFields"] = json!([{"manager": "someone"}]);
        let client = api_server(move |call: Asked| {
            let is_rollout = call.path.ends_with("/bluegreenrollouts/web");
            std::future::ready(if is_rollout { (200, object.clone()) } else { nothing() })
        });
        let key = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
        let page = show_yaml(visitor(session(client)), Path(key)).await;
        assert_eq!(page.status(), StatusCode::OK);
        let page = axum::body::to_bytes(page.into_body(), usize::MAX).await.expect("it can be read");
        let page = String::from_utf8_lossy(&page);
        assert!(page.contains("ofNewerOperator: seven") && page.contains("9999-12-31T23:59:59Z"), "{page}");
        assert!(!page.contains("managedFields"), "{page}");
    }

    #[tokio::test]
    async fn the_list_does_not_look_new_while_the_api_server_does_not_answer() {
        let down = Arc::new(AtomicBool::new(false));
        let is_down = down.clone();
        let client = api_server(move |call: Asked| {
            let is_down = is_down.clone();
            async move {
                while call.is_watch() && !is_down.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                if is_down.load(Ordering::SeqCst) {
                    failure(503, "no")
                } else if call.path.ends_with("/selfsubjectaccessreviews") {
                    allowed(true)
                } else {
                    nothing()
                }
            }
        });
        let visitor = visitor(session(client));
        let rows = visitor.caller.desk.rows.clone();
        rows.ready(None).await.expect("a list");
        let cluster = Box::new(kube::Config::new(Uri::from_static("https://127.0.0.1:1")));
        let door = Door::new(Access::Tokens { cluster });
        let dashboard = Arc::new(Dashboard { door, read_only: false, epoch: "1".to_owned() });
        let query = ListQuery { version: format!("1-{}", rows.version()), ..ListQuery::default() };
        let mut told = live_list(State(dashboard), visitor, Query(query)).await.into_body().into_data_stream();
        let mut says_so = async || loop {
            let part = tokio::time::timeout(Duration::from_secs(60), told.next()).await.expect("in time");
            let part = part.expect("it goes on").expect("it can be read");
            let part = String::from_utf8_lossy(&part);
            if part.contains("event: sections") {
                return part.contains("The API server does not answer");
            }
        };
        assert!(!says_so().await);
        down.store(true, Ordering::SeqCst);
        assert!(says_so().await);
        down.store(false, Ordering::SeqCst);
        assert!(!says_so().await);
    }

    #[tokio::test]
    async fn a_stream_that_has_nothing_to_tell_is_heard_all_the_same() {
        let mut told = live(stream::pending()).into_body().into_data_stream();
        let part = tokio::time::timeout(3 * HEARD_EVERY, told.next()).await.expect("in time");
        let part = part.expect("it goes on").expect("it can be read");
        assert!(part.starts_with(b"event: alive\ndata: now\n"), "{}", String::from_utf8_lossy(&part));
    }

    #[test]
    fn nobody_is_led_elsewhere_after_they_signed_in() {
        assert!(["/", "/?q=a+b", "/n/shop/web"].into_iter().all(is_ours));
        let elsewhere = ["", "//evil.example", "/\t/evil.example", "/\\evil.example", "/\r\nx", "https://evil.example"];
        assert!(!elsewhere.into_iter().any(is_ours));
    }

    #[tokio::test]
    async fn a_token_that_no_browser_keeps_is_not_taken_without_a_word() {
        let cluster = Box::new(kube::Config::new(Uri::from_static("https://127.0.0.1:1")));
        let door = Door::new(Access::Tokens { cluster });
        let dashboard = Arc::new(Dashboard { door, read_only: false, epoch: String::new() });
        let answer = async |length: usize, scheme: &str, host: &'static str| {
            let form = Login { token: "x".repeat(length), back: String::new() };
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            headers.insert(header::ORIGIN, format!("{scheme}://{host}").parse().expect("a value"));
            sign_in(State(dashboard.clone()), headers, Form(form)).await.status()
        };
        assert_eq!(answer(4000, "https", "releases.example.com").await, StatusCode::SEE_OTHER);
        assert_eq!(answer(4096, "https", "releases.example.com").await, StatusCode::BAD_REQUEST);
        assert_eq!(answer(40, "http", "localhost:8080").await, StatusCode::SEE_OTHER);
        assert_eq!(answer(40, "http", "releases.example.com").await, StatusCode::BAD_REQUEST);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_key_is_of_no_use_to_another_user_of_the_machine() {
        use std::os::unix::fs::MetadataExt;
        if std::fs::metadata("/proc/self").expect("Linux has it").uid() != 0 {
            eprintln!("skipped: only root can ask as somebody else");
            return;
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let secret = crate::caller::Secret::new(port).expect("a secret");
        let path = format!("/?key={}", secret.key());
        let no_cluster = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("there is none"))
        });
        let session = session(kube::Client::new(no_cluster, "shop"));
        let access = Access::Own { session: Box::new(session), secret, first: "/?namespace=shop".to_owned() };
        tokio::spawn(serve(listener, Settings { access, read_only: false, hosts: Vec::new() }, std::future::pending()));
        let ask = async |user: u32, path: &str, cookie: &str| {
            let script = format!(
                "exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET {path} HTTP/1.1\\r\\nHost: localhost\\r\\nCookie: {cookie}\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3"
            );
            let output = tokio::process::Command::new("bash").uid(user).args(["-c", &script]).output().await;
            String::from_utf8_lossy(&output.expect("it runs").stdout).into_owned()
        };
        let refused = "HTTP/1.1 403 Forbidden";
        assert!(ask(65534, &path, "").await.starts_with(refused), "they have read the key in the list of processes");
        let let_in = ask(0, &path, "").await;
        assert!(let_in.starts_with("HTTP/1.1 303 See Other"), "and have not used it up: {let_in}");
        assert!(let_in.contains("location: /?namespace=shop\r\n"), "to the page that was chosen: {let_in}");
        let cookie = let_in.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
        let cookie = cookie.split(';').next().expect("a pair");
        let answer = ask(65534, "/", cookie).await;
        assert!(
            answer.starts_with(refused),
            "the browser has sent them the cookie, on a page at another port: {answer}"
        );
        let answer = ask(0, "/", cookie).await;
        assert!(answer.contains("Cannot ask the API server"), "it is good, and there is no cluster: {answer}");
    }
}

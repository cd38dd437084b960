//! Thousands of rollouts.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use futures::StreamExt;
use greenlight_api::BlueGreenRollout;
use greenlight_e2e::{Lab, cluster, http, rollout};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::browser::Browser;
use crate::dashboard::{Dashboard, account};

const ROLLOUTS: usize = 5000;
/// The last of them.
const LAST: &str = "shop-4999";
/// From the click to the page, and from the click to the last of its rows.
const MOST_MILLISECONDS: f64 = 2000.0;
/// Nine of ten pictures, while somebody scrolls by a whole window for each. Smooth is what takes no more than 17 ms, sixty a second; this is what
/// an unoptimised build keeps to on two busy cores without a graphics card. Less than that would not be scrolling.
const MOST_FOR_A_PICTURE: f64 = 100.0;
const PAGES: usize = 20;
/// An hour in which something changes every second.
const CHANGES: usize = 3600;
/// What the chart gives it.
const MOST_MEGABYTES: u64 = 256;
/// What an hour may leave behind: nothing, but for what an allocator does.
const MOST_GROWTH: u64 = 8;

/// No operator: what a dashboard shows is what stands in the status, and five thousand of them can be written by hand.
#[ignore = "alone: five thousand rollouts are on every other test's pages, too; cargo xtask test runs it by itself"]
#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_rollouts_are_there_at_once_and_one_change_is_one_change() {
    let lab = Lab::without_operator("crowd").await;
    let api: Api<BlueGreenRollout> = lab.api();
    let create = |number: usize| {
        let (api, name) = (api.clone(), format!("shop-{number:04}"));
        async move {
            let mut object = rollout(
                json!({"template": {"spec": {"containers": [{"name": "web", "image": format!("shop:{number}")}]}}}),
            );
            object["metadata"]["name"] = json!(name);
            let object = serde_json::from_value(object).expect("a rollout");
            api.create(&PostParams::default(), &object).await.expect("created");
        }
    };
    futures::stream::iter(0..ROLLOUTS).for_each_concurrent(48, create).await;

    let dashboard = Dashboard::local("crowd-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("crowd-browser");
    let rows = || browser.run("return document.querySelectorAll('.row').length");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/?namespace=crowd"));
    browser.until("all of them", || rows() == ROLLOUTS);
    let audit = cluster().audit();
    let mark = audit.mark();
    browser.open(&dashboard.url("/?namespace=crowd"));
    browser.until("all of them", || browser.run("return performance.getEntriesByName('complete').length") == 1);
    assert_eq!(rows(), ROLLOUTS);
    // By the browser's own clock.
    let times = browser.run(
        "const [page] = performance.getEntriesByType('navigation'); \
         const rest = performance.getEntriesByType('resource').find(e => e.name.includes('after=')); \
         return {page: page.loadEventEnd, complete: performance.getEntriesByName('complete')[0].startTime, \
                 bytes: page.encodedBodySize, rest: rest.encodedBodySize}",
    );
    eprintln!("{ROLLOUTS} rollouts, in milliseconds and bytes: {times}");
    for what in ["page", "complete"] {
        let took = times[what].as_f64().expect("a time");
        assert!(took < MOST_MILLISECONDS, "{what} after {took} ms");
    }

    // The time that each picture takes while somebody scrolls, by a whole window for each.
    let scroll = "const done = arguments[0]; const frames = []; let last = performance.now(); let y = 0; \
                  const step = now => { frames.push(now - last); last = now; y += 900; scrollTo(0, y); \
                  if (frames.length < 60) requestAnimationFrame(step); else { frames.sort((a, b) => a - b); done(frames[54]); } }; \
                  requestAnimationFrame(step);";
    let slow = browser.run_async(scroll).as_f64().expect("a number");
    eprintln!("scrolling: nine of ten pictures within {slow} ms");
    assert!(slow < MOST_FOR_A_PICTURE, "{slow} ms for a picture");

    // Twenty pages, and one change: one row is sent and made, and nothing is listed again.
    let streams: Vec<_> =
        (0..PAGES).map(|_| open_page(&dashboard.address, &[("Cookie", &cookie_of(&browser))])).collect();
    let are_open = |streams: &[std::thread::JoinHandle<()>]| streams.iter().all(|stream| !stream.is_finished());
    browser.run(
        "window.made = 0; new MutationObserver(all => { for (const one of all) window.made += one.addedNodes.length }) \
         .observe(document.getElementById('rows'), {childList: true});",
    );
    let waits = json!({"status": {"phase": "Paused", "message": "revision 2 waits for its promotion"}});
    let started = Instant::now();
    api.patch_status(LAST, &PatchParams::default(), &Patch::Merge(waits)).await.expect("patched");
    browser.until("it comes first", || browser.run("return document.querySelector('.row .name').textContent") == LAST);
    eprintln!("a change is on the page after {:?}", started.elapsed());
    assert_eq!(browser.run("return window.made"), 1, "one row is made anew");
    let lists = audit.since(mark).expect("the audit log").into_iter().filter(|request| {
        request.resource == "bluegreenrollouts"
            && request.verb == "list"
            && request.user_agent.contains("kubectl-greenlight")
    });
    assert_eq!(lists.count(), 0, "nothing is listed again");

    // An hour of changes, for all the pages; the first quarter of it fills what is kept of changes.
    let mut memory = Vec::new();
    for quarter in 0..4 {
        let change = |round: usize| {
            let (api, name) = (api.clone(), format!("shop-{:04}", round * 7 % ROLLOUTS));
            async move {
                let status = json!({"status": {"message": format!("{round} of {CHANGES} pods are available")}});
                api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await.expect("patched");
            }
        };
        let rounds = quarter * CHANGES / 4..(quarter + 1) * CHANGES / 4;
        futures::stream::iter(rounds).for_each_concurrent(8, change).await;
        memory.push(dashboard.memory());
    }
    eprintln!("memory with {PAGES} pages after each quarter of {CHANGES} changes: {memory:?} MB");
    assert!(memory[3] < MOST_MEGABYTES, "{memory:?} MB");
    assert!(memory[3] <= memory[0] + MOST_GROWTH, "it grows: {memory:?} MB");
    assert!(are_open(&streams), "all the pages were open to the end");

    browser.write("#filter input[type=search]", "shop-0042");
    browser.until("the filter", || rows() == 1);
    assert!(browser.url().contains("q=shop-0042"), "{}", browser.url());
    browser.run("document.querySelector('#filter input[type=search]').value = ''; document.getElementById('filter').requestSubmit()");
    browser.until("all of them again", || rows() == ROLLOUTS);
    drop((streams, browser, dashboard));

    // Twenty people with tokens of their own, each with a page: nothing is shared that one of them may not see.
    let dashboard = Dashboard::shared("crowd-shared", &[]);
    account("crowd", "viewer", &["view"]);
    cluster()
        .kubectl(&[
            "create",
            "clusterrole",
            "crowd-looks",
            "--verb=get,list,watch",
            "--resource=bluegreenrollouts.greenlight.dev",
        ])
        .expect("created");
    cluster()
        .kubectl(&[
            "create",
            "clusterrolebinding",
            "crowd-looks",
            "--clusterrole=crowd-looks",
            "--serviceaccount=crowd:viewer",
        ])
        .expect("created");
    let people: Vec<_> = (0..PAGES)
        .map(|_| {
            let token = cluster().kubectl(&["-n", "crowd", "create", "token", "viewer"]).expect("a token");
            open_page(&dashboard.address, &[("Authorization", &format!("Bearer {}", token.trim()))])
        })
        .collect();
    // Each has seen all the rollouts by now, and hears of what changes.
    let opened = dashboard.memory();
    let change = json!({"status": {"message": "seen by everybody"}});
    for number in 0..PAGES {
        let name = format!("shop-{number:04}");
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(change.clone())).await.expect("patched");
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let told = dashboard.memory();
    eprintln!("memory with {PAGES} people: {opened} MB when their pages are open, {told} MB after changes");
    assert!(opened.max(told) < MOST_MEGABYTES, "{opened} MB, then {told} MB");
    assert!(are_open(&people), "all their pages are open");
    drop(people);
}

fn cookie_of(browser: &Browser) -> String {
    let cookies = browser.cookies();
    cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

/// A page that is open: its stream has begun, and is read on, until it ends.
fn open_page(address: &str, headers: &[(&str, &str)]) -> std::thread::JoinHandle<()> {
    let page = http(address, "GET", "/", &[headers, &[("x-part", "rows")]].concat(), "").body;
    let live = page.split("data-live=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a stream");
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("GET {} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n", live.replace("&amp;", "&"));
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut start = [0; 12];
    stream.read_exact(&mut start).expect("an answer");
    assert!(start.ends_with(b"200"), "{}", String::from_utf8_lossy(&start));
    std::thread::spawn(move || drop(std::io::copy(&mut stream, &mut std::io::sink())))
}

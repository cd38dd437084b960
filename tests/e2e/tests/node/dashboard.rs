//! The dashboard as the chart runs it: a pod of its own, with the chart's security context and probes, behind a small proxy at which
//! people sign in. What a browser shows of it is in the suite dashboard.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use greenlight_e2e::{Answer, SESSION, SignInProxy, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::site::{NAMESPACE, ROLLOUT, Site, chart};

/// The name under which browsers call it.
const HOST: &str = "releases.example.com";
/// One who may look, and one who may release.
const VIEWER: &str = "vera";
const PROMOTER: &str = "rob";

/// Installs the chart with its dashboard, and has two people with different roles use it.
pub async fn run(site: &Site, delay: Duration) -> Result<()> {
    site.install(&chart(), &["--set", "dashboard.enabled=true", "--set", &format!("dashboard.hosts={{{HOST}}}")])?;
    site.deploy(delay).await?;
    site.preview("v2", "seagreen").await?;
    check_pod(site)?;

    let dashboard = format!("{}:80", site.address_in("greenlight", "greenlight-web")?);
    let [viewer, promoter] = [(VIEWER, &["view"][..]), (PROMOTER, &["view", "greenlight-promoter"])]
        .map(|(name, roles)| account(site, name, roles));
    let people = [(VIEWER, &*viewer?), (PROMOTER, &*promoter?)];
    let proxy = SignInProxy::before(&format!("http://{dashboard}"), &people).await;
    let as_person = |name: &str| Visitor { proxy: proxy.address(), cookie: format!("{SESSION}={name}") };
    let [vera, rob] = [VIEWER, PROMOTER].map(as_person);

    // The pod by itself lets nobody in, and answers to no other name.
    let page = format!("/n/{NAMESPACE}/{ROLLOUT}");
    let answer = http(&dashboard, "GET", &page, &[("Host", HOST)], "");
    ensure!(answer.status == 401 && answer.body.contains("Sign in with a token"), "{} {}", answer.status, answer.body);
    let answer = http(&dashboard, "GET", &page, &[("Host", "evil.test")], "");
    ensure!(answer.status == 403, "{} {}", answer.status, answer.body);

    let answer = vera.get(&page);
    let user = format!("system:serviceaccount:{NAMESPACE}:{VIEWER}");
    for shown in [&user, "is ready in preview and waits for promotion", "class=\"button promote\" disabled"] {
        ensure!(
            answer.body.contains(shown),
            "{shown:?} is not on the page of {user}: {} {}",
            answer.status,
            answer.body
        );
    }
    ensure!(!answer.body.contains("Not shown, because"), "{user} may see all of it: {}", answer.body);
    println!("{VIEWER} sees what waits; the buttons are grey");
    let pods = site.json(&["get", "pods", "-n", NAMESPACE])?;
    let pod = pods["items"][0]["metadata"]["name"].as_str().context("a pod")?;
    vera.reads(&format!("{page}/logs/{pod}/live"), "serving").await?;
    println!("{VIEWER} reads the log of a pod, which a real kubelet has");

    // A form with everything that the pages of the viewer have, sent although the button is grey.
    let hash = site.status()["updatedRevision"].as_str().context("a revision")?.to_owned();
    let answer = vera.send_form(&page, "promote", &hash)?;
    ensure!(answer.status == 403, "{} {}", answer.status, answer.body);
    ensure!(answer.body.contains("cannot patch resource"), "in the API server's words: {}", answer.body);
    ensure!(site.version_served().await? == "v1", "nothing moved");
    println!("{VIEWER} sends a forged form: the API server refuses it");

    let answer = rob.send_form(&page, "promote", &hash)?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
    site.until_served("v2").await?;
    let request = site.status()["observedRequest"]["value"].as_str().context("a request")?.to_owned();
    ensure!(request.contains(&format!("system:serviceaccount:{NAMESPACE}:{PROMOTER}")), "{request}");
    println!("{PROMOTER} promotes; the request has that name");
    check_pod(site)?;
    site.uninstall()
}

/// A ServiceAccount with these ClusterRoles in the namespace of the example: its token.
fn account(site: &Site, name: &str, roles: &[&str]) -> Result<String> {
    site.kubectl(&["create", "serviceaccount", name, "-n", NAMESPACE])?;
    for role in roles {
        let (binding, role) = (format!("{name}-{role}"), format!("--clusterrole={role}"));
        let subject = format!("--serviceaccount={NAMESPACE}:{name}");
        site.kubectl(&["create", "rolebinding", &binding, &role, &subject, "-n", NAMESPACE])?;
    }
    let token = site.kubectl(&["create", "token", name, "-n", NAMESPACE, "--duration=1h"])?;
    Ok(token.trim().to_owned())
}

/// Its pod runs and was never restarted; no token of Kubernetes is in it.
fn check_pod(site: &Site) -> Result<()> {
    let pods = site.json(&["get", "pods", "-n", "greenlight", "-l", "app.kubernetes.io/name=greenlight-dashboard"])?;
    let pod = &pods["items"][0];
    let container = &pod["status"]["containerStatuses"][0];
    ensure!(container["ready"] == true && container["restartCount"] == 0, "{container}");
    ensure!(!pod["spec"].to_string().contains("serviceAccountToken"), "it has no token: {}", pod["spec"]);
    site.check_processes("^/greenlight-dashboard")
}

/// Somebody who has signed in at the proxy.
struct Visitor {
    proxy: String,
    cookie: String,
}

impl Visitor {
    fn get(&self, path: &str) -> Answer {
        http(&self.proxy, "GET", path, &[("Host", HOST), ("Cookie", &self.cookie)], "")
    }

    /// Sends the form of an action, as a browser would.
    fn send_form(&self, page: &str, action: &str, revision: &str) -> Result<Answer> {
        let path = format!("{page}/ask/{action}");
        let form = self.get(&format!("{path}?revision={revision}")).body;
        let csrf = form.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        let csrf = csrf.with_context(|| format!("a form: {form}"))?;
        let origin = format!("https://{HOST}");
        let headers = [
            ("Host", HOST),
            ("Cookie", &self.cookie),
            ("Origin", &origin),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        Ok(http(&self.proxy, "POST", &path, &headers, &format!("csrf={csrf}&revision={revision}")))
    }

    /// Reads what is streamed until this text comes.
    async fn reads(&self, path: &str, text: &str) -> Result<()> {
        let mut stream = TcpStream::connect(&self.proxy).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\n\r\n", self.cookie);
        stream.write_all(request.as_bytes()).await?;
        let mut told = Vec::new();
        let is_there = |told: &[u8]| String::from_utf8_lossy(told).contains(text);
        let reading = async {
            while !is_there(&told) && stream.read_buf(&mut told).await? > 0 {}
            anyhow::Ok(())
        };
        // Out of time or at its end, what has come is shown.
        let _ = tokio::time::timeout(Duration::from_secs(30), reading).await;
        ensure!(is_there(&told), "{path} does not read {text:?}: {}", String::from_utf8_lossy(&told));
        Ok(())
    }
}

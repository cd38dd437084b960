//! The runbooks: every block of commands, in the trouble that its section is for, by somebody who has the role that the section names and
//! no other. What needs a real node or an installed chart is run by the suite `node`.

use std::path::PathBuf;
use std::process::Stdio;

use greenlight_e2e::docs::{Commands, commands, folder, shell};
use greenlight_e2e::{Lab, Snapshot, binary, cluster};
use greenlight_test_cluster::BEHAVIOUR;
use serde_json::json;

/// The sections that are run here.
pub const SECTIONS: [&str; 8] = [
    "promotion",
    "rollback",
    "after-a-rollback",
    "stuck",
    "traffic-not-switching",
    "old-pods-not-scaling-down",
    "move-production-by-hand",
    "status-lost",
];
const NAMESPACE: &str = "runbooks";
/// The roles that sections name. What reads takes `view` besides.
const ROLES: [&str; 4] = ["view", "edit", "greenlight-operator", "greenlight-promoter"];
/// An endpoint that somebody has written by hand: the switch cannot be confirmed.
const FOREIGN: &str = "by-hand";

#[tokio::test(flavor = "multi_thread")]
async fn every_block_of_the_runbooks_ends_the_trouble_it_is_for_by_the_role_it_names() {
    let mut night = Night { lab: Lab::new(NAMESPACE).await, version: 1 };
    install_roles(&night.lab);
    let delay = json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}});
    night.lab.deploy(delay).await;
    policy_is_in_force(&night.lab).await;
    for block in commands("runbooks.md").iter().filter(|block| block.not_run.is_empty()) {
        if SECTIONS.contains(&block.section.as_str()) {
            night.begins(&block.section).await;
            let user = role_for(block);
            println!("-- runbooks.md:{} as {user}\n{}", block.line, block.text.trim_end());
            night.run(block, user);
            night.is_over(block).await;
        }
    }
}

/// The role that a block takes: the section's first one for what only looks, its last for what acts.
fn role_for(block: &Commands) -> &'static str {
    let page = std::fs::read_to_string(folder().join("runbooks.md")).expect("the runbooks");
    let after = page.lines().skip(block.line);
    let named = after.filter_map(|line| line.strip_prefix("- **Role:** ")).next().expect("a section names its role");
    // `greenlight-operator` (or …): the narrower one has to do.
    let named = named.split("(or").next().unwrap_or_default();
    let mut roles = named.split('`').filter_map(|word| ROLES.into_iter().find(|role| *role == word));
    if acts(block) { roles.next_back() } else { roles.next() }.unwrap_or_else(|| panic!("no role in {named:?}"))
}

/// A block that changes something.
fn acts(block: &Commands) -> bool {
    let verbs =
        ["greenlight promote", "greenlight undo", "greenlight retry", "greenlight abort", "annotate ", " patch "];
    verbs.iter().any(|verb| block.text.contains(verb))
}

/// The roles and the policy of the chart, as if installed under the name `greenlight`; the namespace's operator is exempt as usual.
fn install_roles(lab: &Lab) {
    let chart = crate::chart::chart().display().to_string();
    let rendered = crate::chart::helm(&[
        "template",
        "greenlight",
        &chart,
        "--namespace",
        "greenlight-rights",
        "--set",
        &format!("watchNamespace={NAMESPACE}"),
        "--show-only",
        "templates/roles.yaml",
        "--show-only",
        "templates/request-policy.yaml",
    ]);
    let file = cluster().dir().join("runbooks-roles.yaml");
    std::fs::write(&file, rendered.expect("rendered")).expect("written");
    cluster().kubectl(&["apply", "--server-side", "-f", &file.display().to_string()]).expect("applied");
    for role in ROLES {
        let name = format!("is-{role}");
        // An install for one namespace has roles of its own, beside those of Kubernetes.
        let of_install = if role.starts_with("greenlight-") { format!("{NAMESPACE}.") } else { String::new() };
        let [user, role_of] = [format!("--user={role}"), format!("--clusterrole={of_install}{role}")];
        lab.kubectl(&["create", "rolebinding", &name, &role_of, &user]);
        lab.kubectl(&["create", "rolebinding", &format!("{name}-reads"), "--clusterrole=view", &user]);
        std::fs::write(kubeconfig_as(role), kubeconfig(role)).expect("written");
    }
}

fn kubeconfig_as(user: &str) -> PathBuf {
    cluster().dir().join(format!("runbooks-{user}.kubeconfig"))
}

fn kubeconfig(user: &str) -> String {
    let (server, token) = cluster().endpoint();
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server, "insecure-skip-tls-verify": true}}],
        "users": [{"name": "u", "user": {"token": token, "as": user}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    })
    .to_string()
}

/// A policy takes a moment: until then whoever may patch may do everything.
async fn policy_is_in_force(lab: &Lab) {
    greenlight_e2e::eventually("the policy is in force", async || {
        let patch = json!({"metadata": {"labels": {"note": jiff::Timestamp::now().as_millisecond().to_string()}}});
        let args = ["patch", "bgr", "web", "--type=merge", "-p", &patch.to_string(), "--as", "greenlight-promoter"];
        cluster().kubectl(&[&["-n", NAMESPACE], &args[..]].concat()).is_err_and(|error| {
            // Rolebindings take a moment, too.
            lab.namespace == NAMESPACE && error.to_string().contains("but not change it")
        })
    })
    .await;
}

/// A rollout on a bad night.
struct Night {
    lab: Lab,
    version: u32,
}

impl Night {
    fn next_image(&mut self) -> String {
        self.version += 1;
        format!("web:v{}", self.version)
    }

    /// Brings about what the section is for, whatever was before.
    async fn begins(&mut self, section: &str) {
        let waits = self.lab.now().await.phase() == "Paused";
        match section {
            "promotion" if waits => {}
            "promotion" => {
                let image = self.next_image();
                self.lab.preview(&image).await;
            }
            "after-a-rollback" => {
                self.release().await;
                self.lab.greenlight(&["undo", "web"]).expect("undone");
                self.rejected().await;
            }
            "stuck" => {
                self.lab.patch_spec(json!({"progressDeadlineSeconds": 2})).await;
                let image = self.next_image();
                self.lab.set_template(&image, &[(BEHAVIOUR, "image")]).await;
                let stuck = |now: &Snapshot| now.condition("Stalled") == "True/ProgressDeadlineExceeded";
                self.lab.until("stuck", stuck).await;
            }
            "traffic-not-switching" => {
                self.lab.patch_spec(json!({"progressDeadlineSeconds": 600})).await;
                let image = self.next_image();
                self.lab.preview(&image).await;
                self.lab.apply(&foreign_endpoint()).expect("applied");
                self.lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
                let moved = |now: &Snapshot| {
                    now.image_of("web-active") == image && now.condition("Reconciling") == "True/ProvingSwitch"
                };
                self.lab.until("the switch is not confirmed", moved).await;
            }
            "move-production-by-hand" => {
                self.release().await;
                self.lab.kill_operator();
            }
            _ => self.release().await,
        }
    }

    async fn release(&mut self) {
        let image = self.next_image();
        self.lab.release(&image).await;
    }

    fn run(&self, block: &Commands, user: &str) {
        let state = cluster().dir().join("runbooks.exports");
        // Each block stands alone: whoever reads at night begins in the middle.
        let _ = std::fs::remove_file(&state);
        let folders = [binary("kubectl-greenlight"), cluster().tools().path("kubectl")];
        let folders = folders.iter().filter_map(|program| program.parent().map(ToOwned::to_owned));
        let path = std::env::var("PATH").unwrap_or_default();
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&path))).expect("a path");
        let output = shell(block, &state)
            .env("PATH", path)
            .env("KUBECONFIG", kubeconfig_as(user))
            .env("APP", "web")
            .env("NS", NAMESPACE)
            .stdin(Stdio::null())
            .output()
            .expect("bash");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        println!("{text}");
        assert!(output.status.success(), "runbooks.md:{} as {user}: {}: {text}", block.line, output.status);
        assert_eq!(block.missing(&text), None, "runbooks.md:{}: {text}", block.line);
    }

    /// What the section calls the end comes about, if the block acts.
    async fn is_over(&mut self, block: &Commands) {
        match block.section.as_str() {
            "move-production-by-hand" => {
                let before = format!("web:v{}", self.version - 1);
                assert_eq!(self.lab.now().await.image_of("web-active"), before);
                self.lab.start_operator();
                self.rejected().await;
                assert_eq!(self.lab.now().await.image_of("web-active"), before);
            }
            "traffic-not-switching" => {
                if acts(block) {
                    let image = format!("web:v{}", self.version);
                    self.lab.until("production has left it", |now| now.image_of("web-active") != image).await;
                }
                self.lab.kubectl(&["delete", "endpointslice", FOREIGN]);
                self.lab.until("confirmed", |now| ["Healthy", "Degraded"].contains(&now.phase())).await;
            }
            "promotion" if acts(block) => drop(self.lab.until("healthy", |now| now.phase() == "Healthy").await),
            "rollback" => self.rejected().await,
            "after-a-rollback" if block.text.contains("retry") => {
                self.lab.until("it waits again", |now| now.phase() == "Paused").await;
            }
            "stuck" if acts(block) => self.rejected().await,
            _ => {}
        }
    }

    async fn rejected(&self) {
        self.lab.until("rejected", |now| now.condition("Stalled") == "True/RevisionRejected").await;
    }
}

fn foreign_endpoint() -> serde_json::Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": FOREIGN, "labels": {
            "kubernetes.io/service-name": "web-active", "endpointslice.kubernetes.io/managed-by": "somebody",
        }},
        "addressType": "IPv4",
        "ports": [{"port": 8080}],
        "endpoints": [{"addresses": ["10.9.9.9"], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": "elsewhere", "namespace": NAMESPACE}}],
    })
}

//! What the operators of the tests may do: what the chart gives its ServiceAccount and its policy leaves of that, and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Result, bail};
use greenlight_test_cluster::{Cluster, HELM};

use crate::cluster;

const NAMESPACE: &str = "greenlight-rights";
const ACCOUNT: &str = "greenlight";
const KUBECONFIG: &str = "operator.kubeconfig";
/// How the API server says that somebody may not, by roles and by the policy on the operator.
const DENIED: [&str; 2] = ["is forbidden: User", "ValidatingAdmissionPolicy 'greenlight-operator'"];

/// A kubeconfig of a ServiceAccount with the rights that the chart gives.
pub fn operator_kubeconfig() -> PathBuf {
    cluster().dir().join(KUBECONFIG)
}

/// A kubeconfig of a ServiceAccount.
///
/// # Errors
/// There is no such account.
pub fn kubeconfig_of(cluster: &Cluster, namespace: &str, account: &str) -> Result<String> {
    let token = cluster.kubectl(&["-n", namespace, "create", "token", account, "--duration=10h"])?;
    let (server, _) = cluster.endpoint();
    Ok(format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: \"{server}\", insecure-skip-tls-verify: true}}}}]\n\
         users: [{{name: u, user: {{token: {}}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n",
        token.trim()
    ))
}

/// Gives the chart's rights to the account that the tests' operators run as. Each test has leases of its own, so it may have them in
/// every namespace.
pub(crate) fn install(cluster: &Cluster) -> Result<()> {
    cluster.kubectl(&["create", "namespace", NAMESPACE])?;
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/greenlight").display().to_string();
    let shown = [
        "--namespace",
        NAMESPACE,
        "--show-only",
        "templates/rbac.yaml",
        "--show-only",
        "templates/operator-policy.yaml",
        "--set",
        "analysis.secrets.labelled=true",
    ];
    let helm = Command::new(greenlight_test_cluster::ensure(&HELM)?.path("helm"))
        .args(["template", ACCOUNT, &chart])
        .args(shown)
        .output()?;
    if !helm.status.success() {
        bail!("helm template: {}", String::from_utf8_lossy(&helm.stderr));
    }
    let file = cluster.dir().join("rights.yaml");
    std::fs::write(&file, helm.stdout)?;
    cluster.kubectl(&["apply", "-f", &file.display().to_string()])?;
    let leases = "--verb=get,create,update,patch,watch,list";
    cluster.kubectl(&["create", "clusterrole", "leases", leases, "--resource=leases.coordination.k8s.io"])?;
    let account = format!("--serviceaccount={NAMESPACE}:{ACCOUNT}");
    cluster.kubectl(&["create", "clusterrolebinding", "leases", "--clusterrole=leases", &account])?;
    std::fs::write(cluster.dir().join(KUBECONFIG), kubeconfig_of(cluster, NAMESPACE, ACCOUNT)?)?;
    Ok(())
}

/// The logs of operators that work on all namespaces.
static OF_ALL: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// An operator works on all namespaces, and this is its log.
pub(crate) fn works_on_all(log: PathBuf) {
    OF_ALL.lock().expect("no panic while locked").push(log);
}

/// What the operators of a namespace, and those of all namespaces in it, were denied for want of a right, in the API server's words.
pub(crate) fn denied(namespace: &str) -> Vec<String> {
    let of_namespace = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&format!("{namespace}-")) && name.ends_with(".log")
    };
    let entries = std::fs::read_dir(cluster().dir()).into_iter().flatten().flatten().map(|entry| entry.path());
    let own = entries.filter(of_namespace).flat_map(|log| denials(&log));
    let of_all = OF_ALL.lock().expect("no panic while locked").clone();
    own.chain(of_all.iter().flat_map(|log| denials(log)).filter(|denial| concerns(denial, namespace))).collect()
}

/// The lines of an operator's log that say that it may not.
pub fn denials(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let is_denial = |line: &&str| DENIED.iter().any(|denied| line.contains(denied));
    text.lines().filter(is_denial).map(str::to_owned).collect()
}

/// Whether it was denied in this namespace, or for a rollout there.
pub fn concerns(denial: &str, namespace: &str) -> bool {
    denial.contains(&format!(r#"in the namespace \"{namespace}\""#)) || denial.contains(&format!(r#":"{namespace}/"#))
}

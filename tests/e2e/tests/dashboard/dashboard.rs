//! The dashboard's two ways to run.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use greenlight_e2e::{binary, cluster, kubeconfig_of};
use greenlight_test_cluster::Process;

/// A dashboard that runs.
pub struct Dashboard {
    /// Where, as `127.0.0.1:PORT`.
    pub address: String,
    /// The address that it printed.
    pub printed: String,
    process: Process,
}

impl Dashboard {
    /// `kubectl greenlight dashboard`, of somebody whose usual kubeconfig this is: no command that they are told has to name it.
    pub fn local(name: &str, kubeconfig: &Path, more: &[&str]) -> Dashboard {
        let args = [&["dashboard", "--no-open"], more].concat();
        let home = cluster().dir().join(format!("{name}-home"));
        std::fs::create_dir_all(home.join(".kube")).expect("a folder");
        std::fs::copy(kubeconfig, home.join(".kube/config")).expect("copied");
        let env = [("HOME", home.to_str().expect("a path in UTF-8")), ("KUBECONFIG", "")];
        Dashboard::start(name, "kubectl-greenlight", &args, &env, "The dashboard is at ")
    }

    /// The one for everybody, as in a cluster.
    pub fn shared(name: &str, more: &[&str]) -> Dashboard {
        let (server, _) = cluster().endpoint();
        let authority = cluster().dir().join("certs/apiserver.crt").display().to_string();
        let fixed = ["--listen", "127.0.0.1:0", "--server", server, "--certificate-authority", &authority];
        let args = [&fixed, more].concat();
        Dashboard::start(name, "greenlight-dashboard", &args, &[], "serving the dashboard at ")
    }

    fn start(name: &str, program: &str, args: &[&str], env: &[(&str, &str)], says: &str) -> Dashboard {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let process = Process::start(cluster().dir(), name, &binary(program), &args, env).expect("it starts");
        let started = Instant::now();
        loop {
            let log = process.log();
            if let Some(printed) = log.lines().find_map(|line| line.strip_prefix(says)) {
                let address = printed.split('/').nth(2).expect("an address").to_owned();
                return Dashboard { address, printed: printed.to_owned(), process };
            }
            assert!(started.elapsed() < Duration::from_secs(30), "no address: {}", process.log_tail());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// An address of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its memory now, in MB.
    pub fn memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process.pid().expect("it runs"));
        let status = std::fs::read_to_string(status).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux says so");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number") / 1024
    }
}

/// A ServiceAccount with some roles in a namespace: its kubeconfig, and its token.
pub fn account(namespace: &str, name: &str, cluster_roles: &[&str]) -> (PathBuf, String) {
    let kubectl = |args: &[&str]| cluster().kubectl(&[&["-n", namespace], args].concat()).expect("kubectl");
    kubectl(&["create", "serviceaccount", name]);
    for role in cluster_roles {
        let subject = format!("--serviceaccount={namespace}:{name}");
        kubectl(&["create", "rolebinding", &format!("{name}-{role}"), &format!("--clusterrole={role}"), &subject]);
    }
    let text = kubeconfig_of(cluster(), namespace, name).expect("a kubeconfig");
    let file = cluster().dir().join(format!("{namespace}-{name}.kubeconfig"));
    std::fs::write(&file, &text).expect("written");
    (file, kubectl(&["create", "token", name, "--duration=1h"]).trim().to_owned())
}

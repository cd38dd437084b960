//! Starting the control plane and ending it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Node;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use crate::Audit;
use crate::node::{NODE_ADDRESS, RealNode};
use crate::process::Process;
use crate::tools::{KUBERNETES_VARIABLE, Tools, ensure_control_plane};

/// A static token of group system:masters: the cluster lives on loopback, for minutes.
const TOKEN: &str = "greenlight-test-admin";
const API_SERVER: &str = "kube-apiserver";
const ETCD: &str = "etcd";
const STAGES: &str = include_str!("stages.yaml");
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived, ResponseStarted]\nrules: [{level: Metadata}]\n";
/// The ones that need no cloud and no volumes.
const CONTROLLERS: &str = "replicaset-controller,deployment-controller,job-controller,endpointslice-controller,\
    garbage-collector-controller,namespace-controller,node-lifecycle-controller,horizontal-pod-autoscaler-controller,\
    disruption-controller,serviceaccount-controller,resourcequota-controller,root-ca-certificate-publisher-controller,\
    clusterrole-aggregation-controller";
const SERVING_DEADLINE: Duration = Duration::from_secs(90);

/// A running control plane. Dropping it ends its processes and removes its folder.
#[derive(Debug)]
pub struct Cluster {
    tools: Tools,
    dir: PathBuf,
    server: String,
    // In the order in which they end: clients before servers.
    processes: Mutex<Vec<Process>>,
    api_server_args: Vec<String>,
    etcd_args: Vec<String>,
    node: Option<RealNode>,
}

/// Who runs the pods.
enum Nodes {
    /// kwok says what a kubelet would.
    Simulated,
    /// A kubelet; pods have ServiceAccounts and reach the API server.
    Real,
}

impl Cluster {
    /// Builds the tools if need be, starts everything and waits until pods can run. About five seconds when warm.
    pub async fn start() -> Result<Cluster> {
        let cluster = Cluster::start_control_plane(Nodes::Simulated).await?;
        let kwok_args = [
            format!("--kubeconfig={}", cluster.kubeconfig().display()),
            "--manage-all-nodes=true".into(),
            format!("--config={}", cluster.dir.join("stages.yaml").display()),
            "--node-ip=127.0.0.1".into(),
            "--cidr=10.64.0.0/10".into(),
        ];
        cluster.spawn("kwok", &kwok_args)?;
        cluster.add_nodes().await?;
        Ok(cluster)
    }

    /// The same with one real node, on which these images (OCI archives) are. Only inside [`crate::enter_namespaces`].
    pub async fn start_with_real_node(images: &[PathBuf]) -> Result<Cluster> {
        let mut cluster = Cluster::start_control_plane(Nodes::Real).await?;
        cluster.node = Some(RealNode::start(&cluster, images).await?);
        Ok(cluster)
    }

    async fn start_control_plane(nodes: Nodes) -> Result<Cluster> {
        let kubernetes = std::env::var(KUBERNETES_VARIABLE).unwrap_or_default();
        let tools = tokio::task::spawn_blocking(move || ensure_control_plane(&kubernetes)).await??;
        let dir = fresh_dir()?;
        let [etcd_client, etcd_peer, api, scheduler] = free_ports()?;
        let real = matches!(nodes, Nodes::Real);
        let address = if real { NODE_ADDRESS } else { "127.0.0.1" };
        let server = format!("https://{address}:{api}");
        let mut cluster = Cluster {
            tools,
            dir,
            server,
            processes: Mutex::default(),
            api_server_args: Vec::new(),
            etcd_args: Vec::new(),
            node: None,
        };
        cluster.write_files()?;

        let at = |name: &str| cluster.dir.join(name).display().to_string();
        let etcd = format!("http://127.0.0.1:{etcd_client}");
        let kubeconfig = at("kubeconfig");
        let etcd_args = vec![
            format!("--data-dir={}", at("etcd")),
            format!("--listen-client-urls={etcd}"),
            format!("--advertise-client-urls={etcd}"),
            format!("--listen-peer-urls=http://127.0.0.1:{etcd_peer}"),
            format!("--initial-advertise-peer-urls=http://127.0.0.1:{etcd_peer}"),
            format!("--initial-cluster=default=http://127.0.0.1:{etcd_peer}"),
            "--unsafe-no-fsync".into(),
            // Ten thousand rollouts between two compactions are more than the two gigabytes that it takes by default.
            "--quota-backend-bytes=8589934592".into(),
            "--log-level=warn".into(),
        ];
        let mut api_args = vec![
            format!("--etcd-servers={etcd}"),
            format!("--secure-port={api}"),
            format!("--bind-address={address}"),
            format!("--cert-dir={}", at("certs")),
            format!("--service-account-key-file={}", at("sa.pub")),
            format!("--service-account-signing-key-file={}", at("sa.key")),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--token-auth-file={}", at("tokens.csv")),
            "--authorization-mode=RBAC".into(),
            "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112".into(),
            format!("--audit-policy-file={}", at("audit-policy.yaml")),
            format!("--audit-log-path={}", at("audit.log")),
            "--audit-log-maxsize=0".into(),
            "--max-requests-inflight=2000".into(),
            "--max-mutating-requests-inflight=1000".into(),
        ];
        if real {
            api_args.push("--kubelet-preferred-address-types=InternalIP".into());
        } else {
            api_args.push("--disable-admission-plugins=ServiceAccount".into());
        }
        let mut manager_args = vec![
            format!("--kubeconfig={kubeconfig}"),
            "--leader-elect=false".into(),
            "--secure-port=0".into(),
            "--kube-api-qps=500".into(),
            "--kube-api-burst=1000".into(),
            format!("--service-account-private-key-file={}", at("sa.key")),
            format!("--controllers={CONTROLLERS}"),
        ];
        let scheduler_args = [
            format!("--kubeconfig={kubeconfig}"),
            "--leader-elect=false".into(),
            format!("--secure-port={scheduler}"),
            "--bind-address=127.0.0.1".into(),
            format!("--cert-dir={}", at("certs")),
            "--kube-api-qps=500".into(),
            "--kube-api-burst=1000".into(),
        ];
        if real {
            // What `kubectl get --raw …/proxy` goes by.
            manager_args.push(format!("--controllers={CONTROLLERS},endpoints-controller"));
            manager_args.push(format!("--root-ca-file={}", at("certs/apiserver.crt")));
        }
        cluster.api_server_args = api_args;
        cluster.etcd_args = etcd_args;
        cluster.spawn(ETCD, &cluster.etcd_args)?;
        cluster.spawn(API_SERVER, &cluster.api_server_args)?;
        cluster.wait_until_serving().await?;
        cluster.spawn("kube-controller-manager", &manager_args)?;
        cluster.spawn("kube-scheduler", &scheduler_args)?;
        Ok(cluster)
    }

    /// Where the cluster keeps its files; removed at the end.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A kubeconfig of a cluster administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// URL and bearer token of the API server.
    pub fn endpoint(&self) -> (&str, &str) {
        (&self.server, TOKEN)
    }

    /// The built commands.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// A client of a cluster administrator, bound to the caller's async runtime.
    pub async fn client(&self) -> Result<Client> {
        Cluster::client_of(&self.kubeconfig()).await
    }

    /// A client of whoever a kubeconfig is of, bound to the caller's async runtime.
    pub async fn client_of(kubeconfig: &Path) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }

    /// `kubectl` with these arguments; its standard output, or an error with its standard error.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        let output =
            Command::new(self.tools.path("kubectl")).env("KUBECONFIG", self.kubeconfig()).args(args).output()?;
        if !output.status.success() {
            bail!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Applies CustomResourceDefinitions (JSON or YAML) and waits until the API server serves them.
    pub fn install_crds(&self, crds: &str) -> Result<()> {
        let file = self.dir.join("crds.yaml");
        std::fs::write(&file, crds)?;
        self.kubectl(&["apply", "--server-side", "-f", &file.display().to_string()])?;
        // `kubectl wait` trips over a CRD that has no conditions yet.
        let wait = || self.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=10s"]);
        let mut attempts = (0..50).map(|_| {
            std::thread::sleep(Duration::from_millis(100));
            wait()
        });
        attempts.find(Result::is_ok).context("the CRDs are not established")?.map(drop)
    }

    /// The API server's audit log.
    pub fn audit(&self) -> Audit {
        Audit { path: self.dir.join("audit.log") }
    }

    /// Ends everything. Dropping the cluster does the same.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.node.take());
        let mut processes = self.processes();
        while let Some(process) = processes.pop() {
            drop(process);
        }
        drop(processes);
        if std::env::var_os("GREENLIGHT_KEEP_LOGS").is_none() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }

    /// Kills the API server and starts it with these arguments besides its own, as an upgrade does.
    ///
    /// # Errors
    /// It does not serve again.
    pub async fn restart_api_server(&self, more: &[&str]) -> Result<()> {
        let more = more.iter().map(|arg| (*arg).to_owned());
        let args: Vec<String> = self.api_server_args.iter().cloned().chain(more).collect();
        self.replace(API_SERVER, &args)?;
        self.wait_until_serving().await
    }

    /// Kills etcd and starts it again, with what it has written.
    ///
    /// # Errors
    /// The API server does not serve again.
    pub async fn restart_etcd(&self) -> Result<()> {
        self.replace(ETCD, &self.etcd_args)?;
        self.wait_until_serving().await
    }

    /// Lets a program of the control plane fall asleep (`etcd`, `kube-apiserver`, `kube-controller-manager`), or wakes it up.
    ///
    /// # Errors
    /// It does not run.
    pub fn put_to_sleep(&self, program: &str, asleep: bool) -> Result<()> {
        let processes = self.processes();
        let process = processes.iter().find(|process| process.name() == program).context("it was started")?;
        process.put_to_sleep(asleep)
    }

    fn replace(&self, program: &str, args: &[String]) -> Result<()> {
        let mut processes = self.processes();
        let place = processes.iter_mut().find(|process| process.name() == program).context("it was started")?;
        place.kill();
        *place = Process::start(&self.dir, program, &self.tools.path(program), args, &[])?;
        Ok(())
    }

    fn spawn(&self, name: &str, args: &[String]) -> Result<()> {
        let process = Process::start(&self.dir, name, &self.tools.path(name), args, &[])?;
        self.processes().push(process);
        Ok(())
    }

    fn processes(&self) -> MutexGuard<'_, Vec<Process>> {
        self.processes.lock().expect("no panic while locked")
    }

    fn write_files(&self) -> Result<()> {
        let write = |name: &str, text: &str| std::fs::write(self.dir.join(name), text);
        write("stages.yaml", STAGES)?;
        write("audit-policy.yaml", AUDIT_POLICY)?;
        write("tokens.csv", &format!("{TOKEN},admin,admin,system:masters\n"))?;
        write(
            "kubeconfig",
            &format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: greenlight-test\n\
                 clusters: [{{name: test, cluster: {{server: \"{}\", insecure-skip-tls-verify: true}}}}]\n\
                 users: [{{name: admin, user: {{token: {TOKEN}}}}}]\n\
                 contexts: [{{name: greenlight-test, context: {{cluster: test, user: admin}}}}]\n",
                self.server
            ),
        )?;
        let service_accounts = rcgen::KeyPair::generate()?;
        write("sa.key", &service_accounts.serialize_pem())?;
        write("sa.pub", &service_accounts.public_key_pem())?;
        Ok(())
    }

    async fn wait_until_serving(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            self.check_alive()?;
            if let Ok(client) = self.client().await {
                let ready = http_get(&client, "/readyz").await;
                if ready.is_ok_and(|text| text == "ok") {
                    return Ok(());
                }
            }
            if started.elapsed() > SERVING_DEADLINE {
                let logs: Vec<String> = self.processes().iter().map(Process::log_tail).collect();
                bail!("the API server is not ready after {} s:\n{}", SERVING_DEADLINE.as_secs(), logs.join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn check_alive(&self) -> Result<()> {
        for process in self.processes().iter_mut() {
            if let Some(code) = process.exit_code() {
                bail!("{} ended with code {code}:\n{}", process.name(), process.log_tail());
            }
        }
        Ok(())
    }

    async fn add_nodes(&self) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client().await?);
        for number in 1..=3 {
            let node: Node = serde_json::from_value(serde_json::json!({
                "metadata": {"name": format!("node-{number}"), "labels": {"kubernetes.io/os": "linux", "kubernetes.io/hostname": format!("node-{number}")}},
                "status": {
                    "allocatable": {"cpu": "10k", "memory": "10Ti", "pods": "100k"},
                    "capacity": {"cpu": "10k", "memory": "10Ti", "pods": "100k"}
                }
            }))?;
            nodes.create(&PostParams::default(), &node).await?;
        }
        let started = Instant::now();
        loop {
            self.check_alive()?;
            let list = nodes.list(&Default::default()).await?;
            let usable = |node: &Node| {
                let tainted = node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).is_some_and(|t| !t.is_empty());
                let status = node.status.as_ref().and_then(|status| status.conditions.as_ref());
                !tainted && status.is_some_and(|c| c.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
            };
            if list.items.iter().all(usable) {
                return Ok(());
            }
            if started.elapsed() > SERVING_DEADLINE {
                let logs: Vec<String> = self.processes().iter().map(Process::log_tail).collect();
                bail!("the nodes are not ready after {} s:\n{}", SERVING_DEADLINE.as_secs(), logs.join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
    }
}

async fn http_get(client: &Client, path: &str) -> Result<String> {
    let request = http::Request::get(path).body(Vec::new())?;
    Ok(client.request_text(request).await?)
}

const DIR_PREFIX: &str = "greenlight-cluster-";

/// Removes the folders of clusters whose owners ended without a chance to do so, as test processes do.
pub fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(DIR_PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn fresh_dir() -> Result<PathBuf> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    sweep();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("{DIR_PREFIX}{}-{number}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// Ports that were free a moment ago. All are held until all are known, so they differ.
///
/// # Errors
/// There are none.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let listeners: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

//! A real node: containerd, kubelet and kube-proxy, with pods that run and Services that carry traffic. It lives in namespaces of
//! its own (network, mounts, processes), so nothing leaves it, and it ends as a whole.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Node;
use kube::Api;

use crate::cluster::Cluster;
use crate::image;
use crate::process::Process;
use crate::tools::{NODE, ensure};

/// Address of the node, and of the API server, in the node's own network.
pub const NODE_ADDRESS: &str = "10.200.0.1";
const NODE_NAME: &str = "real-node";
const PAUSE_IMAGE: &str = "greenlight.test/pause:1";
const INSIDE: &str = "GREENLIGHT_INSIDE_NODE_NAMESPACES";
/// Everything of the node and its control plane; gone with the namespaces.
const DIR: &str = "/run/greenlight-node";
const READY_WITHIN: Duration = Duration::from_secs(60);
const CGROUPS: &str = "/sys/fs/cgroup";
/// Where this file is, one tree of cgroups has every controller (version 2). Elsewhere each controller has a tree of its own.
const CONTROLLERS: &str = "cgroup.controllers";
/// How often processes are moved aside. Other tests start some in the middle of that, which are moved the next time.
const MOST_MOVES: usize = 100;

/// The namespaces: a shell as the first process, because it takes leave of orphans.
const ENTER: [&str; 9] =
    ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", r#""$0" "$@" & wait $!"#];

/// What is set up inside them. Folders that containerd, CNI and kubelet share with the host get a file system of their own.
const SET_UP: &str = r#"
set -e
for dir in "$TMPDIR" /run/containerd /run/netns /var/lib/cni /var/lib/kubelet /var/log/pods /var/log/containers; do
    mkdir -p $dir
    mount -t tmpfs tmpfs $dir
done
mount --make-rshared /
echo 1 > /proc/sys/net/ipv4/ip_forward
ip link set lo up
ip link add node0 type bridge
ip addr add 10.200.0.1/24 dev node0
ip link set node0 up
ip route add default via 10.200.0.254 dev node0
printf '127.0.0.1 localhost blue-green.local blue-green-preview.local\n' > "$TMPDIR/hosts"
mount --bind "$TMPDIR/hosts" /etc/hosts
"#;

/// What is missing on this machine for a real node, if something is.
pub fn missing() -> Option<String> {
    let uid = Command::new("id").arg("-u").output().map(|output| output.stdout).unwrap_or_default();
    if uid != b"0\n" {
        return Some("a real node takes root: namespaces, containerd, nftables".to_owned());
    }
    let there = |program: &str| {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
        found.is_ok_and(|output| output.status.success())
    };
    let programs = ["containerd", "ctr", "runc", "nft", "conntrack", "ip", "unshare"];
    if let Some(program) = programs.into_iter().find(|program| !there(program)) {
        return Some(format!(
            "{program} is not there. Debian: apt-get install containerd runc containernetworking-plugins nftables conntrack \
             iproute2 util-linux"
        ));
    }
    if !Path::new("/usr/lib/cni/bridge").exists() {
        return Some("the CNI plugins are not in /usr/lib/cni. Debian: containernetworking-plugins".to_owned());
    }
    let namespaces = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "nft", "add", "table", "inet", "probe"])
        .output();
    if !namespaces.is_ok_and(|output| output.status.success()) {
        return Some("this machine does not let us have namespaces with nftables of our own".to_owned());
    }
    None
}

/// Runs this very program again, inside namespaces of its own; returns when it is the one inside.
///
/// # Errors
/// The namespaces cannot be had, or the cgroups cannot be divided.
pub fn enter_namespaces() -> Result<()> {
    if std::env::var_os(INSIDE).is_none() {
        // Out here, since whoever is in a namespace of processes cannot move those outside of it.
        share_controllers(Path::new(CGROUPS))?;
        let exe = std::env::current_exe()?;
        let mut command = Command::new("unshare");
        command.args(ENTER).arg(exe).args(std::env::args_os().skip(1)).env(INSIDE, "1").env("TMPDIR", DIR);
        let error = command.exec();
        return Err(error).context("cannot run unshare");
    }
    let output = Command::new("sh").args(["-c", SET_UP]).output()?;
    if !output.status.success() {
        bail!("cannot set the namespaces up: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// A running node.
#[derive(Debug)]
pub struct RealNode {
    dir: PathBuf,
    cgroup: String,
    // In the order in which they end.
    processes: Vec<Process>,
}

impl RealNode {
    /// Starts a node of this cluster with these images (OCI archives), and waits until it is ready.
    pub(crate) async fn start(cluster: &Cluster, images: &[PathBuf]) -> Result<RealNode> {
        let tools = tokio::task::spawn_blocking(|| ensure(&NODE)).await??;
        let dir = cluster.dir().join("node");
        std::fs::create_dir_all(dir.join("cni"))?;
        let mut node = RealNode {
            cgroup: format!("/{}", cluster.dir().file_name().and_then(|name| name.to_str()).unwrap_or("greenlight")),
            processes: Vec::new(),
            dir,
        };
        node.write_files()?;
        let at = |name: &str| node.dir.join(name).display().to_string();
        let socket = at("containerd.sock");
        let kubeconfig = cluster.kubeconfig().display().to_string();
        let containerd = Process::start(
            &node.dir,
            "containerd",
            Path::new("/usr/bin/containerd"),
            &["--config".to_owned(), at("containerd.toml")],
            &[],
        )?;
        node.processes.push(containerd);
        let pause = image::write_pause_archive(PAUSE_IMAGE, &node.dir)?;
        for archive in images.iter().chain([&pause]) {
            import(&socket, archive)?;
        }
        let kubelet_args = [
            format!("--kubeconfig={kubeconfig}"),
            format!("--config={}", at("kubelet.yaml")),
            format!("--root-dir={}", at("kubelet")),
            format!("--cert-dir={}", at("kubelet-certs")),
            format!("--node-ip={NODE_ADDRESS}"),
            format!("--hostname-override={NODE_NAME}"),
        ];
        let proxy_args = [
            format!("--kubeconfig={kubeconfig}"),
            "--proxy-mode=nftables".into(),
            "--conntrack-max-per-core=0".into(),
            "--conntrack-tcp-timeout-established=0".into(),
            "--conntrack-tcp-timeout-close-wait=0".into(),
            format!("--hostname-override={NODE_NAME}"),
            // The usual second between two writes of its rules is for clusters with thousands of Services.
            "--nodeport-addresses=primary".into(),
        ];
        let kubelet = Process::start(&node.dir, "kubelet", &tools.path("kubelet"), &kubelet_args, &[])?;
        node.processes.push(kubelet);
        let proxy = Process::start(&node.dir, "kube-proxy", &tools.path("kube-proxy"), &proxy_args, &[])?;
        node.processes.push(proxy);
        node.wait_until_ready(cluster).await?;
        Ok(node)
    }

    async fn wait_until_ready(&mut self, cluster: &Cluster) -> Result<()> {
        let nodes: Api<Node> = Api::all(cluster.client().await?);
        let started = Instant::now();
        loop {
            for process in &mut self.processes {
                if let Some(code) = process.exit_code() {
                    bail!("{} ended with code {code}:\n{}", process.name(), process.log_tail());
                }
            }
            let node = nodes.get_opt(NODE_NAME).await?;
            let conditions = node.and_then(|node| node.status?.conditions).unwrap_or_default();
            if conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True") {
                return Ok(());
            }
            if started.elapsed() > READY_WITHIN {
                let logs: Vec<String> = self.processes.iter().map(Process::log_tail).collect();
                bail!("the node is not ready after {} s: {conditions:?}\n{}", READY_WITHIN.as_secs(), logs.join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn write_files(&self) -> Result<()> {
        let dir = self.dir.display();
        let write = |name: &str, text: String| std::fs::write(self.dir.join(name), text);
        write(
            "containerd.toml",
            format!(
                r#"version = 2
root = "{dir}/containerd"
state = "/run/containerd/greenlight"
[grpc]
address = "{dir}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
restrict_oom_score_adj = true
sandbox_image = "{PAUSE_IMAGE}"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{dir}/cni"
"#
            ),
        )?;
        write(
            "cni/10-bridge.conflist",
            r#"{"cniVersion": "1.0.0", "name": "pods", "plugins": [{
  "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/22"}]], "routes": [{"dst": "0.0.0.0/0"}]}
}]}
"#
            .to_owned(),
        )?;
        write(
            "kubelet.yaml",
            format!(
                r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://{dir}/containerd.sock
authentication: {{anonymous: {{enabled: true}}, webhook: {{enabled: false}}}}
authorization: {{mode: AlwaysAllow}}
cgroupDriver: cgroupfs
cgroupRoot: {}
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
evictionHard: {{memory.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}}
imageGCHighThresholdPercent: 100
resolvConf: ""
"#,
                self.cgroup
            ),
        )?;
        // The kubelet does not make the root of its cgroups.
        for tree in trees(Path::new(CGROUPS)) {
            let cgroup = tree.join(self.cgroup.trim_start_matches('/'));
            std::fs::create_dir_all(&cgroup)?;
            // A new cpuset has no processors and no memory.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(all) = std::fs::read_to_string(tree.join(file)) {
                    let _ = std::fs::write(cgroup.join(file), all);
                }
            }
        }
        Ok(())
    }

    /// Ends every container and process of the node.
    fn end(&mut self) {
        while let Some(process) = self.processes.pop() {
            drop(process);
        }
        for tree in trees(Path::new(CGROUPS)) {
            end_cgroup(&tree.join(self.cgroup.trim_start_matches('/')));
        }
    }
}

impl Drop for RealNode {
    fn drop(&mut self) {
        self.end();
    }
}

/// The trees of cgroups.
fn trees(cgroups: &Path) -> Vec<PathBuf> {
    if cgroups.join(CONTROLLERS).exists() {
        return vec![cgroups.to_owned()];
    }
    let entries = std::fs::read_dir(cgroups).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Lets the groups of the one tree have every controller. The kernel refuses that as long as processes are in the group above them, unless it is
/// the root of the whole machine. In a container it is not, so its processes go into a group of their own.
fn share_controllers(cgroups: &Path) -> Result<()> {
    let Ok(controllers) = std::fs::read_to_string(cgroups.join(CONTROLLERS)) else {
        return Ok(());
    };
    let all: Vec<String> = controllers.split_whitespace().map(|controller| format!("+{controller}")).collect();
    let all = all.join(" ");
    let aside = cgroups.join("greenlight-aside");
    for _ in 0..MOST_MOVES {
        match std::fs::write(cgroups.join("cgroup.subtree_control"), &all) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
            // What it refuses for another reason it refuses without these processes, too. They stay where they are.
            shared => return shared.with_context(|| format!("the cgroups in {} cannot be divided", cgroups.display())),
        }
        std::fs::create_dir_all(&aside)?;
        for process in std::fs::read_to_string(cgroups.join("cgroup.procs"))?.lines() {
            // A process that has ended meanwhile needs no move.
            let _ = std::fs::write(aside.join("cgroup.procs"), process);
        }
    }
    bail!("the cgroups in {} cannot be divided: processes are there again and again", cgroups.display())
}

/// Kills what is in a cgroup and those below it, and removes them.
fn end_cgroup(cgroup: &Path) {
    for child in std::fs::read_dir(cgroup).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        end_cgroup(&child.path());
    }
    for _ in 0..50 {
        let processes = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
        for pid in processes.lines().filter(|pid| *pid != "0") {
            let _ = Command::new("kill").args(["-KILL", pid]).output();
        }
        if std::fs::remove_dir(cgroup).is_ok() || !cgroup.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Makes an image known to containerd.
fn import(socket: &str, archive: &Path) -> Result<()> {
    let started = Instant::now();
    loop {
        let output = Command::new("ctr")
            .args(["--address", socket, "--namespace", "k8s.io", "images", "import"])
            .arg(archive)
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        // containerd takes a moment to listen.
        if started.elapsed() > Duration::from_secs(20) {
            bail!("cannot import {}: {}", archive.display(), String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder as the kernel shows it, with these folders in it.
    fn cgroups(name: &str, folders: &[&str]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("greenlight-cgroups-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        folders.iter().for_each(|folder| std::fs::create_dir_all(root.join(folder)).expect("created"));
        root
    }

    #[test]
    fn cgroups_are_one_tree_or_a_tree_for_each_controller() {
        let first = cgroups("first", &["cpu", "memory"]);
        let mut found = trees(&first);
        found.sort();
        assert_eq!(found, [first.join("cpu"), first.join("memory")]);
        share_controllers(&first).expect("nothing to share");
        assert!(!first.join("cgroup.subtree_control").exists());

        let second = cgroups("second", &["system.slice", "user.slice"]);
        std::fs::write(second.join(CONTROLLERS), "cpuset cpu memory\n").expect("written");
        assert_eq!(trees(&second), [second.as_path()]);
        share_controllers(&second).expect("shared");
        let shared = std::fs::read_to_string(second.join("cgroup.subtree_control")).expect("written");
        assert_eq!(shared, "+cpuset +cpu +memory");
        for root in [first, second] {
            std::fs::remove_dir_all(root).expect("removed");
        }
    }

    #[test]
    fn no_process_is_moved_where_the_kernel_refuses_for_another_reason() {
        let root = cgroups("refused", &["cgroup.subtree_control"]);
        std::fs::write(root.join(CONTROLLERS), "cpu memory\n").expect("written");
        std::fs::write(root.join("cgroup.procs"), "1\n").expect("written");
        let error = share_controllers(&root).expect_err("a folder takes no text");
        assert!(error.to_string().ends_with("cannot be divided"), "{error:#}");
        assert!(!root.join("greenlight-aside").exists());
        std::fs::remove_dir_all(root).expect("removed");
    }
}

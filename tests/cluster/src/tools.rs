//! The pinned commands of the control plane, built once from Go modules.

use std::fs::File;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// axe-core, which looks whether everybody can use a page: the npm package's version, and the SHA-256 of its script.
const AXE: (&str, &str) = ("4.14.1", "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c");

/// The version of Kubernetes that everything runs on if nobody asks for another. The binaries report it, and clients check that.
const KUBERNETES: &str = "v1.36.3";
/// The environment variable that asks for another minor version of [`OTHER_KUBERNETES`]: `1.33`.
pub const KUBERNETES_VARIABLE: &str = "GREENLIGHT_KUBERNETES";

/// Package to build, name of the binary that `go build` makes of it, and the name that we give it.
type GoCommand = (&'static str, &'static str, &'static str);

/// Commands that are built together. Go modules that do not fit together are built apart.
#[derive(Debug)]
pub struct Module {
    /// Folder with go.mod and go.sum.
    folder: &'static str,
    /// What is said before it is built.
    about: &'static str,
    commands: &'static [GoCommand],
    /// The version of Kubernetes that the binaries report.
    kubernetes: &'static str,
}

/// etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, kwok.
pub const CONTROL_PLANE: Module = Module {
    folder: "tools",
    about: "the control plane, about 6 minutes on two cores",
    commands: &[
        ("go.etcd.io/etcd/server/v3", "server", "etcd"),
        ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver", "kube-apiserver"),
        ("k8s.io/kubernetes/cmd/kube-controller-manager", "kube-controller-manager", "kube-controller-manager"),
        ("k8s.io/kubernetes/cmd/kube-scheduler", "kube-scheduler", "kube-scheduler"),
        ("k8s.io/kubernetes/cmd/kubectl", "kubectl", "kubectl"),
        ("sigs.k8s.io/kwok/cmd/kwok", "kwok", "kwok"),
    ],
    kubernetes: KUBERNETES,
};
/// kubelet and kube-proxy, for a node with real pods.
pub const NODE: Module = Module {
    folder: "tools",
    about: "kubelet and kube-proxy, about 1 minute on two cores",
    commands: &[
        ("k8s.io/kubernetes/cmd/kubelet", "kubelet", "kubelet"),
        ("k8s.io/kubernetes/cmd/kube-proxy", "kube-proxy", "kube-proxy"),
    ],
    kubernetes: KUBERNETES,
};
/// helm.
pub const HELM: Module = Module {
    folder: "flux",
    about: "Helm, about 2 minutes on two cores",
    commands: &[("helm.sh/helm/v4/cmd/helm", "helm", "helm")],
    kubernetes: KUBERNETES,
};
/// argocd: one binary, which acts by the name that it is called by.
pub const ARGO_CD: Module = Module {
    folder: "argocd",
    about: "Argo CD, about 6 minutes on two cores",
    commands: &[("github.com/argoproj/argo-cd/v3/cmd", "cmd", "argocd")],
    kubernetes: KUBERNETES,
};
/// Flux's source-controller and kustomize-controller.
pub const FLUX: Module = Module {
    folder: "flux",
    about: "Flux, about 4 minutes on two cores",
    commands: &[
        ("github.com/fluxcd/source-controller", "source-controller", "source-controller"),
        ("github.com/fluxcd/kustomize-controller", "kustomize-controller", "kustomize-controller"),
    ],
    kubernetes: KUBERNETES,
};
/// traefik, an ingress controller.
pub const TRAEFIK: Module = Module {
    folder: "traefik",
    about: "Traefik, about 8 minutes on two cores",
    commands: &[("github.com/traefik/traefik/v3/cmd/traefik", "traefik", "traefik")],
    kubernetes: KUBERNETES,
};

/// Argo Rollouts' controller, for the benchmark and the move from it.
pub const ARGO_ROLLOUTS: Module = Module {
    folder: "argo-rollouts",
    about: "Argo Rollouts, about 3 minutes on two cores",
    commands: &[("github.com/argoproj/argo-rollouts/cmd/rollouts-controller", "rollouts-controller", "argo-rollouts")],
    kubernetes: KUBERNETES,
};

/// actionlint, which checks the workflows of GitHub Actions.
pub const ACTIONLINT: Module = Module {
    folder: "actionlint",
    about: "actionlint, a few seconds",
    commands: &[("github.com/rhysd/actionlint/cmd/actionlint", "actionlint", "actionlint")],
    kubernetes: KUBERNETES,
};

/// krew, which installs plugins of kubectl.
pub const KREW: Module = Module {
    folder: "krew",
    about: "krew, about half a minute on two cores",
    commands: &[("sigs.k8s.io/krew/cmd/krew", "krew", "krew")],
    kubernetes: KUBERNETES,
};

/// kube-apiserver, kube-controller-manager and kube-scheduler of other versions of Kubernetes, each from a module of its own. The
/// rest of the control plane is that of [`CONTROL_PLANE`].
pub const OTHER_KUBERNETES: [(&str, Module); 3] = [
    ("1.30", other_kubernetes("kubernetes-1.30", "v1.30.14")),
    ("1.33", other_kubernetes("kubernetes-1.33", "v1.33.13")),
    ("1.37", other_kubernetes("kubernetes-1.37", "v1.37.2")),
];

const fn other_kubernetes(folder: &'static str, kubernetes: &'static str) -> Module {
    Module {
        folder,
        about: "another version of the control plane, about 5 minutes on two cores",
        commands: &[
            ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver", "kube-apiserver"),
            ("k8s.io/kubernetes/cmd/kube-controller-manager", "kube-controller-manager", "kube-controller-manager"),
            ("k8s.io/kubernetes/cmd/kube-scheduler", "kube-scheduler", "kube-scheduler"),
        ],
        kubernetes,
    }
}

impl Module {
    fn path(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(self.folder)
    }
}

/// Folders with built commands.
#[derive(Clone, Debug)]
pub struct Tools {
    dir: PathBuf,
    /// What is in here comes first.
    instead: Option<PathBuf>,
}

impl Tools {
    /// Path of one command.
    pub fn path(&self, name: &str) -> PathBuf {
        let instead = self.instead.iter().map(|dir| dir.join(name)).find(|path| path.exists());
        instead.unwrap_or_else(|| self.dir.join(name))
    }
}

/// The commands of the control plane: [`CONTROL_PLANE`], with the servers of this minor version of Kubernetes, if one is named.
///
/// # Errors
/// There is no such version, or it cannot be built.
pub fn ensure_control_plane(minor: &str) -> Result<Tools> {
    let tools = ensure(&CONTROL_PLANE)?;
    if minor.is_empty() || KUBERNETES.starts_with(&format!("v{minor}.")) {
        return Ok(tools);
    }
    let Some((_, module)) = OTHER_KUBERNETES.iter().find(|(other, _)| *other == minor) else {
        let known: Vec<&str> = OTHER_KUBERNETES.iter().map(|(other, _)| *other).collect();
        bail!("no control plane of Kubernetes {minor} is pinned: there are {} and {KUBERNETES}", known.join(", "));
    };
    Ok(Tools { instead: Some(ensure(module)?.dir), ..tools })
}

/// The minor version of Kubernetes that everything runs on: 36 for 1.36.
fn kubernetes_minor() -> u32 {
    let asked = std::env::var(KUBERNETES_VARIABLE).unwrap_or_default();
    let version = if asked.is_empty() { KUBERNETES.trim_start_matches('v').to_owned() } else { asked };
    version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or_default()
}

/// Whether that version has MutatingAdmissionPolicies.
pub fn has_mutating_policies() -> bool {
    kubernetes_minor() >= 36
}

/// Whether that version streams lists by default: 1.32 does, 1.33 does not, and from 1.34 all do.
pub fn streams_lists() -> bool {
    !matches!(kubernetes_minor(), 0..=31 | 33)
}

/// Whether that version can stream lists, by default or by the gate `WatchList`. Before 1.32 the gate is alpha, and what the server
/// sends is not what clients expect.
pub fn can_stream_lists() -> bool {
    kubernetes_minor() >= 32
}

/// The commands of a module, built if they are not in the cache. Progress goes to standard error; a cold build takes
/// minutes, later calls nothing. Calls at the same time wait for the first.
///
/// They are kept in [`cache_dir`], keyed by what is pinned.
pub fn ensure(of: &Module) -> Result<Tools> {
    let module = of.path();
    let ldflags = format!("-s -w -X k8s.io/component-base/version.gitVersion={}", of.kubernetes);
    let cache = cache_dir()?;
    let dir = cache.join(format!("{}-{}", of.folder, key(&module, &ldflags)?));
    std::fs::create_dir_all(&dir)?;
    let lock = File::create(dir.join("lock"))?;
    if lock.try_lock().is_err() {
        eprintln!("waiting for another process that builds the tools of the test cluster");
        lock.lock()?;
    }
    let missing: Vec<_> = of.commands.iter().filter(|(_, _, name)| !dir.join(name).exists()).collect();
    if missing.is_empty() {
        return Ok(Tools { dir, instead: None });
    }
    if Command::new("go").arg("version").stdout(Stdio::null()).status().is_err() {
        bail!(
            "the test cluster is built from source and needs Go 1.26 or later on the PATH: see https://go.dev/doc/install"
        );
    }
    eprintln!("Building from Go modules, once: {}.", of.about);
    let started = Instant::now();
    for (step, (package, binary, name)) in missing.iter().enumerate() {
        let label = format!("[{}/{}] {name}", step + 1, missing.len());
        build(&module, package, &ldflags, &dir, &label)?;
        if binary != name {
            std::fs::rename(dir.join(binary), dir.join(name))?;
        }
    }
    eprintln!("Built in {} s, kept in {}", started.elapsed().as_secs(), dir.display());
    Ok(Tools { dir, instead: None })
}

/// The source of one of the Go modules that the commands are built from, for the manifests that come with it.
///
/// # Errors
/// Go is not there, or does not know the module.
pub fn source(of: &Module, path: &str) -> Result<PathBuf> {
    let mut list = Command::new("go");
    let output = list.args(["list", "-m", "-f", "{{.Dir}}", path]).current_dir(of.path()).output().context("go")?;
    if !output.status.success() {
        bail!("go list -m {path}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// The script of axe-core, fetched with npm if it is not in the cache.
///
/// # Errors
/// There is no npm, it reaches no registry, or what comes is not what is pinned.
pub fn axe_core() -> Result<PathBuf> {
    let (version, digest) = AXE;
    let dir = cache_dir()?.join(format!("axe-core-{version}"));
    std::fs::create_dir_all(&dir)?;
    let lock = File::create(dir.join("lock"))?;
    lock.lock()?;
    let script = dir.join("package/axe.min.js");
    let is_pinned = |script: &Path| -> Result<bool> {
        let hash = Sha256::digest(std::fs::read(script)?);
        Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>() == digest)
    };
    if !script.exists() {
        run(Command::new("npm").args(["pack", &format!("axe-core@{version}")]).current_dir(&dir))?;
        let archive = format!("axe-core-{version}.tgz");
        run(Command::new("tar").args(["-xzf", &archive, "package/axe.min.js"]).current_dir(&dir))?;
    }
    if !is_pinned(&script)? {
        std::fs::remove_file(&script)?;
        bail!("axe-core {version} is not what was pinned");
    }
    Ok(script)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Where what is built once is kept: `$GREENLIGHT_CACHE`, or `greenlight` in `$XDG_CACHE_HOME` or `~/.cache`.
///
/// # Errors
/// None of these is set, nor HOME.
pub fn cache_dir() -> Result<PathBuf> {
    let var = |name| std::env::var_os(name).map(PathBuf::from);
    var("GREENLIGHT_CACHE")
        .or_else(|| Some(var("XDG_CACHE_HOME")?.join("greenlight")))
        .or_else(|| Some(var("HOME")?.join(".cache/greenlight")))
        .context("set GREENLIGHT_CACHE or HOME: the built tools need a folder")
}

fn key(module: &Path, ldflags: &str) -> Result<String> {
    let mut hash = Sha256::new();
    for file in ["go.mod", "go.sum"] {
        hash.update(std::fs::read(module.join(file))?);
    }
    hash.update(ldflags);
    Ok(hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

fn build(module: &Path, package: &str, ldflags: &str, out: &Path, label: &str) -> Result<()> {
    let terminal = std::io::stderr().is_terminal();
    let log = out.join("build.log");
    let started = Instant::now();
    let mut child = Command::new("go")
        .args(["build", "-trimpath", "-mod=readonly", "-ldflags", ldflags, "-o"])
        .arg(out)
        .arg(package)
        .current_dir(module)
        .env("CGO_ENABLED", "0")
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .spawn()?;
    let mut next_line = Duration::from_secs(15);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let elapsed = started.elapsed();
        if terminal {
            eprint!("\r{label}: building, {} s ", elapsed.as_secs());
        } else if elapsed >= next_line {
            eprintln!("{label}: building, {} s", elapsed.as_secs());
            next_line += Duration::from_secs(30);
        }
        std::thread::sleep(Duration::from_millis(250));
    };
    if !status.success() {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        bail!("go build {package} failed:\n{log}");
    }
    eprintln!("{}{label}: built in {} s    ", if terminal { "\r" } else { "" }, started.elapsed().as_secs());
    Ok(())
}

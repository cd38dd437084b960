//! A clock of its own for an operator, which is set forth and back while it runs. The program is the shipped one: what it asks the C library for the
//! time of day is answered by `clock.c`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context, Result, bail, ensure};
use greenlight_api::names;
use greenlight_e2e::{Lab, binary, cluster, eventually};
use greenlight_test_cluster::Process;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// The clock of whatever is started with [`Clock::env`].
pub struct Clock {
    path: PathBuf,
    file: File,
}

impl Clock {
    /// One that is right.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(name: &str) -> Result<Clock> {
        let path = cluster().dir().join(format!("{name}.clock"));
        std::fs::write(&path, 0_i64.to_ne_bytes())?;
        let file = File::options().write(true).open(&path)?;
        Ok(Clock { path, file })
    }

    /// Sets it so many seconds ahead; less than nothing is behind.
    ///
    /// # Errors
    /// Its file cannot be written.
    pub fn set(&self, ahead: f64) -> Result<()> {
        let milliseconds = (ahead * 1000.0) as i64;
        // In place: whoever reads it has it in its memory.
        Ok(self.file.write_all_at(&milliseconds.to_ne_bytes(), 0)?)
    }

    /// The environment of who lives by it.
    ///
    /// # Errors
    /// There is no C compiler.
    pub fn env(&self) -> Result<[(&str, &str); 2]> {
        let library = match &*LIBRARY {
            Ok(library) => library,
            Err(error) => bail!("{error:#}"),
        };
        Ok([("LD_PRELOAD", text(library)), ("STORM_CLOCK", text(&self.path))])
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// What is loaded before the C library. Whoever builds Rust has the compiler.
static LIBRARY: LazyLock<Result<PathBuf>> = LazyLock::new(|| {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/storm/clock.c");
    let library = cluster().dir().join("clock.so");
    let cc = Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(source).output();
    let cc = cc.context("cc, which Rust links with")?;
    ensure!(cc.status.success(), "cc: {}", String::from_utf8_lossy(&cc.stderr));
    Ok(library)
});

/// When the operator wrote the last line of its log, by its clock.
fn last(log: &str) -> Option<Timestamp> {
    let line: Value = serde_json::from_str(log.lines().next_back()?).ok()?;
    line["timestamp"].as_str()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lives_by_the_clock_that_it_is_given_and_that_is_set_while_it_runs() {
    const ABOUT: SignedDuration = SignedDuration::from_mins(10);
    let clock = Clock::new("test").expect("a clock");
    let kubeconfig = cluster().kubeconfig();
    let mut env = clock.env().expect("a compiler").to_vec();
    env.push(("KUBECONFIG", text(&kubeconfig)));
    let args = ["controller", "--namespace", "nobody", "--listen", "127.0.0.1:0"].map(str::to_owned);
    for hours in [-1, 2] {
        let ahead = SignedDuration::from_hours(hours);
        clock.set(ahead.as_secs_f64()).expect("set");
        let name = format!("clock-{hours}");
        let mut operator =
            Process::start(cluster().dir(), &name, &binary("greenlight"), &args, &env).expect("it starts");
        eventually("it says when it is ready", async || {
            let log = operator.log();
            let off = last(&log).map(|at| at.duration_since(Timestamp::now()) - ahead);
            log.contains(r#""message":"ready""#) && off.is_some_and(|off| off.abs() < ABOUT)
        })
        .await;
        // It says that it ends by another clock than it began.
        clock.set(0.0).expect("set");
        operator.terminate().expect("it ends");
        let ended = last(&operator.log()).expect("it says so");
        assert!(ended.duration_since(Timestamp::now()).abs() < ABOUT, "{ended}");
    }
}

/// Until when a revision stays up is a time of day, which stands on its ReplicaSet.
#[tokio::test(flavor = "multi_thread")]
async fn a_delay_is_over_soon_also_when_the_clock_was_set_back_by_an_hour_meanwhile() {
    let lab = Lab::without_operator("setback").await;
    let clock = Clock::new("setback").expect("a clock");
    let kubeconfig = cluster().kubeconfig();
    let mut env = clock.env().expect("a compiler").to_vec();
    env.push(("KUBECONFIG", text(&kubeconfig)));
    let args = ["controller", "--namespace", "setback", "--listen", "127.0.0.1:0"].map(str::to_owned);
    let program = binary("greenlight");
    let _operator = Process::start(cluster().dir(), "clock-setback", &program, &args, &env).expect("it starts");
    let blue_green = json!({"autoPromotionEnabled": true, "scaleDownDelaySeconds": 10});
    lab.deploy(json!({"strategy": {"blueGreen": blue_green}})).await;
    lab.set_image("web:v2").await;
    lab.until("revision 1 retires", |now| now.annotation_of_image("web:v1", names::SCALE_DOWN_AT).is_some()).await;
    clock.set(-3600.0).expect("set");
    lab.until("its delay is over", |now| now.is_down("web:v1")).await;
}

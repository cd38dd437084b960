//! Two operators, each behind a proxy of its own, and what happens to them: somebody starts one again that has ended, as a kubelet
//! does.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use greenlight_e2e::{binary, cluster};
use greenlight_test_cluster::Process;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use crate::clock::Clock;
use crate::dice::Dice;
use crate::proxy::StormProxy;
use crate::weather::Weather;

/// After so long an operator that has ended is started again.
const RESTART: Duration = Duration::from_millis(700);

/// A leader that cannot renew for so long stops by itself.
const LONG: f64 = 9.0;

/// By so many seconds a clock is ahead or behind at most. What is written by one that is ahead may hold up for so long what comes next, and less than a
/// person waits in fair weather.
const MOST_OFF: f64 = 8.0;

/// What happens to an operator, or to the API server, at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Blow {
    /// It is killed at some moment.
    Kill(Whom),
    /// It is killed when the server has carried out so many more of its writes, before it has the answer to the last.
    KillAtWrite(Whom, u64),
    /// It is asked to end.
    Terminate(Whom),
    /// It sleeps for so many seconds.
    Sleep(Whom, f64),
    /// Nothing goes through for so long, and pings are answered.
    Silence(Whom, f64),
    /// It has no connection for so long.
    Cut(Whom, f64),
    /// It cannot reach the lease for so long.
    NoLease(Whom, f64),
    /// The API server is killed and started again.
    ApiServerRestarts,
    /// The API server sleeps.
    ApiServerSleeps(f64),
    /// etcd is killed and started again.
    EtcdRestarts,
    /// etcd sleeps.
    EtcdSleeps(f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Whom {
    Leader,
    Standby,
    Both,
}

impl Blow {
    /// Whether nobody leads for a while: the lease of a killed leader has to run out, too.
    fn lasts(self) -> bool {
        match self {
            Blow::Kill(whom) | Blow::KillAtWrite(whom, _) => whom != Whom::Standby,
            Blow::Sleep(_, seconds) | Blow::Silence(_, seconds) | Blow::Cut(_, seconds) | Blow::NoLease(_, seconds) => {
                seconds > LONG
            }
            _ => false,
        }
    }
}

/// Both of them.
pub struct Operators {
    batch: u64,
    client: Client,
    weather: Arc<Weather>,
    proxies: [StormProxy; 2],
    clocks: [Clock; 2],
    processes: [Mutex<Running>; 2],
    lease_namespace: String,
}

#[derive(Default)]
struct Running {
    process: Option<Process>,
    starts: usize,
    /// Not before this time is it started again.
    not_before: Option<Instant>,
}

impl Operators {
    /// Starts them.
    ///
    /// # Errors
    /// One cannot be started.
    pub async fn start(
        batch: u64,
        client: &Client,
        weather: &Arc<Weather>,
        lease_namespace: &str,
    ) -> Result<Arc<Operators>> {
        let name = |letter: &str| format!("storm-{batch}-{letter}");
        let proxies = [
            StormProxy::start(&name("a"), weather.clone()).await?,
            StormProxy::start(&name("b"), weather.clone()).await?,
        ];
        let operators = Operators {
            batch,
            client: client.clone(),
            weather: weather.clone(),
            proxies,
            clocks: [Clock::new(&name("a"))?, Clock::new(&name("b"))?],
            processes: Default::default(),
            lease_namespace: lease_namespace.to_owned(),
        };
        for number in 0..2 {
            operators.start_one(number, &mut *operators.processes[number].lock().await)?;
        }
        Ok(Arc::new(operators))
    }

    fn start_one(&self, number: usize, running: &mut Running) -> Result<()> {
        running.starts += 1;
        self.proxies[number].revive();
        let kubeconfig = self.proxies[number].kubeconfig()?;
        let name = format!("storm-{}-{}-{}", self.batch, ["a", "b"][number], running.starts);
        let args = [
            "controller",
            "--leader-elect",
            "--lease-namespace",
            &self.lease_namespace,
            "--listen",
            "127.0.0.1:0",
            "--log",
            "greenlight=debug,warn",
            "--analysis-allow",
            "127.0.0.0/8",
        ];
        let args = args.map(str::to_owned);
        let mut env = self.clocks[number].env()?.to_vec();
        env.push(("KUBECONFIG", kubeconfig.to_str().expect("a path in UTF-8")));
        running.process = Some(Process::start(cluster().dir(), &name, &binary("greenlight"), &args, &env)?);
        Ok(())
    }

    /// Starts whoever has ended again, for ever.
    pub async fn supervise(&self) {
        loop {
            for (number, running) in self.processes.iter().enumerate() {
                let mut running = running.lock().await;
                if let Some(code) = running.process.as_mut().and_then(Process::exit_code) {
                    self.weather.count(&format!("operator ended by itself ({code})"));
                    self.weather.note("", ["a", "b"][number], format!("ends by itself with code {code}"));
                    running.process = None;
                    running.not_before = Some(Instant::now() + RESTART);
                }
                let waits = running.not_before.is_some_and(|at| Instant::now() < at);
                if running.process.is_none() && !waits && self.start_one(number, &mut running).is_err() {
                    running.not_before = Some(Instant::now() + RESTART);
                }
            }
            sleep(Duration::from_millis(150)).await;
        }
    }

    /// Lets things happen to them until the storm is over. `to_all`: to the API server and etcd, too.
    pub async fn suffer(&self, to_all: bool) {
        let mut dice = Dice::new(&[self.batch, 20]);
        sleep(Duration::from_secs_f64(dice.between(5.0, 12.0))).await;
        let mut may_last = true;
        while self.weather.storms() {
            let blow = if to_all && dice.chance(0.6) { of_all(&mut dice) } else { of_operators(&mut dice, may_last) };
            // While nobody leads, nothing happens that could go wrong.
            may_last &= !blow.lasts();
            self.weather.note("", "storm", format!("{blow:?}"));
            if let Err(error) = self.strike(blow).await {
                self.weather.note("", "storm", format!("{blow:?} did not work: {error:#}"));
            }
            sleep(Duration::from_secs_f64(dice.between(1.0, 9.0))).await;
        }
        for proxy in &self.proxies {
            proxy.silence(false);
            proxy.cut(false);
            proxy.withhold_lease(false);
        }
    }

    /// Sets their clocks forth and back, until the storm is over: then they are right. Who is started again has the clock of its machine.
    pub async fn clocks_jump(&self) {
        let mut dice = Dice::new(&[self.batch, 21]);
        while self.weather.storms() {
            let (number, ahead) = (usize::from(dice.chance(0.5)), dice.between(-MOST_OFF, MOST_OFF));
            self.set_clock(number, ahead);
            self.weather.count("clock set");
            self.while_it_storms(dice.between(2.0, 12.0)).await;
        }
        (0..2).for_each(|number| self.set_clock(number, 0.0));
    }

    fn set_clock(&self, number: usize, ahead: f64) {
        let name = ["a", "b"][number];
        self.weather.note("", "storm", format!("the clock of {name} is {ahead:.1} s ahead"));
        if let Err(error) = self.clocks[number].set(ahead) {
            self.weather.note("", "storm", format!("the clock of {name} cannot be set: {error:#}"));
        }
    }

    async fn strike(&self, blow: Blow) -> Result<()> {
        let (name, whom) = match blow {
            Blow::Kill(whom) => ("operator killed", whom),
            Blow::KillAtWrite(whom, _) => ("operator killed after a write", whom),
            Blow::Terminate(whom) => ("operator terminated", whom),
            Blow::Sleep(whom, _) => ("operator asleep", whom),
            Blow::Silence(whom, _) => ("silence", whom),
            Blow::Cut(whom, _) => ("connections cut", whom),
            Blow::NoLease(whom, _) => ("lease out of reach", whom),
            Blow::ApiServerRestarts => ("API server killed", Whom::Both),
            Blow::ApiServerSleeps(_) => ("API server asleep", Whom::Both),
            Blow::EtcdRestarts => ("etcd killed", Whom::Both),
            Blow::EtcdSleeps(_) => ("etcd asleep", Whom::Both),
        };
        self.weather.count(name);
        let whom = self.numbers(whom).await;
        let proxies = || whom.iter().map(|number| &self.proxies[*number]);
        match blow {
            Blow::Kill(_) => {
                for number in &whom {
                    self.kill(*number).await;
                }
            }
            Blow::KillAtWrite(_, writes) => {
                for number in &whom {
                    // Who does not lead writes little.
                    drop(timeout(Duration::from_secs(8), self.proxies[*number].dies_after(writes)).await);
                    self.kill(*number).await;
                }
            }
            Blow::Terminate(_) => {
                for number in &whom {
                    if let Some(process) = &self.processes[*number].lock().await.process {
                        std::process::Command::new("kill").args(["-TERM", &process.pid()?.to_string()]).status()?;
                    }
                }
            }
            Blow::Sleep(_, seconds) => {
                self.put_to_sleep(&whom, true).await?;
                self.while_it_storms(seconds).await;
                self.put_to_sleep(&whom, false).await?;
            }
            Blow::Silence(_, seconds) => {
                proxies().for_each(|proxy| proxy.silence(true));
                self.while_it_storms(seconds).await;
                proxies().for_each(|proxy| proxy.silence(false));
            }
            Blow::Cut(_, seconds) => {
                proxies().for_each(|proxy| proxy.cut(true));
                self.while_it_storms(seconds).await;
                proxies().for_each(|proxy| proxy.cut(false));
            }
            Blow::NoLease(_, seconds) => {
                proxies().for_each(|proxy| proxy.withhold_lease(true));
                self.while_it_storms(seconds).await;
                proxies().for_each(|proxy| proxy.withhold_lease(false));
            }
            Blow::ApiServerRestarts => cluster().restart_api_server(&[]).await?,
            Blow::EtcdRestarts => cluster().restart_etcd().await?,
            Blow::ApiServerSleeps(seconds) => sleeps("kube-apiserver", seconds).await?,
            Blow::EtcdSleeps(seconds) => sleeps("etcd", seconds).await?,
        }
        Ok(())
    }

    async fn while_it_storms(&self, seconds: f64) {
        drop(timeout(Duration::from_secs_f64(seconds), self.weather.over()).await);
    }

    async fn kill(&self, number: usize) {
        let mut running = self.processes[number].lock().await;
        if let Some(mut process) = running.process.take() {
            process.kill();
        }
        running.not_before = Some(Instant::now() + RESTART);
    }

    async fn put_to_sleep(&self, whom: &[usize], asleep: bool) -> Result<()> {
        for number in whom {
            if let Some(process) = &self.processes[*number].lock().await.process {
                process.put_to_sleep(asleep)?;
            }
        }
        Ok(())
    }

    /// Who that is, by the lease. Whoever leads by it may have been lost: then it is the first.
    async fn numbers(&self, whom: Whom) -> Vec<usize> {
        if whom == Whom::Both {
            return vec![0, 1];
        }
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.lease_namespace);
        let lease = leases.get_opt("greenlight").await.ok().flatten();
        let holder = lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default();
        let mut leader = 0;
        for (number, running) in self.processes.iter().enumerate() {
            if running.lock().await.process.as_ref().is_some_and(|process| process.is_holder(&holder)) {
                leader = number;
            }
        }
        vec![if whom == Whom::Leader { leader } else { 1 - leader }]
    }

    /// How often one of them began to lead.
    pub fn terms(&self) -> usize {
        self.logs().iter().map(|(_, log)| log.matches(r#""message":"leading""#).count()).sum()
    }

    /// The logs of all that ran, by name.
    pub fn logs(&self) -> Vec<(String, String)> {
        let prefix = format!("storm-{}-", self.batch);
        let entries = std::fs::read_dir(cluster().dir()).into_iter().flatten().flatten();
        let mut logs: Vec<(String, String)> = entries
            .filter_map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                let is_ours = name.starts_with(&prefix) && name.ends_with(".log");
                is_ours.then(|| Some((name, std::fs::read_to_string(entry.path()).ok()?)))?
            })
            .collect();
        logs.sort();
        logs
    }

    /// Ends both.
    pub async fn end(&self) {
        for running in &self.processes {
            running.lock().await.process = None;
        }
    }

    /// Removes their logs.
    pub fn forget_logs(&self) {
        for (name, _) in self.logs() {
            drop(std::fs::remove_file(cluster().dir().join(name)));
        }
    }
}

async fn sleeps(program: &str, seconds: f64) -> Result<()> {
    cluster().put_to_sleep(program, true)?;
    sleep(Duration::from_secs_f64(seconds)).await;
    cluster().put_to_sleep(program, false)
}

fn of_operators(dice: &mut Dice, may_last: bool) -> Blow {
    loop {
        let blow = any_of_operators(dice);
        if may_last || !blow.lasts() {
            return blow;
        }
    }
}

fn any_of_operators(dice: &mut Dice) -> Blow {
    let whom = dice.pick(&[(6, Whom::Leader), (1, Whom::Standby), (1, Whom::Both)]);
    // The leader's term ends after 10 s, and others take over after 15.
    let (short, long) = (dice.between(0.5, 6.0), dice.between(11.0, 19.0));
    let writes = 1 + dice.below(40);
    dice.pick(&[
        (2, Blow::Kill(whom)),
        (4, Blow::KillAtWrite(whom, writes)),
        (1, Blow::Terminate(whom)),
        (1, Blow::Sleep(Whom::Leader, short)),
        (3, Blow::Sleep(Whom::Leader, long)),
        (2, Blow::Silence(whom, short)),
        (2, Blow::Silence(Whom::Leader, long)),
        (2, Blow::Cut(whom, short)),
        (1, Blow::Cut(Whom::Leader, long)),
        (2, Blow::NoLease(Whom::Leader, long)),
    ])
}

fn of_all(dice: &mut Dice) -> Blow {
    let seconds = dice.between(1.0, 12.0);
    dice.pick(&[
        (3, Blow::ApiServerRestarts),
        (2, Blow::ApiServerSleeps(seconds)),
        (2, Blow::EtcdRestarts),
        (2, Blow::EtcdSleeps(seconds)),
    ])
}

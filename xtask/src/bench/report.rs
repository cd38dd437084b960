//! The figures, and how they are shown: a table, JSON, a comparison, how they grow.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What was measured in one run of the benchmark.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// When.
    pub date: String,
    /// A round for each subject and size.
    pub rounds: Vec<Round>,
}

/// One subject with one number of rollouts.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Round {
    /// Whose.
    pub subject: String,
    /// How many rollouts.
    pub rollouts: usize,
    /// Pods of each.
    pub replicas: usize,
    /// How many patches of Services this API server takes in a second from a bare client, just before.
    pub patches_per_second: f64,
    /// In order.
    pub phases: Vec<Figures>,
}

/// The figures of one phase. What was not measured is absent.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Figures {
    /// Its name.
    pub phase: String,
    /// From its beginning until the last rollout was at its end.
    pub seconds: f64,
    /// Until half of them were.
    pub half_seconds: Option<f64>,
    /// Until the last Service moved.
    pub last_switch_seconds: Option<f64>,
    /// From a request until its Service moved.
    pub switch_ms_p50: Option<f64>,
    /// The same, of the slowest of a hundred.
    pub switch_ms_p99: Option<f64>,
    /// CPU time for each rollout.
    pub cpu_ms_each: f64,
    /// API requests for each rollout, watches and leases aside.
    pub requests_each: f64,
    /// These requests by verb and resource.
    pub requests: BTreeMap<String, usize>,
    /// Watches that began.
    pub watches: usize,
    /// Resident memory at its end.
    pub rss_mb: f64,
    /// The most so far.
    pub peak_rss_mb: f64,
    /// Other figures, with their unit in the name.
    pub other: BTreeMap<String, f64>,
}

impl Report {
    /// Reads one that was written before.
    pub fn read(path: &Path) -> Result<Report> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not what `bench --json` writes", path.display()))
    }

    /// Writes it.
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(std::fs::write(path, serde_json::to_string_pretty(self)?)?)
    }

    /// Prints all rounds, and how they grow where there are several sizes.
    pub fn print(&self) {
        self.rounds.iter().for_each(Round::print);
        let subjects: BTreeSet<&str> = self.rounds.iter().map(|round| round.subject.as_str()).collect();
        for subject in subjects {
            let rounds: Vec<&Round> = self.rounds.iter().filter(|round| round.subject == subject).collect();
            if rounds.len() > 1 {
                print_growth(subject, &rounds);
            }
        }
    }

    /// Prints the phases of two reports beside each other, for the sizes that both have: each subject of one beside each of the other.
    pub fn compare(&self, other: &Report) {
        println!(
            "| whose | rollouts | phase | CPU ms each | requests each | seconds | switch p50 ms | switch p99 ms | peak MB |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        for (a, b) in self.rounds.iter().flat_map(|a| other.rounds.iter().map(move |b| (a, b))) {
            if a.rollouts != b.rollouts || a.replicas != b.replicas {
                continue;
            }
            for (x, y) in a.phases.iter().flat_map(|x| b.phases.iter().map(move |y| (x, y))) {
                if x.phase == y.phase {
                    println!(
                        "| {} / {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                        a.subject,
                        b.subject,
                        a.rollouts,
                        x.phase,
                        pair(Some(x.cpu_ms_each), Some(y.cpu_ms_each)),
                        pair(Some(x.requests_each), Some(y.requests_each)),
                        pair(Some(x.seconds), Some(y.seconds)),
                        pair(x.switch_ms_p50, y.switch_ms_p50),
                        pair(x.switch_ms_p99, y.switch_ms_p99),
                        pair(Some(x.peak_rss_mb), Some(y.peak_rss_mb)),
                    );
                }
            }
        }
    }
}

/// Two figures and their ratio.
fn pair(a: Option<f64>, b: Option<f64>) -> String {
    match (a, b) {
        (Some(a), Some(b)) if b != 0.0 => format!("{} / {} = {:.2}", rounded(a), rounded(b), a / b),
        (Some(a), Some(b)) => format!("{} / {}", rounded(a), rounded(b)),
        _ => String::new(),
    }
}

fn rounded(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

impl Round {
    fn print(&self) {
        println!(
            "\n{}: {} rollouts of {} replicas; the API server takes {:.0} patches of Services a second",
            self.subject, self.rollouts, self.replicas, self.patches_per_second
        );
        println!(
            "{:8} {:>8} {:>8} {:>9} {:>8} {:>8} {:>8} {:>9} {:>8} {:>7} {:>7} {:>9}",
            "phase",
            "seconds",
            "half s",
            "switch s",
            "p50 ms",
            "p99 ms",
            "CPU ms",
            "requests",
            "watches",
            "RSS",
            "peak",
            "of limit"
        );
        let optional =
            |value: Option<f64>, digits: usize| value.map_or(String::new(), |value| format!("{value:.digits$}"));
        for row in &self.phases {
            let requests: usize = row.requests.values().sum();
            let of_limit = requests as f64 / row.seconds / self.patches_per_second;
            println!(
                "{:8} {:>8.1} {:>8} {:>9} {:>8} {:>8} {:>8.2} {:>9.2} {:>8} {:>7.1} {:>7.1} {:>8.0}%",
                row.phase,
                row.seconds,
                optional(row.half_seconds, 1),
                optional(row.last_switch_seconds, 1),
                optional(row.switch_ms_p50, 0),
                optional(row.switch_ms_p99, 0),
                row.cpu_ms_each,
                row.requests_each,
                row.watches,
                row.rss_mb,
                row.peak_rss_mb,
                of_limit * 100.0,
            );
        }
        for row in &self.phases {
            let counts = row.requests.iter().map(|(what, count)| format!("{count} {what}"));
            let other = row.other.iter().map(|(what, value)| format!("{what} {value:.1}"));
            let all: Vec<String> = counts.chain(other).collect();
            println!("{}: {}", row.phase, if all.is_empty() { "no requests".to_owned() } else { all.join(", ") });
        }
    }
}

/// What these cost is not of all rollouts: of one release, of one that is created beside undos, of one text.
const OF_ONE: [&str; 3] = ["one", "amid", "scrape"];

/// With which power of the number of rollouts the whole cost of each phase grows.
fn print_growth(subject: &str, rounds: &[&Round]) {
    let sizes: Vec<String> = rounds.iter().map(|round| round.rollouts.to_string()).collect();
    println!(
        "\n{subject}: total cost grows with this power of the number of rollouts, from {}; of {}, that of one",
        sizes.join(", "),
        OF_ONE.join(", ")
    );
    println!("{:8} {:>6} {:>9} {:>8}", "phase", "CPU", "requests", "seconds");
    for Figures { phase, .. } in &rounds[0].phases {
        let fit = |figure: fn(&Figures) -> f64, is_each: bool| {
            growth(rounds, phase, figure, is_each).map_or(String::new(), |power| format!("{power:.2}"))
        };
        println!(
            "{phase:8} {:>6} {:>9} {:>8}",
            fit(|figures| figures.cpu_ms_each, true),
            fit(|figures| figures.requests_each, true),
            fit(|figures| figures.seconds, false)
        );
    }
}

/// The exponent of a figure of this phase, or of the sum of it where each rollout has it.
fn growth(rounds: &[&Round], phase: &str, figure: fn(&Figures) -> f64, is_each: bool) -> Option<f64> {
    let is_of_all = is_each && !OF_ONE.contains(&phase);
    let points = rounds.iter().filter_map(|round| {
        let figures = round.phases.iter().find(|figures| figures.phase == phase)?;
        let size = round.rollouts as f64;
        Some((size, figure(figures) * if is_of_all { size } else { 1.0 }))
    });
    exponent(&points.collect::<Vec<_>>())
}

/// The exponent of the power law that fits best, by least squares of the logarithms.
pub(super) fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> = points.iter().filter(|(_, y)| *y > 0.0).map(|(x, y)| (x.ln(), y.ln())).collect();
    if logs.len() < 2 {
        return None;
    }
    let count = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = logs.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let variance: f64 = logs.iter().map(|point| (point.0 - x).powi(2)).sum();
    (variance > 0.0).then(|| covariance / variance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_is_found_again() {
        let points: Vec<(f64, f64)> = [10.0, 100.0, 1000.0].map(|x: f64| (x, 3.0 * x.powf(1.5))).to_vec();
        assert!((exponent(&points).expect("a fit") - 1.5).abs() < 1e-9);
        assert_eq!(exponent(&[(10.0, 1.0)]), None);
    }

    #[test]
    fn what_one_release_costs_is_not_multiplied() {
        let figures = |phase: &str| Figures { phase: phase.to_owned(), cpu_ms_each: 2.0, ..Figures::default() };
        let round = |rollouts: usize| Round {
            subject: String::new(),
            rollouts,
            replicas: 2,
            patches_per_second: 600.0,
            phases: ["create", "one"].map(figures).to_vec(),
        };
        let rounds = [round(10), round(1000)];
        let rounds: Vec<&Round> = rounds.iter().collect();
        let power = |phase: &str| growth(&rounds, phase, |figures| figures.cpu_ms_each, true).expect("a fit");
        assert!((power("create") - 1.0).abs() < 1e-9, "each costs the same: all cost as much more as there are more");
        assert!(power("one").abs() < 1e-9, "one costs the same");
    }
}

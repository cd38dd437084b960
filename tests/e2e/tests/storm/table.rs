//! What came of a storm, in a table.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::batch::{OfBatch, OfSeed, SIZE, is_of_all, reports};

/// So many of the seeds may have gaps in their history.
const UNJUDGED: f64 = 0.05;
/// The same where the API server was killed: what was written between its last breath and its first is forgotten by its watches.
const UNJUDGED_OF_ALL: f64 = 0.5;

/// Sums up batches.
#[derive(Default)]
pub struct Table {
    seeds: Vec<OfSeed>,
    faults: BTreeMap<String, u64>,
    takeovers: usize,
    batches: usize,
}

/// A batch in a line.
pub fn line(outcome: &OfBatch) -> String {
    let broken = outcome.seeds.iter().filter(|seed| !seed.violations.is_empty()).count();
    let moves: usize = outcome.seeds.iter().map(|seed| seed.deeds.moves).sum();
    let faults: u64 = outcome.faults.values().sum();
    format!(
        "{} s of storm, {} s until all was done, {} s in all, {faults} faults, {moves} moves of production, {} takeovers, {broken} seeds broke promises",
        outcome.storm.as_secs(),
        outcome.lived.as_secs(),
        outcome.took.as_secs(),
        outcome.takeovers
    )
}

impl Table {
    /// Adds a batch.
    pub fn add(&mut self, outcome: OfBatch) {
        self.seeds.extend(outcome.seeds);
        self.takeovers += outcome.takeovers;
        self.batches += 1;
        for (fault, times) in outcome.faults {
            *self.faults.entry(fault).or_default() += times;
        }
    }

    fn broken(&self) -> impl Iterator<Item = &OfSeed> {
        self.seeds.iter().filter(|seed| !seed.violations.is_empty())
    }

    /// Prints it.
    pub fn print(&self, took: Duration) {
        let sum = |of: fn(&OfSeed) -> usize| self.seeds.iter().map(of).sum::<usize>();
        println!("\n{:<40} {:>8}", "the storm", "");
        for (fault, times) in &self.faults {
            println!("{fault:<40} {times:>8}");
        }
        let rows = [
            ("faults in all", usize::try_from(self.faults.values().sum::<u64>()).unwrap_or(0)),
            ("batches", self.batches),
            ("seeds", self.seeds.len()),
            ("moves of production", sum(|seed| seed.deeds.moves)),
            ("promotions asked for", sum(|seed| seed.deeds.promotions)),
            ("undos", sum(|seed| seed.deeds.undos)),
            ("requests answered", sum(|seed| seed.deeds.answers)),
            ("requests refused at first", sum(|seed| seed.refusals.len())),
            ("takeovers", self.takeovers),
            ("seeds not judged (gaps)", sum(|seed| usize::from(!seed.gaps.is_empty()))),
            ("ReplicaSets left behind", sum(|seed| seed.left_behind.len())),
            ("promises broken", sum(|seed| seed.violations.len())),
            ("seeds that broke promises", self.broken().count()),
        ];
        println!();
        for (name, count) in rows {
            println!("{name:<40} {count:>8}");
        }
        println!("{:<40} {:>8}", "seconds", took.as_secs());
        let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
        for refusal in self.seeds.iter().flat_map(|seed| &seed.refusals) {
            *refusals.entry(refusal.clone()).or_default() += 1;
        }
        for (refusal, times) in refusals {
            println!("refused {times} times: {refusal}");
        }
        for seed in self.broken() {
            println!("\nseed {}: {}", seed.seed, seed.violations.join("\n  "));
            println!("  {}", reports().join(format!("seed-{}.txt", seed.seed)).display());
            let first = seed.seed / SIZE * SIZE;
            println!("  again, alone: cargo xtask storm --first {} --seeds 1", seed.seed);
            println!("  again, with all that it was with: cargo xtask storm --first {first} --seeds {SIZE}");
        }
    }

    /// Fails if a promise was broken, or too little was seen.
    pub fn check(&self) {
        let unjudged = self.seeds.iter().filter(|seed| !seed.gaps.is_empty()).count();
        let broken: Vec<u64> = self.broken().map(|seed| seed.seed).collect();
        assert!(
            broken.is_empty(),
            "seeds that broke promises: {broken:?}; their histories are in {}",
            reports().display()
        );
        let may_be = |seed: &OfSeed| if is_of_all(seed.seed / SIZE) { UNJUDGED_OF_ALL } else { UNJUDGED };
        let many = 1.0 + self.seeds.iter().map(may_be).sum::<f64>();
        assert!(unjudged as f64 <= many, "{unjudged} of {} seeds have gaps in their history", self.seeds.len());
        let moves: usize = self.seeds.iter().map(|seed| seed.deeds.moves).sum();
        assert!(moves >= self.seeds.len() * 2, "hardly anything happened: {moves} moves");
    }
}

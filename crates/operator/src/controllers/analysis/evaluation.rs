//! Evaluating the expressions that people write, where they can be stopped.
//!
//! | expression | where |
//! |---|---|
//! | plain ([`expression::is_plain`], [`web::is_plain`]): a few looks at a result of at most 64 KiB | here |
//! | every other one | in a child process, with limits on time and memory, one at a time for each namespace |
//!
//! A parser or an evaluation that is exponential, that recurses too deep, or that doubles a text for ever ends with its process, and nobody
//! else waits for it.

use std::collections::HashMap;
use std::io::Read;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use greenlight_api::AnalysisPhase;
use greenlight_api::analysis::Metric;
use greenlight_core::analysis::expression;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::{Mutex as Turn, Semaphore};

use super::web;

/// The word by which the operator calls itself for this.
pub const COMMAND: &str = "evaluate";
/// A result is no larger.
const LARGEST_RESULT: usize = 64 << 10;
/// What a child is given is no larger: an answer, and expressions.
const LARGEST_QUESTION: u64 = 2 << 20;
/// How much time of a processor a child may take, in seconds.
const PROCESSOR_SECONDS: u64 = 1;
/// How much memory of its own a child may have, in bytes.
const MEMORY: u64 = 64 << 20;
/// How long a child may take, whatever it waits for.
const LONGEST: Duration = Duration::from_secs(10);
/// How far a child stands back when the processor is short.
const NICE: i32 = 10;
/// How many children may run at a time.
const PLACES: usize = 2;

/// What is measured, and what is made of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    /// An answer out of which a result is picked, or a result.
    pub measured: Measured,
    /// When it is good.
    pub success: Option<String>,
    /// When it is bad.
    pub failure: Option<String>,
}

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub enum Measured {
    /// The answer of a web server, and the path of the result in it.
    Answer(String, Option<String>),
    /// The result.
    Result(Value),
}

/// Where expressions are evaluated.
pub struct Evaluator {
    places: Semaphore,
    turns: Mutex<HashMap<String, Arc<Turn<()>>>>,
}

impl Default for Evaluator {
    fn default() -> Self {
        Evaluator { places: Semaphore::new(PLACES), turns: Mutex::default() }
    }
}

impl Evaluator {
    /// The result of a measurement in this namespace, and what it means.
    ///
    /// # Errors
    /// An expression is none, does not fit the result, or costs too much.
    pub async fn evaluate(&self, namespace: &str, question: Question) -> Result<(Value, AnalysisPhase), String> {
        if question.is_plain() {
            return question.answer();
        }
        let turn = {
            let mut turns = self.turns.lock().expect("no panic while locked");
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(namespace.to_owned()).or_default().clone()
        };
        let _turn = turn.lock().await;
        let _place = self.places.acquire().await.map_err(|error| error.to_string())?;
        match tokio::time::timeout(LONGEST, in_a_child(&question)).await {
            Ok(Ok(Some(answer))) => answer,
            Ok(Ok(None)) | Err(_) => Err(
                "the conditions or the jsonPath take too long, or too much memory. Simplify them: fewer filters and loops, and none within another"
                    .to_owned(),
            ),
            Ok(Err(error)) => Err(format!("the conditions could not be evaluated: {error:#}")),
        }
    }
}

impl Question {
    fn is_plain(&self) -> bool {
        let path = match &self.measured {
            Measured::Answer(_, path) => path.as_deref(),
            Measured::Result(_) => None,
        };
        let conditions = [&self.success, &self.failure].into_iter().flatten();
        path.is_none_or(web::is_plain) && conditions.into_iter().all(|text| expression::is_plain(text))
    }

    fn answer(self) -> Result<(Value, AnalysisPhase), String> {
        let result = match self.measured {
            Measured::Answer(body, path) => web::pick(&body, path.as_deref())?,
            Measured::Result(result) => result,
        };
        let text = result.to_string();
        if text.len() > LARGEST_RESULT {
            return Err(format!(
                "the result has {} KiB, and at most {} are taken. Pick less of it by jsonPath, or by the query",
                text.len() >> 10,
                LARGEST_RESULT >> 10
            ));
        }
        // An answer can have texts in it that serde_json reads as JSON, with more texts in them: it is deeper than any JSON that is read at once.
        if serde_json::from_str::<Value>(&text).is_err() {
            return Err("the result is nested too deep. Pick less of it by jsonPath".to_owned());
        }
        let metric = Metric { success_condition: self.success, failure_condition: self.failure, ..Metric::default() };
        let phase = expression::assess(&metric, &result)?;
        Ok((result, phase))
    }
}

/// The child's answer; none if it was stopped.
async fn in_a_child(question: &Question) -> anyhow::Result<Option<Result<(Value, AnalysisPhase), String>>> {
    let question = serde_json::to_vec(question)?;
    let mut child = Command::new("/proc/self/exe")
        .arg(COMMAND)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start a process for them")?;
    let mut stdin = child.stdin.take().context("it has an input")?;
    let mut stdout = child.stdout.take().context("it has an output")?.take(LARGEST_QUESTION);
    // It may end before it has read everything.
    let ask = async {
        drop(stdin.write_all(&question).await);
        drop(stdin);
    };
    let mut answer = Vec::new();
    let (_, read) = tokio::join!(ask, stdout.read_to_end(&mut answer));
    read?;
    child.wait().await?;
    Ok(serde_json::from_slice(&answer).ok())
}

/// The child: reads a question, and writes the answer.
///
/// # Errors
/// The limits cannot be set, or nobody asks.
pub fn run() -> anyhow::Result<()> {
    let at_most = |limit| Rlimit { current: Some(limit), maximum: Some(limit) };
    // What is evaluated here has time; a release that somebody waits for goes before.
    rustix::process::nice(NICE)?;
    setrlimit(Resource::Cpu, at_most(PROCESSOR_SECONDS))?;
    setrlimit(Resource::Data, at_most(MEMORY))?;
    setrlimit(Resource::Core, at_most(0))?;
    let mut question = Vec::new();
    std::io::stdin().take(LARGEST_QUESTION).read_to_end(&mut question)?;
    let question: Question = serde_json::from_slice(&question)?;
    serde_json::to_writer(std::io::stdout(), &question.answer())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who evaluates it looks at one level in the other, and has room for so many.
    #[test]
    fn a_result_is_no_deeper_than_json_that_is_read_at_once() {
        let answer = |depth: usize, within: &str| {
            let body = format!("{}{within}{}", "[".repeat(depth), "]".repeat(depth));
            let question = Question {
                measured: Measured::Answer(body.clone(), None),
                success: Some("true".to_owned()),
                failure: None,
            };
            (body, question.answer())
        };
        let (inner, taken) = answer(100, "1");
        taken.expect("it is taken");
        let text = serde_json::json!({"$serde_json::private::RawValue": inner}).to_string();
        let told = answer(100, &text).1.expect_err("it is two hundred deep");
        assert!(told.contains("nested too deep"), "{told}");
    }

    #[test]
    fn a_result_of_more_than_64_kib_is_not_taken() {
        let measured = |length: usize| {
            let measured = Measured::Result(Value::String("x".repeat(length)));
            Question { measured, success: Some("true".to_owned()), failure: None }.answer()
        };
        // With its quotes.
        measured(LARGEST_RESULT - 2).expect("it is taken");
        let told = measured(LARGEST_RESULT - 1).expect_err("too large");
        assert!(told.contains("at most 64 are taken"), "{told}");
    }
}

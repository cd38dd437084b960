//! The process in which conditions and paths are evaluated that are not plain: whatever it is given, it ends within its limits, and it never
//! panics. No control plane is needed for this.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use greenlight_e2e::binary;
use greenlight_e2e::bombs::{bombs, food};
use serde_json::{Value, json};

/// It has a second of a processor, by its own limit. How long that takes on a machine that does more, nobody knows: this is to see an end.
const LONGEST: Duration = Duration::from_secs(60);
/// So many random ones.
const RANDOM: u64 = 60;
/// How Rust ends a program that panicked.
const PANICKED: i32 = 101;

const CONDITION: [&str; 24] = [
    "result",
    "x",
    "y",
    ".all(x, ",
    ".map(x, ",
    ".filter(y, ",
    ".exists(y, ",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "+",
    "*",
    "&&",
    "? 1 : ",
    "!",
    "-",
    "'a'",
    "matches('(a*)*b')",
    "9223372036854775807",
    "0.1",
    "size(",
];
const PATH: [&str; 16] =
    ["$", "..", "*", "[?", "@", ".a", "]", "(", ")", "&&", "||", "==", "match(@, '(a*)*')", "[::-1]", "length(@)", "1"];

/// The same numbers each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % most
    }

    fn text(&mut self, words: &[&str]) -> String {
        let count = self.below(60);
        (0..count).map(|_| words[self.below(words.len())]).collect()
    }
}

/// Asks the process, and returns how long it took and whether it was orderly.
fn ask(question: &Value) -> (Duration, Option<i32>) {
    let started = Instant::now();
    let mut child = Command::new(binary("greenlight"))
        .arg("evaluate")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    // It may end before it has read everything.
    drop(child.stdin.take().expect("an input").write_all(question.to_string().as_bytes()));
    let status = child.wait().expect("it ends");
    (started.elapsed(), status.code())
}

#[test]
fn whatever_is_evaluated_in_a_process_of_its_own_ends_in_time_and_without_a_panic() {
    let mut questions = Vec::new();
    for (_, metric) in bombs("http://127.0.0.1:1") {
        let path = metric["provider"]["web"]["jsonPath"].clone();
        questions.push(
            json!({"measured": {"Answer": [food(), path]}, "success": metric["successCondition"], "failure": null}),
        );
    }
    let mut numbers = Numbers(4711);
    for _ in 0..RANDOM {
        let (condition, path) = (numbers.text(&CONDITION), numbers.text(&PATH));
        questions
            .push(json!({"measured": {"Result": [[1, "a"], {"a": 1}, null]}, "success": condition, "failure": null}));
        questions
            .push(json!({"measured": {"Answer": [food(), path]}, "success": "result == result", "failure": condition}));
    }
    let mut longest = Duration::ZERO;
    for question in &questions {
        let (took, code) = ask(question);
        let shown: String = question.to_string().chars().take(600).collect();
        assert!(took < LONGEST, "{took:?}: {shown}");
        assert_ne!(code, Some(PANICKED), "it panicked: {shown}");
        longest = longest.max(took);
    }
    println!("{} questions, the longest took {longest:?}", questions.len());
}

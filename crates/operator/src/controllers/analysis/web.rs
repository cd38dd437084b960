//! The provider `web`.

use std::time::Duration;

use greenlight_api::analysis::{Header, WebProvider};
use serde_json::Value;
use serde_json_path::JsonPath;

use crate::web::client::{Answer, Question, WebClient};

/// Asks, and returns the answer. `shown` is the address as a message names it.
pub async fn measure(http: &WebClient, web: &WebProvider, shown: &str) -> Result<String, String> {
    let mut headers = web.headers.clone();
    let body = match (&web.json_body, &web.body) {
        (Some(json), _) => {
            headers.push(Header { key: "content-type".into(), value: "application/json".into() });
            Value::Object(json.clone()).to_string()
        }
        (None, body) => body.clone().unwrap_or_default(),
    };
    let timeout = Duration::from_secs(web.timeout_seconds.unwrap_or(10).unsigned_abs());
    let question = Question {
        method: web.method.unwrap_or_default(),
        url: &web.url,
        shown,
        headers: &headers,
        body,
        insecure: web.insecure == Some(true),
        timeout,
        reads: true,
    };
    let Answer { code, body, .. } = http.ask(&question).await?;
    if !(200..300).contains(&code) {
        return Err(format!("{shown} answers {code}"));
    }
    Ok(body)
}

/// A plain path costs one look at each level of the answer: it has no filter, does not descend, and has no list of what to pick. Every other
/// one is followed where it can be stopped: a filter within a filter takes exponentially long to parse, one that descends again and again to
/// follow, and `[*,*]` picks everything twice at each level.
pub fn is_plain(path: &str) -> bool {
    path.len() <= 256 && !path.contains(['?', '(', ',']) && !path.contains("..")
}

/// The result in an answer: `{$.a}` (as Argo Rollouts and kubectl write it) or `$.a`.
pub fn pick(body: &str, path: Option<&str>) -> Result<Value, String> {
    let answer = serde_json::from_str(body);
    let Some(path) = path else { return Ok(answer.unwrap_or_else(|_| Value::from(body))) };
    let answer: Value = answer.map_err(|error| format!("the answer is not JSON: {error}"))?;
    let bare = path.trim().trim_start_matches('{').trim_end_matches('}').trim();
    let bare = if bare.starts_with('$') { bare.to_owned() } else { format!("${bare}") };
    let parsed = JsonPath::parse(&bare).map_err(|error| format!("jsonPath {path:?}: {error}"))?;
    let found = parsed.query(&answer).all();
    match found.as_slice() {
        [] => Err(format!("the answer has nothing at {path}")),
        [only] => Ok((*only).clone()),
        several => Ok(several.iter().map(|value| (*value).clone()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    /// Words of paths, so that many texts are ones.
    fn path() -> impl Strategy<Value = String> {
        let words = [
            "$",
            ".a",
            ".b",
            "[0]",
            "[-1]",
            "[*]",
            ".*",
            "['a']",
            "['a','b']",
            "[0:3]",
            "[::2]",
            "..",
            "..*",
            "[?@.a]",
            "[?",
            "@",
            "(",
            ")",
            "&&",
            "==",
            "1",
            "'",
            "]",
            "[",
            "{",
            "}",
            ":",
            ",",
            " ",
            "\\",
            "length(@)",
            "match(@, 'a')",
            "9223372036854775807",
            "\u{e9}",
        ];
        prop::collection::vec(prop::sample::select(words.to_vec()), 0..40).prop_map(|words| words.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

        #[test]
        fn any_path_that_is_followed_at_once_is_cheap_and_none_panics(path in prop_oneof![path(), "(\\PC|[\\p{Cc}\\p{Cf}]){0,200}"]) {
            if is_plain(&path) {
                let body = json_of(16);
                let took = (0..3).map(|_| {
                    let started = Instant::now();
                    drop(pick(&body, Some(&path)));
                    started.elapsed()
                });
                let longest = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 50 });
                assert!(took.min() < Some(longest), "{path}");
            }
        }
    }

    #[test]
    fn a_path_that_is_followed_at_once_is_cheap_and_one_that_nests_is_not_followed_at_once() {
        let nested = format!("$[?{}@.a{}]", "(".repeat(60), ")".repeat(60));
        let doubled = format!("${}", "[*,*]".repeat(50));
        let bombs = [
            nested.as_str(),
            "$..*..*..*",
            "$[?@[?@[?@.a]]]",
            "$[?match(@, '(a*)*')]",
            &"$.a".repeat(100),
            &doubled,
            "$['a','b','a']",
        ];
        for bomb in bombs {
            assert!(!is_plain(bomb), "{bomb}");
        }
        let body = json_of(64);
        for plain in [
            "$",
            "$.a",
            "{$.a.b[0]}",
            &"[0]".repeat(80),
            "$[*][*][*][*][*]",
            &format!("${}", ".*".repeat(120)),
            "$[0:1000:1]",
        ] {
            assert!(is_plain(plain), "{plain}");
            let took = (0..5).map(|_| {
                let started = Instant::now();
                drop(pick(&body, Some(plain)));
                started.elapsed()
            });
            // A build that is not optimised, on a machine that does more, is several times slower.
            let longest = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 50 });
            assert!(took.min() < Some(longest), "{plain}");
        }
    }

    #[test]
    fn what_is_picked_at_once_is_never_more_than_the_answer() {
        let body = format!("{}1{}", "[".repeat(20), "]".repeat(20));
        let doubled = format!("${}", "[*,*]".repeat(14));
        let picked = pick(&body, Some(&doubled)).expect("it is one");
        assert!(picked.to_string().len() > 100 * body.len(), "it grows: {} bytes", picked.to_string().len());
        assert!(!is_plain(&doubled));
    }

    fn json_of(kib: usize) -> String {
        let item = r#"{"a":{"b":[1,2,3]},"c":"text"}"#;
        format!("[{}]", vec![item; (kib << 10) / (item.len() + 1)].join(","))
    }
}

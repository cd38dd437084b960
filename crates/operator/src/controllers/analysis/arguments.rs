//! Arguments: `{{args.name}}` in a metric.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use greenlight_api::analysis::{Argument, Metric, SecretKeyRef};
use greenlight_api::names::READABLE_SECRET;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::api_server::backoff::chance;

/// What arguments may add to the texts of a run, altogether.
const LARGEST_FILLING: usize = 256 << 10;
/// What the secrets of a metric may have together, in bytes. Each is in memory in eight forms while a server takes its time to answer, and one Secret may
/// have a megabyte and be the value of fifty arguments.
const LARGEST_SECRETS: usize = 16 << 10;
/// So many Secrets are read at a time, of all namespaces: what is in memory of one is much more than the value that is asked for.
const READ_AT_ONCE: usize = 8;
static PLACES: Semaphore = Semaphore::const_new(READ_AT_ONCE);

/// Puts the values into every text of a JSON value. What has no value stays, and what a value brings along is not looked at again.
///
/// # Errors
/// It would become too large.
pub fn fill(value: &mut Value, values: &[(String, String)]) -> Result<(), String> {
    fill_within(value, values, &mut 0)
}

/// Whether these secrets, which are put in later, come to stand where the text as it was written has them, and nowhere else: no value that was put in
/// asks for one, or keeps one from being put in.
///
/// # Errors
/// It would become too large.
pub fn stay_in_their_places(
    written: &Value,
    filled: &Value,
    values: &[(String, String)],
    secrets: &[&str],
) -> Result<bool, String> {
    // Nobody who wrote a value knows this.
    let mark = format!("{:x}", chance());
    let marks: Vec<(String, String)> = secrets.iter().map(|secret| ((*secret).to_owned(), mark.clone())).collect();
    let (mut at_once, mut later) = (written.clone(), filled.clone());
    fill(&mut at_once, &[values, marks.as_slice()].concat())?;
    fill(&mut later, &marks)?;
    Ok(at_once == later)
}

fn fill_within(value: &mut Value, values: &[(String, String)], added: &mut usize) -> Result<(), String> {
    match value {
        Value::String(text) => {
            if let Some(filled) = filled(text, values, added)? {
                *text = filled;
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill_within(item, values, added)),
        Value::Object(map) => map.values_mut().try_for_each(|item| fill_within(item, values, added)),
        _ => Ok(()),
    }
}

fn filled(text: &str, values: &[(String, String)], added: &mut usize) -> Result<Option<String>, String> {
    let mut filled: Option<String> = None;
    let mut rest = text;
    // Each brace is looked at once: whoever writes nothing else must not make it take longer.
    while let Some(close) = rest.find("}}") {
        let (before, after) = (&rest[..close], &rest[close + 2..]);
        let value = |name: &str| values.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let filled = filled.get_or_insert_default();
        match asked_for(before).and_then(|(open, name)| Some((open, value(name)?))) {
            Some((open, value)) => {
                *added += value.len();
                if *added > LARGEST_FILLING {
                    return Err(format!(
                        "the arguments make more than {} KiB of text. Shorten them",
                        LARGEST_FILLING >> 10
                    ));
                }
                filled.push_str(&before[..open]);
                filled.push_str(value);
            }
            None => filled.push_str(&rest[..close + 2]),
        }
        rest = after;
    }
    Ok(filled.map(|filled| filled + rest))
}

/// The argument that is asked for by what stands before two closing braces, and where that begins. No name has a brace in it, so it is where something was
/// opened last.
fn asked_for(before: &str) -> Option<(usize, &str)> {
    let (open, _) = before.match_indices("{{").last()?;
    Some((open, before[open + 2..].trim().strip_prefix("args.")?))
}

/// An argument that a text asks for, and that is none of these. It would stay as it is written, and a query for it find nothing, which may be good.
pub fn unknown<'a>(written: &'a Value, known: &[Argument]) -> Option<&'a str> {
    match written {
        Value::String(text) => {
            // Nothing is asked for behind the last two.
            let closed = text.split("}}").take(text.matches("}}").count());
            let mut names = closed.filter_map(asked_for).map(|(_, name)| name);
            names.find(|name| known.iter().all(|argument| argument.name != *name))
        }
        Value::Array(items) => items.iter().find_map(|item| unknown(item, known)),
        Value::Object(map) => map.values().find_map(|item| unknown(item, known)),
        _ => None,
    }
}

/// What stands in the place of what is not told.
const MASK: &str = "***";

/// Which Secrets analyses may read.
#[derive(Clone, Debug, Default)]
pub struct Readable {
    /// Those with the label.
    pub labelled: bool,
    /// Those with these names.
    pub names: Vec<String>,
}

impl Readable {
    /// Whether a Secret with these labels may be read, or what to do so that it may.
    fn check(&self, name: &str, labels: &BTreeMap<String, String>) -> Result<(), String> {
        let is_labelled = labels.get(READABLE_SECRET).is_some_and(|value| value == "true");
        if self.names.iter().any(|known| known == name) || (self.labelled && is_labelled) {
            return Ok(());
        }
        Err(self.advice(name))
    }

    fn advice(&self, name: &str) -> String {
        if self.labelled {
            return format!("analyses may not read Secret {name}. Label it {READABLE_SECRET}=true");
        }
        format!("analyses may not read Secret {name}. Install the chart with analysis.secrets.names={{{name}}}")
    }
}

/// The values of secret arguments, which are written nowhere.
#[derive(Debug, Default)]
pub struct Secrets {
    /// Each in all forms in which a message might show it.
    forms: Vec<String>,
}

impl Secrets {
    fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Secrets {
        let values = values.into_iter().filter(|value| !value.is_empty());
        let mut forms: Vec<String> = values.flat_map(forms_of).collect();
        // A form that contains another one is masked as a whole.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Secrets { forms }
    }

    /// The question has none.
    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// A text without them.
    pub fn masked(&self, text: String) -> String {
        self.forms.iter().fold(text, |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), MASK) } else { text }
        })
    }

    /// A result as it may be told. Whoever was asked with a secret may answer with it, in whichever form: of such a result only numbers and
    /// truth values are told.
    pub fn shown(&self, result: Value) -> Value {
        if self.is_empty() {
            return result;
        }
        match result {
            // Prometheus' words for what is no number in JSON.
            Value::String(text) if ["NaN", "+Inf", "-Inf"].contains(&text.as_str()) => text.into(),
            Value::String(_) => MASK.into(),
            Value::Array(items) => items.into_iter().map(|item| self.shown(item)).collect(),
            Value::Object(map) if map.is_empty() => Value::Object(map),
            Value::Object(_) => MASK.into(),
            Value::Number(number) if self.masked(number.to_string()) != number.to_string() => MASK.into(),
            plain => plain,
        }
    }
}

/// A value as it is, and as addresses, JSON, Rust's messages, and `Authorization: Basic` would show it.
fn forms_of(value: &str) -> Vec<String> {
    let escaped = Value::from(value).to_string();
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    vec![
        value.to_owned(),
        escaped.trim_matches('"').to_owned(),
        value.escape_debug().to_string(),
        form_urlencoded::byte_serialize(value.as_bytes()).collect(),
        STANDARD.encode(value),
        STANDARD_NO_PAD.encode(value),
        URL_SAFE_NO_PAD.encode(value),
        hex,
    ]
}

/// Whether a metric asks for a secret argument.
pub fn asks_for_secrets(arguments: &[Argument], metric: &Value) -> bool {
    let text = metric.to_string();
    let is_secret =
        |argument: &&Argument| argument.value_from.as_ref().is_some_and(|from| from.secret_key_ref.is_some());
    arguments.iter().filter(is_secret).any(|argument| text.contains(&format!("args.{}", argument.name)))
}

/// The metric with the values of its secret arguments.
pub async fn with_secrets(
    client: &Client,
    readable: &Readable,
    namespace: &str,
    arguments: &[Argument],
    metric: &Metric,
) -> Result<(Metric, Secrets), String> {
    let mut json = json!(metric);
    let written = json.to_string();
    let (mut values, mut size) = (Vec::new(), 0);
    for argument in arguments {
        let secret = argument.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref());
        let Some(secret) = secret else { continue };
        if !written.contains(&format!("args.{}", argument.name)) {
            continue;
        }
        let is_named = readable.names.contains(&secret.name);
        if !readable.labelled && !is_named {
            return Err(readable.advice(&secret.name));
        }
        let value = value_of(client, readable, namespace, secret).await?;
        size += value.len();
        if size > LARGEST_SECRETS {
            return Err(format!(
                "the secrets of the metric have more than {} KiB together, with key {} of Secret {}. Use shorter ones",
                LARGEST_SECRETS >> 10,
                secret.key,
                secret.name
            ));
        }
        values.push((argument.name.clone(), value));
    }
    fill(&mut json, &values)?;
    let metric = serde_json::from_value(json).map_err(|_| "its secrets make the metric unreadable".to_owned())?;
    Ok((metric, Secrets::new(values.iter().map(|(_, value)| value.as_str()))))
}

/// The value of a key of a Secret, which may be read.
async fn value_of(
    client: &Client,
    readable: &Readable,
    namespace: &str,
    secret: &SecretKeyRef,
) -> Result<String, String> {
    let SecretKeyRef { name, key } = secret;
    let _place = PLACES.acquire().await.expect("it is never closed");
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let read = api.get(name).await.map_err(|error| unreadable(name, &error))?;
    readable.check(name, read.metadata.labels.as_ref().unwrap_or(&BTreeMap::new()))?;
    let bytes = read.data.and_then(|mut data| data.remove(key));
    let bytes = bytes.ok_or_else(|| format!("Secret {name} has no key {key}"))?;
    let text = String::from_utf8(bytes.0).map_err(|_| format!("Secret {name}: {key} is not text"))?;
    Ok(text.trim_end_matches('\n').to_owned())
}

fn unreadable(secret: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            format!(
                "the operator may not read Secret {secret}. Install its chart with analysis.secrets.names={{{secret}}}"
            )
        }
        _ => format!("Secret {secret}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;
    use crate::api_server::fake::api_server;
    use crate::cluster::arrived::LARGEST_ANALYSIS_RUN;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_filled_once_and_never_grows_beyond_the_bound(
            pieces in prop::collection::vec(prop::sample::select(vec!["{{", "}}", "args.", "{{args.a}}", "{{ args.b }}", "{", "}", " ", "é"]), 0..200),
            a in "(\\PC|[\\p{Cc}\\p{Cf}]){0,40}",
            b in prop::sample::select(vec!["{{args.a}}", "{{args.b}}{{args.b}}", "", "}}{{"]),
        ) {
            let text = pieces.concat();
            if let Ok(filled) = filled_with(&text, &[("a", &a), ("b", b)]) {
                prop_assert!(filled.len() <= text.len() + LARGEST_FILLING);
            }
        }

        #[test]
        fn a_masked_text_has_no_secret_in_it(secret in "[^*]{1,30}", before in "(\\PC|[\\p{Cc}\\p{Cf}]){0,20}", after in "(\\PC|[\\p{Cc}\\p{Cf}]){0,20}") {
            let masked = Secrets::new([secret.as_str()]).masked(format!("{before}{secret}{after}"));
            // What stands around it may come together to the same again.
            prop_assert!(!masked.contains(&secret) || before.contains(&secret) || after.contains(&secret) || secret.len() < 3, "{masked:?}");
        }
    }

    fn filled_with(text: &str, values: &[(&str, &str)]) -> Result<String, String> {
        let values: Vec<_> = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut value = Value::from(text);
        fill(&mut value, &values)?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    #[test]
    fn arguments_are_put_in_once_whatever_they_contain() {
        let values = [("a", "{{args.b}}"), ("b", "{{args.a}}{{args.a}}")];
        assert_eq!(
            filled_with("x{{args.a}}y{{ args.b }}z", &values).as_deref(),
            Ok("x{{args.b}}y{{args.a}}{{args.a}}z")
        );
        let one = |text| filled_with(text, &[("a", "1")]);
        assert_eq!(one("{{args.c}} {{ {{args.a}}").as_deref(), Ok("{{args.c}} {{ 1"));
        assert_eq!(one("}}{\"x\":{{args.a}}}{{{args.a}} {{args.a").as_deref(), Ok("}}{\"x\":1}{{{args.a}} {{args.a"));
    }

    #[test]
    fn an_argument_that_there_is_not_is_found_wherever_it_is_asked_for() {
        let known = [Argument { name: "a".to_owned(), ..Argument::default() }];
        for text in ["{{args.b}}", "{{args.a}}{{ args.b }}", "{\"x\":{{args.b}}}", "}}{{args.b}}x{{args.a"] {
            assert_eq!(unknown(&json!({"web": [1, {"url": text}]}), &known), Some("b"), "{text}");
        }
        for text in ["{{args.a}}", "{\"x\":{{args.a}}}", "{{ .Values.b }} {{args.b", "args.b}}", "{{{args.b}}"] {
            assert_eq!(unknown(&json!({"web": [1, {"url": text}]}), &known), None, "{text}");
        }
    }

    /// As large as an AnalysisRun may be.
    #[test]
    fn no_text_takes_long_to_be_filled() {
        const LONGEST: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 50 });
        let many = |text: &str| text.repeat(LARGEST_ANALYSIS_RUN / text.len());
        let spaces = " ".repeat(LARGEST_ANALYSIS_RUN / 2);
        let half = |text: &str| text.repeat(LARGEST_ANALYSIS_RUN / 2 / text.len());
        let values: Vec<(String, String)> = (0..50).map(|number| (format!("a{number}"), String::new())).collect();
        for text in [
            many("{"),
            many("}"),
            many("{}"),
            many("{{ "),
            many("{{args."),
            many("{{args.b}}"),
            many("{{args.a49}}"),
            half("{") + &half("}"),
            half("{{") + &spaces + "}}",
            "{{".to_owned() + &spaces + &half("}}"),
        ] {
            let took = (0..3).map(|_| {
                let mut value = Value::from(text.as_str());
                let started = Instant::now();
                fill(&mut value, &values).expect("no value adds anything");
                started.elapsed()
            });
            let least = took.min().unwrap_or_default();
            assert!(least < LONGEST, "{}… takes {least:?}", &text[..20]);
        }
    }

    #[test]
    fn arguments_do_not_make_a_small_text_a_large_one() {
        let large = "x".repeat(1 << 10);
        let text = "{{args.a}}".repeat(1 << 10);
        assert!(filled_with(&text, &[("a", &large)]).expect_err("too large").contains("more than 256 KiB"));
    }

    /// An API server whose Secrets have a value of so many bytes, and how many of them were read at most at a time, and in all.
    fn secrets_of(bytes: usize) -> (Client, [Arc<AtomicUsize>; 2]) {
        let [under_way, most, all] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
        let counted = [most.clone(), all.clone()];
        let client = api_server(move |_| {
            let (under_way, most, all) = (under_way.clone(), most.clone(), all.clone());
            async move {
                all.fetch_add(1, Ordering::Relaxed);
                most.fetch_max(under_way.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(10)).await;
                under_way.fetch_sub(1, Ordering::Relaxed);
                (200, json!({"metadata": {"name": "token"}, "data": {"key": STANDARD.encode("x".repeat(bytes))}}))
            }
        });
        (client, counted)
    }

    /// A metric that asks for fifty arguments, each of which is the same secret.
    async fn with_fifty(client: &Client) -> Result<(Metric, Secrets), String> {
        let name = |number: usize| format!("a{number}");
        let secret = json!({"secretKeyRef": {"name": "token", "key": "key"}});
        let arguments =
            json!((0..50).map(|number| json!({"name": name(number), "valueFrom": secret})).collect::<Vec<_>>());
        let arguments: Vec<Argument> = serde_json::from_value(arguments).expect("arguments");
        let body: String = (0..50).map(|number| format!("{{{{args.{}}}}}", name(number))).collect();
        let metric = json!({"name": "m", "provider": {"web": {"url": "http://a", "body": body}}});
        let metric: Metric = serde_json::from_value(metric).expect("a metric");
        let readable = Readable { labelled: false, names: vec!["token".to_owned()] };
        with_secrets(client, &readable, "shop", &arguments, &metric).await
    }

    /// Fifty of them would be in memory for each metric until its server answers, in all forms.
    #[tokio::test(start_paused = true)]
    async fn no_more_is_read_of_secrets_than_a_metric_may_have() {
        let (client, [_, all]) = secrets_of(LARGEST_SECRETS / 4);
        let refused = with_fifty(&client).await.expect_err("it is too much");
        assert!(refused.contains("more than 16 KiB together, with key key of Secret token"), "{refused}");
        assert_eq!(all.load(Ordering::Relaxed), 5);
        let (client, [_, all]) = secrets_of(LARGEST_SECRETS / 50);
        let (metric, _) = with_fifty(&client).await.expect("it is filled");
        let body = metric.provider.web.and_then(|web| web.body).unwrap_or_default();
        assert_eq!((body.len(), all.load(Ordering::Relaxed)), (LARGEST_SECRETS / 50 * 50, 50));
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_metrics_ask_for_secrets_few_of_these_are_read_at_a_time() {
        let (client, [most, _]) = secrets_of(1);
        let metrics = (0..4 * READ_AT_ONCE).map(|_| with_fifty(&client));
        let filled = futures::future::join_all(metrics).await;
        assert!(filled.into_iter().all(|filled| filled.is_ok()));
        assert!(most.load(Ordering::Relaxed) <= READ_AT_ONCE, "{most:?}");
    }

    #[test]
    fn secrets_do_not_stand_in_messages() {
        let secrets = Secrets::new(["s3cret \"/+", ""]);
        let forms = ["s3cret \"/+", r#"s3cret \"/+"#, "s3cret+%22%2F%2B", "czNjcmV0ICIvKw==", "73336372657420222f2b"];
        for form in forms {
            let told = secrets.masked(format!("http://{form}@x answers {form}"));
            assert!(told.starts_with("http://***"), "{told}");
        }
        assert_eq!(Secrets::new([""]).masked("nothing".to_owned()), "nothing", "an empty one is no secret");
    }

    #[test]
    fn of_an_answer_to_a_question_with_a_secret_only_numbers_are_told() {
        let secrets = Secrets::new(["4711"]);
        let answer = json!([0.5, true, null, "s3cret reversed", {"4711": 1}, 47110]);
        assert_eq!(secrets.shown(answer.clone()), json!([0.5, true, null, "***", "***", "***"]));
        assert_eq!(Secrets::default().shown(answer.clone()), answer);
    }

    #[test]
    fn a_secret_is_read_by_its_label_or_its_name_and_no_other() {
        let labelled = BTreeMap::from([(READABLE_SECRET.to_owned(), "true".to_owned())]);
        let none = BTreeMap::new();
        let by_label = Readable { labelled: true, names: Vec::new() };
        let by_name = Readable { labelled: false, names: vec!["token".to_owned()] };
        assert_eq!(by_label.check("any", &labelled), Ok(()));
        assert!(by_label.check("any", &none).expect_err("not labelled").contains("Label it"));
        assert_eq!(by_name.check("token", &none), Ok(()));
        assert!(by_name.check("any", &labelled).is_err(), "the label is not asked for there");
        assert!(Readable::default().check("token", &labelled).is_err());
    }
}

//! Arguments: `{{args.name}}` in a metric.

use greenlight_api::analysis::{Argument, Metric};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use serde_json::{Value, json};

/// What arguments may add to the texts of a run, altogether.
const LARGEST_FILLING: usize = 256 << 10;

/// Puts the values into every text of a JSON value. What has no value stays, and what a value brings along is not looked at again.
///
/// # Errors
/// It would become too large.
pub fn fill(value: &mut Value, values: &[(String, String)]) -> Result<(), String> {
    fill_within(value, values, &mut 0)
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
    while let Some(open) = rest.find("{{") {
        let (before, from) = rest.split_at(open);
        let end = from.find("}}");
        let name = end.and_then(|end| from[2..end].trim().strip_prefix("args."));
        let known = name.and_then(|name| values.iter().find(|(known, _)| known == name));
        let filled = filled.get_or_insert_default();
        filled.push_str(before);
        match (known, end) {
            (Some((_, value)), Some(end)) => {
                *added += value.len();
                if *added > LARGEST_FILLING {
                    return Err(format!(
                        "the arguments make more than {} KiB of text. Shorten them",
                        LARGEST_FILLING >> 10
                    ));
                }
                filled.push_str(value);
                rest = &from[end + 2..];
            }
            _ => {
                filled.push_str("{{");
                rest = &from[2..];
            }
        }
    }
    Ok(filled.map(|filled| filled + rest))
}

/// The values of secret arguments, which are written nowhere.
pub struct Secrets(Vec<String>);

impl Secrets {
    /// A text without them.
    pub fn masked(&self, text: String) -> String {
        self.0.iter().filter(|secret| !secret.is_empty()).fold(text, |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), "***") } else { text }
        })
    }
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
    namespace: &str,
    arguments: &[Argument],
    metric: &Metric,
) -> Result<(Metric, Secrets), String> {
    let mut json = json!(metric);
    let mut values = Vec::new();
    for argument in arguments {
        let secret = argument.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref());
        let used = json.to_string().contains(&format!("args.{}", argument.name));
        let Some(secret) = secret.filter(|_| used) else { continue };
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let read = api.get(&secret.name).await.map_err(|error| unreadable(&secret.name, &error))?;
        let bytes = read.data.and_then(|mut data| data.remove(&secret.key));
        let bytes = bytes.ok_or_else(|| format!("Secret {} has no key {}", secret.name, secret.key))?;
        let text =
            String::from_utf8(bytes.0).map_err(|_| format!("Secret {}: {} is not text", secret.name, secret.key))?;
        values.push((argument.name.clone(), text.trim_end_matches('\n').to_owned()));
    }
    fill(&mut json, &values)?;
    let metric = serde_json::from_value(json).map_err(|_| "its secrets make the metric unreadable".to_owned())?;
    Ok((metric, Secrets(values.into_iter().map(|(_, value)| value).collect())))
}

fn unreadable(secret: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            format!("the operator may not read Secret {secret}. Install its chart with analysis.readSecrets=true")
        }
        _ => format!("Secret {secret}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(filled_with("{{args.c}} {{ {{args.a}}", &[("a", "1")]).as_deref(), Ok("{{args.c}} {{ 1"));
    }

    #[test]
    fn arguments_do_not_make_a_small_text_a_large_one() {
        let large = "x".repeat(1 << 10);
        let text = "{{args.a}}".repeat(1 << 10);
        assert!(filled_with(&text, &[("a", &large)]).expect_err("too large").contains("more than 256 KiB"));
    }

    #[test]
    fn secrets_do_not_stand_in_messages() {
        let secrets = Secrets(vec!["s3cret".to_owned(), String::new()]);
        assert_eq!(secrets.masked("http://s3cret@x answers s3cret".to_owned()), "http://***@x answers ***");
    }
}

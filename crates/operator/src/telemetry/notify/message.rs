//! How a notification is written for each kind of sink.

use greenlight_api::text::one_line;
use greenlight_api::{BlueGreenRollout, names};
use kube::Resource;
use serde_json::{Value, json};

use super::Notification;
use super::config::Format;

const RED: &str = "#c62828";
const GREEN: &str = "#2e7d32";

/// A notification as it is sent.
pub struct Message {
    /// That of the notification.
    pub id: String,
    /// Of the body.
    pub content_type: &'static str,
    /// JSON.
    pub body: String,
}

impl Message {
    /// Writes it, with the way to the rollout's page if there is a dashboard.
    pub fn of(notification: &Notification, format: Format, dashboard: Option<&str>) -> Message {
        let page = dashboard.map(|dashboard| page(notification, dashboard));
        let page = page.as_deref();
        let (content_type, body) = match format {
            Format::Cloudevents => ("application/cloudevents+json", cloud_event(notification, page)),
            Format::Slack => ("application/json", slack(notification, page)),
            Format::Teams => ("application/json", teams(notification, page)),
        };
        Message { id: notification.id.clone(), content_type, body: body.to_string() }
    }
}

/// The address of the rollout in the dashboard.
fn page(notification: &Notification, dashboard: &str) -> String {
    let Notification { rollout, .. } = notification;
    format!("{}/n/{}/{}", dashboard.trim_end_matches('/'), rollout.namespace, rollout.name)
}

/// CloudEvents 1.0, structured content mode.
fn cloud_event(notification: &Notification, page: Option<&str>) -> Value {
    let Notification { id, at, rollout, event } = notification;
    let status = rollout.status.clone().unwrap_or_default();
    let url = BlueGreenRollout::url_path(&(), Some(&rollout.namespace));
    let mut event = json!({
        "specversion": "1.0",
        "id": id,
        "source": format!("{url}/{}", rollout.name),
        "type": format!("dev.{}.rollout.{}", names::FIELD_MANAGER, event.reason.to_lowercase()),
        "subject": format!("{}/{}", rollout.namespace, rollout.name),
        "time": at.to_string(),
        "datacontenttype": "application/json",
        "data": {
            "namespace": rollout.namespace,
            "rollout": rollout.name,
            "uid": rollout.uid,
            "reason": event.reason,
            "warning": event.warning,
            "message": event.note,
            "by": event.by,
            "image": one_line(&rollout.template.image),
            "updatedRevision": status.updated_revision,
            "activeRevision": status.active_revision,
        },
    });
    if let Some(page) = page {
        event["data"]["dashboard"] = json!(page);
    }
    event
}

fn headline(notification: &Notification) -> String {
    let Notification { rollout, event, .. } = notification;
    format!("{}/{}: {}", rollout.namespace, rollout.name, event.reason)
}

fn slack(notification: &Notification, page: Option<&str>) -> Value {
    // The three characters that its markup reserves.
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let color = if notification.event.warning { RED } else { GREEN };
    let headline = escape(&headline(notification));
    let text = match page {
        Some(page) => format!("*<{page}|{headline}>*"),
        None => format!("*{headline}*"),
    };
    json!({"text": text, "attachments": [{"color": color, "text": escape(&notification.event.note)}]})
}

/// Teams makes links of others' words where they look like Markdown.
fn without_links(text: &str) -> String {
    text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]")
}

fn teams(notification: &Notification, page: Option<&str>) -> Value {
    let color = if notification.event.warning { "Attention" } else { "Good" };
    let actions = page.map(|page| json!({"type": "Action.OpenUrl", "title": "Open in Greenlight", "url": page}));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [
                    {"type": "TextBlock", "weight": "Bolder", "wrap": true, "color": color, "text": headline(notification)},
                    {"type": "TextBlock", "wrap": true, "text": without_links(&notification.event.note)},
                ],
                "actions": actions.into_iter().collect::<Vec<_>>(),
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use greenlight_core::events::Event;
    use proptest::prelude::*;

    use super::*;
    use crate::cluster::fake;

    /// A notification of a rollout, with this note.
    fn notification(note: &str, by: &str, image: &str) -> Notification {
        let rollout = fake::rollout("shop", "web", image, &Value::Null);
        let event =
            Event { warning: true, reason: "Stalled", action: "Look", note: note.to_owned(), by: by.to_owned() };
        Notification { id: "x".to_owned(), at: "2026-01-01T00:00:00Z".parse().expect("a time"), rollout, event }
    }

    proptest! {
        #[test]
        fn any_words_of_others_become_json_of_a_bounded_size(note in "(\\PC|[\\p{Cc}\\p{Cf}]){0,2000}", by in "(\\PC|[\\p{Cc}\\p{Cf}]){0,60}", image in "(\\PC|[\\p{Cc}\\p{Cf}]){0,200}") {
            for format in [Format::Cloudevents, Format::Slack, Format::Teams] {
                let message = Message::of(&notification(&note, &by, &image), format, None);
                let body: Value = serde_json::from_str(&message.body).expect("JSON");
                prop_assert!(body.is_object());
                prop_assert!(message.body.len() < 2000 + 20 * (note.len() + by.len() + image.len()));
            }
        }
    }

    /// As long as the longest words that anybody keeps of a rollout.
    #[test]
    fn no_words_of_others_take_long_to_become_a_message() {
        const LONGEST: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 50 });
        for words in ["x", "&<>", "\\[]", "\"", "\u{1b}\u{202e}", "\u{e9}"] {
            let words = words.repeat((64 << 10) / words.len());
            let notification = notification(&words, &words, &words);
            for format in [Format::Cloudevents, Format::Slack, Format::Teams] {
                let took = (0..3).map(|_| {
                    let started = Instant::now();
                    drop(Message::of(&notification, format, Some("https://releases.example.com")));
                    started.elapsed()
                });
                let least = took.min().unwrap_or_default();
                assert!(least < LONGEST, "{:?}… as {format:?} takes {least:?}", words.chars().next());
            }
        }
    }

    #[test]
    fn others_words_make_no_links_and_call_nobody() {
        let note = "pod x: [log in](https://evil.example) <!channel> <https://evil.example|here>";
        let slack = Message::of(&notification(note, "", ""), Format::Slack, None).body;
        assert!(!slack.contains("<!channel>") && !slack.contains("<https"), "{slack}");
        let teams = Message::of(&notification(note, "", ""), Format::Teams, None).body;
        assert!(!teams.contains("[log in](") && teams.contains(r"\\[log in\\]("), "{teams}");
    }

    #[test]
    fn an_image_moves_no_cursor_in_a_notification() {
        let body = Message::of(&notification("x", "", "app:\u{1b}[2Jv1"), Format::Cloudevents, None).body;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["data"]["image"], "app:\u{fffd}[2Jv1");
    }

    #[test]
    fn each_message_leads_to_the_page_of_its_rollout() {
        let of = |format, dashboard| Message::of(&notification("x", "", ""), format, dashboard).body;
        for format in [Format::Cloudevents, Format::Slack, Format::Teams] {
            for dashboard in ["https://releases.example.com", "https://releases.example.com/"] {
                let body = of(format, Some(dashboard));
                assert!(body.contains("https://releases.example.com/n/shop/web"), "{body}");
            }
            assert!(!of(format, None).contains("/n/shop/web"), "off by default");
        }
        let slack: Value = serde_json::from_str(&of(Format::Slack, Some("https://a.example"))).expect("JSON");
        assert_eq!(slack["text"], "*<https://a.example/n/shop/web|shop/web: Stalled>*");
    }
}

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
    /// Writes it.
    pub fn of(notification: &Notification, format: Format) -> Message {
        let (content_type, body) = match format {
            Format::Cloudevents => ("application/cloudevents+json", cloud_event(notification)),
            Format::Slack => ("application/json", slack(notification)),
            Format::Teams => ("application/json", teams(notification)),
        };
        Message { id: notification.id.clone(), content_type, body: body.to_string() }
    }
}

/// CloudEvents 1.0, structured content mode.
fn cloud_event(notification: &Notification) -> Value {
    let Notification { id, at, rollout, event } = notification;
    let status = rollout.status.clone().unwrap_or_default();
    let url = BlueGreenRollout::url_path(&(), Some(&rollout.namespace));
    json!({
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
    })
}

fn headline(notification: &Notification) -> String {
    let Notification { rollout, event, .. } = notification;
    format!("{}/{}: {}", rollout.namespace, rollout.name, event.reason)
}

fn slack(notification: &Notification) -> Value {
    // The three characters that its markup reserves.
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let color = if notification.event.warning { RED } else { GREEN };
    let text = format!("*{}*", escape(&headline(notification)));
    json!({"text": text, "attachments": [{"color": color, "text": escape(&notification.event.note)}]})
}

/// Teams makes links of others' words where they look like Markdown.
fn without_links(text: &str) -> String {
    text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]")
}

fn teams(notification: &Notification) -> Value {
    let color = if notification.event.warning { "Attention" } else { "Good" };
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
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use greenlight_core::events::Event;
    use proptest::prelude::*;

    use super::*;

    /// A notification of a rollout, as its JSON would come from the API server, with this note.
    fn notification(note: &str, by: &str, image: &str) -> Notification {
        let rollout = json!({
            "namespace": "shop", "name": "web", "uid": "u", "labels": {}, "generation": 1, "resource_version": "1",
            "created": "2026-01-01T00:00:00Z", "deleting": false, "finalizers": [], "request": null,
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "strategy": {"blueGreen": {}}},
            "template": {"digest": "x", "labels": {}, "image": image}, "status": null,
        });
        let rollout = serde_json::from_value(rollout).expect("a rollout");
        let event =
            Event { warning: true, reason: "Stalled", action: "Look", note: note.to_owned(), by: by.to_owned() };
        Notification { id: "x".to_owned(), at: "2026-01-01T00:00:00Z".parse().expect("a time"), rollout, event }
    }

    proptest! {
        #[test]
        fn any_words_of_others_become_json_of_a_bounded_size(note in "\\PC{0,2000}", by in "\\PC{0,60}", image in "\\PC{0,200}") {
            for format in [Format::Cloudevents, Format::Slack, Format::Teams] {
                let message = Message::of(&notification(&note, &by, &image), format);
                let body: Value = serde_json::from_str(&message.body).expect("JSON");
                prop_assert!(body.is_object());
                prop_assert!(message.body.len() < 2000 + 20 * (note.len() + by.len() + image.len()));
            }
        }
    }

    #[test]
    fn others_words_make_no_links_and_call_nobody() {
        let note = "pod x: [log in](https://evil.example) <!channel> <https://evil.example|here>";
        let slack = Message::of(&notification(note, "", ""), Format::Slack).body;
        assert!(!slack.contains("<!channel>") && !slack.contains("<https"), "{slack}");
        let teams = Message::of(&notification(note, "", ""), Format::Teams).body;
        assert!(!teams.contains("[log in](") && teams.contains(r"\\[log in\\]("), "{teams}");
    }
}

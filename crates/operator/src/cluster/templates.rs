//! Templates of which ReplicaSets are to be made. The caches keep a digest of each template; so that nobody has to read a rollout again for the sake of
//! its template, a new one is kept whole until its ReplicaSet is made, or the watch shows that none is to be made of it.

use std::collections::VecDeque;
use std::sync::Mutex;

use greenlight_api::PodTemplate;
use lz4_flex::block::{compress_prepend_size, decompress_size_prepended};

use super::cache::Key;

/// How many bytes of templates are kept, packed: a thousand of 3 KB. Whoever changes more at once, or larger ones, has them read again.
const MOST: usize = 2 << 20;

/// New templates, the latest last.
#[derive(Default)]
pub struct Templates(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    templates: VecDeque<Entry>,
    bytes: usize,
}

struct Entry {
    rollout: Key,
    digest: String,
    packed: Box<[u8]>,
}

impl Templates {
    /// Keeps the new template of a rollout, instead of an earlier one, as long as there is room for it.
    pub fn put(&self, rollout: Key, digest: &str, template: &PodTemplate) {
        let json = serde_json::to_vec(template).expect("it came from JSON");
        let packed = compress_prepend_size(&json).into_boxed_slice();
        let mut kept = self.0.lock().expect("no panic while locked");
        kept.remove(&rollout);
        if packed.len() > MOST / 4 {
            return;
        }
        kept.bytes += packed.len();
        kept.templates.push_back(Entry { rollout, digest: digest.to_owned(), packed });
        while kept.bytes > MOST {
            let Some(oldest) = kept.templates.pop_front() else { return };
            kept.bytes -= oldest.packed.len();
        }
    }

    /// Takes the template of a rollout, if it is the one of this digest.
    pub fn take(&self, rollout: &Key, digest: &str) -> Option<PodTemplate> {
        let Entry { packed, .. } =
            self.0.lock().expect("no panic while locked").remove(rollout).filter(|kept| kept.digest == digest)?;
        serde_json::from_slice(&decompress_size_prepended(&packed).ok()?).ok()
    }

    /// Drops the template of a rollout: no ReplicaSet is to be made of it any more.
    pub fn forget(&self, rollout: &Key) {
        self.0.lock().expect("no panic while locked").remove(rollout);
    }
}

impl Kept {
    fn remove(&mut self, rollout: &Key) -> Option<Entry> {
        let place = self.templates.iter().position(|kept| kept.rollout == *rollout)?;
        let removed = self.templates.remove(place)?;
        self.bytes -= removed.packed.len();
        Some(removed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::objects::RolloutView;

    fn key(number: usize) -> Key {
        Key { namespace: "shop".to_owned(), name: format!("web-{number}") }
    }

    fn template(of: &Value) -> PodTemplate {
        serde_json::from_value(of.clone()).expect("a template")
    }

    #[test]
    fn the_latest_template_of_a_rollout_is_had_once_and_by_its_digest_alone() {
        let templates = Templates::default();
        let [one, two] = [1, 2].map(|number| template(&json!({"spec": {"number": number}})));
        templates.put(key(1), "one", &one);
        templates.put(key(1), "two", &two);
        assert_eq!(templates.take(&key(2), "two"), None);
        assert_eq!(templates.take(&key(1), "two"), Some(two));
        assert_eq!(templates.take(&key(1), "two"), None, "once");
        templates.put(key(1), "one", &one);
        assert_eq!(templates.take(&key(1), "two"), None);
        assert_eq!(templates.0.lock().expect("no panic").bytes, 0, "what is of no use is not kept");
    }

    #[test]
    fn a_template_is_kept_until_it_is_on_record_or_taken_back() {
        let templates = Templates::default();
        let arrives = |image: &str, recorded: &str| {
            let rollout = json!({
                "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "1"},
                "spec": {
                    "selector": {"matchLabels": {"app": "web"}},
                    "template": {"spec": {"containers": [{"name": "web", "image": image}]}},
                    "strategy": {"blueGreen": {"activeService": "web"}},
                },
                "status": {"decisions": {"template": recorded}},
            });
            let view = serde_json::from_value::<RolloutView>(rollout).expect("a rollout");
            view.keep_with_template(&templates).template.digest.to_string()
        };
        let is_kept = || templates.0.lock().expect("no panic").bytes > 0;
        let before = arrives("web:v1", "");
        let after = arrives("web:v2", &before);
        assert!(is_kept());
        arrives("web:v2", &after);
        assert!(!is_kept(), "it is on record");
        arrives("web:v2", &before);
        assert!(is_kept());
        arrives("web:v1", &before);
        assert!(!is_kept(), "it is taken back");
    }

    #[test]
    fn however_many_templates_somebody_changes_no_more_than_two_megabytes_are_kept() {
        let templates = Templates::default();
        let mut noise = 1_u64;
        let mut text = || {
            let letters = (0..20_000).map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b'a' + u8::try_from(noise >> 33 & 15).expect("small"))
            });
            letters.collect::<String>()
        };
        for number in 0..1000 {
            templates.put(key(number), "digest", &template(&json!({"spec": {"text": text()}})));
            assert!(templates.0.lock().expect("no panic").bytes <= MOST);
        }
        assert!(templates.take(&key(999), "digest").is_some());
        assert!(templates.take(&key(0), "digest").is_none());
    }
}

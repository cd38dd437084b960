//! Templates of which ReplicaSets are to be made. The caches keep a digest of each template; so that nobody has to read a rollout again for the sake of
//! its template, a new one is kept whole for the moment until its ReplicaSet is made.

use std::collections::VecDeque;
use std::sync::Mutex;

use greenlight_api::PodTemplate;
use lz4_flex::block::{compress_prepend_size, decompress_size_prepended};

use super::cache::Key;

/// How many bytes of them are kept, packed: those of a thousand, where each has 3 KB. Whoever changes more at once, or larger ones, has them read again.
const MOST: usize = 2 << 20;

/// New templates, the latest last.
#[derive(Default)]
pub struct Templates(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    templates: VecDeque<Template>,
    bytes: usize,
}

struct Template {
    rollout: Key,
    digest: String,
    packed: Box<[u8]>,
}

impl Templates {
    /// Keeps the new template of a rollout, instead of an earlier one; not for ever.
    pub fn put(&self, rollout: Key, digest: &str, template: &PodTemplate) {
        let packed = compress_prepend_size(&serde_json::to_vec(template).expect("it came from JSON")).into_boxed_slice();
        let mut kept = self.0.lock().expect("no panic while locked");
        kept.remove(&rollout);
        if packed.len() > MOST / 4 {
            return;
        }
        kept.bytes += packed.len();
        kept.templates.push_back(Template { rollout, digest: digest.to_owned(), packed });
        while kept.bytes > MOST {
            let Some(oldest) = kept.templates.pop_front() else { return };
            kept.bytes -= oldest.packed.len();
        }
    }

    /// Takes the template of a rollout, if it is the one of this digest.
    pub fn take(&self, rollout: &Key, digest: &str) -> Option<PodTemplate> {
        let Template { packed, .. } =
            self.0.lock().expect("no panic while locked").remove(rollout).filter(|kept| kept.digest == digest)?;
        let json = decompress_size_prepended(&packed).ok()?;
        let mut deserializer = serde_json::Deserializer::from_slice(&json);
        // It arrived as a part of something, and was just not too deep for that.
        deserializer.disable_recursion_limit();
        serde::Deserialize::deserialize(&mut deserializer).ok()
    }
}

impl Kept {
    fn remove(&mut self, rollout: &Key) -> Option<Template> {
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

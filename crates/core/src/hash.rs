//! The name of a template.
//!
//! The digest is of the template as the API server stored it, in canonical JSON: keys sorted, without nulls and without empty
//! maps and lists. So it does not change with the operator's version, with a newer client library, or when a client writes
//! out an empty field. A selector is the exception: in affinity an empty one selects everything and a missing one nothing,
//! so these two are different templates. The hash is a short form of it and of the rollout's name, in the alphabet that Kubernetes uses
//! for its own hashes: two rollouts of a namespace with the same template have pods of different hashes, and a Service of one selects
//! none of the other's. ReplicaSets whose hash is of the digest alone are of an older version, and stay what they are.

use std::fmt;

use greenlight_api::PodTemplate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The letters and digits that Kubernetes uses in generated names: no vowels, so no words.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// Ten characters hold 47 bits; Kubernetes' own hashes hold 32.
const HASH_LENGTH: usize = 10;
/// How many ReplicaSets of one template there may be at a time: one, and those that are still being deleted. Two templates hardly ever
/// have the same hash.
pub const COLLISIONS: u32 = 8;
/// A pod's name is its ReplicaSet's name, cut to 58 characters, and five more; the hash must not be what is cut off. The chart's policy on the operator
/// knows where the name of a rollout is cut.
const MAX_REPLICA_SET_NAME: usize = 57;
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Digest of a pod template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest(String);

impl Digest {
    /// The digest of a template.
    pub fn of(template: &PodTemplate) -> Digest {
        Digest::of_canonical(|canonical| write_map(&template.0, canonical))
    }

    /// The digest of anything else that is written in JSON.
    pub fn of_json(value: &Value) -> Digest {
        Digest::of_canonical(|canonical| write_canonical(value, canonical))
    }

    fn of_canonical(write: impl FnOnce(&mut Vec<u8>)) -> Digest {
        let mut canonical = Vec::new();
        write(&mut canonical);
        Digest(hex(&Sha256::digest(canonical)))
    }

    /// A digest as it stands somewhere; whether it is one shows only when its hash is compared.
    pub fn read(text: &str) -> Digest {
        Digest(text.to_owned())
    }

    /// Hexadecimal, as it stands in the annotation of a ReplicaSet.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hash for this digest in the rollout of this name. `collision` is 0 unless the hash of a smaller number is taken.
    pub fn hash(&self, rollout: &str, collision: u32) -> String {
        short(&format!("{}/{rollout}/{collision}", self.0))
    }

    /// The hash that older versions gave to this digest in every rollout.
    pub fn hash_of_older_version(&self, collision: u32) -> String {
        short(&format!("{}/{collision}", self.0))
    }

    /// Whether the hash is one for this digest in the rollout of this name, in this version or in an older one.
    pub fn makes(&self, rollout: &str, hash: &str) -> bool {
        let is_made_by = |number| self.hash(rollout, number) == hash || self.hash_of_older_version(number) == hash;
        (0..COLLISIONS).any(is_made_by)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first hash of this digest that is not taken, by another template or by a ReplicaSet that is still being deleted. None when that
/// happened too often: then something holds what was deleted, and there are not to be ever more of them.
pub fn free(digest: &Digest, rollout: &str, taken: impl Fn(&str) -> bool) -> Option<String> {
    (0..COLLISIONS).map(|collision| digest.hash(rollout, collision)).find(|hash| !taken(hash))
}

/// The name of the ReplicaSet of this hash.
pub fn replica_set_name(rollout: &str, hash: &str) -> String {
    let room = MAX_REPLICA_SET_NAME - hash.len() - 1;
    let stem = rollout.get(..room).unwrap_or(rollout).trim_end_matches(['-', '.']);
    format!("{stem}-{hash}")
}

/// Whether a pod of this name belongs to the ReplicaSet of this name.
pub fn is_pod_of(pod: &str, replica_set: &str) -> bool {
    pod.strip_prefix(replica_set).and_then(|rest| rest.strip_prefix('-')).is_some_and(|suffix| !suffix.contains('-'))
}

/// A short name for any text, the same in every version.
pub fn short_name(text: &str) -> String {
    short(&format!("{}/0", hex(&Sha256::digest(text))))
}

fn short(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().take(HASH_LENGTH).map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.map(|digit| char::from(HEX_DIGITS[usize::from(digit)])).collect()
}

/// Each rollout is written so each time it arrives: straight to the end of the text, without a text for each key and value.
fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => write_map(map, out),
        Value::Array(items) => {
            out.push(b'[');
            for item in items {
                write_canonical(item, out);
                out.push(b',');
            }
            out.push(b']');
        }
        scalar => write_scalar(scalar, out),
    }
}

fn write_map(map: &Map<String, Value>, out: &mut Vec<u8>) {
    let mut entries: Vec<_> = map.iter().filter(|(key, value)| !is_absent(key, value)).collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    out.push(b'{');
    for (key, value) in entries {
        write_scalar(key, out);
        out.push(b':');
        write_canonical(value, out);
        out.push(b',');
    }
    out.push(b'}');
}

fn write_scalar(scalar: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, scalar).expect("memory takes any text");
}

/// Nulls, empty lists, and maps with nothing but such in them.
fn is_absent(key: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(_) if key == "labelSelector" || key == "namespaceSelector" => false,
        Value::Object(map) => map.iter().all(|(key, value)| is_absent(key, value)),
        _ => false,
    }
}

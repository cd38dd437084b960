//! A filter by labels, as kubectl reads one: `team=shop,tier!=test,stage in (canary,beta),!old`. All parts have to fit.

use std::collections::BTreeMap;

/// What a part of it wants.
#[derive(Debug, PartialEq, Eq)]
enum Wanted<'a> {
    /// The label has one of these values.
    In(&'a str, Vec<&'a str>),
    /// It has none of these; whoever lacks the label fits, too.
    NotIn(&'a str, Vec<&'a str>),
    /// The label is there.
    Exists(&'a str),
    /// It is not.
    Absent(&'a str),
}

/// Whether labels fit a filter. None fit one that cannot be read.
pub fn fit(filter: &str, labels: &BTreeMap<String, String>) -> bool {
    parts(filter).all(|part| parse(part).is_ok_and(|wanted| wanted.fits(labels)))
}

/// The first part of a filter that cannot be read.
pub fn unreadable(filter: &str) -> Option<&str> {
    parts(filter).find(|part| parse(part).is_err())
}

/// The parts between its commas. Those within parentheses belong to a part.
fn parts(filter: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    let is_between = move |letter: char| {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        letter == ',' && depth <= 0
    };
    filter.split(is_between).map(str::trim).filter(|part| !part.is_empty())
}

/// Reads a part.
fn parse(part: &str) -> Result<Wanted<'_>, ()> {
    let wanted = if let Some((head, values)) = part.strip_suffix(')').and_then(|part| part.split_once('(')) {
        let values = values.split(',').map(str::trim).collect();
        match head.split_whitespace().collect::<Vec<_>>()[..] {
            [key, "in"] => Wanted::In(key, values),
            [key, "notin"] => Wanted::NotIn(key, values),
            _ => return Err(()),
        }
    } else if let Some((key, value)) = part.split_once("!=") {
        Wanted::NotIn(key.trim(), vec![value.trim()])
    } else if let Some((key, value)) = part.split_once('=') {
        Wanted::In(key.trim(), vec![value.strip_prefix('=').unwrap_or(value).trim()])
    } else if let Some(key) = part.strip_prefix('!') {
        Wanted::Absent(key.trim())
    } else {
        Wanted::Exists(part)
    };
    let (key, values) = match &wanted {
        Wanted::In(key, values) | Wanted::NotIn(key, values) => (*key, &values[..]),
        Wanted::Exists(key) | Wanted::Absent(key) => (*key, &[][..]),
    };
    let is_plain = |text: &str| text.chars().all(|letter| letter.is_alphanumeric() || "-_./".contains(letter));
    let is_readable = !key.is_empty() && is_plain(key) && values.iter().all(|value| is_plain(value));
    if is_readable { Ok(wanted) } else { Err(()) }
}

impl Wanted<'_> {
    fn fits(&self, labels: &BTreeMap<String, String>) -> bool {
        let has_one = |key: &str, values: &[&str]| labels.get(key).is_some_and(|has| values.contains(&has.as_str()));
        match self {
            Wanted::In(key, values) => has_one(key, values),
            Wanted::NotIn(key, values) => !has_one(key, values),
            Wanted::Exists(key) => labels.contains_key(*key),
            Wanted::Absent(key) => !labels.contains_key(*key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_as_kubectl_reads_it() {
        let labels = [("team", "blue"), ("tier", "web"), ("app.kubernetes.io/name", "cart"), ("empty", "")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        for fits in [
            "",
            "team",
            "team=blue",
            "team == blue , tier",
            "team in (red,blue)",
            "team in(blue),tier notin (db, cache),!canary",
            "canary notin (yes)",
            "canary!=yes",
            "app.kubernetes.io/name=cart",
            "empty=",
            "empty in ()",
        ] {
            assert!(fit(fits, &labels), "{fits}");
            assert_eq!(unreadable(fits), None, "{fits}");
        }
        for not in ["team=red", "team in (red,green)", "team notin (blue,red)", "!team", "canary", "canary in (yes)"] {
            assert!(!fit(not, &labels), "{not}");
            assert_eq!(unreadable(not), None, "{not}");
        }
        for (filter, part) in [
            ("tier,team in (blue", "team in (blue"),
            ("team blue", "team blue"),
            ("=blue", "=blue"),
            ("team of (blue)", "team of (blue)"),
            ("team!", "team!"),
            ("team=blue)", "team=blue)"),
        ] {
            assert_eq!(unreadable(filter), Some(part), "{filter}");
            assert!(!fit(filter, &labels), "{filter}");
        }
    }
}

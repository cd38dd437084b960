//! What source files say of the names in them: the generated reference is made of the docstrings that developers read.

use anyhow::{Context, Result};

use crate::shell::root;

/// A constant with a text, or a variant of an enum.
#[derive(Debug, PartialEq)]
pub(crate) struct Documented {
    /// The name in the code.
    pub name: String,
    /// The text of a constant; of a variant its name.
    pub value: String,
    /// What it means.
    pub meaning: String,
    /// The variant that is taken when nothing is written.
    pub is_default: bool,
}

/// An enum with what it means.
#[derive(Debug, PartialEq)]
pub(crate) struct Enum {
    pub name: String,
    pub variants: Vec<Documented>,
}

/// A source file of the repository.
pub(crate) fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

/// Every public constant with a text.
pub(crate) fn constants(code: &str) -> Vec<Documented> {
    let mut found = Vec::new();
    let mut meaning = String::new();
    for line in code.lines() {
        if let Some(text) = line.strip_prefix("///") {
            continue_with(&mut meaning, text);
        } else if let Some((name, value)) =
            line.strip_prefix("pub const ").and_then(|rest| rest.split_once(": &str = "))
        {
            let value = value.trim_matches(|c| c == '"' || c == ';').to_owned();
            let meaning = std::mem::take(&mut meaning);
            found.push(Documented { name: name.to_owned(), value, meaning, is_default: false });
        } else {
            meaning.clear();
        }
    }
    let values: Vec<(String, String)> = found.iter().map(|it| (it.name.clone(), it.value.clone())).collect();
    for one in &mut found {
        one.meaning = without_links(&one.meaning, &values);
    }
    found
}

/// Every public enum whose variants carry nothing.
pub(crate) fn enums(code: &str) -> Vec<Enum> {
    let mut found = Vec::new();
    for part in code.split("\npub enum ").skip(1) {
        let name = part.split([' ', '<']).next().unwrap_or_default().to_owned();
        let body = part.split("\n}").next().unwrap_or_default();
        let (mut meaning, mut is_default, mut variants) = (String::new(), false, Vec::new());
        for line in body.lines().skip(1).map(str::trim) {
            if let Some(text) = line.strip_prefix("///") {
                continue_with(&mut meaning, text);
            } else if line == "#[default]" {
                is_default = true;
            } else if let Some(name) = line.strip_suffix(',').filter(|name| name.chars().all(char::is_alphanumeric)) {
                variants.push(Documented {
                    name: name.to_owned(),
                    value: name.to_owned(),
                    meaning: std::mem::take(&mut meaning),
                    is_default: std::mem::take(&mut is_default),
                });
            }
        }
        found.push(Enum { name, variants });
    }
    found
}

fn continue_with(meaning: &mut String, text: &str) {
    if !meaning.is_empty() {
        meaning.push(' ');
    }
    meaning.push_str(text.trim());
}

/// The links of a docstring, as the values that they lead to.
fn without_links(text: &str, values: &[(String, String)]) -> String {
    let mut parts = text.split("[`");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (link, rest) = part.split_once("`]").unwrap_or((part, ""));
        let value = values.iter().find(|(name, _)| name == link).map(|(_, value)| value.as_str());
        let shown = value.unwrap_or_else(|| link.rsplit("::").next().unwrap_or(link));
        plain.push_str(&format!("`{shown}`{rest}"));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_and_enums_are_read_with_what_is_said_of_them() {
        let code = "/// The first, see [`SECOND`]\n/// and [`crate::Request`].\npub const FIRST: &str = \"one\";\n\
                    /// The second.\npub const SECOND: &str = \"two\";\n\npub enum Mode {\n    /// By itself.\n    #[default]\n    \
                    Auto,\n    /// By\n    /// hand.\n    Manual,\n}\n";
        let constants = constants(code);
        assert_eq!(constants[0].meaning, "The first, see `two` and `Request`.");
        assert_eq!((constants[1].name.as_str(), constants[1].value.as_str()), ("SECOND", "two"));
        let [mode] = &enums(code)[..] else { panic!("one enum") };
        assert_eq!(mode.name, "Mode");
        assert!(mode.variants[0].is_default && !mode.variants[1].is_default);
        assert_eq!(mode.variants[1].meaning, "By hand.");
    }
}

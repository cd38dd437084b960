//! Manifests as they stand in files: text, so that comments and order survive and a line can be named, and value.
//!
//! | question | file |
//! |---|---|
//! | Which documents are in these files? | here |
//! | On which lines does a field stand? | [`lines`] |
//! | What would the API server say to it? | [`schema`] |

mod lines;
pub mod schema;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

pub use self::lines::find_block;

/// One YAML document of a file.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The file, `-` for standard input.
    pub file: PathBuf,
    /// Its first line's number in the file, counted from 1.
    pub first_line: usize,
    /// Its text.
    pub text: String,
    /// Its value.
    pub value: Value,
}

impl Manifest {
    /// `kind`.
    pub fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    /// `apiVersion`.
    pub fn api_version(&self) -> &str {
        self.value["apiVersion"].as_str().unwrap_or_default()
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// `metadata.namespace`.
    pub fn namespace(&self) -> &str {
        self.value["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    /// The number of the line in the file where this field stands, or the nearest one above it.
    pub fn line_of(&self, path: &[&str]) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        self.first_line + find_block(&lines, path).map_or(0, |block| block.0)
    }
}

/// Reads the documents of these files; a folder means the YAML and JSON files in it.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Manifest>> {
    let mut manifests = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut entries: Vec<PathBuf> = std::fs::read_dir(path)?.flatten().map(|entry| entry.path()).collect();
            entries.sort();
            let is_manifest = |path: &PathBuf| {
                let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
                ["yaml", "yml", "json"].contains(&extension)
            };
            for file in entries.iter().filter(|path| path.is_file() && is_manifest(path)) {
                manifests.extend(documents(file, &read_file(file)?)?);
            }
        } else {
            manifests.extend(documents(path, &read_file(path)?)?);
        }
    }
    if manifests.is_empty() {
        bail!("no manifest in {}", paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "));
    }
    Ok(manifests)
}

fn read_file(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The value of a document. A number that begins with 0 is octal, as it is to kubectl: `defaultMode: 0400`.
///
/// # Errors
/// It is not YAML.
pub fn parse(text: &str) -> Result<Value> {
    Ok(serde_saphyr::from_str_with_options(text, serde_saphyr::options! { legacy_octal_numbers: true })?)
}

/// The documents of a text; of a list, its items.
pub fn documents(file: &Path, text: &str) -> Result<Vec<Manifest>> {
    let mut documents = vec![(1, String::new())];
    for (number, line) in text.lines().enumerate() {
        if line == "---" || line.starts_with("--- ") {
            documents.push((number + 2, String::new()));
        } else if let Some((_, text)) = documents.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    let mut manifests = Vec::new();
    for (first_line, text) in documents {
        let value = parse(&text).with_context(|| {
            let hint = if text.contains("{{") { ". If it is a chart's, render that first: helm template" } else { "" };
            format!("{}:{first_line}: this is not YAML{hint}", file.display())
        })?;
        match value["items"].as_array() {
            Some(items) if value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => {
                let lines: Vec<&str> = text.lines().collect();
                manifests.extend(items.iter().enumerate().map(|(n, item)| item_of(file, first_line, &lines, n, item)));
            }
            _ if value.is_null() => {}
            _ => manifests.push(Manifest { file: file.to_owned(), first_line, text, value }),
        }
    }
    Ok(manifests)
}

/// An item of a list, as `kubectl get -o yaml` prints one, as if it were a document of its own.
fn item_of(file: &Path, first_line: usize, lines: &[&str], number: usize, item: &Value) -> Manifest {
    let (start, end) = find_block(lines, &["items", &number.to_string()]).unwrap_or_default();
    let mut own: Vec<String> =
        lines.get(start..end).unwrap_or_default().iter().map(|line| (*line).to_owned()).collect();
    let mut depth = 0;
    if let Some(first) = own.first_mut() {
        *first = first.replacen('-', " ", 1);
        depth = first.len() - first.trim_start().len();
    }
    let text: String = own.iter().map(|line| format!("{}\n", line.get(depth..).unwrap_or_default())).collect();
    let is_right = parse(&text).is_ok_and(|value| value == *item);
    // If it is not in block style, its lines are not those of the file.
    let text = if is_right { text } else { serde_saphyr::to_string(item).unwrap_or_default() };
    Manifest { file: file.to_owned(), first_line: first_line + start, text, value: item.clone() }
}

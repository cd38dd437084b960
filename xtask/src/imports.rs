//! No circle of imports: in a crate that is read to be understood, a file can be understood with the files that it uses, and
//! those without it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, bail};

/// Fails with the circle, if files of this source folder use each other in one.
pub(crate) fn check(source: &Path) -> Result<()> {
    let mut files = BTreeMap::new();
    read(source, &mut Vec::new(), &mut files)?;
    let uses: BTreeMap<&String, BTreeSet<&String>> =
        files.iter().map(|(module, text)| (module, used(module, text, &files))).collect();
    for module in files.keys() {
        let mut path = vec![module];
        if let Some(circle) = circle(&mut path, &uses, &mut BTreeSet::new()) {
            bail!("files of {} use each other in a circle: {}", source.display(), circle.join(" → "));
        }
    }
    Ok(())
}

/// Reads every file below a folder, by its module's path.
fn read(folder: &Path, path: &mut Vec<String>, files: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?.path();
        let name = entry.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if entry.is_dir() {
            path.push(name);
            read(&entry, path, files)?;
            path.pop();
        } else if !matches!(name.as_str(), "lib" | "main") {
            let own = (name != "mod").then_some(&name);
            let module = path.iter().chain(own).cloned().collect::<Vec<_>>().join("::");
            files.insert(module, std::fs::read_to_string(&entry)?);
        }
    }
    Ok(())
}

/// The modules whose items a file names by `crate::…`, or by `super::…` from a folder of its own. Documentation and tests may
/// name anything.
fn used<'a>(module: &str, text: &str, files: &'a BTreeMap<String, String>) -> BTreeSet<&'a String> {
    // Tests see more than the code that they are beside.
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    let code = code.replace("super::", &format!("crate::{parent}::"));
    let mut used = BTreeSet::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + "crate::".len()..];
        if let Some(names) = rest.strip_prefix('{') {
            let names = names.split('}').next().unwrap_or_default().split(',').map(|name| name.trim());
            used.extend(names.filter_map(|name| owner(name, files)));
        }
        used.extend(owner(rest, files));
    }
    used.retain(|other| *other != module);
    used
}

/// The longest module path that a path of code begins with.
fn owner<'a>(path: &str, files: &'a BTreeMap<String, String>) -> Option<&'a String> {
    let names: Vec<&str> = path
        .split("::")
        .map(|name| name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(""))
        .collect();
    (1..=names.len().min(3))
        .rev()
        .find_map(|length| files.get_key_value(&names[..length].join("::")))
        .map(|(key, _)| key)
}

fn circle<'a>(
    path: &mut Vec<&'a String>,
    uses: &BTreeMap<&'a String, BTreeSet<&'a String>>,
    done: &mut BTreeSet<&'a String>,
) -> Option<Vec<String>> {
    let module = *path.last()?;
    for other in &uses[module] {
        if let Some(start) = path.iter().position(|known| known == other) {
            let closed = path[start..].iter().copied().chain([*other]);
            return Some(closed.cloned().collect());
        }
        if done.contains(other) {
            continue;
        }
        path.push(other);
        if let Some(circle) = circle(path, uses, done) {
            return Some(circle);
        }
        path.pop();
    }
    done.insert(module);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_crate_of_the_product_has_a_circle_and_one_is_found() {
        for krate in ["core", "operator", "overview", "cli"] {
            check(&crate::shell::root().join("crates").join(krate).join("src")).expect("no circle");
        }
        let folder = std::env::temp_dir().join(format!("greenlight-imports-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("b")).expect("a folder");
        std::fs::write(folder.join("a.rs"), "//! [`crate::c`]\nuse crate::b::inner::Thing;").expect("written");
        std::fs::write(folder.join("b/mod.rs"), "").expect("written");
        std::fs::write(folder.join("b/inner.rs"), "use crate::{c, d};").expect("written");
        std::fs::write(folder.join("c.rs"), "fn f() { crate::a::g() }").expect("written");
        std::fs::write(folder.join("d.rs"), "").expect("written");
        let found = check(&folder).expect_err("a circle").to_string();
        std::fs::remove_dir_all(&folder).expect("removed");
        assert!(found.ends_with("a → b::inner → c → a"), "{found}");
    }
}

//! The documents as a site with search: links and the table of contents are checked, and mdBook, a pinned version of it, builds the site.
//!
//! What the site shows differs from the pages in two points: a link out of the folder leads to the repository at this version, and a
//! Mermaid block is the picture that `scripts/draw.mjs` made of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::shell::{self, cargo, root};

/// The version of mdBook that builds the site.
const MDBOOK: &str = "0.4.52";
const REPOSITORY: &str = "https://github.com/greenlight-dev/greenlight/blob/v";
const SUMMARY: &str = "SUMMARY.md";
const MERMAID: &str = "```mermaid";
const PICTURES: &str = "pictures";
/// Pages outside of the folder that have links of their own.
const OUTSIDE: [&str; 6] =
    ["README.md", "CONTRIBUTING.md", "SECURITY.md", "GOVERNANCE.md", "CHANGELOG.md", "charts/greenlight/README.md"];

/// Checks the documents, and builds the site.
pub(crate) fn run(check: bool) -> Result<()> {
    check_links()?;
    if !check {
        build()?;
        println!("open {}", root().join("target/site/html/index.html").display());
    }
    Ok(())
}

/// Checks that every link of the documents leads somewhere, and that the table of contents has every page.
pub(crate) fn check_links() -> Result<()> {
    let wrong = problems()?;
    if !wrong.is_empty() {
        bail!("the documents:\n{}", wrong.join("\n"));
    }
    println!("every link leads somewhere, and the table of contents is complete");
    Ok(())
}

/// Builds the site into `target/site/html`.
pub(crate) fn build() -> Result<()> {
    let source = root().join("target/site/source");
    let _ = std::fs::remove_dir_all(&source);
    std::fs::create_dir_all(source.join(PICTURES))?;
    for page in pages()? {
        let name = name_of(&page)?;
        std::fs::write(source.join(name), for_site(name, &std::fs::read_to_string(&page)?))?;
    }
    for picture in std::fs::read_dir(root().join("docs").join(PICTURES))?.flatten() {
        std::fs::copy(picture.path(), source.join(PICTURES).join(picture.file_name()))?;
    }
    shell::run(Command::new(mdbook()?).arg("build").current_dir(root()))?;
    let is_index =
        |path: PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("searchindex"));
    let html = std::fs::read_dir(root().join("target/site/html"))?.flatten();
    ensure!(html.map(|entry| entry.path()).any(is_index), "the site has no search");
    Ok(())
}

/// mdBook, without its server. The first call builds it; it is kept beside the tools of the tests.
fn mdbook() -> Result<PathBuf> {
    let folder = greenlight_test_cluster::cache_dir()?.join(format!("mdbook-{MDBOOK}"));
    let program = folder.join("bin/mdbook");
    if !program.exists() {
        eprintln!("Building mdBook {MDBOOK}, once.");
        let mut install = cargo();
        install.args([
            "install",
            "--locked",
            "--quiet",
            "--version",
            MDBOOK,
            "--no-default-features",
            "--features",
            "search",
        ]);
        shell::run(install.arg("--root").arg(&folder).arg("mdbook"))?;
    }
    Ok(program)
}

/// What is wrong with the documents, a line each.
fn problems() -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let docs = pages()?;
    let mut links = 0;
    for page in docs.iter().cloned().chain(OUTSIDE.map(|name| root().join(name))) {
        let text = std::fs::read_to_string(&page).with_context(|| page.display().to_string())?;
        for link in links_of(&text) {
            links += 1;
            wrong.extend(broken(&page, &text, link).map(|why| format!("{}: {link} {why}", page.display())));
        }
    }
    for page in &docs {
        for (picture, source) in diagrams(name_of(page)?, &std::fs::read_to_string(page)?) {
            let drawn = std::fs::read_to_string(root().join("docs").join(&picture)).unwrap_or_default();
            if !drawn.contains(&format!("<![CDATA[\n{source}]]>")) {
                wrong.push(format!("docs/{picture} is not of the block in {}: run scripts/draw.mjs", page.display()));
            }
        }
    }
    ensure!(links > 100, "only {links} links were found: the search for them is broken");
    for index in [SUMMARY, "README.md"] {
        let text = std::fs::read_to_string(root().join("docs").join(index))?;
        let listed: Vec<&str> = links_of(&text).filter(|link| !link.contains(':')).collect();
        let once: BTreeSet<&str> = listed.iter().copied().collect();
        if once.len() != listed.len() {
            wrong.push(format!("docs/{index} lists a page twice"));
        }
        for page in &docs {
            let name = name_of(page)?;
            if name != SUMMARY && name != index && !once.contains(name) {
                wrong.push(format!("docs/{index} does not list {name}"));
            }
        }
    }
    Ok(wrong)
}

/// Every page of the folder.
fn pages() -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(root().join("docs"))?.flatten().map(|entry| entry.path());
    let mut pages: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect();
    pages.sort();
    Ok(pages)
}

fn name_of(page: &Path) -> Result<&str> {
    page.file_name().and_then(|name| name.to_str()).context("a name in UTF-8")
}

/// The Mermaid blocks of a page, each with the picture of it.
fn diagrams(name: &str, text: &str) -> Vec<(String, String)> {
    let page = name.trim_end_matches(".md");
    let opens = format!("{MERMAID}\n");
    let blocks = text.split(&opens).skip(1).filter_map(|rest| rest.split("```").next());
    blocks
        .zip(1..)
        .map(|(block, number): (_, usize)| (format!("{PICTURES}/{page}-{number}.svg"), block.to_owned()))
        .collect()
}

fn links_of(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// Why a link of a page leads nowhere; nothing is fetched.
fn broken(page: &Path, text: &str, link: &str) -> Option<&'static str> {
    if link.starts_with("http") {
        return None;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { page.to_owned() } else { page.parent()?.join(file) };
    if !target.exists() {
        return Some("does not exist");
    }
    let other = if file.is_empty() { text.to_owned() } else { std::fs::read_to_string(&target).unwrap_or_default() };
    (!heading.is_empty() && !anchors(&other).contains(heading)).then_some("has no such heading")
}

/// The anchors of the headings, as GitHub and mdBook make them. A line of a code block is no heading.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if line.starts_with('#') && !is_code {
            let heading = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            anchors.insert(heading.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect());
        }
    }
    anchors
}

/// The page, as the site shows it.
fn for_site(name: &str, text: &str) -> String {
    let mut text = text.to_owned();
    for (picture, source) in diagrams(name, &text) {
        text = text.replacen(&format!("{MERMAID}\n{source}```"), &format!("![diagram]({picture})"), 1);
    }
    let repository = format!("]({REPOSITORY}{}/", env!("CARGO_PKG_VERSION"));
    text.replace("](../", &repository)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_leads_somewhere_and_every_page_is_listed() {
        assert_eq!(problems().expect("the documents can be read"), Vec::<String>::new());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let page = root().join("docs/README.md");
        assert_eq!(broken(&page, "", "nothing.md"), Some("does not exist"));
        assert_eq!(broken(&page, "", "runbooks.md#nothing"), Some("has no such heading"));
        assert_eq!(broken(&page, "", "runbooks.md#stuck"), None);
        assert_eq!(broken(&page, "# Here\n```sh\n# no heading\n```\n", "#no-heading"), Some("has no such heading"));
        assert_eq!(broken(&page, "# Here\n", "#here"), None);
    }

    #[test]
    fn the_site_links_to_its_own_version() {
        let version = env!("CARGO_PKG_VERSION");
        let shown = for_site("page.md", "[x](../a/b.md) [y](c.md)\n");
        let repository = "https://github.com/greenlight-dev/greenlight/blob";
        assert_eq!(shown, format!("[x]({repository}/v{version}/a/b.md) [y](c.md)\n"));
    }

    #[test]
    fn the_site_shows_the_picture_of_a_diagram() {
        let shown = for_site("page.md", "a\n```mermaid\nx\n```\nb\n```mermaid\ny\n```\n");
        assert_eq!(shown, "a\n![diagram](pictures/page-1.svg)\nb\n![diagram](pictures/page-2.svg)\n");
    }
}

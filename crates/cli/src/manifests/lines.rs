//! Where a field stands in a YAML text in block style.

/// The lines of a field in block style, from its key to its last line; of the nearest parent that is there, if it is not.
pub fn find_block(lines: &[&str], path: &[&str]) -> Option<(usize, usize)> {
    let tokens = tokens(lines);
    let (mut from, mut to) = (0, tokens.len());
    let mut found = None;
    for part in path {
        let index = part.parse::<usize>().ok().filter(|_| tokens[from..to].first().is_some_and(|t| t.key.is_none()));
        let is_kind = |token: &&Token| token.key.is_none() == index.is_some();
        let column = tokens[from..to].iter().filter(is_kind).map(|token| token.column).min()?;
        let mut siblings = (from..to).filter(|n| is_kind(&&tokens[*n]) && tokens[*n].column == column);
        let start = match index {
            Some(index) => siblings.nth(index),
            None => siblings.find(|n| tokens[*n].key == Some(*part)),
        };
        let Some(start) = start else { return found };
        let token = &tokens[start];
        // It ends where something stands that is not deeper; the items of a list may stand as deep as its key.
        let ends = |n: &usize| {
            let next = &tokens[*n];
            next.column < token.column || next.column == token.column && !(next.key.is_none() && token.key.is_some())
        };
        let end = (start + 1..to).find(ends).unwrap_or(to);
        let last_line = tokens.get(end).map_or(lines.len(), |next| next.line);
        found = Some((token.line, last_line));
        (from, to) = (start + 1, end);
    }
    found
}

/// A key, or the dash of a list's item.
struct Token<'a> {
    line: usize,
    column: usize,
    key: Option<&'a str>,
}

fn tokens<'a>(lines: &[&'a str]) -> Vec<Token<'a>> {
    let mut tokens = Vec::new();
    for (line, text) in lines.iter().enumerate() {
        let mut rest = text.trim_start();
        if rest.starts_with('#') {
            continue;
        }
        while let Some(item) = rest.strip_prefix("- ").or_else(|| (rest == "-").then_some("")) {
            tokens.push(Token { line, column: text.len() - rest.len(), key: None });
            rest = item.trim_start();
        }
        if let Some((key, _)) = rest.split_once(':') {
            let key = key.trim().trim_matches(['"', '\'']);
            tokens.push(Token { line, column: text.len() - rest.len(), key: Some(key) });
        }
    }
    tokens
}

//! What the terminal can show. Into a file or a pipe goes plain text, whole.

use std::io::IsTerminal;

use greenlight_api::Phase;
use supports_hyperlinks::Stream;
use textwrap::{Options, WordSplitter};

/// What standard output can show.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Colours.
    colour: bool,
    /// Addresses that can be clicked.
    links: bool,
    /// Columns of a terminal; what is no terminal has no end.
    pub width: Option<usize>,
}

impl Style {
    /// For standard output as it is. `NO_COLOR`, and a terminal that is `dumb`, are respected.
    pub fn detect() -> Style {
        if !std::io::stdout().is_terminal() {
            return Style::default();
        }
        let dumb = is_dumb();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Style {
            colour: !dumb && !plain,
            links: !dumb && supports_hyperlinks::on(Stream::Stdout),
            width: terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0),
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// What is looked for first.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What is looked at last.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// What was, as against what is.
    pub fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// What is, as against what was.
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// A phase with its sign.
    pub fn phase(self, phase: Phase) -> String {
        let (code, symbol) = match phase {
            Phase::Healthy => ("32", "✔"),
            Phase::Progressing | Phase::Pending => ("36", "◌"),
            Phase::Paused => ("33", "॥"),
            Phase::Degraded => ("31", "✖"),
        };
        self.paint(code, &format!("{symbol} {}", phase.as_str()))
    }

    /// A text in which the addresses can be clicked. They are words of others: one with anything in it but plain letters and signs
    /// stays a text.
    pub fn linked(self, text: &str, addresses: &[String]) -> String {
        let is_plain = |address: &&String| address.chars().all(|letter| letter.is_ascii_graphic());
        let mut linked = text.to_owned();
        for address in addresses.iter().filter(|_| self.links).filter(is_plain) {
            // Whole words only: one address may be the beginning of another.
            let words: Vec<String> =
                linked.split(' ').map(|word| if word == address { link(word) } else { word.to_owned() }).collect();
            linked = words.join(" ");
        }
        linked
    }

    /// A paragraph, broken between words where the terminal ends.
    pub fn wrapped(self, text: &str) -> String {
        self.hanging("", "", text)
    }

    /// A paragraph that begins with `first`, broken between words where the terminal ends. Each other line begins with `others`. A word
    /// stays whole, also one that is longer than a line: it may be an image or a name, which somebody copies.
    pub fn hanging(self, first: &str, others: &str, text: &str) -> String {
        let Some(width) = self.width else { return format!("{first}{text}") };
        let options = Options::new(width).initial_indent(first).subsequent_indent(others).break_words(false);
        textwrap::fill(text, options.word_splitter(WordSplitter::NoHyphenation))
    }
}

/// The terminal shows text, and obeys nothing.
pub fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}

/// OSC 8.
fn link(address: &str) -> String {
    format!("\x1b]8;;{address}\x1b\\{address}\x1b]8;;\x1b\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_is_as_wide_as_its_terminal_in_columns_and_its_words_stay_whole() {
        let style = Style { width: Some(20), ..Style::default() };
        assert_eq!(style.wrapped("kubectl greenlight promote web-shop"), "kubectl greenlight\npromote web-shop");
        assert_eq!(style.hanging("1. ", "   ", "網站網站 網站網站 網站"), "1. 網站網站 網站網站\n   網站");
        assert_eq!(
            style.hanging("1. ", "   ", "cafe\u{301} cafe\u{301} cafe\u{301} x"),
            "1. cafe\u{301} cafe\u{301} cafe\u{301} x"
        );
        assert_eq!(style.wrapped("no registry.example.com/web-shop:v2"), "no\nregistry.example.com/web-shop:v2");
        assert_eq!(Style::default().hanging("1. ", "   ", "a b"), "1. a b", "a pipe has no end");
    }

    #[test]
    fn only_plain_addresses_become_links_and_only_where_there_are_links() {
        let style = Style { links: true, ..Style::default() };
        let [good, longer, bad] = ["http://a", "http://a/b", "http://a\u{7}"].map(str::to_owned);
        let linked = style.linked("preview  http://a http://a/b", &[good.clone(), longer]);
        assert_eq!(linked, format!("preview  {} {}", link("http://a"), link("http://a/b")));
        assert_eq!(style.linked("http://a\u{7}", &[bad]), "http://a\u{7}");
        assert_eq!(Style::default().linked("http://a", &[good]), "http://a");
    }
}

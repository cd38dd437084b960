//! Texts of others, before they reach a terminal, a chat or an event: whoever may write a message, an image or a name must not move a
//! cursor with it, hide what stands beside it, or write a line of their own.

use std::borrow::Cow;

/// What stands in the place of a character that is not shown.
const REPLACEMENT: char = '\u{fffd}';

/// A text without what a terminal or a reader would obey instead of show. Lines stay lines.
pub fn printable(text: &str) -> Cow<'_, str> {
    shown(text, |letter| if letter == '\n' { '\n' } else { in_a_line(letter) })
}

/// The same, as one line.
pub fn one_line(text: &str) -> Cow<'_, str> {
    shown(text, in_a_line)
}

fn shown(text: &str, show: impl Fn(char) -> char) -> Cow<'_, str> {
    if text.chars().all(|letter| show(letter) == letter) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(show).collect())
}

fn in_a_line(letter: char) -> char {
    match letter {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        letter if letter.is_control() || is_invisible(letter) => REPLACEMENT,
        letter => letter,
    }
}

/// What has no width, or turns the direction in which the rest is read.
fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_not_shown_and_the_rest_is_as_it_was() {
        assert!(matches!(one_line("rejected by zoë: 3 → 2, “no” ✔"), Cow::Borrowed(_)));
        assert_eq!(one_line("\u{1b}[2Jgone\u{9b}1m\u{7}\u{0}"), "�[2Jgone�1m��");
        assert_eq!(one_line("a\nSwitch complete\r\tb"), "a Switch complete  b");
        assert_eq!(printable("a\nb\u{1b}"), "a\nb�");
        assert_eq!(one_line("app\u{202e}1v\u{200b}:"), "app�1v�:");
    }
}

//! How much is repeated of what others say: a webhook, a pod, an analysis. The status, the record and its mirror are written only if they
//! are not too large, and what was decided must not be lost because a message is long.

/// The most bytes that are kept of a message.
const MOST: usize = 2048;

/// The text, or its beginning if it is longer than 2 KiB.
pub fn brief(text: String) -> String {
    cut(text, MOST)
}

/// The text, or its beginning with an ellipsis: at most `most` bytes in all.
pub fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let mark = '…';
        text.truncate(beginning(&text, most.saturating_sub(mark.len_utf8())).len());
        text.push(mark);
    }
    text
}

/// The beginning of a text that fits into this many bytes, in whole characters.
pub fn beginning(text: &str, bytes: usize) -> &str {
    let fits = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=bytes.min(text.len())).rev().find(fits).unwrap_or(0);
    &text[..end]
}

/// The beginning of a text that takes so many bytes at most as a string in JSON, without its quotes, in whole characters: some take six times
/// as much there.
pub fn beginning_in_json(text: &str, bytes: usize) -> &str {
    let mut taken = 0;
    let fits = |character: &char| {
        taken += match *character {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            control if control < ' ' => 6,
            other => other.len_utf8(),
        };
        taken <= bytes
    };
    let end: usize = text.chars().take_while(fits).map(char::len_utf8).sum();
    &text[..end]
}

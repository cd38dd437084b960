//! How much is repeated of what others say: a webhook, a pod, an analysis. The status, the record and its mirror are written only if they
//! are not too large, and what was decided must not be lost for somebody's many words.

/// So many bytes of it.
const MOST: usize = 2048;

/// The text, or its beginning.
pub fn brief(text: String) -> String {
    cut(text, MOST)
}

/// The text, or its beginning of at most so many bytes.
pub fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let mark = '…';
        let room = most.saturating_sub(mark.len_utf8());
        text.truncate((0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0));
        text.push(mark);
    }
    text
}

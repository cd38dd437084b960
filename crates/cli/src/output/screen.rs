//! A picture that is kept up to date in its place.

use std::io::{IsTerminal, Write};

use anyhow::Result;
use unicode_width::UnicodeWidthChar;

use crate::output::style::is_dumb;
use crate::output::table::Long;

/// The terminal's other screen. What was there before comes back when it is dropped.
pub struct Screen;

impl Screen {
    /// Whether standard output is a terminal that has one.
    pub fn is_there() -> bool {
        std::io::stdout().is_terminal() && !is_dumb()
    }

    /// Changes over to it.
    pub fn open() -> Result<Screen> {
        print!("\x1b[?1049h\x1b[?25l\x1b[?7l");
        std::io::stdout().flush()?;
        Ok(Screen)
    }

    /// From the top, each line to its end, then nothing below: no flicker. What is longer than the screen is left out, so that the
    /// first lines, which matter, stay. A line that is wider is cut or goes on below itself.
    pub fn draw(&self, text: &str, wide: Long) -> Result<()> {
        let size = terminal_size::terminal_size();
        let width = size.map_or(0, |(width, _)| usize::from(width.0));
        let height = size.map_or(usize::MAX, |(_, height)| usize::from(height.0));
        let width = if wide == Long::Cut || width == 0 { usize::MAX } else { width };
        let mut out = std::io::stdout().lock();
        write!(out, "\x1b[H{}\x1b[J", fitting(text, width, height.max(2)).join("\r\n"))?;
        out.flush()?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        print!("\x1b[?7h\x1b[?25h\x1b[?1049l");
        let _ = std::io::stdout().flush();
    }
}

/// The lines that fit, and how many do not.
fn fitting(text: &str, width: usize, height: usize) -> Vec<String> {
    let pieces = text.lines().flat_map(|line| folded(line, width));
    let lines: Vec<String> = pieces.map(|line| format!("{line}\x1b[K")).collect();
    if lines.len() <= height {
        return lines;
    }
    let left_out = lines.len() - height + 1;
    lines.into_iter().take(height - 1).chain([format!("… {left_out} more lines\x1b[K")]).collect()
}

/// A line in pieces that are not wider than this. What colours it, or makes a link of it, takes no column.
fn folded(line: &str, width: usize) -> Vec<String> {
    let (mut pieces, mut piece, mut columns) = (Vec::new(), String::new(), 0);
    // Inside of an escape sequence, its last sign that says how it goes on.
    let mut escape = None;
    for letter in line.chars() {
        escape = match (escape, letter) {
            (None | Some(']'), '\x1b') => Some('\x1b'),
            (Some('\x1b'), '[' | ']') => Some(letter),
            (Some('\x1b'), _) => None,
            (Some('['), _) if letter.is_ascii_alphabetic() => None,
            (Some(begun), _) => Some(begun),
            (None, _) => {
                let more = letter.width().unwrap_or(0);
                if columns + more > width {
                    pieces.push(std::mem::take(&mut piece));
                    columns = 0;
                }
                columns += more;
                None
            }
        };
        piece.push(letter);
    }
    pieces.push(piece);
    pieces
}

#[cfg(test)]
mod tests {
    use super::{fitting, folded};

    #[test]
    fn what_is_longer_than_the_screen_loses_its_end_and_not_its_beginning() {
        let text = (1..=10).map(|number| format!("line {number}\n")).collect::<String>();
        assert_eq!(fitting(&text, 80, 10).len(), 10);
        let shown = fitting(&text, 80, 4);
        assert_eq!((shown.len(), shown[0].as_str()), (4, "line 1\x1b[K"));
        assert!(shown[3].starts_with("… 7 more lines"), "{}", shown[3]);
        assert_eq!(fitting(&text, 4, 100).len(), 20, "each goes on below itself");
    }

    #[test]
    fn what_is_wider_than_the_screen_goes_on_below_and_what_has_no_width_takes_none() {
        assert_eq!(folded("kubectl greenlight", 8), ["kubectl ", "greenlig", "ht"]);
        assert_eq!(folded("\x1b[1mkubectl\x1b[0m", 7), ["\x1b[1mkubectl\x1b[0m"]);
        let link = "\x1b]8;;http://web.local\x1b\\http://web.local\x1b]8;;\x1b\\";
        assert_eq!(folded(link, 16), [link]);
        assert_eq!((folded("網站", 3), folded("", 3)), (vec!["網".to_owned(), "站".to_owned()], vec![String::new()]));
    }
}

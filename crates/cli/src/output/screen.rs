//! A picture that is kept up to date in its place.

use std::io::{IsTerminal, Write};

use anyhow::Result;

use crate::output::style::is_dumb;

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
    /// first lines, which matter, stay.
    pub fn draw(&self, text: &str) -> Result<()> {
        let height = terminal_size::terminal_size().map_or(usize::MAX, |(_, height)| usize::from(height.0));
        let mut out = std::io::stdout().lock();
        write!(out, "\x1b[H{}\x1b[J", fitting(text, height.max(2)).join("\r\n"))?;
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
fn fitting(text: &str, height: usize) -> Vec<String> {
    let lines: Vec<String> = text.lines().map(|line| format!("{line}\x1b[K")).collect();
    if lines.len() <= height {
        return lines;
    }
    let left_out = lines.len() - height + 1;
    lines.into_iter().take(height - 1).chain([format!("… {left_out} more lines\x1b[K")]).collect()
}

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn what_is_longer_than_the_screen_loses_its_end_and_not_its_beginning() {
        let text = (1..=10).map(|number| format!("line {number}\n")).collect::<String>();
        assert_eq!(fitting(&text, 10).len(), 10);
        let shown = fitting(&text, 4);
        assert_eq!((shown.len(), shown[0].as_str()), (4, "line 1\x1b[K"));
        assert!(shown[3].starts_with("… 7 more lines"), "{}", shown[3]);
    }
}

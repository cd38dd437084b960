//! Columns.

use greenlight_api::text::one_line;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Nothing useful fits into less.
const NARROWEST: usize = 8;

/// What becomes of a last column that is longer than the terminal has columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Long {
    /// It is cut: more is told elsewhere.
    Cut,
    /// It goes on below itself.
    Wrapped,
}

/// Columns as wide as they need to be, two spaces between them. A terminal's width bounds the last one.
pub fn table(rows: &[Vec<String>], width: Option<usize>, long: Long) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    // Names, images and messages are others' words.
    let rows: Vec<Vec<_>> = rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max();
    let widths: Vec<usize> = (0..columns).map(|column| widest(column).unwrap_or(0)).collect();
    let before: usize = widths.iter().rev().skip(1).filter(|width| **width > 0).map(|width| width + 2).sum();
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(before).max(NARROWEST));
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (number, (cell, width)) in row.iter().zip(&widths).enumerate().filter(|(_, (_, width))| **width > 0) {
            if number + 1 < columns || cell.width() <= room {
                line.push_str(&format!("{cell}{:1$}", "", width - cell.width() + 2));
            } else if long == Long::Cut {
                line.push_str(&cut(cell, room));
            } else {
                let indent = " ".repeat(before);
                line.push_str(&textwrap::wrap(cell, room).join(&format!("\n{indent}")));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A text, or as much of it as these columns hold, and a sign that there is more.
pub fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut taken = 0;
    let fits = |letter: &char| {
        taken += letter.width().unwrap_or(0);
        taken < columns
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_whatever_they_are_written_in() {
        let rows =
            [["NAME", "MESSAGE"], ["web", "waits"], ["網站", "läuft"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows, None, Long::Cut), "NAME  MESSAGE\nweb   waits\n網站  läuft\n");
    }

    #[test]
    fn the_last_column_ends_where_the_terminal_does() {
        let message = "revision 2 waits for you and for everybody else".to_owned();
        let rows = [vec!["NAME".into(), "MESSAGE".into()], vec!["web".into(), message.clone()]];
        let text = table(&rows, Some(30), Long::Cut);
        assert!(text.lines().all(|line| line.width() <= 30) && text.contains("waits for yo…"), "{text}");
        assert!(table(&rows, None, Long::Cut).contains(&message), "a pipe has no end");
        assert!(table(&rows, Some(3), Long::Cut).contains("revisio…"), "too narrow is no reason to show nothing");
        assert_eq!(cut("網站網站", 5), "網站…");
        let wrapped = table(&rows, Some(30), Long::Wrapped);
        assert!(wrapped.contains("web   revision 2 waits for you\n      and for"), "{wrapped}");
        assert!(wrapped.lines().all(|line| line.width() <= 30), "{wrapped}");
    }

    #[test]
    fn empty_columns_and_the_tricks_of_others_are_left_out() {
        let rows = [["A", "", "B"], ["x\u{1b}[2J", "", "y\nz"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows, None, Long::Cut), "A      B\nx�[2J  y z\n");
    }
}

//! Columns.

use std::borrow::Cow;

use greenlight_api::text::one_line;
use textwrap::WordSplitter;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Nothing useful fits into less: a last column that would be cut to less is left out, and one that is wrapped begins on a line of its own.
const NARROWEST: usize = 8;
/// What of a row does not fit into its first line stands this far from the left.
const INDENT: usize = 4;

/// What becomes of a last column that is longer than the terminal has columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Long {
    /// It is cut: more is told elsewhere.
    Cut,
    /// It goes on below itself.
    Wrapped,
}

/// Where a column stands.
struct Placed {
    column: usize,
    /// In which of the lines that a row has.
    line: usize,
    /// How far from the left.
    at: usize,
}

/// Columns as wide as they need to be, two spaces between them. A terminal's width bounds the last one. Columns that do not fit beside the
/// others stand below them, in every row: nothing is broken where the terminal happens to end. Without a width there is no end.
pub fn table(rows: &[Vec<String>], width: Option<usize>, long: Long) -> String {
    // Names, images and messages are others' words.
    let rows: Vec<Vec<_>> = rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    let width = width.map_or(usize::MAX, |width| width.max(INDENT + NARROWEST));
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let placed = place(&rows, columns, width, long);
    let lines = placed.last().map_or(0, |last| last.line + 1);
    let mut out = String::new();
    for row in &rows {
        for line in 0..lines {
            let cells: Vec<(usize, Vec<String>)> = placed
                .iter()
                .filter(|placed| placed.line == line)
                .map(|placed| {
                    let (cell, room) = (row.get(placed.column).map_or("", AsRef::as_ref), width - placed.at);
                    let is_cut = long == Long::Cut && placed.column + 1 == columns;
                    (placed.at, if is_cut { vec![cut(cell, room)] } else { wrapped(cell, room) })
                })
                .collect();
            if line > 0 && cells.iter().all(|(_, pieces)| pieces.iter().all(String::is_empty)) {
                continue;
            }
            let height = cells.iter().map(|(_, pieces)| pieces.len()).max().unwrap_or(0);
            for number in 0..height {
                let mut text = String::new();
                for (at, piece) in cells.iter().filter_map(|(at, pieces)| Some((at, pieces.get(number)?))) {
                    text.push_str(&" ".repeat(at.saturating_sub(text.width())));
                    text.push_str(piece);
                }
                out.push_str(text.trim_end());
                out.push('\n');
            }
        }
    }
    out
}

/// Where each column stands that has anything in it. A column that is wider than a line has one to itself, and is wrapped.
fn place(rows: &[Vec<Cow<'_, str>>], columns: usize, width: usize, long: Long) -> Vec<Placed> {
    let mut placed = Vec::new();
    let (mut line, mut at) = (0, 0);
    for column in 0..columns {
        let cells = || rows.iter().filter_map(|row| row.get(column));
        let whole = cells().map(|cell| cell.width()).max().unwrap_or(0);
        if whole == 0 {
            continue;
        }
        let is_last = column + 1 == columns;
        // The last one has to be as wide as its longest word: an address or an image in pieces is of no use.
        let word = || cells().flat_map(|cell| cell.split(' ')).map(UnicodeWidthStr::width).max().unwrap_or(0);
        let least = match long {
            _ if !is_last => whole,
            Long::Cut => whole.min(NARROWEST),
            Long::Wrapped => whole.min(word().max(NARROWEST)),
        };
        if at > 0 && at + least > width {
            if is_last && long == Long::Cut {
                break;
            }
            (line, at) = (line + 1, INDENT);
        }
        placed.push(Placed { column, line, at });
        at += whole + 2;
    }
    placed
}

/// A text in lines that are not wider than this. What has no space in it, and fits, stays whole.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    if text.width() <= columns {
        return vec![text.to_owned()];
    }
    let options = textwrap::Options::new(columns).word_splitter(WordSplitter::NoHyphenation);
    textwrap::wrap(text, options).into_iter().map(Cow::into_owned).collect()
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
        assert_eq!(table(&rows, Some(12), Long::Cut), "NAME\nweb\n", "what would be a few letters is left out");
        assert_eq!(
            table(&rows, Some(12), Long::Wrapped),
            "NAME\n    MESSAGE\nweb\n    revision\n    2 waits\n    for you\n    and for\n    everybod\n    y else\n",
            "and shown where it has to be whole"
        );
        assert_eq!(cut("網站網站", 5), "網站…");
        let wrapped = table(&rows, Some(30), Long::Wrapped);
        assert!(wrapped.contains("web   revision 2 waits for you\n      and for"), "{wrapped}");
        assert!(wrapped.lines().all(|line| line.width() <= 30), "{wrapped}");
    }

    #[test]
    fn columns_that_do_not_fit_beside_the_others_stand_below_them_and_nothing_is_lost() {
        let of = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
        let rows = [
            of(["NAME", "PHASE", "IMAGES", "MESSAGE"]),
            of(["a-rather-long-name", "Paused", "registry.example/web-shop:v2", "revision 2 waits"]),
            of(["web", "Healthy", "", ""]),
        ];
        let text = table(&rows, Some(34), Long::Wrapped);
        let told = "NAME                PHASE\n    IMAGES\n    MESSAGE\na-rather-long-name  Paused\n    registry.example/web-shop:v2\n    \
                    revision 2 waits\nweb                 Healthy\n";
        assert_eq!(text, told, "the image is whole, and a line with nothing in it is none");
        // A column that is wider than the terminal is wrapped, and what is beside it stands below.
        let text = table(&rows, Some(16), Long::Cut);
        assert!(text.lines().all(|line| line.width() <= 16), "{text}");
        assert!(text.replace(['\n', ' '], "").contains("a-rather-long-name"), "{text}");
    }

    #[test]
    fn wide_letters_take_two_columns_and_those_that_combine_none() {
        // Two columns each, and an é of two characters.
        let [wide, combined] = ["網站網站", "cafe\u{301}"];
        assert_eq!((wide.width(), combined.width(), combined.chars().count()), (8, 4, 5));
        let of = |name: &str, message: &str| vec![name.to_owned(), message.to_owned()];
        let rows =
            [of("NAME", "MESSAGE"), of(wide, "網站網站 網站網站"), of(combined, "cafe\u{301} cafe\u{301} cafe\u{301}")];
        let text = table(&rows, Some(24), Long::Wrapped);
        let told = "NAME      MESSAGE\n網站網站  網站網站\n          網站網站\ncafe\u{301}      cafe\u{301} cafe\u{301} cafe\u{301}\n";
        assert_eq!(text, told);
        for columns in 12..40 {
            for long in [Long::Cut, Long::Wrapped] {
                let text = table(&rows, Some(columns), long);
                assert!(text.lines().all(|line| line.width() <= columns), "{columns}, {long:?}: {text}");
            }
        }
        assert_eq!(cut("cafe\u{301} cafe\u{301}", 7), "cafe\u{301} c…");
    }

    #[test]
    fn empty_columns_and_the_tricks_of_others_are_left_out() {
        let rows = [["A", "", "B"], ["x\u{1b}[2J", "", "y\nz"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows, None, Long::Cut), "A      B\nx�[2J  y z\n");
    }
}

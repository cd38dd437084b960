//! That a command waits, and for what. On a terminal only, and on standard error: what is printed stays clean.

use std::io::IsTerminal;
use std::time::Duration;

use greenlight_api::text::one_line;
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::style::is_dumb;

const TURN: Duration = Duration::from_millis(120);

/// A line that turns while somebody waits, and is gone afterwards.
pub struct Progress(ProgressBar);

impl Progress {
    /// Begins to show what is waited for.
    pub fn start(what: &str) -> Progress {
        // It stays in its place by what a dumb terminal would print.
        let bar = if is_dumb() { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TURN);
        let progress = Progress(bar);
        progress.say(what);
        progress
    }

    /// What is waited for now.
    pub fn say(&self, what: &str) {
        self.0.set_message(one_line(what).into_owned());
    }

    /// Prints without the line coming in between.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

/// Says that the API server asks for a pause, and how long it is.
pub fn tell_pause(pause: Duration) {
    // The line that turns may stand there; it comes again below.
    let clean = if std::io::stderr().is_terminal() && !is_dumb() { "\r\x1b[K" } else { "" };
    eprintln!("{clean}The API server is too busy. It is asked again in {} s.", pause.as_secs());
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

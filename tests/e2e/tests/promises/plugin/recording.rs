//! A release as it is seen in a terminal, drawn for the documents: `GREENLIGHT_PICTURES=1` keeps it as `docs/pictures/terminal.svg`.
//! Each line was printed by the plugin in this run, and appears when it was printed. Only the time to read it is added.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use greenlight_e2e::{Lab, cluster};
use serde_json::json;

use super::terminal::{on_terminal, visible};

const COLUMNS: usize = 120;
/// The time to read what a command printed.
const READING: Duration = Duration::from_secs(4);
/// Of a character and of a line, in pixels.
const WIDTH: usize = 9;
const HEIGHT: usize = 20;

/// Lines with their colours, and when each of them appears.
#[derive(Default)]
struct Recording {
    lines: Vec<(Duration, String)>,
    now: Duration,
}

impl Recording {
    /// Runs the plugin on a terminal; what it printed. The line that turns while it waits is on standard error, and left out.
    fn run(&mut self, args: &str) -> String {
        self.lines.push((self.now, format!("\u{1b}[1m$ kubectl greenlight {args}\u{1b}[0m")));
        let started = Instant::now();
        let printed = on_terminal(COLUMNS, &[], &format!("{args} 2>/dev/null"));
        self.now += started.elapsed();
        let now = self.now;
        let lines = printed.lines().map(|line| line.trim_end_matches('\r').to_owned());
        self.lines.extend(lines.chain([String::new()]).map(|line| (now, line)));
        self.now += READING;
        visible(&printed)
    }

    fn svg(&self) -> String {
        let columns = self.lines.iter().map(|(_, line)| visible(line).chars().count()).max().unwrap_or(0);
        let (width, height) = ((columns + 4) * WIDTH, (self.lines.len() + 2) * HEIGHT);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" xml:space=\"preserve\" viewBox=\"0 0 {width} {height}\" font-size=\"14\" fill=\"#e6edf3\" \
             font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace\">\n\
             <title>A release and a rollback with kubectl greenlight</title>\n\
             <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#0d1117\"/>\n"
        );
        for ((at, line), number) in self.lines.iter().zip(2_usize..) {
            // Where nothing moves, everything is there from the beginning.
            let seconds = at.as_secs_f64();
            let hidden =
                format!("<set attributeName=\"visibility\" to=\"hidden\" begin=\"0s\" dur=\"{seconds:.1}s\"/>");
            let hidden = if at.is_zero() { "" } else { hidden.as_str() };
            let (x, y) = (2 * WIDTH, number * HEIGHT);
            let text = drawn(line);
            writeln!(svg, "<text x=\"{x}\" y=\"{y}\" style=\"white-space:pre\">{text}{hidden}</text>").expect("a text");
        }
        svg + "</svg>\n"
    }
}

/// A line with its colours, as SVG has them.
fn drawn(line: &str) -> String {
    let mut drawn = String::new();
    for (number, piece) in line.split('\u{1b}').enumerate() {
        let coded = piece.strip_prefix('[').and_then(|piece| piece.split_once('m')).filter(|_| number > 0);
        let (code, text) =
            coded.unwrap_or_else(|| if number == 0 { ("0", piece) } else { panic!("no colour: {line:?}") });
        let style = match code {
            "0" => "",
            "1" => " font-weight=\"bold\"",
            "2" => " fill=\"#8b949e\"",
            "31" => " fill=\"#ff7b72\"",
            "32" => " fill=\"#3fb950\"",
            "33" => " fill=\"#d29922\"",
            "36" => " fill=\"#39c5cf\"",
            other => panic!("a colour that has none here, {other}: {line:?}"),
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        if !text.is_empty() {
            write!(drawn, "<tspan{style}>{text}</tspan>").expect("a text");
        }
    }
    drawn
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_in_a_terminal_is_drawn_as_it_was_printed() {
    let lab = Lab::new("recorded").await;
    let settings = json!({"previewReplicaCount": 1, "scaleDownDelaySeconds": 600});
    lab.deploy(json!({"replicas": 3, "strategy": {"blueGreen": settings}})).await;
    lab.preview("web:v2").await;

    let mut recording = Recording::default();
    let waits = recording.run("get rollout web -n recorded");
    assert!(waits.contains("waits for promotion"), "{waits}");
    let promoted = recording.run("promote web -n recorded");
    assert!(promoted.contains("Revision 2 (web:v2) is active."), "{promoted}");
    recording.run("get rollout web -n recorded");
    let undone = recording.run("undo web -n recorded");
    assert!(undone.contains("serving revision 1") && undone.contains("was rejected by"), "{undone}");
    recording.run("get rollout web -n recorded");

    let svg = recording.svg();
    assert!(svg.contains(">॥ Paused</tspan>") && svg.contains(">✔ Healthy</tspan>"), "{svg}");
    let folder = match std::env::var_os("GREENLIGHT_PICTURES") {
        Some(_) => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pictures"),
        None => cluster().dir().to_owned(),
    };
    std::fs::write(folder.join("terminal.svg"), svg).expect("written");
}

//! How cost grows, as a picture (SVG): the whole cost of each phase by the number of rollouts, on axes of powers of ten, on which a power law
//! is a line. Its exponent is the slope: 1 is as much more as there are more rollouts.

use std::fmt::Write;

use super::report::{Figures, Round, exponent};

/// One axis, in pixels.
const WIDTH: f64 = 250.0;
const HEIGHT: f64 = 210.0;
/// From the left of one picture to that of the next.
const STEP: f64 = WIDTH + 215.0;
/// Around the axes of a picture: for numbers and a title.
const LEFT: f64 = 50.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 40.0;
/// Told apart by who does not see colours: neighbours differ in lightness, too.
const COLOURS: [&str; 6] = ["#1b6ca8", "#e08e0b", "#2a7f3f", "#b3261e", "#7a4fa3", "#555555"];
const PHASES: [&str; 4] = ["create", "update", "promote", "undo"];

/// What is drawn of a phase.
struct Figure {
    title: &'static str,
    of: fn(&Figures, f64) -> f64,
}

const FIGURES: [Figure; 3] = [
    Figure { title: "CPU, seconds", of: |figures, rollouts| figures.cpu_ms_each * rollouts / 1000.0 },
    Figure { title: "API requests", of: |figures, rollouts| figures.requests_each * rollouts },
    Figure { title: "until all are done, seconds", of: |figures, _| figures.seconds },
];

/// Points of one phase, the smallest size first: how many rollouts, and what it cost.
type Points = Vec<(f64, f64)>;

/// A row of pictures for each subject.
pub(super) fn svg(rounds: &[Round]) -> String {
    let mut subjects: Vec<&str> = Vec::new();
    for round in rounds {
        if !subjects.contains(&round.subject.as_str()) {
            subjects.push(&round.subject);
        }
    }
    let row_height = TOP + HEIGHT + BOTTOM;
    let (width, height) = (STEP * FIGURES.len() as f64, row_height * subjects.len() as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (row, subject) in subjects.into_iter().enumerate() {
        let mut of_subject: Vec<&Round> = rounds.iter().filter(|round| round.subject == subject).collect();
        of_subject.sort_by_key(|round| round.rollouts);
        for (column, figure) in FIGURES.iter().enumerate() {
            let (x, y) = (STEP * column as f64 + LEFT, row_height * row as f64 + TOP);
            picture(&mut svg, (x, y), &format!("{subject}: {}", figure.title), &series(&of_subject, figure));
        }
    }
    svg + "</svg>\n"
}

fn series(rounds: &[&Round], figure: &Figure) -> Vec<(&'static str, Points)> {
    let points = |phase: &str| -> Points {
        let point = |round: &&Round| {
            let figures = round.phases.iter().find(|figures| figures.phase == phase)?;
            let rollouts = round.rollouts as f64;
            let cost = (figure.of)(figures, rollouts);
            (cost > 0.0).then_some((rollouts, cost))
        };
        rounds.iter().filter_map(point).collect()
    };
    PHASES.into_iter().map(|phase| (phase, points(phase))).filter(|(_, points)| !points.is_empty()).collect()
}

/// The powers of ten around these values.
fn decades(values: impl Iterator<Item = f64> + Clone) -> (i32, i32) {
    let least = values.clone().fold(f64::INFINITY, f64::min).log10().floor();
    let most = values.fold(f64::NEG_INFINITY, f64::max).log10().ceil();
    let whole = |power: f64| power.clamp(-9.0, 12.0) as i32;
    (whole(least), whole(most).max(whole(least) + 1))
}

fn picture(svg: &mut String, (x, y): (f64, f64), title: &str, series: &[(&str, Points)]) {
    let all = || series.iter().flat_map(|(_, points)| points.iter());
    if all().next().is_none() {
        return;
    }
    let (from, to) = decades(all().map(|point| point.0));
    let (low, high) = decades(all().map(|point| point.1));
    let across = |value: f64| x + (value.log10() - f64::from(from)) / f64::from(to - from) * WIDTH;
    let up = |value: f64| y + HEIGHT - (value.log10() - f64::from(low)) / f64::from(high - low) * HEIGHT;
    let mut put = |text: std::fmt::Arguments<'_>| svg.write_fmt(text).expect("a string takes everything");
    put(format_args!("<text x=\"{x:.1}\" y=\"{:.1}\" font-weight=\"bold\">{title}</text>\n", y - 16.0));
    for power in from..=to {
        let at = across(10_f64.powi(power));
        put(format_args!(
            "<line x1=\"{at:.1}\" y1=\"{y:.1}\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
            y + HEIGHT,
            y + HEIGHT + 16.0,
            10_f64.powi(power)
        ));
    }
    for power in low..=high {
        let at = up(10_f64.powi(power));
        put(format_args!(
            "<line x1=\"{x:.1}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            x + WIDTH,
            x - 6.0,
            at + 4.0,
            10_f64.powi(power)
        ));
    }
    put(format_args!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">rollouts</text>\n",
        x + WIDTH / 2.0,
        y + HEIGHT + 32.0
    ));
    for (number, (phase, points)) in series.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let path: Vec<String> =
            points.iter().map(|(size, cost)| format!("{:.1},{:.1}", across(*size), up(*cost))).collect();
        put(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n",
            path.join(" ")
        ));
        for (size, cost) in points {
            put(format_args!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>\n",
                across(*size),
                up(*cost)
            ));
        }
        let power = exponent(points).map_or(String::new(), |power| format!(": power {power:.2}"));
        let at = y + 12.0 + 16.0 * number as f64;
        put(format_args!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"9\" height=\"9\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{at:.1}\">{phase}{power}</text>\n",
            x + WIDTH + 8.0,
            at - 9.0,
            x + WIDTH + 21.0
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(rollouts: usize) -> Round {
        let phase = |phase: &str| Figures {
            phase: phase.to_owned(),
            seconds: rollouts as f64 / 10.0,
            cpu_ms_each: 5.0,
            requests_each: 7.0,
            ..Figures::default()
        };
        let phases = ["create", "update", "idle"].map(phase).to_vec();
        Round { subject: "Greenlight".to_owned(), rollouts, replicas: 2, patches_per_second: 500.0, phases }
    }

    #[test]
    fn a_picture_has_a_line_for_each_phase_and_says_how_it_grows() {
        let svg = svg(&[round(1000), round(100), round(10)]);
        assert_eq!(svg.matches("<polyline").count(), 6, "two phases in three pictures: {svg}");
        assert_eq!(svg.matches("create: power 1.00").count(), 3);
        assert!(svg.contains("points=\"50.0,"), "the smallest is on the left edge: {svg}");
        assert_eq!(svg.matches("<svg").count() + svg.matches("</svg>").count(), 2);
    }
}

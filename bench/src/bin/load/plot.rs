//! The plot of the figures.

use std::fmt::Write;

use crate::{
    options::Options,
    rounds::{Column, Scenario},
    server::Contender,
};

/// Returns an SVG with bars of requests per second: the median round, and a line from the slowest to the
/// fastest.
pub(crate) fn svg(options: &Options, scenarios: &[(Scenario, Column)]) -> String {
    let of_all =
        |column| Contender::ALL.map(|contender| Column::requests_per_second(column, contender));
    let spreads = scenarios.iter().flat_map(|(_, column)| of_all(column));
    let fastest = spreads.map(|spread| spread.max).fold(0.0, f64::max);
    let x = |rate: f64| BARS_LEFT + rate / fastest * BARS_WIDTH;

    let mut shapes = String::new();
    let mut y = HEAD;
    for (scenario, column) in scenarios {
        text(&mut shapes, MARGIN, y + 14.0, "title", scenario.title());
        y += TITLE;
        for (contender, spread) in Contender::ALL.into_iter().zip(of_all(column)) {
            let middle = y + BAR / 2.0;
            let baseline = middle + 5.0;
            text(&mut shapes, BARS_LEFT - 10.0, baseline, "name", contender.name());
            let class = if contender.is_ours() { "ours" } else { "other" };
            let (median, min, max) = (x(spread.median), x(spread.min), x(spread.max));
            let _ = writeln!(
                shapes,
                r#"<rect class="{class}" x="{BARS_LEFT}" y="{y}" width="{:.1}" height="{BAR}"/>
<path class="range" d="M{min:.1} {middle}H{max:.1}M{min:.1} {}v8M{max:.1} {}v8"/>"#,
                median - BARS_LEFT,
                middle - 4.0,
                middle - 4.0,
            );
            let of_plain = column.ratio(contender, Contender::Plain).median;
            let label = match contender {
                Contender::Plain => thousands(spread.median),
                _ => format!("{} · {of_plain:.2} of plain", thousands(spread.median)),
            };
            text(&mut shapes, max + 10.0, baseline, "value", &label);
            y += BAR + GAP;
        }
        y += GAP;
    }
    let legend = format!(
        "Median of {} rounds; the lines go from the slowest round to the fastest.",
        options.rounds
    );
    text(&mut shapes, MARGIN, y + 12.0, "note", &legend);
    let height = y + 30.0;
    let headline =
        format!("Requests per second of one actix-web worker on one core, {}", options.algorithm);
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">
<title>{headline}</title>
<style>{STYLE}</style>
<rect class="ground" width="{WIDTH}" height="{height}"/>
<text x="{MARGIN}" y="32" class="headline">{headline}</text>
{shapes}</svg>
"#
    )
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, text: &str) {
    let _ = writeln!(svg, r#"<text class="{class}" x="{x:.1}" y="{y}">{text}</text>"#);
}

/// Formats a rate with three digits. The noise is larger.
fn thousands(rate: f64) -> String {
    if rate < 99_950.0 { format!("{:.1}k", rate / 1e3) } else { format!("{:.0}k", rate / 1e3) }
}

const STYLE: &str = "
svg { font: 14px system-ui, 'DejaVu Sans', sans-serif; --ink: #1f2328; --faint: #59636e; --ground: #fff; --ours: #1a7f6b; --other: #9aa7b5 }
@media (prefers-color-scheme: dark) { svg { --ink: #e6edf3; --faint: #9198a1; --ground: #0d1117; --ours: #2ea88f; --other: #56616d } }
text { fill: var(--ink) }
.ground { fill: var(--ground) }
.headline { font-size: 16px; font-weight: 600 }
.title { font-weight: 600 }
.name { text-anchor: end }
.note { fill: var(--faint); font-size: 12px }
.ours { fill: var(--ours) }
.other { fill: var(--other) }
.range { stroke: var(--ink); stroke-width: 1.5; fill: none }
";
const WIDTH: f64 = 800.0;
const MARGIN: f64 = 20.0;
const BARS_LEFT: f64 = 140.0;
/// The rest of the width is for the values.
const BARS_WIDTH: f64 = 470.0;
const HEAD: f64 = 56.0;
const TITLE: f64 = 26.0;
const BAR: f64 = 22.0;
const GAP: f64 = 8.0;

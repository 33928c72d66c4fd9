//! Charts as SVG: curves and histograms.

use std::fmt::Write as _;

use super::html::text;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
/// Room for labels.
const LEFT: f64 = 44.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;
/// Colours that the style names, `--c0` and so on.
const COLOURS: usize = 9;

/// A named curve, its points from left to right.
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) points: Vec<[f64; 2]>,
}

/// An axis: what it shows, its ends, and where it is marked.
pub(super) struct Axis<'a> {
    pub(super) label: &'a str,
    pub(super) ends: [f64; 2],
    /// Whether equal steps are equal factors.
    pub(super) logarithmic: bool,
    pub(super) marks: Vec<f64>,
}

impl Axis<'_> {
    /// A share of everything, 0 to 1.
    pub(super) fn share(label: &str) -> Axis<'_> {
        let marks = vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0];
        Axis { label, ends: [0.0, 1.0], logarithmic: false, marks }
    }

    /// Where a value lies: 0 at the lower end, 1 at the upper one.
    fn place(&self, value: f64) -> f64 {
        let [low, high] = self.ends;
        let value = value.clamp(low, high);
        match self.logarithmic {
            true => (value / low).ln() / (high / low).ln(),
            false => (value - low) / (high - low),
        }
    }
}

/// Curves with a legend below.
pub(super) fn curves(title: &str, x: &Axis<'_>, y: &Axis<'_>, curves: &[Curve]) -> String {
    let mut drawn = frame(x, y);
    let mut legend = String::new();
    for (number, Curve { name, points }) in curves.iter().enumerate() {
        let colour = format!("var(--c{})", number % COLOURS);
        let point = |&[at, value]: &[f64; 2]| {
            format!("{:.1},{:.1}", horizontal(x.place(at)), vertical(y.place(value)))
        };
        let points: Vec<String> = points.iter().map(point).collect();
        let name = text(name);
        let _ = writeln!(
            drawn,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"\
             ><title>{name}</title></polyline>",
            points.join(" ")
        );
        let _ = write!(legend, "<span style=\"color:{colour}\">━ {name}</span> ");
    }
    card(title, &drawn, &legend)
}

/// A histogram of equal bins over the axis.
pub(super) fn bars(title: &str, x: &Axis<'_>, counts: &[usize]) -> String {
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let marks = vec![0.0, (most / 2.0).round(), most];
    let y = Axis { label: "queries", ends: [0.0, most], logarithmic: false, marks };
    let mut drawn = frame(x, &y);
    let width = (WIDTH - LEFT - RIGHT) / counts.len().max(1) as f64;
    for (bin, &count) in counts.iter().enumerate() {
        let top = vertical(y.place(count as f64));
        let _ = writeln!(
            drawn,
            "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"var(--c0)\"\
             ><title>{count}</title></rect>",
            LEFT + bin as f64 * width + 0.5,
            width - 1.0,
            vertical(0.0) - top
        );
    }
    card(title, &drawn, "")
}

fn card(title: &str, drawn: &str, legend: &str) -> String {
    let title = text(title);
    format!(
        "<section class=\"card\"><h2>{title}</h2>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"{title}\">\n{drawn}</svg>\n<p>{legend}</p></section>\n"
    )
}

/// Marks, grid and labels.
fn frame(x: &Axis<'_>, y: &Axis<'_>) -> String {
    let mut drawn = String::new();
    let (left, right) = (horizontal(0.0), horizontal(1.0));
    let (bottom, top) = (vertical(0.0), vertical(1.0));
    for &mark in &y.marks {
        let at = vertical(y.place(mark));
        let _ = writeln!(
            drawn,
            "<path d=\"M{left} {at:.1}H{right}\" stroke=\"var(--line)\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{mark}</text>",
            left - 6.0,
            at + 4.0
        );
    }
    for &mark in &x.marks {
        let at = horizontal(x.place(mark));
        let _ = writeln!(
            drawn,
            "<path d=\"M{at:.1} {bottom}V{top}\" stroke=\"var(--line)\"/>\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{mark}</text>",
            bottom + 15.0
        );
    }
    let _ = writeln!(
        drawn,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
         <text x=\"{left}\" y=\"{}\">{}</text>",
        (left + right) / 2.0,
        HEIGHT - 6.0,
        text(x.label),
        top - 2.0,
        text(y.label)
    );
    drawn
}

fn horizontal(place: f64) -> f64 {
    LEFT + place * (WIDTH - LEFT - RIGHT)
}

fn vertical(place: f64) -> f64 {
    HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_between_the_ends_of_their_axis() {
        let rates = Axis { label: "", ends: [1e-4, 1.0], logarithmic: true, marks: vec![] };
        assert!((rates.place(1e-2) - 0.5).abs() < 1e-12);
        assert_eq!((rates.place(0.0), rates.place(2.0)), (0.0, 1.0));
        assert_eq!(Axis::share("").place(0.25), 0.25);
    }

    #[test]
    fn a_curve_goes_through_its_points() {
        let half = Curve { name: "<a>".into(), points: vec![[0.0, 0.0], [1.0, 1.0]] };
        let svg = curves("c", &Axis::share("x"), &Axis::share("y"), &[half]);
        assert!(svg.contains("points=\"44.0,260.0 468.0,12.0\"") && svg.contains("&lt;a&gt;"));
        let svg = bars("b", &Axis::share("x"), &[0, 4]);
        assert!(svg.contains("height=\"0.0\"") && svg.contains("height=\"248.0\""));
    }
}

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

    /// From the least to the most of some values, marked at round numbers.
    pub(super) fn over(label: &str, values: impl Iterator<Item = f64>) -> Axis<'_> {
        let [low, high] = ends(values);
        let step = round_step((high - low) / 5.0);
        let [low, high] = [(low / step).floor(), (high / step).ceil()];
        // From whole numbers, so that a mark is printed as 0.3, not as 0.30000000000000004.
        let marks = (0..=(high - low) as usize).map(|i| rounded((low + i as f64) * step)).collect();
        Axis { label, ends: [low * step, high * step], logarithmic: false, marks }
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

/// The least and the most of the values, and never the same.
fn ends(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let finite = values.filter(|value| value.is_finite());
    let none = [f64::INFINITY, f64::NEG_INFINITY];
    match finite.fold(none, |[low, high], value| [low.min(value), high.max(value)]) {
        [low, high] if low < high => [low, high],
        [low, _] if low.is_finite() => [low - 0.5, low + 0.5],
        _ => [0.0, 1.0],
    }
}

/// 1, 2 or 5 times a power of ten, and not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10.0_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// The number with twelve digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.12e}").parse().unwrap_or(value)
}

/// A point of a map.
pub(super) struct Dot {
    pub(super) at: [f64; 2],
    /// What it is, told when pointed at.
    pub(super) name: String,
    /// Dots of one group share a colour and a shape.
    pub(super) group: usize,
    /// Drawn large, with its name: what stands for its group.
    pub(super) centre: bool,
}

/// Dots where they lie, with equal scales and no axes; centres on top.
pub(super) fn dots(title: &str, dots: &[Dot], note: &str) -> String {
    const SIDE: f64 = 640.0;
    const MARGIN: f64 = 24.0;
    let along = |axis: usize| dots.iter().map(move |dot| dot.at[axis]);
    let [left, right, bottom, top] = [ends(along(0)), ends(along(1))].concat()[..] else {
        return String::new();
    };
    let scale = (SIDE - 2.0 * MARGIN) / (right - left).max(top - bottom);
    let height = 2.0 * MARGIN + scale * (top - bottom);
    let mut drawn = String::new();
    for centre in [false, true] {
        for Dot { at, name, group, .. } in dots.iter().filter(|dot| dot.centre == centre) {
            let [x, y] = [at[0] - left, top - at[1]].map(|to| MARGIN + scale * to);
            let _ = writeln!(drawn, "{}", mark([x, y], *group, centre, &text(name)));
        }
    }
    let title = text(title);
    format!(
        "<section class=\"card\"><h2>{title}</h2>\n<p class=\"soft\">{}</p>\n<svg viewBox=\"0 0 {SIDE} \
         {height:.0}\" role=\"img\" aria-label=\"{title}\">\n{drawn}</svg></section>\n",
        text(note)
    )
}

/// Nine colours, three shapes: 27 groups before two look alike.
fn mark([x, y]: [f64; 2], group: usize, centre: bool, name: &str) -> String {
    let colour = format!("var(--c{})", group % COLOURS);
    let size = if centre { 6.0 } else { 2.8 };
    let (tag, shape) = match group / COLOURS % 3 {
        0 => ("circle", format!("cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{size}\"")),
        1 => {
            let left = x - size;
            let diamond =
                format!("d=\"M{left:.1} {y:.1}l{size} {size} {size} -{size} -{size} -{size}z\"");
            ("path", diamond)
        }
        _ => {
            let (left, top, side) = (x - size, y - size, 2.0 * size);
            ("path", format!("d=\"M{left:.1} {top:.1}h{side}v{side}h-{side}z\""))
        }
    };
    let drawn = |look: &str| {
        format!("<{tag} {shape} fill=\"{colour}\" {look}><title>{name}</title></{tag}>")
    };
    if !centre {
        return drawn("opacity=\"0.65\"");
    }
    let (label, anchor) =
        if x < WIDTH { (x + size + 3.0, "start") } else { (x - size - 3.0, "end") };
    format!(
        "{}<text x=\"{label:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{name}</text>",
        drawn("stroke=\"var(--card)\" stroke-width=\"2\""),
        y + 4.0
    )
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
    fn axes_are_marked_at_round_numbers() {
        let axis = |values: &[f64]| Axis::over("", values.iter().copied());
        assert_eq!(axis(&[0.12, 0.98]).marks, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(axis(&[0.1, 0.3]).marks, [0.1, 0.15, 0.2, 0.25, 0.3]);
        assert_eq!(axis(&[3.0, 3.0]).marks, [2.4, 2.6, 2.8, 3.0, 3.2, 3.4, 3.6]);
        assert_eq!(axis(&[f64::NAN]).ends, [0.0, 1.0]);
        assert_eq!(axis(&[0.0, 24.0]).marks, [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]);
    }

    #[test]
    fn a_map_keeps_proportions_and_names() {
        let dot = |at, centre| Dot { at, name: "<x>".into(), group: 9, centre };
        let svg = dots("m", &[dot([0.0, 0.0], false), dot([10.0, 5.0], true)], "");
        assert!(svg.contains("viewBox=\"0 0 640 344\"") && svg.contains("M21.2 320.0l"));
        assert!(svg.contains(">&lt;x&gt;</text>") && !svg.contains("<x>"));
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

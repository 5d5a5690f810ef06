//! Board: figures against goals, and the table of them at the end.
//!
//! Never: rounds a miss into a hit, or leaves a goal out that was not measured.

/// Median with minimum and maximum of some rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut values: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        values.sort_by(f64::total_cmp);
        if values.is_empty() {
            return Self { median: f64::NAN, least: f64::NAN, most: f64::NAN };
        }
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Self { median, least: values[0], most: values[values.len() - 1] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}–{})", short(self.median), short(self.least), short(self.most))
    }
}

/// A number with about three digits that count.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "–".into(),
        size if size >= 1000.0 => whole(value),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A count, with its thousands apart.
pub(crate) fn whole(value: f64) -> String {
    let whole = format!("{value:.0}");
    let mut parts: Vec<&str> =
        whole.as_bytes().rchunks(3).map(|part| std::str::from_utf8(part).unwrap()).collect();
    parts.reverse();
    parts.join(",")
}

/// What a figure must be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    Below(f64),
}

/// One line of the table.
#[derive(Debug)]
struct Line {
    what: String,
    goal: String,
    figure: String,
    verdict: &'static str,
}

/// All lines so far.
#[derive(Debug, Default)]
pub(crate) struct Board {
    lines: Vec<Line>,
}

impl Board {
    /// Judges a figure by its median.
    pub(crate) fn judge(&mut self, what: &str, goal: Goal, unit: &str, figure: Spread) {
        let (held, goal) = match goal {
            Goal::AtLeast(least) => (figure.median >= least, format!("at least {least}{unit}")),
            Goal::Below(most) => (figure.median < most, format!("below {most}{unit}")),
        };
        let verdict = if figure.median.is_nan() {
            "not measured"
        } else if held {
            "held"
        } else {
            "MISSED"
        };
        self.lines.push(Line { what: what.into(), goal, figure: format!("{figure}{unit}"), verdict });
    }

    /// Notes what was to be true of everything.
    pub(crate) fn truth(&mut self, what: &str, held: bool, figure: &str) {
        let verdict = if held { "held" } else { "BROKEN" };
        self.lines.push(Line { what: what.into(), goal: "always".into(), figure: figure.into(), verdict });
    }

    /// Notes what should hold in every run.
    pub(crate) fn must(&mut self, what: &str, held: bool, figure: &str) {
        let verdict = if held { "held" } else { "MISSED" };
        self.lines.push(Line { what: what.into(), goal: "always".into(), figure: figure.into(), verdict });
    }

    /// Notes a figure that has no goal.
    pub(crate) fn note(&mut self, what: &str, figure: &str) {
        self.lines.push(Line {
            what: what.into(),
            goal: "none set".into(),
            figure: figure.into(),
            verdict: "–",
        });
    }

    /// Notes what could not be measured, and why.
    pub(crate) fn unmeasured(&mut self, what: &str, why: &str) {
        let (what, figure) = (what.to_owned(), why.to_owned());
        self.lines.push(Line { what, goal: "always".into(), figure, verdict: "not measured" });
    }

    /// The table, as Markdown.
    pub(crate) fn print(&self) {
        println!("\n| what | goal | figure: median (min–max) | verdict |\n|---|---|---|---|");
        for Line { what, goal, figure, verdict } in &self.lines {
            println!("| {what} | {goal} | {figure} | {verdict} |");
        }
    }

    /// Whether a 202 turned out to be untrue.
    pub(crate) fn broken(&self) -> bool {
        self.lines.iter().any(|line| line.verdict == "BROKEN")
    }
}

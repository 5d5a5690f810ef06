//! Plots: stacked bars over time as places of SVG rectangles, and the same numbers for a table.
//!
//! Never: holds markup; a template draws it.

/// Width of the drawing, in its own units.
const WIDTH: f64 = 960.0;
/// Left of it stand the numbers.
const LEFT: f64 = 48.0;
/// Where the bars stand.
const GROUND: f64 = 220.0;
/// How high the highest bar is.
const HIGH: f64 = 190.0;

/// One series of counts, one for each span.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// Its name.
    pub(super) name: String,
    /// Its counts.
    pub(super) counts: Vec<u32>,
    /// Their sum.
    pub(super) sum: u64,
    /// Number of its pattern.
    pub(super) pattern: usize,
}

impl Series {
    pub(super) fn of(name: String, counts: Vec<u32>) -> Self {
        let sum = counts.iter().map(|count| u64::from(*count)).sum();
        Self { name, counts, sum, pattern: 0 }
    }
}

/// One rectangle.
#[derive(Debug)]
pub(super) struct Rect {
    pub(super) x: String,
    pub(super) y: String,
    pub(super) width: String,
    pub(super) height: String,
    pub(super) pattern: usize,
    /// What it says to whoever hovers.
    pub(super) title: String,
}

/// One text at a place.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) x: String,
    pub(super) y: String,
    pub(super) text: String,
}

/// One row of the table: a span with a count of each series.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) label: String,
    pub(super) counts: Vec<(String, u32)>,
}

/// A drawn plot.
#[derive(Debug)]
pub(super) struct Plot {
    pub(super) series: Vec<Series>,
    pub(super) rects: Vec<Rect>,
    /// Sums above the bars.
    pub(super) sums: Vec<Mark>,
    /// Labels below them.
    pub(super) labels: Vec<Mark>,
    /// Lines of the scale: the height, and the number left of it.
    pub(super) scale: Vec<Mark>,
    /// Spans in which something happened, newest first.
    pub(super) rows: Vec<Row>,
    pub(super) sum: u64,
}

fn place(value: f64) -> String {
    format!("{value:.1}")
}

/// The next round number that is not smaller.
fn round_up(most: u32) -> u32 {
    let mut step = 1_u32;
    loop {
        for factor in [1, 2, 5] {
            let round = step.saturating_mul(factor);
            if round >= most || round == u32::MAX {
                return round.max(1);
            }
        }
        step = step.saturating_mul(10);
    }
}

impl Plot {
    /// Draws series over spans with their short and long labels; a series without any count is left out.
    pub(super) fn of(labels: &[(String, String)], series: Vec<Series>) -> Self {
        let mut series = series;
        for (pattern, one) in series.iter_mut().enumerate() {
            one.pattern = pattern;
        }
        series.retain(|one| one.sum > 0);
        let sum_at = |n: usize| {
            series
                .iter()
                .filter_map(|one| one.counts.get(n))
                .fold(0_u32, |sum, count| sum.saturating_add(*count))
        };
        let sums: Vec<u32> = (0..labels.len()).map(sum_at).collect();
        let top = round_up(sums.iter().copied().max().unwrap_or(0));
        let spans = f64::from(u32::try_from(labels.len()).unwrap_or(u32::MAX)).max(1.0);
        let pitch = (WIDTH - LEFT) / spans;
        let height = |count: u32| f64::from(count) / f64::from(top) * HIGH;
        let mut plot = Self {
            rects: Vec::new(),
            sums: Vec::new(),
            labels: Vec::new(),
            scale: Vec::new(),
            rows: Vec::new(),
            sum: series.iter().map(|one| one.sum).sum(),
            series: Vec::new(),
        };
        let mut left = LEFT;
        for (n, ((short, long), sum)) in labels.iter().zip(&sums).enumerate() {
            let mut ground = GROUND;
            let mut counts = Vec::new();
            for one in &series {
                let count = one.counts.get(n).copied().unwrap_or(0);
                counts.push((one.name.clone(), count));
                if count == 0 {
                    continue;
                }
                let tall = height(count);
                ground -= tall;
                plot.rects.push(Rect {
                    x: place(left + pitch * 0.1),
                    y: place(ground),
                    width: place(pitch * 0.8),
                    height: place(tall),
                    pattern: one.pattern,
                    title: format!("{long} · {}: {count}", one.name),
                });
            }
            let middle = place(left + pitch / 2.0);
            if *sum > 0 {
                plot.sums.push(Mark { x: middle.clone(), y: place(ground - 4.0), text: sum.to_string() });
                plot.rows.push(Row { label: long.clone(), counts });
            }
            if !short.is_empty() {
                plot.labels.push(Mark { x: middle, y: place(GROUND + 18.0), text: short.clone() });
            }
            left += pitch;
        }
        for (share, count) in [(1.0, top), (0.5, top / 2)] {
            // Half of an odd number is no count.
            if share > 0.9 || top.is_multiple_of(2) {
                let y = place(GROUND - HIGH * share);
                plot.scale.push(Mark { x: place(LEFT - 6.0), y, text: count.to_string() });
            }
        }
        plot.rows.reverse();
        plot.series = series;
        plot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_one_another_and_on_the_ground() {
        let labels = vec![("00:00".to_owned(), "a".to_owned()), (String::new(), "b".to_owned())];
        let series = [vec![3, 0], vec![0, 0], vec![1, 2]];
        let names = ["sent", "none", "<b>"];
        let series = series.into_iter().zip(names).map(|(counts, name)| Series::of(name.into(), counts));
        let plot = Plot::of(&labels, series.collect());
        assert_eq!(plot.sum, 6);
        assert_eq!(plot.series.len(), 2, "a series of nothing is left out");
        let places: Vec<(&str, &str, usize)> =
            plot.rects.iter().map(|one| (one.y.as_str(), one.height.as_str(), one.pattern)).collect();
        // The scale ends at 5: three of five are 114 of 190.
        assert_eq!(places, [("106.0", "114.0", 0), ("68.0", "38.0", 2), ("144.0", "76.0", 2)]);
        assert_eq!(plot.sums.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(), ["4", "2"]);
        assert_eq!(plot.rows.iter().map(|row| row.label.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(plot.labels.len(), 1);
    }

    #[test]
    fn the_scale_ends_at_a_round_number() {
        for (most, top) in [(0, 1), (1, 1), (3, 5), (6, 10), (11, 20), (4_000_000_000, u32::MAX)] {
            assert_eq!(round_up(most), top);
        }
        assert_eq!(Plot::of(&[], Vec::new()).sum, 0);
    }
}

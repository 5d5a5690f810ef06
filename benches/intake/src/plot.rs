//! Plot: figures as pictures, in SVG.
//!
//! Never: cuts an axis of amounts off: it begins at zero, so that twice as much looks like twice as much.

use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::board::{short, whole};

type Area<'p> = DrawingArea<SVGBackend<'p>, Shift>;

/// Told apart by people who see colours differently, too.
const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 90, 181),
    RGBColor(220, 90, 20),
    RGBColor(0, 140, 100),
    RGBColor(150, 60, 150),
    RGBColor(90, 90, 90),
];
const FONT: &str = "sans-serif";

/// Some points under one name.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Line {
    pub(crate) fn new(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), points }
    }
}

/// One picture with axes of its own: what grows to the right in decades, and an amount.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) across: String,
    pub(crate) up: String,
    /// The amount goes in decades as well: then a line of nothing has no place.
    pub(crate) decades: bool,
    pub(crate) lines: Vec<Line>,
}

/// Panels side by side.
pub(crate) fn curves(path: &Path, panels: &[Panel]) {
    let root = SVGBackend::new(path, (520 * panels.len() as u32, 380)).into_drawing_area();
    root.fill(&WHITE).unwrap();
    for (panel, area) in panels.iter().zip(root.split_evenly((1, panels.len()))) {
        draw(panel, &area);
    }
    root.present().unwrap();
    println!("  plot: {}", path.display());
}

fn draw(panel: &Panel, area: &Area<'_>) {
    let points = || panel.lines.iter().flat_map(|line| &line.points);
    let least = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let most = points().map(|point| point.0).fold(0.0, f64::max);
    // Decades upwards are a straight axis of powers.
    let place = |amount: f64| if panel.decades { amount.max(1e-3).log10() } else { amount };
    let heights = if panel.decades {
        let lowest = points().map(|point| place(point.1)).fold(f64::INFINITY, f64::min);
        lowest.floor()..points().map(|point| place(point.1)).fold(f64::NEG_INFINITY, f64::max).ceil() + 0.3
    } else {
        up_to(points().map(|point| point.1))
    };
    let labels = if panel.decades { (heights.end - heights.start) as usize + 1 } else { 8 };
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, (FONT, 20))
        .margin(12)
        .margin_right(28)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d((least * 0.7..most * 1.5).log_scale(), heights)
        .unwrap();
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc(&panel.across)
        .y_desc(&panel.up)
        .y_labels(labels)
        .axis_desc_style((FONT, 16))
        .label_style((FONT, 14))
        .x_label_formatter(&|x| amount(*x))
        .y_label_formatter(&|y| amount(if panel.decades { 10_f64.powf(*y) } else { *y }))
        .draw()
        .unwrap();
    for (n, line) in panel.lines.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let style = colour.stroke_width(2);
        let series = chart
            .draw_series(LineSeries::new(line.points.iter().map(|point| (point.0, place(point.1))), style))
            .unwrap();
        series
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
        let above = Pos::new(HPos::Center, VPos::Bottom);
        let text = TextStyle::from((FONT, 13)).color(&colour).pos(above);
        let dots = line.points.iter().map(|point| {
            EmptyElement::at((point.0, place(point.1)))
                + Circle::new((0, 0), 3, colour.filled())
                + Text::new(short(point.1), (0, -6), text.clone())
        });
        chart.draw_series(dots).unwrap();
    }
    if panel.lines.len() > 1 {
        legend(&mut chart);
    }
}

/// Bars in groups: each group has a name, and each line one bar in every group.
pub(crate) fn bars(path: &Path, title: &str, up: &str, groups: &[String], lines: &[(String, Vec<f64>)]) {
    let root = SVGBackend::new(path, (900, 420)).into_drawing_area();
    root.fill(&WHITE).unwrap();
    let all = lines.iter().flat_map(|(_, values)| values.iter().copied());
    let mut chart = ChartBuilder::on(&root)
        .caption(title, (FONT, 20))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..groups.len() as f64, up_to(all))
        .unwrap();
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .x_labels(groups.len() * 2 + 1)
        .x_label_formatter(&|x| middle(groups, *x))
        .y_label_formatter(&|y| amount(*y))
        .y_desc(up)
        .axis_desc_style((FONT, 16))
        .label_style((FONT, 14))
        .draw()
        .unwrap();
    let width = 0.8 / lines.len() as f64;
    for (n, (name, values)) in lines.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let place = |group: usize| group as f64 + 0.1 + width * n as f64;
        let bars = values.iter().enumerate().map(|(group, value)| {
            Rectangle::new(
                [(place(group) + width * 0.05, 0.0), (place(group) + width * 0.95, *value)],
                colour.filled(),
            )
        });
        chart
            .draw_series(bars)
            .unwrap()
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled()));
        let text = TextStyle::from((FONT, 13)).pos(Pos::new(HPos::Center, VPos::Bottom));
        let labels = values.iter().enumerate().map(|(group, value)| {
            EmptyElement::at((place(group) + width / 2.0, *value))
                + Text::new(short(*value), (0, -3), text.clone())
        });
        chart.draw_series(labels).unwrap();
    }
    legend(&mut chart);
    root.present().unwrap();
    println!("  plot: {}", path.display());
}

fn legend<'a, 'p: 'a, C: CoordTranslate>(chart: &mut ChartContext<'a, SVGBackend<'p>, C>) {
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(RGBColor(200, 200, 200))
        .label_font((FONT, 14))
        .draw()
        .unwrap();
}

/// From zero to well above the highest, so that names and figures have room.
fn up_to(values: impl Iterator<Item = f64>) -> Range<f64> {
    let most = values.filter(|value| !value.is_nan()).fold(0.0, f64::max);
    0.0..if most > 0.0 { most * 1.4 } else { 1.0 }
}

/// The name of a group in its middle, and nothing elsewhere.
fn middle(groups: &[String], x: f64) -> String {
    let inside = (x - x.floor() - 0.5).abs() < 0.01;
    groups.get(x as usize).filter(|_| inside).cloned().unwrap_or_default()
}

fn amount(value: f64) -> String {
    if (value - value.round()).abs() < 1e-9 { whole(value) } else { short(value) }
}

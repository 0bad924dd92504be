//! Lines over a logarithmic axis, as figures and as a picture.

use std::path::Path;

use plotters::prelude::*;

/// Nanoseconds of several operations, over how many there were of something.
pub(crate) struct Chart {
    /// The name of its files.
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    /// What there were so many of.
    pub(crate) of: &'static str,
    pub(crate) lines: Vec<Line>,
}

pub(crate) struct Line {
    name: &'static str,
    points: Vec<(usize, f64)>,
}

impl Chart {
    /// A chart of these operations, each measured at each size by `measure`.
    pub(crate) fn new<const N: usize>(
        (file, title, of): (&'static str, &'static str, &'static str),
        operations: [&'static str; N],
        sizes: &[usize],
        mut measure: impl FnMut(usize) -> [f64; N],
    ) -> Self {
        let mut lines = operations.map(|name| Line { name, points: Vec::new() });
        for size in sizes {
            for (line, value) in lines.iter_mut().zip(measure(*size)) {
                line.points.push((*size, value));
            }
        }
        Self { file, title, of, lines: lines.into() }
    }

    pub(crate) fn csv(&self) -> String {
        let names: Vec<_> = self.lines.iter().map(|line| line.name).collect();
        let mut text = format!("{},{}\n", self.of, names.join(","));
        for (at, (size, _)) in self.lines[0].points.iter().enumerate() {
            let values: Vec<_> = self.lines.iter().map(|line| format!("{:.2}", line.points[at].1)).collect();
            text += &format!("{size},{}\n", values.join(","));
        }
        text
    }

    pub(crate) fn draw(&self, file: &Path) {
        self.try_draw(file).expect("the picture can be written");
    }

    fn try_draw(&self, file: &Path) -> Result<(), Box<dyn std::error::Error + '_>> {
        let root = SVGBackend::new(file, (800, 450)).into_drawing_area();
        root.fill(&WHITE)?;
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let most = points().map(|(size, _)| *size).max().unwrap_or(1).max(2) as f64;
        let (low, high) =
            points().fold((f64::MAX, 1.0_f64), |(low, high), (_, ns)| (low.min(*ns), high.max(*ns)));
        let mut chart = ChartBuilder::on(&root)
            .caption(self.title, ("sans-serif", 20))
            .margin(24)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d((1.0..most).log_scale(), (low.max(0.1) / 2.0..high * 60.0).log_scale())?;
        chart
            .configure_mesh()
            .x_desc(self.of)
            .y_desc("nanoseconds")
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&|size| format!("{size:.0}"))
            .y_label_formatter(&|ns| format!("{ns:.0}"))
            .draw()?;
        for (number, line) in self.lines.iter().enumerate() {
            let colour = Palette99::pick(number).stroke_width(2);
            let points = line.points.iter().map(|(size, ns)| (*size as f64, ns.max(0.1)));
            chart
                .draw_series(LineSeries::new(points, colour).point_size(3))?
                .label(line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
        }
        // Above all lines: that is what the room there is for.
        let place = SeriesLabelPosition::UpperRight;
        chart.configure_series_labels().position(place).border_style(BLACK).background_style(WHITE).draw()?;
        root.present()?;
        Ok(())
    }
}

//! One line of the result.

use std::{fmt, iter};

use serde::{Deserialize, Serialize};

use crate::{page, timing::Figures};

/// Ours beside theirs, and how much ours may be.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    name: String,
    unit: Unit,
    ours: Figures,
    theirs: Option<Figures>,
    ratio: Option<f64>,
    /// None: for information.
    budget: Option<f64>,
    over: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unit {
    Ns,
    Bytes,
}

impl Row {
    /// Nanoseconds of both, and at most so many times theirs.
    pub(crate) fn new(name: impl Into<String>, ours: &Figures, theirs: &Figures, budget: f64) -> Self {
        Self::with(name.into(), Unit::Ns, ours.clone(), Some(theirs.clone()), Some(budget))
    }

    /// Nanoseconds of both, to look at.
    pub(crate) fn shown(name: impl Into<String>, ours: &Figures, theirs: &Figures) -> Self {
        Self::with(name.into(), Unit::Ns, ours.clone(), Some(theirs.clone()), None)
    }

    /// Bytes, and how many are allowed, if that is limited.
    pub(crate) fn bytes(name: impl Into<String>, ours: f64, allowed: Option<f64>) -> Self {
        let (theirs, budget) = (allowed.map(Figures::exactly), allowed.map(|_| 1.0));
        Self::with(name.into(), Unit::Bytes, Figures::exactly(ours), theirs, budget)
    }

    fn with(name: String, unit: Unit, ours: Figures, theirs: Option<Figures>, budget: Option<f64>) -> Self {
        let ratio = theirs.as_ref().map(|theirs| ours.ratio_to(theirs));
        Self { name, unit, ours, theirs, ratio, budget, over: is_over(ratio, budget) }
    }

    /// Of the same rows, measured several times, the medians.
    pub(crate) fn medians(times: Vec<Vec<Self>>) -> Vec<Self> {
        let mut times: Vec<_> = times.into_iter().map(Vec::into_iter).collect();
        iter::from_fn(|| times.iter_mut().map(Iterator::next).collect()).map(Self::median).collect()
    }

    fn median(rows: Vec<Self>) -> Self {
        let of = |figure: fn(&Self) -> Option<f64>| {
            let figures: Option<Vec<_>> = rows.iter().map(figure).collect();
            figures.map(Figures::of)
        };
        let ours = of(|row| Some(row.ours.median)).expect("each has that");
        let theirs = of(|row| row.theirs.as_ref().map(|theirs| theirs.median));
        let ratio = of(|row| row.ratio).map(|ratios| ratios.median);
        let Self { name, unit, budget, .. } = rows[0].clone();
        Self { name, unit, ours, theirs, ratio, budget, over: is_over(ratio, budget) }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    pub(crate) fn heading() -> String {
        format!(
            "{:<62} | {:>22} | {:>22} | {:>5} | {:>6} |",
            "name", "ours ns", "theirs ns", "ratio", "budget"
        )
    }

    /// The rows as a table of the documentation's.
    pub(crate) fn table(rows: &[Self]) -> String {
        let head = ["what", "ours, ns", "theirs, ns", "ratio", "budget", ""].map(str::to_owned);
        page::table(&head, rows.iter().map(|row| row.cells().to_vec()))
    }

    fn cells(&self) -> [String; 6] {
        let theirs = self.theirs.as_ref().map_or_else(String::new, brief);
        let (ratio, budget) = (factor(self.ratio), factor(self.budget));
        [self.title(), brief(&self.ours), theirs, ratio, budget, self.verdict().to_owned()]
    }

    fn title(&self) -> String {
        match self.unit {
            Unit::Ns => self.name.clone(),
            Unit::Bytes => format!("{} (bytes)", self.name),
        }
    }

    fn verdict(&self) -> &'static str {
        match (self.budget, self.over) {
            (None, _) => "",
            (Some(_), false) => "ok",
            (Some(_), true) => "OVER",
        }
    }
}

/// A ratio that is not a number is over as well.
fn is_over(ratio: Option<f64>, budget: Option<f64>) -> bool {
    !budget.zip(ratio).is_none_or(|(budget, ratio)| ratio <= budget)
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (title, verdict) = (self.title(), self.verdict());
        let (ours, theirs) = (spread(&self.ours), self.theirs.as_ref().map_or_else(String::new, spread));
        let (ratio, budget) = (factor(self.ratio), factor(self.budget));
        write!(f, "{title:<62} | {ours:>22} | {theirs:>22} | {ratio:>5} | {budget:>6} | {verdict}")
    }
}

/// The median and the quartiles around it.
fn spread(figures: &Figures) -> String {
    let Figures { low, high, .. } = figures;
    if low == high { brief(figures) } else { format!("{} ({low:.1}-{high:.1})", brief(figures)) }
}

fn brief(figures: &Figures) -> String {
    if figures.median < 100.0 { format!("{:.2}", figures.median) } else { format!("{:.0}", figures.median) }
}

fn factor(factor: Option<f64>) -> String {
    factor.map_or_else(String::new, |factor| format!("{factor:.2}"))
}

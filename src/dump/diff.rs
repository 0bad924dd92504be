//! What has changed from one dump to another.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::{
    loaded::{LoadedContext, LoadedDump, LoadedValue},
    read,
};

/// The version that the JSON states.
const SCHEMA: &str = "threadctx.diff/1";

/// What has changed from one dump to another: who came and went, whose values changed, and who is stuck.
///
/// A context is *stuck* if in between nothing was written to it, as far as values go that a dump shows, and its thread
/// used no processor time, as far as the system tells. A thread that waits for work looks the same: the values say which
/// of the two it is.
///
/// ```
/// use threadctx::{Key, dump};
///
/// static STEP: Key<u32> = Key::new("job", "step").debug();
///
/// STEP.set(1);
/// let before = dump();
/// STEP.set(2);
/// let diff = dump().since(&before);
/// assert_eq!(diff.changed().count(), 1);
/// assert!(diff.to_string().contains("job.step = 1 -> 2"));
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct DumpDiff {
    schema: &'static str,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) process: String,
    pub(super) elapsed_us: u64,
    /// Idents say nothing across processes.
    pub(super) same_process: bool,
    /// Whether both dumps are complete. What one lacks may otherwise have been left out there.
    pub(super) complete: bool,
    pub(super) added: Vec<LoadedContext>,
    pub(super) gone: Vec<LoadedContext>,
    pub(super) changed: Vec<ChangedContext>,
    pub(super) stuck: Vec<StuckContext>,
    /// Contexts of which there is nothing to say.
    pub(super) others: usize,
}

/// One that is in both dumps, with other values.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ChangedContext {
    pub(super) ident: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_used_us: Option<u64>,
    pub(super) values: Vec<ChangedValue>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct ChangedValue {
    pub(super) change: Change,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<LoadedValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<LoadedValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Change {
    Added,
    Gone,
    Changed,
    /// It was written, and shows the same as before.
    Rewritten,
}

/// One that is in both dumps, the same, without having run in between.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StuckContext {
    /// Nothing where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_used_us: Option<u64>,
    #[serde(flatten)]
    pub(super) context: LoadedContext,
}

/// A text that was to be a dump is none.
///
/// ```
/// let error = threadctx::DumpDiff::from_json("", "").unwrap_err();
/// assert!(error.to_string().starts_with("the earlier dump cannot be read"));
/// ```
#[derive(Debug, thiserror::Error)]
#[error(
    "the {which} dump cannot be read: {why}; it has to be one that `to_json`, `write_json` or `write_ndjson` wrote, whole"
)]
pub struct DumpReadError {
    which: &'static str,
    why: read::Reason,
}

/// A write is seen by the coarse clock, which may be behind by so much.
const COARSE_US: u64 = 20_000;
/// A thread that used less than one part in so many of the time did not run to speak of.
const IDLE: u64 = 1_000;

impl DumpDiff {
    /// The difference of two dumps that were kept as JSON or as NDJSON. Fields that are missing or not known do not matter. Two
    /// dumps of one process are compared in the order in which they were taken, whichever is given first.
    ///
    /// # Errors
    ///
    /// One of the texts is no dump, not a whole one, or one of another schema.
    ///
    /// ```
    /// use threadctx::{DumpDiff, dump};
    ///
    /// let before = dump().to_json();
    /// let diff = DumpDiff::from_json(&before, &dump().to_json()).unwrap();
    /// assert_eq!(diff.added().count(), 0);
    /// assert!(DumpDiff::from_json(&before, "no dump").is_err());
    /// ```
    pub fn from_json(earlier: &str, later: &str) -> Result<Self, DumpReadError> {
        let load = |which, text| read::dump(text).map_err(|why| DumpReadError { which, why });
        Ok(Self::between(load("earlier", earlier)?, load("later", later)?))
    }

    pub(super) fn between(earlier: LoadedDump, later: LoadedDump) -> Self {
        let same_process = earlier.process.is(&later.process);
        let [one, other] = moments(&earlier, &later);
        let is_turned = same_process && one > other;
        let (earlier, later) = if is_turned { (later, earlier) } else { (earlier, later) };
        let mut diff = Self {
            schema: SCHEMA,
            elapsed_us: if is_turned { one - other } else { other.saturating_sub(one) },
            same_process,
            complete: earlier.complete && later.complete,
            process: format!("{}  pid {}", later.process.name, later.process.pid),
            from: earlier.captured_at,
            to: later.captured_at,
            added: Vec::new(),
            gone: Vec::new(),
            changed: Vec::new(),
            stuck: Vec::new(),
            others: 0,
        };
        let earlier = earlier.contexts.unwrap_or_default();
        let order: Vec<_> = earlier.iter().map(|context| context.ident.clone()).collect();
        let mut before: BTreeMap<_, _> =
            earlier.into_iter().map(|context| (context.ident.clone(), context)).collect();
        for context in later.contexts.unwrap_or_default() {
            let former = if diff.same_process { before.remove(&context.ident) } else { None };
            match former {
                Some(former) => diff.compare(&former, context),
                None => diff.added.push(context),
            }
        }
        diff.gone.extend(order.iter().filter_map(|ident| before.remove(ident)));
        diff
    }

    fn compare(&mut self, before: &LoadedContext, after: LoadedContext) {
        let values = changes(before, &after, self.elapsed_us);
        let cpu_used_us = after.cpu_us.zip(before.cpu_us).map(|(after, before)| after.saturating_sub(before));
        let is_idle = cpu_used_us.is_none_or(|used| used <= self.elapsed_us / IDLE);
        let has_ages = after.values.iter().any(|value| value.age_us.is_some());
        if !values.is_empty() {
            let LoadedContext { ident, name, .. } = after;
            self.changed.push(ChangedContext { ident, name, cpu_used_us, values });
        } else if is_idle && has_ages {
            self.stuck.push(StuckContext { cpu_used_us, context: after });
        } else {
            self.others += 1;
        }
    }

    /// The idents of the contexts that only the later dump has.
    ///
    /// ```
    /// let diff = threadctx::dump().since(&threadctx::dump());
    /// assert_eq!(diff.added().count(), 0);
    /// ```
    pub fn added(&self) -> impl Iterator<Item = &str> {
        self.added.iter().map(|context| context.ident.as_str())
    }

    /// The idents of the contexts that only the earlier dump has.
    ///
    /// ```
    /// let diff = threadctx::dump().since(&threadctx::dump());
    /// assert_eq!(diff.gone().count(), 0);
    /// ```
    pub fn gone(&self) -> impl Iterator<Item = &str> {
        self.gone.iter().map(|context| context.ident.as_str())
    }

    /// The idents of the contexts that both have, with values that came, went, changed, or were written again.
    ///
    /// ```
    /// let diff = threadctx::dump().since(&threadctx::dump());
    /// assert_eq!(diff.changed().count(), 0);
    /// ```
    pub fn changed(&self) -> impl Iterator<Item = &str> {
        self.changed.iter().map(|context| context.ident.as_str())
    }

    /// The idents of the contexts that both have, where nothing was written and no processor time was used in between.
    ///
    /// ```
    /// for ident in threadctx::dump().since(&threadctx::dump()).stuck() {
    ///     eprintln!("{ident} does nothing");
    /// }
    /// ```
    pub fn stuck(&self) -> impl Iterator<Item = &str> {
        self.stuck.iter().map(|stuck| stuck.context.ident.as_str())
    }

    /// The difference as JSON, in the schema that it names itself.
    ///
    /// ```
    /// let json = threadctx::dump().since(&threadctx::dump()).to_json();
    /// assert!(json.contains(r#""schema":"threadctx.diff/1""#));
    /// ```
    pub fn to_json(&self) -> String {
        serde_json::to_string(self)
            .expect("a difference is texts and numbers, none of which can fail to serialize")
    }
}

/// When each dump was taken, by one clock: the one that ages go by, if both dumps noted it, else the process's age, which also goes
/// on while the machine sleeps.
fn moments(one: &LoadedDump, other: &LoadedDump) -> [u64; 2] {
    match (one.captured_us, other.captured_us) {
        (Some(one), Some(other)) => [one, other],
        _ => [one.process.uptime_us, other.process.uptime_us],
    }
}

/// What became of the values, by namespace and name.
fn changes(before: &LoadedContext, after: &LoadedContext, elapsed_us: u64) -> Vec<ChangedValue> {
    type Pair<'v> = (Option<&'v LoadedValue>, Option<&'v LoadedValue>);
    let mut pairs: BTreeMap<(&str, &str), Pair<'_>> = BTreeMap::new();
    for value in &before.values {
        pairs.entry((&value.namespace, &value.name)).or_default().0 = Some(value);
    }
    for value in &after.values {
        pairs.entry((&value.namespace, &value.name)).or_default().1 = Some(value);
    }
    let change = |(before, after): Pair<'_>| {
        let change = match (before, after) {
            (None, _) => Change::Added,
            (_, None) => Change::Gone,
            (Some(before), Some(after)) => change(before, after, elapsed_us)?,
        };
        Some(ChangedValue { change, before: before.cloned(), after: after.cloned() })
    };
    pairs.into_values().filter_map(change).collect()
}

fn change(before: &LoadedValue, after: &LoadedValue, elapsed_us: u64) -> Option<Change> {
    let was_written = match (before.age_us, after.age_us) {
        (Some(before), Some(after)) => after.saturating_add(COARSE_US) < before.saturating_add(elapsed_us),
        _ => false,
    };
    if !before.shows_the_same_as(after) {
        Some(Change::Changed)
    } else if before.writes != after.writes || was_written {
        Some(Change::Rewritten)
    } else {
        None
    }
}

impl fmt::Display for DumpDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::diff_text::write(self, f)
    }
}

//! Contexts that are alike, so that one text can stand for all of them.

use std::{
    borrow::Cow,
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::picture::{DumpedContext, DumpedValue};

/// Contexts that are alike, of which the first is the sample.
pub(super) struct Group<'p> {
    pub(super) sample: Cow<'p, DumpedContext>,
    pub(super) count: usize,
    pub(super) names: Ranges,
    pub(super) idents: Ranges,
    /// Youngest and oldest, of the values that have an age.
    pub(super) ages: Vec<Option<(u64, u64)>>,
    pub(super) last_write: Option<(u64, u64)>,
    /// What the system says of all of them, if it says the same.
    pub(super) run_state: Option<&'static str>,
}

/// Names, or idents, of which those that count up share an entry.
#[derive(Default)]
pub(super) struct Ranges {
    pub(super) ranges: Vec<Range>,
    /// How many are in none of them.
    pub(super) unlisted: usize,
}

/// The first and the last of texts between which no number is missing.
pub(super) struct Range {
    pub(super) first: String,
    pub(super) last: String,
}

impl Ranges {
    /// More are counted, not listed.
    const MAX: usize = 4;

    fn add(&mut self, text: String) {
        let is_full = self.ranges.len() == Self::MAX;
        match self.ranges.last_mut() {
            _ if self.unlisted != 0 => self.unlisted += 1,
            Some(range) if range.last == text => {}
            Some(range) if follows(&range.last, &text) => range.last = text,
            _ if is_full => self.unlisted += 1,
            _ => self.ranges.push(Range { first: text.clone(), last: text }),
        }
    }
}

/// Whether both are the same but for the last number in them, and that is one more in `next`.
fn follows(one: &str, next: &str) -> bool {
    let Some((before, number, after)) = around_last_number(one) else { return false };
    let (Some(count), width) =
        (number.parse().ok().and_then(|number: u64| number.checked_add(1)), number.len())
    else {
        return false;
    };
    next == format!("{before}{count:0width$}{after}")
}

fn around_last_number(text: &str) -> Option<(&str, &str, &str)> {
    let is_digit = |c: char| c.is_ascii_digit();
    let end = text.rfind(is_digit)? + 1;
    let start = text[..end]
        .rfind(|c| !is_digit(c))
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    Some((&text[..start], &text[start..end], &text[end..]))
}

impl<'p> Group<'p> {
    /// The group of one.
    pub(super) fn new(sample: Cow<'p, DumpedContext>) -> Self {
        let same = |age: Option<u64>| age.map(|age| (age, age));
        let (mut names, mut idents) = (Ranges::default(), Ranges::default());
        names.add(sample.name.clone().unwrap_or_default());
        idents.add(sample.ident.to_string());
        Self {
            count: 1,
            names,
            idents,
            ages: sample.values.iter().map(|value| same(value.age_us())).collect(),
            last_write: same(sample.last_write_us_ago),
            run_state: sample.run_state,
            sample,
        }
    }

    /// Adds one that is [alike](are_alike).
    pub(super) fn add(&mut self, context: &DumpedContext) {
        self.count += 1;
        for (ages, value) in self.ages.iter_mut().zip(&context.values) {
            widen(ages, value.age_us());
        }
        widen(&mut self.last_write, context.last_write_us_ago);
        self.run_state = self.run_state.filter(|state| context.run_state == Some(state));
        self.names.add(context.name.clone().unwrap_or_default());
        self.idents.add(context.ident.to_string());
    }
}

fn widen(ages: &mut Option<(u64, u64)>, age: Option<u64>) {
    let Some(age) = age else { return };
    let (youngest, oldest) = ages.unwrap_or((age, age));
    *ages = Some((youngest.min(age), oldest.max(age)));
}

/// The contexts in groups, in the order of their first members.
pub(super) fn groups(contexts: &[DumpedContext]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut by_hash: HashMap<u64, Vec<usize>> = HashMap::new();
    for context in contexts {
        let alike = by_hash.entry(hash(context)).or_default();
        match alike.iter().find(|group| are_alike(&groups[**group].sample, context)) {
            Some(group) => groups[*group].add(context),
            None => {
                alike.push(groups.len());
                groups.push(Group::new(Cow::Borrowed(context)));
            }
        }
    }
    groups
}

/// Whether one text can stand for both: they show the same, at whatever age. One that deserves a look of its own is like
/// no other.
pub(super) fn are_alike(one: &DumpedContext, other: &DumpedContext) -> bool {
    let same = |one: &DumpedContext, other: &DumpedContext| {
        (one.kind, one.state, one.stale) == (other.kind, other.state, other.stale)
            && one.values.len() == other.values.len()
            && one.values.iter().zip(&other.values).all(|(one, other)| parts(one) == parts(other))
    };
    is_plain(one) && is_plain(other) && same(one, other)
}

fn is_plain(context: &DumpedContext) -> bool {
    let is_main = !context.is_task() && context.name.as_deref() == Some("main");
    !is_main
        && context.unmoved.is_empty()
        && context.carries.is_none()
        && context.carrier.is_none()
        && context.run_state != Some(super::facts::GONE)
        && context.values.iter().all(|value| value.problem.is_none())
}

/// All that a reader of the text sees of it, but for its age.
fn parts(value: &DumpedValue) -> impl PartialEq + Hash {
    let DumpedValue { type_name, kind, text, truncated, stamp, .. } = value;
    let inherited = stamp.map(|stamp| stamp.inherited);
    (value.namespace(), value.name(), type_name, kind, &**text, truncated, inherited)
}

pub(super) fn hash(context: &DumpedContext) -> u64 {
    let mut hasher = DefaultHasher::new();
    (context.kind, context.state, context.stale).hash(&mut hasher);
    context.values.iter().for_each(|value| parts(value).hash(&mut hasher));
    hasher.finish()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn listed(texts: &[&str]) -> String {
        let mut ranges = Ranges::default();
        texts.iter().for_each(|text| ranges.add((*text).to_owned()));
        let entries = ranges.ranges.iter().map(|Range { first, last }| format!("{first}..{last}"));
        format!("{} +{}", entries.collect::<Vec<_>>().join(" "), ranges.unlisted)
    }

    #[test]
    fn a_range_has_every_number_between_its_ends_and_no_other_text() {
        for (texts, expected) in [
            (&["a-0", "a-1", "a-2"][..], "a-0..a-2 +0"),
            (&["a-0", "a-2"], "a-0..a-0 a-2..a-2 +0"),
            (&["a-1", "a-0"], "a-1..a-1 a-0..a-0 +0"),
            (&["a-1", "b-2"], "a-1..a-1 b-2..b-2 +0"),
            (&["a-9", "a-10"], "a-9..a-10 +0"),
            (&["a-09", "a-10", "a-11"], "a-09..a-11 +0"),
            (&["a-09", "a-010"], "a-09..a-09 a-010..a-010 +0"),
            (&["7é", "8é"], "7é..8é +0"),
            (&["é7", "é8"], "é7..é8 +0"),
            (
                &["ThreadId(7)", "ThreadId(8)", "ThreadId(10)"],
                "ThreadId(7)..ThreadId(8) ThreadId(10)..ThreadId(10) +0",
            ),
            (&["same", "same", "same"], "same..same +0"),
            (&["", "", "a"], ".. a..a +0"),
            (&["1", "3", "5", "7", "9", "10", "11"], "1..1 3..3 5..5 7..7 +3"),
            (&["18446744073709551615", "0"], "18446744073709551615..18446744073709551615 0..0 +0"),
        ] {
            assert_eq!(listed(texts), expected, "{texts:?}");
        }
    }
}

//! Contexts that are alike, so that one text can stand for all of them.

use std::{
    borrow::Cow,
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::picture::{DumpedContext, DumpedValue};
use crate::Ident;

/// Contexts that are alike, of which the first is the sample.
pub(super) struct Group<'p> {
    pub(super) sample: Cow<'p, DumpedContext>,
    pub(super) count: usize,
    /// Members that follow each other in the dump, as ranges.
    pub(super) ranges: Vec<Range>,
    /// Youngest and oldest, of the values that have an age.
    pub(super) ages: Vec<Option<(u64, u64)>>,
    pub(super) last_write: Option<(u64, u64)>,
    /// What the system says of all of them, if it says the same.
    pub(super) run_state: Option<&'static str>,
    /// Members that are in none of the ranges.
    pub(super) unlisted: usize,
    last: usize,
}

/// The first and the last of some members.
pub(super) struct Range {
    pub(super) first: Who,
    pub(super) last: Who,
}

/// Name and ident.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) name: String,
    pub(super) ident: Ident,
}

/// More ranges are counted, not listed.
pub(super) const MOST_RANGES: usize = 4;

impl Who {
    fn of(context: &DumpedContext) -> Self {
        Self { name: context.name.clone().unwrap_or_default(), ident: context.ident }
    }
}

impl<'p> Group<'p> {
    /// The group of one, which stands at this place in the dump.
    pub(super) fn new(place: usize, sample: Cow<'p, DumpedContext>) -> Self {
        let same = |age: Option<u64>| age.map(|age| (age, age));
        let who = Who::of(&sample);
        Self {
            count: 1,
            ranges: vec![Range { first: who.clone(), last: who }],
            ages: sample.values.iter().map(|value| same(value.age_us())).collect(),
            last_write: same(sample.last_write_us_ago),
            run_state: sample.run_state,
            unlisted: 0,
            last: place,
            sample,
        }
    }

    /// Adds one that is [alike](are_alike).
    pub(super) fn add(&mut self, place: usize, context: &DumpedContext) {
        self.count += 1;
        for (ages, value) in self.ages.iter_mut().zip(&context.values) {
            widen(ages, value.age_us());
        }
        widen(&mut self.last_write, context.last_write_us_ago);
        self.run_state = self.run_state.filter(|state| context.run_state == Some(state));
        let who = Who::of(context);
        let follows = self.last + 1 == place;
        self.last = place;
        let has_room = self.ranges.len() < MOST_RANGES;
        match self.ranges.last_mut() {
            Some(range) if follows && self.unlisted == 0 && are_numbered(&range.last, &who) => {
                range.last = who
            }
            _ if has_room => self.ranges.push(Range { first: who.clone(), last: who }),
            _ => self.unlisted += 1,
        }
    }
}

/// Whether the names are the same, or differ in the number at their end: `pool-0..pool-5` says who is in it.
fn are_numbered(one: &Who, other: &Who) -> bool {
    let stem = |who: &Who| who.name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (stem, other_stem) = (stem(one), stem(other));
    let has_number = |who: &Who, stem: usize| stem < who.name.len();
    one.name[..stem] == other.name[..other_stem] && has_number(one, stem) == has_number(other, other_stem)
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
    for (place, context) in contexts.iter().enumerate() {
        let alike = by_hash.entry(hash(context)).or_default();
        match alike.iter().find(|group| are_alike(&groups[**group].sample, context)) {
            Some(group) => groups[*group].add(place, context),
            None => {
                alike.push(groups.len());
                groups.push(Group::new(place, Cow::Borrowed(context)));
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

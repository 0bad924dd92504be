//! Takes the picture: contexts are collected as counts, then rendered one at a time with nothing locked.

use std::{
    mem,
    time::{Duration, Instant},
};

use super::{
    escape::{cost, cut_name},
    facts::{self, Facts},
    filter::LOOKS,
    findings,
    hanging::ValueId,
    options::DumpOptions,
    order::Order,
    picture::{DumpCounts, DumpedContext, DumpedValue, End, Head, Limit, SCHEMA, Stamp, Title},
    process,
    render::{Held, Renderer, Subject},
    shown::Shown,
};
use crate::{
    ContextRef, Ident, State, clock,
    identity::{self, Identity},
    names::{About, Named},
    registry,
    slot::{Busy, KeySlot, Slot, ValueType},
};

/// What the frame of it all, of a context and of a value take at the most, beside the texts in them: what bounds the bytes.
const FRAME: usize = 860;
const CONTEXT_FRAME: usize = 450;
const VALUE_FRAME: usize = 200;

/// A value found in a context, not yet rendered.
struct Found {
    title: Title,
    value_type: &'static ValueType,
    shown: Shown,
    subject: Subject,
    written: u64,
    writes: u64,
    inherited: bool,
}

/// A picture in the making.
pub(super) struct Capture<'o> {
    options: &'o DumpOptions,
    /// By a precise clock: a step of the coarse one may be longer than a budget. `None` if it is too far off to be told.
    deadline: Option<Instant>,
    bytes_left: usize,
    counts: DumpCounts,
    limits_met: Vec<Limit>,
    renderer: Renderer,
    findings: findings::Collector,
    /// By the key's index: what the frame of each of its values takes; 0 where nobody asked yet.
    frames: Vec<usize>,
    /// What is in the present context; kept for its room.
    found: Vec<Found>,
    order: Order,
}

impl<'o> Capture<'o> {
    pub(super) fn new(options: &'o DumpOptions) -> Self {
        let limits = &options.limits;
        Self {
            options,
            deadline: Instant::now().checked_add(Duration::from_micros(limits.budget_us)),
            bytes_left: limits.max_bytes,
            counts: DumpCounts::default(),
            limits_met: Vec::new(),
            renderer: Renderer::new(options.patience, limits.max_value_bytes),
            findings: findings::Collector::default(),
            frames: Vec::new(),
            found: Vec::new(),
            order: Order::default(),
        }
    }

    pub(super) fn head(&mut self) -> Head {
        let process = process::this();
        // What frames it all has to be there, be it too much.
        self.bytes_left = self.bytes_left.saturating_sub(FRAME + cost(&process.name));
        Head {
            schema: SCHEMA,
            captured_at: process::now(),
            captured_us: clock::now() / 1_000,
            process,
            limits: self.options.limits,
        }
    }

    pub(super) fn end(self) -> End {
        let complete = self.counts.are_complete();
        let Self { counts, limits_met, findings, .. } = self;
        End { counts, findings: findings.into_findings(), limits_met, complete }
    }

    /// Whether the context is wanted, as far as that can be said before its values are rendered.
    pub(super) fn is_wanted(&self, context: &ContextRef) -> bool {
        let filter = &self.options.filter;
        let is_stale = |most| {
            let last = context.readable().map_or(0, |context| filter.last_write(&context));
            last != 0 && micros(clock::since(last)) >= most
        };
        filter.wants_named(context.name())
            && filter.wants_values_of(context.readable().as_deref())
            && filter.stale_for.is_none_or(is_stale)
    }

    /// One context that [is wanted](Self::is_wanted), unless it is left out: by a limit, which is counted, or by the filter.
    pub(super) fn context(&mut self, context: &ContextRef) -> Option<DumpedContext> {
        let before = (self.counts, self.bytes_left, self.limits_met.len());
        let Some(carried_name) = self.begin(context) else {
            self.counts.left_out += 1;
            return None;
        };
        let mut picture = self.picture(context, carried_name);
        if !self.options.filter.accepts(&picture) {
            (self.counts, self.bytes_left) = (before.0, before.1);
            self.limits_met.truncate(before.2);
            return None;
        }
        if self.options.filter.is_conditional() {
            picture.values.retain(|value| self.options.filter.wants(value.namespace()));
        }
        ask_the_system(context, &mut picture);
        self.count(&picture);
        Some(picture)
    }

    /// Takes the room for what frames a context, and gives the name of the task that it carries; nothing where a limit is
    /// met.
    fn begin(&mut self, context: &ContextRef) -> Option<Option<String>> {
        if self.counts.contexts == self.options.limits.max_contexts {
            self.meet(Limit::MaxContexts);
            return None;
        }
        // Before anything is looked up: there may be very many that are left out.
        self.time_left()?;
        let carried = carried_name(context);
        let name = context.name().map(cut_name);
        let names = [name.as_deref(), carried.as_deref()].into_iter().flatten();
        self.fits(CONTEXT_FRAME + names.map(cost).sum::<usize>()).then_some(carried)
    }

    fn count(&mut self, picture: &DumpedContext) {
        let counts = &mut self.counts;
        counts.contexts += 1;
        *(if picture.is_task() { &mut counts.tasks } else { &mut counts.threads }) += 1;
        for value in &picture.values {
            counts.values += 1;
            counts.value_bytes += value.size();
            counts.secret += usize::from(value.is_secret());
            counts.truncated += usize::from(value.truncated);
            counts.busy += usize::from(value.problem.is_some_and(|problem| problem.is_busy()));
        }
        let (bytes_left, mut is_full) = (&mut self.bytes_left, false);
        counts.findings_left_out += self.findings.see(picture, |finding| {
            let takes = findings::FRAME + finding.texts().map(cost).sum::<usize>();
            let left = bytes_left.checked_sub(takes);
            *bytes_left = left.unwrap_or(*bytes_left);
            is_full |= left.is_none();
            left.is_some()
        });
        if is_full {
            self.meet(Limit::MaxBytes);
        }
    }

    fn picture(&mut self, context: &ContextRef, carried_name: Option<String>) -> DumpedContext {
        self.find_in(context);
        let now = clock::now();
        let ago = |then: u64| now.saturating_sub(then) / 1_000;
        let filter = &self.options.filter;
        let wanted = self
            .found
            .iter()
            .filter(|found| !filter.is_conditional() || filter.wants(found.title.namespace()));
        let last_write = wanted.map(|found| found.written).max().filter(|written| *written != 0).map(ago);
        let is_stale = |ago: u64| self.options.stale_after.is_some_and(|most| ago >= most);
        DumpedContext {
            ident: context.ident(),
            kind: kind(context.ident()),
            name: context.name().map(|name| cut_name(name).into_owned()),
            os_tid: context.os_tid(),
            // Asked for last, with what the system says.
            state: "",
            run_state: None,
            cpu_us: None,
            parent: context.parent(),
            carrier: context.carrier(),
            carries: context.carries(),
            carried_name,
            registered_us_ago: ago(context.context().registered()),
            last_write_us_ago: last_write,
            stale: last_write.is_some_and(is_stale),
            unmoved: self.options.unmoved_in(context.ident()),
            values: self.values(context.context().serial(), now),
        }
    }

    /// What was found, rendered.
    fn values(&mut self, serial: u64, now: u64) -> Vec<DumpedValue> {
        let (mut found, mut order) = (mem::take(&mut self.found), mem::take(&mut self.order));
        let in_order = order.of(found.iter().map(|found| &found.title)).iter().map(|place| &found[*place]);
        let id = |found: &Found| ValueId { serial, title: found.title.clone() };
        self.renderer.begin(in_order.clone().map(|found| (id(found), found.shown, &found.subject)));
        let mut values = Vec::with_capacity(found.len());
        for (number, found) in in_order.enumerate() {
            if let Some(value) = self.value(number, found, now) {
                values.push(value);
            }
        }
        // What is held of the user's goes here, one context after the other.
        found.clear();
        (self.found, self.order) = (found, order);
        values
    }

    /// One value, rendered as its key says, unless a limit leaves it out, which is counted.
    fn value(&mut self, number: usize, found: &Found, now: u64) -> Option<DumpedValue> {
        let Found { title, value_type, shown, subject, written, writes, inherited } = found;
        let type_name = value_type.name();
        let frame = self.frame(title, type_name);
        let left = self.time_left().filter(|_| self.fits(frame));
        let Some(left) = left else {
            self.counts.values_left_out += 1;
            return None;
        };
        let rendered = self.renderer.render(number, (*shown, subject), left);
        if !self.fits(cost(rendered.text.as_bytes())) {
            self.counts.values_left_out += 1;
            return None;
        }
        let age_us = now.saturating_sub(*written) / 1_000;
        let stamp = Stamp { age_us, writes: *writes, inherited: *inherited };
        Some(DumpedValue {
            title: title.clone(),
            type_name,
            text: rendered.text,
            stamp: (*written != 0).then_some(stamp),
            kind: shown.kind(),
            truncated: rendered.is_cut,
            problem: rendered.problem,
        })
    }

    /// What frames a value takes at the most, in either form.
    fn frame(&mut self, title: &Title, type_name: &str) -> usize {
        let frame = || {
            let [namespace, name] = title.shown();
            let texts = cost(&*namespace) + cost(&*name) + cost(type_name);
            VALUE_FRAME.max(60 + self.options.style().width()) + texts
        };
        let Title::OfKey(key) = title else { return frame() };
        let index = key.index();
        if self.frames.get(index).is_none_or(|frame| *frame == 0) {
            let frame = frame();
            self.frames.resize(self.frames.len().max(index + 1), 0);
            self.frames[index] = frame;
        }
        self.frames[index]
    }

    /// Finds what is in the context that the options want. While the owner gives a name over to its key, the value is found
    /// twice.
    fn find_in(&mut self, context: &ContextRef) {
        let found = &mut self.found;
        found.clear();
        let Some(context) = context.readable() else { return };
        let filter = &self.options.filter;
        // Names first, so that it is found in one place or the other at least.
        for (_, slot) in context.names().into_iter().flat_map(|names| names.filled()) {
            match found_of_name(slot) {
                Ok(name) => found.extend(name.filter(|found| filter.needs(found.title.namespace()))),
                // Not even its name could be read.
                Err(Busy) => self.counts.busy += 1,
            }
        }
        let wanted = context.key_slots().filter(|slot| filter.needs(slot.key().namespace()));
        found.extend(wanted.filter_map(found_of_key));
    }

    pub(super) fn is_in_time(&self) -> bool {
        self.deadline.is_none_or(|deadline| Instant::now() < deadline)
    }

    fn time_left(&mut self) -> Option<Duration> {
        let until = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        let left = self.deadline.map_or(Duration::MAX, until);
        if left.is_zero() {
            self.meet(Limit::BudgetUs);
        }
        (!left.is_zero()).then_some(left)
    }

    /// Whether there are so many bytes left; takes them.
    fn fits(&mut self, bytes: usize) -> bool {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.unwrap_or(self.bytes_left);
        if left.is_none() {
            self.meet(Limit::MaxBytes);
        }
        left.is_some()
    }

    /// Something is left out for this limit.
    fn meet(&mut self, limit: Limit) {
        if !self.limits_met.contains(&limit) {
            self.limits_met.push(limit);
        }
    }
}

/// What the system says of the thread, now that it is to be in the dump.
fn ask_the_system(context: &ContextRef, picture: &mut DumpedContext) {
    let Facts { run_state, cpu_us } = context.os_tid().map(facts::of).unwrap_or_default();
    (picture.run_state, picture.cpu_us) = (run_state, cpu_us);
    // Only now: a thread that is gone may have had its exit meanwhile.
    picture.state = state(context.state());
}

/// The name of the task that is polled in the place of whom the context belongs to.
fn carried_name(context: &ContextRef) -> Option<String> {
    registry::context(context.carries()?)?.name().map(|name| cut_name(name).into_owned())
}

/// What can be said of the key comes first, and then all looks at the slot in a row, the value's last: if its owner is writing
/// it, whoever looks takes the line of memory from the owner, which takes it back before the next look.
fn found_of_key(slot: KeySlot<'_>) -> Option<Found> {
    let key = slot.key();
    let (shown, value_type) = (key.shown(), key.value_type());
    if !slot.raw().is_filled() {
        return None;
    }
    let ((written, writes), inherited) = (slot.raw().history(), slot.raw().is_inherited());
    let subject = match shown.renderer() {
        Some(_) => match slot.see(LOOKS) {
            Ok(value) => Subject::Value(Held::new(value?)),
            Err(Busy) => Subject::Busy,
        },
        None => Subject::Untouched,
    };
    Some(Found { title: Title::OfKey(key), value_type, shown, subject, written, writes, inherited })
}

fn found_of_name(slot: &Slot<Named>) -> Result<Option<Found>, Busy> {
    let look = |named: &Named| {
        let shown = shown_of_name(&named.about);
        (named.about.clone(), shown, shown.renderer().map(|_| named.value.see()))
    };
    let Some((About { title, value_type, .. }, shown, value)) = slot.look(LOOKS, look)? else {
        return Ok(None);
    };
    let ((written, writes), inherited) = (slot.history(), slot.is_inherited());
    let subject = value.map_or(Subject::Untouched, |value| Subject::Value(Held::new(value)));
    Ok(Some(Found { title: Title::OfName(title), value_type, shown, subject, written, writes, inherited }))
}

/// The key that goes by the name decides, though the owner may not have given the value over yet; but a secret is one.
fn shown_of_name(about: &About) -> Shown {
    let key = identity::find(about.title.borrowed());
    let key = key.filter(|key| !about.shown.is_secret() && key.value_type().same(about.value_type));
    key.map_or(about.shown, Identity::shown)
}

fn kind(ident: Ident) -> &'static str {
    match ident {
        Ident::Thread(_) => "thread",
        Ident::Task(_) => "task",
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Exiting => "exiting",
        State::Exited => "exited",
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

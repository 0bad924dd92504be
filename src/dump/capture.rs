//! Takes the picture: contexts are collected as counts, then rendered one at a time with nothing locked.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use serde_json::value::RawValue;

use super::{
    options::DumpOptions,
    picture::{Content, ContextPicture, Counts, Picture, Problem, SCHEMA, ValuePicture},
    process,
    shown::{Bounded, Render, Shown},
};
use crate::{
    ContextRef, Ident, State, clock,
    context::Context,
    identity::{self, Identity},
    names::{About, Named},
    panics,
    slot::{Busy, RawSlot, Shared, Slot, ValueType},
    sync::thread_cells,
};

#[cfg(any(loom, shuttle))]
use crate::sync::LocalCell;

/// How often a dump looks at a slot that is being written before it calls it busy.
const LOOKS: Option<u32> = Some(10_000);

/// What the frame of a context and of a value takes at the most, beside the texts in it: what bounds the bytes.
const CONTEXT_FRAME: usize = 400;
const VALUE_FRAME: usize = 240;

/// A value found in a context, not yet rendered.
struct Found {
    namespace: String,
    name: String,
    value_type: &'static ValueType,
    shown: Shown,
    /// Nothing where the value is not to be touched.
    value: Option<Result<Held, Busy>>,
    written: u64,
    writes: u32,
    inherited: bool,
}

/// A count of a value, which may be the last one by the time it goes: a panic in the value's drop is contained.
struct Held(Option<Shared>);

impl Drop for Held {
    fn drop(&mut self) {
        panics::contain_drop(self.0.take());
    }
}

/// A picture in the making.
pub(super) struct Capture<'o> {
    options: &'o DumpOptions,
    deadline: Option<Instant>,
    bytes_left: usize,
    counts: Counts,
}

impl<'o> Capture<'o> {
    pub(super) fn new(options: &'o DumpOptions) -> Self {
        let limits = &options.limits;
        let deadline = Instant::now().checked_add(Duration::from_micros(limits.budget_us));
        Self { options, deadline, bytes_left: limits.max_bytes, counts: Counts::default() }
    }

    /// The picture of `contexts`, of which the first ones are kept if they are too many.
    pub(super) fn take(mut self, contexts: Vec<ContextRef>) -> Picture {
        let captured_at = process::now();
        let process = process::this();
        // What frames it all has to be there, be it too much.
        self.bytes_left = self.bytes_left.saturating_sub(CONTEXT_FRAME + cost(&process.name));
        let mut pictures = Vec::new();
        for context in contexts {
            pictures.extend(self.context(&context));
        }
        let counts = self.counts;
        let is_lossy = [counts.truncated, counts.busy, counts.left_out, counts.values_left_out] != [0; 4];
        let limits = self.options.limits;
        Picture {
            schema: SCHEMA,
            complete: !is_lossy,
            captured_at,
            process,
            limits,
            counts,
            contexts: pictures,
        }
    }

    /// One context, unless it is left out: by a limit, which is counted, or by the filter.
    fn context(&mut self, context: &ContextRef) -> Option<ContextPicture> {
        if !self.is_wanted(context) {
            return None;
        }
        let frame = CONTEXT_FRAME + context.thread_name().map_or(0, cost);
        if self.counts.contexts == self.options.limits.max_contexts || !self.is_in_time() || !self.fits(frame)
        {
            self.counts.left_out += 1;
            return None;
        }
        let found = self.found_in(context);
        self.counts.contexts += 1;
        let last_write = found.iter().map(|found| found.written).max().filter(|written| *written != 0);
        let values = found.into_iter().filter_map(|found| self.value(found)).collect();
        let inner = context.context();
        Some(ContextPicture {
            ident: context.ident().to_string(),
            kind: kind(context.ident()),
            name: context.thread_name().map(str::to_owned),
            os_tid: context.os_tid(),
            state: state(context.state()),
            parent: context.parent().map(|parent| parent.to_string()),
            carrier: context.carrier().map(|thread| thread.to_string()),
            carries: context.carries().map(|task| task.to_string()),
            registered_us_ago: micros(clock::since(inner.registered())),
            last_write_us_ago: last_write.map(|written| micros(clock::since(written))),
            values,
        })
    }

    /// One value, rendered as its key says, unless a limit leaves it out, which is counted.
    fn value(&mut self, found: Found) -> Option<ValuePicture> {
        let Found { namespace, name, value_type, shown, value, written, writes, inherited } = found;
        let frame = VALUE_FRAME + cost(&namespace) + cost(&name) + cost(value_type.name());
        if !self.is_in_time() || !self.fits(frame) {
            self.counts.values_left_out += 1;
            return None;
        }
        let (content, problem, truncated) = self.content(shown, value);
        if !self.fits(cost(content.text())) {
            self.counts.values_left_out += 1;
            return None;
        }
        self.counts.values += 1;
        self.counts.secret += usize::from(shown.is_secret());
        self.counts.truncated += usize::from(truncated);
        self.counts.busy += usize::from(matches!(problem, Some(Problem::Busy | Problem::Nested)));
        Some(ValuePicture {
            namespace,
            name,
            type_name: value_type.name(),
            value: content,
            age_us: (written != 0).then(|| micros(clock::since(written))),
            writes: (written != 0).then_some(writes),
            inherited: (written != 0).then_some(inherited),
            shown: shown.name(),
            truncated,
            problem,
        })
    }

    /// What stands for the value, what is the matter with it, and whether it was cut.
    fn content(&self, shown: Shown, value: Option<Result<Held, Busy>>) -> (Content, Option<Problem>, bool) {
        match (shown.renderer(), &value) {
            (Some(render), Some(Ok(Held(Some(value))))) => {
                rendered(shown, render, value, self.options.limits.max_value_bytes)
            }
            (_, Some(Err(Busy))) => (Content::Problem("<busy>".to_owned()), Some(Problem::Busy), false),
            _ => (Content::None, None, false),
        }
    }

    /// What is in the context that the options want, by namespace and name.
    fn found_in(&mut self, context: &ContextRef) -> Vec<Found> {
        let Some(context) = context.readable() else { return Vec::new() };
        let wants = |namespace: &str| self.options.wants(namespace);
        let mut busy = 0;
        // Names first: while the owner gives one over to its key, it is found in one place or the other.
        let names = context.names().into_iter().flat_map(|names| names.filled());
        let mut read = |slot| found_of_name(slot).inspect_err(|Busy| busy += 1).ok().flatten();
        let names = names.filter_map(|(_, slot)| read(slot));
        let mut found: Vec<_> = names.filter(|found| wants(&found.namespace)).collect();
        let keys = context.filled_keys().filter(|(key, _)| wants(key.namespace()));
        found
            .extend(keys.filter_map(|(key, slot)| found_of_key(key, slot, || context.keys.read(key, LOOKS))));
        // Not even their names could be read.
        self.counts.busy += busy;
        found.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
        // While the owner gives a name over to its key, the value is in both.
        found.dedup_by(|one, other| (&one.namespace, &one.name) == (&other.namespace, &other.name));
        found
    }

    /// Whether the context has a value that the options want, or may have, or they want everything.
    fn is_wanted(&self, context: &ContextRef) -> bool {
        let wants = |context: &Context| {
            let mut names = context.names().into_iter().flat_map(|names| names.filled());
            let wants_name = |named: &Named| self.options.wants(&named.about.title.namespace);
            context.filled_keys().any(|(key, _)| self.options.wants(key.namespace()))
                || names.any(|(_, slot)| slot.look(LOOKS, wants_name).unwrap_or(Some(true)) == Some(true))
        };
        !self.options.is_filtered() || context.readable().is_some_and(wants)
    }

    fn is_in_time(&self) -> bool {
        self.deadline.is_none_or(|deadline| Instant::now() < deadline)
    }

    /// Whether there are so many bytes left; takes them.
    fn fits(&mut self, bytes: usize) -> bool {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.unwrap_or(self.bytes_left);
        left.is_some()
    }
}

fn found_of_key(
    key: &Identity,
    slot: &RawSlot,
    read: impl FnOnce() -> Result<Option<Shared>, Busy>,
) -> Option<Found> {
    let shown = key.shown();
    let value = match shown.renderer() {
        Some(_) => Some(read().transpose()?.map(|value| Held(Some(value)))),
        None => None,
    };
    let ((written, writes), inherited) = (slot.history(), slot.is_inherited());
    let (namespace, name) = (key.namespace().to_owned(), key.name().to_owned());
    Some(Found { namespace, name, value_type: key.value_type(), shown, value, written, writes, inherited })
}

fn found_of_name(slot: &Slot<Named>) -> Result<Option<Found>, Busy> {
    let look = |named: &Named| {
        let shown = shown_of_name(&named.about);
        (named.about.clone(), shown, shown.renderer().map(|_| named.value.clone()))
    };
    let Some((About { title, value_type, .. }, shown, value)) = slot.look(LOOKS, look)? else {
        return Ok(None);
    };
    let ((written, writes), inherited) = (slot.history(), slot.is_inherited());
    let (namespace, name) = (title.namespace.to_string(), title.name.to_string());
    let value = value.map(|value| Ok(Held(Some(value))));
    Ok(Some(Found { namespace, name, value_type, shown, value, written, writes, inherited }))
}

/// The key that goes by the name decides, though the owner may not have given the value over yet; but a secret is one.
fn shown_of_name(about: &About) -> Shown {
    let key = identity::find(about.title.borrowed());
    let key = key.filter(|key| !about.shown.is_secret() && key.value_type().same(about.value_type));
    key.map_or(about.shown, Identity::shown)
}

thread_cells! {
    /// Whether a renderer is running on this thread: one that dumps must not be rendered in its own dump.
    static RENDERING: Cell<bool> = Cell::new(false);
}

/// Has the user's code render the value, at most `most` bytes of it.
fn rendered(shown: Shown, render: Render, value: &Shared, most: usize) -> (Content, Option<Problem>, bool) {
    let problem = |what, text: String| (Content::Problem(format!("<{text}>")), Some(what), false);
    if RENDERING.replace(true) {
        return problem(Problem::Nested, "busy: this dump was taken while rendering another".to_owned());
    }
    let mut out = Bounded::new(most);
    let result = panics::catch(|| render(value.as_any(), &mut out));
    RENDERING.set(false);
    let is_cut = out.is_cut();
    match result {
        Err(message) => problem(Problem::Panicked, format!("panicked: {message}")),
        Ok(Err(error)) if !is_cut => problem(Problem::Failed, format!("failed: {}", error.0)),
        Ok(_) => (content(shown, out.into_text(), is_cut), None, is_cut),
    }
}

fn content(shown: Shown, text: String, is_cut: bool) -> Content {
    match shown {
        Shown::Json(_) if is_cut => Content::CutJson(text),
        Shown::Json(_) => RawValue::from_string(text)
            .map_or_else(|error| Content::Problem(error.to_string()), Content::Json),
        Shown::Display(_) => Content::Display(text),
        _ => Content::Debug(text),
    }
}

/// What a text takes at the most in either form of the dump, escapes included.
fn cost(text: &str) -> usize {
    text.chars().map(|c| if c.is_ascii_graphic() { 2 } else { 10 }).sum()
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

//! A dump on its way: one context after the other, into whatever takes them.

use std::{collections::BTreeMap, io};

use super::{
    capture::Capture,
    options::DumpOptions,
    picture::{DumpedContext, End, Head, Picture},
};
use crate::{ContextRef, Ident, current};

/// What takes a dump.
pub(super) trait Sink {
    /// What is known first: the frame, and how many contexts there are to come if no limit is met.
    fn begin(&mut self, head: &Head, wanted: usize) -> io::Result<()>;
    fn context(&mut self, context: DumpedContext) -> io::Result<()>;
    /// What is known last.
    fn end(&mut self, end: &End) -> io::Result<()>;
}

/// Takes a dump of what `all` gives, oldest first, into `sink`. The time for it begins before that is called.
///
/// Those that survive every cut are taken before all others, and go to their places among them: so no limit on contexts,
/// bytes or time is used up when it is their turn.
pub(super) fn run(
    options: &DumpOptions,
    all: impl FnOnce() -> Vec<ContextRef>,
    sink: &mut impl Sink,
) -> io::Result<End> {
    let mut capture = Capture::new(options);
    let head = capture.head();
    let mut contexts = all();
    // When time is over, nobody looks any more, and what was not looked at is left out.
    contexts.retain(|context| !capture.is_in_time() || capture.is_wanted(context));
    sink.begin(&head, contexts.len())?;
    let mut first = BTreeMap::new();
    for place in survivors(options, &contexts, &capture) {
        first.entry(place).or_insert_with(|| capture.context(&contexts[place]));
    }
    for (place, context) in contexts.into_iter().enumerate() {
        let picture = first.remove(&place).unwrap_or_else(|| capture.context(&context));
        picture.map_or(Ok(()), |picture| sink.context(picture))?;
    }
    let end = capture.end();
    sink.end(&end)?;
    Ok(end)
}

/// Where those are that survive every cut: the ones asked for, the one whose panic this is, main, and the stalest.
fn survivors(options: &DumpOptions, contexts: &[ContextRef], capture: &Capture<'_>) -> Vec<usize> {
    let place = |ident: Ident| contexts.iter().position(|context| context.ident() == ident);
    let mut places: Vec<_> = options.kept.iter().filter_map(|ident| place(*ident)).collect();
    if std::thread::panicking() {
        places.extend(place(current::ident()));
    }
    places.extend(contexts.iter().position(|context| context.thread_name() == Some("main")));
    let age = |context: &ContextRef| {
        let written = context
            .readable()
            .filter(|_| capture.is_in_time())
            .map(|context| options.filter.last_write(&context));
        written.filter(|written| *written != 0)
    };
    let dated = contexts.iter().enumerate().filter_map(|(place, context)| Some((age(context)?, place)));
    places.extend(dated.min().map(|(_, place)| place));
    places
}

/// Keeps a dump in memory.
#[derive(Default)]
pub(super) struct Collect {
    head: Option<Head>,
    contexts: Vec<DumpedContext>,
}

impl Sink for Collect {
    fn begin(&mut self, head: &Head, _: usize) -> io::Result<()> {
        self.head = Some(head.clone());
        Ok(())
    }

    fn context(&mut self, context: DumpedContext) -> io::Result<()> {
        self.contexts.push(context);
        Ok(())
    }

    fn end(&mut self, _: &End) -> io::Result<()> {
        Ok(())
    }
}

/// The dump of what `all` gives, in memory.
pub(super) fn collect(options: &DumpOptions, all: impl FnOnce() -> Vec<ContextRef>) -> Picture {
    let mut kept = Collect::default();
    let end = run(options, all, &mut kept).expect("memory takes everything");
    Picture { head: kept.head.expect("every dump begins"), contexts: kept.contexts, end }
}

//! A context in one line, without running anything of the user's: for those who cannot have that.

use std::fmt::{self, Display};

use super::{
    escape::{Age, Count, Escaped, cut_name},
    facts::{self, Facts},
    standing::Standing,
    text,
};
use crate::{ContextRef, DumpOptions, Ident, State, clock};

/// The line of one context: who it is, how it is, and how many values it has.
pub(crate) struct Brief<'a>(pub(crate) &'a ContextRef);

impl Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let context = self.0;
        let facts = context.os_tid().map(facts::of).unwrap_or_default();
        // Only now: a thread that is found gone may have had its exit meanwhile.
        let state = context.state();
        let state = match state {
            State::Running => "running",
            State::Exiting => "exiting",
            State::Exited => return write!(f, "{}  exited", Who(context)),
        };
        let is_task = matches!(context.ident(), Ident::Task(_));
        let facts = Facts { cpu_us: None, ..facts };
        write!(f, "{}  {}", Who(context), Standing { is_task, state, facts, carrier: context.carrier() })?;
        let (values, last_write) = history(context);
        write!(f, "  {}", Count(values, "value"))?;
        last_write.map_or(Ok(()), |ago| write!(f, "  last write {} ago", Age(ago)))
    }
}

/// How many values there are, and how many microseconds ago one was last written.
fn history(context: &ContextRef) -> (usize, Option<u64>) {
    let Some(context) = context.readable() else { return (0, None) };
    let written = context.raw_slots().filter(|slot| slot.is_filled()).map(|slot| slot.history().0);
    let (values, last) = written.fold((0, 0), |(values, last), written| (values + 1, last.max(written)));
    let ago = (last != 0).then(|| clock::since(last).as_micros().try_into().unwrap_or(u64::MAX));
    (values, ago)
}

/// Whose context it is: name, ident, and the system's number.
pub(crate) struct Who<'a>(pub(crate) &'a ContextRef);

impl Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"  {}", Escaped(&cut_name(self.0.name().unwrap_or_default())), self.0.ident())?;
        self.0.os_tid().map_or(Ok(()), |tid| write!(f, "  tid {tid}"))
    }
}

/// One context with its values, rendered: this does run the user's code.
pub(crate) fn in_full(context: &ContextRef, options: &DumpOptions) -> String {
    let dump = options.take_of(vec![context.clone()]);
    let mut text = String::new();
    for context in dump.contexts() {
        // A `String` takes everything.
        let _ = text::write_context(&mut text, context, options.style());
    }
    text
}

//! What is left when the threads are gone: nothing of theirs.

use threadctx::{ContextRef, contexts, get_thread_ctx, stats};

use crate::Failure;

/// That of all contexts only this thread's is left, in words.
///
/// # Errors
///
/// Others are left, or were not counted when they left.
pub(crate) fn only_this_context_is_left() -> Result<String, Failure> {
    let me = get_thread_ctx().ident();
    let left = contexts();
    let (registered, exited) = (stats().registered, stats().exited);
    let names: Vec<_> = left.iter().map(|context| format!("{:?}", name(context))).collect();
    let names = names.join(", ");
    let told = format!("contexts left: {} ({names}); registered {registered}, exited {exited}", left.len());
    let is_alone = matches!(&left[..], [only] if only.ident() == me);
    if is_alone && registered == exited + 1 { Ok(told) } else { Err(Failure::LeftBehind(format!("{told}."))) }
}

fn name(context: &ContextRef) -> String {
    context.thread_name().map_or_else(|| context.ident().to_string(), str::to_owned)
}

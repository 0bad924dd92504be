//! threadctx

mod accessors;
mod chain;
mod clock;
mod context;
#[expect(unsafe_code, reason = "the pointer to the current context")]
mod current;
mod dump;
mod error;
mod exit;
mod fork;
mod hooks;
mod ident;
mod identity;
mod key;
mod names;
mod namespace;
mod os;
mod panics;
mod registry;
mod scope;
#[expect(unsafe_code, reason = "the protocol between a slot's owner and its readers")]
mod slot;
mod stats;
mod sync;
mod total;

pub use context::{ContextRef, State, ThreadCtx, exit_thread_ctx, get_thread_ctx, try_get_thread_ctx};
pub use dump::{Dump, DumpOptions, dump};
pub use error::{AccessError, Refused, TypeMismatch};
pub use hooks::{HookGuard, on_thread_exit, on_thread_start};
pub use ident::{Ident, TaskId};
pub use key::Key;
pub use namespace::{Namespace, NamespaceRef};
pub use registry::{context, contexts};
pub use scope::Scope;
pub use stats::{Stats, stats};

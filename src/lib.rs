//! A process-wide registry of per-thread context: as fast as a thread-local for the thread that owns it, and visible,
//! typed, named, cleaned up and dumpable to everybody else.
//!
//! ```
//! use threadctx::Key;
//!
//! static USER: Key<String> = Key::new("http", "user").debug();
//!
//! let worker = std::thread::spawn(|| {
//!     USER.set("alice".to_owned());
//!     println!("{}", threadctx::dump());
//!     USER.with(|user| user.len())
//! });
//! assert_eq!(worker.join().unwrap(), Some(5));
//! assert!(USER.iter().next().is_none(), "the thread is gone, and so is its context");
//! ```
//!
//! # Where things are
//!
//! | | |
//! |---|---|
//! | [`Key`], [`accessors!`] | typed values by static name, and functions that a module exports for them |
//! | [`get_thread_ctx`], [`ThreadCtx`], [`Namespace`] | the current context and its dynamic names |
//! | [`Scope`] | a value for a while |
//! | [`Snapshot`], [`spawn`], [`FutureExt`] | values that travel: to threads, pools and tasks |
//! | [`context`], [`contexts`], [`ContextRef`], [`NamespaceRef`] | other threads' contexts, to read |
//! | [`on_thread_start`], [`on_thread_exit`], [`exit_thread_ctx`] | hooks, and an exit by hand |
//! | [`dump`](dump()), [`DumpOptions`], [`stats`](stats()) | everything at a glance |
//! | [`guide::propagation`] | what travels when, hop by hop |
//! | [`guide::design`], [`guide::limits`], [`guide::performance`] | how it works, where it ends, what it costs |
//!
//! # Promises
//!
//! 1. The owner's [`with`](Key::with) takes no lock, no atomic read-modify-write, no hash and no allocation.
//! 2. The owner never waits for a reader, and a reader never waits for code of yours.
//! 3. No code of yours runs under a lock or borrow of ours: closures, initialisers, `Drop`, `Clone`, `Debug`, `Serialize` and
//!    hooks may call anything in the crate.
//! 4. Each value is dropped exactly once, at the latest when its thread exits, unless somebody still holds its `Arc`.
//! 5. Exit is orderly: the context's hooks, the hooks for all threads, then the values, each in reverse order; panics are
//!    contained and counted.
//! 6. After the exit every call is harmless, from any destructor, and says so in its way.
//! 7. Threads that C code or another runtime made are threads like any other.
//! 8. A forked child has one context, its own.
//! 9. Scopes and snapshots put back exactly what was there.
//! 10. Nothing is inherited by accident: a key says whether it travels, a spawn whether it carries.
//! 11. A dump is bounded in time and bytes, blocks nobody, says what it left out, and never renders a secret.
//! 12. There is no limit on threads, keys or names, and memory goes down again after a burst.
//!
//! # What touches, and what does not
//!
//! The first [`get_thread_ctx`], write, [`get_or_init`](Key::get_or_init), read of a key that has an
//! [`init`](Key::init), [`on_exit`](ThreadCtx::on_exit), or entered [`Snapshot`] on a thread registers its context. Everything
//! else registers nothing: on a thread without a context it finds nothing. A task has its context from the start.
//!
//! After the exit, reads find nothing; [`set`](Key::set) drops the value and counts it; [`try_set`](Key::try_set) and
//! [`insert`](Namespace::insert) hand it back; initialisers give what they made, unstored; scopes run their closure.
//!
//! # What a value must be
//!
//! `Send + Sync + 'static`, since other threads may read it. What is `Send` only goes into a `Mutex`; what is neither
//! belongs in `thread_local!`.

#![cfg_attr(loom, allow(dead_code, reason = "models do not fork"))]

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
mod future;
pub mod guide;
mod hooks;
mod ident;
mod identity;
mod integrations;
mod key;
mod late;
mod names;
mod namespace;
mod os;
mod panics;
mod registry;
mod scope;
#[expect(unsafe_code, reason = "the protocol between a slot's owner and its readers")]
mod slot;
mod snapshot;
mod spawn;
mod stats;
mod sync;
mod title;
mod total;

pub use context::{ContextRef, State, ThreadCtx, exit_thread_ctx, get_thread_ctx, try_get_thread_ctx};
pub use dump::{Dump, DumpOptions, dump};
pub use error::{AccessError, Refused, TypeMismatch};
pub use future::{FutureExt, InContext};
pub use hooks::{HookGuard, on_thread_exit, on_thread_start};
pub use ident::{Ident, TaskId};
#[cfg(feature = "rayon")]
pub use integrations::rayon;
#[cfg(feature = "tokio")]
pub use integrations::tokio;
#[cfg(feature = "tower")]
pub use integrations::tower;
pub use key::Key;
pub use namespace::{Namespace, NamespaceRef};
pub use registry::{context, contexts};
pub use scope::Scope;
pub use snapshot::{Snapshot, SnapshotScope};
pub use spawn::{spawn, spawn_with};
pub use stats::{Stats, stats};

/// What the models' values are shared by.
#[cfg(loom)]
pub use sync::{Arc, Weak};

/// The README's sample is tested as it stands.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

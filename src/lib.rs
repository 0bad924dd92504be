//! **What are my threads at, and for whom?** Per-thread context that its own thread reaches in a nanosecond or two, without a
//! lock, and that is visible to all others: typed, named, cleaned up when the thread exits, and printed by one call.
//!
//! ```
//! use threadctx::Key;
//!
//! static USER: Key<String> = Key::new("http", "user").debug(); // in one module
//!
//! fn audit() -> String {
//!     USER.with(|user| format!("{user} did it")).unwrap_or_default() // in another
//! }
//!
//! let worker = std::thread::spawn(|| {
//!     USER.set("alice".to_owned());
//!     println!("{}", threadctx::dump()); // every thread with its values, from any thread
//!     audit()
//! });
//! assert_eq!(worker.join().unwrap(), "alice did it");
//! assert!(USER.iter().next().is_none(), "the thread is gone, and so is its context");
//! ```
//!
//! And a dump of a program that is slow, to see for whom, on what, and since when:
//!
//! ```text
//! orders-api  pid 4242  up 3h12m  2026-11-24T10:12:37.410Z
//! 2 contexts: 2 threads, 0 tasks | 4 values, 41 B | 1 secret, 0 truncated, 0 busy
//!
//! "worker-3"  ThreadId(7)  tid 4251  sleeping, 20ms CPU  last write 14m02s ago
//!     auth.token = <secret String>        14m02s
//!     http.route = "/orders/{id}"         14m02s
//!     http.user  = "alice"                14m02s
//!
//! "worker-4"  ThreadId(8)  tid 4252  running, 1.9s CPU  last write 12ms ago
//!     http.user = "bob"                   12ms
//! ```
//!
//! On this page: [where things are](#where-things-are) · [what you can rely on](#what-you-can-rely-on) · [recipes](#recipes) ·
//! [what registers a context](#what-registers-a-context) · [what a value must be](#what-a-value-must-be) ·
//! [features and costs](#features-and-costs) · [when not to use it](#when-not-to-use-it)
//!
//! # Where things are
//!
//! | to | there is |
//! |---|---|
//! | keep typed values under static names | [`Key`], and [`accessors!`] for the functions a module exports |
//! | keep values under names made at run time | [`get_thread_ctx`], [`ThreadCtx`], [`Namespace`] |
//! | set something for a while | [`Key::scope`], [`Key::enter`], [`Scope`] |
//! | take values along | [`Key::inherit`], [`spawn`], [`spawn_with`], [`Snapshot`], [`FutureExt`] |
//! | look at other threads | [`context`], [`contexts`], [`ContextRef`], [`NamespaceRef`], [`Key::iter`], [`Key::total`] |
//! | run something when threads start and exit | [`on_thread_start`], [`on_thread_exit`], [`ThreadCtx::on_exit`], [`Key::on_exit`], [`exit_thread_ctx`] |
//! | see everything at a glance, and what changes | [`dump`](dump()), [`DumpOptions`], [`DumpDiff`], [`stats`](stats()) |
//! | have dumps come by themselves | [`panic_hook`](panic_hook()), [`watchdog`](watchdog()), `on_signal` |
//! | unlist contexts whose threads are gone | [`sweep`](sweep()) |
//!
//! And to read, beside the items:
//!
//! - [Coming from something else](guide::coming_from): how one keeps context in Python, Java, .NET, Go, C++ and
//!   Rust, where each goes wrong, and the same here.
//! - [The dump](guide::dump): how to read it, what to ask for, what two of them tell.
//! - [Where the dump comes out](guide::outlets): panics, signals, watchdogs, files.
//! - [What travels, and when](guide::propagation): threads, pools, tasks, hop by hop.
//! - [What it costs](guide::performance): measured, beside what you would use instead.
//! - [Verification](guide::verification): what is tested and proven, how, and what is not.
//! - [How it works](guide::design), for whoever carries on.
//! - [Limits](guide::limits): where it ends, and what to do there.
//!
//! # What you can rely on
//!
//! 1. The owner's [`with`](Key::with) takes no lock, no atomic read-modify-write, no hash and no allocation.
//! 2. The owner's reads and writes never wait. A reader may wait for a write in progress, which runs no code of yours. See
//!    [what waits for what](guide::limits#what-waits-for-what).
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
//! 11. A dump is bounded in time and bytes, stops no thread's reads and writes, says what it left out, and never renders a secret.
//! 12. There is no limit on threads, keys or names, and memory goes down again after a burst.
//!
//! # Recipes
//!
//! [A value others reach](#a-value-others-reach) · [Undeclared names](#undeclared-names) ·
//! [Something for a while](#something-for-a-while) · [A resource per worker](#a-resource-per-worker) ·
//! [Another thread's values](#another-threads-values) · [A sum over all threads](#a-sum-over-all-threads) ·
//! [At start and exit](#at-start-and-exit) · [Context that goes along](#context-that-goes-along) ·
//! [Secrets](#secrets) · [A dump when it matters](#a-dump-when-it-matters)
//!
//! ## A value others reach
//!
//! The key stays private. What others may do with it is what [`accessors!`] exports.
//!
//! ```
//! mod session {
//!     pub struct User(pub &'static str);
//!
//!     static CURRENT: threadctx::Key<User> = threadctx::Key::new("session", "user");
//!
//!     threadctx::accessors! {
//!         /// The user that this thread works for.
//!         CURRENT: User {
//!             get: pub current_user,
//!             set: pub(crate) sign_in,
//!             scope: pub impersonate,
//!         }
//!     }
//! }
//!
//! session::sign_in(session::User("alice"));
//! assert_eq!(session::current_user().unwrap().0, "alice");
//! ```
//!
//! ## Undeclared names
//!
//! A namespace is a dictionary of the thread's. It shares its store with the keys, and a name keeps its type.
//!
//! ```
//! use threadctx::get_thread_ctx;
//!
//! // In one module:
//! get_thread_ctx().namespace("probe").insert("rate", 50_u32)?;
//!
//! // In another, which knows the name and the type, and nothing else:
//! let rate = get_thread_ctx().namespace("probe").get::<u32>("rate")?;
//! assert_eq!(rate.as_deref(), Some(&50));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Something for a while
//!
//! What was there comes back: on return, on `?`, on a panic, and if there was nothing, that.
//!
//! ```
//! use threadctx::Key;
//!
//! static STEP: Key<&str> = Key::new("job", "step").debug();
//!
//! STEP.scope("fetch", || {
//!     let _inner = STEP.enter("parse"); // the same as a guard
//!     assert_eq!(STEP.cloned(), Some("parse"));
//! });
//! assert_eq!(STEP.cloned(), None);
//! ```
//!
//! ## A resource per worker
//!
//! Opened where it is first needed, with the error for whoever asked, and closed on the thread that exits.
//!
//! ```
//! use std::net::UdpSocket;
//! use threadctx::Key;
//!
//! static SOCKET: Key<UdpSocket> = Key::new("net", "socket")
//!     .debug()
//!     .on_exit(|socket| println!("closing {socket:?}"));
//!
//! std::thread::spawn(|| {
//!     let failed = SOCKET.get_or_try_init(|| UdpSocket::bind("nowhere"));
//!     assert!(failed.is_err() && SOCKET.get().is_none(), "the next call tries again");
//!     let socket = SOCKET.get_or_try_init(|| UdpSocket::bind("127.0.0.1:0"));
//!     assert!(socket.is_ok() && SOCKET.get().is_some());
//! })
//! .join()
//! .unwrap();
//! ```
//!
//! ## Another thread's values
//!
//! By its id, through [`context`], or all of them, through [`contexts`] or a key. The owner is not stopped, and whoever
//! reads keeps what was read.
//!
//! ```
//! use std::sync::mpsc;
//! use threadctx::{Key, context};
//!
//! static FILE: Key<String> = Key::new("work", "file").debug();
//!
//! let (ready, wait) = mpsc::channel();
//! let (go, end) = mpsc::channel::<()>();
//! let worker = std::thread::spawn(move || {
//!     FILE.set("a.log".to_owned());
//!     ready.send(()).unwrap();
//!     end.recv().unwrap_err();
//! });
//! wait.recv().unwrap();
//! let seen = context(worker.thread().id()).unwrap();
//! assert_eq!(FILE.get_in(&seen).unwrap().as_str(), "a.log");
//! assert_eq!(FILE.iter().count(), 1);
//! drop(go);
//! worker.join().unwrap();
//! ```
//!
//! ## A sum over all threads
//!
//! Each thread counts for itself, without a lock; the total has the dead ones too, each value exactly once.
//!
//! ```
//! use threadctx::Key;
//!
//! static BYTES: Key<u64> = Key::new("io", "bytes")
//!     .init(|| 0)
//!     .keep_total(|one, other| one + other);
//!
//! for _ in 0..4 {
//!     std::thread::spawn(|| BYTES.update(|bytes| *bytes += 25)).join().unwrap();
//! }
//! assert_eq!(BYTES.total(), Some(100));
//! ```
//!
//! ## At start and exit
//!
//! Hooks are lists: nobody replaces another's. Exit hooks find all values still there.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use threadctx::Key;
//!
//! static STARTED: Key<Instant> = Key::new("age", "started");
//!
//! let _start = threadctx::on_thread_start(|_| STARTED.set(Instant::now()));
//! let _exit = threadctx::on_thread_exit(|ctx| {
//!     let age = STARTED.with(Instant::elapsed).unwrap_or(Duration::ZERO);
//!     println!("{} was there for {age:?}", ctx.ident());
//! });
//! std::thread::spawn(|| drop(threadctx::get_thread_ctx())).join().unwrap();
//! ```
//!
//! ## Context that goes along
//!
//! Keys that say so travel, where a spawn says so: with [`spawn`] to a thread, in a [`Snapshot`] to a pool's, and with
//! [`in_context`](FutureExt::in_context) to a task, which has a context of its own on whichever thread polls it.
//!
//! ```
//! use threadctx::{Key, Snapshot};
//!
//! static USER: Key<&str> = Key::new("http", "user").inherit();
//!
//! USER.set("alice");
//! assert_eq!(std::thread::spawn(|| USER.cloned()).join().unwrap(), None);
//! assert_eq!(threadctx::spawn(|| USER.cloned()).join().unwrap(), Some("alice"));
//!
//! let job = Snapshot::capture().wrap(|| USER.cloned()); // for any pool
//! assert_eq!(std::thread::spawn(job).join().unwrap(), Some("alice"));
//! ```
//!
//! ```
//! use threadctx::{FutureExt, Key};
//!
//! static STEP: Key<&str> = Key::new("job", "step").debug();
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! # runtime.block_on(async {
//! let job = |step| async move {
//!     STEP.set(step);
//!     tokio::task::yield_now().await; // meanwhile the other one runs, on this thread
//!     STEP.cloned()
//! };
//! let one = tokio::spawn(job("fetch").in_context());
//! let two = tokio::spawn(job("parse").in_context());
//! assert_eq!((one.await?, two.await?), (Some("fetch"), Some("parse")));
//! # Ok::<(), tokio::task::JoinError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Secrets
//!
//! What a dump shows is up to the key: nothing but the type, unless the key says how. A secret's renderer is never called.
//!
//! ```
//! use threadctx::Key;
//!
//! static TOKEN: Key<String> = Key::new("auth", "token").secret();
//!
//! TOKEN.set("hunter2".to_owned());
//! let dump = threadctx::dump().to_string();
//! assert!(dump.contains("auth.token = <secret String>") && !dump.contains("hunter2"));
//! ```
//!
//! ## A dump when it matters
//!
//! From a panic hook, a debug page, a watchdog's thread: it stops no other thread, and is bounded.
//!
//! ```
//! use std::time::Duration;
//! use threadctx::DumpOptions;
//!
//! let brief = DumpOptions::new().budget(Duration::from_millis(50)).namespace("http*");
//! std::panic::set_hook(Box::new(move |panic| {
//!     eprintln!("{panic}\n{}", brief.clone().take());
//! }));
//! # drop(std::panic::take_hook());
//! ```
//!
//! # What registers a context
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
//!
//! # Features and costs
//!
//! | feature | brings | costs |
//! |---|---|---|
//! | none | everything on this page but what follows | dashmap, once_cell, pin-project-lite, serde with serde_json, thiserror, libc on Unix |
//! | `tokio` | spawns that carry, runtime workers that register by name | tokio's `rt` |
//! | `rayon` | jobs that carry, pool workers that register by name | rayon |
//! | `tower` | a layer that gives each request a context with an id | http, tower-layer, tower-service |
//!
//! For the owner a read is some 25 instructions without a call, and a write in place one uncontended compare-exchange; where a
//! dump shows the value, the write looks at the coarse clock as well. A name instead of a key costs a hash. A thread pays some
//! microseconds once for its context, a value an `Arc`.
//!
//! # When not to use it
//!
//! - Nobody else will ever look, and nothing must happen at exit: `thread_local!` is in std and a little faster.
//! - The value is neither `Send` nor `Sync`, like an `Rc`: `thread_local!` again.
//! - You want to *change* another thread's values: contexts are written by their owners only. Publish a channel or an atomic.
//! - You are after spans and events over time: that is `tracing`. This shows what is so now.
//! - A parameter would do. Context is for what would otherwise be passed through everything.

#![cfg_attr(any(loom, shuttle), allow(dead_code, reason = "models do not fork"))]

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
mod ghosts;
pub mod guide;
mod hooks;
mod ident;
mod identity;
mod integrations;
mod key;
mod late;
mod names;
mod namespace;
mod open_scopes;
mod os;
#[cfg(not(any(loom, shuttle)))]
mod outlets;
mod own_thread;
mod panics;
mod registry;
mod scope;
mod scope_future;
#[expect(unsafe_code, reason = "the protocol between a slot's owner and its readers")]
mod slot;
mod snapshot;
mod spawn;
mod stats;
mod sync;
mod table;
mod title;
mod total;

pub use context::{ContextRef, State, ThreadCtx, exit_thread_ctx, get_thread_ctx, try_get_thread_ctx};
pub use dump::{
    Dump, DumpCounts, DumpDiff, DumpOptions, DumpReadError, DumpedContext, DumpedValue, Finding, TextStyle,
    dump,
};
pub use error::{AccessError, Refused, TypeMismatch};
pub use future::{FutureExt, InContext};
pub use ghosts::sweep;
pub use hooks::{HookGuard, on_thread_exit, on_thread_start};
pub use ident::{Ident, TaskId};
#[cfg(feature = "rayon")]
pub use integrations::rayon;
#[cfg(feature = "stream")]
pub use integrations::stream;
#[cfg(feature = "tokio")]
pub use integrations::tokio;
#[cfg(feature = "tower")]
pub use integrations::tower;
pub use key::Key;
pub use namespace::{Namespace, NamespaceRef};
#[cfg(not(any(loom, shuttle)))]
pub use outlets::{
    Alarm, OutletError, PanicHook, PanicHookGuard, Watchdog, WatchdogGuard, panic_hook, watchdog,
};
#[cfg(all(unix, feature = "signal", not(any(loom, shuttle))))]
pub use outlets::{OnSignal, SIGUSR1, SIGUSR2, SignalGuard, on_signal};
pub use registry::{context, contexts};
pub use scope::Scope;
pub use scope_future::ScopeFuture;
pub use snapshot::{Snapshot, SnapshotScope};
pub use spawn::{spawn, spawn_with};
pub use stats::{Stats, stats};

/// What models need of the inside.
#[cfg(any(loom, shuttle))]
pub use sync::{Arc, Weak, at_next_share};

/// The README's sample is tested as it stands.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

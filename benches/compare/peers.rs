//! The peers' sides, each as its own documentation has it.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::HashMap,
    hint::black_box,
    sync::{Arc, LazyLock},
    thread::{self, ThreadId},
};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use opentelemetry::Context;
use thread_local::ThreadLocal;

type Values = HashMap<String, Arc<dyn Any + Send + Sync>>;

thread_local! {
    pub(crate) static CELL: RefCell<u64> = const { RefCell::new(7) };
    static MAP: RefCell<Values> = RefCell::default();
}

tokio::task_local! {
    pub(crate) static TASK: u64;
}

pub(crate) static PER_THREAD: ThreadLocal<Cell<u64>> = ThreadLocal::new();
pub(crate) static SWAP: LazyLock<ArcSwap<u64>> = LazyLock::new(|| ArcSwap::from_pointee(7));

/// What opentelemetry keeps goes by type.
#[derive(Clone, Copy)]
pub(crate) struct Value(pub(crate) u64);

/// The pattern that people write today.
pub(crate) static PATTERN: LazyLock<DashMap<ThreadId, Values>> = LazyLock::new(DashMap::new);

pub(crate) fn pattern_get(of: ThreadId, name: &str) -> Option<Arc<u64>> {
    let values = PATTERN.get(&of)?;
    Arc::clone(values.get(name)?).downcast().ok()
}

pub(crate) fn pattern_set(name: &str, value: u64) {
    let mut values = PATTERN.entry(thread::current().id()).or_default();
    values.insert(name.to_owned(), Arc::new(value));
}

pub(crate) fn map_get(name: &str) -> Option<Arc<u64>> {
    MAP.with_borrow(|map| Arc::clone(map.get(name)?).downcast().ok())
}

pub(crate) fn map_set(name: &str, value: u64) {
    MAP.with_borrow_mut(|map| map.insert(name.to_owned(), Arc::new(value)));
}

/// Runs `code` where every peer has a value.
pub(crate) fn in_their_scopes<R>(code: impl FnOnce() -> R) -> R {
    let subscriber = tracing_subscriber::registry();
    tracing::subscriber::set_global_default(subscriber).expect("nobody else sets one");
    let _attached = Context::current_with_value(Value(7)).attach();
    log_mdc::insert("value", "7");
    map_set("value", 7);
    // As in budgets/owner.rs: the loop is not to keep it in registers.
    CELL.with(|cell| drop(black_box(cell).borrow()));
    TASK.sync_scope(7, code)
}

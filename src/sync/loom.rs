//! What is loom's own: every interleaving within bounds, and what weak memory makes of each.

use std::marker::PhantomData;

use loom::lazy_static::Lazy;

pub(crate) use loom::{
    alloc::Track,
    hint::spin_loop,
    sync::{Mutex, MutexGuard, atomic},
    thread::{LocalKey, yield_now},
};

/// Room for fifteen keys.
pub(crate) const BUCKETS: usize = 4;

/// An atomic of a static. Loom's cannot be made at compile time: this one is made in each run when it is first looked at.
pub(crate) struct StaticUsize {
    first: usize,
    /// What it differs by from `first`.
    change: Lazy<atomic::AtomicUsize>,
}

impl StaticUsize {
    pub(crate) const fn new(first: usize) -> Self {
        Self { first, change: Lazy { init: || atomic::AtomicUsize::new(0), _p: PhantomData } }
    }

    pub(crate) fn load(&'static self, order: atomic::Ordering) -> usize {
        self.change.get().load(order) ^ self.first
    }

    pub(crate) fn store(&'static self, value: usize, order: atomic::Ordering) {
        self.change.get().store(value ^ self.first, order);
    }
}

macro_rules! thread_cells {
    ($($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;)*) => {
        ::loom::thread_local! { $($(#[$meta])* static $name: $type = $init;)* }
    };
}
pub(crate) use thread_cells;

macro_rules! globals {
    ($($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;)*) => {
        ::loom::lazy_static! { $($(#[$meta])* static ref $name: $type = $init;)* }
    };
}
pub(crate) use globals;

/// Loom's atomics cannot be made at compile time.
macro_rules! filled_array {
    ($element:expr; $length:expr) => {
        ::std::array::from_fn::<_, { $length }, _>(|_| $element)
    };
}
pub(crate) use filled_array;

//! What is shuttle's own: random interleavings of larger scenarios. To it every atomic is sequentially consistent.

pub(crate) use shuttle::{
    hint::spin_loop,
    sync::{Mutex, MutexGuard},
    thread::{LocalKey, yield_now},
};

/// Room for 255 keys.
pub(crate) const BUCKETS: usize = 8;

pub(crate) type StaticUsize = atomic::AtomicUsize;

pub(crate) mod atomic {
    pub(crate) use shuttle::sync::atomic::*;

    /// There is nothing to order.
    pub(crate) fn fence(_: Ordering) {}
}

/// Shuttle does not look for what is never dropped: the models count their values.
pub(crate) struct Track<T>(T);

impl<T> Track<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }
}

macro_rules! thread_cells {
    ($($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;)*) => {
        ::shuttle::thread_local! { $($(#[$meta])* static $name: $type = $init;)* }
    };
}
pub(crate) use thread_cells;

macro_rules! globals {
    ($($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;)*) => {
        ::shuttle::lazy_static! { $($(#[$meta])* static ref $name: $type = $init;)* }
    };
}
pub(crate) use globals;

macro_rules! filled_array {
    ($element:expr; $length:expr) => {
        [const { $element }; $length]
    };
}
pub(crate) use filled_array;

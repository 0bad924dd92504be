//! A value as a dump keeps it: a count of it or, where that says as much, a copy.
//!
//! A count that somebody has taken costs the owner its next write in place, and counting passes the value's line of memory
//! to and fro between the two. A number is copied in less time, and the owner's way stays open.

use std::{
    any::{Any, TypeId},
    time::{Duration, Instant},
};

use super::Shared;

pub(crate) enum Seen {
    Counted(Shared),
    Copied(Copied),
}

impl Seen {
    pub(crate) fn as_any(&self) -> &(dyn Any + Send + Sync) {
        match self {
            Self::Counted(value) => value.as_any(),
            Self::Copied(value) => value.as_any(),
        }
    }
}

impl Clone for Seen {
    fn clone(&self) -> Self {
        match self {
            Self::Counted(value) => Self::Counted(value.clone()),
            Self::Copied(value) => Self::Copied(*value),
        }
    }
}

/// The types whose values are copied: small, `Copy`, and nothing in them changes behind a shared reference.
macro_rules! copied {
    ($($name:ident: $of:ty,)*) => {
        #[derive(Clone, Copy)]
        pub(crate) enum Copied {
            $($name($of),)*
        }

        impl Copied {
            /// Whether values of this type are copied.
            pub(super) fn takes<T: 'static>() -> bool {
                [$(TypeId::of::<$of>()),*].contains(&TypeId::of::<T>())
            }

            pub(super) fn of<T: 'static>(value: &T) -> Option<Self> {
                let value: &dyn Any = value;
                // All but one line of this, or all of it, is gone once `T` is known.
                $(if let Some(value) = value.downcast_ref::<$of>() {
                    return Some(Self::$name(*value));
                })*
                None
            }

            fn as_any(&self) -> &(dyn Any + Send + Sync) {
                match self {
                    $(Self::$name(value) => value,)*
                }
            }
        }
    };
}

copied! {
    Bool: bool,
    Char: char,
    U8: u8,
    U16: u16,
    U32: u32,
    U64: u64,
    Usize: usize,
    I8: i8,
    I16: i16,
    I32: i32,
    I64: i64,
    Isize: isize,
    F32: f32,
    F64: f64,
    Str: &'static str,
    Duration: Duration,
    Instant: Instant,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::Arc;

    #[test]
    fn numbers_are_copied_and_the_rest_is_counted() {
        let number = Shared::new(Arc::new(7_u64));
        let seen = number.see();
        assert!(matches!(seen, Seen::Copied(_)));
        assert_eq!(seen.as_any().downcast_ref(), Some(&7_u64));

        let text = Arc::new(String::from("seven"));
        let seen = Shared::new(Arc::clone(&text)).see();
        assert!(matches!(seen, Seen::Counted(_)));
        assert_eq!(seen.as_any().downcast_ref(), Some(&*text));
        assert_eq!(Arc::strong_count(&text), 2);
    }

    #[test]
    fn what_is_said_to_be_copied_is() {
        assert!(Copied::takes::<&'static str>() && Copied::of(&"text").is_some());
        // What changes behind a shared reference cannot be.
        assert!(!Copied::takes::<std::sync::atomic::AtomicU64>());
        assert!(Copied::of(&std::sync::atomic::AtomicU64::new(7)).is_none());
    }
}

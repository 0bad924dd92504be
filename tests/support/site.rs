//! The user's code, by the kinds in which the crate calls it.

/// A kind of call of the user's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    Closure,
    Init,
    Clone,
    Drop,
    Debug,
    Display,
    Serialize,
    Merge,
    KeyHook,
    OwnHook,
    StartHook,
    ExitHook,
    HookDrop,
}

/// Has a value tell `at` each time before somebody renders it.
macro_rules! tells_who_renders_it {
    ($value:ty, $at:path) => {
        impl std::fmt::Debug for $value {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $at($crate::support::site::Site::Debug);
                f.write_str("Probe")
            }
        }

        impl std::fmt::Display for $value {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $at($crate::support::site::Site::Display);
                f.write_str("probe")
            }
        }

        impl serde::Serialize for $value {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $at($crate::support::site::Site::Serialize);
                serializer.serialize_unit()
            }
        }
    };
}

pub(crate) use tells_who_renders_it;

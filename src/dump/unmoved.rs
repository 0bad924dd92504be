//! What somebody watches, and found not to have moved: marked in the dump.

use std::{
    fmt::{self, Display},
    sync::Arc,
};

use super::{escape::Escaped, filter::Pattern};
use crate::{Ident, identity::Identity};

/// What is watched.
#[derive(Clone)]
pub(crate) enum Watched {
    Key(&'static Identity),
    /// Those that match.
    Namespaces(Arc<Pattern>),
}

impl Watched {
    #[cfg(not(any(loom, shuttle)))]
    pub(crate) fn namespaces(pattern: &str) -> Self {
        Self::Namespaces(Arc::new(Pattern::from(pattern)))
    }

    /// The namespace, or the pattern for it, and the name if it is a single value.
    pub(super) fn parts(&self) -> (&str, Option<&str>) {
        match self {
            Self::Key(key) => (key.namespace(), Some(key.name())),
            Self::Namespaces(pattern) => (pattern.as_str(), None),
        }
    }

    /// Whether what goes by this is watched.
    pub(crate) fn is(&self, namespace: &str, name: &str) -> bool {
        match self {
            Self::Key(key) => key.name() == name && key.namespace() == namespace,
            Self::Namespaces(pattern) => pattern.matches(namespace),
        }
    }
}

impl Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (namespace, name) = self.parts();
        write!(f, "{}.{}", Escaped(namespace), Escaped(name.unwrap_or("*")))
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// Something that was not written for so many microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Unmoved {
    pub(crate) watched: Watched,
    pub(crate) us: u64,
}

/// What a dump is told has not moved, and where.
pub(crate) type Marks = Vec<(Ident, Unmoved)>;

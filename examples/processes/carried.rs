//! What of the context crosses a process's border: those keys that are named here, and no others.

use serde::{Deserialize, Serialize};
use threadctx::Key;

/// Whom the work is for.
pub(crate) static TENANT: Key<String> = Key::new("job", "tenant").json().inherit();

/// How much of it there is.
pub(crate) static ITEMS: Key<u64> = Key::new("job", "items").json().inherit();

/// Not marked as one that travels: it stays where it is.
pub(crate) static CACHE: Key<Vec<u8>> = Key::new("job", "cache");

/// The values that travel, as they are written down.
#[derive(Serialize, Deserialize)]
pub(crate) struct Carried {
    tenant: Option<String>,
    items: Option<u64>,
}

impl Carried {
    pub(crate) fn capture() -> Self {
        Self { tenant: TENANT.cloned(), items: ITEMS.cloned() }
    }

    /// Runs `f` with these values in the current context.
    pub(crate) fn run<R>(self, f: impl FnOnce() -> R) -> R {
        let _tenant = self.tenant.map(|tenant| TENANT.enter(tenant));
        let _items = self.items.map(|items| ITEMS.enter(items));
        f()
    }
}

//! A process of the pool: it reads a context, works in it, and says what its threads were at.

use std::{io, thread};

use serde::{Deserialize, Serialize};
use threadctx::{Key, Snapshot};

use crate::{
    Outcome,
    carried::{CACHE, Carried, ITEMS, TENANT},
};

/// How many items are done.
static DONE: Key<u64> = Key::new("job", "done").json();

/// What a child answers.
#[derive(Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) summary: String,
    /// A dump, in the crate's own schema.
    pub(crate) dump: serde_json::Value,
}

/// The context comes on standard input, the report goes to standard output.
pub(crate) fn work() -> Outcome<()> {
    assert!(threadctx::contexts().is_empty(), "a new process starts with nothing");
    let carried: Carried = serde_json::from_reader(io::stdin().lock())?;
    let report = carried.run(report)?;
    serde_json::to_writer(io::stdout().lock(), &report)?;
    Ok(())
}

/// Works on two threads, the second of which looks at both in the middle of it.
fn report() -> Outcome<Report> {
    assert!(CACHE.get().is_none(), "what does not travel stayed with the parent");
    let items = ITEMS.cloned().ok_or("the parent says how many items there are")?;
    let snapshot = Snapshot::capture();
    let helper = thread::Builder::new().name("helper".into());
    let dump = thread::scope(|scope| {
        let half = snapshot.wrap(move || {
            assert!(TENANT.get().is_some(), "it came along to this thread as well");
            DONE.set(items / 2);
            threadctx::dump().to_json()
        });
        let helper = helper.spawn_scoped(scope, half)?;
        helper.join().map_err(|_| io::Error::other("the helper panicked"))
    })?;
    DONE.set(items);
    let tenant = TENANT.cloned().ok_or("the parent says whom it is for")?;
    Ok(Report { summary: format!("{items} items for {tenant}"), dump: serde_json::from_str(&dump)? })
}

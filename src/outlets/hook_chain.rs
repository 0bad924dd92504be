//! Our place in std's chain of panic hooks. A hook never leaves that chain, so one hook serves all reporters that are open: opening
//! and closing reporters does not make the chain longer.

use std::{
    mem,
    panic::{self, PanicHookInfo},
    sync::{Arc, Mutex, Weak},
};

use super::own;
use crate::stats;

/// Is told of panics.
pub(super) trait Reporter: Send + Sync {
    /// Runs inside a panic hook.
    fn report(&self, info: &PanicHookInfo<'_>);
    /// One that is not is never told again.
    fn is_open(&self) -> bool;
}

/// The reporters of one hook, the oldest first.
struct Reporters(Mutex<Vec<Arc<dyn Reporter>>>);

impl Reporters {
    /// Gives those that are closed. A drop of one may drop the user's values: let go of every lock first.
    fn add(&self, reporter: Arc<dyn Reporter>) -> Result<Vec<Arc<dyn Reporter>>, Arc<dyn Reporter>> {
        let Some(mut all) = own::lock_within(&self.0, own::LOCK) else { return Err(reporter) };
        let (mut open, closed): (Vec<_>, _) = mem::take(&mut *all).into_iter().partition(|one| one.is_open());
        open.push(reporter);
        *all = open;
        Ok(closed)
    }

    /// Tells the latest one first, as std's chain does. It is not locked meanwhile: a reporter takes its time.
    fn report(&self, info: &PanicHookInfo<'_>) {
        match own::lock_within(&self.0, own::LOCK).map(|all| all.clone()) {
            Some(all) => all.iter().rev().for_each(|reporter| reporter.report(info)),
            None => stats::count(|counters| &counters.reports_cut),
        }
    }
}

type Hook = dyn Fn(&PanicHookInfo<'_>) + Send + Sync;

/// The hook that was installed last.
struct Latest {
    /// Where it is. Another one can be there only when it is gone, and its reporters with it.
    address: usize,
    reporters: Weak<Reporters>,
}

/// Has `reporter` told of panics: by our latest hook if that is still the first of the chain, else by a new one before all others.
pub(super) fn add(reporter: Arc<dyn Reporter>) {
    static LATEST: Mutex<Option<Latest>> = Mutex::new(None);
    // Locked to the end: two threads here at once could each replace the other's hook.
    let mut latest = own::lock_within(&LATEST, own::LOCK);
    let first = panic::take_hook();
    let of_first = latest.as_ref().and_then(|latest| latest.as_ref()?.reporters_of(&*first));
    let refused = match of_first {
        Some(reporters) => reporters.add(reporter),
        None => Err(reporter),
    };
    let reporter = match refused {
        Err(reporter) => reporter,
        Ok(closed) => {
            panic::set_hook(first);
            drop(latest);
            return drop(closed);
        }
    };
    let reporters = Arc::new(Reporters(Mutex::new(vec![reporter])));
    let told = Arc::downgrade(&reporters);
    let hook: Box<Hook> = Box::new(move |info| {
        reporters.report(info);
        first(info);
    });
    if let Some(latest) = &mut latest {
        **latest = Some(Latest { address: address(&*hook), reporters: told });
    }
    panic::set_hook(hook);
}

impl Latest {
    fn reporters_of(&self, hook: &Hook) -> Option<Arc<Reporters>> {
        self.reporters.upgrade().filter(|_| self.address == address(hook))
    }
}

fn address(hook: &Hook) -> usize {
    (&raw const *hook).addr()
}

//! The promises, tested from outside. Tests that need the process for themselves are in `tests/alone`.

#![cfg(not(loom))]

mod accessors;
mod auto_traits;
mod drops;
mod dump;
mod errors;
mod exit;
#[cfg(unix)]
mod foreign;
mod gone;
mod identity;
mod limits;
mod model;
mod names;
mod reads;
mod reentrancy;
mod registry;
mod scope_futures;
mod scopes;
mod snapshots;
mod spawns;
mod tasks;
mod totals;
mod values;
mod writes;

#[path = "../support"]
mod support {
    pub(crate) mod calls;
    pub(crate) mod executor;
    #[cfg(unix)]
    #[expect(unsafe_code, reason = "calls into the C library")]
    pub(crate) mod foreign;
    pub(crate) mod last;
    pub(crate) mod leaked;
    pub(crate) mod marked;
    pub(crate) mod patience;
    pub(crate) mod said;
    pub(crate) mod site;
    pub(crate) mod tracked;
    pub(crate) mod watchdog;
    pub(crate) mod worker;
}

//! Where dumps come out by themselves: a panic, a signal, a value that has not moved for too long. All opt-in.
//!
//! Each outlet has a thread of its own, made when it is opened and idle until it is needed: renderers are the user's code,
//! which must run neither in a signal handler nor inside a panic hook, where one more panic would abort the process. The
//! threads hold no lock while they run such code, register no context, take no signals, and nobody waits for them without
//! a bound. A forked child does not have them, nor does it wait for them.

mod error;
mod file;
mod hook_chain;
mod own;
mod panic_hook;
#[cfg(all(unix, feature = "signal"))]
mod signal;
mod sink;
mod watchdog;

pub use error::OutletError;
pub use panic_hook::{PanicHook, PanicHookGuard, panic_hook};
#[cfg(all(unix, feature = "signal"))]
pub use signal::{OnSignal, SIGUSR1, SIGUSR2, SignalGuard, on_signal};
pub use watchdog::{Alarm, Watchdog, WatchdogGuard, watchdog};

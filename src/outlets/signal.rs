//! A dump on a signal, while every thread of the program may be blocked.
//!
//! The handler notes the signal and wakes the outlet's thread through a pipe (signal-hook does both); everything else
//! happens there.

use std::{ffi::c_int, fmt, io, mem, path::Path, sync::mpsc, time::Duration};

use signal_hook::{
    consts::FORBIDDEN,
    iterator::{Handle, Signals},
};

use super::{OutletError, own, sink};
use crate::{Dump, DumpOptions, os, own_thread, panics, registry};

/// How long a single value may take.
const PATIENCE: Duration = Duration::from_millis(250);

/// The signal that users may give a meaning: [`on_signal`]'s usual one.
///
/// ```
/// threadctx::on_signal(threadctx::SIGUSR1).to_stderr()?.forever();
/// # Ok::<_, threadctx::OutletError>(())
/// ```
pub const SIGUSR1: i32 = libc::SIGUSR1;
/// The other one.
///
/// ```
/// let dump = std::env::temp_dir().join("orders-dump.json");
/// threadctx::on_signal(threadctx::SIGUSR2).to_file(dump)?.forever();
/// # Ok::<_, threadctx::OutletError>(())
/// ```
pub const SIGUSR2: i32 = libc::SIGUSR2;

/// As far as signals are numbered.
const NUMBERS: std::ops::Range<c_int> = 1..128;

/// A dump each time that the process gets `signal`, on a thread of its own: also while all others are blocked.
///
/// Whoever else has a handler for the signal keeps it; several outlets for one signal all dump. Signals that come during
/// a dump make one more.
///
/// The signal loses its own meaning: a process that dumps on `SIGTERM`, `SIGINT` or `SIGHUP` does not end by it any more.
/// Signals that a thread cannot go on after (`SIGSEGV`, `SIGBUS`, `SIGFPE`, `SIGILL`, `SIGABRT`, `SIGSYS`, `SIGTRAP`) are
/// refused, as are `SIGKILL` and `SIGSTOP`.
///
/// ```
/// // kill -USR1 <pid>
/// threadctx::on_signal(threadctx::SIGUSR1).to_stderr()?.forever();
/// # Ok::<_, threadctx::OutletError>(())
/// ```
pub fn on_signal(signal: i32) -> OnSignal {
    OnSignal { signal, options: DumpOptions::new().patience(PATIENCE) }
}

/// A dump on a signal, to be given an outlet: see [`on_signal`].
///
/// ```
/// use threadctx::{DumpOptions, SIGUSR1, on_signal};
///
/// let only_http = DumpOptions::new().namespace("http");
/// let guard = on_signal(SIGUSR1).options(only_http).to(|dump| println!("{dump}"))?;
/// # Ok::<_, threadctx::OutletError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it has an outlet"]
pub struct OnSignal {
    signal: c_int,
    options: DumpOptions,
}

impl OnSignal {
    /// Takes the dumps with these limits and filters.
    ///
    /// ```
    /// use threadctx::{DumpOptions, SIGUSR1, on_signal};
    ///
    /// on_signal(SIGUSR1).options(DumpOptions::new().max_contexts(100)).to_stderr()?.forever();
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn options(mut self, options: DumpOptions) -> Self {
        self.options = options;
        self
    }

    /// Dumps as text to standard error, whoever may hold std's lock of that. On a terminal it is as wide as that, and
    /// coloured, unless the options say otherwise: see [`TextStyle::of`](crate::TextStyle::of).
    ///
    /// # Errors
    ///
    /// The system refuses the signal, or a thread.
    ///
    /// ```
    /// threadctx::on_signal(threadctx::SIGUSR1).to_stderr()?.forever();
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn to_stderr(self) -> Result<SignalGuard, OutletError> {
        self.start(|options| {
            // Each time anew: a terminal may have been made wider.
            let dump = options.clone().or_style(sink::style()).take();
            sink::write_to_stderr(|text| dump.write_text(text));
        })
    }

    /// Dumps to a file, in the place of the last one: as JSON if its name ends in `.json`, else as text.
    ///
    /// The file is the owner's alone (mode 0600), and there is a whole one or none. A symbolic link, or anything else that is
    /// no regular file, is refused, now and at each dump; an error of a dump is told on standard error.
    ///
    /// # Errors
    ///
    /// The path is none for a file, or the system refuses the signal, or a thread.
    ///
    /// ```
    /// let dump = std::env::temp_dir().join("orders-dump.txt");
    /// threadctx::on_signal(threadctx::SIGUSR1).to_file(dump)?.forever();
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn to_file(self, path: impl AsRef<Path>) -> Result<SignalGuard, OutletError> {
        let target = sink::Target::new(path.as_ref())?;
        self.start(move |options| {
            target.write(|mut out| match target.is_json() {
                true => options.write_json(&mut out).map(drop),
                false => write!(out, "{}", options.take()),
            });
        })
    }

    /// Gives the dumps to `outlet`, on the outlet's thread. A panic in it is contained and counted in
    /// [`stats`](crate::stats()).
    ///
    /// # Errors
    ///
    /// The system refuses the signal, or a thread.
    ///
    /// ```
    /// let guard = threadctx::on_signal(threadctx::SIGUSR1).to(|dump| println!("{}", dump.to_json()))?;
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn to(self, mut outlet: impl FnMut(Dump) + Send + 'static) -> Result<SignalGuard, OutletError> {
        self.start(move |options| outlet(options.take()))
    }

    fn start(
        self,
        mut outlet: impl FnMut(&DumpOptions) + Send + 'static,
    ) -> Result<SignalGuard, OutletError> {
        let Self { signal, options } = self;
        let (send, receive) = mpsc::sync_channel::<Signals>(1);
        // The handler comes last: it stays for the life of the process, so nothing may fail after it.
        let helper = own::spawn("threadctx-sig", move || {
            let Ok(mut signals) = receive.recv() else { return };
            os::unblock_signal(signal);
            let handle = signals.handle();
            for _ in signals.forever().take_while(|_| !handle.is_closed()) {
                own::run(|| outlet(&options));
            }
            drop(signals);
            own_thread::run_users(|| panics::contain_drop(outlet));
        })?;
        let signals = listen(signal).map_err(|error| OutletError::signal(signal, error))?;
        let handle = signals.handle();
        helper.keep();
        // The thread waits for it, and the channel has room.
        let _ = send.send(signals);
        Ok(SignalGuard { handle, signal, process: registry::process() })
    }
}

fn listen(signal: c_int) -> io::Result<Signals> {
    if !NUMBERS.contains(&signal) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no such signal"));
    }
    if FORBIDDEN.contains(&signal) || os::ITS_OWN.contains(&signal) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the thread that gets it cannot go on after it",
        ));
    }
    Signals::new([signal])
}

/// Keeps a signal's outlet open. Dropping it closes that: no further dump begins; one that is being taken is finished.
///
/// Handlers that others have for the signal go on being called. If there are none, the signal does nothing from now on; it
/// does not get back the meaning that it may have had, to end the process, since it could be on its way already.
///
/// In a forked child the outlet is closed from the start: the signal does nothing there.
///
/// ```
/// let guard = threadctx::on_signal(threadctx::SIGUSR1).to_stderr()?;
/// drop(guard); // from now on the signal does nothing
/// # Ok::<_, threadctx::OutletError>(())
/// ```
#[must_use = "dropping the guard closes the outlet; `.forever()` keeps it open"]
pub struct SignalGuard {
    handle: Handle,
    signal: c_int,
    /// In which process its thread is.
    process: u32,
}

impl SignalGuard {
    /// Keeps the outlet open for the life of the process.
    ///
    /// ```
    /// threadctx::on_signal(threadctx::SIGUSR1).to_stderr()?.forever();
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn forever(self) {
        mem::forget(self);
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        // A forked child has the pipe together with its parent, and no thread to wake.
        if self.process == registry::process() {
            self.handle.close();
        }
    }
}

impl fmt::Debug for SignalGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalGuard").field("signal", &self.signal).finish_non_exhaustive()
    }
}

//! What the operating system says of a thread that is in the picture.

/// The facts of one thread. Where the system does not tell, there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// In a word: `running`, `sleeping`, ..., or [`GONE`].
    pub(super) run_state: Option<&'static str>,
    /// The processor time it has used so far, in microseconds.
    pub(super) cpu_us: Option<u64>,
}

/// The run state of a thread that does not exist any more though its context does: a finding of its own.
pub(super) const GONE: &str = "gone";

/// The facts of the thread that the system knows by this number.
pub(super) fn of(_os_tid: u64) -> Facts {
    Facts::default()
}

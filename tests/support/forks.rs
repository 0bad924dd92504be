//! Forked children: each has so many seconds, says by its status whether its checks held, and runs nothing on its way out.

use std::mem;

use super::{
    patience::patience,
    solo::{FAILED, end, verdict},
};

/// Seconds that a child may take. One that hangs is ended by its alarm, which its parent sees.
const LIMIT: u32 = 20;

/// Which of the two processes this is.
pub(crate) enum Side {
    Child(Unfinished),
    Parent(Forked),
}

/// A child that has not come to its checks. One that drops this never will.
pub(crate) struct Unfinished(());

impl Unfinished {
    /// Lets the child end as it likes.
    pub(crate) fn let_go(self) {
        mem::forget(self);
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        end(FAILED);
    }
}

/// A child to wait for.
#[must_use]
pub(crate) struct Forked(libc::pid_t);

pub(crate) fn fork() -> Side {
    let limit = LIMIT * patience();
    // SAFETY: what a child may do here is what is being tested.
    match unsafe { libc::fork() } {
        -1 => panic!("no more processes: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: it takes a number.
            unsafe { libc::alarm(limit) };
            Side::Child(Unfinished(()))
        }
        child => Side::Parent(Forked(child)),
    }
}

/// Forks, runs `checks` in the child, and waits for it.
pub(crate) fn in_child(checks: impl FnOnce()) {
    fork().finish(checks);
}

impl Side {
    /// In the child: runs `checks` and ends it. In the parent: waits, and fails if a check did or the child hung.
    pub(crate) fn finish(self, checks: impl FnOnce()) {
        match self {
            Self::Child(_unfinished) => {
                verdict(checks);
                end(0)
            }
            Self::Parent(child) => child.ends_with(0),
        }
    }
}

impl Forked {
    /// Waits for the child's end.
    pub(crate) fn ends_with(self, expected: i32) {
        let mut status = 0;
        // SAFETY: the pointer is to a number of ours, and the child has not been waited for.
        assert_eq!(unsafe { libc::waitpid(self.0, &mut status, 0) }, self.0);
        if libc::WIFSIGNALED(status) {
            match libc::WTERMSIG(status) {
                libc::SIGALRM => panic!("the child hangs"),
                signal => panic!("the child was ended by signal {signal}"),
            }
        }
        assert_eq!(libc::WEXITSTATUS(status), expected, "the child's status");
    }
}

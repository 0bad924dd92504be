//! What threads that are over have said, without waiting for ever for what they did not say.

use std::{
    iter,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

/// Everything that was sent, once the last sender is gone; fails if one is still there after a minute.
pub(crate) fn all_said<T>(from: &Receiver<T>) -> Vec<T> {
    let one_more = || match from.recv_timeout(Duration::from_secs(60)) {
        Ok(said) => Some(said),
        Err(why) => {
            let is_over = why == RecvTimeoutError::Disconnected;
            assert!(is_over, "somebody may still say something: a hook or a value that was never dropped");
            None
        }
    };
    iter::from_fn(one_more).collect()
}

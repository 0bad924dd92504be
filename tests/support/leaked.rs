//! What a test makes to stay, such as keys that are made at run time: kept where the leak check finds it.

use std::sync::{Mutex, PoisonError};

pub(crate) fn leaked<T: Send + Sync + 'static>(value: T) -> &'static T {
    static KEPT: Mutex<Vec<&(dyn Sync + Send)>> = Mutex::new(Vec::new());
    let value: &T = Box::leak(Box::new(value));
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(value);
    value
}

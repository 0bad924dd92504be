//! Hooks for all threads, added and removed while threads come and go.

use std::sync::Arc;

use threadctx::{exit_thread_ctx, get_thread_ctx, on_thread_exit, on_thread_start};

use super::{AtomicUsize, Ordering, thread};
use crate::model;

#[test]
fn hooks_added_and_removed_against_an_exit() {
    model("hooks against exit", 5, || {
        let ran = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&ran);
        let stays = on_thread_exit(move |_| _ = counts.fetch_add(1, Ordering::Relaxed));
        let counts = Arc::clone(&ran);
        let goes = on_thread_exit(move |_| _ = counts.fetch_add(10, Ordering::Relaxed));
        let worker = thread::spawn(|| {
            get_thread_ctx();
            exit_thread_ctx();
        });
        drop(goes);
        let counts = Arc::clone(&ran);
        let comes = on_thread_exit(move |_| _ = counts.fetch_add(100, Ordering::Relaxed));
        worker.join().unwrap();
        let ran = ran.load(Ordering::Relaxed);
        assert_eq!(ran % 10, 1, "the hook that stays runs once");
        assert!(ran <= 111, "no hook runs twice");
        drop((stays, comes));
    });
}

#[test]
fn hooks_added_and_removed_against_a_registration() {
    model("hooks against a registration", 5, || {
        let ran = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&ran);
        let stays = on_thread_start(move |_| _ = counts.fetch_add(1, Ordering::Relaxed));
        let counts = Arc::clone(&ran);
        let goes = on_thread_start(move |_| _ = counts.fetch_add(10, Ordering::Relaxed));
        let worker = thread::spawn(|| {
            get_thread_ctx();
            exit_thread_ctx();
        });
        drop(goes);
        worker.join().unwrap();
        let ran = ran.load(Ordering::Relaxed);
        assert!(matches!(ran, 1 | 11), "{ran}: each hook runs once at the most, and the one that stays does");
        drop(stays);
    });
}

//! A context that moves between threads: each that polls it has it alone, and finds what the one before it left.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use threadctx::{FutureExt, InContext, Key};

use super::{Tracked, key, leaked, read_in, thread};
use crate::model;

/// A task that is never done.
pub(crate) type Task = Pin<Box<InContext<Pin<Box<dyn Future<Output = ()> + Send>>>>>;

/// A task that adds `step` to the key's value each time that it is polled.
pub(crate) fn counting_task(key: &'static Key<Tracked>, step: u64) -> Task {
    let count: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(poll_fn(move |_| {
        let before = key.with(Tracked::read).unwrap_or_default();
        key.set(Tracked::new(before + step));
        Poll::Pending
    }));
    Box::pin(count.in_context())
}

pub(crate) fn poll(task: &mut Task) {
    assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[test]
fn a_context_that_moves_brings_what_was_written_and_is_read_all_along() {
    model("a task that moves, one reader", 3, || {
        let key = key();
        let mut task = counting_task(key, 1);
        poll(&mut task);
        let owner = task.handle();
        let reader = thread::spawn(move || read_in(key, &owner));
        let other = thread::spawn(move || {
            poll(&mut task);
            task
        });
        let mut task = other.join().unwrap();
        poll(&mut task);
        assert_eq!(read_in(key, &task.handle()), Some(3));
        assert!(matches!(reader.join().unwrap(), Some(1..=3)));
    });
}

#[test]
fn a_tasks_end_on_another_thread_against_a_reader() {
    model("a task's end, one reader", 3, || {
        let key = leaked(Key::new("model", "task"));
        let mut task = counting_task(key, 1);
        poll(&mut task);
        let owner = task.handle();
        let other = thread::spawn(move || drop(task));
        assert!(matches!(read_in(key, &owner), None | Some(1)));
        other.join().unwrap();
        assert_eq!(read_in(key, &owner), None);
    });
}

#[test]
fn two_tasks_on_two_threads_and_the_threads_own_are_three() {
    model("tasks beside the threads' own", 2, || {
        let key = key();
        super::set(key, 100);
        let (mut one, mut other) = (counting_task(key, 1), counting_task(key, 10));
        let worker = thread::spawn(move || {
            poll(&mut one);
            assert_eq!(read_in(key, &one.handle()), Some(1));
        });
        poll(&mut other);
        assert_eq!(read_in(key, &other.handle()), Some(10));
        drop(other);
        worker.join().unwrap();
        assert_eq!(key.with(Tracked::read), Some(100));
        threadctx::exit_thread_ctx();
    });
}

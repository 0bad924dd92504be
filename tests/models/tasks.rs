//! A context that moves between threads: each that polls it has it alone, and finds what the one before it left.

use threadctx::{Key, get_thread_ctx, modelled::Task};

use super::{Tracked, key, read_in, set, thread};
use crate::model;

fn end(task: Task) {
    task.poll(|| get_thread_ctx().clear()).expect("nobody else polls it now");
    task.leave();
}

fn add(key: &'static Key<Tracked>, more: u64) {
    let before = key.with(Tracked::read).expect("set before the first move");
    set(key, before + more);
}

#[test]
fn a_context_that_moves_brings_what_was_written_before() {
    model("a task that two threads poll", 5, || {
        let key = key();
        let task = Task::new();
        task.poll(|| set(key, 1));
        let here = task.clone();
        let other = thread::spawn(move || here.poll(|| add(key, 10)).is_some());
        let mine = task.poll(|| add(key, 100)).is_some();
        let others = other.join().unwrap();
        let expected = 1 + 10 * u64::from(others) + 100 * u64::from(mine);
        assert!(others || mine, "a context that is free is taken");
        assert_eq!(task.poll(|| key.with(Tracked::read)).flatten(), Some(expected));
        end(task);
    });
}

#[test]
fn a_context_that_moves_is_read_all_along() {
    model("a task that moves, one reader", 4, || {
        let key = key();
        let task = Task::new();
        task.poll(|| set(key, 1));
        let owner = task.handle();
        let reader = thread::spawn(move || read_in(key, &owner));
        let there = task.clone();
        let other = thread::spawn(move || assert!(there.poll(|| set(key, 2)).is_some()));
        other.join().unwrap();
        task.poll(|| set(key, 3));
        assert!(matches!(reader.join().unwrap(), Some(1..=3)));
        end(task);
    });
}

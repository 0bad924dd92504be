//! Threads come and go, and the registry is as it was.

use std::{sync::Barrier, thread};

use threadctx::{Key, contexts, exit_thread_ctx, get_thread_ctx, stats};

use crate::{alone, support::worker::Worker};

static KEY: Key<u64> = Key::new("churn", "key").debug();

#[test]
fn ten_thousand_threads_in_turn_leave_the_registry_as_it_was() {
    alone(|| {
        let before = stats();
        assert_eq!(before.live, 0);
        for n in 0..10_000 {
            thread::spawn(move || KEY.set(n)).join().unwrap();
        }
        let after = stats();
        assert_eq!((after.live, contexts().len()), (0, 0));
        assert_eq!(after.registered - before.registered, 10_000);
        assert_eq!(after.exited - before.exited, 10_000);
    });
}

#[test]
fn twenty_fifty_and_a_hundred_threads_at_once_are_all_there_and_then_all_gone() {
    alone(|| {
        for threads in [20, 50, 100] {
            let all = &Barrier::new(threads + 1);
            thread::scope(|scope| {
                for n in 0..threads {
                    scope.spawn(move || {
                        KEY.set(n as u64);
                        all.wait();
                        all.wait();
                        // A scope of threads does not wait for their locals to drop.
                        assert!(exit_thread_ctx());
                    });
                }
                all.wait();
                assert_eq!((stats().live, contexts().len(), KEY.iter().count()), (threads, threads, threads));
                all.wait();
            });
            assert_eq!((stats().live, contexts().len()), (0, 0));
        }
    });
}

#[test]
fn five_threads_of_each_kind_are_counted_and_gone() {
    alone(|| {
        let workers: Vec<_> = (0..5).map(|_| Worker::start()).collect();
        assert_eq!(stats().live, 0, "nobody has touched anything yet");
        workers.iter().for_each(|worker| drop(worker.handle()));
        assert_eq!(stats().live, 5);
        workers.into_iter().for_each(Worker::end);
        assert_eq!(stats().live, 0);
    });
}

#[test]
fn lives_of_one_thread_are_counted_each() {
    alone(|| {
        let before = stats();
        for _ in 0..100 {
            get_thread_ctx();
            assert_eq!(stats().live, 1);
            assert!(exit_thread_ctx());
            assert_eq!(stats().live, 0);
        }
        assert!(!exit_thread_ctx());
        let after = stats();
        assert_eq!((after.registered - before.registered, after.exited - before.exited), (100, 100));
    });
}

//! Registration against look-up against exit.

use threadctx::{State, context, contexts, exit_thread_ctx, get_thread_ctx};

use super::{Event, key, read_in, set, thread};
use crate::model;

#[test]
fn registration_against_look_up_against_exit() {
    model("register, look up, exit", 2, || {
        let key = key();
        let worker = thread::spawn(move || {
            set(key, 1);
            let me = get_thread_ctx().ident();
            exit_thread_ctx();
            me
        });
        for found in contexts() {
            let seen = read_in(key, &found);
            assert!(matches!(seen, None | Some(1)));
            if found.state() == State::Exited {
                assert_eq!(read_in(key, &found), None, "who sees Exited sees the values gone");
            }
        }
        assert!(context(worker.join().unwrap()).is_none());
        assert_eq!(threadctx::stats().live, 0);
    });
}

#[test]
fn two_registrations_against_a_list() {
    model("two registrations, one list", 3, || {
        let workers = [1, 2].map(|_| {
            thread::spawn(|| {
                let me = get_thread_ctx().ident();
                assert!(context(me).is_some(), "who has registered is found");
                exit_thread_ctx();
            })
        });
        assert!(contexts().len() <= 2);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert!(contexts().is_empty());
    });
}

#[test]
fn an_exiting_context_is_found_until_its_values_are_gone() {
    model("an exit that is looked at", 4, || {
        let key = key();
        let is_in_hook = Event::new();
        let says = std::sync::Arc::clone(&is_in_hook);
        let worker = thread::spawn(move || {
            set(key, 1);
            get_thread_ctx().on_exit(move |_| says.happen());
            exit_thread_ctx();
        });
        is_in_hook.wait();
        for found in contexts() {
            let seen = read_in(key, &found);
            let state = found.state();
            assert_ne!(state, State::Running, "its hooks have begun");
            assert!(state == State::Exiting || read_in(key, &found).is_none());
            assert!(matches!(seen, None | Some(1)));
        }
        worker.join().unwrap();
    });
}

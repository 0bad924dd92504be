//! Promise 7: threads that the standard library did not make are threads.

use std::{
    collections::HashSet,
    sync::{Arc, mpsc},
    thread,
};

use threadctx::{Key, State, context, get_thread_ctx};

use crate::support::{
    foreign::Foreign,
    leaked::leaked,
    marked::{at_exit, at_start, mark},
    said::all_said,
    tracked::{Drops, Tracked},
    watchdog::within_a_minute,
};

const NS: &str = "foreign";

#[test]
fn a_foreign_thread_is_there_after_its_first_touch_and_gone_after_its_end() {
    static KEY: Key<u8> = Key::new(NS, "touch");
    within_a_minute(|| {
        let (tell, told) = mpsc::channel();
        let (end, wait) = mpsc::channel::<()>();
        let foreign = Foreign::start(move || {
            assert!(context(thread::current().id()).is_none());
            KEY.set(7);
            tell.send((thread::current().id(), get_thread_ctx().handle())).unwrap();
            wait.recv().unwrap_err();
        });
        let (id, handle) = told.recv().unwrap();
        assert_eq!(handle.ident(), id.into());
        assert_eq!(context(id).unwrap().state(), State::Running);
        assert_eq!(KEY.get_in(&handle).as_deref(), Some(&7));
        assert_eq!(handle.thread_name(), None);
        drop(end);
        foreign.join();
        assert!(context(id).is_none());
        assert_eq!(handle.state(), State::Exited);
        assert_eq!(KEY.get_in(&handle), None);
    });
}

#[test]
fn hooks_run_on_foreign_threads_too() {
    static STARTED: Key<bool> = Key::new(NS, "started");
    static WANTED: Key<mpsc::Sender<&'static str>> =
        Key::new(NS, "wanted").on_exit(|tell| tell.send("key").unwrap());
    let _hooks = [
        at_start("foreign", |_| STARTED.set(true)),
        at_exit("foreign", |_| _ = WANTED.with(|tell| tell.send("all").unwrap())),
    ];
    let (tell, told) = mpsc::channel();
    Foreign::start(move || {
        mark("foreign");
        WANTED.set(tell.clone());
        get_thread_ctx().on_exit(move |_| tell.send("own").unwrap());
        assert_eq!(STARTED.cloned(), Some(true));
    })
    .join();
    assert_eq!(all_said(&told), ["own", "all", "key"]);
}

#[test]
fn five_threads_of_each_kind_leave_no_value_alive() {
    static KEY: Key<Tracked> = Key::new(NS, "five of each");
    let drops = Drops::default();
    let values: Vec<_> = (0..10).map(|number| drops.value(number)).collect();
    let mut values = values.into_iter();
    let foreign: Vec<_> =
        values.by_ref().take(5).map(|value| Foreign::start(move || KEY.set(value))).collect();
    let std: Vec<_> = values.map(|value| thread::spawn(move || KEY.set(value))).collect();
    foreign.into_iter().for_each(Foreign::join);
    std.into_iter().for_each(|thread| thread.join().unwrap());
    drops.assert_each_once(10);
}

#[test]
fn no_ident_is_given_to_a_second_foreign_thread() {
    static KEY: Key<u8> = Key::new(NS, "idents");
    let (tell, told) = mpsc::channel();
    for _ in 0..50 {
        let tell = tell.clone();
        Foreign::start(move || {
            assert_eq!(KEY.get(), None, "a new thread starts empty");
            KEY.set(1);
            tell.send(get_thread_ctx().ident()).unwrap();
        })
        .join();
    }
    drop(tell);
    assert_eq!(all_said(&told).into_iter().collect::<HashSet<_>>().len(), 50);
}

#[test]
fn keys_may_be_used_and_cleared_while_foreign_threads_come_and_go() {
    within_a_minute(|| {
        let alive = Arc::new(());
        for round in 0..250 {
            let key: &'static Key<Arc<()>> = leaked(Key::new(NS, format!("come and go {round}").leak()));
            let threads = [0; 4].map(|_| {
                let alive = Arc::clone(&alive);
                Foreign::start(move || key.set(alive))
            });
            key.set(Arc::clone(&alive));
            key.iter().for_each(drop);
            get_thread_ctx().clear();
            threads.into_iter().for_each(Foreign::join);
        }
        assert_eq!(Arc::strong_count(&alive), 1, "nothing is left");
    });
}

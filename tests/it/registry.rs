//! The registry: who is there, how they are found, and what a handle says.

use std::{collections::HashSet, sync::mpsc, thread};

use threadctx::{ContextRef, Ident, Key, State, context, contexts, get_thread_ctx};

use crate::support::{said::all_said, worker::Worker};

fn position(all: &[ContextRef], ident: Ident) -> usize {
    all.iter().position(|context| context.ident() == ident).expect("it is live")
}

#[test]
fn contexts_are_listed_oldest_first() {
    // In the order of registration, which need not be that of the threads' making.
    let workers: Vec<_> = (0..20).map(|_| Worker::start()).collect();
    let expected: Vec<_> = workers.iter().rev().map(|worker| worker.handle().ident()).collect();
    let all = contexts();
    assert!(expected.is_sorted_by_key(|ident| position(&all, *ident)));
    let idents: HashSet<_> = all.iter().map(ContextRef::ident).collect();
    assert_eq!(idents.len(), all.len(), "each once");
}

#[test]
fn a_context_that_starts_afresh_is_the_youngest_again() {
    let (one, two) = (Worker::start(), Worker::start());
    let idents = [one.handle().ident(), two.handle().ident()];
    assert!(one.run(threadctx::exit_thread_ctx));
    assert!(context(idents[0]).is_none());
    one.run(|| _ = get_thread_ctx());
    let all = contexts();
    assert!(position(&all, idents[1]) < position(&all, idents[0]));
}

#[test]
fn a_key_iterates_over_the_contexts_that_have_it_oldest_first() {
    static KEY: Key<usize> = Key::new("registry", "iter");
    let workers: Vec<_> = (0..10).map(|_| Worker::start()).collect();
    for (n, worker) in workers.iter().enumerate() {
        worker.handle();
        if n % 2 == 0 {
            worker.run(move || KEY.set(n));
        }
    }
    let found: Vec<_> = KEY.iter().map(|(ident, n)| (ident, *n)).collect();
    let expected: Vec<_> =
        workers.iter().enumerate().step_by(2).map(|(n, worker)| (Ident::Thread(worker.id()), n)).collect();
    assert_eq!(found, expected);
    workers.into_iter().for_each(Worker::end);
    assert_eq!(KEY.iter().count(), 0);
}

#[test]
fn an_iteration_goes_on_while_its_threads_end() {
    static KEY: Key<usize> = Key::new("registry", "iter and end");
    let mut workers: Vec<_> = (0..5).map(|_| Some(Worker::start())).collect();
    for (n, worker) in workers.iter().flatten().enumerate() {
        worker.run(move || KEY.set(n));
    }
    let mut seen = Vec::new();
    for (_, n) in KEY.iter() {
        seen.push(*n);
        // Ends the one that was seen and the one that comes next.
        workers[*n] = None;
        workers.get_mut(*n + 1).into_iter().for_each(|next| *next = None);
    }
    assert_eq!(seen, [0, 2, 4]);
}

#[test]
fn a_context_is_found_by_its_threads_id_while_it_lives() {
    let worker = Worker::start();
    let id = worker.id();
    assert!(context(id).is_none(), "not before its first touch");
    let handle = worker.handle();
    assert_eq!(context(id).unwrap().ident(), Ident::Thread(id));
    assert_eq!(context(handle.ident()).unwrap().ident(), handle.ident());
    worker.end();
    assert!(context(id).is_none());
}

#[test]
fn a_handle_says_who_it_is() {
    let worker = Worker::with(thread::Builder::new().name("registry test".to_owned()));
    let handle = worker.handle();
    assert_eq!(handle.ident(), worker.id().into());
    assert_eq!(handle.thread_name(), Some("registry test"));
    assert_eq!(handle.state(), State::Running);
    assert_eq!(handle.parent(), None);
    assert_eq!(worker.run(|| get_thread_ctx().ident()), handle.ident());
    assert_eq!(Worker::start().handle().thread_name(), None);
    let shown = format!("{handle:?}");
    assert!(shown.contains(&handle.ident().to_string()) && shown.contains("registry test"), "{shown}");
    worker.end();
    assert_eq!(handle.state(), State::Exited);
    assert_eq!(handle.thread_name(), Some("registry test"), "that much is known for ever");
}

#[cfg(target_os = "linux")]
#[test]
fn the_number_of_a_thread_is_the_one_that_system_tools_show() {
    let worker = Worker::start();
    let seen = worker.run(|| {
        let link = std::fs::read_link("/proc/thread-self").unwrap();
        link.file_name().unwrap().to_str().unwrap().parse::<u64>().unwrap()
    });
    assert_eq!(worker.handle().os_tid(), Some(seen));
}

#[test]
fn a_handle_outlives_its_context_and_finds_nothing_then() {
    static KEY: Key<u8> = Key::new("registry", "outlived");
    let worker = Worker::start();
    worker.run(|| {
        KEY.set(1);
        get_thread_ctx().namespace("registry").insert("name", 1_u8).unwrap();
    });
    let handle = worker.handle();
    assert_eq!(handle.namespace("registry").names(), ["name", "outlived"]);
    worker.end();
    assert_eq!(KEY.get_in(&handle), None);
    let view = handle.namespace("registry");
    assert!(view.names().is_empty() && !view.contains("name"));
    assert_eq!(view.get::<u8>("name").unwrap(), None);
    assert!(view.get::<u16>("name").unwrap().is_none(), "there is nothing of another type either");
    assert!(handle.dump().to_string().contains("exited"));
}

#[test]
fn a_handle_of_a_former_life_of_a_thread_is_not_one_of_the_next() {
    static KEY: Key<u8> = Key::new("registry", "former life");
    let worker = Worker::start();
    worker.run(|| KEY.set(1));
    let former = worker.handle();
    worker.run(|| {
        threadctx::exit_thread_ctx();
        KEY.set(2);
    });
    assert_eq!(KEY.get_in(&former), None);
    assert_eq!(KEY.get_in(&worker.handle()).as_deref(), Some(&2));
}

#[test]
fn no_ident_is_given_twice() {
    let (tell, told) = mpsc::channel();
    for _ in 0..100 {
        let tell = tell.clone();
        thread::spawn(move || tell.send(get_thread_ctx().ident()).unwrap()).join().unwrap();
    }
    drop(tell);
    assert_eq!(all_said(&told).into_iter().collect::<HashSet<_>>().len(), 100);
}

#[test]
fn the_owners_handle_is_a_token_of_whoever_is_current() {
    let ctx = get_thread_ctx();
    let copy = ctx;
    assert_eq!(ctx.ident(), copy.ident());
    assert_eq!(format!("{ctx:?}"), format!("ThreadCtx({})", ctx.ident()));
    assert_eq!(ctx.handle().ident(), ctx.ident());
}

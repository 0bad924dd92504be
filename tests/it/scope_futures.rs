//! A value for part of a future: in place while it is polled and dropped, never in between, whatever runs beside it.

use std::{
    future::{Future, pending, poll_fn, ready},
    panic::{self, AssertUnwindSafe},
    pin::{Pin, pin},
    sync::mpsc,
    task::Poll,
};

use threadctx::{FutureExt, Key, Snapshot, dump, exit_thread_ctx, get_thread_ctx, stats};

use crate::support::{
    executor::{block_on, pause, poll_once},
    last::after_the_exit,
    tracked::{Drops, Tracked},
    worker::Worker,
};

const NS: &str = "scope futures";

/// Gives way so often.
async fn pauses(turns: u32) {
    for _ in 0..turns {
        pause().await;
    }
}

/// What two handlers that run beside each other see of their user, first and last; the one with fewer turns ends first.
async fn two_handlers(user: &'static Key<&'static str>, turns: [u32; 2]) -> [[Option<&'static str>; 2]; 2] {
    let handler = |name, turns| {
        user.scope_future(name, async move { [user.cloned(), (pauses(turns).await, user.cloned()).1] })
    };
    let (alice, bob) = tokio::join!(handler("alice", turns[0]), handler("bob", turns[1]));
    [alice, bob]
}

#[test]
fn two_handlers_in_one_join_each_see_their_own_user_in_either_order() {
    static USER: Key<&str> = Key::new(NS, "join");
    let own = [[Some("alice"); 2], [Some("bob"); 2]];
    for before in [None, Some("before")] {
        for turns in [[1, 3], [3, 1], [2, 2]] {
            before.into_iter().for_each(|before| USER.set(before));
            assert_eq!(block_on(two_handlers(&USER, turns)), own);
            assert_eq!(USER.cloned(), before);
            assert_eq!(block_on(two_handlers(&USER, turns).in_context()), own, "inside a task");
        }
    }
}

#[test]
fn each_has_its_own_around_and_inside_a_context_of_its_own() {
    static USER: Key<&str> = Key::new(NS, "around").inherit();
    let seen = || async { (USER.cloned(), pause().await, USER.cloned()) };
    let both = (Some("alice"), (), Some("alice"));
    assert_eq!(block_on(USER.scope_future("alice", seen()).in_context()), both);
    // The context is made outside the polls, so it has what was current there.
    assert_eq!(block_on(USER.scope_future("alice", seen().in_context())), (None, (), None));
    let made_inside = async { seen().in_context().await };
    assert_eq!(block_on(USER.scope_future("alice", made_inside)), both);
}

#[test]
fn what_the_future_sets_is_kept_for_its_next_poll_and_hidden_in_between() {
    static KEY: Key<u8> = Key::new(NS, "kept");
    KEY.set(1);
    let steps = async {
        assert_eq!(KEY.cloned(), Some(10));
        KEY.set(11);
        pause().await;
        assert_eq!(KEY.cloned(), Some(11));
        drop((KEY.get(), KEY.set(12)));
        pause().await;
        assert_eq!(KEY.take().as_deref(), Some(&12));
        pause().await;
        assert_eq!(KEY.get(), None, "absence is kept as well");
        KEY.set(13);
    };
    let mut future = pin!(KEY.scope_future(10, steps));
    for outside in 1..=3 {
        assert!(poll_once(future.as_mut()).is_pending());
        assert_eq!(KEY.cloned(), Some(outside));
        KEY.set(outside + 1);
    }
    assert!(poll_once(future.as_mut()).is_ready());
    assert_eq!(KEY.cloned(), Some(4));
}

#[test]
fn absence_outside_is_put_back_after_each_poll() {
    static KEY: Key<u8> = Key::new(NS, "absent");
    let mut future = pin!(KEY.scope_future(1, pauses(2)));
    while poll_once(future.as_mut()).is_pending() {
        assert_eq!(KEY.get(), None);
        assert!(!get_thread_ctx().namespace(NS).contains("absent"));
    }
    assert_eq!(KEY.get(), None);
}

#[test]
fn a_panic_in_a_poll_puts_the_outer_value_back_and_the_drop_finds_the_inner_one() {
    static KEY: Key<u8> = Key::new(NS, "panic");
    struct Reads(mpsc::Sender<Option<u8>>);
    impl Drop for Reads {
        fn drop(&mut self) {
            self.0.send(KEY.cloned()).unwrap();
        }
    }
    KEY.set(1);
    let (send, seen) = mpsc::channel();
    let fails = poll_fn(move |_| -> Poll<()> {
        KEY.set(3);
        panic::panic_any("payload")
    });
    let reads = Reads(send);
    let future = async move { (fails.await, drop(reads)).0 };
    let mut future = Box::pin(KEY.scope_future(2, future));
    let panicked = panic::catch_unwind(AssertUnwindSafe(|| poll_once(future.as_mut())));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"payload"));
    assert_eq!(KEY.cloned(), Some(1));
    assert_eq!(seen.try_recv(), Ok(Some(3)), "an async block drops what it has as it panics");
    drop(future);
    assert_eq!(KEY.cloned(), Some(1));
}

/// A future that tells what it finds under a key as it drops.
struct Tells {
    key: &'static Key<u8>,
    to: mpsc::Sender<Option<u8>>,
    is_done: bool,
}

impl Future for Tells {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<()> {
        self.key.update(|value| *value += 1);
        if self.is_done { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Tells {
    fn drop(&mut self) {
        _ = self.to.send(self.key.cloned());
    }
}

#[test]
fn it_is_dropped_with_its_value_in_place_never_polled_half_way_done_and_after_a_panic() {
    static KEY: Key<u8> = Key::new(NS, "drop");
    KEY.set(1);
    let (send, seen) = mpsc::channel();
    let tells = |is_done| Tells { key: &KEY, to: send.clone(), is_done };
    drop(KEY.scope_future(10, tells(false)));
    assert_eq!((seen.try_recv(), KEY.cloned()), (Ok(Some(10)), Some(1)));
    let mut future = Box::pin(KEY.scope_future(10, tells(false)));
    assert!(poll_once(future.as_mut()).is_pending());
    assert_eq!(KEY.cloned(), Some(1));
    drop(future);
    assert_eq!((seen.try_recv(), KEY.cloned()), (Ok(Some(11)), Some(1)));
    let mut future = Box::pin(KEY.scope_future(10, tells(true)));
    assert!(poll_once(future.as_mut()).is_ready());
    assert_eq!((seen.try_recv(), KEY.cloned()), (Ok(Some(11)), Some(1)));
    drop(future);
    assert!(seen.try_recv().is_err(), "once");
}

#[test]
fn a_panic_in_the_futures_drop_passes_through_and_the_outer_value_is_back() {
    static KEY: Key<Tracked> = Key::new(NS, "drop panics");
    struct Bomb;
    impl Future for Bomb {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("expected");
        }
    }
    for is_polled in [true, false] {
        let drops = Drops::default();
        KEY.set(drops.value(0));
        let mut future = Box::pin(KEY.scope_future(drops.value(1), Bomb));
        let panicked = panic::catch_unwind(AssertUnwindSafe(|| {
            if is_polled {
                _ = poll_once(future.as_mut());
            }
            drop(future);
        }));
        assert!(panicked.is_err());
        assert_eq!((drops.numbers(), KEY.with(|value| value.number)), (vec![1], Some(0)));
        KEY.take();
    }
}

#[test]
fn each_value_drops_once_the_inner_ones_with_the_future() {
    static KEY: Key<Tracked> = Key::new(NS, "drops");
    let drops = &Drops::default();
    KEY.set(drops.value(0));
    block_on(KEY.scope_future(drops.value(1), async {
        pause().await;
        KEY.set(drops.value(2));
        assert_eq!(drops.numbers(), [1]);
        pause().await;
    }));
    assert_eq!(drops.numbers(), [1, 2]);
    KEY.take();
    drops.assert_each_once(3);
}

#[test]
fn a_value_that_panics_in_its_drop_is_contained_and_counted() {
    static KEY: Key<Bomb> = Key::new(NS, "bomb");
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("expected");
        }
    }
    let before = stats().drop_panics;
    block_on(KEY.scope_future(Bomb, ready(())));
    let unwound = panic::catch_unwind(AssertUnwindSafe(|| {
        let _future = KEY.scope_future(Bomb, pending::<()>());
        panic!("on its way, where a second panic would abort")
    }));
    assert!(unwound.is_err() && stats().drop_panics >= before + 2);
}

#[test]
fn it_keeps_its_value_on_whatever_thread_it_is_polled() {
    static KEY: Key<u32> = Key::new(NS, "moves");
    let steps = async {
        for _ in 0..10 {
            pause().await;
            KEY.update(|steps| *steps += 1);
        }
        KEY.cloned()
    };
    let mut future: Pin<Box<dyn Future<Output = Option<u32>> + Send>> = Box::pin(KEY.scope_future(0, steps));
    let workers = [Worker::start(), Worker::start(), Worker::start()];
    workers.iter().for_each(|worker| worker.run(|| KEY.set(99)));
    for worker in workers.iter().cycle() {
        let (back, polled) = worker.run(move || {
            let polled = poll_once(future.as_mut());
            assert_eq!(KEY.cloned(), Some(99));
            (future, polled)
        });
        future = back;
        if polled.is_ready() {
            assert_eq!(polled, Poll::Ready(Some(10)));
            return;
        }
    }
}

#[test]
fn scopes_of_one_key_nest() {
    static KEY: Key<u8> = Key::new(NS, "nest");
    let inner = || KEY.scope_future(2, async { (KEY.cloned(), pause().await, KEY.replace(3)).0 });
    let outer = async {
        let seen = (KEY.cloned(), inner().await, KEY.cloned());
        (seen, tokio::join!(inner(), inner()), KEY.cloned())
    };
    let seen = block_on(KEY.scope_future(1, outer));
    assert_eq!(seen, ((Some(1), Some(2), Some(1)), (Some(2), Some(2)), Some(1)));
    assert_eq!(KEY.get(), None);
}

#[test]
fn a_guard_inside_it_may_be_held_over_an_await() {
    static KEY: Key<u8> = Key::new(NS, "guard inside");
    let holds = |value, turns| {
        KEY.scope_future(value, async move {
            let guard = KEY.enter(value + 1);
            pauses(turns).await;
            let inside = KEY.cloned();
            drop(guard);
            (inside, KEY.cloned())
        })
    };
    for turns in [[1, 3], [3, 1]] {
        let both = async { tokio::join!(holds(10, turns[0]), holds(20, turns[1])) };
        assert_eq!(block_on(both), ((Some(11), Some(10)), (Some(21), Some(20))));
        assert_eq!(KEY.get(), None);
    }
}

#[test]
fn a_snapshot_taken_inside_has_the_value() {
    static KEY: Key<u8> = Key::new(NS, "snapshot").inherit();
    let snapshot = block_on(KEY.scope_future(1, async { Snapshot::capture() }));
    assert_eq!((snapshot.run(|| KEY.cloned()), KEY.get()), (Some(1), None));
}

#[test]
fn a_context_that_exits_in_a_poll_takes_the_value_along_and_that_is_counted() {
    static KEY: Key<Tracked> = Key::new(NS, "exit");
    let drops = Drops::default();
    let value = drops.value(0);
    Worker::start().run(move || {
        let future = async {
            assert!(exit_thread_ctx());
            pause().await;
            KEY.get().is_none()
        };
        let misplaced = stats().scopes_misplaced;
        assert!(block_on(KEY.scope_future(value, future)));
        assert!(stats().scopes_misplaced > misplaced);
    });
    drops.assert_each_once(1);
}

#[test]
fn after_the_exit_the_future_is_just_polled() {
    static KEY: Key<Tracked> = Key::new(NS, "gone");
    let drops = Drops::default();
    let (send, seen) = mpsc::channel();
    let values = [drops.value(0), drops.value(1)];
    std::thread::spawn(move || {
        after_the_exit(move || {
            let [one, other] = values;
            send.send(block_on(KEY.scope_future(one, async { KEY.get().is_none() }))).unwrap();
            drop(KEY.scope_future(other, pending::<()>()));
        });
    })
    .join()
    .unwrap();
    assert_eq!(seen.try_recv(), Ok(true));
    drops.assert_each_once(2);
}

#[test]
fn a_value_keeps_its_age_and_its_writes_over_the_polls() {
    static KEY: Key<u8> = Key::new(NS, "age").debug();
    let writes = || {
        let dump: serde_json::Value =
            serde_json::from_str(&get_thread_ctx().handle().dump().to_json()).unwrap();
        let values = dump["contexts"][0]["values"].as_array().unwrap().clone();
        values.iter().find(|value| value["name"] == "age").map(|value| value["writes"].clone())
    };
    (0..5).for_each(|n| KEY.set(n));
    let outside = writes();
    let inside = async {
        KEY.set(7);
        let before = writes();
        pauses(3).await;
        (before, writes())
    };
    let (before, after) = block_on(KEY.scope_future(6, inside));
    assert_eq!((before, writes()), (after, outside));
}

#[test]
fn between_two_polls_no_dump_shows_the_value() {
    static KEY: Key<&str> = Key::new(NS, "hidden").debug();
    let shows = || dump().to_string().contains("only in a poll");
    let mut future = pin!(KEY.scope_future("only in a poll", async { (shows(), pause().await, shows()) }));
    assert!(poll_once(future.as_mut()).is_pending());
    assert!(!shows());
    assert_eq!(poll_once(future.as_mut()), Poll::Ready((true, (), true)));
}

#[test]
fn polling_after_the_end_is_refused_by_a_panic_that_says_so() {
    static KEY: Key<u8> = Key::new(NS, "polled after");
    let mut future = pin!(KEY.scope_future(1, ready(1)));
    assert_eq!(poll_once(future.as_mut()), Poll::Ready(1));
    let panicked = panic::catch_unwind(AssertUnwindSafe(|| poll_once(future.as_mut())));
    let message = panicked.unwrap_err().downcast::<&str>().unwrap();
    assert!(message.contains("a `ScopeFuture` was polled after it was done"), "{message}");
    assert_eq!(KEY.get(), None);
}

#[test]
fn a_clash_of_types_is_a_panic_at_the_call_or_in_the_poll_and_never_in_the_drop() {
    static KEY: Key<u8> = Key::new(NS, "clash");
    static OTHER: Key<String> = Key::new(NS, "clash");
    // By name, in this context, before any key goes by it.
    get_thread_ctx().namespace(NS).insert("clash", 1.5_f64).unwrap();
    let panicked = panic::catch_unwind(|| drop(KEY.scope_future(1, ready(()))));
    assert!(panicked.unwrap_err().downcast_ref::<String>().is_some_and(|message| message.contains("`f64`")));
    let there = Worker::start();
    let future = there.run(|| Box::pin(KEY.scope_future(1, async { KEY.cloned() })));
    let mut future = future;
    assert!(panic::catch_unwind(AssertUnwindSafe(|| poll_once(future.as_mut()))).is_err());
    drop(future);
    assert!(
        there.run(|| panic::catch_unwind(|| drop(OTHER.scope_future(String::new(), ready(())))).is_err())
    );
    assert_eq!(there.run(|| block_on(KEY.scope_future(1, async { KEY.cloned() }))), Some(1));
}

#[test]
fn many_beside_each_other_in_one_task_keep_apart() {
    static KEY: Key<u32> = Key::new(NS, "many");
    let one = |number: u32| {
        KEY.scope_future(number, async move {
            for turn in 0..number % 7 {
                assert_eq!(KEY.replace(number + turn + 1).as_deref(), Some(&(number + turn)));
                pause().await;
            }
            KEY.cloned() == Some(number + number % 7)
        })
    };
    let mut futures: Vec<_> = (0..100).map(|number| Box::pin(one(number))).collect();
    let all = async move {
        while !futures.is_empty() {
            futures.retain_mut(|future| match poll_once(future.as_mut()) {
                Poll::Ready(kept) => (assert!(kept), false).1,
                Poll::Pending => true,
            });
            assert_eq!(KEY.get(), None);
        }
    };
    block_on(all.in_context());
}

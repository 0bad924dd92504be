//! Feature `stream`: a stream has a context of its own from the call to its end.

#![cfg(not(loom))]

use std::{
    panic::{self, AssertUnwindSafe},
    pin::{Pin, pin},
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
};

use futures_core::Stream;
use threadctx::{Ident, Key, State, context, get_thread_ctx, stream::InContextExt};

static USER: Key<&str> = Key::new("stream", "user").inherit();

/// Gives what `next` makes of the number of the poll.
struct FromFn<F> {
    polls: usize,
    next: F,
}

fn from_fn<T, F: FnMut(usize) -> Poll<Option<T>> + Unpin>(next: F) -> impl Stream<Item = T> {
    FromFn { polls: 0, next }
}

impl<T, F: FnMut(usize) -> Poll<Option<T>> + Unpin> Stream for FromFn<F> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
        self.polls += 1;
        let polls = self.polls;
        (self.next)(polls)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (3, Some(4))
    }
}

fn poll<S: Stream>(stream: Pin<&mut S>) -> Poll<Option<S::Item>> {
    stream.poll_next(&mut Context::from_waker(Waker::noop()))
}

fn me() -> Ident {
    get_thread_ctx().ident()
}

#[test]
fn each_poll_is_in_the_streams_context_and_what_is_between_is_not() {
    USER.set("alice");
    let stream = from_fn(|polls| match polls {
        1 => Poll::Ready(Some((USER.replace("bob").as_deref().copied(), me()))),
        2 => Poll::Pending,
        3 => Poll::Ready(Some((USER.cloned(), me()))),
        _ => Poll::Ready(None),
    });
    let mut stream = pin!(stream.in_context().named("rows"));
    let handle = stream.handle();
    USER.set("carol");
    let own = handle.ident();
    assert_eq!((handle.name(), handle.parent()), (Some("rows"), Some(me())));
    assert_eq!(poll(stream.as_mut()), Poll::Ready(Some((Some("alice"), own))));
    assert_eq!((USER.cloned(), me() == own), (Some("carol"), false));
    assert_eq!(poll(stream.as_mut()), Poll::Pending);
    assert_eq!(poll(stream.as_mut()), Poll::Ready(Some((Some("bob"), own))));
    assert_eq!(USER.cloned(), Some("carol"));
    assert!(context(own).is_some());
}

#[test]
fn its_context_exits_as_it_ends_and_it_stays_ended() {
    static EXITS: AtomicUsize = AtomicUsize::new(0);
    static DROPPED_IN: Key<DroppedIn> = Key::new("stream", "dropped in");
    struct DroppedIn(Ident);
    impl Drop for DroppedIn {
        fn drop(&mut self) {
            assert_eq!(me(), self.0);
            EXITS.fetch_add(1, Ordering::SeqCst);
        }
    }
    let stream = from_fn(|polls| {
        DROPPED_IN.get_or_init(|| DroppedIn(me()));
        if polls < 3 { Poll::Ready(Some(polls)) } else { Poll::Ready(None) }
    });
    let mut stream = pin!(stream.in_context());
    let handle = stream.handle();
    assert_eq!(stream.size_hint(), (3, Some(4)));
    assert_eq!([poll(stream.as_mut()), poll(stream.as_mut())], [1, 2].map(|n| Poll::Ready(Some(n))));
    assert_eq!((EXITS.load(Ordering::SeqCst), handle.state()), (0, State::Running));
    for _ in 0..2 {
        assert_eq!(poll(stream.as_mut()), Poll::Ready(None));
        assert_eq!((EXITS.load(Ordering::SeqCst), handle.state()), (1, State::Exited));
        assert_eq!(stream.size_hint(), (0, Some(0)));
    }
}

#[test]
fn one_that_is_dropped_half_way_or_that_panicked_exits_too() {
    for next in [(|_| Poll::Ready(Some(1))) as fn(usize) -> Poll<Option<i32>>, |_| panic!("expected")] {
        let mut stream = Box::pin(from_fn(next).in_context());
        let handle = stream.handle();
        let before = me();
        let _ = panic::catch_unwind(AssertUnwindSafe(|| poll(stream.as_mut())));
        assert_eq!((me(), handle.state()), (before, State::Running));
        drop(stream);
        assert_eq!(handle.state(), State::Exited);
        assert!(context(handle.ident()).is_none());
    }
}

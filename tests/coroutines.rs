//! Stackful coroutines that are suspended in the middle of a poll: the polls of one thread end in any order.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
};

use corosensei::{Coroutine, CoroutineResult, Yielder};
use threadctx::{FutureExt, Ident, Key, State, context, exit_thread_ctx, get_thread_ctx, stats};

static STEP: Key<String> = Key::new("coroutine", "step").debug();

type Task = Coroutine<(), Ident, ()>;

/// A coroutine whose task gives its ident away, is suspended inside its one poll, and writes when it is resumed.
fn suspended_task(name: &'static str) -> Task {
    Coroutine::new(move |yielder: &Yielder<(), Ident>, ()| {
        let body = poll_fn(|_| {
            STEP.set(format!("{name} began"));
            yielder.suspend(get_thread_ctx().ident());
            STEP.set(format!("{name} was resumed"));
            Poll::Ready(())
        });
        let task = pin!(body.in_context());
        assert!(task.poll(&mut Context::from_waker(Waker::noop())).is_ready());
    })
}

fn begin(task: &mut Task) -> Ident {
    match task.resume(()) {
        CoroutineResult::Yield(ident) => ident,
        CoroutineResult::Return(()) => panic!("the task is suspended first"),
    }
}

fn end(task: &mut Task) {
    assert!(matches!(task.resume(()), CoroutineResult::Return(())));
}

/// On a thread of its own: what `code` does to the current context is seen by no other test.
fn on_a_thread(code: impl FnOnce() + Send + 'static) {
    std::thread::spawn(code).join().unwrap();
}

#[test]
fn of_two_suspended_polls_the_first_to_begin_may_end_first() {
    on_a_thread(|| {
        STEP.set("own".to_owned());
        let own = get_thread_ctx().ident();
        let (mut one, mut other) = (suspended_task("one"), suspended_task("other"));
        let (first, second) = (begin(&mut one), begin(&mut other));
        let before = stats().scopes_misplaced;
        end(&mut one);
        assert!(context(first).is_none(), "its exit ran");
        assert_eq!(get_thread_ctx().ident(), second, "the other poll has not ended");
        end(&mut other);
        assert!(context(second).is_none());
        assert_eq!(get_thread_ctx().ident(), own);
        assert_eq!(STEP.cloned().as_deref(), Some("own"));
        assert!(stats().scopes_misplaced > before, "the poll that ended out of order is counted");
        assert_eq!(get_thread_ctx().handle().carries(), None);
    });
}

#[test]
fn polls_that_end_from_the_middle_leave_the_others_in_place() {
    on_a_thread(|| {
        let own = get_thread_ctx().handle();
        let mut tasks: Vec<_> = ["a", "b", "c", "d"].map(suspended_task).into();
        let idents: Vec<_> = tasks.iter_mut().map(begin).collect();
        for (ended, current) in [(1, Some(3)), (2, Some(3)), (3, Some(0)), (0, None)] {
            end(&mut tasks[ended]);
            let expected = current.map_or(own.ident(), |task: usize| idents[task]);
            assert_eq!(get_thread_ctx().ident(), expected);
            assert_eq!(own.carries(), (ended != 0).then_some(idents[0]));
        }
    });
}

#[test]
fn a_suspended_poll_that_is_unwound_gives_its_place_back() {
    on_a_thread(|| {
        let own = get_thread_ctx().ident();
        let (mut one, mut other) = (suspended_task("one"), suspended_task("other"));
        let (first, second) = (begin(&mut one), begin(&mut other));
        drop(one);
        assert!(context(first).is_none(), "a dropped future's exit runs");
        assert_eq!(get_thread_ctx().ident(), second);
        drop(other);
        assert_eq!(get_thread_ctx().ident(), own);
    });
}

#[test]
fn a_thread_that_had_no_context_has_none_when_the_last_poll_has_ended() {
    on_a_thread(|| {
        let (mut one, mut other) = (suspended_task("one"), suspended_task("other"));
        begin(&mut one);
        begin(&mut other);
        end(&mut one);
        end(&mut other);
        assert!(!exit_thread_ctx(), "there is nothing to exit");
        STEP.set("own".to_owned());
        assert_eq!(get_thread_ctx().ident(), std::thread::current().id().into());
    });
}

/// The thread's exit runs while a poll is suspended; the coroutine is unwound after it.
#[test]
fn a_poll_that_outlives_its_threads_exit_finds_the_thread_gone() {
    use std::{cell::RefCell, sync::mpsc};

    /// A suspended task, who is told how its thread was when the task is dropped, and the thread's context.
    type Left = (Task, mpsc::Sender<(State, bool)>, threadctx::ContextRef);

    struct AtTheEnd(Option<Left>);

    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            let (task, send, own) = self.0.take().unwrap();
            let state = own.state();
            drop(task);
            send.send((state, threadctx::try_get_thread_ctx().is_err())).unwrap();
        }
    }

    thread_local! {
        static LAST: RefCell<AtTheEnd> = const { RefCell::new(AtTheEnd(None)) };
    }

    let (send, receive) = mpsc::channel();
    on_a_thread(move || {
        // Used before the crate, so that its destructor runs after the exit.
        LAST.with(|_| ());
        STEP.set("own".to_owned());
        let own = get_thread_ctx().handle();
        let mut task = suspended_task("one");
        begin(&mut task);
        LAST.with(|last| last.borrow_mut().0 = Some((task, send, own)));
    });
    assert_eq!(receive.recv().unwrap(), (State::Exited, true));
}

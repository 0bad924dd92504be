//! Accessors: a module exports what it likes of a key that others do not see.

use std::{
    panic::{self, AssertUnwindSafe},
    pin::pin,
    task::Poll,
};

use crate::support::executor::{pause, poll_once};

/// Has the key, and says what of it others may do.
mod identity {
    use threadctx::{Key, accessors};

    #[derive(Debug, PartialEq)]
    pub(crate) struct User(pub(crate) &'static str);

    static CURRENT_USER: Key<User> = Key::new("accessors", "user");
    static TRIES: Key<u32> = Key::new("accessors", "tries");
    static PAGE: Key<u32> = Key::new("accessors", "page");
    static QUIET: Key<u32> = Key::new("accessors", "quiet");

    accessors! {
        /// The user this request runs for.
        CURRENT_USER: User {
            get: pub(crate) get_current_user,
            set: pub(crate) set_current_user,
            with: pub(crate) with_current_user,
            take: pub(super) forget_current_user,
            scope: pub(crate) impersonate,
        }
        /// How often it was tried: any part may be left out, in any order, with or without a comma at the end.
        TRIES: u32 { set: pub(super) set_tries, get: pub(super) tries }
        PAGE: u32 {
            enter: pub(super) enter_page,
            cloned: pub(super) page,
            scope: pub(super) on_page,
            scope_future: pub(super) on_page_async,
            with: pub(super) with_page,
            take: pub(super) close_page,
        }
        QUIET: u32 { get: private_and_unused_outside }
    }

    pub(super) fn quiet() -> Option<u32> {
        QUIET.set(3);
        private_and_unused_outside().as_deref().copied()
    }
}

/// Changes it.
mod login {
    use super::identity::{User, impersonate, set_current_user};

    pub(super) fn log_in(name: &'static str) {
        set_current_user(User(name));
    }

    pub(super) fn as_root<R>(what: impl FnOnce() -> R) -> R {
        impersonate(User("root"), what)
    }
}

/// Reads it.
mod audit {
    use super::identity::{get_current_user, with_current_user};

    pub(super) fn who() -> Option<&'static str> {
        let name = with_current_user(|user| user.0);
        assert_eq!(get_current_user().map(|user| user.0), name);
        name
    }
}

#[test]
fn three_modules_share_one_value_through_functions() {
    assert_eq!(audit::who(), None);
    login::log_in("alice");
    assert_eq!(audit::who(), Some("alice"));
    assert_eq!(login::as_root(audit::who), Some("root"));
    assert_eq!(audit::who(), Some("alice"));
    assert_eq!(std::thread::spawn(audit::who).join().unwrap(), None, "another thread has none");
    assert_eq!(identity::forget_current_user().unwrap().0, "alice");
    assert_eq!(audit::who(), None);
}

#[test]
fn every_part_is_optional() {
    identity::set_tries(2);
    assert_eq!(identity::tries().as_deref(), Some(&2));
    assert_eq!(identity::quiet(), Some(3));
}

#[test]
fn the_value_is_found_by_name_all_the_same() {
    login::log_in("bob");
    let namespace = threadctx::get_thread_ctx().namespace("accessors");
    assert_eq!(namespace.get::<identity::User>("user").unwrap().unwrap().0, "bob");
}

#[test]
fn a_guard_puts_back_what_was_there_and_a_clone_is_the_callers() {
    assert_eq!(identity::page(), None);
    let outer = identity::enter_page(1);
    drop(identity::enter_page(2));
    assert_eq!(identity::page(), Some(1));
    drop(outer);
    assert_eq!(identity::page(), None);
}

#[test]
fn a_scope_puts_back_what_was_there_on_a_panic_on_return_and_of_two_the_right_one() {
    for before in [None, Some(1)] {
        let _before = before.map(identity::enter_page);
        let unwound = panic::catch_unwind(|| identity::on_page(2, || panic::panic_any(77_u64)));
        assert_eq!(*unwound.unwrap_err().downcast::<u64>().unwrap(), 77);
        assert_eq!(identity::page(), before);
        assert_eq!(identity::on_page(2, || identity::on_page(3, identity::page)), Some(3));
        let inner =
            || (panic::catch_unwind(|| identity::on_page(3, || panic!("expected"))), identity::page()).1;
        assert_eq!(identity::on_page(2, inner), Some(2));
        assert_eq!(identity::page(), before);
    }
}

#[test]
fn a_guard_puts_back_what_was_there_on_a_panic() {
    for before in [None, Some(1)] {
        let _before = before.map(identity::enter_page);
        let unwound = panic::catch_unwind(|| {
            let _two = identity::enter_page(2);
            let _three = identity::enter_page(3);
            panic!("expected")
        });
        assert!(unwound.is_err());
        assert_eq!(identity::page(), before);
    }
}

#[test]
fn a_panic_in_a_closure_with_the_value_leaves_the_value_as_it_was() {
    let _page = identity::enter_page(1);
    assert!(panic::catch_unwind(|| identity::with_page(|_| panic!("expected"))).is_err());
    assert_eq!((identity::page(), identity::with_page(|page| *page)), (Some(1), Some(1)));
    assert_eq!(identity::close_page().as_deref(), Some(&1));
    assert_eq!((identity::close_page(), identity::with_page(|page| *page)), (None, None));
}

#[test]
fn a_future_has_the_value_in_each_poll_and_not_in_between_nor_after_a_panic() {
    let steps = async { (identity::page(), pause().await, identity::page()) };
    let mut future = pin!(identity::on_page_async(1, steps));
    assert!(poll_once(future.as_mut()).is_pending());
    assert_eq!(identity::page(), None);
    assert_eq!(poll_once(future.as_mut()), Poll::Ready((Some(1), (), Some(1))));
    let mut fails = pin!(identity::on_page_async(2, async { panic!("expected") }));
    assert!(
        panic::catch_unwind(AssertUnwindSafe(|| poll_once::<dyn Future<Output = ()>>(fails.as_mut())))
            .is_err()
    );
    assert_eq!(identity::page(), None);
}

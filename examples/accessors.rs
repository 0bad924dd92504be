//! One value, three modules: one owns it, one sets it, one reads it, and the key never leaves the first.
//!
//! What a module exports of its key is its interface: here anybody may ask who is signed in, the crate may sign in, and
//! nobody can get at the key to do anything else.
//!
//! ```text
//! cargo run --example accessors
//! ```

use std::{panic, thread};

/// Owns the key. Others see the functions alone.
mod session {
    use threadctx::{Key, accessors};

    #[derive(Debug)]
    pub(crate) struct User {
        pub(crate) name: &'static str,
        pub(crate) may_delete: bool,
    }

    static CURRENT: Key<User> = Key::new("session", "user").debug();

    accessors! {
        /// The user that the current thread works for.
        CURRENT: User {
            get: pub(crate) current_user,
            with: pub(crate) with_current_user,
            set: pub(super) sign_in,
            take: pub(super) sign_out,
            scope: pub(super) impersonate,
        }
    }
}

/// Decides who works for whom, and knows of the value no more than the functions to set it.
mod desk {
    use super::session::{self, User};

    const ADMIN: User = User { name: "admin", may_delete: true };

    pub(crate) fn open(name: &'static str) {
        session::sign_in(User { name, may_delete: false });
    }

    /// Runs `job` with the rights of the administrator, and only that.
    pub(crate) fn as_admin<R>(job: impl FnOnce() -> R) -> R {
        session::impersonate(ADMIN, job)
    }

    pub(crate) fn close() -> Option<&'static str> {
        session::sign_out().map(|user| user.name)
    }
}

/// Reads, deep inside, where nobody passed a user down.
mod archive {
    use super::session;

    pub(crate) fn delete(file: &str) -> Result<String, String> {
        let user = session::current_user().ok_or("nobody is signed in")?;
        if user.may_delete {
            Ok(format!("{} deleted {file}", user.name))
        } else {
            Err(format!("{} may not delete {file}", user.name))
        }
    }

    /// Reads in place: nothing is counted, copied or locked.
    pub(crate) fn reader() -> Option<&'static str> {
        session::with_current_user(|user| user.name)
    }
}

fn main() {
    assert_eq!(archive::delete("a.log"), Err("nobody is signed in".to_owned()));
    desk::open("alice");
    tell(archive::delete("a.log"), Err("alice may not delete a.log"));
    tell(desk::as_admin(|| archive::delete("a.log")), Ok("admin deleted a.log"));
    tell(archive::delete("b.log"), Err("alice may not delete b.log"));

    check_panic_restores();
    check_other_thread_sees_nothing();

    assert_eq!(desk::close(), Some("alice"));
    assert_eq!(archive::reader(), None);
    println!("signed out: nobody is left");
}

fn tell(result: Result<String, String>, expected: Result<&str, &str>) {
    assert_eq!(result.as_deref().map_err(String::as_str), expected);
    println!("{}", result.unwrap_or_else(|refusal| refusal));
}

/// An impersonation ends with its closure, however that ends.
fn check_panic_restores() {
    // `resume_unwind` is a panic without the message that would only confuse here.
    let failed = panic::catch_unwind(|| desk::as_admin(|| panic::resume_unwind(Box::new(()))));
    assert!(failed.is_err());
    assert_eq!(archive::reader(), Some("alice"));
    println!("after a panic as admin, the user is alice again");
}

/// Nothing is inherited by accident.
fn check_other_thread_sees_nothing() {
    let other = thread::spawn(archive::reader).join();
    assert_eq!(other.expect("reading does not panic"), None);
    println!("another thread has no user");
}

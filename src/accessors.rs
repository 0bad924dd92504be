//! Functions that a module exports so that others use its key without seeing it.

/// Makes documented functions from a key, so that a module can keep the key private and export what it likes of it.
///
/// Each part is optional, in any order, with a name and a visibility of yours: `get` gives another count of the value and
/// `cloned` a clone, `with` runs a closure with it, `set` puts one in, `take` takes it out, `scope` runs a closure with
/// one in its place, `scope_future` a future, and `enter` has one there for as long as the guard that it gives. Doc comments go on all of them.
/// Several keys may follow one another.
///
/// ```
/// mod identity {
///     use threadctx::{Key, accessors};
///
///     pub struct User(pub String);
///
///     static CURRENT_USER: Key<User> = Key::new("http", "user");
///
///     accessors! {
///         /// The user this request runs for.
///         CURRENT_USER: User {
///             get: pub get_current_user,
///             set: pub(crate) set_current_user,
///             with: pub with_current_user,
///             take: pub(crate) forget_current_user,
///             scope: pub impersonate,
///         }
///     }
/// }
///
/// use identity::{User, *};
///
/// set_current_user(User("alice".to_owned()));
/// assert_eq!(with_current_user(|user| user.0.len()), Some(5));
/// impersonate(User("root".to_owned()), || assert_eq!(get_current_user().unwrap().0, "root"));
/// assert_eq!(forget_current_user().unwrap().0, "alice");
/// assert!(get_current_user().is_none());
/// ```
#[macro_export]
macro_rules! accessors {
    ($($(#[$meta:meta])* $key:ident : $type:ty { $($part:ident : $vis:vis $name:ident),* $(,)? })*) => {
        $($crate::accessors!(@each [$(#[$meta])*] $key $type; $($part [$vis] $name)*);)*
    };
    (@each $meta:tt $key:ident $type:ty;) => {};
    (@each $meta:tt $key:ident $type:ty; $part:ident $vis:tt $name:ident $($rest:tt)*) => {
        $crate::accessors!(@$part $meta $key $type; $vis $name);
        $crate::accessors!(@each $meta $key $type; $($rest)*);
    };
    (@get [$(#[$meta:meta])*] $key:ident $type:ty; [$vis:vis] $name:ident) => {
        $(#[$meta])*
        ///
        /// Gives another count of the current context's value, if it has one.
        $vis fn $name() -> ::core::option::Option<::std::sync::Arc<$type>> {
            $key.get()
        }
    };
    (@cloned [$(#[$meta:meta])*] $key:ident $type:ty; [$vis:vis] $name:ident) => {
        $(#[$meta])*
        ///
        /// Gives a clone of the current context's value, if it has one.
        $vis fn $name() -> ::core::option::Option<$type> {
            $key.cloned()
        }
    };
    (@set [$(#[$meta:meta])*] $key:ident $type:ty; [$vis:vis] $name:ident) => {
        $(#[$meta])*
        ///
        /// Puts `value` in the current context in place of what there was.
        $vis fn $name(value: $type) {
            $key.set(value);
        }
    };
    (@with [$(#[$meta:meta])*] $key:ident $type:ty; [$vis:vis] $name:ident) => {
        $(#[$meta])*
        ///
        /// Runs `f` with the current context's value, in place; `None` if there is none.
        $vis fn $name<R>(f: impl ::core::ops::FnOnce(&$type) -> R) -> ::core::option::Option<R> {
            $key.with(f)
        }
    };
    (@take [$(#[$meta:meta])*] $key:ident $type:ty; [$vis:vis] $name:ident) => {
        $(#[$meta])*
        ///
        /// Takes the value out of the current context.
        $vis fn $name() -> ::core::option::Option<::std::sync::Arc<$type>> {
            $key.take()
        }
    };
    (@scope [$(#[$meta:meta])*] $key:ident $type:ty; [$vis:vis] $name:ident) => {
        $(#[$meta])*
        ///
        /// Runs `f` with `value` in the current context, and puts back what was there: on return, and on a panic.
        $vis fn $name<R>(value: $type, f: impl ::core::ops::FnOnce() -> R) -> R {
            $key.scope(value, f)
        }
    };
    (@scope_future [$(#[$meta:meta])*] $key:ident $type:ty; [$vis:vis] $name:ident) => {
        $(#[$meta])*
        ///
        /// Runs `future` with `value` in the current context: in place during each poll, and put aside in between.
        $vis fn $name<F: ::core::future::Future>(value: $type, future: F) -> $crate::ScopeFuture<$type, F> {
            $key.scope_future(value, future)
        }
    };
    (@enter [$(#[$meta:meta])*] $key:ident $type:ty; [$vis:vis] $name:ident) => {
        $(#[$meta])*
        ///
        /// Puts `value` in the current context, until the guard drops and puts back what was there.
        $vis fn $name(value: $type) -> $crate::Scope<$type> {
            $key.enter(value)
        }
    };
    (@$part:ident $meta:tt $key:ident $type:ty; $vis:tt $name:ident) => {
        ::core::compile_error!(::core::concat!(
            "accessors!: `", ::core::stringify!($part), "` is none of get, cloned, with, set, take, scope, scope_future, enter"
        ));
    };
}

//! What can go wrong. Each message says what happened, the likely cause, and what to do.
//!
//! An error that wraps another one prints it and returns no `source`, so a report that prints an error with its sources says each
//! thing once.

use std::{fmt, panic::Location};

use crate::{Ident, title::TitleRef};

/// This thread's context is gone: the thread is past its exit.
///
/// ```
/// if let Err(gone) = threadctx::try_get_thread_ctx() {
///     eprintln!("{gone}");
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the context of {ident} is gone: the thread is exiting and this ran after the context's own exit, most likely from \
     the destructor of a thread-local that is older than the context; do this work in an exit hook instead"
)]
pub struct AccessError {
    ident: Ident,
}

impl AccessError {
    pub(crate) fn gone(ident: Ident) -> Self {
        Self { ident }
    }

    /// Whose context is gone.
    ///
    /// ```
    /// if let Err(gone) = threadctx::try_get_thread_ctx() {
    ///     eprintln!("{} came too late", gone.ident());
    /// }
    /// ```
    pub fn ident(&self) -> Ident {
        self.ident
    }
}

/// Who gave a name its type, or asks for it: the type and the place in the source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) type_name: &'static str,
    pub(crate) place: &'static Location<'static>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.type_name, self.place)
    }
}

#[derive(Clone, Debug)]
struct Clash {
    namespace: Box<str>,
    name: Box<str>,
    held: Holder,
    asked: Holder,
}

/// One name was used with two types. The message names both, with the place in the source where each comes from.
///
/// ```
/// let probe = threadctx::get_thread_ctx().namespace("probe");
/// probe.insert("rate", 50_u32).unwrap();
/// let mismatch = probe.get::<String>("rate").unwrap_err();
/// assert!(mismatch.to_string().contains("`u32`"));
/// assert!(mismatch.to_string().contains("`alloc::string::String`"));
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "`{}.{}` is {}, but it was used as {}: a name has one type; use the same type in both places, or rename one of them",
    clash.namespace.escape_debug(), clash.name.escape_debug(), clash.held, clash.asked
)]
pub struct TypeMismatch {
    clash: Box<Clash>,
}

impl TypeMismatch {
    pub(crate) fn new(title: TitleRef<'_>, held: Holder, asked: Holder) -> Self {
        let TitleRef { namespace, name, .. } = title;
        Self { clash: Box::new(Clash { namespace: namespace.into(), name: name.into(), held, asked }) }
    }

    /// The namespace of the name.
    ///
    /// ```
    /// let probe = threadctx::get_thread_ctx().namespace("probe");
    /// probe.insert("rate", 50_u32).unwrap();
    /// assert_eq!(probe.get::<String>("rate").unwrap_err().namespace(), "probe");
    /// ```
    pub fn namespace(&self) -> &str {
        &self.clash.namespace
    }

    /// The name.
    ///
    /// ```
    /// let probe = threadctx::get_thread_ctx().namespace("probe");
    /// probe.insert("rate", 50_u32).unwrap();
    /// assert_eq!(probe.get::<String>("rate").unwrap_err().name(), "rate");
    /// ```
    pub fn name(&self) -> &str {
        &self.clash.name
    }
}

#[derive(Clone, Debug, thiserror::Error)]
enum Reason {
    #[error(transparent)]
    Gone(#[from] AccessError),
    #[error(transparent)]
    WrongType(#[from] TypeMismatch),
}

/// A value was not stored. It comes back with the error.
///
/// ```
/// let probe = threadctx::get_thread_ctx().namespace("probe");
/// probe.insert("rate", 50_u32).unwrap();
/// let refused = probe.insert("rate", String::from("fast")).unwrap_err();
/// assert!(refused.is_wrong_type() && !refused.is_gone());
/// assert_eq!(refused.into_value(), "fast");
/// ```
#[derive(thiserror::Error)]
#[error("the value was not stored: {reason}")]
pub struct Refused<T> {
    value: T,
    reason: Reason,
}

impl<T> Refused<T> {
    pub(crate) fn gone(value: T, ident: Ident) -> Self {
        Self { value, reason: AccessError::gone(ident).into() }
    }

    pub(crate) fn wrong_type(value: T, mismatch: TypeMismatch) -> Self {
        Self { value, reason: mismatch.into() }
    }

    /// The value that was refused.
    ///
    /// ```
    /// # static KEY: threadctx::Key<String> = threadctx::Key::new("example", "into_value");
    /// let stored = KEY.try_set("precious".to_owned());
    /// if let Err(refused) = stored {
    ///     println!("kept for later: {}", refused.into_value());
    /// }
    /// ```
    pub fn into_value(self) -> T {
        self.value
    }

    /// Whether this thread's context is gone.
    ///
    /// ```
    /// # static KEY: threadctx::Key<String> = threadctx::Key::new("example", "is_gone");
    /// assert!(!KEY.try_set("in time".to_owned()).is_err_and(|refused| refused.is_gone()));
    /// ```
    pub fn is_gone(&self) -> bool {
        matches!(self.reason, Reason::Gone(_))
    }

    /// Whether the name is one of another type.
    ///
    /// ```
    /// let probe = threadctx::get_thread_ctx().namespace("probe");
    /// probe.insert("rate", 50_u32).unwrap();
    /// assert!(probe.insert("rate", "fast").unwrap_err().is_wrong_type());
    /// ```
    pub fn is_wrong_type(&self) -> bool {
        matches!(self.reason, Reason::WrongType(_))
    }
}

/// The message without the value, whose type need not be `Debug`.
impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("reason", &self.reason).finish_non_exhaustive()
    }
}

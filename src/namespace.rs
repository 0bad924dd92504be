//! Dynamic names: the parts of a context by name, for its owner and for everybody.

use std::{
    any::type_name,
    fmt::{self, Debug},
    marker::PhantomData,
    panic::Location,
};

use serde::Serialize;

use crate::{
    ContextRef, Refused, TypeMismatch, current,
    dump::Shown,
    error::Holder,
    names::{DisplacedByName, WrongType},
    slot::{Outgoing, Shared},
    sync::Arc,
    title::TitleRef,
};

/// A named part of the current context: one module's or one library's share.
///
/// Names and [`Key`](crate::Key)s share one store: what is put in by name is the value of the key that goes by the same
/// namespace and name, if the types agree, and the other way round.
///
/// Reads, `remove` and `clear` register nothing, and after this thread's exit they find nothing.
///
/// ```
/// let probe = threadctx::get_thread_ctx().namespace("probe");
/// probe.insert("host", String::from("localhost")).unwrap();
/// assert_eq!(probe.get::<String>("host").unwrap().as_deref().map(String::as_str), Some("localhost"));
/// assert_eq!(probe.names(), ["host"]);
/// ```
#[derive(Clone, Copy)]
pub struct Namespace<'n> {
    name: &'n str,
    not_send: PhantomData<*const ()>,
}

/// A name as one call gives it, with the place of the call.
struct Asked<'a> {
    title: TitleRef<'a>,
    place: &'static Location<'static>,
}

impl Asked<'_> {
    /// The error that it is not a `T`.
    fn mismatch<T>(&self, held: Holder) -> TypeMismatch {
        let asked = Holder { type_name: type_name::<T>(), place: self.place };
        TypeMismatch::new(self.title, held, asked)
    }

    /// Stores `value`, unless the name is one of another type or this thread's context is gone.
    fn put<T: Send + Sync + 'static>(&self, value: T, shown: Shown) -> Result<Option<Arc<T>>, Refused<T>> {
        let value = Arc::new(value);
        match self.put_shared(&value, shown) {
            Some(Ok(former)) => Ok(former),
            Some(Err(held)) => Err(Refused::wrong_type(sole(value), self.mismatch::<T>(held))),
            None => Err(Refused::gone(sole(value), current::ident())),
        }
    }

    /// The same for a value that the caller keeps; `None` where the context is gone.
    fn put_shared<T>(&self, value: &Arc<T>, shown: Shown) -> Option<Result<Option<Arc<T>>, Holder>>
    where
        T: Send + Sync + 'static,
    {
        current::touch();
        let (put, adopted) = current::owner(|owner| {
            let adopted = owner.adopt_names();
            let put = owner.put(self.title, Shared::new(Arc::clone(value)), (shown, self.place));
            (put, adopted)
        })?;
        drop(adopted);
        let put = put.map_err(|WrongType { held, value }| {
            drop(value);
            held
        });
        Some(put.map(|DisplacedByName { former, outgoing }| {
            drop(outgoing);
            former.map(|former| former.downcast().expect("the type was compared before the write"))
        }))
    }
}

/// A value that was not stored, so that its `Arc` is the only one.
fn sole<T>(value: Arc<T>) -> T {
    Arc::try_unwrap(value).ok().expect("nobody else was given the value")
}

impl<'n> Namespace<'n> {
    pub(crate) fn new(name: &'n str) -> Self {
        Self { name, not_send: PhantomData }
    }

    #[track_caller]
    fn asked<'a>(&'a self, name: &'a str) -> Asked<'a> {
        Asked { title: TitleRef::new(self.name, name), place: Location::caller() }
    }

    /// Stores `value` under `name` and gives what was there. A dump shows it by its `Debug`, unless a key goes by the
    /// name, which then decides.
    ///
    /// A name keeps the type of its first insert until it is removed.
    ///
    /// # Errors
    ///
    /// The name is one of another type, or this thread's context is gone. The value comes back with the error.
    ///
    /// ```
    /// let probe = threadctx::get_thread_ctx().namespace("probe");
    /// assert_eq!(probe.insert("rate", 50_u32).unwrap(), None);
    /// assert_eq!(probe.insert("rate", 60_u32).unwrap().as_deref(), Some(&50));
    /// assert_eq!(probe.insert("rate", "fast").unwrap_err().into_value(), "fast");
    /// ```
    #[track_caller]
    pub fn insert<T>(&self, name: &str, value: T) -> Result<Option<Arc<T>>, Refused<T>>
    where
        T: Debug + Send + Sync + 'static,
    {
        self.asked(name).put(value, Shown::debug::<T>())
    }

    /// The same; a dump shows the value as JSON.
    ///
    /// # Errors
    ///
    /// As for [`insert`](Self::insert).
    ///
    /// ```
    /// let ctx = threadctx::get_thread_ctx();
    /// ctx.namespace("probe").insert_json("ports", vec![80, 443]).unwrap();
    /// assert!(threadctx::dump().to_json().contains("[80,443]"));
    /// ```
    #[track_caller]
    pub fn insert_json<T>(&self, name: &str, value: T) -> Result<Option<Arc<T>>, Refused<T>>
    where
        T: Serialize + Send + Sync + 'static,
    {
        self.asked(name).put(value, Shown::json::<T>())
    }

    /// The same; a dump shows the value's type only.
    ///
    /// # Errors
    ///
    /// As for [`insert`](Self::insert).
    ///
    /// ```
    /// struct Connection;
    ///
    /// let db = threadctx::get_thread_ctx().namespace("db");
    /// db.insert_opaque("connection", Connection).unwrap();
    /// assert!(threadctx::dump().to_string().contains("db.connection = <Connection>"));
    /// ```
    #[track_caller]
    pub fn insert_opaque<T>(&self, name: &str, value: T) -> Result<Option<Arc<T>>, Refused<T>>
    where
        T: Send + Sync + 'static,
    {
        self.asked(name).put(value, Shown::Opaque)
    }

    /// The same; a dump shows the value's type and age, and never renders it.
    ///
    /// # Errors
    ///
    /// As for [`insert`](Self::insert).
    ///
    /// ```
    /// let auth = threadctx::get_thread_ctx().namespace("auth");
    /// auth.insert_secret("token", String::from("hunter2")).unwrap();
    /// assert!(threadctx::dump().to_string().contains("auth.token = <secret String>"));
    /// ```
    #[track_caller]
    pub fn insert_secret<T>(&self, name: &str, value: T) -> Result<Option<Arc<T>>, Refused<T>>
    where
        T: Send + Sync + 'static,
    {
        self.asked(name).put(value, Shown::Secret)
    }

    /// What goes by `name`, if anything does.
    ///
    /// # Errors
    ///
    /// It is of another type.
    ///
    /// ```
    /// let probe = threadctx::get_thread_ctx().namespace("probe");
    /// assert_eq!(probe.get::<u32>("rate").unwrap(), None);
    /// probe.insert("rate", 50_u32).unwrap();
    /// assert_eq!(probe.get::<u32>("rate").unwrap().as_deref(), Some(&50));
    /// assert!(probe.get::<i64>("rate").is_err());
    /// ```
    #[track_caller]
    pub fn get<T: Send + Sync + 'static>(&self, name: &str) -> Result<Option<Arc<T>>, TypeMismatch> {
        let asked = self.asked(name);
        let found = current::owner(|owner| owner.read_name(asked.title)).flatten();
        found.transpose().map_err(|held| asked.mismatch::<T>(held))
    }

    /// What goes by `name`, made by `make` and stored if nothing does. After this thread's exit: what `make` gives,
    /// unstored.
    ///
    /// `make` may use the whole crate. If it fills this very name, what it put there stays.
    ///
    /// # Errors
    ///
    /// The name is one of another type.
    ///
    /// ```
    /// let probe = threadctx::get_thread_ctx().namespace("probe");
    /// assert_eq!(*probe.get_or_insert_with("rate", || 50_u32).unwrap(), 50);
    /// assert_eq!(*probe.get_or_insert_with("rate", || 60_u32).unwrap(), 50);
    /// ```
    #[track_caller]
    pub fn get_or_insert_with<T>(&self, name: &str, make: impl FnOnce() -> T) -> Result<Arc<T>, TypeMismatch>
    where
        T: Debug + Send + Sync + 'static,
    {
        let asked = self.asked(name);
        current::touch();
        let present = || {
            let held = current::owner(|owner| owner.holder_of_name(asked.title)).flatten();
            match held {
                Some((held, value_type)) if !value_type.is::<T>() => Err(asked.mismatch::<T>(held)),
                _ => self.get::<T>(name),
            }
        };
        if let Some(value) = present()? {
            return Ok(value);
        }
        let made = make();
        current::touch();
        if let Some(value) = present()? {
            // Here, not as the function returns: a panic on the way of a return leaks what is returned.
            drop(made);
            return Ok(value);
        }
        let made = Arc::new(made);
        match asked.put_shared(&made, Shown::debug::<T>()) {
            Some(Err(held)) => Err(asked.mismatch::<T>(held)),
            Some(Ok(_)) | None => Ok(made),
        }
    }

    /// Removes what goes by `name`; says whether anything did. The name is free for another type then, unless a key goes
    /// by it.
    ///
    /// ```
    /// let probe = threadctx::get_thread_ctx().namespace("probe");
    /// probe.insert("rate", 50_u32).unwrap();
    /// assert!(probe.remove("rate"));
    /// assert!(!probe.remove("rate"));
    /// ```
    pub fn remove(&self, name: &str) -> bool {
        let taken = current::owner(|owner| owner.take_name(TitleRef::new(self.name, name))).flatten();
        taken.map(drop).is_some()
    }

    /// Whether anything goes by `name`.
    ///
    /// ```
    /// let probe = threadctx::get_thread_ctx().namespace("probe");
    /// assert!(!probe.contains("rate"));
    /// ```
    pub fn contains(&self, name: &str) -> bool {
        current::owner(|owner| owner.has_name(TitleRef::new(self.name, name))).unwrap_or(false)
    }

    /// The names that have a value, sorted.
    ///
    /// ```
    /// let probe = threadctx::get_thread_ctx().namespace("probe");
    /// probe.insert("b", 1).unwrap();
    /// probe.insert("a", 1).unwrap();
    /// assert_eq!(probe.names(), ["a", "b"]);
    /// ```
    pub fn names(&self) -> Vec<String> {
        current::owner(|owner| owner.context().names_in(self.name)).unwrap_or_default()
    }

    /// Removes everything in the namespace.
    ///
    /// A panic in a value's drop is contained and counted, and the others drop too.
    ///
    /// ```
    /// let probe = threadctx::get_thread_ctx().namespace("probe");
    /// probe.insert("rate", 50_u32).unwrap();
    /// probe.clear();
    /// assert!(probe.names().is_empty());
    /// ```
    pub fn clear(&self) {
        let taken: Option<Outgoing> = current::owner(|owner| {
            let mut taken = owner.take_keys(|identity| identity.namespace() == self.name);
            taken.append(owner.take_names(|title| *title.namespace == *self.name));
            taken
        });
        drop(taken);
    }
}

impl Debug for Namespace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Namespace").field(&self.name).finish()
    }
}

/// Anybody's read-only view of one namespace of some context.
///
/// ```
/// let ctx = threadctx::get_thread_ctx();
/// ctx.namespace("probe").insert("rate", 50_u32).unwrap();
/// let me = ctx.handle();
/// let seen = std::thread::spawn(move || me.namespace("probe").get::<u32>("rate").unwrap());
/// assert_eq!(seen.join().unwrap().as_deref(), Some(&50));
/// ```
#[derive(Clone, Copy)]
pub struct NamespaceRef<'n> {
    context: &'n ContextRef,
    name: &'n str,
}

impl<'n> NamespaceRef<'n> {
    pub(crate) fn new(context: &'n ContextRef, name: &'n str) -> Self {
        Self { context, name }
    }

    /// What goes by `name` now, if anything does.
    ///
    /// # Errors
    ///
    /// It is of another type.
    ///
    /// ```
    /// let ctx = threadctx::get_thread_ctx();
    /// ctx.namespace("probe").insert("rate", 50_u32).unwrap();
    /// assert!(ctx.handle().namespace("probe").get::<String>("rate").is_err());
    /// ```
    #[track_caller]
    pub fn get<T: Send + Sync + 'static>(&self, name: &str) -> Result<Option<Arc<T>>, TypeMismatch> {
        let asked = Asked { title: TitleRef::new(self.name, name), place: Location::caller() };
        let found = self.context.readable().and_then(|context| context.read(asked.title));
        found.transpose().map_err(|held| asked.mismatch::<T>(held))
    }

    /// Whether anything goes by `name` now.
    ///
    /// ```
    /// let ctx = threadctx::get_thread_ctx();
    /// ctx.namespace("probe").insert("rate", 50_u32).unwrap();
    /// assert!(ctx.handle().namespace("probe").contains("rate"));
    /// ```
    pub fn contains(&self, name: &str) -> bool {
        self.context.readable().is_some_and(|context| context.has(TitleRef::new(self.name, name)))
    }

    /// The names that have a value now, sorted.
    ///
    /// ```
    /// let ctx = threadctx::get_thread_ctx();
    /// ctx.namespace("probe").insert("rate", 50_u32).unwrap();
    /// assert_eq!(ctx.handle().namespace("probe").names(), ["rate"]);
    /// ```
    pub fn names(&self) -> Vec<String> {
        self.context.readable().map(|context| context.names_in(self.name)).unwrap_or_default()
    }
}

impl Debug for NamespaceRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamespaceRef").field("of", &self.context.ident()).field("name", &self.name).finish()
    }
}

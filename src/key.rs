//! `Key<T>`: a static, typed name of one value per context.

use std::{
    any::{Any, type_name},
    fmt::{self, Debug, Display},
    marker::PhantomData,
    panic::{Location, RefUnwindSafe},
};

use once_cell::race::OnceRef;
use serde::Serialize;

use crate::{
    ContextRef, Ident, Refused, Scope, TypeMismatch, clock,
    context::Context,
    current,
    dump::Shown,
    identity::{self, Declaration, Declared, Identity},
    late,
    open_scopes::{Covers, ScopeId},
    registry,
    slot::{Borrowed, Displaced, OwnedSlot, Place, PlaceCell, RawSlot, Shared, ValueType},
    stats,
    sync::Arc,
    title::TitleRef,
    total,
};

/// A static, typed name (namespace, name) of one value per context. Declared once, used from any module.
///
/// Its identity is (namespace, name): two statics with the same identity and type are one value, and the same identity
/// with two types is an error, reported at the first use by [`check`](Self::check) and [`try_set`](Self::try_set), and as a panic by
/// every other call.
///
/// Values are shared as `Arc<T>`, so that other threads can keep what they saw; hence `T: Send + Sync`. What is `Send`
/// only goes into a `Mutex`; what is neither belongs in `thread_local!`.
///
/// ```
/// use threadctx::Key;
///
/// #[derive(Clone, Debug)]
/// struct Settings {
///     rate: u32,
/// }
///
/// static SETTINGS: Key<Settings> = Key::new("probe", "settings").debug();
///
/// SETTINGS.set(Settings { rate: 50 });
/// SETTINGS.update(|settings| settings.rate *= 2);
/// assert_eq!(SETTINGS.with(|settings| settings.rate), Some(100));
/// ```
pub struct Key<T: 'static> {
    place: PlaceCell<T>,
    /// Known together with the place.
    identity: OnceRef<'static, Identity>,
    namespace: &'static str,
    name: &'static str,
    origin: &'static Location<'static>,
    shown: Shown,
    inherit: bool,
    init: Option<fn() -> T>,
    exit_hook: Option<fn(&T)>,
    merge: Option<fn(&T, &T) -> T>,
}

/// # Declaring a key
// It is found or not found; a panic leaves nothing in between.
impl<T> RefUnwindSafe for Key<T> {}

impl<T: Send + Sync + 'static> Key<T> {
    /// A key that goes by `namespace` and `name`. A dump shows the type of its values and no more.
    ///
    /// ```
    /// static ATTEMPTS: threadctx::Key<u32> = threadctx::Key::new("job", "attempts");
    /// assert_eq!(ATTEMPTS.get(), None);
    /// ```
    #[track_caller]
    pub const fn new(namespace: &'static str, name: &'static str) -> Self {
        Self {
            place: PlaceCell::nowhere(),
            identity: OnceRef::new(),
            namespace,
            name,
            origin: Location::caller(),
            shown: Shown::Opaque,
            inherit: false,
            init: None,
            exit_hook: None,
            merge: None,
        }
    }

    /// A dump shows values by their `Debug`. Of this, `display` and `json` the last one counts.
    ///
    /// ```
    /// static STEP: threadctx::Key<Option<u32>> = threadctx::Key::new("job", "step").debug();
    /// STEP.set(Some(3));
    /// assert!(threadctx::dump().to_string().contains("job.step = Some(3)"));
    /// ```
    pub const fn debug(self) -> Self
    where
        T: Debug,
    {
        self.show(Shown::debug::<T>())
    }

    /// A dump shows values by their `Display`.
    ///
    /// ```
    /// static HOST: threadctx::Key<std::net::Ipv4Addr> = threadctx::Key::new("job", "host").display();
    /// HOST.set([127, 0, 0, 1].into());
    /// assert!(threadctx::dump().to_string().contains("127.0.0.1"));
    /// ```
    pub const fn display(self) -> Self
    where
        T: Display,
    {
        self.show(Shown::display::<T>())
    }

    /// A dump shows values as JSON.
    ///
    /// ```
    /// static FILES: threadctx::Key<Vec<u32>> = threadctx::Key::new("job", "files").json();
    /// FILES.set(vec![1, 2]);
    /// assert!(threadctx::dump().to_json().contains(r#""value":[1,2]"#));
    /// ```
    pub const fn json(self) -> Self
    where
        T: Serialize,
    {
        self.show(Shown::json::<T>())
    }

    /// A dump shows that there is a value, its type and its age; the value is never rendered. Wins over `debug`,
    /// `display` and `json`, before or after.
    ///
    /// ```
    /// static TOKEN: threadctx::Key<String> = threadctx::Key::new("auth", "token").secret();
    /// TOKEN.set("hunter2".to_owned());
    /// let dump = threadctx::dump().to_string();
    /// assert!(dump.contains("auth.token = <secret String>") && !dump.contains("hunter2"));
    /// ```
    pub const fn secret(self) -> Self {
        self.show(Shown::Secret)
    }

    const fn show(mut self, shown: Shown) -> Self {
        if !self.shown.is_secret() {
            self.shown = shown;
        }
        self
    }

    /// Marks the key as one that travels: where context is carried to another thread or task on purpose, its value goes
    /// along (the same `Arc`). See [`guide::propagation`](crate::guide::propagation).
    ///
    /// # Panics
    ///
    /// At compile time, for a key that keeps a total: what travels would be counted twice.
    ///
    /// ```
    /// static USER: threadctx::Key<String> = threadctx::Key::new("http", "user").inherit();
    /// assert!(USER.inherits());
    /// ```
    pub const fn inherit(mut self) -> Self {
        self.inherit = true;
        self.checked()
    }

    /// Whether the key [travels](Self::inherit).
    ///
    /// ```
    /// static LOCAL: threadctx::Key<String> = threadctx::Key::new("http", "buffer");
    /// assert!(!LOCAL.inherits());
    /// ```
    pub const fn inherits(&self) -> bool {
        self.inherit
    }

    /// Has `make` give the first value, once per context, at the first access that finds none.
    ///
    /// While it runs, its own key is absent. If it panics, the next access tries again.
    ///
    /// ```
    /// static BUFFER: threadctx::Key<Vec<u8>> = threadctx::Key::new("codec", "buffer").init(|| Vec::with_capacity(64));
    /// assert_eq!(BUFFER.with(|buffer| buffer.capacity()), Some(64));
    /// ```
    pub const fn init(mut self, make: fn() -> T) -> Self {
        self.init = Some(make);
        self
    }

    /// Has `hook` run at a context's exit if it has a value, just before the value drops. Values that are older are still
    /// there to be read. A panic in it is contained and counted.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// static SENT: AtomicU64 = AtomicU64::new(0);
    /// static BATCH: threadctx::Key<u64> =
    ///     threadctx::Key::new("mail", "batch").on_exit(|size| drop(SENT.fetch_add(*size, Ordering::SeqCst)));
    ///
    /// std::thread::spawn(|| BATCH.set(3)).join().unwrap();
    /// assert_eq!(SENT.load(Ordering::SeqCst), 3);
    /// ```
    pub const fn on_exit(mut self, hook: fn(&T)) -> Self {
        self.exit_hook = Some(hook);
        self
    }

    /// Keeps a context's value at its exit for the key's [`total`](Self::total), instead of dropping it.
    ///
    /// `merge` must not mind the order in which values are merged, and may be called any number of times. A panic in it
    /// at an exit is contained and counted; the two values are put apart, and others go on to be merged. Later exits try them again,
    /// each time after twice as many.
    ///
    /// # Panics
    ///
    /// At compile time, for a key that [inherits](Self::inherit): what travels would be counted twice.
    ///
    /// ```
    /// static BYTES: threadctx::Key<u64> = threadctx::Key::new("io", "bytes").keep_total(|one, other| one + other);
    ///
    /// BYTES.set(1);
    /// std::thread::spawn(|| BYTES.set(10)).join().unwrap();
    /// assert_eq!(BYTES.total(), Some(11));
    /// ```
    pub const fn keep_total(mut self, merge: fn(&T, &T) -> T) -> Self {
        self.merge = Some(merge);
        self.checked()
    }

    const fn checked(self) -> Self {
        assert!(
            !(self.inherit && self.merge.is_some()),
            "threadctx: a key cannot both inherit and keep a total: an inherited value would be counted once per context \
             that it travelled to"
        );
        self
    }
}

/// # The current context's value
impl<T: Send + Sync + 'static> Key<T> {
    /// Runs `f` with the value, in place; `None` if there is none. This is the fastest read: no lock, no atomic
    /// read-modify-write, no allocation.
    ///
    /// `f` may use the whole crate, this key included: a write meanwhile leaves the borrowed value as it is.
    ///
    /// # Panics
    ///
    /// If the key's identity is used with another type, as every call does but [`check`](Self::check) and [`try_set`](Self::try_set).
    ///
    /// ```
    /// static NAME: threadctx::Key<String> = threadctx::Key::new("example", "name");
    /// NAME.set("probe".to_owned());
    /// assert_eq!(NAME.with(|name| name.len()), Some(5));
    /// ```
    #[inline]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Option<R> {
        match current::borrow_alone(self.place.get()) {
            Some(value) => Some(f(&value)),
            None => self.find_for(f),
        }
    }

    /// Out of line, so that what it needs of the stack is not paid for by every read.
    #[cold]
    #[inline(never)]
    fn find_for<R>(&'static self, f: impl FnOnce(&T) -> R) -> Option<R> {
        let value = self.borrow_or_find()?;
        Some(f(&value))
    }

    #[cold]
    #[inline(never)]
    fn borrow_or_find(&'static self) -> Option<Borrowed<T>> {
        current::borrow(self.place.get()).or_else(|| self.find())
    }

    /// Another count of the value, to keep or to send.
    ///
    /// ```
    /// static NAME: threadctx::Key<String> = threadctx::Key::new("example", "name");
    /// NAME.set("probe".to_owned());
    /// let kept = NAME.get().unwrap();
    /// NAME.set("other".to_owned());
    /// assert_eq!(*kept, "probe");
    /// ```
    #[inline]
    pub fn get(&'static self) -> Option<Arc<T>> {
        self.get_present().or_else(|| self.find_shared())
    }

    #[cold]
    #[inline(never)]
    fn find_shared(&'static self) -> Option<Arc<T>> {
        drop(self.find()?);
        self.get_present()
    }

    /// A clone of the value.
    ///
    /// ```
    /// static RATE: threadctx::Key<u32> = threadctx::Key::new("example", "rate");
    /// RATE.set(50);
    /// assert_eq!(RATE.cloned(), Some(50));
    /// ```
    pub fn cloned(&'static self) -> Option<T>
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// Puts `value` in place of what there was. After this thread's exit the value is dropped and counted in
    /// [`stats`](crate::stats()): use [`try_set`](Self::try_set) to get it back.
    ///
    /// ```
    /// static RATE: threadctx::Key<u32> = threadctx::Key::new("example", "rate");
    /// RATE.set(50);
    /// assert_eq!(RATE.cloned(), Some(50));
    /// ```
    #[inline]
    pub fn set(&'static self, value: T) {
        match current::set_in_place(self.place.get(), value) {
            Ok(old) => drop(old),
            Err(value) => self.set_or_count(value),
        }
    }

    /// Puts `value` in place of what there was.
    ///
    /// # Errors
    ///
    /// After this thread's exit, or if the key's identity is used with another type. The value comes back with the error.
    ///
    /// ```
    /// static RATE: threadctx::Key<u32> = threadctx::Key::new("example", "rate");
    /// assert!(RATE.try_set(50).is_ok());
    ///
    /// static OTHER: threadctx::Key<String> = threadctx::Key::new("example", "rate");
    /// let refused = OTHER.try_set("fast".to_owned()).unwrap_err();
    /// assert!(refused.is_wrong_type());
    /// assert_eq!(refused.into_value(), "fast");
    /// ```
    pub fn try_set(&'static self, value: T) -> Result<(), Refused<T>> {
        if !current::touch() {
            return Err(Refused::gone(value, current::ident()));
        }
        let place = match self.try_ready() {
            Ok(place) => place,
            Err(mismatch) => return Err(Refused::wrong_type(value, mismatch)),
        };
        let displaced = self.write_at(place, value, |slot, value| slot.store(value));
        displaced.map(drop).map_err(|value| Refused::gone(value, current::ident()))
    }

    /// Puts `value` in place of what there was, and gives that.
    ///
    /// ```
    /// static RATE: threadctx::Key<u32> = threadctx::Key::new("example", "rate");
    /// assert_eq!(RATE.replace(50), None);
    /// assert_eq!(RATE.replace(60).as_deref(), Some(&50));
    /// ```
    pub fn replace(&'static self, value: T) -> Option<Arc<T>> {
        let displaced = self.write(value, |slot, value| slot.replace(value));
        displaced.map_or_else(|value| self.refuse(value), former)
    }

    /// Takes the value out.
    ///
    /// ```
    /// static RATE: threadctx::Key<u32> = threadctx::Key::new("example", "rate");
    /// RATE.set(50);
    /// assert_eq!(RATE.take().as_deref(), Some(&50));
    /// assert_eq!(RATE.take(), None);
    /// ```
    pub fn take(&'static self) -> Option<Arc<T>> {
        if current::is_gone() {
            return None;
        }
        let place = self.ready();
        former(current::owner(|owner| Some(owner.slot(place)?.exchange(None)))??)
    }

    /// Runs `f` with a clone of the value, and puts the clone in the value's place when `f` returns: all or nothing, if
    /// it panics. `None`, and `f` does not run, if there is no value.
    ///
    /// If `f` writes the same key, by an `update` inside this one or otherwise, the outer result wins. What is lost is counted in
    /// [`stats`](crate::stats()) (`updates_lost`). `f` may do so without saying so: where it waits for a pool's job, the pool may
    /// run another job on this thread meanwhile. Wait before the update there.
    ///
    /// ```
    /// static HITS: threadctx::Key<u32> = threadctx::Key::new("example", "hits").init(|| 0);
    /// assert_eq!(HITS.update(|hits| { *hits += 1; *hits }), Some(1));
    /// ```
    pub fn update<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> Option<R>
    where
        T: Clone,
    {
        let (value, result) = match current::borrow_alone(self.place.get()) {
            Some(found) => changed_clone(found, f),
            None => self.find_for_update(f)?,
        };
        self.set(value);
        Some(result)
    }

    #[cold]
    #[inline(never)]
    fn find_for_update<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> Option<(T, R)>
    where
        T: Clone,
    {
        Some(changed_clone(self.borrow_or_find()?, f))
    }

    /// The value, made by `make` if there is none. After this thread's exit: what `make` gives, unstored.
    ///
    /// `make` may use the whole crate. If it sets this very key, what it set stays, and what it gives is dropped.
    ///
    /// ```
    /// static NAME: threadctx::Key<String> = threadctx::Key::new("example", "name");
    /// assert_eq!(*NAME.get_or_init(|| "first".to_owned()), "first");
    /// assert_eq!(*NAME.get_or_init(|| "second".to_owned()), "first");
    /// ```
    pub fn get_or_init(&'static self, make: impl FnOnce() -> T) -> Arc<T> {
        let value: Result<_, std::convert::Infallible> = self.get_or_try_init(|| Ok(make()));
        value.unwrap_or_else(|never| match never {})
    }

    /// The value, made by `make` if there is none. After this thread's exit: what `make` gives, unstored.
    ///
    /// # Errors
    ///
    /// What `make` gives; the next call tries again.
    ///
    /// # Panics
    ///
    /// If the key's identity is used with another type: the error is `make`'s, so it cannot say so. Ask [`check`](Self::check).
    ///
    /// ```
    /// static PORT: threadctx::Key<u16> = threadctx::Key::new("example", "port");
    /// assert!(PORT.get_or_try_init(|| "many".parse()).is_err());
    /// assert_eq!(PORT.get_or_try_init(|| "80".parse()).as_deref(), Ok(&80));
    /// ```
    pub fn get_or_try_init<E>(&'static self, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        if let Some(value) = self.get_present() {
            return Ok(value);
        }
        if !current::touch() {
            return make().map(Arc::new);
        }
        let place = self.ready();
        // A start hook may have made it, or it was there by name.
        if let Some(value) = self.get_present() {
            return Ok(value);
        }
        let made = Initialising::run(place, make)?;
        Ok(self.keep_first(Arc::new(made)))
    }

    /// Runs `f` with `value` in place of what there was, and puts that back: on return, and on a panic. After this
    /// thread's exit it just runs `f`.
    ///
    /// The scope ends when `f` returns. If `f` only makes a future (`|| async { .. }`, or a call of an `async fn`), nothing of
    /// the future runs inside the scope: use [`scope_future`](Self::scope_future).
    ///
    /// ```
    /// static USER: threadctx::Key<String> = threadctx::Key::new("example", "user");
    /// USER.set("alice".to_owned());
    /// assert_eq!(USER.scope("root".to_owned(), || USER.cloned()).as_deref(), Some("root"));
    /// assert_eq!(USER.cloned().as_deref(), Some("alice"));
    /// ```
    pub fn scope<R>(&'static self, value: T, f: impl FnOnce() -> R) -> R {
        let _scope = self.enter(value);
        f()
    }

    /// Puts `value` in place of what there was until the guard drops. See [`Scope`].
    ///
    /// ```
    /// static USER: threadctx::Key<String> = threadctx::Key::new("example", "user");
    /// let root = USER.enter("root".to_owned());
    /// assert_eq!(USER.cloned().as_deref(), Some("root"));
    /// drop(root);
    /// assert_eq!(USER.cloned(), None);
    /// ```
    pub fn enter(&'static self, value: T) -> Scope<T> {
        let entered = self.write(value, |slot, value| {
            let scope = slot.owner().begin_scope(Covers::One(self.known_identity()));
            (slot.raw().is_inherited(), slot.replace(value), scope)
        });
        match entered {
            Ok((inherited, displaced, scope)) => Scope::new(self, Some(scope), former(displaced), inherited),
            Err(value) => {
                self.refuse(value);
                Scope::new(self, None, None, false)
            }
        }
    }

    /// Finds out whether the key can be used: whether its identity is used with one type only, also by name in the
    /// current context. Where this gives an error, [`try_set`](Self::try_set) does so too, and every other call panics.
    ///
    /// # Errors
    ///
    /// The identity is used with two types; the message has both, and where each comes from.
    ///
    /// ```
    /// static RATE: threadctx::Key<u32> = threadctx::Key::new("example", "rate");
    /// assert!(RATE.check().is_ok());
    ///
    /// static OTHER: threadctx::Key<String> = threadctx::Key::new("example", "rate");
    /// assert!(OTHER.check().unwrap_err().to_string().contains("`u32`"));
    /// ```
    pub fn check(&'static self) -> Result<(), TypeMismatch> {
        self.try_ready().map(drop)
    }
}

/// # Everybody's values
impl<T: Send + Sync + 'static> Key<T> {
    /// The value that some context has now, read without stopping its owner.
    ///
    /// ```
    /// static RATE: threadctx::Key<u32> = threadctx::Key::new("example", "rate");
    /// RATE.set(50);
    /// let me = threadctx::get_thread_ctx().handle();
    /// std::thread::spawn(move || assert_eq!(RATE.get_in(&me).as_deref(), Some(&50))).join().unwrap();
    /// ```
    pub fn get_in(&'static self, context: &ContextRef) -> Option<Arc<T>> {
        let place = self.known_place()?;
        self.read_at(place, &*context.readable()?)
    }

    /// The value in `context`, for a thread that need not be its owner.
    #[inline]
    pub(crate) fn read_at(&'static self, place: Place<T>, context: &Context) -> Option<Arc<T>> {
        let by_key = || context.keys.get(place)?.read();
        // Between the two looks the owner may move a value from its name to the key: never back.
        let by_name = || context.names()?.read(self.title())?.ok();
        by_key().or_else(by_name).or_else(by_key)
    }

    /// The live contexts that have a value, with it, oldest first. Contexts that come later are not among them.
    ///
    /// ```
    /// static RATE: threadctx::Key<u32> = threadctx::Key::new("example", "rate");
    /// RATE.set(50);
    /// assert_eq!(RATE.iter().map(|(_, rate)| *rate).sum::<u32>(), 50);
    /// ```
    pub fn iter(&'static self) -> impl Iterator<Item = (Ident, Arc<T>)> {
        registry::all().into_iter().filter_map(|context| Some((context.ident(), self.get_in(&context)?)))
    }

    /// All values merged: what live contexts have now, and what the others had when they exited, each exactly once, also
    /// while threads exit. `None` if there is no value.
    ///
    /// A value that was taken or replaced is not in it. For a key without [`keep_total`](Self::keep_total) there is no
    /// way to merge and so no total.
    ///
    /// # Panics
    ///
    /// If `merge` panics for the values, also for those that an exit could not merge.
    ///
    /// ```
    /// static JOBS: threadctx::Key<u64> = threadctx::Key::new("pool", "jobs").keep_total(|one, other| one + other);
    ///
    /// let workers: Vec<_> = (1..=4).map(|jobs| std::thread::spawn(move || JOBS.set(jobs))).collect();
    /// workers.into_iter().for_each(|worker| worker.join().unwrap());
    /// assert_eq!(JOBS.total(), Some(10));
    /// ```
    pub fn total(&'static self) -> Option<T>
    where
        T: Clone,
    {
        let merge = self.merge?;
        self.known_place()?;
        let identity = identity::find(self.title())?;
        let mut values = total::collect(self, identity).into_iter();
        let first = T::clone(&*values.next()?);
        Some(values.fold(first, |sum, value| {
            let merged = merge(&sum, &value);
            // Here, not as the closure returns: a panic on the way of a return leaks what is returned.
            drop((sum, value));
            merged
        }))
    }
}

/// What the calls above are made of.
impl<T: Send + Sync + 'static> Key<T> {
    /// Notes the time of a write that was not the fast one, if somebody wants it: also where another static of this identity is
    /// the visible one.
    pub(crate) fn stamp(&self, slot: &RawSlot) {
        if self.is_stamped() {
            slot.stamp();
        }
    }

    fn is_stamped(&self) -> bool {
        self.identity.get().is_some_and(Identity::is_stamped)
    }

    #[cold]
    fn set_or_count(&'static self, value: T) {
        match self.write(value, |slot, value| slot.store(value)) {
            Ok(displaced) => drop(displaced),
            Err(value) => drop(self.refuse(value)),
        }
    }

    /// Writes the slot of this key in the current context, which is registered if need be; gives the value back after
    /// this thread's exit. `store` runs nothing of the user's.
    fn write<D>(&'static self, value: T, store: impl FnOnce(&OwnedSlot<'_, T>, T) -> D) -> Result<D, T> {
        if !current::touch() {
            return Err(value);
        }
        self.write_at(self.ready(), value, store)
    }

    /// Writes the slot at `place`, which is this key's, in the current context; gives the value back where there is none.
    fn write_at<D>(
        &'static self,
        place: Place<T>,
        value: T,
        store: impl FnOnce(&OwnedSlot<'_, T>, T) -> D,
    ) -> Result<D, T> {
        let mut value = Some(value);
        let displaced = current::owner(|owner| {
            let slot = owner.slot_or_grow(place);
            let displaced = store(&slot, value.take()?);
            self.stamp(slot.raw());
            Some(displaced)
        });
        displaced.flatten().ok_or_else(|| value.take().expect("a value that is not stored comes back"))
    }

    /// Puts back what a scope found, without registering anything. Also returns whether the scope ends in order.
    pub(crate) fn restore(
        &'static self,
        scope: ScopeId,
        before: Option<Arc<T>>,
        was_inherited: bool,
    ) -> Result<(Displaced<()>, bool), Option<Arc<T>>> {
        let place = self.place.get();
        let mut before = Some(before);
        let displaced = current::owner(|owner| {
            let slot = owner.slot(place).filter(|_| owner.has_scope(scope))?;
            let is_in_order = owner.end_scope(scope).is_some_and(|later| later.is_empty());
            let displaced = slot.exchange(before.take()?.map(Shared::new));
            if was_inherited && self.is_stamped() {
                slot.note_arrival(clock::now());
            } else {
                self.stamp(slot.raw());
            }
            Some((displaced, is_in_order))
        });
        displaced.flatten().ok_or_else(|| before.take().flatten())
    }

    /// Drops a value that came after the exit.
    fn refuse(&self, value: T) -> Option<Arc<T>> {
        stats::count(|counters| &counters.refused);
        late::drop_late(value);
        None
    }

    #[inline]
    fn get_present(&'static self) -> Option<Arc<T>> {
        current::get(self.place.get())
    }

    /// The read that found nothing: the key may be new, the value still under its name, or the first one to be made.
    #[cold]
    fn find(&'static self) -> Option<Borrowed<T>> {
        if current::is_gone() {
            return None;
        }
        let place = self.ready();
        current::borrow(place).or_else(|| {
            self.make_first(place)?;
            current::borrow(place)
        })
    }

    /// Has the key's own initialiser make the value, unless it is at it already.
    fn make_first(&'static self, place: Place<T>) -> Option<Arc<T>> {
        let make = self.init?;
        if !current::touch() {
            return None;
        }
        // A start hook may have made it, if that was the first touch.
        if let Some(value) = self.get_present() {
            return Some(value);
        }
        if current::owner(|owner| owner.slot_or_grow(place).is_initialising())? {
            return None;
        }
        let made: Result<_, std::convert::Infallible> = Initialising::run(place, || Ok(make()));
        made.ok().map(|made| self.keep_first(Arc::new(made)))
    }

    /// Stores what was made, unless something was stored meanwhile; gives what is there then.
    fn keep_first(&'static self, made: Arc<T>) -> Arc<T> {
        let is_alive = current::touch();
        if let Some(value) = self.get_present() {
            // Here, not as the function returns: a panic on the way of a return leaks what is returned.
            drop(made);
            return value;
        }
        if is_alive {
            let place = self.ready();
            let displaced = current::owner(|owner| {
                let slot = owner.slot_or_grow(place);
                let displaced = slot.exchange(Some(Shared::new(Arc::clone(&made))));
                self.stamp(slot.raw());
                displaced
            });
            drop(displaced);
        }
        made
    }

    /// The key's place, with the current context's value in it if there is one under the key's name.
    ///
    /// # Panics
    ///
    /// If the identity is used with another type.
    pub(crate) fn ready(&'static self) -> Place<T> {
        self.try_ready().unwrap_or_else(|mismatch| panic!("threadctx: {mismatch}"))
    }

    pub(crate) fn try_ready(&'static self) -> Result<Place<T>, TypeMismatch> {
        let place = self.try_place()?;
        if current::owner(|owner| owner.are_names_settled()) != Some(false) {
            return Ok(place);
        }
        let outgoing = current::owner(|owner| owner.adopt_names());
        drop(outgoing);
        let clash = current::owner(|owner| owner.name_clash(|| self.title()));
        match clash.flatten() {
            None => Ok(place),
            Some(held) => Err(TypeMismatch::new(self.title(), held, self.holder())),
        }
    }

    /// The key's place, for a look at other contexts; `None` instead of a panic after this thread's exit.
    pub(crate) fn known_place(&'static self) -> Option<Place<T>> {
        match self.try_place() {
            Ok(place) => Some(place),
            Err(_) if current::is_gone() => None,
            Err(mismatch) => panic!("threadctx: {mismatch}"),
        }
    }

    fn try_place(&'static self) -> Result<Place<T>, TypeMismatch> {
        let place = self.place.get();
        if !place.is_nowhere() {
            return Ok(place);
        }
        let value_type = ValueType::of::<T>();
        let (title, origin) = (self.title(), self.origin);
        let identity = identity::of(&Declaration { title, origin, value_type, key: self })?;
        let place = Place::of(identity).expect("an identity is found by a key of its own type only");
        // If another thread was first, it has set the same.
        let _ = self.identity.set(identity);
        self.place.set(place);
        Ok(place)
    }

    fn title(&self) -> TitleRef<'static> {
        TitleRef::new(self.namespace, self.name)
    }

    /// Its identity, whose writes are noted with the time from now on.
    #[cfg(not(any(loom, shuttle)))]
    pub(crate) fn watch(&'static self) -> Result<&'static Identity, TypeMismatch> {
        self.try_place()?;
        let identity = self.known_identity();
        drop(identity.note_times());
        Ok(identity)
    }

    /// Its identity, once its place is known.
    pub(crate) fn known_identity(&'static self) -> &'static Identity {
        self.identity.get().expect("it is known together with the place")
    }

    fn holder(&self) -> crate::error::Holder {
        crate::error::Holder { type_name: type_name::<T>(), place: self.origin }
    }
}

/// An initialiser that is running, noted in its slot.
struct Initialising<T: Send + Sync + 'static> {
    place: Place<T>,
    serial: Option<u64>,
    /// What the note was before: an initialiser may run inside another one of the same key.
    before: bool,
    not_send: PhantomData<*const ()>,
}

impl<T: Send + Sync + 'static> Initialising<T> {
    fn run<R>(place: Place<T>, make: impl FnOnce() -> R) -> R {
        let noted = current::owner(|owner| {
            let slot = owner.slot_or_grow(place);
            let before = slot.is_initialising();
            slot.set_initialising(true);
            (owner.context().serial(), before)
        });
        let (serial, before) = noted.unzip();
        let _running = Self { place, serial, before: before.unwrap_or(false), not_send: PhantomData };
        make()
    }
}

impl<T: Send + Sync + 'static> Drop for Initialising<T> {
    fn drop(&mut self) {
        current::owner(|owner| {
            if Some(owner.context().serial()) == self.serial {
                owner.slot_or_grow(self.place).set_initialising(self.before);
            }
        });
    }
}

/// A clone of `found` that `f` has changed, and what `f` gives. `found` is borrowed while `f` runs, so that a write meanwhile
/// puts another value in place instead of changing this one, and is seen.
#[inline]
fn changed_clone<T: Clone, R>(found: Borrowed<T>, f: impl FnOnce(&mut T) -> R) -> (T, R) {
    let mut value = T::clone(&found);
    let result = f(&mut value);
    found.end().unwrap_or_else(end_and_count_lost_update);
    (value, result)
}

#[cold]
#[inline(never)]
fn end_and_count_lost_update<T>(found: Borrowed<T>) {
    if found.is_replaced() {
        stats::count(|counters| &counters.updates_lost);
    }
}

/// What a write displaced, once nothing of ours is held any more.
fn former<T: Send + Sync + 'static>(displaced: Displaced<()>) -> Option<Arc<T>> {
    let Displaced { shared, outgoing, .. } = displaced;
    drop(outgoing);
    shared.map(|value| value.downcast().expect("a slot holds its own type only"))
}

impl<T: Send + Sync + 'static> Declared for Key<T> {
    fn shown(&self) -> Shown {
        self.shown
    }

    fn inherits(&self) -> bool {
        self.inherit
    }

    fn has_exit_hook(&self) -> bool {
        self.exit_hook.is_some()
    }

    fn run_exit_hook(&self, value: &dyn Any) {
        if let (Some(hook), Some(value)) = (self.exit_hook, value.downcast_ref()) {
            hook(value);
        }
    }

    fn keeps_total(&self) -> bool {
        self.merge.is_some()
    }

    fn merge(&self, one: &dyn Any, other: &dyn Any) -> Option<Shared> {
        let merged = self.merge?(one.downcast_ref()?, other.downcast_ref()?);
        Some(Shared::new(Arc::new(merged)))
    }
}

impl<T: 'static> Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key<{}>({}.{})", type_name::<T>(), self.namespace, self.name)
    }
}

//! Everything at once against a model: random calls on 1 to 40 keys and names, and a map that says what must be there.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, LazyLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use proptest::{collection::vec, prelude::*, sample::Index};
use threadctx::{Key, Scope, exit_thread_ctx, get_thread_ctx};

use crate::support::{leaked::leaked, worker::Worker};

const NS: &str = "model";
/// This many have a key; as many again are names only.
const KEYS: usize = 40;
/// Names whose key may be used for the first time in the middle of it: others in each case.
const LATE: usize = 2;

static TITLES: LazyLock<Vec<String>> = LazyLock::new(|| (0..2 * KEYS).map(|n| format!("{n:02}")).collect());

thread_local! {
    /// What the keys' exit hooks have seen, in order.
    static ENDED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// The value tells the key, since a hook cannot.
fn note_end(value: &u64) {
    // The thread's own end may be too late to note anything.
    let _ = ENDED.try_with(|ended| ended.borrow_mut().push(*value));
}

/// What a key with an initialiser makes.
const MADE: u64 = 7_777;

/// Half of them visible: those are stamped, which is another path. Some make their first value themselves.
static KEY: LazyLock<Vec<&'static Key<u64>>> = LazyLock::new(|| {
    let key = |n: usize| {
        let key = Key::new(NS, &TITLES[n]).on_exit(note_end);
        let key = if n % 2 == 0 { key.debug() } else { key };
        if makes(n) { key.init(|| MADE) } else { key }
    };
    let keys: Vec<&'static Key<u64>> = (0..KEYS).map(|n| leaked(key(n))).collect();
    // Used once, so that their names have their type from here on.
    keys.iter().for_each(|key| key.check().unwrap());
    keys
});

fn makes(n: usize) -> bool {
    n < KEYS && n % 5 == 3
}

#[derive(Clone, Debug)]
enum Step {
    Set(u64),
    TrySet(u64),
    Replace(u64),
    Take,
    Update(u64),
    /// An update whose closure does more, and may panic in the end.
    UpdateThat(u64, bool, Steps),
    GetOrInit(u64),
    /// An initialiser that does more, and may fail in the end.
    GetOrInitThat(u64, Ends, Steps),
    /// With it borrowed.
    With(Steps),
    Scope(u64, Steps),
    /// A scope that ends in a panic.
    Fails(u64, Steps),
    Enter(u64),
    /// Drops one of the guards that there are: not always the last one.
    Leave(Index),
    Insert(u64),
    InsertOtherType,
    GetOrInsert(u64),
    Remove,
    /// Keeps a count: what it is of must not change.
    Keep,
    KeepWeak,
    /// The first use of a key by whose name there may be a value.
    FirstUse,
    ClearAll,
    ClearNamespace,
    Exit,
}

type Steps = Vec<(Index, Step)>;

/// How an initialiser ends.
#[derive(Clone, Copy, Debug)]
enum Ends {
    Well,
    InAnError,
    InAPanic,
}

fn leaf() -> impl Strategy<Value = Step> {
    let value = || 0..1_000_u64;
    let writes = prop_oneof![
        6 => value().prop_map(Step::Set),
        1 => value().prop_map(Step::TrySet),
        3 => value().prop_map(Step::Replace),
        3 => Just(Step::Take),
        3 => value().prop_map(Step::Update),
        2 => value().prop_map(Step::GetOrInit),
        3 => value().prop_map(Step::Insert),
        1 => Just(Step::InsertOtherType),
        2 => value().prop_map(Step::GetOrInsert),
        2 => Just(Step::Remove),
    ];
    let others = prop_oneof![
        4 => value().prop_map(Step::Enter),
        4 => any::<Index>().prop_map(Step::Leave),
        4 => Just(Step::Keep),
        2 => Just(Step::KeepWeak),
        2 => Just(Step::FirstUse),
        1 => Just(Step::ClearAll),
        1 => Just(Step::ClearNamespace),
        1 => Just(Step::Exit),
    ];
    prop_oneof![3 => writes, 2 => others]
}

fn step() -> impl Strategy<Value = Step> {
    let ends = prop_oneof![2 => Just(Ends::Well), 1 => Just(Ends::InAnError), 1 => Just(Ends::InAPanic)];
    leaf().prop_recursive(4, 60, 8, move |inner| {
        let steps = || vec((any::<Index>(), inner.clone()), 0..8);
        let value = || 0..1_000_u64;
        prop_oneof![
            steps().prop_map(Step::With),
            (value(), steps()).prop_map(|(value, steps)| Step::Scope(value, steps)),
            (value(), steps()).prop_map(|(value, steps)| Step::Fails(value, steps)),
            (value(), any::<bool>(), steps())
                .prop_map(|(more, fails, steps)| Step::UpdateThat(more, fails, steps)),
            (value(), ends.clone(), steps())
                .prop_map(|(value, ends, steps)| Step::GetOrInitThat(value, ends, steps)),
        ]
    })
}

/// A panic that is meant.
fn fail() -> ! {
    panic::resume_unwind(Box::new(()))
}

fn fails<R>(code: impl FnOnce() -> R) -> bool {
    panic::catch_unwind(AssertUnwindSafe(code)).is_err()
}

/// A value that must be there.
#[derive(Clone, Copy, Debug)]
struct Held {
    value: u64,
    /// When it was filled, which orders the ends of values at an exit.
    filled: u64,
}

/// What must be there, by the number of the title.
#[derive(Default)]
struct Model {
    /// How many titles are in play.
    titles: usize,
    values: BTreeMap<usize, Held>,
    fills: u64,
    /// How often the context has exited.
    life: u64,
    /// The keys whose initialisers are running, with the life in which they began.
    making: Vec<(usize, u64)>,
    scopes: Vec<(Scope<u64>, usize, u64, Option<u64>)>,
    kept: Vec<(Arc<u64>, u64)>,
    weak: Vec<(Weak<u64>, u64)>,
    late: Vec<(String, Option<&'static Key<u64>>)>,
}

impl Model {
    fn new(titles: usize) -> Self {
        static CASES: AtomicUsize = AtomicUsize::new(0);
        let case = CASES.fetch_add(1, Ordering::Relaxed);
        let late = (0..LATE).map(|n| (format!("late {case} {n}"), None)).collect();
        Self { titles, late, ..Self::default() }
    }

    fn run(&mut self, steps: &[(Index, Step)]) {
        for (index, step) in steps {
            // Spread over the keys, the names and those between alike.
            let nth = index.index(self.titles + LATE);
            let title = match nth.checked_sub(self.titles) {
                Some(late) => 2 * KEYS + late,
                None if nth % 3 == 2 => KEYS + nth / 3,
                None => nth,
            };
            match self.key(title) {
                Some(key) => self.on_key(title, key, step),
                None => self.on_name(title, step),
            }
            self.check(title);
        }
    }

    fn title(&self, n: usize) -> String {
        TITLES.get(n).unwrap_or_else(|| &self.late[n - 2 * KEYS].0).clone()
    }

    fn key(&self, n: usize) -> Option<&'static Key<u64>> {
        KEY.get(n).copied().or_else(|| self.late.get(n.checked_sub(2 * KEYS)?)?.1)
    }

    fn value(&self, n: usize) -> Option<u64> {
        self.values.get(&n).map(|held| held.value)
    }

    fn put(&mut self, n: usize, value: u64) {
        self.fills += 1;
        let filled = self.fills;
        self.values.entry(n).and_modify(|held| held.value = value).or_insert(Held { value, filled });
    }

    fn put_back(&mut self, n: usize, before: Option<u64>) {
        match before {
            Some(value) => self.put(n, value),
            None => drop(self.values.remove(&n)),
        }
    }

    /// A read through the key is about to find the value, or make the first one.
    fn make_first(&mut self, n: usize) {
        let is_making = self.making.contains(&(n, self.life));
        if makes(n) && !self.values.contains_key(&n) && !is_making {
            self.put(n, MADE);
        }
    }

    fn on_key(&mut self, n: usize, key: &'static Key<u64>, step: &Step) {
        let before = self.value(n);
        match *step {
            Step::Set(value) => {
                key.set(value);
                self.put(n, value);
            }
            Step::TrySet(value) => {
                key.try_set(value).unwrap();
                self.put(n, value);
            }
            Step::Replace(value) => {
                let former = key.replace(value);
                assert_eq!(former.as_deref().copied(), before);
                self.put(n, value);
            }
            Step::Take => {
                assert_eq!(key.take().as_deref().copied(), before);
                self.values.remove(&n);
            }
            Step::Update(more) => self.update(n, key, more, false, &[]),
            Step::UpdateThat(more, fails, ref steps) => self.update(n, key, more, fails, steps),
            Step::GetOrInit(value) => self.get_or_init(n, key, value, Ends::Well, &[]),
            Step::GetOrInitThat(value, ends, ref steps) => self.get_or_init(n, key, value, ends, steps),
            Step::With(ref steps) => {
                self.make_first(n);
                let before = self.value(n);
                let seen = key.with(|value| {
                    self.run(steps);
                    *value
                });
                assert_eq!(seen, before, "a borrowed value stays as it is");
            }
            Step::Scope(value, ref steps) => {
                let life = self.life;
                key.scope(value, || self.entered(n, value, steps));
                self.left(n, life, before);
            }
            Step::Fails(value, ref steps) => {
                let life = self.life;
                assert!(fails(|| key.scope(value, || {
                    self.entered(n, value, steps);
                    fail()
                })));
                self.left(n, life, before);
            }
            Step::Enter(value) if self.scopes.len() < 6 => {
                self.scopes.push((key.enter(value), n, self.life, before));
                self.put(n, value);
            }
            _ => self.on_name(n, step),
        }
    }

    fn update(
        &mut self,
        n: usize,
        key: &'static Key<u64>,
        more: u64,
        fails_then: bool,
        steps: &[(Index, Step)],
    ) {
        self.make_first(n);
        let before = self.value(n);
        let mut result = None;
        let failed = fails(|| {
            result = key.update(|value| {
                self.run(steps);
                if fails_then {
                    fail();
                }
                *value += more;
                *value
            });
        });
        assert_eq!(failed, fails_then && before.is_some());
        let after = before.filter(|_| !failed).map(|value| value + more);
        assert_eq!(result, after);
        // Whatever was done inside, the outer result wins.
        after.into_iter().for_each(|value| self.put(n, value));
    }

    fn get_or_init(
        &mut self,
        n: usize,
        key: &'static Key<u64>,
        value: u64,
        ends: Ends,
        steps: &[(Index, Step)],
    ) {
        let (before, life) = (self.value(n), self.life);
        let mut got = None;
        let failed = fails(|| {
            let made = key.get_or_try_init(|| {
                self.making.push((n, life));
                self.run(steps);
                match ends {
                    Ends::Well => Ok(value),
                    Ends::InAnError => Err(()),
                    Ends::InAPanic => fail(),
                }
            });
            got = made.ok();
        });
        if before.is_none() {
            self.making.pop();
        }
        let is_made = before.is_none() && matches!(ends, Ends::Well);
        assert_eq!(failed, before.is_none() && matches!(ends, Ends::InAPanic));
        // What was put there inside stays.
        if is_made && !self.values.contains_key(&n) {
            self.put(n, value);
        }
        let expected = before.or_else(|| self.value(n).filter(|_| is_made));
        assert_eq!(got.as_deref().copied(), expected);
    }

    fn on_name(&mut self, n: usize, step: &Step) {
        let before = self.value(n);
        let (ctx, title) = (get_thread_ctx(), self.title(n));
        let (namespace, title) = (ctx.namespace(NS), title.as_str());
        match *step {
            Step::Set(value)
            | Step::TrySet(value)
            | Step::Replace(value)
            | Step::Insert(value)
            | Step::Enter(value) => {
                let former = namespace.insert(title, value).unwrap();
                assert_eq!(former.as_deref().copied(), before);
                self.put(n, value);
            }
            Step::InsertOtherType => {
                // A name without a value and without a key has no type.
                let refuses = self.key(n).is_some() || before.is_some();
                assert_eq!(namespace.insert(title, "text").is_err(), refuses);
                if !refuses {
                    assert!(namespace.remove(title));
                }
            }
            Step::GetOrInit(value)
            | Step::GetOrInitThat(value, ..)
            | Step::GetOrInsert(value)
            | Step::Update(value)
            | Step::UpdateThat(value, ..) => {
                let got = namespace.get_or_insert_with(title, || value).unwrap();
                assert_eq!(*got, before.unwrap_or(value));
                self.put(n, *got);
            }
            Step::Take | Step::Remove => {
                assert_eq!(namespace.remove(title), before.is_some());
                self.values.remove(&n);
            }
            Step::Keep => self.kept.extend(namespace.get(title).unwrap().zip(before)),
            Step::KeepWeak => {
                let weak = namespace.get(title).unwrap().as_ref().map(Arc::downgrade);
                self.weak.extend(weak.zip(before));
            }
            Step::FirstUse => self.use_first(n),
            Step::With(ref steps) | Step::Scope(_, ref steps) | Step::Fails(_, ref steps) => self.run(steps),
            Step::Leave(index) => self.leave(index),
            Step::ClearAll | Step::ClearNamespace => {
                match step {
                    Step::ClearAll => ctx.clear(),
                    _ => namespace.clear(),
                }
                self.values.clear();
            }
            Step::Exit => self.exit(),
        }
    }

    /// From here on the name, whether it has a value or not, is a key's.
    fn use_first(&mut self, n: usize) {
        let Some((title, key)) = n.checked_sub(2 * KEYS).and_then(|late| self.late.get_mut(late)) else {
            return;
        };
        if key.is_none() {
            let fresh = Key::new(NS, title.clone().leak()).debug().on_exit(note_end);
            let fresh: &'static Key<u64> = leaked(fresh);
            *key = Some(fresh);
            assert_eq!(fresh.cloned(), self.value(n));
        }
    }

    /// Every key's hook sees its value, and they come newest first.
    fn exit(&mut self) {
        ENDED.take();
        assert!(exit_thread_ctx());
        let mut ending: Vec<_> =
            self.values.iter().filter(|(n, _)| self.key(**n).is_some()).map(|(_, held)| *held).collect();
        ending.sort_by_key(|held| std::cmp::Reverse(held.filled));
        assert_eq!(ENDED.take(), ending.iter().map(|held| held.value).collect::<Vec<_>>());
        self.values.clear();
        self.life += 1;
    }

    /// Inside a scope.
    fn entered(&mut self, n: usize, value: u64, steps: &[(Index, Step)]) {
        self.put(n, value);
        self.run(steps);
    }

    /// After a scope that was entered in `life`: it restores nothing in another one.
    fn left(&mut self, n: usize, life: u64, before: Option<u64>) {
        if life == self.life {
            self.put_back(n, before);
        }
    }

    fn leave(&mut self, index: Index) {
        if !self.scopes.is_empty() {
            let (scope, n, life, before) = self.scopes.swap_remove(index.index(self.scopes.len()));
            drop(scope);
            self.left(n, life, before);
        }
    }

    /// One title in every way of reading, and now and then the whole.
    fn check(&mut self, n: usize) {
        let title = self.title(n);
        let ctx = get_thread_ctx();
        let expected = self.value(n);
        assert_eq!(ctx.namespace(NS).get::<u64>(&title).unwrap().as_deref().copied(), expected);
        assert_eq!(ctx.handle().namespace(NS).get::<u64>(&title).unwrap().as_deref().copied(), expected);
        assert_eq!(ctx.namespace(NS).contains(&title), expected.is_some());
        if let Some(key) = self.key(n) {
            assert_eq!(key.get_in(&ctx.handle()).as_deref().copied(), expected);
            self.make_first(n);
            assert_eq!(key.with(|value| *value), self.value(n));
        }
    }

    fn check_all(&self) {
        let mut names: Vec<_> = self.values.keys().map(|n| self.title(*n)).collect();
        names.sort_unstable();
        assert_eq!(get_thread_ctx().namespace(NS).names(), names);
        let dump = get_thread_ctx().handle().dump().to_json();
        let dump: serde_json::Value = serde_json::from_str(&dump).unwrap();
        let listed = dump["contexts"][0]["values"].as_array().unwrap().iter();
        assert!(listed.filter(|value| value["namespace"] == NS).map(|value| &value["name"]).eq(&names));
        for (value, expected) in &self.kept {
            assert_eq!(**value, *expected);
        }
        for (weak, expected) in &self.weak {
            assert!(weak.upgrade().is_none_or(|value| *value == *expected));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn any_calls_in_any_order_leave_what_a_map_would_have(
        titles in 1..=KEYS,
        steps in vec((any::<Index>(), step()), 1..60),
        exits in any::<bool>(),
    ) {
        let worker = Worker::start();
        worker.run(move || {
            let mut model = Model::new(titles);
            model.run(&steps);
            model.check_all();
            if exits {
                get_thread_ctx();
                model.exit();
            }
            model.run(&steps);
            model.check_all();
        });
        worker.end();
    }
}

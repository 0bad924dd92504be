//! Everything at once against a model: random calls on 1 to 40 keys and names, and a map that says what must be there.

use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, LazyLock},
};

use proptest::{collection::vec, prelude::*, sample::Index};
use threadctx::{Key, exit_thread_ctx, get_thread_ctx};

use crate::support::worker::Worker;

const NS: &str = "model";
/// This many have a key; as many again are names only.
const KEYS: usize = 40;

static TITLES: LazyLock<Vec<String>> = LazyLock::new(|| (0..2 * KEYS).map(|n| format!("{n:02}")).collect());

/// Half of them visible: those are stamped, which is another path.
static KEY: LazyLock<Vec<&'static Key<u64>>> = LazyLock::new(|| {
    let key = |n: usize| {
        let key = Key::new(NS, &TITLES[n]);
        if n % 2 == 0 { key.debug() } else { key }
    };
    let keys: Vec<&'static Key<u64>> = (0..KEYS).map(|n| &*Box::leak(Box::new(key(n)))).collect();
    // Used once, so that their names have their type from here on.
    keys.iter().for_each(|key| key.check().unwrap());
    keys
});

#[derive(Clone, Debug)]
enum Step {
    Set(u64),
    TrySet(u64),
    Replace(u64),
    Take,
    Update(u64),
    GetOrInit(u64),
    /// With it borrowed.
    With(Vec<(Index, Step)>),
    Scope(u64, Vec<(Index, Step)>),
    /// A scope that ends in a panic.
    Fails(u64, Vec<(Index, Step)>),
    Insert(u64),
    InsertOtherType,
    GetOrInsert(u64),
    Remove,
    /// Keeps a count: what it is of must not change.
    Keep,
    KeepWeak,
    ClearAll,
    ClearNamespace,
    Exit,
}

fn step() -> impl Strategy<Value = Step> {
    let value = || 0..1_000_u64;
    let leaf = prop_oneof![
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
        4 => Just(Step::Keep),
        2 => Just(Step::KeepWeak),
        1 => Just(Step::ClearAll),
        1 => Just(Step::ClearNamespace),
    ];
    leaf.prop_recursive(4, 60, 8, move |inner| {
        let steps = || vec((any::<Index>(), inner.clone()), 0..8);
        prop_oneof![
            steps().prop_map(Step::With),
            (value(), steps()).prop_map(|(value, steps)| Step::Scope(value, steps)),
            (value(), steps()).prop_map(|(value, steps)| Step::Fails(value, steps)),
        ]
    })
}

/// What must be there, by the number of the title.
#[derive(Default)]
struct Model {
    /// How many titles are in play.
    titles: usize,
    values: BTreeMap<usize, u64>,
    kept: Vec<(Arc<u64>, u64)>,
    weak: Vec<(std::sync::Weak<u64>, u64)>,
}

impl Model {
    fn run(&mut self, steps: &[(Index, Step)]) {
        for (index, step) in steps {
            // Spread over the keys and the names alike.
            let nth = index.index(self.titles);
            let title = if nth % 3 == 2 { KEYS + nth / 3 } else { nth };
            match KEY.get(title) {
                Some(key) => self.on_key(title, key, step),
                None => self.on_name(title, step),
            }
            self.check(title);
        }
    }

    fn on_key(&mut self, n: usize, key: &'static Key<u64>, step: &Step) {
        let before = self.values.get(&n).copied();
        match *step {
            Step::Set(value) => {
                key.set(value);
                self.values.insert(n, value);
            }
            Step::TrySet(value) => {
                key.try_set(value).unwrap();
                self.values.insert(n, value);
            }
            Step::Replace(value) => {
                let former = key.replace(value);
                assert_eq!(former.as_deref().copied(), before);
                self.values.insert(n, value);
            }
            Step::Take => assert_eq!(key.take().as_deref().copied(), self.values.remove(&n)),
            Step::Update(more) => {
                let result = key.update(|value| {
                    *value += more;
                    *value
                });
                self.values.entry(n).and_modify(|value| *value += more);
                assert_eq!(result, self.values.get(&n).copied());
            }
            Step::GetOrInit(value) => {
                assert_eq!(*key.get_or_init(|| value), *self.values.entry(n).or_insert(value));
            }
            Step::With(ref steps) => {
                let seen = key.with(|value| {
                    self.run(steps);
                    *value
                });
                assert_eq!(seen, before, "a borrowed value stays as it is");
            }
            Step::Scope(value, ref steps) => {
                key.scope(value, || self.entered(n, value, steps));
                self.left(n, before);
            }
            Step::Fails(value, ref steps) => {
                let scope = || {
                    key.scope(value, || {
                        self.entered(n, value, steps);
                        panic::resume_unwind(Box::new(()))
                    })
                };
                assert!(panic::catch_unwind(AssertUnwindSafe(scope)).is_err());
                self.left(n, before);
            }
            _ => self.on_name(n, step),
        }
    }

    fn on_name(&mut self, n: usize, step: &Step) {
        let before = self.values.get(&n).copied();
        let (ctx, title) = (get_thread_ctx(), TITLES[n].as_str());
        let namespace = ctx.namespace(NS);
        match *step {
            Step::Set(value) | Step::TrySet(value) | Step::Replace(value) | Step::Insert(value) => {
                let former = namespace.insert(title, value).unwrap();
                assert_eq!(former.as_deref().copied(), before);
                self.values.insert(n, value);
            }
            Step::InsertOtherType => {
                // A name without a value and without a key has no type.
                let refuses = n < KEYS || before.is_some();
                assert_eq!(namespace.insert(title, "text").is_err(), refuses);
                if !refuses {
                    assert!(namespace.remove(title));
                }
            }
            Step::GetOrInit(value) | Step::GetOrInsert(value) | Step::Update(value) => {
                let got = namespace.get_or_insert_with(title, || value).unwrap();
                assert_eq!(*got, *self.values.entry(n).or_insert(value));
            }
            Step::Take | Step::Remove => {
                assert_eq!(namespace.remove(title), self.values.remove(&n).is_some());
            }
            Step::Keep => self.kept.extend(namespace.get(title).unwrap().zip(before)),
            Step::KeepWeak => {
                let weak = namespace.get(title).unwrap().as_ref().map(Arc::downgrade);
                self.weak.extend(weak.zip(before));
            }
            Step::With(ref steps) | Step::Scope(_, ref steps) | Step::Fails(_, ref steps) => self.run(steps),
            Step::ClearAll => {
                ctx.clear();
                self.values.clear();
            }
            Step::ClearNamespace => {
                namespace.clear();
                self.values.clear();
            }
            Step::Exit => {
                exit_thread_ctx();
                self.values.clear();
            }
        }
    }

    /// Inside a scope.
    fn entered(&mut self, n: usize, value: u64, steps: &[(Index, Step)]) {
        self.values.insert(n, value);
        self.run(steps);
    }

    /// After a scope.
    fn left(&mut self, n: usize, before: Option<u64>) {
        match before {
            Some(value) => drop(self.values.insert(n, value)),
            None => drop(self.values.remove(&n)),
        }
    }

    /// One title in every way of reading, and now and then the whole.
    fn check(&self, n: usize) {
        let (expected, title) = (self.values.get(&n), TITLES[n].as_str());
        let ctx = get_thread_ctx();
        assert_eq!(ctx.namespace(NS).get::<u64>(title).unwrap().as_deref(), expected);
        assert_eq!(ctx.handle().namespace(NS).get::<u64>(title).unwrap().as_deref(), expected);
        assert_eq!(ctx.namespace(NS).contains(title), expected.is_some());
        if let Some(key) = KEY.get(n) {
            assert_eq!(key.with(|value| *value).as_ref(), expected);
            assert_eq!(key.get_in(&ctx.handle()).as_deref(), expected);
        }
    }

    fn check_all(&self) {
        let names: Vec<_> = self.values.keys().map(|n| TITLES[*n].clone()).collect();
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
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn any_calls_in_any_order_leave_what_a_map_would_have(
        titles in 1..=KEYS,
        steps in vec((any::<Index>(), step()), 1..60),
        exits in any::<bool>(),
    ) {
        let worker = Worker::start();
        worker.run(move || {
            let mut model = Model { titles, ..Model::default() };
            model.run(&steps);
            model.check_all();
            if exits {
                model.on_name(0, &Step::Exit);
            }
            model.run(&steps);
            model.check_all();
        });
        worker.end();
    }
}

//! What is too large to be tried in every interleaving: eight threads that do everything at once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use shuttle::{
    rand::{Rng, thread_rng},
    thread,
};
use threadctx::{
    ContextRef, Key, contexts, dump, exit_thread_ctx, get_thread_ctx, on_thread_exit, on_thread_start,
};

use crate::{
    check,
    models::{
        Mutex, Tracked, leaked,
        tasks::{Task, counting_task, poll},
    },
};

const OWNERS: u64 = 5;
const LOOKERS: usize = 3;
/// How much one thread does in a life.
const STEPS: usize = 8;
/// How often it begins anew.
const LIVES: u64 = 2;

/// A value says whose it is, what it goes by, and how many came before it.
fn value(owner: u64, label: u64, count: u64) -> u64 {
    owner * 100_000 + label * 10_000 + count
}

fn label_of(value: u64) -> u64 {
    value % 100_000 / 10_000
}

fn owner_of(value: u64) -> u64 {
    value / 100_000
}

const USER: u64 = 1;
const NOTE: u64 = 2;
/// The names, each with its label.
const NAMES: [(&str, u64); 2] = [("a", 3), ("b", 4)];

#[derive(Clone, Copy)]
struct Keys {
    /// Its values only grow.
    user: &'static Key<Tracked>,
    /// Comes, goes, and is put back by scopes.
    note: &'static Key<Tracked>,
    /// Only grows, also over exits.
    sum: &'static Key<u64>,
}

impl Keys {
    fn new() -> Self {
        Self {
            user: leaked(
                Key::new("crowd", "user").debug().on_exit(|last| assert_eq!(label_of(last.read()), USER)),
            ),
            note: leaked(Key::new("crowd", "note")),
            sum: leaked(Key::new("crowd", "sum").debug().keep_total(|one, other| one + other)),
        }
    }
}

/// One that owns a context, with what it knows to be in it.
struct Owner {
    keys: Keys,
    number: u64,
    count: u64,
    user: Option<u64>,
    sum: u64,
    names: [Option<u64>; 2],
}

impl Owner {
    fn next(&mut self, label: u64) -> (u64, Tracked) {
        self.count += 1;
        let value = value(self.number, label, self.count);
        (value, Tracked::new(value))
    }

    fn live(&mut self) {
        (self.user, self.names) = (None, [None; 2]);
        self.keys.sum.set(self.sum);
        for _ in 0..STEPS {
            self.step(thread_rng().gen_range(0..9));
            assert_eq!(self.keys.user.with(Tracked::read), self.user);
            for ((name, _), expected) in NAMES.into_iter().zip(self.names) {
                assert_eq!(named(&get_thread_ctx().handle(), name), expected);
            }
        }
        assert!(exit_thread_ctx());
    }

    fn step(&mut self, which: u32) {
        match which {
            0 => self.set_user(|key, value| key.set(value)),
            1 => self.set_user(|key, value| drop(key.replace(value))),
            2 => self.set_user(|key, value| key.with(|_| key.set(value)).unwrap_or_default()),
            3 => self.user = self.keys.user.take().and(None),
            4 => self.scope_note(),
            5 => self.insert_name(),
            6 => self.remove_name(),
            7 => self.add_to_sum(),
            _ => self.hook(),
        }
    }

    fn set_user(&mut self, set: impl FnOnce(&'static Key<Tracked>, Tracked)) {
        let (number, value) = self.next(USER);
        set(self.keys.user, value);
        self.user = self.keys.user.with(Tracked::read).inspect(|now| assert_eq!(*now, number));
    }

    fn scope_note(&mut self) {
        let note = self.keys.note;
        let before = note.with(Tracked::read);
        let (number, value) = self.next(NOTE);
        note.scope(value, || assert_eq!(note.with(Tracked::read), Some(number)));
        assert_eq!(note.with(Tracked::read), before, "a scope puts back what was there");
        if thread_rng().r#gen() {
            note.set(self.next(NOTE).1);
        }
    }

    fn insert_name(&mut self) {
        let which = thread_rng().gen_range(0..NAMES.len());
        let (name, label) = NAMES[which];
        let (number, value) = self.next(label);
        drop(get_thread_ctx().namespace("crowd").insert(name, value).expect("of one type"));
        self.names[which] = Some(number);
    }

    fn remove_name(&mut self) {
        let which = thread_rng().gen_range(0..NAMES.len());
        let was_there = get_thread_ctx().namespace("crowd").remove(NAMES[which].0);
        assert_eq!(was_there, self.names[which].take().is_some());
    }

    fn add_to_sum(&mut self) {
        self.sum += 1;
        self.keys.sum.set(self.sum);
    }

    fn hook(&mut self) {
        let (note, value) = (self.keys.note, self.next(NOTE).1);
        get_thread_ctx().on_exit(move |_| note.set(value));
        drop(on_thread_start(|_| ()));
    }
}

fn named(context: &ContextRef, name: &str) -> Option<u64> {
    let found = context.namespace("crowd").get::<Tracked>(name).expect("of one type");
    found.map(|value| value.read())
}

/// One that looks at everybody, with what it has seen.
struct Looker {
    keys: Keys,
    /// By ident: whose the context is, and the last value of the key whose values only grow.
    seen: BTreeMap<String, u64>,
    total: u64,
}

impl Looker {
    fn look(&mut self) {
        for _ in 0..STEPS {
            match thread_rng().gen_range(0..5) {
                0 => contexts().iter().for_each(|context| self.look_into(context)),
                1 => self.list(),
                2 => self.dump(),
                3 => self.see_total(),
                _ => drop(on_thread_exit(|_| ())),
            }
        }
    }

    fn look_into(&mut self, context: &ContextRef) {
        if let Some(value) = self.keys.user.get_in(context) {
            self.see_user(context.ident().to_string(), value.read());
        }
        if let Some(note) = self.keys.note.get_in(context) {
            assert_eq!(label_of(note.read()), NOTE);
        }
        for (name, label) in NAMES {
            assert!(
                named(context, name).is_none_or(|value| label_of(value) == label),
                "another name's value"
            );
        }
    }

    fn see_user(&mut self, ident: String, value: u64) {
        assert_eq!(label_of(value), USER);
        if let Some(before) = self.seen.insert(ident, value) {
            assert_eq!(owner_of(before), owner_of(value), "a value of somebody else");
            assert!(before <= value, "values do not go back");
        }
    }

    fn list(&mut self) {
        for (ident, value) in self.keys.user.iter() {
            self.see_user(ident.to_string(), value.read());
        }
    }

    fn dump(&self) {
        let dump = dump().to_json();
        let picture: serde_json::Value = serde_json::from_str(&dump).expect("a dump is JSON");
        let all = picture["contexts"].as_array().expect("there are some, or none");
        for value in all.iter().filter_map(|context| context["values"].as_array()).flatten() {
            let label = value["value"].as_str().and_then(|text| text.parse().ok()).map(label_of);
            match value["name"].as_str().expect("each has a name") {
                "user" => assert_eq!(label, Some(USER), "{value}"),
                "a" => assert_eq!(label, Some(3), "{value}"),
                "b" => assert_eq!(label, Some(4), "{value}"),
                name => assert!(matches!(name, "note" | "sum"), "{name}"),
            }
        }
    }

    fn see_total(&mut self) {
        let total = self.keys.sum.total().unwrap_or_default();
        assert!(total >= self.total, "totals do not go back: {total} after {}", self.total);
        self.total = total;
    }
}

#[test]
fn eight_threads_do_everything_at_once() {
    check("a crowd", 400, || {
        let keys = Keys::new();
        let exits = Arc::new(AtomicU64::new(0));
        let counts = Arc::clone(&exits);
        let stays = on_thread_exit(move |_| _ = counts.fetch_add(1, Ordering::Relaxed));
        let lookers: Vec<_> = (0..LOOKERS)
            .map(|_| Looker { keys, seen: BTreeMap::new(), total: 0 })
            .map(|mut looker| thread::spawn(move || looker.look()))
            .collect();
        let owners: Vec<_> = (0..OWNERS)
            .map(|number| Owner { keys, number, count: 0, user: None, sum: 0, names: [None; 2] })
            .map(|owner| thread::spawn(move || sums_of_lives(owner)))
            .collect();
        let sum: u64 = owners.into_iter().map(|owner| owner.join().unwrap()).sum();
        lookers.into_iter().for_each(|looker| looker.join().unwrap());
        assert_eq!(keys.sum.total(), Some(sum), "each value exactly once");
        assert_eq!(exits.load(Ordering::Relaxed), OWNERS * LIVES, "the hook runs once per exit");
        assert!(contexts().is_empty());
        drop(stays);
    });
}

/// What an owner's lives leave for the total.
fn sums_of_lives(mut owner: Owner) -> u64 {
    let mut sum = 0;
    for _ in 0..LIVES {
        owner.sum = 0;
        owner.live();
        sum += owner.sum;
    }
    sum
}

#[test]
fn seven_readers_at_one_slot() {
    check("one slot, seven readers", 500, || {
        let key = leaked(Key::new("crowd", "slot").debug());
        key.set(Tracked::new(0));
        let owner = get_thread_ctx().handle();
        let readers: Vec<_> =
            (0..7).map(|_| owner.clone()).map(|owner| thread::spawn(move || read_on(key, &owner))).collect();
        for next in 1..10 {
            match next % 3 {
                0 => drop(key.replace(Tracked::new(next))),
                1 => key.with(|_| key.set(Tracked::new(next))).expect("there is a value"),
                _ => key.set(Tracked::new(next)),
            }
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        exit_thread_ctx();
    });
}

/// Reads, keeps some, and sees that neither what is kept nor the order changes.
fn read_on(key: &'static Key<Tracked>, owner: &ContextRef) {
    let mut kept = Vec::new();
    let mut last = 0;
    for _ in 0..4 {
        let value = key.get_in(owner).expect("there is a value at any time");
        let now = value.read();
        assert!(now >= last, "values do not go back");
        last = now;
        if thread_rng().r#gen() {
            kept.push((now, value));
        }
    }
    kept.iter().for_each(|(read, value)| assert_eq!(value.read(), *read));
}

#[test]
fn tasks_move_among_six_threads_while_others_look() {
    check("tasks that move", 400, || {
        let key = leaked(Key::new("crowd", "task"));
        let tasks = Arc::new([1, 2, 3].map(|step| Mutex::new(counting_task(key, step))));
        let handles = tasks.each_ref().map(|task| task.lock().unwrap().handle());
        let pollers: Vec<_> = (0..6)
            .map(|_| Arc::clone(&tasks))
            .map(|tasks| thread::spawn(move || tasks.iter().for_each(|task| poll(&mut task.lock().unwrap()))))
            .collect();
        let seen = handles.clone();
        let looker = thread::spawn(move || count_all(key, &seen));
        pollers.into_iter().for_each(|poller| poller.join().unwrap());
        assert!(looker.join().unwrap() <= 36);
        assert_eq!(count_all(key, &handles), 36, "no poll's write is lost");
        let tasks = Arc::into_inner(tasks).expect("the pollers are done");
        tasks.into_iter().for_each(|task| drop::<Task>(task.into_inner().unwrap()));
        assert!(handles.iter().all(|task| key.get_in(task).is_none()));
    });
}

fn count_all(key: &'static Key<Tracked>, tasks: &[ContextRef]) -> u64 {
    tasks.iter().filter_map(|task| key.get_in(task)).map(|value| value.read()).sum()
}

//! Those who look at others: by key, by name, all at once, in dumps, and from forked children.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use threadctx::{ContextRef, DumpOptions, Ident, State, contexts};

use crate::{
    CENSUS,
    census::People,
    goes_on, owners,
    report::{Op, check, count},
    support::random::Random,
    values::{KEYS, NS, TITLES, Value, caught},
};

/// Looks in every way there is, and keeps some of what it finds.
pub(crate) fn reader(random: Random) {
    let mut reader =
        Reader { random, kept: Vec::new(), weak: Vec::new(), over: Vec::new(), steady: HashMap::new() };
    while goes_on() {
        reader.look();
    }
    reader.look_again();
}

struct Reader {
    random: Random,
    kept: Vec<(Arc<Value>, u64)>,
    weak: Vec<(Weak<Value>, u64)>,
    /// Contexts seen once, which will be over.
    over: Vec<ContextRef>,
    /// What the steady owner's value was last.
    steady: HashMap<Ident, u64>,
}

impl Reader {
    fn look(&mut self) {
        match self.random.below(6) {
            0 | 1 => self.look_at_contexts(),
            2 => self.iterate(),
            3 => self.look_at_steady(),
            4 => owners::check_total(),
            _ => self.look_again(),
        }
    }

    fn look_at_contexts(&mut self) {
        let people = CENSUS.taken();
        for context in contexts() {
            for (n, key) in KEYS.iter().enumerate() {
                count(Op::Reads, 1);
                if let Some(value) = key.get_in(&context) {
                    self.found(&people, context.ident(), n, value);
                }
            }
            self.look_at_names(&people, &context);
            if self.random.one_in(8) {
                self.over.push(context);
            }
        }
    }

    fn look_at_names(&mut self, people: &People, context: &ContextRef) {
        let view = context.namespace(NS);
        count(Op::Views, 1);
        for (key, name) in TITLES.iter().enumerate().skip(KEYS.len()) {
            let value = view.get::<Value>(name).expect("it is of that type");
            value.into_iter().for_each(|value| self.found(people, context.ident(), key, value));
        }
        let names = view.names();
        let is_known = names.iter().all(|name| TITLES.contains(&name.as_str()));
        check(is_known, || format!("strange names: {names:?}"));
    }

    fn iterate(&mut self) {
        let n = self.random.below(KEYS.len() as u64) as usize;
        let people = CENSUS.taken();
        for (ident, value) in KEYS[n].iter() {
            count(Op::Reads, 1);
            self.found(&people, ident, n, value);
        }
    }

    /// Checks a value that was found, and keeps or drops it.
    fn found(&mut self, people: &People, ident: Ident, key: usize, value: Arc<Value>) {
        check(value.is_whole(), || format!("torn: {}", value.text()));
        check(value.ident == ident && value.key == key, || {
            format!("{} under key {key} of {ident}", value.text())
        });
        check(people.may_be_seen(value.of), || format!("a value of the dead: {}", value.text()));
        match self.random.below(6) {
            0 => self.kept.push((Arc::clone(&value), value.number)),
            1 => self.weak.push((Arc::downgrade(&value), value.number)),
            _ => (),
        }
        // It may be the last count, and then its drop may panic.
        caught(|| drop(value));
    }

    fn look_at_steady(&mut self) {
        for (ident, value) in owners::STEADY.iter() {
            let Some(number) = value.number() else { return check(false, || format!("torn: {value:?}")) };
            let last = self.steady.insert(ident, number);
            check(last <= Some(number), || format!("{number} after {last:?}"));
            count(Op::Reads, 1);
        }
        // Seen once, it is absent at no moment until it exits, which is when the round is over.
        for context in contexts().iter().filter(|context| self.steady.contains_key(&context.ident())) {
            let value = owners::STEADY.get_in(context);
            let may_be_absent = context.state() != State::Running;
            check(value.is_some() || may_be_absent, || "absent between two writes".to_owned());
        }
    }

    /// What was kept is as it was; who is over has nothing.
    fn look_again(&mut self) {
        for (value, number) in self.kept.drain(..) {
            check(value.is_whole() && value.number == number, || format!("changed: {}", value.text()));
            count(Op::Kept, 1);
            caught(|| drop(value));
        }
        for (weak, number) in self.weak.drain(..) {
            let Some(value) = weak.upgrade() else { continue };
            check(value.is_whole() && value.number == number, || format!("changed: {}", value.text()));
            count(Op::Kept, 1);
            caught(|| drop(value));
        }
        for context in self.over.drain(..).filter(|context| context.state() == State::Exited) {
            let is_empty = KEYS.iter().all(|key| key.get_in(&context).is_none());
            check(is_empty && context.namespace(NS).names().is_empty(), || {
                format!("{context:?} is not empty")
            });
        }
    }
}

/// Dumps everything, in both forms, and reads what it has dumped.
pub(crate) fn dumper(mut random: Random) {
    while goes_on() {
        let people = CENSUS.taken();
        let dump = DumpOptions::new().namespace("stress*").take();
        count(Op::Dumps, 1);
        if random.one_in(2) {
            check(!dump.to_string().is_empty(), || "an empty dump".to_owned());
            continue;
        }
        let json: serde_json::Value = match serde_json::from_str(&dump.to_json()) {
            Ok(json) => json,
            Err(error) => return check(false, || format!("no JSON: {error}")),
        };
        let contexts = json["contexts"].as_array().map(Vec::as_slice).unwrap_or_default();
        contexts.iter().for_each(|context| check_dumped(&people, context));
    }
}

/// Checks that the values in one dumped context are its own.
fn check_dumped(people: &People, context: &serde_json::Value) {
    let values = context["values"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown = values.iter().filter(|value| value["namespace"] == NS && value["problem"].is_null());
    for text in shown.filter_map(|value| value["value"].as_str()) {
        let parts: Vec<_> = text.split('/').collect();
        let of = parts.first().and_then(|of| of.parse().ok());
        check(of.is_some_and(|of| people.may_be_seen(of)), || format!("a value of the dead: {text}"));
        let ident = &context["ident"];
        check(parts.get(1).is_some_and(|part| *ident == *part), || format!("{text} in {ident}"));
    }
}

/// Forks children, which find themselves alone and everything working.
#[cfg(unix)]
pub(crate) fn forker(mut random: Random) {
    use threadctx::{Key, dump, exit_thread_ctx, get_thread_ctx, on_thread_exit};

    static MINE: Key<u64> = Key::new("stress, fork", "mine").debug();
    for n in 0.. {
        MINE.set(n);
        let spawns = random.one_in(4);
        let least = owners::certain_in_a_child();
        let side = crate::support::forks::fork();
        let checks = || {
            let mine = get_thread_ctx().handle();
            let all = contexts();
            assert!(all.len() == 1 && all[0].ident() == mine.ident() && mine.state() == State::Running);
            assert_eq!(MINE.cloned(), Some(n));
            assert_eq!(MINE.iter().count(), 1);
            owners::assert_total_in_a_child(least);
            MINE.with(|_| MINE.set(n + 1));
            assert_eq!(MINE.get_in(&mine).as_deref(), Some(&(n + 1)));
            assert!(dump().to_json().contains("stress, fork"));
            drop(on_thread_exit(|_| ()));
            if spawns {
                // Not one of std's: std takes a lock for each that begins, which a thread that is not here may have held.
                crate::support::foreign::Foreign::start(|| MINE.set(0)).join();
            }
            assert!(exit_thread_ctx() && contexts().is_empty());
        };
        let ended = caught(|| side.finish(checks));
        check(ended.is_some(), || format!("child {n} did not end well"));
        count(Op::Forks, 1);
        if !goes_on() {
            break;
        }
    }
}

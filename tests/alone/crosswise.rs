//! Random programs of owners while others read in every way there is; afterwards each read is held against what was written.
//!
//! An owner notes what a key becomes with each of its steps, and says before and after each step how far it has come. A
//! reader notes between which two of these its read lay, and what it saw. So for every read there must be a moment within it
//! at which that was the value, and the moments of one reader must not go back: each key is then as one variable would be.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Barrier, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use proptest::{collection::vec, prelude::*, sample::Index};
use threadctx::{
    ContextRef, DumpOptions, Ident, Key, Scope, State, contexts, exit_thread_ctx, get_thread_ctx,
};

use crate::{alone, support::worker::Worker};

const NS: &str = "crosswise";

static KEYS: [Key<Written>; 3] =
    [Key::new(NS, "0 opaque"), Key::new(NS, "1 debug").debug(), Key::new(NS, "2 scoped").debug()];
/// These have no key.
const NAMES: [&str; 2] = ["3 name", "4 name"];
/// Keys, then names.
const SLOTS: usize = KEYS.len() + NAMES.len();
static TOTAL: Key<u64> = Key::new("crosswise, total", "total").keep_total(|one, other| one + other);

/// What is written: by which owner, in which of its lives, into which slot, as which one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    owner: usize,
    life: usize,
    slot: usize,
    number: usize,
}

/// A stamp in many copies, which agree unless it was read while it was written.
#[derive(Clone)]
struct Written([Stamp; 6]);

impl Written {
    /// The stamp, if it is whole.
    fn stamp(&self) -> Stamp {
        assert!(self.0.iter().all(|copy| *copy == self.0[0]), "torn");
        self.0[0]
    }
}

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Stamp { owner, life, slot, number } = self.stamp();
        write!(f, "{owner} {life} {slot} {number}")
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set,
    SetTwice,
    Replace,
    Take,
    Update,
    GetOrInit,
    SetInside,
    TakeInside,
    Enter,
    Leave(Index),
    ClearNamespace,
    ClearAll,
    Add(u64),
    Exit,
    ExitInside,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        8 => Just(Step::Set),
        2 => Just(Step::SetTwice),
        5 => Just(Step::Replace),
        3 => Just(Step::Take),
        4 => Just(Step::Update),
        3 => Just(Step::GetOrInit),
        3 => Just(Step::SetInside),
        2 => Just(Step::TakeInside),
        4 => Just(Step::Enter),
        4 => any::<Index>().prop_map(Step::Leave),
        1 => Just(Step::ClearNamespace),
        1 => Just(Step::ClearAll),
        4 => (1..100_u64).prop_map(Step::Add),
        1 => Just(Step::Exit),
        1 => Just(Step::ExitInside),
    ];
    (0..SLOTS, step)
}

/// One variable of one owner: what it became, in turn; and how far the owner has come, for others to see.
#[derive(Default)]
struct Track {
    begun: AtomicUsize,
    done: AtomicUsize,
}

/// What all share.
struct Stage {
    /// By owner: a slot each, and the total last.
    tracks: Vec<[Track; SLOTS + 1]>,
    over: AtomicBool,
    ready: Barrier,
}

impl Stage {
    fn new(owners: usize, readers: usize) -> Self {
        let tracks = (0..owners).map(|_| Default::default()).collect();
        Self { tracks, over: AtomicBool::new(false), ready: Barrier::new(owners + readers) }
    }
}

/// What a slot held: nothing, or the stamp.
type Seen = Option<Stamp>;

/// An owner that runs its program.
struct Owner<'s> {
    number: usize,
    stage: &'s Stage,
    life: usize,
    written: usize,
    /// Slot by slot, with the life in which it became that.
    history: [Vec<(usize, Seen)>; SLOTS],
    total: Vec<u64>,
    scopes: Vec<(Scope<Written>, usize, usize, Seen)>,
}

impl<'s> Owner<'s> {
    fn new(number: usize, stage: &'s Stage) -> Self {
        let history = std::array::from_fn(|_| vec![(0, None)]);
        Self { number, stage, life: 0, written: 0, history, total: vec![0], scopes: Vec::new() }
    }

    fn next(&mut self, slot: usize) -> (Written, Seen) {
        self.written += 1;
        let stamp = Stamp { owner: self.number, life: self.life, slot, number: self.written };
        (Written([stamp; 6]), Some(stamp))
    }

    fn now(&self, slot: usize) -> Seen {
        self.history[slot].last().expect("it begins with one").1
    }

    /// Runs `step`, which makes of the slots what `becomes` says, and of the total what it says.
    fn step<R>(&mut self, becomes: &[(usize, Seen)], total: Option<u64>, step: impl FnOnce() -> R) -> R {
        let tracks = &self.stage.tracks[self.number];
        for (slot, seen) in becomes {
            self.history[*slot].push((self.life, *seen));
            tracks[*slot].begun.store(self.history[*slot].len() - 1, Ordering::SeqCst);
        }
        if let Some(total) = total {
            self.total.push(total);
            tracks[SLOTS].begun.store(self.total.len() - 1, Ordering::SeqCst);
        }
        let result = step();
        for (slot, _) in becomes {
            tracks[*slot].done.store(self.history[*slot].len() - 1, Ordering::SeqCst);
        }
        tracks[SLOTS].done.store(self.total.len() - 1, Ordering::SeqCst);
        result
    }

    fn run(&mut self, slot: usize, step: &Step) {
        match step {
            Step::Leave(index) if !self.scopes.is_empty() => self.leave(index.index(self.scopes.len())),
            Step::Add(more) => {
                let live = TOTAL.cloned().unwrap_or(0);
                let total = self.total.last().expect("it begins with one") + more;
                self.step(&[], Some(total), || TOTAL.set(live + more));
            }
            Step::ClearNamespace => self.empty(None, || get_thread_ctx().namespace(NS).clear()),
            Step::ClearAll => {
                // What is cleared is not in the total any more.
                let total = self.total.last().expect("it begins with one") - TOTAL.cloned().unwrap_or(0);
                self.empty(Some(total), || get_thread_ctx().clear());
            }
            Step::Exit => self.exit(|| assert!(exit_thread_ctx())),
            Step::ExitInside => self.exit(|| {
                let exited = KEYS[0].with(|_| exit_thread_ctx());
                assert!(exited.unwrap_or_else(exit_thread_ctx));
            }),
            step if slot < KEYS.len() => self.on_key(slot, step),
            step => self.on_name(slot, step),
        }
    }

    fn leave(&mut self, nth: usize) {
        let (scope, slot, life, before) = self.scopes.swap_remove(nth);
        let becomes: &[_] = if life == self.life { &[(slot, before)] } else { &[] };
        self.step(becomes, None, || drop(scope));
    }

    /// Every slot becomes empty.
    fn empty(&mut self, total: Option<u64>, step: impl FnOnce()) {
        let becomes: [_; SLOTS] = std::array::from_fn(|slot| (slot, None));
        self.step(&becomes, total, step);
    }

    fn exit(&mut self, exit: impl FnOnce()) {
        get_thread_ctx();
        self.empty(None, exit);
        self.life += 1;
    }

    fn on_key(&mut self, slot: usize, step: &Step) {
        let (key, (value, becomes), before) = (&KEYS[slot], self.next(slot), self.now(slot));
        match step {
            Step::Set => self.step(&[(slot, becomes)], None, || key.set(value)),
            Step::SetTwice => {
                self.step(&[(slot, becomes)], None, || key.set(value));
                let (value, becomes) = self.next(slot);
                self.step(&[(slot, becomes)], None, || key.set(value));
            }
            Step::Replace => {
                let former = self.step(&[(slot, becomes)], None, || key.replace(value));
                assert!(former.map(|former| former.stamp()) == before);
            }
            Step::Take | Step::Leave(_) => {
                let former = self.step(&[(slot, None)], None, || key.take());
                assert!(former.map(|former| former.stamp()) == before);
            }
            Step::Update if before.is_some() => {
                self.step(&[(slot, becomes)], None, || key.update(|clone| *clone = value))
                    .expect("it is there");
            }
            Step::SetInside if before.is_some() => {
                let set = || key.with(|inside| (key.set(value), inside.stamp()).1);
                let inside = self.step(&[(slot, becomes)], None, set);
                assert!(inside == before, "a borrowed value stays as it is");
            }
            Step::TakeInside if before.is_some() => {
                let take = || key.with(|inside| (drop(key.take()), inside.stamp()).1);
                assert!(self.step(&[(slot, None)], None, take) == before);
            }
            Step::Enter if self.scopes.len() < 4 => {
                let scope = self.step(&[(slot, becomes)], None, || key.enter(value));
                self.scopes.push((scope, slot, self.life, before));
            }
            _ => {
                let becomes = before.or(becomes);
                let made = self.step(&[(slot, becomes)], None, || key.get_or_init(|| value));
                assert!(Some(made.stamp()) == becomes);
            }
        }
        assert!(key.with(Written::stamp) == self.now(slot));
    }

    fn on_name(&mut self, slot: usize, step: &Step) {
        let ((value, becomes), before) = (self.next(slot), self.now(slot));
        let (name, ctx) = (NAMES[slot - KEYS.len()], get_thread_ctx());
        let namespace = ctx.namespace(NS);
        match step {
            Step::Take | Step::TakeInside | Step::Leave(_) => {
                let was_there = self.step(&[(slot, None)], None, || namespace.remove(name));
                assert_eq!(was_there, before.is_some());
            }
            Step::GetOrInit | Step::Update => {
                let becomes = before.or(becomes);
                let made =
                    self.step(&[(slot, becomes)], None, || namespace.get_or_insert_with(name, || value));
                assert!(Some(made.unwrap().stamp()) == becomes);
            }
            _ => {
                let former = self.step(&[(slot, becomes)], None, || namespace.insert(name, value).unwrap());
                assert!(former.map(|former| former.stamp()) == before);
            }
        }
    }
}

/// One look of a reader's at one slot of one owner.
struct Look {
    owner: usize,
    slot: usize,
    /// If it was made with a handle to one life's context, which life that was.
    life: Option<usize>,
    /// How far the owner had come when the look began, and how far it may have come when it ended.
    from: usize,
    to: usize,
    seen: Seen,
}

/// A look at the total: how far each owner had come, and what it was.
struct LookAtTotal {
    spans: Vec<(usize, usize)>,
    total: u64,
}

/// Handles to some of the owners' contexts, by the life that they are of: the first, and others as they are found.
type Handles = BTreeMap<(usize, usize), ContextRef>;

struct Reader<'s> {
    stage: &'s Stage,
    idents: &'s [Ident],
    handles: Handles,
    looks: Vec<Look>,
    totals: Vec<LookAtTotal>,
    kept: Vec<(Arc<Written>, Stamp)>,
    weak: Vec<(Weak<Written>, Stamp)>,
}

impl<'s> Reader<'s> {
    fn new(stage: &'s Stage, idents: &'s [Ident], handles: Handles) -> Self {
        let (looks, totals, kept, weak) = <_>::default();
        Self { stage, idents, handles, looks, totals, kept, weak }
    }

    fn from(&self, owner: usize) -> [usize; SLOTS] {
        std::array::from_fn(|slot| self.stage.tracks[owner][slot].done.load(Ordering::SeqCst))
    }

    /// Notes a look that began when the owner was at `from` and ends now.
    fn note(&mut self, owner: usize, slot: usize, life: Option<usize>, from: usize, seen: Seen) {
        let to = self.stage.tracks[owner][slot].begun.load(Ordering::SeqCst);
        self.looks.push(Look { owner, slot, life, from, to, seen });
    }

    /// The stamp of what was found; some of it is kept.
    fn found(&mut self, value: Option<Arc<Written>>) -> Seen {
        let stamp = value.as_ref()?.stamp();
        match stamp.number % 5 {
            0 => self.kept.extend(value.map(|value| (value, stamp))),
            1 => self.weak.extend(value.map(|value| (Arc::downgrade(&value), stamp))),
            _ => (),
        }
        Some(stamp)
    }

    /// Looks at everything, in every way.
    fn look(&mut self) {
        self.look_with_handles();
        (0..KEYS.len()).for_each(|slot| self.iterate(slot));
        self.look_at_the_live();
        self.look_at_the_total();
        self.dump();
        self.look_again();
    }

    fn look_with_handles(&mut self) {
        let handles: Vec<_> = self.handles.iter().map(|(whose, handle)| (*whose, handle.clone())).collect();
        for ((owner, life), handle) in handles {
            self.look_with(owner, Some(life), &handle, self.from(owner));
        }
    }

    fn look_with(&mut self, owner: usize, life: Option<usize>, handle: &ContextRef, from: [usize; SLOTS]) {
        let was_over = handle.state() == State::Exited;
        for slot in 0..SLOTS {
            let value = match KEYS.get(slot) {
                Some(key) if slot % 2 == 0 => key.get_in(handle),
                Some(_) => handle.namespace(NS).get("1 debug").unwrap(),
                None => handle.namespace(NS).get(NAMES[slot - KEYS.len()]).unwrap(),
            };
            assert!(value.is_none() || !was_over, "a context that is over has something");
            let seen = self.found(value);
            self.note(owner, slot, life, from[slot], seen);
        }
    }

    fn iterate(&mut self, slot: usize) {
        let from: Vec<_> = (0..self.idents.len()).map(|owner| self.from(owner)[slot]).collect();
        let mut found: BTreeMap<usize, Arc<Written>> = BTreeMap::new();
        for (ident, value) in KEYS[slot].iter() {
            let owner = self.idents.iter().position(|of| *of == ident).expect("nobody else writes these");
            assert!(found.insert(owner, value).is_none(), "two contexts of one thread");
        }
        for (owner, from) in from.into_iter().enumerate() {
            let seen = self.found(found.remove(&owner));
            self.note(owner, slot, None, from, seen);
        }
    }

    /// Looks at the contexts that are listed, and learns of lives that were not known.
    fn look_at_the_live(&mut self) {
        // From before the list: what is listed may be over when it is looked at, and its thread in its next life.
        let from: Vec<_> = (0..self.idents.len()).map(|owner| self.from(owner)).collect();
        for context in contexts() {
            let Some(owner) = self.idents.iter().position(|ident| *ident == context.ident()) else {
                continue;
            };
            self.look_with(owner, None, &context, from[owner]);
            let life = (0..SLOTS).find_map(|slot| {
                let value = context.namespace(NS).get::<Written>(slot_name(slot)).unwrap();
                Some(value?.stamp().life)
            });
            if let Some(life) = life.filter(|_| self.handles.len() < 6) {
                self.handles.insert((owner, life), context);
            }
        }
    }

    fn look_at_the_total(&mut self) {
        let from: Vec<_> =
            self.stage.tracks.iter().map(|tracks| tracks[SLOTS].done.load(Ordering::SeqCst)).collect();
        let total = TOTAL.total().unwrap_or(0);
        let to = self.stage.tracks.iter().map(|tracks| tracks[SLOTS].begun.load(Ordering::SeqCst));
        self.totals.push(LookAtTotal { spans: from.into_iter().zip(to).collect(), total });
    }

    fn dump(&mut self) {
        let from: Vec<_> = (0..self.idents.len()).map(|owner| self.from(owner)).collect();
        let dump = DumpOptions::new().namespace(NS).take().to_json();
        let dump: serde_json::Value = serde_json::from_str(&dump).unwrap();
        for context in dump["contexts"].as_array().unwrap() {
            let owner = self.idents.iter().position(|ident| context["ident"] == ident.to_string()).unwrap();
            for value in context["values"].as_array().unwrap() {
                // What has no renderer is not shown, nor what was being written each time the dump looked.
                let Some(text) = value["value"].as_str().filter(|_| value["problem"].is_null()) else {
                    continue;
                };
                let numbers: Vec<usize> = text.split(' ').map(|number| number.parse().unwrap()).collect();
                let &[of, life, slot, number] = &numbers[..] else { panic!("{text}") };
                assert_eq!(value["name"], slot_name(slot));
                self.note(
                    owner,
                    slot,
                    None,
                    from[owner][slot],
                    Some(Stamp { owner: of, life, slot, number }),
                );
            }
        }
    }

    /// What is kept has not changed.
    fn look_again(&mut self) {
        self.kept.drain(..).for_each(|(value, stamp)| assert!(value.stamp() == stamp, "changed"));
        for (weak, stamp) in self.weak.drain(..) {
            assert!(weak.upgrade().is_none_or(|value| value.stamp() == stamp), "changed");
        }
    }
}

fn slot_name(slot: usize) -> &'static str {
    ["0 opaque", "1 debug", "2 scoped", "3 name", "4 name"][slot]
}

/// What an owner has noted: what each slot became, and the total.
type Histories = ([Vec<(usize, Seen)>; SLOTS], Vec<u64>);

/// Holds the looks of one reader, in order, against what was written.
fn check(looks: &[Look], histories: &[Histories]) {
    let mut at: BTreeMap<(usize, usize, Option<usize>), usize> = BTreeMap::new();
    for look in looks {
        let history = &histories[look.owner].0[look.slot];
        let earliest = at.entry((look.owner, look.slot, look.life)).or_insert(0);
        let first = look.from.max(*earliest);
        let was = |(life, seen): &(usize, Seen)| seen.filter(|_| look.life.is_none_or(|of| of == *life));
        let found = (first..=look.to).find(|index| was(&history[*index]) == look.seen);
        let what = look.seen.map(|stamp| (stamp.owner, stamp.life, stamp.slot, stamp.number));
        let Some(found) = found else {
            panic!(
                "{what:?} in {} of owner {}, which it was at no moment from {first} to {}",
                slot_name(look.slot),
                look.owner,
                look.to
            );
        };
        *earliest = found;
    }
}

/// Each total lies between the least and the most that the owners had together while it was asked for.
fn check_totals(looks: &[LookAtTotal], before: u64, histories: &[Histories]) {
    for look in looks {
        let parts = look.spans.iter().zip(histories).map(|((from, to), (_, total))| &total[*from..=*to]);
        let (least, most) = parts.fold((before, before), |(least, most), part| {
            (least + part.iter().min().unwrap(), most + part.iter().max().unwrap())
        });
        assert!((least..=most).contains(&look.total), "{} is not in {least}..={most}", look.total);
    }
}

/// Runs the programs, each so often, while two read.
fn run(programs: Vec<Vec<(usize, Step)>>, rounds: usize) {
    const READERS: usize = 2;
    let stage = Arc::new(Stage::new(programs.len(), READERS));
    let before = TOTAL.total().unwrap_or(0);
    let workers: Vec<_> = programs.iter().map(|_| Worker::start()).collect();
    let idents: Vec<Ident> = workers.iter().map(|worker| worker.id().into()).collect();
    let handles: Handles =
        workers.iter().enumerate().map(|(owner, worker)| ((owner, 0), worker.handle())).collect();
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (stage, idents, handles) = (Arc::clone(&stage), idents.clone(), handles.clone());
            thread::spawn(move || read(&stage, &idents, handles))
        })
        .collect();
    let owners: Vec<_> = workers
        .into_iter()
        .zip(programs)
        .enumerate()
        .map(|(number, (worker, program))| {
            let stage = Arc::clone(&stage);
            thread::spawn(move || worker.run(move || own(number, &stage, &program, rounds)))
        })
        .collect();
    let histories: Vec<Histories> = owners.into_iter().map(|owner| owner.join().unwrap()).collect();
    stage.over.store(true, Ordering::SeqCst);
    for reader in readers {
        let (looks, totals) = reader.join().unwrap();
        check(&looks, &histories);
        check_totals(&totals, before, &histories);
    }
    let sum: u64 = histories.iter().map(|(_, total)| total.last().unwrap()).sum();
    assert_eq!(TOTAL.total().unwrap_or(0), before + sum);
}

fn own(number: usize, stage: &Stage, program: &[(usize, Step)], rounds: usize) -> Histories {
    let mut owner = Owner::new(number, stage);
    stage.ready.wait();
    for _ in 0..rounds {
        program.iter().for_each(|(slot, step)| owner.run(*slot, step));
    }
    while !owner.scopes.is_empty() {
        owner.leave(0);
    }
    owner.exit(|| assert!(exit_thread_ctx()));
    (owner.history, owner.total)
}

fn read(stage: &Stage, idents: &[Ident], handles: Handles) -> (Vec<Look>, Vec<LookAtTotal>) {
    let mut reader = Reader::new(stage, idents, handles);
    stage.ready.wait();
    while !stage.over.load(Ordering::SeqCst) {
        reader.look();
    }
    // Once more, with everybody gone.
    reader.look();
    (reader.looks, reader.totals)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 100, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn whatever_owners_do_each_read_of_others_finds_what_was_there_at_a_moment_within_it(
        programs in vec(vec(step(), 5..60), 1..=2),
    ) {
        alone(move || run(programs, 20));
    }
}

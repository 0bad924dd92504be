//! A thread's dictionary, found by the thread's ident: what is three lines in Python, without what goes wrong with it.
//!
//! In Python one writes `tls = defaultdict(dict)` and `tls[threading.get_ident()]`. One module puts
//! `{"probe": {"settings": ...}}` there, and another one, running in the same thread, finds it. Here the same is done with
//! dynamic names: no type, no static and no argument is shared but the names. Beyond Python, the main thread looks in by
//! the thread's id, and nothing is left when the thread is gone.
//!
//! The fault that the pattern has in Python is shown beside it: idents come again, so that the next thread finds the dead
//! one's dictionary. Here they do not.
//!
//! ```text
//! cargo run --example probe
//! ```

use std::{
    collections::BTreeMap,
    error::Error,
    sync::mpsc::{Receiver, Sender, channel},
    thread::{Builder, JoinHandle},
};

use threadctx::{ContextRef, State, context, contexts};

/// Fills the thread's dictionary.
mod setup {
    use std::{collections::BTreeMap, error::Error};

    use threadctx::get_thread_ctx;

    pub(crate) fn fill() -> Result<(), Box<dyn Error>> {
        let probe = get_thread_ctx().namespace("probe");
        probe.insert_json("settings", BTreeMap::from([("rate", 50_u32), ("samples", 8)]))?;
        probe.insert("host", String::from("sensor-7"))?;
        probe.insert_secret("password", String::from("hunter2"))?;
        Ok(())
    }
}

/// Reads it in the same thread, from anywhere, and knows nothing of `setup`.
mod measure {
    use std::{collections::BTreeMap, error::Error};

    use threadctx::get_thread_ctx;

    /// How to measure. What is not set has a default, as with `dict.get`.
    pub(crate) fn plan() -> Result<String, Box<dyn Error>> {
        let probe = get_thread_ctx().namespace("probe");
        let settings = probe.get::<BTreeMap<&str, u32>>("settings")?.unwrap_or_default();
        let setting = |name, usual| settings.get(name).copied().unwrap_or(usual);
        Ok(format!(
            "{} samples at {} Hz, {} retries",
            setting("samples", 1),
            setting("rate", 10),
            setting("retries", 3)
        ))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (told, plan) = channel();
    let (go, end) = channel::<()>();
    let probe = Builder::new().name("Probe".into()).spawn(move || run(&told, &end))?;

    println!("inside, another module reads: {}", plan.recv()?);
    let seen = look_in(&probe)?;
    drop(go);
    probe.join().map_err(|_| "the probe panicked")?;
    check_gone(&seen)?;
    check_next_ones_are_empty()
}

/// The thread: it fills its dictionary, measures, and waits to be looked at.
fn run(told: &Sender<String>, end: &Receiver<()>) {
    setup::fill().expect("the names are new and the thread is alive");
    let plan = measure::plan().expect("both modules mean the same type");
    // Either channel may be closed: then main has given up, and so does the probe.
    let _ = told.send(plan);
    let _ = end.recv();
}

/// Reads the other thread's dictionary from outside, by the thread's id.
fn look_in(thread: &JoinHandle<()>) -> Result<ContextRef, Box<dyn Error>> {
    let seen = context(thread.thread().id()).ok_or("the probe is alive, and has no context")?;
    assert_eq!(seen.thread_name(), Some("Probe"));
    let probe = seen.namespace("probe");
    assert_eq!(probe.names(), ["host", "password", "settings"]);
    let settings = probe.get::<BTreeMap<&str, u32>>("settings")?.ok_or("there are no settings")?;
    assert_eq!(settings["rate"], 50);
    println!("outside, main reads by {}: {settings:?}", seen.ident());

    let wrong = probe.get::<Vec<u32>>("settings").expect_err("a name keeps its type");
    println!("a wrong type is an error: {wrong}");

    let dump = seen.dump().to_string();
    assert!(dump.contains("<secret String>") && !dump.contains("hunter2"));
    println!("all of it can be dumped, but for the secret:\n\n{dump}");
    Ok(seen)
}

/// The handle outlives the thread; its dictionary does not.
fn check_gone(seen: &ContextRef) -> Result<(), Box<dyn Error>> {
    assert_eq!(seen.state(), State::Exited);
    assert_eq!(seen.namespace("probe").get::<String>("host")?, None);
    assert!(context(seen.ident()).is_none());
    assert!(contexts().is_empty(), "main only looked, and a look leaves nothing behind");
    println!("after the join, {} is gone and its settings with it", seen.ident());
    Ok(())
}

/// Threads in a row, each of which looks for what the one before it left.
const IN_A_ROW: usize = 4;

/// In Python the next thread may well get the dead one's ident, and its dictionary.
fn check_next_ones_are_empty() -> Result<(), Box<dyn Error>> {
    let found = in_a_row(python::enter_thread)?;
    let strangers = found.iter().filter(|found| **found).count();
    println!("\nas in Python, {IN_A_ROW} threads in a row: {strangers} found a dead one's dictionary");

    let found = in_a_row(enter_thread)?;
    assert_eq!(found, [false; IN_A_ROW]);
    println!("here, {IN_A_ROW} threads in a row: each started with nothing");
    Ok(())
}

/// What threads find that run one after another.
fn in_a_row(enter: fn(usize) -> bool) -> Result<Vec<bool>, Box<dyn Error>> {
    let one = |number| {
        let thread = Builder::new().name("Probe".into()).spawn(move || enter(number))?;
        thread.join().map_err(|_| "a probe panicked".into())
    };
    (0..IN_A_ROW).map(one).collect()
}

/// Whether the new thread's dictionary has something in it. Puts something in for the next one to find.
fn enter_thread(number: usize) -> bool {
    let ctx = threadctx::get_thread_ctx();
    let found = !ctx.namespaces().is_empty();
    ctx.namespace("probe").insert("number", number).expect("the name is new and the thread is alive");
    found
}

/// The pattern, with an ident of the kind that Python's is.
mod python {
    use std::{
        collections::HashMap,
        sync::{LazyLock, Mutex, PoisonError},
    };

    type Dictionary = HashMap<&'static str, usize>;

    static TLS: LazyLock<Mutex<HashMap<usize, Dictionary>>> = LazyLock::new(Mutex::default);

    /// `threading.get_ident()` gives where the system keeps the thread's own data (on Linux), and that place is used again.
    fn get_ident() -> usize {
        thread_local!(static HERE: u8 = const { 0 });
        HERE.with(|here| std::ptr::from_ref(here).addr())
    }

    pub(super) fn enter_thread(number: usize) -> bool {
        let mut tls = TLS.lock().unwrap_or_else(PoisonError::into_inner);
        let dictionary = tls.entry(get_ident()).or_default();
        let found = !dictionary.is_empty();
        dictionary.insert("number", number);
        found
    }
}

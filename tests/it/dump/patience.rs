//! A renderer that does not end does not keep a dump that has limited patience.

use std::{
    fmt,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use threadctx::{DumpOptions, dump, get_thread_ctx};

use super::value;
use crate::support::{watchdog::within_a_minute, worker::Worker};

/// Shows what is behind a lock.
struct Locked(Arc<Mutex<u8>>);

impl fmt::Debug for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.lock().unwrap())
    }
}

/// Waits until somebody lets it go on, but not for ever.
struct Sleeps(Mutex<mpsc::Receiver<()>>);

impl fmt::Debug for Sleeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = self.0.lock().unwrap().recv_timeout(Duration::from_secs(50));
        f.write_str("slept")
    }
}

struct Panics;

impl fmt::Debug for Panics {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("expected")
    }
}

struct Dumps;

impl fmt::Debug for Dumps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", dump().to_json().len())
    }
}

fn patient(namespace: &str) -> DumpOptions {
    let options = DumpOptions::new().namespace(namespace).budget(Duration::from_secs(30));
    options.patience(Duration::from_millis(200))
}

#[test]
fn a_debug_that_sleeps_panics_locks_or_dumps_again_does_not_keep_the_dump() {
    within_a_minute(|| {
        let number = Arc::new(Mutex::new(1));
        let (wake, sleep) = mpsc::channel();
        let worker = Worker::start();
        let locked = Locked(Arc::clone(&number));
        worker.run(move || {
            let namespace = get_thread_ctx().namespace("patience");
            namespace.insert("a sleeps", Sleeps(Mutex::new(sleep))).unwrap();
            namespace.insert("b panics", Panics).unwrap();
            namespace.insert("c locks", locked).unwrap();
            namespace.insert("d dumps", Dumps).unwrap();
            namespace.insert("e sound", 5).unwrap();
        });
        // The thread that dumps holds the lock itself.
        let held = number.lock().unwrap();
        let started = Instant::now();
        let dump = patient("patience").take();
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        drop(held);
        for name in ["a sleeps", "c locks"] {
            let value = value(&dump, name);
            assert_eq!(
                (&value["problem"], &value["value"]),
                (&"hung".into(), &"<busy: its renderer does not end>".into())
            );
        }
        assert_eq!(value(&dump, "b panics")["value"], "<panicked: expected>");
        assert!(value(&dump, "d dumps")["value"].as_str().unwrap().ends_with(" bytes"));
        assert_eq!(value(&dump, "e sound")["value"], "5");
        assert_eq!(dump.counts().busy, 2);
        let said: Vec<_> = dump.findings().iter().map(ToString::to_string).collect();
        assert!(
            said.len() == 2 && said[0].ends_with("the renderer of patience.a sleeps does not end"),
            "{said:?}"
        );
        drop(wake);
    });
}

#[test]
fn a_dump_ends_when_its_budget_does_and_leaves_a_few_threads_behind_at_most() {
    within_a_minute(|| {
        let number = Arc::new(Mutex::new(1));
        let worker = Worker::start();
        let shared = Arc::clone(&number);
        worker.run(move || {
            for n in 0..30 {
                get_thread_ctx()
                    .namespace("patience many")
                    .insert(&format!("{n:02}"), Locked(shared.clone()))
                    .unwrap();
            }
        });
        let held = number.lock().unwrap();
        let dump = patient("patience many").patience(Duration::from_millis(5)).take();
        assert_eq!((dump.counts().values, dump.counts().busy), (30, 30));
        let started = Instant::now();
        let brief =
            patient("patience many").patience(Duration::from_secs(40)).budget(Duration::from_millis(100));
        assert!(!brief.take().is_complete());
        assert!(started.elapsed() < Duration::from_secs(20));
        drop(held);
        // Each is shown again as soon as the thread in its renderer is back.
        while patient("patience many").take().counts().busy != 0 {
            std::thread::yield_now();
        }
    });
}

#[test]
fn with_patience_a_dump_shows_the_same() {
    let worker = Worker::start();
    worker.run(|| {
        let namespace = get_thread_ctx().namespace("patience same");
        namespace.insert("debug", Some(1)).unwrap();
        namespace.insert_json("json", vec![1, 2]).unwrap();
        namespace.insert_opaque("opaque", ()).unwrap();
        namespace.insert_secret("secret", ()).unwrap();
        namespace.insert("long", "x".repeat(5_000)).unwrap();
    });
    let texts = |options: DumpOptions| {
        let dump = options.take();
        let values = dump.contexts()[0].values().iter();
        values
            .map(|value| (value.name().to_owned(), value.text().map(str::to_owned), value.is_truncated()))
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(patient("patience same")), texts(DumpOptions::new().namespace("patience same")));
}

/// How many threads of this process render dumps now.
#[cfg(target_os = "linux")]
fn helpers() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        threads.filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).ok());
    names.filter(|name| name.trim() == "threadctx-dump").count()
}

/// A watchdog that dumps each minute would leave 1,440 threads a day in one stuck lock.
#[cfg(target_os = "linux")]
#[test]
fn a_value_that_hangs_keeps_one_thread_however_often_it_is_dumped_and_shows_again_when_that_is_back() {
    within_a_minute(|| {
        let (one, other) = (Arc::new(Mutex::new(1)), Arc::new(Mutex::new(2)));
        let worker = Worker::start();
        let values = [&one, &other].map(|number| Locked(Arc::clone(number)));
        worker.run(move || {
            let namespace = get_thread_ctx().namespace("patience again");
            let [one, other] = values;
            namespace.insert("one", one).unwrap();
            namespace.insert("other", other).unwrap();
            namespace.insert("sound", 5).unwrap();
        });
        let held = (one.lock().unwrap(), other.lock().unwrap());
        let options = DumpOptions::new().namespace("patience again").patience(Duration::from_millis(50));
        let started = (options.take(), helpers()).1;
        let began = Instant::now();
        for _ in 0..50 {
            let seen = options.take();
            let problems = ["one", "other"].map(|name| value(&seen, name)["problem"].clone());
            assert_eq!(problems, ["hung", "hung"]);
            assert_eq!(value(&seen, "sound")["value"], "5");
        }
        assert!(began.elapsed() < Duration::from_secs(2), "it is not waited for again");
        // Other tests dump with patience at the same time.
        assert!(helpers() <= started + 16, "{started} threads became {}", helpers());
        drop(held);
        let shows = |name: &str| value(&options.take(), name)["value"].clone();
        while (shows("one"), shows("other")) != ("1".into(), "2".into()) {
            std::thread::yield_now();
        }
        // It hangs again, and is noticed again.
        let _held = one.lock().unwrap();
        let seen = options.take();
        assert_eq!(value(&seen, "one")["problem"], "hung");
        assert_eq!(value(&seen, "other")["value"], "2");
    });
}

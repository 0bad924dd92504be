//! A program in trouble, and what it says when it gets SIGUSR1: two threads that wait for each other, a worker that does
//! not get on, and sessions that nobody ends. All three can be read off the dump.
//!
//! By itself it sends itself the signal, prints the dump, and fails unless the three are in it. With `--wait` it waits for
//! somebody to send it: `kill -USR1 <pid>`.

#[cfg(not(unix))]
fn main() {
    println!("there are no such signals here");
}

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    trouble::main()
}

#[cfg(unix)]
mod trouble {
    use std::{
        process::ExitCode,
        sync::{Mutex, MutexGuard, mpsc},
        thread,
        time::Duration,
    };

    use threadctx::{DumpOptions, Key, SIGUSR1, Scope, TextStyle, on_signal};

    static HOLDS: Key<&str> = Key::new("account", "holds").display();
    static WAITS_FOR: Key<&str> = Key::new("account", "waits_for").display();
    static FILE: Key<&str> = Key::new("invoice", "file").display();
    static PAGE: Key<u32> = Key::new("invoice", "page").display();
    static PEER: Key<&str> = Key::new("session", "peer").display();

    /// Who has not got on for so long is marked.
    const TOO_LONG: Duration = Duration::from_millis(500);

    pub(super) fn main() -> ExitCode {
        let (send, dumps) = mpsc::channel();
        let style = TextStyle::of(&std::io::stdout());
        let marked = DumpOptions::new().stale_after(TOO_LONG).text_style(style);
        let outlet = on_signal(SIGUSR1).options(marked).to(move |dump| drop(send.send(dump.to_string())));
        let _outlet = outlet.expect("the signal is free");
        wait_for_each_other();
        leave_sessions();
        work();
        let waits = std::env::args().any(|argument| argument == "--wait");
        if waits {
            println!("kill -USR1 {}", std::process::id());
        } else {
            thread::sleep(TOO_LONG * 3);
            signal_hook::low_level::raise(SIGUSR1).expect("it can be sent");
        }
        let dump = dumps.recv().expect("the outlet is open");
        println!("{dump}");
        complain(&missing(&dump))
    }

    struct Account {
        name: &'static str,
        lock: Mutex<()>,
    }

    static ALICE: Account = Account { name: "alice", lock: Mutex::new(()) };
    static BOB: Account = Account { name: "bob", lock: Mutex::new(()) };

    impl Account {
        /// Says what it waits for while it does, and what it holds from then on.
        fn lock(&self) -> (MutexGuard<'_, ()>, Scope<&'static str>) {
            let waiting = WAITS_FOR.enter(self.name);
            let guard = self.lock.lock().expect("nobody panics");
            drop(waiting);
            (guard, HOLDS.enter(self.name))
        }
    }

    /// The two lock the same accounts, each in its own order.
    fn wait_for_each_other() {
        let barrier: &_ = Box::leak(Box::new(std::sync::Barrier::new(2)));
        for (name, from, to) in [("transfer-1", &ALICE, &BOB), ("transfer-2", &BOB, &ALICE)] {
            start(name, move |ready| {
                let _from = from.lock();
                ready();
                barrier.wait();
                let _to = to.lock();
            });
        }
    }

    /// Nobody tells these that their peers have gone.
    fn leave_sessions() {
        for number in 1..=40 {
            start(&format!("session-{number}"), |ready| {
                PEER.set("10.0.0.7, hung up");
                ready();
                loop {
                    thread::park();
                }
            });
        }
    }

    /// One of the two has met a page that it does not get over.
    fn work() {
        for (name, file, bad_page) in [("worker-1", "june.pdf", None), ("worker-2", "july.pdf", Some(3))] {
            start(name, move |ready| {
                FILE.set(file);
                for page in 1.. {
                    PAGE.set(page);
                    if Some(page) == bad_page || page == 1 && bad_page.is_none() {
                        ready();
                    }
                    while Some(page) == bad_page {
                        thread::yield_now();
                    }
                    thread::sleep(Duration::from_millis(10));
                }
            });
        }
    }

    /// Starts a thread that is never joined, and waits until it says that it is ready.
    fn start(name: &str, body: impl FnOnce(&dyn Fn()) + Send + 'static) {
        let (send, ready) = mpsc::channel();
        let body = move || body(&|| send.send(()).expect("somebody waits"));
        thread::Builder::new().name(name.to_owned()).spawn(body).expect("there is room");
        ready.recv().expect("it comes that far");
    }

    /// What a reader of the dump would not find.
    fn missing(dump: &str) -> Vec<&'static str> {
        let has = |name: &str, values: &[&str]| {
            let own = dump.split("\n\n").find(|part| part.starts_with(&format!("\"{name}\"")));
            own.is_some_and(|part| {
                let header = part.lines().next().unwrap_or_default();
                header.ends_with("!!!") && values.iter().all(|value| part.contains(value))
            })
        };
        let is_named = [
            (
                "the deadlock",
                has("transfer-1", &[r#"holds     = "alice""#, r#"waits_for = "bob""#])
                    && has("transfer-2", &[r#"holds     = "bob""#, r#"waits_for = "alice""#]),
            ),
            ("the stuck worker", has("worker-2", &["july.pdf", r#"page = "3""#])),
            ("the sessions", dump.contains(r#"40 threads alike: "session-1".."session-40""#)),
        ];
        is_named.into_iter().filter(|(_, is_named)| !is_named).map(|(what, _)| what).collect()
    }

    fn complain(missing: &[&str]) -> ExitCode {
        missing.iter().for_each(|what| eprintln!("the dump does not name {what}"));
        ExitCode::from(u8::from(!missing.is_empty()))
    }
}

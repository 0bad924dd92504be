//! One scenario, one process: the test runs its own executable again, for itself only, and judges how that ends.
//!
//! In the child a scenario says what happens with [`say`]; the parent compares. A check that may run where a panic has
//! nowhere to go (a destructor, an exit handler, a forked child) stands in a [`verdict`], which ends the process with a
//! status of its own.

use std::{
    any::type_name,
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::patience::patience;

/// Set in a child, to the name of its scenario.
const CHILD: &str = "THREADCTX_SCENARIO";
/// What a child may take. A scenario that hangs fails; it does not stop the suite.
const LIMIT: Duration = Duration::from_secs(120);

/// What a child says first: that it found its scenario.
const BEGUN: &str = "begun";
/// What sets our own lines apart from those of a panic hook.
const MARK: &str = "> ";
/// The status of a process in which a [`verdict`] failed.
pub(crate) const FAILED: i32 = 77;
/// What the standard library and the C library print when they give up on a process.
const LAST_WORDS: [&str; 4] = ["fatal runtime error", "aborting", "SIGABRT", "stack overflow"];

/// How a scenario is to end, and what it is to say until then.
pub(crate) struct Expected<'a> {
    status: i32,
    said: Vec<&'a str>,
}

/// Runs the test that this is called from in a process of its own, whose code `body` is.
pub(crate) fn alone(body: impl FnOnce()) {
    ends(0).alone(body);
}

/// The same for a process that ends with this status.
pub(crate) fn ends<'a>(status: i32) -> Expected<'a> {
    Expected { status, said: Vec::new() }
}

/// The same for a process that says these lines, part after part.
pub(crate) fn saying<'a>(parts: &[&[&'a str]]) -> Expected<'a> {
    ends(0).saying(parts)
}

impl<'a> Expected<'a> {
    pub(crate) fn saying(self, parts: &[&[&'a str]]) -> Self {
        Self { said: parts.concat(), ..self }
    }

    pub(crate) fn alone<F: FnOnce()>(&self, body: F) {
        self.alone_then(body, |_| ());
    }

    /// The same, and then checks what it printed.
    pub(crate) fn alone_then<F: FnOnce()>(&self, body: F, check: impl FnOnce(&str)) {
        // The closure's type is named for the test that it stands in.
        let path = type_name::<F>().trim_end_matches("::{{closure}}");
        let (_, test) = path.split_once("::").expect("the crate's name comes first");
        match begin() {
            Some(_) => body(),
            None => check(&run(test, self)),
        }
    }
}

/// The scenario that this process was started for, if it was.
pub(crate) fn begin() -> Option<String> {
    let scenario = env::var(CHILD).ok()?;
    say(BEGUN);
    Some(scenario)
}

/// Runs `name` in a process of its own, and gives what it printed.
pub(crate) fn run(name: &str, expected: &Expected<'_>) -> String {
    let mut child = Command::new(env::current_exe().expect("a test has a file"))
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, name)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the test's own file can be run");
    let pid = child.id();
    let (stderr, stdout) = (reader(child.stderr.take()), reader(child.stdout.take()));
    let (ended, wait) = mpsc::channel();
    let waiter = thread::spawn(move || ended.send(child.wait()));
    let Ok(status) = wait.recv_timeout(LIMIT * patience()) else {
        kill(pid);
        panic!("{name} hangs");
    };
    waiter.join().expect("it only waits").expect("we are listening");
    let text = [stderr, stdout].map(|text| text.join().expect("it only reads")).join("\n");
    judge(name, status.expect("a child can be waited for"), &text, expected);
    text
}

fn reader(from: Option<impl std::io::Read + Send + 'static>) -> thread::JoinHandle<String> {
    let mut from = from.expect("it is piped");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn judge(name: &str, status: ExitStatus, text: &str, expected: &Expected<'_>) {
    assert_eq!(status.code(), Some(expected.status), "{name} ended with {status}:\n{text}");
    for words in LAST_WORDS {
        assert!(!text.contains(words), "{name} printed {words:?}:\n{text}");
    }
    let said: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(MARK)).collect();
    assert_eq!(said.first(), Some(&BEGUN), "{name} did not begin:\n{text}");
    assert_eq!(said[1..], expected.said, "{name} said:\n{text}");
}

/// Says `line` to the parent. Takes no lock that a fork could have left behind.
pub(crate) fn say(line: &str) {
    write(&format!("{MARK}{line}\n"));
}

/// Runs `checks` where a panic has nowhere to go: one that fails ends the process.
pub(crate) fn verdict<R>(checks: impl FnOnce() -> R) -> R {
    match catch_unwind(AssertUnwindSafe(checks)) {
        Ok(result) => result,
        Err(why) => {
            let text = why.downcast_ref::<String>().map(String::as_str);
            write(&format!("a check failed: {}\n", text.or(why.downcast_ref().copied()).unwrap_or("?")));
            end(FAILED)
        }
    }
}

#[cfg(unix)]
mod system {
    pub(crate) fn write(text: &str) {
        // SAFETY: the pointer and the length are those of the text.
        unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
    }

    /// Ends the process, at once and with nothing run.
    pub(crate) fn end(status: i32) -> ! {
        // SAFETY: it takes a number and does not return.
        unsafe { libc::_exit(status) }
    }

    pub(crate) fn kill(pid: u32) {
        // SAFETY: it takes two numbers; the child has not been waited for, so the number is still its own.
        unsafe { libc::kill(pid as i32, libc::SIGKILL) };
    }
}

#[cfg(not(unix))]
mod system {
    pub(crate) fn write(text: &str) {
        eprint!("{text}");
    }

    pub(crate) fn end(_: i32) -> ! {
        std::process::abort()
    }

    pub(crate) fn kill(_: u32) {}
}

pub(crate) use system::end;
use system::{kill, write};

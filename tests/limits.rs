//! What an open outlet, or a dump, asks the system for is taken away, one thing after the other. What comes of it is what the table
//! in docs/limits.md says: the dump comes all the same, or the outlet says what is missing. Nothing hangs, accuses, leaks or
//! stays silent; and when the thing is back, the next dump comes as before.

#![cfg(all(target_os = "linux", not(any(loom, shuttle))))]
#![expect(unsafe_code, reason = "calls into the C library")]

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
        unix::fs::{FileExt, MetadataExt, PermissionsExt},
    },
    panic,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use threadctx::{Dump, DumpOptions, Key, OutletError, dump, on_signal, panic_hook, stats, watchdog};

#[path = "support/patience.rs"]
mod patience;
#[path = "support/solo.rs"]
#[allow(dead_code, reason = "this file needs a part of it")]
mod solo;

use patience::patience;

/// A dump shows it.
static STEP: Key<u64> = Key::new("limits", "step").debug();
/// It makes a dump longer than what is said of one that fails.
static LONG: Key<String> = Key::new("limits", "long").debug();
/// Rendering it takes the user's code, and so a thread that can be left behind.
static OWN: Key<Own> = Key::new("limits", "own").debug();
/// How long a dump may take to come.
const DUE: Duration = Duration::from_secs(20);

/// What is taken away.
#[derive(Clone, Copy, PartialEq)]
enum Resource {
    Threads,
    Descriptors,
    /// A limit of none, as some sandboxes have it: the system does not even wait for one that is open with `poll` then.
    EveryDescriptor,
    Memory,
    Stderr(Stderr),
    Folder(Folder),
    /// And who would be told of it.
    FolderAndStderr,
    Proc,
    Executable,
    /// The process is stopped before the dump.
    Time,
    /// It is stopped in a renderer, for longer than a renderer may take.
    TimeOfARenderer,
}

#[derive(Clone, Copy, PartialEq)]
enum Stderr {
    Closed,
    Full,
    /// Nobody reads it any more; the signal that says so, too, is not ignored.
    Broken,
    /// A file that has the size that it may have, with the signal that says so.
    Limited,
}

#[derive(Clone, Copy, PartialEq)]
enum Folder {
    ReadOnly,
    /// Beyond the limit of a file's size: the system says so by a signal, too, which is not ignored.
    Full,
    Gone,
}

/// Who asks for it.
#[derive(Clone, Copy, PartialEq)]
enum Outlet {
    Dump,
    /// With `DumpOptions::patience`.
    PatientDump,
    Signal,
    Watchdog,
    PanicHook,
    /// A file, on a signal.
    File,
    /// Standard error, on a signal, of a watchdog and of a panic hook.
    SignalStderr,
    WatchdogStderr,
    PanicHookStderr,
}

/// What comes of it.
enum Outcome {
    /// The dump comes, whole, and finds nothing wrong.
    Works,
    /// No dump comes, and standard error says this.
    Says(&'static str),
    /// Nobody can be told but `stats().reports_cut`.
    Counts,
    /// The dump comes without the values that are rendered by the user's code, and says so in their place.
    Omits,
}

use self::{Folder::*, Outcome::*, Resource::*, Stderr::*};

/// A process of its own for each pair. Each is tried twice with the resource gone, and once when it is back.
macro_rules! table {
    ($($resource:ident: $what:expr => { $($outlet:ident: $who:expr => $outcome:expr,)* })*) => {
        $(mod $resource {
            use super::*;
            $(#[test]
            fn $outlet() {
                let name = concat!(stringify!($resource), "::", stringify!($outlet));
                match solo::begin() {
                    Some(_) => solo::verdict(|| without($what, $who, &$outcome)),
                    None => pass_on(&solo::run(name, &solo::ends(0))),
                }
            })*
        })*
    };
}

/// What was skipped is said by the test that the suite sees.
fn pass_on(text: &str) {
    text.lines().filter(|line| line.starts_with("skipped")).for_each(|line| println!("{line}"));
}

table! {
    threads: Threads => {
        a_dump: Outlet::Dump => Works,
        a_dump_with_patience: Outlet::PatientDump => Omits,
        a_signal: Outlet::Signal => Works,
        a_watchdog: Outlet::Watchdog => Works,
        a_panic_hook: Outlet::PanicHook => Works,
        a_file: Outlet::File => Works,
    }
    descriptors: Descriptors => {
        a_dump: Outlet::Dump => Works,
        a_dump_with_patience: Outlet::PatientDump => Works,
        a_signal: Outlet::Signal => Works,
        a_watchdog: Outlet::Watchdog => Works,
        a_panic_hook: Outlet::PanicHook => Works,
        a_file: Outlet::File => Says("Too many open files"),
    }
    every_descriptor: EveryDescriptor => {
        a_dump: Outlet::Dump => Works,
        a_dump_with_patience: Outlet::PatientDump => Works,
        a_signal: Outlet::SignalStderr => Works,
        a_watchdog: Outlet::WatchdogStderr => Works,
        a_panic_hook: Outlet::PanicHookStderr => Works,
        a_file: Outlet::File => Says("Too many open files"),
    }
    memory: Memory => {
        a_dump: Outlet::Dump => Works,
        a_dump_with_patience: Outlet::PatientDump => Works,
        a_signal: Outlet::Signal => Works,
        a_watchdog: Outlet::Watchdog => Works,
        a_panic_hook: Outlet::PanicHook => Works,
        a_file: Outlet::File => Works,
    }
    a_closed_standard_error: Stderr(Closed) => {
        a_signal: Outlet::SignalStderr => Counts,
        a_watchdog: Outlet::WatchdogStderr => Counts,
        a_panic_hook: Outlet::PanicHookStderr => Counts,
        a_file: Outlet::File => Works,
    }
    a_full_standard_error: Stderr(Stderr::Full) => {
        a_signal: Outlet::SignalStderr => Counts,
        a_watchdog: Outlet::WatchdogStderr => Counts,
        a_panic_hook: Outlet::PanicHookStderr => Counts,
        a_file: Outlet::File => Works,
    }
    a_standard_error_that_nobody_reads_any_more: Stderr(Broken) => {
        a_signal: Outlet::SignalStderr => Counts,
        a_watchdog: Outlet::WatchdogStderr => Counts,
        a_panic_hook: Outlet::PanicHookStderr => Counts,
        a_file: Outlet::File => Works,
    }
    a_standard_error_that_is_as_long_as_it_may_be: Stderr(Limited) => {
        a_signal: Outlet::SignalStderr => Counts,
        a_watchdog: Outlet::WatchdogStderr => Counts,
        a_panic_hook: Outlet::PanicHookStderr => Counts,
    }
    a_folder_that_is_read_only: Folder(ReadOnly) => {
        a_file: Outlet::File => Says("Permission denied"),
    }
    a_folder_that_is_full: Folder(Folder::Full) => {
        a_file: Outlet::File => Says("File too large"),
    }
    a_folder_that_is_gone: Folder(Gone) => {
        a_file: Outlet::File => Says("No such file"),
    }
    a_folder_that_is_gone_and_a_closed_standard_error: FolderAndStderr => {
        a_file: Outlet::File => Counts,
    }
    the_proc_file_system: Proc => {
        a_dump: Outlet::Dump => Works,
        a_dump_with_patience: Outlet::PatientDump => Works,
        a_signal: Outlet::Signal => Works,
        a_watchdog: Outlet::Watchdog => Works,
        a_panic_hook: Outlet::PanicHook => Works,
        a_file: Outlet::File => Works,
    }
    the_executable: Executable => {
        a_dump: Outlet::Dump => Works,
        a_dump_with_patience: Outlet::PatientDump => Works,
        a_signal: Outlet::Signal => Works,
        a_watchdog: Outlet::Watchdog => Works,
        a_panic_hook: Outlet::PanicHook => Works,
        a_file: Outlet::File => Works,
    }
    time: Time => {
        a_dump: Outlet::Dump => Works,
        a_dump_with_patience: Outlet::PatientDump => Works,
        a_signal: Outlet::Signal => Works,
        a_watchdog: Outlet::Watchdog => Works,
        a_panic_hook: Outlet::PanicHook => Works,
        a_file: Outlet::File => Works,
    }
    time_of_a_renderer: TimeOfARenderer => {
        a_dump: Outlet::Dump => Works,
        a_dump_with_patience: Outlet::PatientDump => Works,
        a_signal: Outlet::Signal => Works,
        a_watchdog: Outlet::Watchdog => Works,
        a_panic_hook: Outlet::PanicHook => Works,
        a_file: Outlet::File => Works,
    }
}

fn without(resource: Resource, who: Outlet, expected: &Outcome) {
    let place = Place::new();
    if !resource.prepare(&place) {
        return;
    }
    STEP.set(7);
    LONG.set("x".repeat(900));
    OWN.set(Own(8));
    panic::set_hook(Box::new(|_| ()));
    let outlet = Open::new(who, &place);
    let works = || {
        let stderr = Said::listen(&place);
        let text = outlet.dump(Some(&stderr));
        let said = stderr.restore();
        let text = text.unwrap_or_else(|| panic!("no dump came; standard error: {said}"));
        assert!(is_whole(&text), "{text}");
    };
    let opened = Holds::now();
    let mut earlier: Option<Dump> = None;
    for round in 0..resource.rounds(who) {
        let stderr = Said::listen(&place);
        let cut = stats().reports_cut;
        let give_back = resource.take(&place);
        let text = outlet.dump((!matches!(expected, Counts)).then_some(&stderr));
        let later = dump();
        let counted = match expected {
            Counts => until(|| stats().reports_cut, |counted| *counted > cut),
            Works | Says(_) | Omits => stats().reports_cut,
        };
        give_back();
        let said = stderr.restore();
        match expected {
            Works => {
                let text = text.unwrap_or_else(|| panic!("no dump came; standard error: {said}"));
                assert!(is_whole(&text), "{text}");
                assert!(outlet.is_on_stderr() || said.is_empty(), "{said}");
                assert_eq!(counted, cut);
                let diff = earlier.as_ref().map(|earlier| later.since(earlier).to_string());
                assert!(diff.as_ref().is_none_or(|diff| !diff.contains("different processes")), "{diff:?}");
                // Who opens an outlet has asked about the process while there was something to ask with.
                assert!(!outlet.is_open() || knows_the_process(&later), "{}", later.to_json());
            }
            Omits => {
                let text = text.expect("it comes");
                // Later there is a thread, which was started when there was room.
                assert_eq!(
                    text.contains("<not rendered: no thread could be had for it>"),
                    round == 0,
                    "{text}"
                );
                let text = text.replace("<not rendered: no thread could be had for it>", "Own(8)");
                assert!(is_whole(&text), "{text}");
            }
            Says(what) => {
                assert_eq!((text, counted), (None, cut));
                assert!(said.contains(what), "standard error: {said}");
            }
            Counts => assert!(counted > cut && text.is_none()),
        }
        works();
        earlier = Some(dump());
    }
    // A dump has a thread for values from its first on, and an outlet from its opening on.
    let threads = opened.threads + usize::from(who == Outlet::PatientDump);
    let before = Holds { threads, ..opened };
    let after = until(Holds::now, |holds| *holds == before);
    assert_eq!(after, before, "something was left behind");
}

/// What is missing when an outlet is opened: it says so, and is as if it had not been asked for.
macro_rules! refused {
    ($($name:ident: $what:expr, $who:expr => $says:expr;)*) => {
        mod an_outlet_is_refused {
            use super::*;
            $(#[test]
            fn $name() {
                let name = concat!("an_outlet_is_refused::", stringify!($name));
                match solo::begin() {
                    Some(_) => solo::verdict(|| refused($what, $who, $says)),
                    None => drop(solo::run(name, &solo::ends(0))),
                }
            })*
        }
    };
}

refused! {
    a_signal_without_threads: Threads, Outlet::Signal => "could not be started";
    a_watchdog_without_threads: Threads, Outlet::Watchdog => "could not be started";
    a_panic_hook_without_threads: Threads, Outlet::PanicHook => "could not be started";
    a_file_without_threads: Threads, Outlet::File => "could not be started";
    a_signal_without_descriptors: Descriptors, Outlet::Signal => "Too many open files";
    a_file_without_descriptors: Descriptors, Outlet::File => "Too many open files";
    a_file_in_a_folder_that_is_read_only: Folder(ReadOnly), Outlet::File => "Permission denied";
    a_file_in_a_folder_that_is_gone: Folder(Gone), Outlet::File => "No such file";
}

fn refused(resource: Resource, who: Outlet, says: &str) {
    let place = Place::new();
    assert!(resource.prepare(&place));
    STEP.set(7);
    OWN.set(Own(8));
    LONG.set("x".repeat(900));
    let handled = || action(libc::SIGUSR2);
    let before = (Holds::now(), handled());
    for _ in 0..20 {
        let give_back = resource.take(&place);
        let refused = Open::try_new(who, &place).map(drop);
        give_back();
        let error = refused.expect_err("it is refused").to_string();
        assert!(error.contains(says) && !error.contains("means nothing else"), "{error}");
    }
    // One thread for values may be there from now on, which is what they all share.
    let now = || (Holds::now(), handled());
    let is_as_before = |now: &(Holds, usize)| {
        now.1 == before.1
            && now.0.descriptors == before.0.descriptors
            && now.0.threads <= before.0.threads + 1
    };
    let after = until(now, is_as_before);
    assert!(is_as_before(&after), "{before:?}, then {after:?}");
    let outlet = Open::new(who, &place);
    let stderr = Said::listen(&place);
    let text = outlet.dump(Some(&stderr));
    let said = stderr.restore();
    assert!(text.is_some_and(|text| is_whole(&text)), "{said}");
}

/// What the process does on `signal` now.
fn action(signal: i32) -> usize {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the pointer is to a sigaction of ours.
    unsafe { libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr()) };
    // SAFETY: zeroed, a sigaction is valid.
    unsafe { now.assume_init() }.sa_sigaction
}

fn knows_the_process(dump: &Dump) -> bool {
    let json: serde_json::Value = serde_json::from_str(&dump.to_json()).expect("it is JSON");
    let process = &json["process"];
    process["name"].as_str().is_some_and(|name| name.starts_with("limits")) && process["start_ticks"].is_u64()
}

/// Whether the value is there, nothing is left out, and nobody is accused.
fn is_whole(dump: &str) -> bool {
    let value = dump.lines().any(|line| line.trim_start().starts_with("limits.step = 7"));
    // What a watchdog finds is that its key did not move, which is so.
    value
        && dump.lines().any(|line| line.trim_start().starts_with("limits.own") && line.contains("= Own(8)"))
        && !["does not end", "is gone", "Left out", "<busy", "(deleted)"]
            .iter()
            .any(|word| dump.contains(word))
}

/// Asks until the answer will do, or until time is over; gives the last answer.
fn until<T>(ask: impl Fn() -> T, will_do: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + DUE * patience();
    loop {
        let answer = ask();
        if will_do(&answer) || Instant::now() >= deadline {
            return answer;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// What the process has of the system.
#[derive(Debug, PartialEq)]
struct Holds {
    threads: usize,
    descriptors: usize,
}

impl Holds {
    fn now() -> Self {
        let count = |what: &str| fs::read_dir(format!("/proc/self/{what}")).map_or(0, Iterator::count);
        Self { threads: count("task"), descriptors: count("fd") }
    }
}

/// A folder of the scenario's, which goes when this does.
struct Place {
    folder: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("threadctx-limits-{}", std::process::id()));
        let place = Self { folder };
        place.make();
        place
    }

    fn make(&self) {
        fs::create_dir_all(self.dumps()).expect("a folder can be made");
    }

    /// Where dumps go.
    fn dumps(&self) -> PathBuf {
        self.folder.join("dumps")
    }

    fn dump(&self) -> PathBuf {
        self.dumps().join("dump.txt")
    }

    /// The copy of the test's, where it runs in one: see [`run_a_copy`].
    fn executable(&self) -> PathBuf {
        let copied = std::env::var_os("THREADCTX_LIMITS_COPY").map(PathBuf::from);
        copied.unwrap_or_else(|| self.folder.clone()).join("limits")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // If it cannot be removed, it stays in the folder for such files.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Standard error, to be read.
struct Said {
    file: File,
    before: OwnedFd,
}

impl Said {
    fn listen(place: &Place) -> Self {
        let before = io::stderr().as_fd().try_clone_to_owned().expect("it is open");
        let path = place.folder.join("stderr");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
        let said = Self { file: file.expect("it can be made"), before };
        replace_stderr(&said.file);
        said
    }

    fn text(&self) -> String {
        let mut text = vec![0; 1 << 16];
        let length = self.file.read_at(&mut text, 0).expect("it can be read");
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    /// Standard error goes where it went before; gives what was said.
    fn restore(self) -> String {
        replace_stderr(&self.before);
        self.text()
    }
}

fn replace_stderr(by: &impl AsRawFd) {
    // SAFETY: two numbers.
    assert_eq!(unsafe { libc::dup2(by.as_raw_fd(), libc::STDERR_FILENO) }, libc::STDERR_FILENO);
}

/// An outlet that is open, and how to have it dump.
struct Open {
    who: Outlet,
    dumps: Receiver<String>,
    file: PathBuf,
}

impl Open {
    fn new(who: Outlet, place: &Place) -> Self {
        Self::try_new(who, place).expect("it can be opened")
    }

    fn try_new(who: Outlet, place: &Place) -> Result<Self, OutletError> {
        let (send, dumps) = mpsc::channel();
        let report = Report(send.clone());
        let sends = move |dump: &Dump| drop(send.send(dump.to_string()));
        let on_signal = || on_signal(libc::SIGUSR2);
        let watchdog =
            || watchdog(Duration::from_millis(20)).key(&STEP).at_most_every(Duration::from_millis(50));
        match who {
            Outlet::Dump | Outlet::PatientDump => Ok(()),
            Outlet::Signal => on_signal().to(move |dump| sends(&dump)).map(|guard| guard.forever()),
            Outlet::File => on_signal().to_file(place.dump()).map(|guard| guard.forever()),
            Outlet::SignalStderr => on_signal().to_stderr().map(|guard| guard.forever()),
            Outlet::Watchdog => watchdog().to(move |alarm| sends(alarm.dump())).map(|guard| guard.forever()),
            Outlet::WatchdogStderr => watchdog().to_stderr().map(|guard| guard.forever()),
            Outlet::PanicHook => panic_hook().to(report).map(|guard| guard.forever()),
            Outlet::PanicHookStderr => panic_hook().to_stderr().map(|guard| guard.forever()),
        }
        .map(|()| Self { who, dumps, file: place.dump() })
    }

    /// Whether there was something to open.
    fn is_open(&self) -> bool {
        !matches!(self.who, Outlet::Dump | Outlet::PatientDump)
    }

    /// Whether its dumps are what standard error says.
    fn is_on_stderr(&self) -> bool {
        matches!(self.who, Outlet::SignalStderr | Outlet::WatchdogStderr | Outlet::PanicHookStderr)
    }

    /// Has it dump; `None` if no dump comes, or if it would come on a standard error that is not read.
    fn dump(&self, stderr: Option<&Said>) -> Option<String> {
        let patient = DumpOptions::new().patience(Duration::from_millis(100));
        match self.who {
            Outlet::Dump => return Some(dump().to_string()),
            Outlet::PatientDump => return Some(patient.take().to_string()),
            Outlet::Signal | Outlet::SignalStderr => raise(),
            Outlet::PanicHook | Outlet::PanicHookStderr => {
                let panicked = panic::catch_unwind(|| panic!("expected"));
                panicked.expect_err("it panics");
            }
            Outlet::File => return self.file(stderr),
            // It dumps by itself, and has done so.
            Outlet::Watchdog => drop(self.dumps.try_iter().count()),
            Outlet::WatchdogStderr => {}
        }
        match self.who {
            Outlet::Signal | Outlet::PanicHook | Outlet::Watchdog => {
                self.dumps.recv_timeout(DUE * patience()).ok()
            }
            _ => Some(until(
                || stderr.map(Said::text),
                |text| text.as_ref().is_none_or(|text| is_whole(text)),
            )?),
        }
    }

    /// The file, if it is replaced before anything is said.
    fn file(&self, stderr: Option<&Said>) -> Option<String> {
        let number = || fs::metadata(&self.file).map(|file| file.ino()).ok();
        let before = number();
        raise();
        let said = || stderr.map(Said::text);
        until(
            || (number(), said()),
            |(now, said)| *now != before || said.as_ref().is_none_or(|said| !said.is_empty()),
        );
        if number() == before { None } else { fs::read_to_string(&self.file).ok() }
    }
}

/// A writer that gets each report in one piece.
struct Report(mpsc::Sender<String>);

impl Write for Report {
    fn write(&mut self, report: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(String::from_utf8_lossy(report).into_owned());
        Ok(report.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn raise() {
    // SAFETY: a number.
    assert_eq!(unsafe { libc::raise(libc::SIGUSR2) }, 0);
}

impl Resource {
    /// What must be done before an outlet is opened. Says so and gives `false` where it cannot be taken away.
    fn prepare(self, place: &Place) -> bool {
        match self {
            Proc => procfs::prepare(),
            Executable => run_a_copy(place),
            Threads | Folder(ReadOnly) => be_ordinary(place),
            // SAFETY: two numbers, one of which stands for the end of the process.
            Stderr(Broken) => unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) != libc::SIG_ERR },
            _ => true,
        }
    }

    /// An outlet that is not a panicking thread's gives up after ten seconds, which is long for a test.
    fn rounds(self, who: Outlet) -> u32 {
        if self == Stderr(Stderr::Full) && who != Outlet::PanicHookStderr { 1 } else { 2 }
    }

    /// Takes it away. Gives what gives it back.
    fn take(self, place: &Place) -> Box<dyn FnOnce() + '_> {
        let dumps = place.dumps();
        match self {
            Threads => {
                let give_back = limit(libc::RLIMIT_NPROC, 0);
                assert!(thread::Builder::new().spawn(|| ()).is_err(), "no thread is to be had");
                give_back
            }
            EveryDescriptor => limit(libc::RLIMIT_NOFILE, 0),
            Memory => limit(libc::RLIMIT_AS, memory() + (8 << 20)),
            Descriptors => {
                let mut all = Vec::new();
                let give_back = limit(libc::RLIMIT_NOFILE, 64);
                all.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
                Box::new(move || {
                    drop(all);
                    give_back();
                })
            }
            // What listens is a file.
            Stderr(Limited) => limit(libc::RLIMIT_FSIZE, 512),
            Stderr(stderr) => {
                let unread = stderr.take();
                Box::new(|| drop(unread))
            }
            Folder(ReadOnly) => {
                set_mode(&dumps, 0o555);
                Box::new(move || set_mode(&dumps, 0o755))
            }
            Folder(Folder::Full) => limit(libc::RLIMIT_FSIZE, 512),
            Folder(Gone) => {
                fs::remove_dir_all(dumps).expect("it is there");
                Box::new(|| place.make())
            }
            FolderAndStderr => {
                let (folder, stderr) = (Folder(Gone).take(place), Stderr(Closed).take(place));
                Box::new(|| {
                    folder();
                    stderr();
                })
            }
            Proc => procfs::hide(),
            Executable => {
                // The second time it is gone already.
                let _ = fs::remove_file(place.executable());
                Box::new(|| ())
            }
            Time => {
                let script = format!("kill -STOP {0}; sleep 0.6; kill -CONT {0}", std::process::id());
                let stopped = Command::new("sh").args(["-c", &script]).status();
                assert!(stopped.expect("there is a shell").success());
                Box::new(|| ())
            }
            TimeOfARenderer => {
                let script = format!(
                    "until grep -q '^State:.T' /proc/{0}/status; do test -d /proc/{0} || exit; sleep 0.01; done; \
                 sleep 0.35; kill -CONT {0}",
                    std::process::id()
                );
                let mut goes_on = Command::new("sh").args(["-c", &script]).spawn().expect("there is a shell");
                Own::STOPS.store(true, Ordering::SeqCst);
                Box::new(move || {
                    assert!(goes_on.wait().expect("it ends").success());
                    assert!(!Own::STOPS.load(Ordering::SeqCst), "it was stopped");
                })
            }
        }
    }
}

/// A value of the user's.
struct Own(u8);

impl Own {
    /// Whether the next renderer stops the process. Somebody else lets it go on.
    const STOPS: &AtomicBool = {
        static STOPS: AtomicBool = AtomicBool::new(false);
        &STOPS
    };
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if Self::STOPS.swap(false, Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(30));
            let process = std::process::id();
            // SAFETY: two numbers.
            assert_eq!(unsafe { libc::kill(process as i32, libc::SIGSTOP) }, 0);
            // It takes its time before and after, which is less than it may take.
            thread::sleep(Duration::from_millis(30));
        }
        f.debug_tuple("Own").field(&self.0).finish()
    }
}

fn limit(which: libc::__rlimit_resource_t, bytes: u64) -> Box<dyn FnOnce()> {
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a limit of ours.
    assert_eq!(unsafe { libc::getrlimit(which, &mut before) }, 0);
    let set = move |limit: libc::rlimit| {
        // SAFETY: the pointer is to a limit of ours.
        assert_eq!(unsafe { libc::setrlimit(which, &limit) }, 0);
    };
    set(libc::rlimit { rlim_cur: bytes, ..before });
    Box::new(move || set(before))
}

/// What the process has of the address space.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("it is told");
    let kilobytes: u64 = size.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes << 10
}

fn set_mode(folder: &Path, mode: u32) {
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("it is ours");
}

impl Stderr {
    /// Gives the end of a pipe that is not read, and must not be closed.
    fn take(self) -> Option<OwnedFd> {
        if self == Closed {
            // SAFETY: a number.
            assert_eq!(unsafe { libc::close(libc::STDERR_FILENO) }, 0);
            return None;
        }
        let mut ends = [0; 2];
        // SAFETY: the pointer is to two numbers.
        assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
        // SAFETY: they are open, and nobody else's.
        let [read, write] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        let mut write = File::from(write);
        replace_stderr(&write);
        if self == Broken {
            return None;
        }
        let set = |file: &File, flags: i32| {
            // SAFETY: two numbers.
            assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags) }, 0);
        };
        set(&write, libc::O_NONBLOCK);
        while write.write(&[b'x'; 4_096]).is_ok() {}
        set(&write, 0);
        Some(read)
    }
}

/// Root may write to any folder and start any number of threads: goes on as somebody who may not.
fn be_ordinary(place: &Place) -> bool {
    const NOBODY: u32 = 65_534;
    // SAFETY: it takes nothing.
    if unsafe { libc::geteuid() } == 0 {
        for folder in [&place.folder, &place.dumps()] {
            std::os::unix::fs::chown(folder, Some(NOBODY), None).expect("root may");
        }
        // SAFETY: three numbers.
        assert_eq!(unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) }, 0);
        // SAFETY: two numbers. The system has taken the process's own part of procfs away from it.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) }, 0);
    }
    true
}

/// Goes on in a copy of the executable, which can be removed. `false` in the process that waited for it.
fn run_a_copy(place: &Place) -> bool {
    const COPY: &str = "THREADCTX_LIMITS_COPY";
    if std::env::var_os(COPY).is_some() {
        return true;
    }
    let copy = place.executable();
    fs::copy(std::env::current_exe().expect("it has a file"), &copy).expect("it can be copied");
    let mut command = Command::new(copy);
    let output = command.args(std::env::args_os().skip(1)).env(COPY, &place.folder).output();
    let output = output.expect("it can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    false
}

mod procfs {
    use std::ptr::null;

    /// Mounts of this thread, and of those that it starts, are seen by no other process.
    pub(super) fn prepare() -> bool {
        // SAFETY: a number.
        let is_apart = unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0;
        let flags = libc::MS_REC | libc::MS_PRIVATE;
        // SAFETY: a path that ends with a zero; nothing else is looked at for these flags.
        let is_apart = is_apart && unsafe { libc::mount(null(), c"/".as_ptr(), null(), flags, null()) } == 0;
        if !is_apart {
            println!("skipped: hiding /proc takes a right that this process has not got");
        }
        is_apart
    }

    pub(super) fn hide() -> Box<dyn FnOnce()> {
        let (tmpfs, path) = (c"tmpfs".as_ptr(), c"/proc".as_ptr());
        // SAFETY: three texts that end with a zero.
        assert_eq!(unsafe { libc::mount(tmpfs, path, tmpfs, 0, null()) }, 0);
        // SAFETY: a text that ends with a zero.
        Box::new(|| assert_eq!(unsafe { libc::umount2(c"/proc".as_ptr(), libc::MNT_DETACH) }, 0))
    }
}

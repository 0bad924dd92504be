//! A dump on a signal: also while everybody is blocked, into files that nobody else can have a hand in, and for as long as
//! its guard lives. Each in a process of its own: signals and their handlers are the process's.

#![cfg(all(unix, not(any(loom, shuttle))))]

use std::{
    env, fs,
    io::{self, BufRead, BufReader},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{
            fs::{MetadataExt, PermissionsExt, symlink},
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    ptr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

use threadctx::{Dump, DumpOptions, Key, OnSignal, SIGUSR1, SIGUSR2, get_thread_ctx, on_signal, stats};

use forks::in_child;
use solo::alone;

#[allow(dead_code, reason = "this file needs a part of it")]
#[path = "support/forks.rs"]
#[expect(unsafe_code, reason = "forks")]
mod forks;
#[path = "support/patience.rs"]
mod patience;
#[allow(dead_code, reason = "this file needs a part of it")]
#[path = "support/solo.rs"]
#[expect(unsafe_code, reason = "calls into the C library")]
mod solo;

static STEP: Key<u32> = Key::new("job", "step").debug();
static TOKEN: Key<String> = Key::new("auth", "token").secret();

/// What a test waits for something that must come.
const PATIENCE: Duration = Duration::from_secs(20);

#[expect(unsafe_code, reason = "signals")]
mod signals {
    use super::*;

    pub(super) fn raise(signal: i32) {
        let me = std::process::id().try_into().expect("a pid");
        // SAFETY: two numbers.
        assert_eq!(unsafe { libc::kill(me, signal) }, 0);
    }

    pub(super) fn send(child: &Child, signal: i32) {
        let pid = child.id().try_into().expect("a pid");
        // SAFETY: two numbers; the child has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Has the process that `command` starts block the signal, on every thread that does not say otherwise.
    pub(super) fn block_in(command: &mut Command, signal: i32) {
        let block = move || {
            let mut set = std::mem::MaybeUninit::uninit();
            // SAFETY: the pointer is to a set of ours.
            unsafe { libc::sigemptyset(set.as_mut_ptr()) };
            // SAFETY: the set is initialised.
            unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
            // SAFETY: as above.
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut()) };
            Ok(())
        };
        // SAFETY: the three calls may be made between a fork and an exec.
        unsafe { command.pre_exec(block) };
    }

    /// Has standard error go to this file; gives where it went before.
    pub(super) fn redirect_stderr(path: &Path) -> OwnedFd {
        let before = io::stderr().as_fd().try_clone_to_owned().expect("it is open");
        let file = fs::File::create(path).expect("it can be made");
        // SAFETY: two descriptors that are open.
        assert_eq!(unsafe { libc::dup2(file.as_raw_fd(), 2) }, 2);
        before
    }

    pub(super) fn restore_stderr(before: OwnedFd) {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::dup2(before.as_raw_fd(), 2) }, 2);
    }

    /// No file of this process grows beyond so many bytes: a write that would is an error.
    pub(super) fn limit_files(bytes: u64) {
        // SAFETY: two numbers, one of which stands for a handler that does nothing.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        let limit = libc::rlimit { rlim_cur: bytes as _, rlim_max: bytes as _ };
        // SAFETY: the pointer is to a limit of ours.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
    }
}

/// Sends its dumps here.
fn dumps_of(on: OnSignal) -> (threadctx::SignalGuard, Receiver<Dump>) {
    let (send, dumps) = mpsc::channel();
    let guard = on.to(move |dump| drop(send.send(dump))).expect("the signal can be had");
    (guard, dumps)
}

fn next(dumps: &Receiver<Dump>) -> Dump {
    dumps.recv_timeout(PATIENCE).expect("a dump is due")
}

/// An empty folder, which goes when this does.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("threadctx-signal-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a folder can be made");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("it is there");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("it can be read").file_name();
        let mut names: Vec<_> = entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A child of this very executable that runs `scenario`, with its standard error.
struct Running {
    child: Child,
    said: Receiver<String>,
}

impl Running {
    fn command(scenario: &str) -> Command {
        let mut command = Command::new(env::current_exe().expect("a test has a file"));
        command.args(["--exact", scenario, "--nocapture", "--test-threads=1"]).env("THREADCTX_BLOCKED", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the test's own file can be run");
        let (send, said) = mpsc::channel();
        let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, said }
    }

    /// The lines up to one that `is_last`, which must come.
    fn until(&self, is_last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(line) = self.said.recv_timeout(PATIENCE) {
            lines.push(line);
            if is_last(lines.last().expect("just pushed")) {
                return lines;
            }
        }
        panic!("the child says no more: {lines:#?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it was killed");
    }
}

/// Not a test by itself: each of its threads waits for ever, the main one with standard error locked.
#[test]
fn every_thread_is_blocked() {
    if env::var_os("THREADCTX_BLOCKED").is_none() {
        return;
    }
    static LOCK: Mutex<()> = Mutex::new(());
    on_signal(SIGUSR1).to_stderr().expect("the signal can be had").forever();
    let _held = LOCK.lock();
    for number in 0..3 {
        let (ready, wait) = mpsc::channel();
        let body = move || {
            STEP.set(number);
            TOKEN.set("hunter2".to_owned());
            ready.send(()).expect("we wait");
            drop(LOCK.lock());
        };
        thread::Builder::new().name(format!("blocked-{number}")).spawn(body).expect("there is room");
        wait.recv().expect("it comes");
    }
    eprintln!("ready");
    let _locked = io::stderr().lock();
    drop(LOCK.lock());
}

#[test]
fn it_comes_while_every_thread_is_blocked_as_often_as_asked() {
    let running = Running::start(Running::command("every_thread_is_blocked"));
    running.until(|line| line == "ready");
    for _ in 0..2 {
        signals::send(&running.child, SIGUSR1);
        let text = running.until(|line| line.contains("job.step   = 2")).join("\n");
        for number in 0..3 {
            assert!(text.contains(&format!("\"blocked-{number}\"")), "{text}");
        }
        assert!(text.contains("<secret String>") && !text.contains("hunter2"), "{text}");
    }
}

fn raise_and_wait_for(path: &Path) -> String {
    let _ = fs::remove_file(path);
    signals::raise(SIGUSR1);
    loop {
        match fs::read_to_string(path) {
            Ok(text) => return text,
            Err(_) => thread::yield_now(),
        }
    }
}

#[test]
fn a_file_is_whole_the_owners_alone_and_alone_in_its_folder() {
    alone(|| {
        let folder = Folder::new("file");
        STEP.set(7);
        for name in ["dump.txt", "dump.json"] {
            let path = folder.path(name);
            let _guard = on_signal(SIGUSR1).to_file(&path).expect("the signal can be had");
            for _ in 0..20 {
                let text = raise_and_wait_for(&path);
                if name.ends_with("json") {
                    let json: serde_json::Value = serde_json::from_str(&text).expect("it is whole");
                    assert_eq!(json["counts"]["contexts"], 1);
                } else {
                    assert!(text.contains("job.step = 7"), "{text}");
                }
                let there = fs::metadata(&path).expect("it is there");
                assert_eq!(there.permissions().mode() & 0o7777, 0o600);
            }
            assert_eq!(folder.names(), [name]);
            fs::remove_file(&path).expect("it is there");
        }
    });
}

/// It is replaced, not written into: whoever has it open, or a hard link to it, keeps what was there.
#[test]
fn a_file_that_is_there_is_replaced_as_a_whole() {
    alone(|| {
        let folder = Folder::new("replaced");
        let (path, link) = (folder.path("dump.txt"), folder.path("link"));
        fs::write(&path, "theirs").expect("it can be written");
        fs::hard_link(&path, &link).expect("it can be linked");
        let _guard = on_signal(SIGUSR1).to_file(&path).expect("the signal can be had");
        signals::raise(SIGUSR1);
        let before = fs::metadata(&link).expect("it is there").ino();
        while fs::metadata(&path).expect("there is always one").ino() == before {
            thread::yield_now();
        }
        assert_eq!(fs::read_to_string(&link).expect("it is there"), "theirs");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o7777, 0o600);
    });
}

#[test]
fn what_is_no_regular_file_is_refused_beforehand() {
    alone(|| {
        let folder = Folder::new("refused");
        let target = folder.path("target");
        fs::write(&target, "theirs").expect("it can be written");
        symlink(&target, folder.path("link")).expect("it can be linked");
        symlink(folder.path("nothing"), folder.path("dangling")).expect("it can be linked");
        fs::create_dir(folder.path("folder")).expect("it can be made");
        for (path, why) in [
            (folder.path("link"), "symbolic link"),
            (folder.path("dangling"), "symbolic link"),
            (folder.path("folder"), "no regular file"),
            (PathBuf::from("/dev/null"), "no regular file"),
            (folder.path("no/such/dump.txt"), "No such file"),
            (folder.path("target/dump.txt"), "Not a directory"),
            (PathBuf::from("/"), "no regular file"),
        ] {
            let refused = on_signal(SIGUSR1).to_file(&path).expect_err("it is refused").to_string();
            assert!(refused.contains(why) && refused.contains(path.to_str().expect("text")), "{refused}");
        }
        assert_eq!(fs::read_to_string(&target).expect("it is there"), "theirs");
    });
}

/// Raises the signal until the outlet complains, on standard error, and gives what it says.
fn complaint(folder: &Path) -> String {
    let log = folder.join("stderr");
    let stderr = signals::redirect_stderr(&log);
    signals::raise(SIGUSR1);
    let text = loop {
        match fs::read_to_string(&log) {
            Ok(text) if text.ends_with('\n') => break text,
            _ => thread::yield_now(),
        }
    };
    signals::restore_stderr(stderr);
    fs::remove_file(log).expect("it is there");
    assert!(text.starts_with("threadctx: no dump was written to ") && text.contains("dump.txt"), "{text}");
    text
}

#[test]
fn a_link_that_somebody_puts_there_later_is_not_followed() {
    alone(|| {
        let (folder, log) = (Folder::new("planted"), Folder::new("planted-log"));
        let (path, target) = (folder.path("dump.txt"), folder.path("target"));
        fs::write(&target, "theirs").expect("it can be written");
        on_signal(SIGUSR1).to_file(&path).expect("the signal can be had").forever();
        symlink(&target, &path).expect("it can be linked");
        assert!(complaint(&log.0).contains("it is a symbolic link"));
        assert_eq!(fs::read_to_string(&target).expect("it is there"), "theirs");
        assert_eq!(folder.names(), ["dump.txt", "target"]);
        assert!(fs::symlink_metadata(&path).expect("it is there").is_symlink());
    });
}

#[test]
fn an_error_in_the_middle_leaves_what_was_there_and_nothing_else() {
    alone(|| {
        let (folder, log) = (Folder::new("full"), Folder::new("full-log"));
        let path = folder.path("dump.txt");
        fs::write(&path, "the last one").expect("it can be written");
        STEP.set(7);
        get_thread_ctx().namespace("job").insert("log", "x".repeat(1_000)).expect("the name is free");
        on_signal(SIGUSR1).to_file(&path).expect("the signal can be had").forever();
        signals::limit_files(500);
        assert!(complaint(&log.0).contains("large"));
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "the last one");
        assert_eq!(folder.names(), ["dump.txt"]);
    });
}

#[test]
fn a_folder_that_goes_away_is_told_and_not_made_again() {
    alone(|| {
        let (folder, log) = (Folder::new("gone"), Folder::new("gone-log"));
        on_signal(SIGUSR1).to_file(folder.path("dump.txt")).expect("the signal can be had").forever();
        fs::remove_dir(&folder.0).expect("it is empty");
        assert!(complaint(&log.0).contains("No such file"));
        assert!(!folder.0.exists());
    });
}

#[test]
fn after_its_guard_the_signal_does_nothing_and_other_outlets_go_on() {
    alone(|| {
        let (guard, dumps) = dumps_of(on_signal(SIGUSR1));
        let (other, others) = dumps_of(on_signal(SIGUSR1));
        signals::raise(SIGUSR1);
        drop((next(&dumps), next(&others)));
        drop(guard);
        assert!(
            dumps.recv_timeout(PATIENCE).is_err_and(|error| error == mpsc::RecvTimeoutError::Disconnected)
        );
        signals::raise(SIGUSR1);
        drop(next(&others));
        drop(other);
        assert!(others.recv_timeout(PATIENCE).is_err());
        signals::raise(SIGUSR1);
        let (_again, dumps) = dumps_of(on_signal(SIGUSR1));
        signals::raise(SIGUSR1);
        drop(next(&dumps));
    });
}

#[test]
fn other_handlers_of_the_signal_are_called_as_before() {
    alone(|| {
        let (before, after) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        signal_hook::flag::register(SIGUSR1, Arc::clone(&before)).expect("it can be had");
        let (guard, dumps) = dumps_of(on_signal(SIGUSR1));
        signal_hook::flag::register(SIGUSR1, Arc::clone(&after)).expect("it can be had");
        signals::raise(SIGUSR1);
        drop(next(&dumps));
        assert!(before.swap(false, Ordering::SeqCst) && after.swap(false, Ordering::SeqCst));
        drop(guard);
        signals::raise(SIGUSR1);
        while !(before.load(Ordering::SeqCst) && after.load(Ordering::SeqCst)) {
            thread::yield_now();
        }
    });
}

#[test]
fn signals_are_told_apart() {
    alone(|| {
        let (_one, ones) = dumps_of(on_signal(SIGUSR1));
        let (_two, twos) = dumps_of(on_signal(SIGUSR2));
        signals::raise(SIGUSR2);
        drop(next(&twos));
        assert!(ones.try_recv().is_err());
    });
}

#[test]
fn a_signal_that_nobody_can_have_is_refused() {
    alone(|| {
        for signal in [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, 0, -1, 127, 1_000_000] {
            let refused = on_signal(signal).to_stderr().expect_err("it is refused").to_string();
            assert!(refused.contains(&format!("signal {signal} cannot be had")), "{refused}");
        }
    });
}

/// With the signal blocked on every thread of the program it would never be delivered; the outlet's own thread takes it.
#[test]
fn it_comes_though_every_thread_of_the_program_blocks_the_signal() {
    let mut command = Running::command("every_thread_is_blocked");
    signals::block_in(&mut command, SIGUSR1);
    let running = Running::start(command);
    running.until(|line| line == "ready");
    signals::send(&running.child, SIGUSR1);
    running.until(|line| line.contains("job.step   = 2"));
}

#[test]
fn an_outlet_that_panics_and_a_renderer_that_hangs_are_not_the_end() {
    alone(|| {
        struct Hangs;
        impl std::fmt::Debug for Hangs {
            fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                loop {
                    thread::park();
                }
            }
        }
        get_thread_ctx().namespace("job").insert("hangs", Hangs).expect("the name is free");
        STEP.set(7);
        let (send, dumps) = mpsc::channel();
        let outlet = move |dump| {
            send.send(dump).expect("we wait");
            std::panic::resume_unwind(Box::new("no"));
        };
        let _guard = on_signal(SIGUSR1).to(outlet).expect("the signal can be had");
        for _ in 0..2 {
            signals::raise(SIGUSR1);
            let text = next(&dumps).to_string();
            assert!(text.contains("<busy: its renderer does not end>") && text.contains("= 7"), "{text}");
        }
    });
}

#[test]
fn options_are_kept_and_no_context_is_taken() {
    alone(|| {
        STEP.set(7);
        let http = DumpOptions::new().namespace("http");
        let (_guard, dumps) = dumps_of(on_signal(SIGUSR1).options(http));
        signals::raise(SIGUSR1);
        assert!(next(&dumps).contexts().is_empty());
        assert_eq!(stats().registered, 1);
    });
}

#[test]
fn in_a_forked_child_the_signal_does_nothing_and_the_guard_may_drop() {
    alone(|| {
        let (guard, dumps) = dumps_of(on_signal(SIGUSR1));
        in_child(|| {
            signals::raise(SIGUSR1);
            drop(guard);
            signals::raise(SIGUSR1);
            assert!(dumps.try_recv().is_err());
            let (_own, own) = dumps_of(on_signal(SIGUSR1));
            signals::raise(SIGUSR1);
            drop(next(&own));
        });
        assert!(dumps.try_recv().is_err(), "what the child gets is no business of its parent's");
    });
}

#[test]
fn signals_that_a_thread_cannot_go_on_after_are_refused_and_nothing_is_changed() {
    for signal in [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGABRT,
        libc::SIGSYS,
        libc::SIGTRAP,
        libc::SIGKILL,
        libc::SIGSTOP,
    ] {
        let before = handler(signal);
        let error = threadctx::on_signal(signal).to(|_| ()).unwrap_err();
        assert!(error.to_string().contains("cannot go on after it"), "{signal}: {error}");
        assert!(std::error::Error::source(&error).is_none(), "its text says all");
        assert_eq!(handler(signal), before);
    }
}

/// What the process does on `signal` now.
#[expect(unsafe_code, reason = "calls into the C library")]
fn handler(signal: i32) -> libc::sighandler_t {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the pointer is to a sigaction of ours.
    unsafe { libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr()) };
    // SAFETY: zeroed, a sigaction is valid.
    unsafe { now.assume_init() }.sa_sigaction
}

/// No thread is to be had: the signal keeps its meaning.
#[cfg(target_os = "linux")]
#[test]
fn an_outlet_that_gets_no_thread_has_changed_nothing() {
    solo::alone(|| {
        if !without_threads() {
            return;
        }
        let before = handler(libc::SIGUSR2);
        let error = threadctx::on_signal(libc::SIGUSR2).to(|_| ()).unwrap_err();
        assert!(error.to_string().contains("could not be started"), "{error}");
        assert_eq!(handler(libc::SIGUSR2), before, "the default, still");
    });
}

/// Takes away what a thread needs: room for its stack.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "calls into the C library")]
fn without_threads() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("it is told");
    let kilobytes: u64 = size.trim().trim_end_matches(" kB").parse().expect("a number");
    let limit = libc::rlimit { rlim_cur: (kilobytes + 512) << 10, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the pointer is to a limit of ours.
    unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) == 0 }
}

/// What the outlet's code starts, a process or a thread, takes signals as the thread does that opened the outlet.
#[cfg(target_os = "linux")]
#[test]
fn what_an_outlets_code_starts_takes_the_signals_that_its_opener_takes() {
    solo::alone(|| {
        let blocked_by = |status: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("Linux tells");
            line.trim().to_owned()
        };
        let status = || std::fs::read_to_string("/proc/thread-self/status").expect("Linux has it");
        let mine = blocked_by(&status());
        let (send, seen) = std::sync::mpsc::channel();
        let outlet = move |_| {
            let child =
                std::process::Command::new("cat").arg("/proc/self/status").output().expect("there is a cat");
            let thread = std::thread::spawn(status).join().expect("it does not panic");
            let texts = [String::from_utf8(child.stdout).expect("a text"), thread];
            send.send(texts.map(|text| blocked_by(&text))).expect("it waits");
        };
        threadctx::on_signal(libc::SIGUSR2).to(outlet).expect("it can be opened").forever();
        for _ in 0..2 {
            raise(libc::SIGUSR2);
            assert_eq!(seen.recv().expect("it comes"), [mine.clone(), mine.clone()]);
        }
    });
}

#[expect(unsafe_code, reason = "calls into the C library")]
fn raise(signal: i32) {
    // SAFETY: a number.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

/// Also root is refused: by a name that no file can have.
#[test]
fn a_path_that_cannot_be_written_is_refused_when_the_outlet_is_opened() {
    let nowhere = "/proc/self/dump.txt";
    let error = threadctx::on_signal(libc::SIGUSR2).to_file(nowhere).unwrap_err();
    assert!(error.to_string().contains(nowhere), "{error}");
    assert!(threadctx::watchdog(std::time::Duration::from_secs(60)).to_file(nowhere).is_err());
}

/// The outlet has its threads since it was opened: what the system has none for later are others.
#[cfg(target_os = "linux")]
#[test]
fn where_no_thread_is_to_be_had_any_more_a_dump_shows_every_value_and_accuses_none() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "its `Debug` shows it")]
    struct Own(u8);
    static NUMBER: threadctx::Key<u64> = threadctx::Key::new("limit", "number").debug();
    static OWN: threadctx::Key<Own> = threadctx::Key::new("limit", "own").debug();
    solo::alone(|| {
        let (send, seen) = std::sync::mpsc::channel();
        let outlet = move |dump: threadctx::Dump| send.send(dump).expect("it waits");
        threadctx::on_signal(libc::SIGUSR2).to(outlet).expect("it can be opened").forever();
        NUMBER.set(7);
        OWN.set(Own(8));
        if !without_threads() {
            return;
        }
        assert!(std::thread::Builder::new().spawn(|| ()).is_err(), "no thread is to be had");
        for _ in 0..2 {
            raise(libc::SIGUSR2);
            let dump = seen.recv().expect("it comes");
            let text = dump.to_string();
            assert!(text.contains("limit.number = 7") && text.contains("limit.own    = Own(8)"), "{text}");
            assert_eq!(dump.findings().len(), 0);
        }
    });
}

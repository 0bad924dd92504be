//! What only the operating system knows or does: the coarse clock, a thread's own number and whether it is still there, that
//! the process has forked, signals, how wide the terminal is, and standard error without a lock.

#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(not(unix))]
pub(crate) use other::*;

/// Where the system has no such signals, or no way to take one back, a write is a write.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn without_signals<R>(write: impl FnOnce() -> std::io::Result<R>) -> std::io::Result<R> {
    write()
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "calls into the C library")]
mod unix {
    use std::{
        ffi::c_void,
        fs,
        io::{self, IsTerminal as _, Write as _},
        mem::MaybeUninit,
        num::NonZero,
        os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
        ptr,
        time::{Duration, Instant},
    };

    use once_cell::race::{OnceBox, OnceNonZeroUsize};

    #[cfg(any(target_os = "linux", target_os = "android"))]
    const COARSE: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const COARSE: libc::clockid_t = libc::CLOCK_MONOTONIC;

    #[inline]
    pub(crate) fn coarse_nanoseconds() -> u64 {
        nanoseconds_of(COARSE)
    }

    /// The time since the machine started, that included for which it slept; `None` where the system does not tell.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn since_boot() -> Option<std::time::Duration> {
        let nanoseconds = nanoseconds_of(libc::CLOCK_BOOTTIME);
        (nanoseconds != 0).then_some(std::time::Duration::from_nanos(nanoseconds))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn since_boot() -> Option<std::time::Duration> {
        None
    }

    #[cfg(threadctx_tick = "1")]
    pub(crate) fn precise_nanoseconds() -> u64 {
        nanoseconds_of(libc::CLOCK_MONOTONIC)
    }

    #[inline]
    fn nanoseconds_of(clock: libc::clockid_t) -> u64 {
        let mut time = MaybeUninit::<libc::timespec>::zeroed();
        // SAFETY: the pointer is to a timespec of ours. If the call fails, it stays zeroed.
        unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) };
        // SAFETY: zeroed, a timespec is valid.
        let time = unsafe { time.assume_init() };
        (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
    }

    /// Has `last` run at this thread's end, after the destructors of its thread-locals; also if it is asked for from such a
    /// destructor, or from one of a pthread key, unless that comes in the last of their rounds.
    pub(crate) fn at_thread_end(last: unsafe extern "C" fn(*mut c_void)) {
        static KEY: OnceNonZeroUsize = OnceNonZeroUsize::new();
        // Two threads that are here first at once make a key each, and one is never used.
        let key = KEY.get_or_try_init(|| make_key(last)).map(|key| key.get() - 1);
        if let Ok(key) = key {
            // SAFETY: the key was made and is never deleted. Its value is not null, or the destructor would not run; nobody
            // follows it.
            unsafe { libc::pthread_setspecific(key as libc::pthread_key_t, ptr::dangling::<c_void>()) };
        }
    }

    /// A new key, counted from 1; an error where there are too many.
    fn make_key(last: unsafe extern "C" fn(*mut c_void)) -> Result<NonZero<usize>, ()> {
        let mut key = 0;
        // SAFETY: the pointer is to a key of ours; the destructor lives as long as the code does.
        let made = unsafe { libc::pthread_key_create(&mut key, Some(last)) };
        NonZero::new(key as usize + 1).filter(|_| made == 0).ok_or(())
    }

    /// The number that system tools show for this thread; 0 where the system has none.
    pub(crate) fn thread_number() -> u64 {
        number::of_this_thread()
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    mod number {
        pub(super) fn of_this_thread() -> u64 {
            // SAFETY: the call takes nothing and cannot fail.
            let number = unsafe { libc::gettid() };
            number as u64
        }
    }

    /// Whether this process has a thread by this number; `None` where the system does not tell. A thread is there until
    /// it can run no more code of the program.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn has_thread(number: u64) -> Option<bool> {
        let number = libc::pid_t::try_from(number).ok()?;
        // SAFETY: the call takes nothing and cannot fail.
        let process = unsafe { libc::getpid() };
        // SAFETY: three numbers; signal 0 is none: only whether the thread is there is looked at.
        let found = unsafe { libc::syscall(libc::SYS_tgkill, process, number, 0) };
        match found {
            0 => Some(true),
            _ if io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH) => Some(false),
            _ => None,
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn has_thread(_: u64) -> Option<bool> {
        None
    }

    #[cfg(target_vendor = "apple")]
    mod number {
        pub(super) fn of_this_thread() -> u64 {
            let mut number = 0;
            // SAFETY: 0 stands for the calling thread, and the pointer is to a number of ours.
            unsafe { libc::pthread_threadid_np(0, &mut number) };
            number
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    mod number {
        pub(super) fn of_this_thread() -> u64 {
            0
        }
    }

    /// Standard error until a deadline, past the lock of std's, which a thread may hold that is blocked or panics. A pipe or a
    /// terminal that takes nothing any more ends the writing with an error instead of holding up the thread that writes.
    pub(crate) struct Stderr {
        deadline: Instant,
    }

    /// The terminal that standard error was when an outlet for it was opened, once more: see [`Terminal`].
    static TERMINAL: OnceBox<Terminal> = OnceBox::new();

    /// A terminal opened once more, so that writing to it does not block: that is a matter of this opening alone. A terminal that
    /// says to `poll` that it takes something need not take two bytes, which is what becomes of the end of a line.
    struct Terminal(fs::File);

    impl Stderr {
        pub(crate) fn until(deadline: Instant) -> Self {
            Self { deadline }
        }

        /// Waits until standard error takes something.
        fn wait(&self) -> io::Result<()> {
            // Rounded up, so that the deadline is over when the system says that time is.
            let left = self.deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            let mut time = libc::timeval {
                tv_sec: left.as_secs().try_into().unwrap_or(libc::time_t::MAX),
                tv_usec: left.subsec_micros() as libc::suseconds_t,
            };
            let mut files = MaybeUninit::<libc::fd_set>::uninit();
            // SAFETY: the pointer is to a set of ours.
            unsafe { libc::FD_ZERO(files.as_mut_ptr()) };
            // SAFETY: the set is initialised, and the number is one that it has room for.
            unsafe { libc::FD_SET(libc::STDERR_FILENO, files.as_mut_ptr()) };
            let (none, wanted) = (ptr::null_mut(), files.as_mut_ptr());
            // Linux refuses `poll` to a process whose limit of descriptors is zero, as some sandboxes set it.
            // SAFETY: the pointers are to a set and a time of ours; the other sets are none.
            match unsafe { libc::select(libc::STDERR_FILENO + 1, none, wanted, none, &mut time) } {
                0 => Err(io::ErrorKind::TimedOut.into()),
                1.. => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }

    impl io::Write for Stderr {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.wait()?;
            let written = super::without_signals(|| match kind_and_device(libc::STDERR_FILENO).0 {
                libc::S_IFIFO => write_pipe(bytes),
                libc::S_IFSOCK => write_socket(bytes),
                libc::S_IFCHR if io::stderr().is_terminal() => write_terminal(bytes),
                _ => write(bytes),
            });
            written.map_err(interrupted_if_full)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Terminal {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        fn open() -> io::Result<Self> {
            Self::open_as("/proc/self/fd/2")
        }

        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        fn open() -> io::Result<Self> {
            let mut name = [0; 256];
            // SAFETY: the pointer and the length are those of the buffer.
            match unsafe { libc::ttyname_r(libc::STDERR_FILENO, name.as_mut_ptr().cast(), name.len()) } {
                0 => {
                    let name = std::ffi::CStr::from_bytes_until_nul(&name).map_err(io::Error::other)?;
                    Self::open_as(name.to_str().map_err(io::Error::other)?)
                }
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }

        fn open_as(path: &str) -> io::Result<Self> {
            let mut options = fs::OpenOptions::new();
            options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).map(Self)
        }

        fn is_standard_error(&self) -> bool {
            kind_and_device(self.0.as_raw_fd()) == kind_and_device(libc::STDERR_FILENO)
        }
    }

    /// Opens the terminal while there is a descriptor for it. If there is none, or if standard error becomes another terminal, it is
    /// opened when something is written.
    pub(crate) fn reserve_terminal() {
        if io::stderr().is_terminal() {
            let _ = TERMINAL.get_or_try_init(|| Terminal::open().map(Box::new));
        }
    }

    /// Of a terminal that cannot be opened once more nothing is written: it could hold the thread for ever.
    fn write_terminal(bytes: &[u8]) -> io::Result<usize> {
        match TERMINAL.get().filter(|terminal| terminal.is_standard_error()) {
            Some(Terminal(reserved)) => (&mut &*reserved).write(bytes),
            None => Terminal::open()?.0.write(bytes),
        }
    }

    /// What kind of file it is, and which device.
    fn kind_and_device(descriptor: libc::c_int) -> (libc::mode_t, libc::dev_t) {
        let mut file = MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: the pointer is to a stat of ours. If the call fails, it stays zeroed.
        unsafe { libc::fstat(descriptor, file.as_mut_ptr()) };
        // SAFETY: zeroed, a stat is valid.
        let file = unsafe { file.assume_init() };
        (file.st_mode & libc::S_IFMT, file.st_rdev)
    }

    fn write(bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: the pointer and the length are those of the bytes.
        let written = unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
        usize::try_from(written).map_err(|_| io::Error::last_os_error())
    }

    /// Takes what the pipe has room for now. `poll` says "writable" to each of several writers, though there is room for one of
    /// them: a plain write would hold up the others.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn write_pipe(bytes: &[u8]) -> io::Result<usize> {
        let piece = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // SAFETY: the pointer is to one entry, whose pointer and length are those of the bytes; they are only read.
        let written = unsafe { libc::pwritev2(libc::STDERR_FILENO, &piece, 1, -1, libc::RWF_NOWAIT) };
        usize::try_from(written).or_else(|_| match io::Error::last_os_error() {
            // An older kernel.
            error if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS)) => {
                write_page(bytes)
            }
            error => Err(error),
        })
    }

    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    fn write_pipe(bytes: &[u8]) -> io::Result<usize> {
        write_page(bytes)
    }

    #[cfg(not(target_vendor = "apple"))]
    const NO_SIGNAL: libc::c_int = libc::MSG_NOSIGNAL;
    /// A socket has an option for it there, which is its opener's to set.
    #[cfg(target_vendor = "apple")]
    const NO_SIGNAL: libc::c_int = 0;

    /// A pipe that takes something takes as much as this without blocking, unless another writer is faster.
    fn write_page(bytes: &[u8]) -> io::Result<usize> {
        write(&bytes[..bytes.len().min(libc::PIPE_BUF)])
    }

    fn write_socket(bytes: &[u8]) -> io::Result<usize> {
        let (start, length, flags) = (bytes.as_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT | NO_SIGNAL);
        // SAFETY: the pointer and the length are those of the bytes.
        let sent = unsafe { libc::send(libc::STDERR_FILENO, start, length, flags) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Another writer may have filled it meanwhile: that is an interruption, after which the write is tried again.
    fn interrupted_if_full(error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::Interrupted.into() } else { error }
    }

    /// How wide the terminal is that standard error, output or input is on.
    pub(crate) fn terminal_columns() -> Option<usize> {
        [libc::STDERR_FILENO, libc::STDOUT_FILENO, libc::STDIN_FILENO].into_iter().find_map(columns_of)
    }

    /// None if the file is no terminal, or one that does not know.
    fn columns_of(file: libc::c_int) -> Option<usize> {
        let mut size = MaybeUninit::<libc::winsize>::zeroed();
        // SAFETY: the pointer is to a winsize of ours. If the call fails, it stays zeroed.
        unsafe { libc::ioctl(file, libc::TIOCGWINSZ, size.as_mut_ptr()) };
        // SAFETY: zeroed, a winsize is valid.
        let size = unsafe { size.assume_init() };
        Some(size.ws_col.into()).filter(|columns| *columns > 0)
    }

    /// Signals that mean the very thread that gets them: it cannot go on after a handler as if nothing had happened.
    pub(crate) const ITS_OWN: [libc::c_int; 7] =
        [libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGSYS, libc::SIGTRAP];

    /// Which signals a thread leaves to others. Threads and processes that it makes begin with the same.
    #[derive(Clone, Copy)]
    pub(crate) struct SignalMask(libc::sigset_t);

    impl SignalMask {
        /// All of them, but for those that mean the very thread that gets them.
        pub(crate) fn full() -> Self {
            let mut signals = MaybeUninit::<libc::sigset_t>::zeroed();
            // SAFETY: the pointer is to a set of ours.
            unsafe { libc::sigfillset(signals.as_mut_ptr()) };
            for signal in ITS_OWN {
                // SAFETY: the set is initialised.
                unsafe { libc::sigdelset(signals.as_mut_ptr(), signal) };
            }
            // SAFETY: it is initialised.
            Self(unsafe { signals.assume_init() })
        }

        /// Makes it this thread's, and gives the one that the thread had.
        pub(crate) fn set(self) -> Self {
            let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
            // SAFETY: the pointers are to two sets of ours; it is this thread's mask that changes.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, before.as_mut_ptr()) };
            // SAFETY: the call has set it, or it is zeroed, which is a set too.
            Self(unsafe { before.assume_init() })
        }

        /// The one that this thread has.
        pub(crate) fn of_this_thread() -> Self {
            let mut now = MaybeUninit::<libc::sigset_t>::zeroed();
            // SAFETY: the pointer is to a set of ours; nothing changes.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, ptr::null(), now.as_mut_ptr()) };
            // SAFETY: the call has set it, or it is zeroed, which is a set too.
            Self(unsafe { now.assume_init() })
        }
    }

    /// Whether a process by this number may exist.
    pub(crate) fn has_process(number: u32) -> bool {
        let Ok(number) = libc::pid_t::try_from(number) else { return false };
        // SAFETY: two numbers; signal 0 is none: only whether the process is there is looked at.
        let found = unsafe { libc::kill(number, 0) };
        found == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
    }

    /// Lets this thread take `signal`, so that there is one that does.
    #[cfg(feature = "signal")]
    pub(crate) fn unblock_signal(signal: libc::c_int) {
        // SAFETY: as in `SignalMask::set`.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set_of(&[signal]), ptr::null_mut()) };
    }

    /// Runs a write. One beyond the limit of a file's size, or to a pipe that nobody reads any more, is an error, and not also the
    /// signal that ends the process.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn without_signals<R>(write: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        const SIGNALS: [(libc::c_int, libc::c_int); 2] =
            [(libc::EFBIG, libc::SIGXFSZ), (libc::EPIPE, libc::SIGPIPE)];
        let both = set_of(&SIGNALS.map(|(_, signal)| signal));
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: the pointers are to two sets of ours; it is this thread's mask that changes.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &both, before.as_mut_ptr()) };
        let result = write();
        let error = result.as_ref().err().and_then(io::Error::raw_os_error);
        if let Some((_, signal)) = SIGNALS.iter().find(|(its_error, _)| error == Some(*its_error)) {
            let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // It is pending for this thread, and would come when it is no longer blocked.
            // SAFETY: the pointers are to a set and a time of ours; what the signal says is not asked for.
            unsafe { libc::sigtimedwait(&set_of(&[*signal]), ptr::null_mut(), &at_once) };
        }
        // SAFETY: the call has set it, or it is zeroed, which is a set too.
        SignalMask(unsafe { before.assume_init() }).set();
        result
    }

    #[cfg(any(target_os = "linux", target_os = "android", feature = "signal"))]
    fn set_of(members: &[libc::c_int]) -> libc::sigset_t {
        let mut signals = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: the pointer is to a set of ours.
        unsafe { libc::sigemptyset(signals.as_mut_ptr()) };
        for signal in members {
            // SAFETY: the set is initialised.
            unsafe { libc::sigaddset(signals.as_mut_ptr(), *signal) };
        }
        // SAFETY: it is initialised.
        unsafe { signals.assume_init() }
    }

    /// Has `prepare` run before each fork, and `parent` and `child` after it in the respective process, all on the
    /// thread that forks. False if the system refuses.
    pub(crate) fn at_fork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> bool {
        // SAFETY: the three are plain functions that live as long as the code does.
        unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) == 0 }
    }

    #[cfg(all(test, target_os = "linux", not(any(loom, shuttle))))]
    mod tests {
        use std::{fs::OpenOptions, os::fd::AsRawFd};

        use super::*;

        #[test]
        fn a_terminal_says_how_wide_it_is_and_nothing_else_does() {
            let terminal = OpenOptions::new().read(true).write(true).open("/dev/ptmx");
            let terminal = terminal.expect("the system has terminals to give");
            assert_eq!(columns_of(terminal.as_raw_fd()), None, "nobody has told it");
            let size = libc::winsize { ws_row: 40, ws_col: 137, ws_xpixel: 0, ws_ypixel: 0 };
            // SAFETY: the pointer is to a winsize of ours.
            let failed = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
            assert_eq!(failed, 0, "a terminal takes a size");
            assert_eq!(columns_of(terminal.as_raw_fd()), Some(137));
            let file = OpenOptions::new().read(true).open("/dev/null").expect("it is always there");
            assert_eq!(columns_of(file.as_raw_fd()), None);
            assert_eq!(columns_of(-1), None);
        }
    }
}

#[cfg(not(unix))]
mod other {
    use std::{io, sync::OnceLock, time::Instant};

    static START: OnceLock<Instant> = OnceLock::new();

    pub(crate) fn coarse_nanoseconds() -> u64 {
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1
    }

    pub(crate) fn thread_number() -> u64 {
        0
    }

    pub(crate) fn has_thread(_: u64) -> Option<bool> {
        None
    }

    pub(crate) fn since_boot() -> Option<std::time::Duration> {
        None
    }

    pub(crate) fn terminal_columns() -> Option<usize> {
        None
    }

    /// Where there are no signals, there is nothing to leave to others.
    #[derive(Clone, Copy)]
    pub(crate) struct SignalMask;

    impl SignalMask {
        pub(crate) fn full() -> Self {
            Self
        }

        pub(crate) fn set(self) -> Self {
            self
        }

        pub(crate) fn of_this_thread() -> Self {
            self::SignalMask
        }
    }

    /// Who could tell: it may.
    pub(crate) fn has_process(_: u32) -> bool {
        true
    }

    pub(crate) fn reserve_terminal() {}

    /// Standard error as std has it, which knows no deadline.
    pub(crate) struct Stderr;

    impl Stderr {
        pub(crate) fn until(_: Instant) -> Self {
            Self
        }
    }

    impl io::Write for Stderr {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            io::stderr().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            io::stderr().flush()
        }
    }

    /// Where there are no such late destructors, there is nothing to do.
    pub(crate) fn at_thread_end(_: unsafe extern "C" fn(*mut std::ffi::c_void)) {}
}

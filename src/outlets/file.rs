//! A dump into a file: the whole of it or nothing, for its owner's eyes only, and never through a symbolic link.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    mem,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::os;

/// A temporary file's name, around the number of its process, the time and a number of its own, which together nobody else has. It
/// is short, however long the target's is.
const PREFIX: &str = ".threadctx.";
const SUFFIX: &str = ".tmp";
/// How old a temporary file is at least that a killed process left.
const LEFT_OVER_AFTER: Duration = Duration::from_secs(3_600);

/// Where a dump can go, as far as can be said beforehand: the absolute path.
pub(super) fn checked(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    refuse_what_is_no_file(&path)?;
    let folder = path.parent().filter(|_| path.file_name().is_some());
    let folder = folder.ok_or_else(|| io::Error::other("it names no file"))?;
    if !fs::metadata(folder)?.is_dir() {
        return Err(io::Error::other("its folder is none"));
    }
    remove_leftovers(folder);
    // A folder that takes no file is told of now, and not when a dump is due.
    drop(create_beside(&path)?);
    Ok(path)
}

/// Removes what processes left in the middle of a dump that were killed. A file of the last hour may be that of a process which has
/// its number in another container.
fn remove_leftovers(folder: &Path) {
    let is_old = |file: &fs::DirEntry| {
        let written = file.metadata().and_then(|file| file.modified()).ok();
        written.and_then(|at| at.elapsed().ok()).is_some_and(|ago| ago >= LEFT_OVER_AFTER)
    };
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        let process = file.file_name().to_str().and_then(process_of);
        // One of ours that is old is of an earlier process that had our number, as the first one in a container has.
        let is_gone = |process| process == std::process::id() || !os::has_process(process);
        if process.is_some_and(is_gone) && is_old(&file) {
            // One that cannot be removed stays, as it would have without us.
            let _ = fs::remove_file(file.path());
        }
    }
}

/// The process whose temporary file goes by `name`, if it is the name of one.
fn process_of(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once('.')?.0.parse().ok()
}

/// Writes a file at `path`, in the place of one that may be there: `content` goes to a new file beside it, which then takes
/// the name. On an error that one is removed, and what was at `path` stays.
pub(super) fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    refuse_what_is_no_file(path)?;
    let (file, temporary) = create_beside(path)?;
    let mut out = BufWriter::new(Unsignalled(file));
    content(&mut out)?;
    // Not left to the drop, which says nothing of an error.
    out.flush()?;
    drop(out);
    temporary.take_name(path)
}

/// A file that says by errors alone what it does not take: where the program may write no more, a dump does not end it.
struct Unsignalled(File);

impl Write for Unsignalled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        os::without_signals(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Only regular files are replaced: not a device that somebody means to write to, nor a link that somebody else has put
/// there. (A link that comes after this look is replaced, not followed.)
fn refuse_what_is_no_file(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_symlink() => Err(io::Error::other("it is a symbolic link")),
        Ok(there) if !there.is_file() => Err(io::Error::other("it is no regular file")),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A file that is removed unless it takes another name.
struct Temporary(PathBuf);

impl Temporary {
    fn take_name(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.0, path)?;
        drop(mem::take(&mut self.0));
        mem::forget(self);
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // If it cannot be removed either, there is nothing left to do.
        let _ = fs::remove_file(&self.0);
    }
}

fn create_beside(path: &Path) -> io::Result<(File, Temporary)> {
    let temporary = beside(path);
    Ok((create(&temporary)?, Temporary(temporary)))
}

fn beside(path: &Path) -> PathBuf {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    // Relaxed: the number alone matters.
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    // The time keeps a container's first process, always number 1, from the names that its predecessors left.
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    path.with_file_name(format!("{PREFIX}{}.{time}.{number}{SUFFIX}", std::process::id()))
}

#[cfg(unix)]
fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // `create_new` follows no link and takes no file that is there.
    OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)
}

#[cfg(not(unix))]
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("threadctx-file-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("it can be made");
        folder
    }

    fn names(folder: &Path) -> Vec<String> {
        let files = fs::read_dir(folder).expect("it is there");
        let mut names: Vec<_> =
            files.map(|file| file.expect("it is").file_name().into_string().expect("a text")).collect();
        names.sort();
        names
    }

    #[test]
    fn what_killed_processes_left_goes_and_everything_else_stays() {
        let folder = folder("left");
        // No process has so high a number.
        let dead = u32::MAX >> 1;
        let old = SystemTime::now() - 2 * LEFT_OVER_AFTER;
        let own = std::process::id();
        let left = [format!("{PREFIX}{dead}.0{SUFFIX}"), format!("{PREFIX}{own}.0.0{SUFFIX}")];
        // Only root may ask about the first process, and that it may not is an answer too: the process lives.
        let of_others = [format!("{PREFIX}1.0{SUFFIX}"), "a.txt".to_owned(), format!("{PREFIX}x{SUFFIX}")];
        for name in of_others.iter().chain(&left) {
            File::create(folder.join(name))
                .expect("it can be made")
                .set_modified(old)
                .expect("it can be set");
        }
        let young = [format!("{PREFIX}{dead}.1{SUFFIX}"), format!("{PREFIX}{own}.0.1{SUFFIX}")];
        for name in &young {
            File::create(folder.join(name)).expect("it can be made");
        }
        checked(&folder.join("dump.txt")).expect("it can be written");
        let mut stay: Vec<_> = of_others.into_iter().chain(young).collect();
        stay.sort();
        assert_eq!(names(&folder), stay);
        fs::remove_dir_all(folder).expect("it can be removed");
    }

    #[test]
    fn a_name_of_any_length_can_be_written_and_leaves_nothing_beside_it() {
        let folder = folder("long");
        let path = checked(&folder.join("n".repeat(255))).expect("it can be written");
        assert_eq!(names(&folder), [""; 0], "opening leaves nothing behind");
        for content in ["one", "two"] {
            write(&path, |out| out.write_all(content.as_bytes())).expect("it can be written");
            assert_eq!(fs::read_to_string(&path).expect("it is there"), content);
        }
        assert_eq!(names(&folder).len(), 1);
        fs::remove_dir_all(folder).expect("it can be removed");
    }
}

//! A dump into a file: the whole of it or nothing, for its owner's eyes only, and never through a symbolic link.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    mem,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// How many names for the temporary file are tried: others of the same name are of a process that was killed.
const TRIES: u32 = 100;

/// Where a dump can go, as far as can be said beforehand: the absolute path.
pub(super) fn checked(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    refuse_what_is_no_file(&path)?;
    let folder = path.parent().filter(|_| path.file_name().is_some());
    let folder = folder.ok_or_else(|| io::Error::other("it names no file"))?;
    if !fs::metadata(folder)?.is_dir() {
        return Err(io::Error::other("its folder is none"));
    }
    Ok(path)
}

/// Writes a file at `path`, in the place of one that may be there: `content` goes to a new file beside it, which then takes
/// the name. On an error that one is removed, and what was at `path` stays.
pub(super) fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    refuse_what_is_no_file(path)?;
    let (file, temporary) = create_beside(path)?;
    let mut out = BufWriter::new(file);
    content(&mut out)?;
    // Not left to the drop, which says nothing of an error.
    out.flush()?;
    drop(out);
    temporary.take_name(path)
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
    let mut tries = 0;
    loop {
        let temporary = beside(path);
        match create(&temporary) {
            Ok(file) => return Ok((file, Temporary(temporary))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

fn beside(path: &Path) -> PathBuf {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    // Relaxed: the number alone matters.
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.{number}.tmp", std::process::id()));
    path.with_file_name(name)
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

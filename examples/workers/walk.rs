//! Finds the files, on a thread of its own, and keeps the folder that it is in where others can see it.

use std::path::{Path, PathBuf};

use crossbeam_channel::Sender;
use threadctx::Key;
use walkdir::{DirEntry, WalkDir};

use crate::{pool, tally::LeftOut, work};

static FOLDER: Key<PathBuf> = Key::new("walk", "folder").debug();

threadctx::accessors! {
    /// The folder that the current thread looks through.
    FOLDER: PathBuf { set: set_folder }
}

/// Sends every regular file of the folder, named from there on, until nobody takes them any more.
pub(crate) fn run(found: &Sender<PathBuf>) {
    let settings = pool::get_settings().expect("the pool gives every thread its settings");
    set_folder(settings.folder.clone());
    let walk = WalkDir::new(&settings.folder).min_depth(1).into_iter();
    for entry in walk.filter_entry(|entry| settings.all || is_wanted(entry)) {
        let file = entry.map_err(|error| LeftOut::from(error.io_error())).and_then(regular_file);
        match file {
            Ok(Some(path)) if found.send(below(&settings.folder, &path)).is_err() => return,
            Ok(_) => {}
            Err(reason) => work::leave_out(reason),
        }
    }
}

/// The path of an entry that has something to count in it. Others could make a reader wait for ever, as pipes do.
fn regular_file(entry: DirEntry) -> Result<Option<PathBuf>, LeftOut> {
    let kind = entry.file_type();
    let path = entry.into_path();
    if kind.is_dir() {
        set_folder(path);
        Ok(None)
    } else if kind.is_symlink() {
        Err(LeftOut::Link)
    } else if !kind.is_file() {
        Err(LeftOut::Special)
    } else {
        Ok(Some(path))
    }
}

/// Whether to look at an entry at all; if it is a folder, whether to go in.
fn is_wanted(entry: &DirEntry) -> bool {
    let reason = Some(entry).filter(|entry| entry.file_type().is_dir()).and_then(why_to_stay_out);
    reason.map(work::leave_out).is_none()
}

fn why_to_stay_out(folder: &DirEntry) -> Option<LeftOut> {
    if folder.file_name().as_encoded_bytes().starts_with(b".") {
        Some(LeftOut::Hidden)
    } else {
        folder.path().join("CACHEDIR.TAG").is_file().then_some(LeftOut::Cache)
    }
}

fn below(folder: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(folder).unwrap_or(path).to_owned()
}

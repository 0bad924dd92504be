//! A secret, searched for in the process's own memory: no output has a copy of it, nor has anything that was rendered on the
//! way and kept, freed or left on a stack.

#![cfg(all(target_os = "linux", not(loom)))]

use std::{
    fs::{self, File},
    io::{self, Write},
    ops::Range,
    os::unix::fs::FileExt,
    panic,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use threadctx::{DumpDiff, DumpOptions, Key, dump, get_thread_ctx, panic_hook, watchdog};

static TOKEN: Key<String> = Key::new("memory", "token").debug().display().json().secret();
static SHOWN: Key<String> = Key::new("memory", "shown").json();

/// A text that is nowhere in the program, and in memory only where somebody has made it.
#[derive(Clone, Copy)]
struct Marker {
    seed: u8,
}

impl Marker {
    const LEN: usize = 64;
    /// What is looked for: an allocator writes over the beginning of what was freed.
    const TAIL: Range<usize> = 32..Self::LEN;

    fn byte(self, place: usize) -> u8 {
        let scattered = (place as u64 + u64::from(self.seed) * 1_000).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        b'a' + (scattered >> 40) as u8 % 26
    }

    fn text(self) -> String {
        let mut bytes = Vec::with_capacity(Self::LEN);
        bytes.extend((0..Self::LEN).map(|place| self.byte(place)));
        String::from_utf8(bytes).expect("they are letters")
    }

    fn ends_like(self, bytes: &[u8]) -> bool {
        bytes.len() >= Self::TAIL.len()
            && Self::TAIL.zip(bytes).all(|(place, byte)| *byte == self.byte(place))
    }
}

/// Reads all that this process can write to.
struct Search {
    memory: File,
    /// What was read last. It is memory too, and left out.
    piece: Box<[u8]>,
}

impl Search {
    const PIECE: usize = 1 << 20;

    fn new() -> Self {
        let memory = File::open("/proc/self/mem").expect("a process may read itself");
        Self { memory, piece: vec![0; Self::PIECE].into() }
    }

    fn copies(&mut self, marker: Marker) -> usize {
        let maps = fs::read_to_string("/proc/self/maps").expect("a process may read itself");
        maps.lines().filter_map(writable).map(|range| self.copies_in(marker, range)).sum()
    }

    fn copies_in(&mut self, marker: Marker, range: Range<u64>) -> usize {
        let mut found = 0;
        let mut from = range.start;
        while from < range.end {
            let len = Self::PIECE.min((range.end - from) as usize);
            // What went away meanwhile has nothing in it.
            if self.memory.read_exact_at(&mut self.piece[..len], from).is_ok() {
                self.leave_out_itself(from..from + len as u64);
                found += count(marker, &self.piece[..len]);
            }
            // One that begins in this piece and ends in the next is found in the next.
            let step = if from + len as u64 == range.end { len } else { len - Marker::TAIL.len() + 1 };
            from += step as u64;
        }
        found
    }

    fn leave_out_itself(&mut self, read: Range<u64>) {
        let own = self.piece.as_ptr() as u64..self.piece.as_ptr() as u64 + Self::PIECE as u64;
        let (from, to) = (own.start.max(read.start), own.end.min(read.end));
        if from < to {
            self.piece[(from - read.start) as usize..(to - read.start) as usize].fill(0);
        }
    }
}

fn count(marker: Marker, bytes: &[u8]) -> usize {
    let first = marker.byte(Marker::TAIL.start);
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
    starts.filter(|(at, _)| marker.ends_like(&bytes[*at..])).count()
}

/// The addresses of a line of the maps, if that can be written to.
fn writable(line: &str) -> Option<Range<u64>> {
    let (range, rest) = line.split_once(' ')?;
    let (from, to) = range.split_once('-').filter(|_| rest.starts_with("rw"))?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some(address(from)?..address(to)?)
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn everything_dumped(out: &mut Kept) -> io::Result<()> {
    let options = DumpOptions::new().stale_after(Duration::ZERO);
    options.write_text(out)?;
    options.write_json(out)?;
    options.write_ndjson(out)?;
    let before = dump();
    for dump in [options.take(), options.patience(Duration::from_secs(30)).take()] {
        dump.write_text(out)?;
        dump.write_ndjson(out)?;
        let diff = dump.since(&before);
        let gone = DumpDiff::from_json(&dump.to_json(), r#"{"contexts":[]}"#).expect("it is a dump");
        write!(out, "{dump}{dump:?}{:?}{}{diff}{diff:?}{}", dump.contexts(), dump.to_json(), diff.to_json())?;
        write!(out, "{gone}{gone:?}{}", gone.to_json())?;
    }
    let me = get_thread_ctx();
    write!(out, "{TOKEN:?}{me:?}{:?}{:?}", me.handle(), me.namespace("memory"))
}

/// What comes by itself.
fn everything_reported(out: &Kept) {
    let _hook = panic_hook().to(out.clone()).expect("there is room");
    panic::catch_unwind(|| panic!("expected")).unwrap_err();
    let (send, alarms) = mpsc::channel();
    let watched = watchdog(Duration::from_millis(1)).key(&TOKEN);
    let _guard = watched.to(move |alarm| drop(send.send(alarm.to_string()))).expect("there is room");
    let alarm = alarms.recv().expect("it has not moved");
    out.clone().write_all(alarm.as_bytes()).expect("memory takes everything");
}

#[test]
fn a_secret_is_nowhere_in_memory_but_where_it_was_put() {
    let (secret, visible) = (Marker { seed: 3 }, Marker { seed: 5 });
    TOKEN.set(secret.text());
    get_thread_ctx().namespace("memory").insert_secret("by name", secret.text()).unwrap();
    SHOWN.set(visible.text());
    let mut search = Search::new();
    assert_eq!((search.copies(secret), search.copies(visible)), (2, 1));
    let mut out = Kept::default();
    everything_dumped(&mut out).expect("memory takes everything");
    everything_reported(&out);
    assert!(search.copies(visible) > 20, "what is rendered is found");
    assert_eq!(search.copies(secret), 2);
}

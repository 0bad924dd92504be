//! Python's `threading.local()`: each thread is met once and welcomed back after that. And the classic mistake with it, a new
//! local made on each call, which greets everybody as a stranger for ever: what becomes of it here.
//!
//! ```text
//! cargo run --example thread_local
//! ```

use std::thread;

use threadctx::{Key, context, contexts};

const MET: &str = "Nice to meet you";
const BACK: &str = "Welcome back";

/// As it should be: one static, one value per thread.
fn greet() -> &'static str {
    static MET_BEFORE: Key<bool> = Key::new("greeting", "met").debug();

    greet_with(&MET_BEFORE)
}

/// The mistake, as far as it can be made. A key in a variable does not compile, since every call wants a key that lives for
/// ever: `let key = Key::new("greeting", "met"); key.set(true)` is refused, "`key` does not live long enough". Whoever leaks
/// one on each call, to have his way, still names the same value.
fn greet_stubbornly() -> &'static str {
    let key: &'static Key<bool> = Box::leak(Box::new(Key::new("greeting", "met")));
    greet_with(key)
}

fn greet_with(met_before: &'static Key<bool>) -> &'static str {
    match met_before.replace(true) {
        None => MET,
        Some(_) => BACK,
    }
}

/// What a thread hears that says hello three times, and what it leaves behind.
fn say_hello(greet: fn() -> &'static str) -> Vec<&'static str> {
    let thread = thread::spawn(move || {
        let heard: Vec<_> = (0..3).map(|_| greet()).collect();
        (heard, thread::current().id())
    });
    let (heard, id) = thread.join().expect("greeting does not panic");
    assert!(context(id).is_none(), "the thread is over, and so is what it kept");
    heard
}

fn main() {
    for greet in [greet, greet_stubbornly] {
        for name in ["one", "two"] {
            let heard = say_hello(greet);
            assert_eq!(heard, [MET, BACK, BACK]);
            println!("thread {name}: {}", heard.join(", "));
        }
        println!("    (each thread is met once, whoever came before)");
    }

    assert_eq!([greet(), greet_stubbornly(), greet()], [MET, BACK, BACK]);
    println!("main: a static key and leaked ones of the same name are one value");
    let dump = threadctx::dump().to_string();
    assert!(dump.contains("greeting.met = true"));
    println!("\n{dump}");
    assert_eq!(contexts().len(), 1, "main is the only thread left");
}

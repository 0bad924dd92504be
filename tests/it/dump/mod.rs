//! Promise 11: a dump cannot hurt. And what it shows, in its first form.

mod any;
mod calm;
mod diff;
mod filters;
mod group;
mod json;
mod limits;
mod patience;
mod schema;
mod secret;
mod text;

use std::time::Duration;

use serde_json::Value;
use threadctx::{Dump, DumpOptions};

/// A dump of one namespace only, since other tests' contexts are about; and with time enough on any machine.
fn of(namespace: &str) -> Dump {
    DumpOptions::new().namespace(namespace).budget(Duration::from_secs(60)).take()
}

fn parsed(dump: &Dump) -> Value {
    serde_json::from_str(&dump.to_json()).expect("it is JSON")
}

/// The value of this name, wherever it is in the dump.
fn value(dump: &Dump, name: &str) -> Value {
    let json = parsed(dump);
    let contexts = json["contexts"].as_array().unwrap();
    let mut values = contexts.iter().flat_map(|context| context["values"].as_array().unwrap());
    values.find(|value| value["name"] == name).unwrap_or_else(|| panic!("no {name} in {json}")).clone()
}

/// The text with what the system says of threads replaced, which changes from moment to moment; in a group's header left
/// out, since it is there only if it is the same for all.
fn stateless(text: &str) -> String {
    let is_state = |part: &str| ["running", "sleeping"].iter().any(|state| part.starts_with(state));
    let line = |line: &str| {
        let of_one = line.starts_with('"').then_some("<state>");
        let part = |part| if is_state(part) { of_one } else { Some(part) };
        line.split("  ").filter_map(part).collect::<Vec<_>>().join("  ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The line of this name in the text.
fn line(dump: &Dump, name: &str) -> String {
    let text = dump.to_string();
    let is_wanted = |line: &&str| line.starts_with(&format!("    {name} ")) && line.contains(" = ");
    text.lines().find(is_wanted).unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

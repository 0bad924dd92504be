//! Any two texts are read as dumps or refused: no panic, no hang.

#![no_main]

use libfuzzer_sys::fuzz_target;
use threadctx::DumpDiff;

fuzz_target!(|texts: (&str, &str)| {
    if let Ok(diff) = DumpDiff::from_json(texts.0, texts.1) {
        let _ = (diff.to_string(), diff.to_json());
    }
});

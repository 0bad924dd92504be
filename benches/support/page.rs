//! Puts what was measured into `docs/performance.md`, between the markers that name it, with machine and date.

use std::{fs, path::Path, process::Command};

/// The part between `<!-- NAME -->` and `<!-- end of NAME -->` becomes `text`.
pub(crate) fn replace(name: &str, text: &str) {
    let file = docs("performance.md");
    let page = fs::read_to_string(&file).expect("the page is there");
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = page.split_once(&begin).expect("the page has the marker");
    let (_, after) = rest.split_once(&end).expect("the page has the end marker");
    // A type's parameters are no HTML.
    let text = text.replace('<', "\\<");
    let page = format!("{before}{begin}{}\n\n{text}{end}{after}", circumstances());
    fs::write(&file, page).expect("the page can be written");
}

/// A file of the documentation.
pub(crate) fn docs(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

pub(crate) fn table(head: &[String], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = vec!["---".to_owned(); head.len()];
    let rows = rows.into_iter().map(|cells| line(&cells));
    [line(head), line(&rule)].into_iter().chain(rows).collect()
}

/// When, on what, with what.
fn circumstances() -> String {
    let dump: serde_json::Value = serde_json::from_str(&threadctx::dump().to_json()).expect("it is JSON");
    let now = dump["captured_at"].as_str().expect("a dump says when");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("*{}, {}, {cores} cores, {}*", &now[..10], processor(), compiler())
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let family = field("cpu family").zip(field("model"));
    let family =
        family.map_or_else(String::new, |(family, model)| format!(" (family {family}, model {model})"));
    field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()) + &family
}

fn compiler() -> String {
    let version = Command::new("rustc").arg("-V").output();
    version.map_or_else(
        |_| "rustc".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

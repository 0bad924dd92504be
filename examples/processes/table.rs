//! One table over all processes, out of their dumps.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::Outcome;

/// A context, as one line of the table.
#[derive(Clone)]
struct Row<'a> {
    pid: u64,
    context: &'a Value,
}

/// Gives the number of contexts, which is that of lines.
pub(crate) fn print(dumps: &[Value]) -> Outcome<usize> {
    let rows: Vec<_> = dumps.iter().map(rows).collect::<Option<Vec<_>>>().ok_or("not a dump")?.concat();
    let processes: BTreeSet<_> = rows.iter().map(|row| row.pid).collect();
    assert_eq!(processes.len(), dumps.len(), "each process has a number of its own");
    println!(
        "\n{:>8}  {:<8} {:<12} {:<10} {:>5} {:>5}",
        "process", "thread", "ident", "tenant", "items", "done"
    );
    for row in &rows {
        row.print();
    }
    println!("{} contexts in {} processes\n", rows.len(), processes.len());
    Ok(rows.len())
}

fn rows(dump: &Value) -> Option<Vec<Row<'_>>> {
    let pid = dump["process"]["pid"].as_u64()?;
    Some(dump["contexts"].as_array()?.iter().map(|context| Row { pid, context }).collect())
}

impl Row<'_> {
    fn print(&self) {
        let text = |field: &str| self.context[field].as_str().unwrap_or("-");
        let [tenant, items, done] = ["tenant", "items", "done"].map(|name| self.value(name));
        println!(
            "{:>8}  {:<8} {:<12} {tenant:<10} {items:>5} {done:>5}",
            self.pid,
            text("name"),
            text("ident")
        );
    }

    /// What the context shows under a name of the job's namespace.
    fn value(&self, name: &str) -> String {
        let mut values = self.context["values"].as_array().into_iter().flatten();
        let found = values.find(|value| value["namespace"] == "job" && value["name"] == name);
        match found.map(|value| &value["value"]) {
            None => "-".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

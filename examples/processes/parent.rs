//! Starts the pool, and puts together what comes back.

use std::{
    env,
    io::Write,
    process::{Child, Command, Stdio},
};

use crate::{
    CHILD, Outcome,
    carried::{CACHE, Carried, ITEMS, TENANT},
    child::Report,
    table,
};

const TENANTS: [(&str, u64); 3] = [("acme", 8), ("globex", 12), ("initech", 20)];

pub(crate) fn work() -> Outcome<()> {
    assert!(TENANT.inherits() && ITEMS.inherits() && !CACHE.inherits());
    CACHE.set(vec![0; 64]);
    let children = TENANTS.map(|(tenant, items)| {
        // The context at the place of the start is the one that goes along.
        TENANT.scope(tenant.to_owned(), || ITEMS.scope(items, start))
    });
    let own = serde_json::to_value(threadctx::dump())?;
    let mut dumps = vec![own];
    for (child, (tenant, items)) in children.into_iter().zip(TENANTS) {
        let report = finish(child?)?;
        assert_eq!(report.summary, format!("{items} items for {tenant}"));
        println!("a child did {}", report.summary);
        dumps.push(report.dump);
    }
    assert_eq!(TENANT.cloned(), None, "the parent itself works for nobody");
    let contexts = table::print(&dumps)?;
    assert_eq!(contexts, 1 + 2 * TENANTS.len(), "one of this process, and two of each child");
    Ok(())
}

/// A process of this program's own, with the current context on its standard input.
fn start() -> Outcome<Child> {
    let mut child = Command::new(env::current_exe()?)
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or("the child has an input")?;
    input.write_all(serde_json::to_string(&Carried::capture())?.as_bytes())?;
    Ok(child)
}

fn finish(child: Child) -> Outcome<Report> {
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("a child ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

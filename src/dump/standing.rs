//! How somebody is doing, in as few words as it takes.

use std::fmt;

use super::facts::Facts;
use crate::Ident;

/// How a context's thread or task is doing: what the system says of a thread, where it says something, and of a task
/// whether it is being polled. Only what is not in use any more says so itself.
pub(super) struct Standing {
    pub(super) is_task: bool,
    /// Of the context.
    pub(super) state: &'static str,
    pub(super) facts: Facts,
    /// The thread that polls the task.
    pub(super) carrier: Option<Ident>,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_task, state, facts, carrier } = self;
        match (*state, carrier) {
            ("running", Some(thread)) => write!(f, "on {thread}"),
            ("running", None) if *is_task => f.write_str("waiting"),
            ("running", None) => write!(f, "{}", Words(*facts)),
            (_, Some(thread)) => write!(f, "{state}  on {thread}"),
            (_, None) if *facts == Facts::default() => f.write_str(state),
            (_, None) => write!(f, "{state} ({})", Words(*facts)),
        }
    }
}

/// What the system says.
struct Words(Facts);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { run_state, cpu_us } = self.0;
        f.write_str(run_state.unwrap_or("running"))?;
        cpu_us.map_or(Ok(()), |cpu| write!(f, ", {} CPU", super::escape::Age(cpu)))
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn one_word_says_how_a_thread_or_a_task_is_doing_and_no_two_contradict_each_other() {
        let thread: Ident = std::thread::current().id().into();
        let (nothing, sleeps) =
            (Facts::default(), Facts { run_state: Some("sleeping"), cpu_us: Some(20_000) });
        for (is_task, state, facts, carrier, expected) in [
            (false, "running", sleeps, None, "sleeping, 20ms CPU".to_owned()),
            (false, "running", Facts { run_state: Some("gone"), cpu_us: None }, None, "gone".to_owned()),
            (false, "running", Facts { run_state: None, ..sleeps }, None, "running, 20ms CPU".to_owned()),
            (false, "running", nothing, None, "running".to_owned()),
            (false, "exiting", sleeps, None, "exiting (sleeping, 20ms CPU)".to_owned()),
            (false, "exited", nothing, None, "exited".to_owned()),
            (true, "running", nothing, None, "waiting".to_owned()),
            (true, "running", nothing, Some(thread), format!("on {thread}")),
            (true, "exiting", nothing, Some(thread), format!("exiting  on {thread}")),
        ] {
            assert_eq!(Standing { is_task, state, facts, carrier }.to_string(), expected);
        }
    }
}

//! Numbers that can be read.

use std::fmt;

/// A number with its digits in threes, padded as the formatter is told.
pub(crate) struct Number(pub(crate) u64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let first = (digits.len() - 1) % 3 + 1;
        let mut grouped = digits[..first].to_owned();
        for at in (first..digits.len()).step_by(3) {
            grouped.push(',');
            grouped.push_str(&digits[at..at + 3]);
        }
        f.pad_integral(true, "", &grouped)
    }
}

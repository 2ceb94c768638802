//! Reads how many tests ran out of what the test runners print. Knows their summary lines only.

use std::ops::AddAssign;

/// Who printed the summary.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Runner {
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; …`, once per test binary.
    Cargo,
    /// `Tests  1 failed | 3 passed | 1 skipped (5)`, once.
    Vitest,
}

/// How many tests passed, failed, and were left out by their own source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl Runner {
    /// What this line of the runner's output adds to the count.
    pub(crate) fn count(self, line: &str) -> Count {
        let plain = without_colours(line);
        let (opening, separator) = match self {
            Self::Cargo => ("test result:", ';'),
            Self::Vitest => ("Tests ", '|'),
        };
        let Some(summary) = plain.trim().strip_prefix(opening) else { return Count::default() };
        let summary = summary.trim_start_matches(" ok.").trim_start_matches(" FAILED.");
        let mut count = Count::default();
        for part in summary.split(separator) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => count.passed += number,
                "failed" => count.failed += number,
                "ignored" | "skipped" | "todo" => count.ignored += number,
                _ => {}
            }
        }
        count
    }
}

/// Drops `ESC [ … letter`, the only escape the runners print.
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, escape)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = escape.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        rest = rest.get(1..).unwrap_or_default();
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(runner: Runner, line: &str, passed: u64, failed: u64, ignored: u64) {
        assert_eq!(runner.count(line), Count { passed, failed, ignored }, "{line:?}");
    }

    #[test]
    fn summary_lines_are_counted_and_others_are_not() {
        let cargo = "test result: ok. 31 passed; 0 failed; 2 ignored; 0 measured; 5 filtered out";
        check(Runner::Cargo, cargo, 31, 0, 2);
        check(Runner::Cargo, "test result: FAILED. 3 passed; 2 failed; 0 ignored", 3, 2, 0);
        check(Runner::Cargo, "test result: \u{1b}[32mok\u{1b}[m. 3 passed; 0 failed;", 3, 0, 0);
        check(Runner::Cargo, "test counts ... ok", 0, 0, 0);
        check(Runner::Vitest, "      Tests  12 passed (12)", 12, 0, 0);
        check(Runner::Vitest, "      Tests  1 failed | 3 passed | 1 skipped (5)", 3, 1, 1);
        check(
            Runner::Vitest,
            "\u{1b}[2m Tests \u{1b}[22m \u{1b}[1m4 passed\u{1b}[22m (4)",
            4,
            0,
            0,
        );
        check(Runner::Vitest, " Test Files  2 passed (2)", 0, 0, 0);
    }
}

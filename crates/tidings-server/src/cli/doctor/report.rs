//! What was found, for people line by line as it is found, or for programs as one object at the
//! end.
//!
//! Takes the credential out of everything it prints. How things are found is not known here.

use std::io::{self, IsTerminal, Write};

use serde_json::{Map, Value, json};

use super::super::output::{Readers, print_line};
use super::super::style::{Style, Tone, tame};
use super::advice::{Fault, Values};
use super::proxy::{Edge, Proxy};

/// Columns of a line, where a word may be moved to the next one.
const COLUMNS: usize = 100;
/// Columns of a check's name, and of the name of what advice is for.
const CHECK_COLUMNS: usize = 15;
const PROXY_COLUMNS: usize = 11;
const CREDENTIAL: &str = "[credential]";

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    /// It works, and could be better.
    Warning(Fault),
    Fault(Fault),
    /// It could not be looked at.
    Unchecked,
}

/// One check and what it found.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    pub(super) text: String,
}

impl Finding {
    pub(super) fn good(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Good, text: text.into() }
    }

    pub(super) fn warning(check: &'static str, fault: Fault, text: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning(fault), text: text.into() }
    }

    pub(super) fn fault(check: &'static str, fault: Fault, text: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Fault(fault), text: text.into() }
    }

    pub(super) fn unchecked(check: &'static str, why: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Unchecked, text: format!("not checked: {}", why.into()) }
    }
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning(_) => "warning",
            Self::Fault(_) => "fault",
            Self::Unchecked => "unchecked",
        }
    }

    const fn mark(self) -> (&'static str, Tone) {
        match self {
            Self::Good => ("✓", Tone::Good),
            Self::Warning(_) => ("!", Tone::Warning),
            Self::Fault(_) => ("✗", Tone::Alarm),
            Self::Unchecked => ("–", Tone::Quiet),
        }
    }

    const fn what(self) -> Option<Fault> {
        match self {
            Self::Warning(fault) | Self::Fault(fault) => Some(fault),
            Self::Good | Self::Unchecked => None,
        }
    }
}

/// All that was found so far.
pub(super) struct Report {
    url: String,
    json: bool,
    style: Style,
    secrets: Vec<String>,
    /// The proxies to give advice for; all of them when there are none.
    only: Vec<Proxy>,
    pub(super) edge: Edge,
    pub(super) values: Values,
    findings: Vec<Finding>,
    /// Lines of advice that were printed already.
    advised: Vec<String>,
}

impl Report {
    pub(super) fn new(
        url: &str,
        json: bool,
        secrets: Vec<String>,
        only: Vec<Proxy>,
        values: Values,
    ) -> Self {
        let (edge, style) = (Edge::default(), Style::stdout());
        let (findings, advised) = (Vec::new(), Vec::new());
        Self { url: url.to_owned(), json, style, secrets, only, edge, values, findings, advised }
    }

    pub(super) fn begin(&self) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        self.print(&format!("Looking at {} as a client does.\n", tame(&self.url)))
    }

    /// Takes in what was found, and tells people of it.
    pub(super) fn add(&mut self, mut finding: Finding) -> io::Result<()> {
        finding.text = self.without_secrets(&finding.text);
        if !self.json {
            self.tell(&finding)?;
        }
        self.findings.push(finding);
        Ok(())
    }

    pub(super) fn faults(&self) -> usize {
        self.count("fault")
    }

    fn count(&self, verdict: &str) -> usize {
        self.findings.iter().filter(|finding| finding.verdict.name() == verdict).count()
    }

    /// The last word.
    pub(super) fn close(&self) -> io::Result<()> {
        if self.json {
            let checks: Vec<_> = self.findings.iter().map(|finding| self.object(finding)).collect();
            let report = json!({
                "url": self.url, "ok": self.faults() == 0,
                "proxy": self.edge.proxy.map(Proxy::key), "signature": self.edge.signature,
                "checks": checks,
            });
            return self.print(&report.to_string());
        }
        let counts = [("fault", "s"), ("warning", "s"), ("good", ""), ("unchecked", "")];
        let counts = counts.iter().filter_map(|(verdict, plural)| {
            let name = if *verdict == "unchecked" { "not checked" } else { verdict };
            match self.count(verdict) {
                0 => None,
                1 => Some(format!("1 {name}")),
                more => Some(format!("{more} {name}{plural}")),
            }
        });
        let counts = counts.collect::<Vec<_>>().join(", ");
        let (verdict, tone) = match (self.faults(), self.count("warning"), self.count("unchecked"))
        {
            (0, 0, 0) => ("All is well", Tone::Good),
            (0, 0, _) => ("What was checked is well", Tone::Good),
            (0, _, _) => ("It works", Tone::Warning),
            _ => ("Not all is well", Tone::Alarm),
        };
        self.print(&format!("\n{}: {counts}.", self.style.paint(tone, verdict)))
    }

    fn object(&self, finding: &Finding) -> Value {
        let mut object = Map::new();
        object.insert("check".into(), finding.check.replace(' ', "-").to_lowercase().into());
        object.insert("verdict".into(), finding.verdict.name().into());
        object.insert("text".into(), finding.text.clone().into());
        if let Some(fault) = finding.verdict.what() {
            object.insert("fault".into(), fault.name().into());
            let lines = self.advice(fault).into_iter();
            let lines = lines.map(|(whose, line)| {
                (whose.map_or("tidings", Proxy::key).to_owned(), Value::from(line))
            });
            object.insert("advice".into(), lines.collect::<Map<_, _>>().into());
        }
        object.into()
    }

    fn advice(&self, fault: Fault) -> Vec<(Option<Proxy>, String)> {
        let mut lines = fault.advice().lines(&self.values, self.edge.proxy);
        lines.retain(|(whose, _)| {
            whose.is_none_or(|proxy| self.only.is_empty() || self.only.contains(&proxy))
        });
        lines
    }

    fn tell(&mut self, finding: &Finding) -> io::Result<()> {
        let (mark, tone) = finding.verdict.mark();
        let mark = self.style.paint(tone, mark);
        let indent = 4 + CHECK_COLUMNS;
        let text = wrap(&tame(&finding.text), indent);
        let text = match finding.verdict {
            Verdict::Unchecked => self.style.paint(Tone::Quiet, text).to_string(),
            _ => text,
        };
        self.print(&format!("  {mark} {:CHECK_COLUMNS$}{text}", finding.check))?;
        let Some(fault) = finding.verdict.what() else { return Ok(()) };
        let advice = self.advice(fault);
        if !advice.is_empty() && advice.iter().all(|(_, line)| self.advised.contains(line)) {
            let line = self.style.paint(Tone::Quiet, "the same settings as above");
            return self.print(&format!("{:indent$}{line}", ""));
        }
        self.advised.extend(advice.iter().map(|(_, line)| line.clone()));
        for (whose, line) in advice {
            let name = whose.map_or("Tidings", Proxy::name);
            let line = wrap(&tame(&line), indent + PROXY_COLUMNS);
            let line = format!("{name:PROXY_COLUMNS$}{line}");
            // Where one is guessed, the others step back.
            let aside = self.edge.proxy.is_some() && whose.is_some() && whose != self.edge.proxy;
            let line = if aside { self.style.paint(Tone::Quiet, line).to_string() } else { line };
            self.print(&format!("{:indent$}{line}", ""))?;
        }
        Ok(())
    }

    fn without_secrets(&self, text: &str) -> String {
        self.secrets
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), CREDENTIAL))
    }

    /// What nobody reads any more is not a reason to fail: the exit code counts then.
    fn print(&self, text: &str) -> io::Result<()> {
        let (Readers::Listening | Readers::Gone) = print_line(&self.without_secrets(text))?;
        Ok(())
    }
}

/// Breaks a text between words; lines after the first begin at the indent.
fn wrap(text: &str, indent: usize) -> String {
    let mut wrapped = String::new();
    let mut column = indent;
    for word in text.split(' ') {
        let width = word.chars().count();
        if column > indent {
            if column + 1 + width > COLUMNS {
                wrapped.push('\n');
                wrapped.push_str(&" ".repeat(indent));
                column = indent;
            } else {
                wrapped.push(' ');
                column += 1;
            }
        }
        wrapped.push_str(word);
        column += width;
    }
    wrapped
}

/// One line on a terminal that says what is going on, and goes away.
pub(super) struct Progress {
    shown: bool,
    style: Style,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let shown = !quiet && !dumb && io::stderr().is_terminal();
        Self { shown, style: Style::stderr() }
    }

    pub(super) fn say(&self, text: &str) {
        if self.shown {
            let text = self.style.paint(Tone::Quiet, format!("  … {text}"));
            let _ = write!(io::stderr(), "\r\u{1b}[K{text}");
        }
    }

    pub(super) fn clear(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_indented() {
        let text = "word ".repeat(30);
        let wrapped = wrap(text.trim(), 10);
        assert!(wrapped.lines().all(|line| line.chars().count() <= COLUMNS), "{wrapped}");
        assert!(
            wrapped.lines().skip(1).all(|line| line.starts_with("          word")),
            "{wrapped}"
        );
        assert_eq!(wrapped.split_whitespace().count(), 30);
        assert_eq!(wrap(&"x".repeat(200), 10), "x".repeat(200));
    }
}

//! Colours and other people's text on a terminal.
//!
//! Colours only where a person looks: on a terminal, and not when `NO_COLOR` is set or the terminal
//! is `dumb`. Text from outside never reaches a terminal with its control characters: an event must
//! not be able to move the cursor or rename the window of whoever listens.

use std::ffi::OsStr;
use std::fmt;
use std::io::IsTerminal;

/// How to write to one of the standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    colours: bool,
}

/// What a text is, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Beside the point: times, states.
    Quiet,
    /// Where an event belongs.
    Topic,
    /// What kind of event it is.
    Type,
    /// All is well.
    Good,
    /// Worth a look.
    Warning,
    /// Must not be overlooked.
    Alarm,
}

impl Style {
    /// For standard output.
    pub(crate) fn stdout() -> Self {
        Self::of(&std::io::stdout())
    }

    /// For standard error.
    pub(crate) fn stderr() -> Self {
        Self::of(&std::io::stderr())
    }

    /// Without colours.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { colours: false }
    }

    fn of(stream: &impl IsTerminal) -> Self {
        let variable = |name| std::env::var_os(name);
        let refused = refuses_colours(variable("NO_COLOR").as_deref(), variable("TERM").as_deref());
        Self { colours: stream.is_terminal() && !refused }
    }

    /// The text in the colour of its tone, if there are colours.
    pub(crate) fn paint<T: fmt::Display>(self, tone: Tone, text: T) -> Painted<T> {
        Painted { code: self.colours.then(|| tone.code()), text }
    }
}

fn refuses_colours(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_some_and(|value| !value.is_empty()) || term.is_some_and(|value| value == "dumb")
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Quiet => "2",
            Self::Topic => "36",
            Self::Type => "35",
            Self::Good => "32",
            Self::Warning => "33",
            Self::Alarm => "1;31",
        }
    }
}

/// A text and its colour.
pub(crate) struct Painted<T> {
    code: Option<&'static str>,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "\u{1b}[{code}m{}\u{1b}[0m", self.text),
            None => self.text.fmt(f),
        }
    }
}

/// Text from outside, fit for a terminal: control characters are written as escapes, and lines
/// after the first are indented.
pub(crate) fn tame(text: &str) -> String {
    let mut tamed = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => tamed.push_str("\n    "),
            '\t' => tamed.push('\t'),
            control if control.is_control() => tamed.extend(control.escape_default()),
            // Invisible marks that turn the direction of what follows.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                tamed.extend(char.escape_default());
            }
            other => tamed.push(other),
        }
    }
    tamed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_refused_by_no_color_and_dumb_terminals() {
        let rows = [
            (None, None, false),
            (None, Some("xterm"), false),
            (Some(""), Some("xterm"), false),
            (Some("1"), Some("xterm"), true),
            (None, Some("dumb"), true),
        ];
        for (no_color, term, expected) in rows {
            let found = refuses_colours(no_color.map(OsStr::new), term.map(OsStr::new));
            assert_eq!(found, expected, "NO_COLOR={no_color:?} TERM={term:?}");
        }
    }

    #[test]
    fn text_is_painted_only_with_colours() {
        let plain = Style { colours: false }.paint(Tone::Alarm, "gap").to_string();
        let painted = Style { colours: true }.paint(Tone::Alarm, "gap").to_string();
        assert_eq!((plain.as_str(), painted.as_str()), ("gap", "\u{1b}[1;31mgap\u{1b}[0m"));
    }

    #[test]
    fn a_tamed_text_cannot_steer_a_terminal() {
        let hostile = "a\u{1b}]0;owned\u{7}b\rc\nd\te\u{9b}31mf\u{202e}g";
        assert_eq!(tame(hostile), "a\\u{1b}]0;owned\\u{7}b\\rc\n    d\te\\u{9b}31mf\\u{202e}g");
    }
}

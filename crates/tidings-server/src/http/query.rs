//! What a subscriber asks for, read from the query and the headers: topics, types, where to start.
//!
//! Whether it may have it is decided by whoever holds the grant.

use std::borrow::Cow;

use http::HeaderMap;
use percent_encoding::percent_decode_str;
use tidings_hub::{Cursor, EventType, Pattern, Selection, Start, Topic};

use super::problem::Problem;

/// Events a subscriber may ask to be rewound by, by count.
const REWIND_EVENTS_MAX: usize = 100_000;
/// Event types one subscriber may name.
const TYPES_MAX: usize = 100;

/// The query of the two subscriber endpoints, each parameter checked for shape.
#[derive(Debug, Default)]
pub(crate) struct SubscriberQuery<'a> {
    pub(crate) topics: Vec<Pattern>,
    pub(crate) types: Vec<EventType>,
    pub(crate) token: Option<Cow<'a, str>>,
    pub(crate) wait_secs: u64,
    pub(crate) limit: Option<usize>,
    cursor: Option<Cow<'a, str>>,
    rewind: Option<Start>,
}

/// How long a long poll may wait.
const WAIT_SECS_MAX: u64 = 30;
/// Events in one polling answer, and what else there may be in one answer.
const LIMIT_MAX: usize = 1000;
/// What there is in one answer to an operator who does not say.
const LIMIT_DEFAULT: u64 = 100;

impl<'a> SubscriberQuery<'a> {
    pub(crate) fn parse(query: &'a str) -> Result<Self, Problem> {
        // What is no UTF-8 would be read as U+FFFD: as another topic than the one that was meant.
        if percent_decode_str(query).decode_utf8().is_err() {
            return Err(Problem::invalid_query("The query is not UTF-8, percent-encoded."));
        }
        let mut parsed = Self::default();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let name = match &*name {
                // One parameter under three names.
                "cursor" | "since" => "lastEventId",
                name => name,
            };
            match name {
                "topic" => parsed.topics.push(pattern(&value)?),
                "types" => parsed.add_types(&value)?,
                "token" | "lastEventId" | "rewind" | "wait" | "limit" => {
                    if seen.iter().any(|seen| seen == name) {
                        return Err(Problem::invalid_query(format!(
                            "'{name}' (or another name for it) may be given once."
                        )));
                    }
                    seen.push(name.to_owned());
                    parsed.set(name, value)?;
                }
                "topics" => {
                    return Err(Problem::invalid_query(
                        "There is no 'topics'; repeat 'topic' for each topic or pattern.",
                    ));
                }
                // Others may be there for a proxy's or a browser's sake.
                _ => {}
            }
        }
        Ok(parsed)
    }

    fn set(&mut self, name: &str, value: Cow<'a, str>) -> Result<(), Problem> {
        match name {
            "token" => self.token = Some(value),
            // An empty one is a template's way of saying that there is none yet.
            "lastEventId" => self.cursor = (!value.is_empty()).then_some(value),
            "rewind" => self.rewind = Some(rewind(&value)?),
            "wait" => self.wait_secs = number("wait", &value, 0, WAIT_SECS_MAX)?,
            "limit" => {
                let limit = number("limit", &value, 1, LIMIT_MAX as u64)?;
                self.limit = usize::try_from(limit).ok();
            }
            _ => unreachable!("the caller names one of the five"),
        }
        Ok(())
    }

    fn add_types(&mut self, value: &str) -> Result<(), Problem> {
        for name in value.split(',') {
            let event_type = EventType::new(name).map_err(|error| {
                Problem::invalid_query(format!("'types' is a comma list of event types: {error}."))
            })?;
            self.types.push(event_type);
        }
        if self.types.len() > TYPES_MAX {
            return Err(Problem::invalid_query(format!(
                "'types' may name at most {TYPES_MAX} event types."
            )));
        }
        Ok(())
    }

    /// Where to start: the header, which a browser that reconnects keeps fresh, before the query,
    /// which it repeats.
    pub(crate) fn start(&self, headers: &HeaderMap) -> Result<Start, Problem> {
        let mut in_header = headers.get_all("last-event-id").iter();
        let header = in_header.next().filter(|value| !value.is_empty());
        if in_header.next().is_some() {
            return Err(Problem::invalid_cursor("There is more than one Last-Event-ID header."));
        }
        let offered = match header {
            Some(value) => Some(value.to_str().map_err(|_| {
                Problem::invalid_cursor("Last-Event-ID is not a cursor: it is not plain ASCII.")
            })?),
            None => self.cursor.as_deref(),
        };
        match offered {
            Some(text) => Ok(Start::After(cursor(text)?)),
            None => Ok(self.rewind.unwrap_or(Start::Now)),
        }
    }

    /// What of the log is asked for, with these topics when the query names none.
    pub(crate) fn selection(
        &self,
        default_topics: &[Pattern],
        topics_per_subscriber_max: usize,
    ) -> Result<Selection, Problem> {
        if self.topics.len() > topics_per_subscriber_max {
            return Err(Problem::too_many_topics(format!(
                "{} topics are named; topics_per_subscriber_max is {topics_per_subscriber_max}.",
                self.topics.len()
            )));
        }
        let patterns = if self.topics.is_empty() { default_topics } else { &self.topics };
        Ok(Selection::new(patterns.iter().cloned()).of_types(self.types.iter().cloned()))
    }
}

/// The parameters of a route for operators: each at most once, and others may be there.
#[derive(Debug)]
pub(super) struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Parameters<'a> {
    pub(super) fn parse(query: &'a str) -> Result<Self, Problem> {
        if percent_decode_str(query).decode_utf8().is_err() {
            return Err(Problem::invalid_query("The query is not UTF-8, percent-encoded."));
        }
        Ok(Self(form_urlencoded::parse(query.as_bytes()).collect()))
    }

    /// The parameter of this name; an empty one counts as absent.
    pub(super) fn get(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(other, _)| other == name);
        let value = values.next().map(|(_, value)| value.as_ref());
        if values.next().is_some() {
            return Err(Problem::invalid_query(format!("'{name}' may be given once.")));
        }
        Ok(value.filter(|value| !value.is_empty()))
    }

    /// A number within bounds, or what stands for none.
    pub(super) fn number(
        &self,
        name: &str,
        default: u64,
        min: u64,
        max: u64,
    ) -> Result<u64, Problem> {
        self.get(name)?.map_or(Ok(default), |text| number(name, text, min, max))
    }

    /// How many there may be in one answer.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        let limit = self.number("limit", LIMIT_DEFAULT, 1, LIMIT_MAX as u64)?;
        Ok(usize::try_from(limit).expect("a thousand at the most"))
    }
}

fn pattern(text: &str) -> Result<Pattern, Problem> {
    if text == crate::stats::TOPIC {
        // The one of the hub's own that can be asked for.
        return Ok(Pattern::from(Topic::reserved(text).expect("a constant that is a topic")));
    }
    Pattern::new(text).map_err(|error| {
        Problem::invalid_topic(format!("{} is no topic or pattern: {error}.", quoted(text)))
    })
}

pub(crate) fn cursor(text: &str) -> Result<Cursor, Problem> {
    text.parse().map_err(|error| {
        Problem::invalid_cursor(format!("{} is no cursor: {error}.", quoted(text)))
    })
}

fn rewind(text: &str) -> Result<Start, Problem> {
    let wrong = || {
        Problem::invalid_query(format!(
            "'rewind' is a count up to {REWIND_EVENTS_MAX} (rewind=20), a duration in s, m, h or d \
             (rewind=5m) or 'all'."
        ))
    };
    if text == "all" {
        return Ok(Start::All);
    }
    let (digits, unit_ms) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1000),
        Some(b'm') => (&text[..text.len() - 1], 60_000),
        Some(b'h') => (&text[..text.len() - 1], 3_600_000),
        Some(b'd') => (&text[..text.len() - 1], 86_400_000),
        _ => (text, 0),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    if unit_ms > 0 {
        return number.checked_mul(unit_ms).map(Start::AgeMs).ok_or_else(wrong);
    }
    usize::try_from(number)
        .ok()
        .filter(|&count| count <= REWIND_EVENTS_MAX)
        .map(Start::Events)
        .ok_or_else(wrong)
}

fn number(name: &str, text: &str, min: u64, max: u64) -> Result<u64, Problem> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| Problem::invalid_query(format!("'{name}' is a number from {min} to {max}.")))
}

/// A text from outside, safe to show in a sentence: short, and without anything that breaks lines.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    let mut shown: String =
        text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    format!("'{shown}'")
}

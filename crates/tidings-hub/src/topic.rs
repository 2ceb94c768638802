//! The names events are published to, and the patterns subscribers ask with.
//!
//! Matching is by whole segments and nothing else: no regular expression, no prefix test, no
//! concatenated key, so a user id with odd characters stays one literal segment. What may be
//! subscribed to by whom is not decided here.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Bytes in a topic or pattern.
pub const TOPIC_BYTES_MAX: usize = 256;
/// Bytes in one segment.
pub const SEGMENT_BYTES_MAX: usize = 64;
/// Segments in a topic or pattern.
pub const SEGMENTS_MAX: usize = 8;

/// The name an event is published to: `/`-separated segments, as in `orders/42`.
///
/// 1 to 256 bytes of UTF-8 in at most 8 segments of 1 to 64 bytes. No control characters, no `*`,
/// no `,` (topics are joined by commas on the stream) and no leading `$` (the hub's own). Cloning
/// shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

impl Topic {
    /// Checks a name from outside.
    pub fn new(name: &str) -> Result<Self, TopicError> {
        if name.starts_with('$') {
            return Err(TopicError::Reserved);
        }
        Self::reserved(name)
    }

    /// A topic that may begin with `$`: for the hub's own use, never for names from outside.
    pub fn reserved(name: &str) -> Result<Self, TopicError> {
        check_size(name)?;
        for segment in name.split('/') {
            check_segment(segment)?;
            if segment.contains('*') {
                return Err(TopicError::Wildcard);
            }
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is one of the hub's own, which begin with `$`.
    pub fn is_own(&self) -> bool {
        self.0.starts_with('$')
    }

    /// The segments, first to last.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(name: &str) -> Result<Self, TopicError> {
        Self::new(name)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({})", self.0)
    }
}

/// One place in a [`Pattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternSegment<'a> {
    /// This segment and no other.
    Literal(&'a str),
    /// Any one segment (`*`).
    One,
    /// One or more segments to the end (`**`, only last).
    Rest,
}

/// A topic with wildcards: `*` for one whole segment, a final `**` for one or more.
///
/// A pattern without wildcards is a topic and matches that topic alone. Wildcards never match the
/// hub's own topics, those that begin with `$`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    text: Arc<str>,
    literal: bool,
}

impl Pattern {
    /// Checks a pattern from outside.
    pub fn new(text: &str) -> Result<Self, TopicError> {
        if text.starts_with('$') {
            return Err(TopicError::Reserved);
        }
        check_size(text)?;
        let mut literal = true;
        let mut segments = text.split('/').peekable();
        while let Some(segment) = segments.next() {
            check_segment(segment)?;
            match segment {
                "*" => literal = false,
                "**" if segments.peek().is_none() => literal = false,
                "**" => return Err(TopicError::RestNotLast),
                other if other.contains('*') => return Err(TopicError::PartWildcard),
                _ => {}
            }
        }
        Ok(Self { text: text.into(), literal })
    }

    /// The pattern that matches every topic but the hub's own.
    pub fn everything() -> Self {
        Self { text: "**".into(), literal: false }
    }

    /// The text, as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The one topic this pattern matches, when it has no wildcard.
    pub fn as_topic(&self) -> Option<Topic> {
        self.literal.then(|| Topic(Arc::clone(&self.text)))
    }

    /// Whether it is one of the hub's own topics, which begin with `$`.
    pub fn is_own(&self) -> bool {
        self.text.starts_with('$')
    }

    /// Whether this pattern has no wildcard.
    pub fn is_literal(&self) -> bool {
        self.literal
    }

    /// The segments, first to last.
    pub fn segments(&self) -> impl Iterator<Item = PatternSegment<'_>> {
        self.text.split('/').map(|segment| match segment {
            "*" => PatternSegment::One,
            "**" => PatternSegment::Rest,
            other => PatternSegment::Literal(other),
        })
    }

    /// Whether this pattern matches the topic.
    pub fn matches(&self, topic: &Topic) -> bool {
        if self.literal {
            return self.text == topic.0;
        }
        let mut names = topic.segments().peekable();
        for (index, segment) in self.segments().enumerate() {
            let Some(name) = names.next() else { return false };
            let hub_own = index == 0 && name.starts_with('$');
            match segment {
                PatternSegment::Literal(literal) if literal == name => {}
                PatternSegment::One if !hub_own => {}
                PatternSegment::Rest => return !hub_own,
                PatternSegment::Literal(_) | PatternSegment::One => return false,
            }
        }
        names.peek().is_none()
    }

    /// Whether every topic that `other` matches is matched by this pattern too: what a grant of
    /// this pattern allows to be asked for.
    pub fn covers(&self, other: &Pattern) -> bool {
        if other.text.starts_with('$') && self.text.starts_with('*') {
            return false;
        }
        let mut wider = self.segments();
        let mut narrower = other.segments();
        loop {
            match (wider.next(), narrower.next()) {
                (None, None) | (Some(PatternSegment::Rest), Some(_)) => return true,
                (Some(PatternSegment::One), Some(segment)) if segment != PatternSegment::Rest => {}
                (Some(PatternSegment::Literal(a)), Some(PatternSegment::Literal(b))) if a == b => {}
                _ => return false,
            }
        }
    }
}

impl From<Topic> for Pattern {
    fn from(topic: Topic) -> Self {
        Self { text: topic.0, literal: true }
    }
}

impl FromStr for Pattern {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        Self::new(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.text)
    }
}

fn check_size(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > TOPIC_BYTES_MAX {
        return Err(TopicError::TooLong);
    }
    if text.split('/').count() > SEGMENTS_MAX {
        return Err(TopicError::TooManySegments);
    }
    Ok(())
}

fn check_segment(segment: &str) -> Result<(), TopicError> {
    if segment.is_empty() {
        return Err(TopicError::EmptySegment);
    }
    if segment.len() > SEGMENT_BYTES_MAX {
        return Err(TopicError::SegmentTooLong);
    }
    if segment.chars().any(char::is_control) {
        return Err(TopicError::Control);
    }
    if segment.contains(',') {
        return Err(TopicError::Comma);
    }
    Ok(())
}

/// Why a text is not a topic or a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Nothing at all.
    #[error("a topic must not be empty")]
    Empty,
    /// More than [`TOPIC_BYTES_MAX`].
    #[error("a topic is at most {TOPIC_BYTES_MAX} bytes long")]
    TooLong,
    /// More than [`SEGMENTS_MAX`].
    #[error("a topic has at most {SEGMENTS_MAX} segments")]
    TooManySegments,
    /// A leading, trailing or doubled `/`.
    #[error("a topic's segments must not be empty: no leading, trailing or doubled '/'")]
    EmptySegment,
    /// More than [`SEGMENT_BYTES_MAX`].
    #[error("a topic's segment is at most {SEGMENT_BYTES_MAX} bytes long")]
    SegmentTooLong,
    /// A control character.
    #[error("a topic must not contain control characters")]
    Control,
    /// A comma, which joins topics on the stream.
    #[error("a topic must not contain ','")]
    Comma,
    /// A leading `$`.
    #[error("a topic that begins with '$' is kept for the hub's own")]
    Reserved,
    /// A `*` where only a topic will do.
    #[error("a topic must not contain '*'; wildcards are for patterns")]
    Wildcard,
    /// A `**` before the end of a pattern.
    #[error("'**' may only be a pattern's last segment")]
    RestNotLast,
    /// A `*` beside other characters in one segment.
    #[error("a wildcard stands for a whole segment: '*' or a final '**'")]
    PartWildcard,
}

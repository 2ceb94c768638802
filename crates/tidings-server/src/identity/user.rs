//! A user's id, and the one literal topic segment it becomes.
//!
//! The segment is the id percent-encoded (RFC 3986: all but the unreserved characters), so that an
//! id can neither end its segment, nor be a wildcard, nor look like another user's.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tidings_hub::{SEGMENT_BYTES_MAX, Topic};

/// What is encoded: everything but `A-Z a-z 0-9 - . _ ~`.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A user of the application, by the id the application has for them. Cloning shares the texts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct User {
    id: Arc<str>,
    segment: Arc<str>,
}

impl User {
    /// Checks an id: not empty, and at most 64 bytes long once percent-encoded.
    pub fn new(id: &str) -> Result<Self, UserError> {
        if id.is_empty() {
            return Err(UserError::Empty);
        }
        // Before encoding, so that a long id costs nothing.
        if id.len() > SEGMENT_BYTES_MAX {
            return Err(UserError::TooLong);
        }
        let segment = utf8_percent_encode(id, RESERVED).to_string();
        if segment.len() > SEGMENT_BYTES_MAX {
            return Err(UserError::TooLong);
        }
        Ok(Self { id: id.into(), segment: segment.into() })
    }

    /// The id, as the application has it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The id as one topic segment.
    pub fn segment(&self) -> &str {
        &self.segment
    }

    /// The topic this user owns, `user/<segment>`.
    ///
    /// # Panics
    ///
    /// Never: an encoded id is a right segment.
    pub fn topic(&self) -> Topic {
        Topic::new(&format!("user/{}", self.segment)).expect("an encoded id is a right segment")
    }
}

/// The topic of the user with this id: `user/42`.
pub fn user_topic(id: &str) -> Result<Topic, UserError> {
    User::new(id).map(|user| user.topic())
}

/// Why a text is not a user id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// Nothing at all.
    #[error("a user id must not be empty")]
    Empty,
    /// Longer than a topic's segment once encoded.
    #[error("a user id is at most {SEGMENT_BYTES_MAX} bytes long, percent-encoded")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("42", "user/42")]
    #[case("a/b", "user/a%2Fb")]
    #[case("*", "user/%2A")]
    #[case("**", "user/%2A%2A")]
    #[case("$admin", "user/%24admin")]
    #[case("a,b", "user/a%2Cb")]
    #[case("a%2Fb", "user/a%252Fb")]
    #[case("{user}", "user/%7Buser%7D")]
    #[case("a\nid: 1", "user/a%0Aid%3A%201")]
    #[case("\0", "user/%00")]
    #[case("..", "user/..")]
    #[case(".", "user/.")]
    #[case("auth0|x@example.com", "user/auth0%7Cx%40example.com")]
    #[case("Zoë", "user/Zo%C3%AB")]
    #[case("-._~", "user/-._~")]
    fn owns_one_literal_segment(#[case] id: &str, #[case] topic: &str) {
        assert_eq!(user_topic(id).unwrap().as_str(), topic);
    }

    #[test]
    fn has_an_id_of_bounded_length() {
        assert!(User::new(&"a".repeat(64)).is_ok());
        assert_eq!(User::new(&"a".repeat(65)), Err(UserError::TooLong));
        assert!(User::new(&"/".repeat(21)).is_ok());
        assert_eq!(User::new(&"/".repeat(22)), Err(UserError::TooLong));
        assert_eq!(User::new(""), Err(UserError::Empty));
    }
}

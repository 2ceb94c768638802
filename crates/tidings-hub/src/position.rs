//! An event's place in the log, the lifetime of a log, and a reader's place as text.
//!
//! Positions are plain numbers that only grow; what makes one meaningful is the epoch beside it.
//! The text form is what the wire carries as `id:`, `Last-Event-ID` and `cursor`.

use std::fmt;
use std::str::FromStr;

/// Crockford's base 32 in lower case: no `i`, `l`, `o` or `u`, so an id survives being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Characters in an epoch; five bits each, so an epoch carries 40 bits.
const EPOCH_CHARS: usize = 8;

/// An event's place in the log: one number for the whole hub, growing by at least one per event.
///
/// The first event has position 1, so that [`Position::START`] can mean "before everything".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);
    /// After every event there can be.
    pub const MAX: Self = Self(u64::MAX);

    /// The position with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of this position.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The position before this one; [`Position::START`] has none and stays itself.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The lifetime of a log. A log that is lost or made anew gets a new epoch, so that a cursor from
/// before cannot be mistaken for a place in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch([u8; EPOCH_CHARS]);

impl Epoch {
    /// An epoch from the low 40 of these bits, which the caller draws at random.
    pub fn from_random(bits: u64) -> Self {
        let mut chars = [0; EPOCH_CHARS];
        for (index, char) in chars.iter_mut().enumerate() {
            let shift = 5 * (EPOCH_CHARS - 1 - index);
            *char = ALPHABET[((bits >> shift) & 31) as usize];
        }
        Self(chars)
    }

    /// The eight characters of this epoch.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an epoch is ASCII")
    }
}

impl FromStr for Epoch {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let chars: [u8; EPOCH_CHARS] =
            text.as_bytes().try_into().map_err(|_| CursorError::Epoch)?;
        if chars.iter().all(|char| ALPHABET.contains(char)) {
            Ok(Self(chars))
        } else {
            Err(CursorError::Epoch)
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({})", self.as_str())
    }
}

/// A reader's place in one lifetime of the log: everything up to and including `position` is behind
/// the reader. Text form `<epoch>-<position>`, as in `k7q2m9x1-1042`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The log's lifetime the position belongs to.
    pub epoch: Epoch,
    /// The last position that is behind the reader.
    pub position: Position,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.position)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    /// Reads the text form strictly: one spelling per cursor, so no signs and no leading zeros.
    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (epoch, position) = text.split_once('-').ok_or(CursorError::Shape)?;
        let epoch = epoch.parse()?;
        let digits = position.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || position.is_empty() || (position.len() > 1 && position.starts_with('0')) {
            return Err(CursorError::Position);
        }
        let number = position.parse().map_err(|_| CursorError::Position)?;
        Ok(Self { epoch, position: Position::new(number) })
    }
}

/// Why a text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// No `-` between the two parts.
    #[error("a cursor is an epoch and a position joined by '-', as in k7q2m9x1-1042")]
    Shape,
    /// The part before the `-` is not an epoch.
    #[error("the epoch of a cursor is 8 characters of 0-9 and a-z without i, l, o and u")]
    Epoch,
    /// The part after the `-` is not a decimal number of 64 bits without leading zeros.
    #[error("the position of a cursor is a decimal number below 2^64 without leading zeros")]
    Position,
}

//! The cookies of a request, as the text of its headers has them.
//!
//! Values are as they came: nothing is decoded. Which cookies mean something is not known here.

use std::borrow::Cow;
use std::fmt;

/// Pieces one cookie may come in.
const PIECES_MAX: usize = 10;
/// Bytes in a cookie, all its pieces together.
const COOKIE_BYTES_MAX: usize = 32_768;

/// Names and values, in the order they came in.
#[derive(Clone, Default)]
pub struct Cookies<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Cookies<'a> {
    /// Takes the values of all `Cookie` headers apart (RFC 6265, 4.2.1). HTTP/2 may have split them.
    pub fn parse(headers: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let pairs = headers.into_iter().flat_map(|header| header.split(|byte| *byte == b';'));
        let pair = |text: &'a [u8]| {
            let equals = text.iter().position(|byte| *byte == b'=')?;
            Some((text[..equals].trim_ascii(), text[equals + 1..].trim_ascii()))
        };
        Self(pairs.filter_map(pair).collect())
    }

    /// The value of the one cookie of this name. An empty one is as good as none: that is how some
    /// applications take a cookie back.
    pub fn one(&self, name: &str) -> Result<Option<&'a [u8]>, CookieError> {
        let named =
            |(other, value): &&(&[u8], &[u8])| *other == name.as_bytes() && !value.is_empty();
        let mut found = self.0.iter().filter(named).map(|(_, value)| *value);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(CookieError::Repeated),
            (value, None) => Ok(value),
        }
    }

    /// The value of a cookie that may have been too long for a browser and come in pieces: `NAME.0`,
    /// `NAME.1` and so on, all of them.
    pub(super) fn joined(&self, name: &str) -> Result<Option<Cow<'a, [u8]>>, CookieError> {
        let mut pieces: Vec<_> = self
            .0
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(other, value)| Some((piece(name, other)?, *value)))
            .collect();
        pieces.sort_by_key(|(place, _)| *place);
        if pieces.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(CookieError::Repeated);
        }
        let length: usize = pieces.iter().map(|(_, value)| value.len()).sum();
        if pieces.len() > PIECES_MAX || length > COOKIE_BYTES_MAX {
            return Err(CookieError::TooLong);
        }
        match pieces.as_slice() {
            [] => Ok(None),
            [(Piece::Whole, value)] => Ok(Some(Cow::Borrowed(value))),
            pieces if pieces.iter().enumerate().all(|(n, (place, _))| *place == Piece::Part(n)) => {
                Ok(Some(Cow::Owned(pieces.iter().flat_map(|(_, value)| *value).copied().collect())))
            }
            _ => Err(CookieError::Incomplete),
        }
    }

    /// The cookies of these names, whole and in pieces, as they came.
    pub(super) fn named(&self, names: &[&str]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let is_named = |other: &[u8]| names.iter().any(|name| piece(name, other).is_some());
        self.0.iter().copied().filter(move |(name, value)| is_named(name) && !value.is_empty())
    }
}

impl fmt::Debug for Cookies<'_> {
    /// How many there are, never what they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookies({})", self.0.len())
    }
}

/// Which part of a cookie another is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Whole,
    Part(usize),
}

fn piece(name: &str, other: &[u8]) -> Option<Piece> {
    let rest = other.strip_prefix(name.as_bytes())?;
    if rest.is_empty() {
        return Some(Piece::Whole);
    }
    let digits = std::str::from_utf8(rest.strip_prefix(b".")?).ok()?;
    let plain = digits.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
    // `.01` is another name: counting makes no such thing.
    (plain && (digits == "0" || !digits.starts_with('0')))
        .then(|| digits.parse().ok())?
        .map(Piece::Part)
}

/// Why a cookie has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CookieError {
    /// There are several, and no telling which is the right one.
    #[error("the session's cookie came more than once")]
    Repeated,
    /// A piece is missing, or there is a whole one beside the pieces.
    #[error("the session's cookie came in pieces that do not fit together")]
    Incomplete,
    /// More than a session has.
    #[error(
        "the session's cookie is longer than {COOKIE_BYTES_MAX} bytes or in more than {PIECES_MAX} pieces"
    )]
    TooLong,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("sid=a", Ok(Some("a")))]
    #[case("x=1; sid=a; y=2", Ok(Some("a")))]
    #[case("x=1;sid=a", Ok(Some("a")))]
    #[case("sid=a=b==", Ok(Some("a=b==")))]
    #[case("sid=\"a\"", Ok(Some("\"a\"")))]
    #[case("sid=a%20b", Ok(Some("a%20b")))]
    #[case("sid", Ok(None))]
    #[case("sid=", Ok(None))]
    #[case("SID=a", Ok(None))]
    #[case("xsid=a; sid2=b", Ok(None))]
    #[case("sid=a; sid=b", Err(CookieError::Repeated))]
    #[case("sid=a; sid=a", Err(CookieError::Repeated))]
    #[case("sid=; sid=a", Ok(Some("a")))]
    #[case("", Ok(None))]
    #[case("=;=;;", Ok(None))]
    fn finds_one(#[case] header: &str, #[case] expected: Result<Option<&str>, CookieError>) {
        let cookies = Cookies::parse([header.as_bytes()]);
        assert_eq!(cookies.one("sid"), expected.map(|value| value.map(str::as_bytes)));
    }

    #[rstest]
    #[case(&["sid=a"], Ok(Some("a")))]
    #[case(&["sid.0=a; sid.1=b; sid.2=c"], Ok(Some("abc")))]
    #[case(&["sid.1=b; sid.0=a"], Ok(Some("ab")))]
    #[case(&["sid.1=b", "x=y", "sid.0=a"], Ok(Some("ab")))]
    #[case(&["sid.0=a"], Ok(Some("a")))]
    #[case(&["sid.0=0; sid.1=1; sid.2=2; sid.3=3; sid.4=4; sid.5=5; sid.6=6; sid.7=7; sid.8=8; sid.9=9"], Ok(Some("0123456789")))]
    #[case(&["sid.1=b"], Err(CookieError::Incomplete))]
    #[case(&["sid.0=a; sid.2=c"], Err(CookieError::Incomplete))]
    #[case(&["sid=a; sid.0=a"], Err(CookieError::Incomplete))]
    #[case(&["sid.0=a; sid.0=b"], Err(CookieError::Repeated))]
    #[case(&["sid.0=0; sid.1=1; sid.2=2; sid.3=3; sid.4=4; sid.5=5; sid.6=6; sid.7=7; sid.8=8; sid.9=9; sid.10=x"], Err(CookieError::TooLong))]
    #[case(&["sid.00=a; sid.01=b; sid.x=c; sid.=d; sid.100=e; sid.-1=f; sid.+1=g"], Ok(None))]
    #[case(&["sid.0=a; sid.01=b"], Ok(Some("a")))]
    fn joins_pieces(#[case] headers: &[&str], #[case] expected: Result<Option<&str>, CookieError>) {
        let cookies = Cookies::parse(headers.iter().map(|header| header.as_bytes()));
        let joined = cookies.joined("sid").map(|value| value.map(Cow::into_owned));
        assert_eq!(joined, expected.map(|value| value.map(|text| text.as_bytes().to_vec())));
    }

    #[test]
    fn gives_no_more_than_is_named() {
        let cookies = Cookies::parse([b"a=1; b=2; a.0=3; ab=4; c=5".as_slice(), b"a.1=6"]);
        let named: Vec<_> = cookies.named(&["a", "c"]).map(|(name, _)| name).collect();
        assert_eq!(named, [b"a".as_slice(), b"a.0", b"c", b"a.1"]);
    }
}

//! How long the certificate is still good. Whether it is good now was decided in the handshake.
//!
//! Reads the one field of X.509 that is needed (RFC 5280, 4.1.2.5), rather than pulling in a parser
//! of all of it.

use std::time::{Duration, SystemTime};

use super::advice::Fault;
use super::report::Finding;

const CHECK: &str = "certificate";
/// Renewal happens 30 days before the end where it is automatic; later than this it has failed.
const SOON: Duration = Duration::from_hours(14 * 24);
const DAY_SECS: u64 = 24 * 60 * 60;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// What is to be said of the certificate that the handshake accepted.
pub(super) fn check(certificate: Option<&[u8]>, now: SystemTime) -> Finding {
    let Some(ends) = certificate.and_then(not_after) else {
        return Finding::unchecked(CHECK, "its end cannot be read");
    };
    let left = ends.duration_since(now).unwrap_or_default();
    let until =
        format!("until {} ({} days)", httpdate::fmt_http_date(ends), left.as_secs() / DAY_SECS);
    if left < SOON {
        return Finding::warning(
            CHECK,
            Fault::CertificateSoon,
            format!("accepted, and good only {until}"),
        );
    }
    Finding::good(CHECK, format!("accepted, and good {until}"))
}

/// The end of its validity.
fn not_after(certificate: &[u8]) -> Option<SystemTime> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest, VERSION)?.1;
    }
    // Serial number, signature algorithm and issuer.
    for _ in 0..3 {
        rest = element(rest, *rest.first()?)?.1;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_, end) = element(validity, *validity.first()?)?;
    let tag = *end.first()?;
    let (text, _) = element(end, tag)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// The content of the element at the beginning, and what comes after it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
        let length = length.iter().try_fold(0_usize, |length, byte| {
            length.checked_mul(256)?.checked_add(usize::from(*byte))
        })?;
        (length, rest)
    };
    (found == tag).then(|| rest.split_at_checked(length))?
}

/// `YYMMDDhhmmssZ` up to 2049, `YYYYMMDDhhmmssZ` from 2050.
fn time(tag: u8, text: &str) -> Option<SystemTime> {
    let text = match tag {
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let text = text.strip_suffix('Z').filter(|text| text.len() == 14)?;
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let secs = number(8, 10)? * 3600 + number(10, 12)? * 60 + number(12, 14)?;
    // Days since 1970 in the proleptic Gregorian calendar, counting years from March.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    Some(
        SystemTime::UNIX_EPOCH
            + Duration::from_secs((days.checked_sub(719_469)?) * DAY_SECS + secs),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::super::report::Verdict;
    use super::*;

    fn certificate(year: i32, month: u8, day: u8) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["live.example.com".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, month, day);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read() {
        for (year, month, day, expected) in [
            (2027, 3, 1, "Mon, 01 Mar 2027 00:00:00 GMT"),
            (2028, 2, 29, "Tue, 29 Feb 2028 00:00:00 GMT"),
            (2049, 12, 31, "Fri, 31 Dec 2049 00:00:00 GMT"),
            (2050, 1, 1, "Sat, 01 Jan 2050 00:00:00 GMT"),
            (2100, 3, 1, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            let ends = not_after(&certificate(year, month, day)).unwrap();
            assert_eq!(httpdate::fmt_http_date(ends), expected);
        }
    }

    #[test]
    fn an_end_that_is_near_is_a_warning_and_bytes_that_are_no_certificate_are_not_judged() {
        let certificate = certificate(2027, 3, 1);
        let ends = not_after(&certificate).unwrap();
        for (days, expected) in
            [(20, Verdict::Good), (13, Verdict::Warning(Fault::CertificateSoon))]
        {
            let now = ends - Duration::from_secs(days * DAY_SECS);
            assert_eq!(check(Some(&certificate), now).verdict, expected, "{days}");
        }
        for end in [0, 1, 2, 10, certificate.len() / 2] {
            assert_eq!(check(certificate.get(..end), ends).verdict, Verdict::Unchecked);
        }
    }
}

//! Whether the clocks agree: tokens have times in them, and are refused when those are off.

use std::time::Duration;

use super::advice::Fault;
use super::answer::{Answer, Page};
use super::report::Finding;

const CHECK: &str = "clock";
/// From here on tokens are in danger: `nbf` and `iat` have a minute, other verifiers have less.
const APART_MAX: Duration = Duration::from_secs(5);
/// The `Date` header has whole seconds.
const DATE_GRAIN_MS: i64 = 1000;

/// Compares this machine's clock with the server's and the edge's at the time of an answer.
pub(super) fn check(answer: &Answer, page: Option<&Page>) -> Finding {
    let uncertain_ms = i64::try_from(answer.took.as_millis() / 2).unwrap_or(i64::MAX);
    let here_ms = i64::try_from(answer.middle_ms).unwrap_or(i64::MAX);
    let ahead_ms = |there_ms: i64| there_ms.saturating_sub(here_ms);
    let server = page.map(|page| ahead_ms(i64::try_from(page.timestamp).unwrap_or(i64::MAX)));
    let edge = answer.head.text("date").and_then(|date| httpdate::parse_http_date(date).ok());
    let edge = edge.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok());
    let edge = edge.map(|date| {
        ahead_ms(i64::try_from(date.as_millis()).unwrap_or(i64::MAX) + DATE_GRAIN_MS / 2)
    });
    let (whose, ahead_ms, uncertain_ms) = match (server, edge) {
        (Some(server), _) => ("Tidings'", server, uncertain_ms),
        (None, Some(edge)) => ("the edge's (its Date)", edge, uncertain_ms + DATE_GRAIN_MS / 2),
        (None, None) => return Finding::unchecked(CHECK, "no answer has a time in it"),
    };
    let surely_ms = ahead_ms.abs().saturating_sub(uncertain_ms).max(0);
    let apart = Duration::from_millis(ahead_ms.unsigned_abs());
    let direction = if ahead_ms < 0 { "behind" } else { "ahead of" };
    if Duration::from_millis(surely_ms.unsigned_abs()) <= APART_MAX {
        return Finding::good(
            CHECK,
            format!("{whose} and this machine's agree to {}", about(apart)),
        );
    }
    let edge = match (server, edge) {
        (Some(_), Some(edge)) if edge.abs() <= 5000 => "; the edge's agrees with this machine's",
        (Some(server), Some(edge)) if (edge - server).abs() <= 5000 => {
            "; the edge's agrees with it"
        }
        _ => "",
    };
    let text = format!("{whose} is {:.1} s {direction} this machine's{edge}", apart.as_secs_f64());
    Finding::fault(CHECK, Fault::Clock, text)
}

fn about(apart: Duration) -> String {
    if apart < Duration::from_secs(1) {
        format!("{} ms", apart.as_millis())
    } else {
        format!("{:.1} s", apart.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode, Version};

    use super::super::answer::Head;
    use super::super::report::Verdict;
    use super::*;

    #[test]
    fn a_clock_is_wrong_only_when_the_time_of_the_request_cannot_explain_it() {
        const NOW_MS: u64 = 1_795_458_000_000;
        let rows = [
            (0_i64, 10, Verdict::Good, "0 ms"),
            (4900, 10, Verdict::Good, "4.9 s"),
            (-4900, 10, Verdict::Good, "4.9 s"),
            (6000, 10, Verdict::Fault(Fault::Clock), "6.0 s ahead of"),
            (-6000, 10, Verdict::Fault(Fault::Clock), "6.0 s behind"),
            (6000, 4000, Verdict::Good, "6.0 s"),
        ];
        for (ahead_ms, took_ms, expected, says) in rows {
            let mut headers = HeaderMap::new();
            headers.insert("date", HeaderValue::from_static("Tue, 24 Nov 2026 18:20:00 GMT"));
            let (status, version) = (StatusCode::OK, Version::HTTP_11);
            let answer = Answer {
                head: Head { status, version, headers, certificate: None },
                body: Vec::new().into(),
                took: Duration::from_millis(took_ms),
                middle_ms: NOW_MS,
            };
            let page = Page {
                cursor: String::new(),
                resumed: false,
                timestamp: NOW_MS.checked_add_signed(ahead_ms).unwrap(),
                user: None,
                events: Vec::new(),
            };
            let finding = check(&answer, Some(&page));
            assert_eq!(finding.verdict, expected, "{ahead_ms}: {}", finding.text);
            assert!(finding.text.contains(says), "{ahead_ms}: {}", finding.text);
        }
    }
}

//! Whether a page of another origin may call: the preflight that its browser sends first, and the
//! answer that it then looks at.
//!
//! By the Fetch standard: exactly one `Access-Control-Allow-Origin` that is the origin itself, and
//! `Access-Control-Allow-Credentials: true`.

use super::advice::Fault;
use super::answer::Head;
use super::report::Finding;
use super::target::Target;

const PREFLIGHT: &str = "CORS preflight";
const ANSWER: &str = "CORS";
/// What clients send that needs to be allowed.
const HEADERS: [&str; 3] = ["authorization", "cache-control", "last-event-id"];

/// Asks as a browser does before the request.
pub(super) async fn preflight(target: &Target) -> Finding {
    let Some(origin) = &target.origin else {
        return Finding::unchecked(PREFLIGHT, "give --origin, if pages of another origin call");
    };
    let answer = match target.preflight(&HEADERS.join(",")).await {
        Ok(answer) => answer,
        Err(broken) => return Finding::fault(PREFLIGHT, Fault::CorsPreflight, broken.to_string()),
    };
    let head = &answer.head;
    if !head.status.is_success() {
        let text =
            format!("something answers OPTIONS with {}: browsers give up", answer.describe());
        return Finding::fault(PREFLIGHT, Fault::CorsPreflight, text);
    }
    if let Some((fault, text)) = wrong(head, origin) {
        return Finding::fault(PREFLIGHT, fault, text);
    }
    let allowed = head.joined("access-control-allow-headers");
    let allowed: Vec<_> = allowed.split(',').map(str::trim).collect();
    let missing: Vec<_> = HEADERS.into_iter().filter(|name| !allowed.contains(name)).collect();
    if !missing.is_empty() {
        let text = format!("these headers are not allowed: {}", missing.join(", "));
        return Finding::fault(PREFLIGHT, Fault::CorsHeaders, text);
    }
    Finding::good(PREFLIGHT, format!("{origin} may send what clients send, with credentials"))
}

/// Looks at answers to requests of the origin's.
pub(super) fn answers<'a>(
    target: &Target,
    answers: impl IntoIterator<Item = (&'static str, &'a Head)>,
) -> Option<Finding> {
    let origin = target.origin.as_ref()?;
    for (what, head) in answers {
        if let Some((fault, text)) = wrong(head, origin) {
            return Some(Finding::fault(ANSWER, fault, format!("{what}: {text}")));
        }
    }
    Some(Finding::good(ANSWER, format!("{origin} may read the answers")))
}

/// What a browser would not accept.
fn wrong(head: &Head, origin: &str) -> Option<(Fault, String)> {
    let origins = head.headers.get_all("access-control-allow-origin").iter();
    let origins: Vec<_> = origins.filter_map(|value| value.to_str().ok()).collect();
    let credentials = head.joined("access-control-allow-credentials");
    match origins[..] {
        [] => {
            let text = format!("Access-Control-Allow-Origin is not there for {origin}");
            return Some((Fault::CorsOrigin, text));
        }
        [one] if one == origin => {}
        [one] => {
            let text = format!("Access-Control-Allow-Origin is {one:?} and must be {origin:?}");
            return Some((Fault::CorsTwice, text));
        }
        _ => {
            let count = origins.len();
            let text =
                format!("Access-Control-Allow-Origin is there {count} times; browsers refuse that");
            return Some((Fault::CorsTwice, text));
        }
    }
    (credentials != "true").then(|| {
        let text =
            format!("Access-Control-Allow-Credentials is {credentials:?} and must be \"true\"");
        (Fault::CorsHeaders, text)
    })
}

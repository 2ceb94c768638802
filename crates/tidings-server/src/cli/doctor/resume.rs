//! Whether a reader that comes back is known again: the cursor in the header, as browsers send it
//! by themselves, and in the query, as a page that makes a new `EventSource` does.

use super::Doctor;
use super::advice::Fault;
use super::answer::Page;
use super::opening::{Opened, open, reason};
use super::report::Finding;
use super::stream::NotOpened;
use super::target::Show;

const HEADER: &str = "Last-Event-ID";
const QUERY: &str = "query";

/// Comes back with the cursor of an earlier answer in the header.
pub(super) async fn header(
    doctor: &Doctor,
    topic: Option<&str>,
    page: &Page,
    first: &Opened,
) -> Finding {
    let query: Vec<_> = topic.iter().map(|topic| ("topic", *topic)).collect();
    let headers = [("last-event-id", page.cursor.as_str())];
    match open(doctor, &query, &headers, doctor.show).await {
        Ok(opened) if opened.connected.connection == first.connected.connection => {
            let text = "two streams are one and the same connection: a cache answers in the place \
                        of Tidings";
            Finding::fault(HEADER, Fault::Cached, text)
        }
        Ok(opened) => judge(HEADER, Fault::LastEventIdStripped, page, &opened),
        Err((_, why)) => not_opened(HEADER, &why),
    }
}

/// Comes back with it in the query; a token goes there too, as browsers must.
pub(super) async fn query(doctor: &Doctor, topic: Option<&str>, page: &Page) -> Finding {
    let mut query: Vec<_> = topic.iter().map(|topic| ("topic", *topic)).collect();
    query.push(("lastEventId", &page.cursor));
    let show = if doctor.target.has_token() { Show::Query } else { doctor.show };
    match open(doctor, &query, &[], show).await {
        Ok(opened) => judge(QUERY, Fault::QueryStripped, page, &opened),
        Err((_, NotOpened::Refused(answer)))
            if show == Show::Query
                && answer.refusal().is_some_and(|refusal| refusal.code == "unauthenticated") =>
        {
            let text = "a token in the query does not arrive: the query is taken away on its way";
            Finding::fault(QUERY, Fault::QueryStripped, text)
        }
        Err((_, why)) => not_opened(QUERY, &why),
    }
}

/// Whether the stream and the poll before it were answered from one log.
pub(super) fn one_log(page: &Page, opened: &Opened) -> Option<Finding> {
    let epoch = |cursor: &str| cursor.split('-').next().unwrap_or_default().to_owned();
    let (before, now) = (epoch(&page.cursor), epoch(&opened.connected.cursor));
    (before != now).then(|| {
        let text = format!(
            "the log was {before} a moment ago and is {now} now: requests reach different servers, \
             or it was restarted"
        );
        Finding::fault("one log", Fault::TwoLogs, text)
    })
}

fn judge(check: &'static str, fault: Fault, page: &Page, opened: &Opened) -> Finding {
    if let Some(finding) = one_log(page, opened) {
        return finding;
    }
    if opened.connected.resumed {
        let with = if check == QUERY { "lastEventId in the query" } else { "the header" };
        return Finding::good(
            check,
            format!("{with} arrives: a reader that comes back is resumed"),
        );
    }
    let text =
        "it does not arrive: a reader that comes back is not resumed, and misses what came between";
    Finding::fault(check, fault, text)
}

/// What it takes to come back is not known when streams do not begin; the first byte has told why.
fn not_opened(check: &'static str, why: &NotOpened) -> Finding {
    let (fault, text) = reason(why);
    match why {
        NotOpened::Broken(_) | NotOpened::Unreadable => Finding::fault(check, fault, text),
        _ => Finding::unchecked(check, text),
    }
}

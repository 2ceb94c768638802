//! What somebody is told: as JSON for programs, as a text for chat rooms and for mail.
//!
//! Nothing in it comes from a request: names are ours or the operator's own.

use serde_json::{Value, json};
use tidings_hub::Moment;

use super::rules::{Change, News};
use crate::clock::rfc_3339;

/// One thing to tell, the same for every target and every attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Its own: a target that is told twice can know it by this.
    pub(super) id: String,
    /// What the node is called.
    pub(super) node: String,
    pub(super) unix_ms: u64,
    pub(super) about: About,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A number.
    Number(Change),
    /// Nothing: somebody wants to know whether it arrives.
    Test,
}

impl Notice {
    /// Of a change that was seen now. `number` is a random one.
    pub(super) fn of(change: Change, now: Moment, node: &str, number: u128) -> Self {
        Self::new(About::Number(change), now.unix_ms, node, number)
    }

    /// One that says nothing but that it has arrived.
    pub(super) fn test(unix_ms: u64, node: &str, number: u128) -> Self {
        Self::new(About::Test, unix_ms, node, number)
    }

    fn new(about: About, unix_ms: u64, node: &str, number: u128) -> Self {
        Self { id: format!("{number:032x}"), node: node.to_owned(), unix_ms, about }
    }

    /// What has happened to the number.
    pub(super) fn state(&self) -> &'static str {
        match &self.about {
            About::Number(change) => match change.news {
                News::Raised => "raised",
                News::StillRaised => "still-raised",
                News::Recovered => "recovered",
            },
            About::Test => "test",
        }
    }

    /// One sentence.
    pub(super) fn text(&self) -> String {
        let About::Number(change) = &self.about else {
            return format!("{}: this is a test alert; all is well", self.node);
        };
        let (words, value, threshold) = (change.measure.words(), change.value, change.threshold);
        let verdict = match change.news {
            News::Raised => "more than",
            News::StillRaised => "still more than",
            News::Recovered => "well below",
        };
        let end = if change.news == News::Recovered { " again" } else { "" };
        format!("{}: {words}: {value}, {verdict} {threshold}{end}", self.node)
    }

    /// The sentence, and since when.
    pub(super) fn lines(&self) -> String {
        let (text, time, id) = (self.text(), rfc_3339(self.unix_ms), &self.id);
        let about = match &self.about {
            About::Number(change) => format!(
                "over the threshold since {}\nsetting alerts.{}_max\n",
                rfc_3339(change.since.unix_ms),
                change.measure.name()
            ),
            About::Test => String::new(),
        };
        format!("{text}\n\nat {time}\n{about}alert {id}\n")
    }

    /// All there is to know.
    pub(super) fn json(&self) -> Value {
        let mut json = json!({
            "id": self.id,
            "state": self.state(),
            "node": self.node,
            "time": rfc_3339(self.unix_ms),
            "text": self.text(),
        });
        if let About::Number(change) = &self.about {
            json["measure"] = change.measure.name().into();
            json["value"] = change.value.into();
            json["threshold"] = change.threshold.into();
            json["since"] = rfc_3339(change.since.unix_ms).into();
        }
        json
    }

    /// As Slack's incoming webhooks take it, and what is made like them. `text` is all that most of
    /// those others show; Slack shows the block, in which nothing is markup.
    pub(super) fn slack(&self) -> Value {
        let sign = match self.state() {
            "raised" | "still-raised" => ":warning: ",
            "recovered" => ":white_check_mark: ",
            _ => "",
        };
        let text = self.text();
        // The three characters that Slack has a meaning for.
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        json!({
            "text": format!("{sign}{escaped}"),
            "blocks": [{
                "type": "section",
                "text": { "type": "plain_text", "text": format!("{sign}{text}"), "emoji": true },
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::measure::Measure;
    use super::*;

    const NOW: Moment = Moment { unix_ms: 1_795_428_060_000, uptime_ms: 90_000 };

    const SINCE: Moment = Moment { unix_ms: 1_795_428_000_000, uptime_ms: 30_000 };

    fn notice(news: News) -> Notice {
        let measure = Measure::Connections;
        let change = Change { measure, news, value: 3, threshold: 2, since: SINCE };
        Notice::of(change, NOW, "edge <1>", 7)
    }

    #[rstest]
    #[case(News::Raised, "raised", "edge <1>: open streams: 3, more than 2")]
    #[case(News::StillRaised, "still-raised", "edge <1>: open streams: 3, still more than 2")]
    #[case(News::Recovered, "recovered", "edge <1>: open streams: 3, well below 2 again")]
    fn says_the_same_to_programs_and_to_people(
        #[case] news: News,
        #[case] state: &str,
        #[case] text: &str,
    ) {
        let notice = notice(news);
        let expected = json!({
            "id": "00000000000000000000000000000007",
            "state": state,
            "node": "edge <1>",
            "time": "2026-11-23T10:01:00.000Z",
            "since": "2026-11-23T10:00:00.000Z",
            "text": text,
            "measure": "connections",
            "value": 3,
            "threshold": 2,
        });
        assert_eq!(notice.json(), expected);
        assert!(notice.lines().starts_with(text), "{}", notice.lines());
        let slack = notice.slack();
        assert!(slack["text"].as_str().unwrap().contains("edge &lt;1&gt;: open streams: 3"));
        assert!(slack["blocks"][0]["text"]["text"].as_str().unwrap().contains(text));
    }

    #[test]
    fn a_test_names_no_number() {
        let json = Notice::test(NOW.unix_ms, "edge", 7).json();
        assert_eq!((&json["state"], json.get("measure")), (&json!("test"), None));
    }
}

//! `tidings listen`: what a hub publishes, on standard output; what happens to the connection, on
//! standard error. Resuming is the client library's business.

use std::io::IsTerminal;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use tidings_client::{
    ClosingReason, Connected, Cursor, Event, Gap, Interruption, Item, Rewind, Subscribe, Transport,
};

use super::hub_args::{HubArgs, Prefer};
use super::output::{Readers, print_line};
use super::style::{Style, Tone, tame};

/// Print events as they are published
///
/// Comes back by itself when the connection breaks, and goes on where it was. On a terminal each
/// event is a line for people; anywhere else it is a line of JSON in the form of the polling
/// endpoint, and lost events are a line like {"gap":{"reason":"expired",…}}. What happens to the
/// connection is told on standard error.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListenArgs {
    #[command(flatten)]
    hub: HubArgs,

    /// A topic or pattern to listen to; give it again for more [default: your own topic and
    /// broadcast]
    #[arg(short, long = "topic", value_name = "PATTERN")]
    topics: Vec<String>,

    /// The event types to print, joined by commas [default: all]
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    types: Vec<String>,

    /// Start after this cursor, an event's id, instead of now
    #[arg(long, value_name = "CURSOR", conflicts_with = "rewind")]
    since: Option<Cursor>,

    /// Start earlier than now: a number of events (20), a time (5m) or all that is retained
    #[arg(long, value_name = "20|5m|all")]
    rewind: Option<Rewind>,

    /// Ask every few seconds instead of holding a stream open
    #[arg(long, conflicts_with = "long_poll")]
    poll: bool,

    /// Ask again and again, each time waiting for an answer, instead of holding a stream open
    #[arg(long)]
    long_poll: bool,

    /// End after this many events
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

const EXAMPLES: &str = "\
Examples:
  tidings listen --topic 'orders/**'
  tidings listen --topic system/vmstat --rewind 20
  tidings listen --types notification,alert | jq .data
  tidings listen --since k7q2m9x1-1042 --count 1

Exit status: 0 done or interrupted, 1 failed, 2 wrong usage.";

/// Listens until interrupted, refused or done.
pub(crate) async fn run(args: ListenArgs) -> anyhow::Result<()> {
    let mut subscribe = Subscribe::new(&args.hub.url)
        .credential(args.hub.credential(Prefer::Token)?)
        .transport(match (args.poll, args.long_poll) {
            (true, _) => Transport::Poll,
            (false, true) => Transport::LongPoll,
            (false, false) => Transport::Sse,
        });
    for topic in args.topics {
        subscribe = subscribe.topic(topic);
    }
    for r#type in args.types {
        subscribe = subscribe.r#type(r#type);
    }
    if let Some(cursor) = args.since {
        subscribe = subscribe.since(cursor);
    }
    if let Some(rewind) = args.rewind {
        subscribe = subscribe.rewind(rewind);
    }
    let mut subscription = subscribe.start()?;
    let printer = Printer::new(args.hub.url);
    let mut left = args.count;
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        let item = tokio::select! {
            interrupted = &mut interrupted => return Ok(interrupted?),
            item = subscription.next() => item,
        };
        let Some(item) = item else {
            printer.state(Tone::Quiet, "the hub has nothing more to say");
            return Ok(());
        };
        let item = item?;
        let readers = match &item {
            Item::Event(event) => print_line(&printer.event(event)?)?,
            Item::Gap(gap) => print_line(&printer.gap(gap)?)?,
            other => {
                printer.tell(other);
                Readers::Listening
            }
        };
        if readers == Readers::Gone {
            return Ok(());
        }
        if let (Item::Event(_), Some(left)) = (&item, &mut left) {
            *left -= 1;
            if *left == 0 {
                return Ok(());
            }
        }
    }
}

/// Writes for people or for programs, whoever reads standard output.
struct Printer {
    url: String,
    people: bool,
    out: Style,
    err: Style,
}

impl Printer {
    fn new(url: String) -> Self {
        let people = std::io::stdout().is_terminal();
        Self { url, people, out: Style::stdout(), err: Style::stderr() }
    }

    fn event(&self, event: &Event) -> anyhow::Result<String> {
        if !self.people {
            return Ok(serde_json::to_string(event)?);
        }
        let time = self.out.paint(Tone::Quiet, time_of_day(event.timestamp));
        let topics = self.out.paint(Tone::Topic, tame(&event.topics.join(",")));
        let r#type = self.out.paint(Tone::Type, tame(&event.r#type));
        Ok(format!("{time}  {topics}  {type}  {}", tame(event.text())))
    }

    fn gap(&self, gap: &Gap) -> anyhow::Result<String> {
        if !self.people {
            return Ok(format!("{{\"gap\":{}}}", serde_json::to_string(gap)?));
        }
        let reason = serde_json::to_value(gap.reason)?;
        let reason = reason.as_str().unwrap_or("unknown");
        let topics = if gap.topics.is_empty() {
            String::new()
        } else {
            format!(" on {}", tame(&gap.topics.join(", ")))
        };
        let text = format!(
            "=== GAP: events were lost{topics} ({reason}); what was built from them must be \
             fetched again; going on from {} ===",
            gap.cursor
        );
        Ok(self.out.paint(Tone::Alarm, text).to_string())
    }

    /// Tells of the connection.
    fn tell(&self, item: &Item) {
        match item {
            Item::Connected(connected) => self.state(Tone::Good, &self.connected(connected)),
            Item::Retrying { after, reason } => {
                let again = format!("trying again in {:.1} s", after.as_secs_f64());
                match reason {
                    // It has been told with the closing.
                    Interruption::Closed(_) => self.state(Tone::Warning, &again),
                    other => self.state(Tone::Warning, &format!("{other}; {again}")),
                }
            }
            Item::Expiring(expiring) => {
                let text = format!("the hub will end the stream in {} s", expiring.in_secs);
                self.state(Tone::Quiet, &text);
            }
            Item::Closing(closing) => {
                let why = match closing.reason {
                    ClosingReason::Revoked => "access was revoked",
                    ClosingReason::Drain => "it is being stopped",
                    ClosingReason::Expired => "its time is up",
                    ClosingReason::Replaced => "another connection took its place",
                    _ => "it does not say why",
                };
                self.state(Tone::Warning, &format!("the hub ends the stream: {why}"));
            }
            // Events and gaps are printed; what a later library adds is not ours to judge.
            _ => {}
        }
    }

    fn connected(&self, connected: &Connected) -> String {
        let user = match &connected.user {
            Some(user) => format!(" as {user}"),
            None => String::new(),
        };
        let topics = if connected.topics.is_empty() {
            String::new()
        } else {
            format!(", listening to {}", connected.topics.join(", "))
        };
        let place = if connected.resumed { "resumed at" } else { "starting at" };
        format!("connected to {}{user}{topics}; {place} {}", self.url, connected.cursor)
    }

    #[allow(clippy::print_stderr, reason = "the states of a command are for standard error")]
    fn state(&self, tone: Tone, text: &str) {
        eprintln!("{}", self.err.paint(tone, tame(text)));
    }
}

/// The time of day in UTC; the day is left out because events are watched as they happen.
fn time_of_day(timestamp: u64) -> String {
    let secs = Duration::from_millis(timestamp).as_secs() % (24 * 60 * 60);
    format!("{:02}:{:02}:{:02}Z", secs / 3600, secs / 60 % 60, secs % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printer(people: bool) -> Printer {
        Printer { url: "http://hub".into(), people, out: Style::plain(), err: Style::plain() }
    }

    fn event(content: &str) -> Event {
        serde_json::from_str(&format!(
            "{{\"id\":\"k7q2m9x1-1042\",\"type\":\"t\",\"topics\":[\"a\",\"b\"],{content},\
             \"timestamp\":1795458000000}}"
        ))
        .unwrap()
    }

    #[test]
    fn people_read_a_line_and_programs_read_json() {
        let shipped = event("\"data\":{\"n\": 1.0}");
        assert_eq!(printer(true).event(&shipped).unwrap(), "18:20:00Z  a,b  t  {\"n\": 1.0}");
        assert_eq!(
            printer(false).event(&shipped).unwrap(),
            "{\"id\":\"k7q2m9x1-1042\",\"type\":\"t\",\"topics\":[\"a\",\"b\"],\
             \"data\":{\"n\": 1.0},\"timestamp\":1795458000000}"
        );
    }

    #[test]
    fn a_hostile_text_stays_text_for_people() {
        let line = printer(true).event(&event("\"text\":\"\\u001b[2Jx\\ny\"")).unwrap();
        assert_eq!(line, "18:20:00Z  a,b  t  \\u{1b}[2Jx\n    y");
    }

    #[test]
    fn a_gap_is_loud_for_people_and_an_object_for_programs() {
        let gap: Gap = serde_json::from_str(
            "{\"reason\":\"expired\",\"topics\":[\"a\"],\"cursor\":\"k7q2m9x1-7\"}",
        )
        .unwrap();
        assert!(printer(true).gap(&gap).unwrap().starts_with("=== GAP: events were lost on a"));
        assert_eq!(
            printer(false).gap(&gap).unwrap(),
            "{\"gap\":{\"reason\":\"expired\",\"topics\":[\"a\"],\"cursor\":\"k7q2m9x1-7\"}}"
        );
    }
}

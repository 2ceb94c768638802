//! `tidings publish`: events from arguments, a file, or the lines of standard input, to a hub. Ids
//! on standard output, refusals on standard error. Retrying safely is the client library's business.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde_json::value::RawValue;
use tidings_client::{NewEvent, Publisher};

use super::hub_args::{HubArgs, Prefer};
use super::output::{Readers, print_line};
use super::stdin_lines::StdinLines;
use super::style::{Style, Tone, tame};

/// Bytes of a file or of standard input that are read as a whole.
const INPUT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Events in one request. Fewer than a hub takes, so that the first ids come soon.
const BATCH_EVENTS_MAX: usize = 200;
/// Bytes in one request, above which it holds no further event.
const BATCH_BYTES_MAX: usize = 512 * 1024;
/// What an event's JSON takes beside its content, by a generous guess.
const EVENT_OVERHEAD_BYTES: usize = 512;
/// How long a stream of lines waits for a hub that is away. Long, for the lines keep; shorter than
/// the ten minutes for which a hub remembers what it was sent.
const LINES_RETRY_FOR: Duration = Duration::from_mins(9);

/// Publish events
///
/// Prints the id of every event that was published. Waits for a hub that cannot be reached, for
/// half a minute (nine minutes with --lines), and never publishes an event twice by doing so.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PublishArgs {
    #[command(flatten)]
    hub: HubArgs,

    /// The topic to publish to; give it again for more
    #[arg(
        short,
        long = "topic",
        value_name = "TOPIC",
        required_unless_present_any = ["users", "broadcast", "file"]
    )]
    topics: Vec<String>,

    /// The user to publish to; give it again for more
    #[arg(short, long = "user", value_name = "ID")]
    users: Vec<String>,

    /// Publish to everyone
    #[arg(short, long)]
    broadcast: bool,

    /// The event type [default: message]
    #[arg(long, value_name = "TYPE")]
    r#type: Option<String>,

    /// Retain the event for this many seconds at most
    #[arg(long, value_name = "N")]
    ttl_secs: Option<u64>,

    /// The idempotency key: the same key with the same event publishes once
    #[arg(long, value_name = "KEY", conflicts_with_all = ["file", "lines"])]
    key: Option<String>,

    #[command(flatten)]
    content: ContentArgs,

    /// With --lines, each line is JSON instead of text
    #[arg(long, requires = "lines", conflicts_with_all = ["data", "text", "file"])]
    json: bool,
}

/// What to publish: exactly one of these.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct ContentArgs {
    /// The event's data, as JSON; `-` reads it from standard input
    #[arg(value_name = "DATA", value_parser = parse_data, allow_negative_numbers = true)]
    data: Option<DataArg>,

    /// The event's text, carried as it is
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,

    /// A file with events as the API takes them: one object, an array, or NDJSON; `-` is standard
    /// input. The flags fill in what an event leaves out
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Publish every line of standard input as an event, as it arrives
    #[arg(short, long)]
    lines: bool,
}

#[derive(Clone, Debug)]
enum DataArg {
    Stdin,
    Json(Box<RawValue>),
}

const EXAMPLES: &str = "\
Examples:
  tidings publish --topic orders/42 '{\"status\":\"shipped\"}'
  tidings publish --user 42 --type notification --text 'Your order has shipped'
  vmstat 1 | tidings publish --lines --topic system/vmstat
  tidings publish --file events.ndjson
  date | tidings publish --broadcast --lines

Exit status: 0 published, 1 failed or refused, 2 wrong usage.";

/// Publishes what the arguments say.
pub(crate) async fn run(args: PublishArgs) -> anyhow::Result<()> {
    let credential = args.hub.credential(Prefer::ApiKey)?;
    let publisher = Publisher::new(&args.hub.url, credential)?;
    let ContentArgs { data, text, file, lines } = &args.content;
    let event = match (data, text, file) {
        (Some(DataArg::Json(json)), _, _) => NewEvent::raw(json.clone()),
        (Some(DataArg::Stdin), _, _) => NewEvent::raw(json_from_stdin()?),
        (None, Some(text), _) => NewEvent::text(text.as_str()),
        (None, None, Some(file)) => return publish_file(&args, &publisher, file).await,
        (None, None, None) => {
            debug_assert!(lines, "clap lets no other case through");
            return publish_lines(&args, &publisher.retry_for(LINES_RETRY_FOR)).await;
        }
    };
    let event = NewEvent { key: args.key.clone(), ..args.fill(event) };
    let taken = publisher.publish(&event).await?;
    // It was the only line, so it does not matter whether anybody reads on.
    let (Readers::Listening | Readers::Gone) = print_line(&taken.id.to_string())?;
    Ok(())
}

impl PublishArgs {
    /// Fills in what the event leaves out.
    fn fill(&self, mut event: NewEvent) -> NewEvent {
        if !event.has_target() {
            event.topics.clone_from(&self.topics);
            event.users.clone_from(&self.users);
            event.broadcast = self.broadcast;
        }
        event.r#type = event.r#type.or_else(|| self.r#type.clone());
        event.ttl_secs = event.ttl_secs.or(self.ttl_secs);
        event
    }
}

async fn publish_file(
    args: &PublishArgs,
    publisher: &Publisher,
    file: &PathBuf,
) -> anyhow::Result<()> {
    let name = file.display();
    let text = if file.as_os_str() == "-" {
        read_text(std::io::stdin().lock())
    } else {
        std::fs::File::open(file).map_err(anyhow::Error::from).and_then(read_text)
    }
    .with_context(|| format!("cannot read {name}"))?;
    let events = parse_events(&text).with_context(|| format!("{name} does not hold events"))?;
    ensure!(!events.is_empty(), "{name} holds no events");
    let mut tally = Tally::new("event");
    let mut events = events.into_iter().map(|event| Ok(args.fill(event))).peekable();
    while events.peek().is_some() {
        if tally.publish(publisher, batch(&mut events)).await? == Readers::Gone {
            break;
        }
    }
    tally.close()
}

async fn publish_lines(args: &PublishArgs, publisher: &Publisher) -> anyhow::Result<()> {
    let mut lines = StdinLines::open()?;
    let mut tally = Tally::new("line");
    let publishing = async {
        while let Some(first) = lines.next().await {
            // Lines that are already waiting go along; nobody waits for a line to come.
            let waiting = std::iter::once(first).chain(std::iter::from_fn(|| lines.waiting()));
            let mut events = waiting.map(|line| line_event(args, line?));
            if tally.publish(publisher, batch(&mut events)).await? == Readers::Gone {
                break;
            }
        }
        anyhow::Ok(())
    };
    tokio::select! {
        outcome = publishing => outcome?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    tally.close()
}

fn line_event(args: &PublishArgs, line: String) -> anyhow::Result<NewEvent> {
    let event = if args.json {
        let json = RawValue::from_string(line);
        NewEvent::raw(json.context("it is not JSON; without --json it would be text")?)
    } else {
        NewEvent::text(line)
    };
    Ok(args.fill(event))
}

/// The next events that go into one request: at least one, unless there are none. What could not
/// be read as an event keeps its place among them.
fn batch(
    events: &mut impl Iterator<Item = anyhow::Result<NewEvent>>,
) -> Vec<anyhow::Result<NewEvent>> {
    let mut bytes = 0;
    let mut batch = Vec::new();
    while batch.len() < BATCH_EVENTS_MAX && bytes < BATCH_BYTES_MAX {
        let Some(event) = events.next() else { break };
        if let Ok(NewEvent { data, text, .. }) = &event {
            let data = data.as_ref().map_or(0, |data| data.get().len());
            bytes += EVENT_OVERHEAD_BYTES + data + text.as_ref().map_or(0, String::len);
        }
        batch.push(event);
    }
    batch
}

/// What has been published of many, and what was refused.
struct Tally {
    noun: &'static str,
    taken: usize,
    refused: usize,
    err: Style,
}

impl Tally {
    fn new(noun: &'static str) -> Self {
        Self { noun, taken: 0, refused: 0, err: Style::stderr() }
    }

    /// Publishes the events, and prints what became of each of them in their order.
    ///
    /// One batch waits for the other's answer: the order of the input is the order of the log.
    async fn publish(
        &mut self,
        hub: &Publisher,
        batch: Vec<anyhow::Result<NewEvent>>,
    ) -> anyhow::Result<Readers> {
        let mut events = Vec::new();
        let mut unreadable = Vec::new();
        for event in batch {
            unreadable.push(event.map(|event| events.push(event)).err());
        }
        let mut results = hub.publish_many(&events).await?.into_iter();
        for unreadable in unreadable {
            let reason = match unreadable {
                Some(error) => format!("{error:#}"),
                None => match results.next().expect("every event has a result") {
                    Ok(taken) => {
                        self.taken += 1;
                        if print_line(&taken.id.to_string())? == Readers::Gone {
                            return Ok(Readers::Gone);
                        }
                        continue;
                    }
                    Err(problem) => problem.to_string(),
                },
            };
            self.refuse(&reason);
        }
        Ok(Readers::Listening)
    }

    #[allow(clippy::print_stderr, reason = "refusals are for standard error")]
    fn refuse(&mut self, reason: &str) {
        self.refused += 1;
        let number = self.taken + self.refused;
        let text = format!("{} {number} was not published: {}", self.noun, tame(reason));
        eprintln!("{}", self.err.paint(Tone::Warning, text));
    }

    fn close(&self) -> anyhow::Result<()> {
        let Self { noun, taken, refused, .. } = self;
        if *refused > 0 {
            bail!("{refused} of {} {noun}s were not published", taken + refused);
        }
        Ok(())
    }
}

fn parse_data(argument: &str) -> Result<DataArg, String> {
    if argument == "-" {
        return Ok(DataArg::Stdin);
    }
    RawValue::from_string(argument.to_owned()).map(DataArg::Json).map_err(|error| {
        format!("it is not JSON ({error}); to publish it as it is, give it as --text")
    })
}

fn json_from_stdin() -> anyhow::Result<Box<RawValue>> {
    let text = read_text(std::io::stdin().lock()).context("cannot read standard input")?;
    RawValue::from_string(text).context("standard input is not one JSON value")
}

fn read_text(source: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    source.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text)?;
    ensure!(
        text.len() as u64 <= INPUT_BYTES_MAX,
        "it has more than {INPUT_BYTES_MAX} bytes; split it"
    );
    Ok(text)
}

/// Events as one object, an array, or one object after another.
fn parse_events(text: &str) -> anyhow::Result<Vec<NewEvent>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('[') {
        return Ok(serde_json::from_str(text)?);
    }
    let events = serde_json::Deserializer::from_str(text).into_iter();
    events
        .enumerate()
        .map(|(index, event)| event.with_context(|| format!("event {} is wrong", index + 1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: PublishArgs,
    }

    #[test]
    fn the_arguments_are_accepted_or_refused() {
        let accepted: &[&[&str]] = &[
            &["--topic", "a", "{\"a\":1}"],
            &["-t", "a", "-t", "b", "-u", "1", "--broadcast", "-5"],
            &["--user", "42", "--text", "-hello-"],
            &["--file", "events.json"],
            &["--topic", "a", "--file", "-"],
            &["--topic", "a", "--lines", "--json"],
            &["--topic", "a", "--key", "k", "-"],
        ];
        for arguments in accepted {
            let parsed = Command::try_parse_from([&["publish"], *arguments].concat());
            assert!(parsed.is_ok(), "{arguments:?}: {}", parsed.err().unwrap());
        }
        let refused: &[&[&str]] = &[
            &[],
            &["--topic", "a"],
            &["1"],
            &["--lines"],
            &["--topic", "a", "hello"],
            &["--topic", "a", "1", "--text", "b"],
            &["--topic", "a", "--lines", "--file", "f"],
            &["--topic", "a", "--lines", "--key", "k"],
            &["--topic", "a", "--text", "b", "--json"],
            &["--topic", "a", "1", "--api-key", "k", "--token", "t"],
        ];
        for arguments in refused {
            let parsed = Command::try_parse_from([&["publish"], *arguments].concat());
            assert!(parsed.is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn events_are_read_from_an_object_an_array_and_ndjson() {
        for (text, expected) in [
            ("{\"topic\":\"a\",\"data\":1}", 1),
            ("\u{feff} {\n\"topic\":\"a\",\n\"data\":1\n}\n", 1),
            ("[{\"topic\":\"a\",\"data\":1},{\"user\":\"1\",\"text\":\"b\"}]", 2),
            ("{\"topic\":\"a\",\"data\":1}\n\n{\"topic\":\"b\",\"data\":null}\r\n", 2),
            ("", 0),
            ("[]", 0),
        ] {
            assert_eq!(parse_events(text).unwrap().len(), expected, "{text:?}");
        }
        let wrong = parse_events("{\"topic\":\"a\"}\n{\"topc\":\"b\"}").unwrap_err();
        let wrong = format!("{wrong:#}");
        assert!(wrong.contains("event 2") && wrong.contains("topc"), "{wrong}");
        assert!(wrong.contains("line 2"), "{wrong}");
    }

    #[test]
    fn flags_fill_in_only_what_an_event_leaves_out() {
        let command = Command::try_parse_from([
            "publish",
            "--topic",
            "a",
            "--type",
            "t",
            "--ttl-secs",
            "5",
            "--file",
            "-",
        ]);
        let args = command.map(|command| command.args).ok().unwrap();
        let filled = args.fill(NewEvent::text("x"));
        assert_eq!((filled.topics, filled.r#type.as_deref()), (vec!["a".to_owned()], Some("t")));
        let filled = args.fill(NewEvent::text("x").user("42").r#type("own").ttl_secs(9));
        assert_eq!((filled.topics.len(), filled.r#type.as_deref()), (0, Some("own")));
        assert_eq!(filled.ttl_secs, Some(9));
    }

    #[test]
    fn batches_are_bounded_by_count_and_bytes_and_never_empty() {
        let sizes = |count: usize, bytes: usize| {
            let mut events = (0..count).map(|_| Ok(NewEvent::text("x".repeat(bytes)))).peekable();
            let mut sizes = Vec::new();
            while events.peek().is_some() {
                sizes.push(batch(&mut events).len());
            }
            sizes
        };
        assert_eq!(sizes(450, 1), [200, 200, 50]);
        assert_eq!(sizes(3, BATCH_BYTES_MAX), [1, 1, 1]);
        assert_eq!(sizes(0, 1), [0; 0]);
    }
}

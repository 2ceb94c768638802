//! `tidings doctor`: looks at a server through whatever stands between, and says what to change.
//!
//! This file owns the arguments and the order of the checks. What each looks at, and what a proxy
//! needs, is theirs; the advice is one table.

mod advice;
mod answer;
mod certificate;
mod clock;
mod cors;
mod delivery;
mod idle;
mod opening;
mod polling;
mod proxy;
mod reach;
mod report;
mod resume;
mod stream;
mod target;

use std::time::{Duration, SystemTime};

use clap::Args;

use super::hub_args::secret;
use super::{AlreadyTold, UsageError};
use crate::config::Secret;
use advice::{Fault, Values};
use answer::Page;
use opening::Opened;
use proxy::{Edge, Proxy};
use reach::Reached;
use report::{Finding, Progress, Report, Verdict};
use target::{Show, Target};

/// What a server promises unless it says otherwise, seconds.
const HEARTBEAT_SECS: u64 = 15;
/// Seconds that a stream is watched at most.
const IDLE_SECS_MAX: u64 = 3600;

/// Look at a server through whatever stands before it
///
/// Opens streams as a browser would, publishes a few test events, waits for silence to be cut, and
/// says for each fault which setting of which proxy mends it. Test events go to a topic of their
/// own (doctor/…) and are retained for a minute. An API key with the scopes publish and admin sees
/// most; a token sees what its user sees.
#[allow(clippy::doc_markdown, reason = "the comments are help texts, and backticks would show")]
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// The server's URL, as clients have it
    #[arg(env = "TIDINGS_URL", value_name = "URL")]
    url: String,

    /// An API key: subscribes with the scope admin, publishes test events with the scope publish
    /// [env: TIDINGS_API_KEY, or TIDINGS_API_KEY_FILE for a file that holds it]
    #[arg(long, visible_alias = "key", value_name = "KEY")]
    api_key: Option<String>,

    /// A token: subscribes in the place of the key, and publishes when there is no key [env:
    /// TIDINGS_TOKEN, or TIDINGS_TOKEN_FILE for a file that holds it]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,

    /// Also look at what a page of this origin may do
    #[arg(long, value_name = "https://app.example", value_parser = origin)]
    origin: Option<String>,

    /// The topic for test events, where the credential may not use every topic [default: doctor/…]
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,

    /// Watch a silent stream for this long; 0 leaves it out [default: two and a half heartbeats]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=IDLE_SECS_MAX))]
    idle_secs: Option<u64>,

    /// Give advice for these proxies only
    #[arg(long, value_enum, value_name = "PROXY", value_delimiter = ',')]
    proxy: Vec<Proxy>,

    /// Print one object of JSON at the end
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  tidings doctor https://live.example.com
  tidings doctor https://example.com/live --origin https://app.example.com
  tidings doctor https://live.example.com --token \"$TOKEN\" --topic chat/7
  tidings doctor https://live.example.com --proxy nginx --idle-secs 120
  tidings doctor https://live.example.com --json | jq '.checks[] | select(.verdict == \"fault\")'

Exit status: 0 no fault, 1 some fault, 2 wrong usage.";

/// What the checks work with.
struct Doctor {
    target: Target,
    progress: Progress,
    /// How the credential gets through.
    show: Show,
}

/// Which topics are listened to; none stands for the credential's own.
struct Topics {
    quiet: Option<String>,
    events: String,
}

/// Looks at everything, in the order in which one fault explains another.
pub(crate) async fn run(args: DoctorArgs) -> anyhow::Result<()> {
    let scratch = format!("doctor/{:08x}", fastrand::u32(..));
    let (quiet, events) = (format!("{scratch}/quiet"), format!("{scratch}/events"));
    let events = args.topic.clone().unwrap_or(events);
    let topics = Topics { quiet: Some(quiet), events };
    let target = args.target()?;
    let values = Values {
        heartbeat_secs: HEARTBEAT_SECS,
        origin: target.origin.clone(),
        path: target.path().to_owned(),
    };
    let secrets = target.secrets().map(str::to_owned).collect();
    let mut report = Report::new(target.url(), args.json, secrets, args.proxy.clone(), values);
    let doctor = Doctor { target, progress: Progress::new(args.json), show: Show::Header };
    report.begin()?;
    examine(doctor, topics, &args, &mut report).await?;
    report.close()?;
    if report.faults() > 0 { Err(AlreadyTold.into()) } else { Ok(()) }
}

async fn examine(
    mut doctor: Doctor,
    mut topics: Topics,
    args: &DoctorArgs,
    report: &mut Report,
) -> anyhow::Result<()> {
    doctor.progress.say("looking for Tidings");
    let topic = topics.quiet.as_deref().unwrap_or_default();
    let reached = reach::check(&doctor.target, topic).await;
    doctor.show = reached.show;
    if !reached.has_topic {
        topics.quiet = None;
    }
    if let Some(answer) = &reached.answer {
        report.edge = Edge::of(&answer.head.headers);
    }
    tell(&doctor, report, front(&doctor.target, &reached))?;
    if !reached.is_tidings {
        return Ok(());
    }
    let Some(page) = reached.page else {
        // What needs no credential is looked at all the same.
        tell(&doctor, report, [cors::preflight(&doctor.target).await])?;
        let answer = reached.answer.as_ref().map(|answer| ("a refusal", &answer.head));
        let findings = cors::answers(&doctor.target, answer);
        return tell(&doctor, report, findings);
    };

    doctor.progress.say("opening a stream");
    let quiet = topics.quiet.as_deref();
    let (findings, mut opened) = opening::check(&doctor, quiet).await;
    tell(&doctor, report, findings)?;
    if let Some(opened) = &opened {
        report.values.heartbeat_secs = opened.connected.heartbeat_secs;
    }
    let watch = args
        .idle_secs
        .map_or_else(|| idle::watch_for(report.values.heartbeat_secs), Duration::from_secs);
    // It takes as long as the idle stream, and goes on beside the other checks.
    let wait = watch.min(polling::WAIT_MAX);
    let long_poll =
        (!wait.is_zero()).then(|| polling::long_poll(&doctor.target, quiet, doctor.show, wait));

    let mut ids = Vec::new();
    if let Some(opened) = &opened {
        let findings = come_back(&doctor, quiet, &page, opened).await;
        // What is published then goes where nobody listens: those faults explain what would be
        // missing.
        let explains = |finding: &Finding| {
            matches!(finding.verdict, Verdict::Fault(Fault::QueryStripped | Fault::TwoLogs))
        };
        let explained = findings.iter().any(explains);
        tell(&doctor, report, findings)?;
        if explained {
            let why = "what is wrong above would be wrong here too";
            tell(
                &doctor,
                report,
                ["events", "polling"].map(|check| Finding::unchecked(check, why)),
            )?;
        } else {
            let (finding, published) = delivery::check(&doctor, &topics.events).await;
            ids = published;
            tell(&doctor, report, [finding])?;
            tell(&doctor, report, [fallback(&doctor, &topics, &page, &ids).await])?;
        }
    } else {
        tell(&doctor, report, [fallback(&doctor, &topics, &page, &ids).await])?;
    }
    let head = opened.as_ref().and_then(|opened| opened.stream.head.as_ref());
    tell(&doctor, report, [polling::cache(&doctor, head).await])?;
    tell(&doctor, report, [cors::preflight(&doctor.target).await])?;
    let poll = reached.answer.as_ref().map(|answer| ("a poll", &answer.head));
    let stream = head.map(|head| ("a stream", head));
    tell(&doctor, report, cors::answers(&doctor.target, poll.into_iter().chain(stream)))?;

    if watch.is_zero() {
        return tell(&doctor, report, [Finding::unchecked("idle stream", "--idle-secs is 0")]);
    }
    let finding = match &mut opened {
        Some(opened) => idle::check(&doctor, opened, watch).await,
        None => Finding::unchecked("idle stream", "no stream came through"),
    };
    tell(&doctor, report, [finding])?;
    if let Some(long_poll) = long_poll {
        doctor.progress.say("waiting for a long poll");
        let (answer, took) = long_poll.await?;
        tell(&doctor, report, [polling::waited(&answer, took, wait)])?;
    }
    Ok(())
}

/// What the first answer tells, besides whether it is Tidings'.
fn front(target: &Target, reached: &Reached) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(answer) = &reached.answer {
        if target.is_secure() {
            let certificate = answer.head.certificate.as_deref();
            findings.push(certificate::check(certificate, SystemTime::now()));
        }
        if reached.is_tidings {
            findings.push(reach::version(target, answer.head.version));
            findings.push(clock::check(answer, reached.page.as_ref()));
        }
    }
    // Whether it was reached comes first; who is let in, after what it was reached over.
    let mut all = reached.findings.clone();
    let rest = all.split_off(1.min(all.len()));
    all.extend(findings);
    all.extend(rest);
    all
}

/// Whether a reader that comes back is known again, in each of the ways.
async fn come_back(
    doctor: &Doctor,
    topic: Option<&str>,
    page: &Page,
    opened: &Opened,
) -> Vec<Finding> {
    if let Some(finding) = resume::one_log(page, opened) {
        return vec![finding];
    }
    doctor.progress.say("coming back with a cursor");
    let header = resume::header(doctor, topic, page, opened).await;
    vec![header, resume::query(doctor, topic, page).await]
}

/// Polling for what was published, or else for what the credential may hear.
async fn fallback(doctor: &Doctor, topics: &Topics, page: &Page, ids: &Vec<String>) -> Finding {
    let topic = if ids.is_empty() { topics.quiet.as_deref() } else { Some(topics.events.as_str()) };
    polling::fallback(doctor, topic, page, ids).await
}

fn tell(
    doctor: &Doctor,
    report: &mut Report,
    findings: impl IntoIterator<Item = Finding>,
) -> anyhow::Result<()> {
    doctor.progress.clear();
    for finding in findings {
        report.add(finding)?;
    }
    Ok(())
}

impl DoctorArgs {
    fn target(&self) -> anyhow::Result<Target> {
        let given = |flag: &Option<String>, variable| {
            let found = flag.clone().map_or_else(|| secret(variable), |given| Ok(Some(given)));
            anyhow::Ok(found?.filter(|found| !found.is_empty()).map(Secret::new))
        };
        // A flag beats the environment, also when that has the other kind.
        let flags = self.api_key.is_some() || self.token.is_some();
        let api_key = match (&self.api_key, flags) {
            (None, true) => None,
            _ => given(&self.api_key, "TIDINGS_API_KEY")?,
        };
        let token = match (&self.token, flags) {
            (None, true) => None,
            _ => given(&self.token, "TIDINGS_TOKEN")?,
        };
        let subscriber = token.clone().or_else(|| api_key.clone());
        Target::new(&self.url, subscriber, api_key.or(token), self.origin.clone())
    }
}

/// An origin, as browsers send it.
fn origin(text: &str) -> Result<String, UsageError> {
    let origin = crate::config::Origin::try_from(text.to_owned());
    origin.map(|origin| origin.as_str().to_owned()).map_err(UsageError)
}

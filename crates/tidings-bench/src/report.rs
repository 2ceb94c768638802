//! A run's figures for people and for programs: the aligned table and the JSON. Knows nothing of
//! how they were measured.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::figures::{self, Figures, Metric, medians};
use crate::scenario::Scenario;

/// A load generator that is busier than this may be what is measured.
const CLIENT_BUSY_PERCENT_MAX: f64 = 95.0;

/// Wide enough for every title with ordinary numbers in it.
const LABEL_WIDTH: usize = 54;

/// Everything measured in one scenario.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) scenario: Scenario,
    pub(crate) payload_bytes: usize,
    /// Bytes of an event on the wire, where one was seen.
    pub(crate) frame_bytes: Option<usize>,
    pub(crate) server: Vec<Figures>,
    pub(crate) floor: Vec<Figures>,
}

impl Outcome {
    /// Events lost and repeated in all rounds.
    pub(crate) fn faults(&self) -> (u64, u64) {
        let rounds = || self.server.iter().chain(&self.floor);
        (rounds().map(|round| round.lost).sum(), rounds().map(|round| round.repeated).sum())
    }

    /// Metric by metric: the server's median, the floor's, and how they compare.
    fn rows(&self) -> Vec<Row> {
        let (server, floor) = (medians(&self.server), medians(&self.floor));
        let of = |side: &[(Metric, f64)], metric| {
            side.iter().find(|(other, _)| *other == metric).map(|(_, value)| *value)
        };
        let metrics = if server.is_empty() { &floor } else { &server };
        let row = |&(metric, _): &(Metric, f64)| {
            let (server, floor) = (of(&server, metric), of(&floor, metric));
            let ratio = server.zip(floor).and_then(|(server, floor)| {
                (floor != 0.0 && metric != figures::CLIENT_BUSY).then_some(server / floor)
            });
            Row { metric, server, floor, ratio }
        };
        metrics.iter().map(row).collect()
    }
}

struct Row {
    metric: Metric,
    server: Option<f64>,
    floor: Option<f64>,
    ratio: Option<f64>,
}

/// One block of the table.
pub(crate) fn table(outcome: &Outcome) -> String {
    let rows = outcome.rows();
    let title = outcome.scenario.title();
    let wide = title.len().max(LABEL_WIDTH);
    let mut text = String::new();
    let mut line = |label: &str, cells: [&str; 3]| {
        let [server, floor, ratio] = cells;
        let line = format!("{label:<wide$} {server:>12} {floor:>12} {ratio:>8}");
        let _ = writeln!(text, "{}", line.trim_end());
    };
    let heads = ["server", "floor", "ratio"];
    line(&title, heads);
    for row in rows {
        let show =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| row.metric.unit.show(v));
        let ratio = row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let label = format!("  {}", row.metric.label);
        line(&label, [&show(row.server), &show(row.floor), &ratio]);
    }
    let sum = |rounds: &[Figures], of: fn(&Figures) -> u64| match rounds {
        [] => "-".to_owned(),
        rounds => rounds.iter().map(of).sum::<u64>().to_string(),
    };
    let both = |of: fn(&Figures) -> u64| (sum(&outcome.server, of), sum(&outcome.floor, of));
    let (server, floor) = both(|round| round.lost);
    line("  lost", [&server, &floor, ""]);
    let (server, floor) = both(|round| round.repeated);
    line("  repeated", [&server, &floor, ""]);
    let busiest = [&outcome.server, &outcome.floor]
        .into_iter()
        .flat_map(|rounds| medians(rounds))
        .filter(|(metric, _)| *metric == figures::CLIENT_BUSY)
        .fold(0.0_f64, |most, (_, percent)| most.max(percent));
    if busiest > CLIENT_BUSY_PERCENT_MAX {
        text += "  note: the load generator had no time to spare; rates are its own limit, CPU times are not\n";
    }
    text
}

/// One scenario as JSON.
pub(crate) fn json(outcome: &Outcome) -> Value {
    let rounds = |rounds: &[Figures]| -> Vec<Value> {
        let one = |round: &Figures| {
            let mut object = named(round.values.iter().copied());
            object.insert("lost".to_owned(), round.lost.into());
            object.insert("repeated".to_owned(), round.repeated.into());
            Value::Object(object)
        };
        rounds.iter().map(one).collect()
    };
    let rows = outcome.rows();
    let column = |of: fn(&Row) -> Option<f64>| {
        named(rows.iter().filter_map(|row| Some((row.metric, of(row)?))))
    };
    let (lost, repeated) = outcome.faults();
    json!({
        "scenario": outcome.scenario.name(),
        "title": outcome.scenario.title(),
        "parameters": outcome.scenario.parameters(),
        "payload_bytes": outcome.payload_bytes,
        "frame_bytes": outcome.frame_bytes,
        "rounds": { "server": rounds(&outcome.server), "floor": rounds(&outcome.floor) },
        "median": { "server": column(|row| row.server), "floor": column(|row| row.floor) },
        "ratio": column(|row| row.ratio),
        "lost": lost,
        "repeated": repeated,
    })
}

fn named(values: impl Iterator<Item = (Metric, f64)>) -> Map<String, Value> {
    values.map(|(metric, value)| (metric.name.to_owned(), value.into())).collect()
}

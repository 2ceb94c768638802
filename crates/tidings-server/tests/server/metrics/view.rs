//! Both views of a node's counts, read by parsers that others have written.

use prometheus_parse::{LineInfo, Scrape, Value as Sample};
use serde_json::Value;

use crate::support::PATIENCE;
use crate::support::api::{Api, json};

/// The counts of one moment, or of two that follow each other.
pub struct View {
    pub json: Value,
    pub text: Scrape,
}

impl View {
    pub async fn of(api: &Api) -> Self {
        let text = parse(&get(api, "/metrics").await);
        let json: Value = serde_json::from_str(&get(api, "/api/admin/sse-metrics").await).unwrap();
        Self { json, text }
    }

    /// Reads again and again until the counts are as expected: what is written to a socket is counted
    /// after its reader may have it.
    pub async fn until(api: &Api, fact: &str, is_true: impl Fn(&Self) -> bool) -> Self {
        let wait = async {
            loop {
                let view = Self::of(api).await;
                if is_true(&view) {
                    // Whole: what was read first may be from before the fact.
                    return Self::of(api).await;
                }
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("never came true: {fact}"))
    }

    /// What the JSON has at a path below `metrics`, as in `/events/total`.
    pub fn json(&self, path: &str) -> u64 {
        let found = self.json.pointer(&format!("/metrics{path}"));
        let found = found.unwrap_or_else(|| panic!("no {path} in {:#}", self.json));
        found.as_u64().unwrap_or_else(|| panic!("{path} is no count: {found}"))
    }

    /// A member of the JSON that is not there when its count is 0.
    pub fn json_or_0(&self, path: &str) -> u64 {
        self.json.pointer(&format!("/metrics{path}")).map_or(0, |found| found.as_u64().unwrap())
    }

    /// The sum of all samples of this name that have these labels.
    pub fn text(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let value = self.float(name, labels);
        assert!(value >= 0.0 && value.fract() == 0.0, "{name} is no count: {value}");
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was looked at"
        )]
        let count = value as u64;
        count
    }

    pub fn float(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &prometheus_parse::Sample, (label, value): &(&str, &str)| {
            sample.labels.get(label) == Some(value)
        };
        let values: Vec<f64> = (self.text.samples.iter())
            .filter(|sample| sample.metric == name && labels.iter().all(|label| has(sample, label)))
            .map(|sample| match sample.value {
                Sample::Counter(value) | Sample::Gauge(value) | Sample::Untyped(value) => value,
                Sample::Histogram(_) | Sample::Summary(_) => panic!("{name} has buckets"),
            })
            .collect();
        assert!(!values.is_empty(), "no sample {name} {labels:?}");
        values.iter().sum()
    }
}

/// The body of an operator's page.
pub async fn get(api: &Api, path: &str) -> String {
    let answer = api.get(path).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.unwrap()
}

/// Reads Prometheus text, every line of it.
pub fn parse(text: &str) -> Scrape {
    for line in text.lines() {
        let is_read = match LineInfo::parse(line) {
            LineInfo::Ignored => line.starts_with("# UNIT ") || line == "# EOF",
            LineInfo::Sample { value, timestamp, .. } => {
                value.parse::<f64>().is_ok() && timestamp.is_none()
            }
            LineInfo::Doc { .. } | LineInfo::Type { .. } | LineInfo::Empty => true,
        };
        assert!(is_read, "a parser does not understand {line:?}");
    }
    Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap()
}

/// Every series there is: names with their labels. `OpenMetrics` writes a bound of 1 as `1.0`.
pub fn series(text: &str) -> Vec<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let name = |line: &str| line.rsplit_once(' ').unwrap().0.replace(".0\"}", "\"}");
    let mut series: Vec<_> = samples.map(name).collect();
    series.sort();
    series
}

/// The code of a problem.
pub async fn code(answer: reqwest::Response) -> String {
    json(answer).await["code"].as_str().unwrap_or_default().to_owned()
}

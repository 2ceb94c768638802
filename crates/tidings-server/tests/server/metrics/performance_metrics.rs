//! How long an event is on its way: counted once for each, by whatever transport it is heard.

use std::time::Instant;

use super::view::View;
use crate::support::Server;
use crate::support::api::Api;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_timed_once_from_its_request_to_the_last_socket() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let begun = Instant::now();
    let mut streams = [api.stream("topic=a").await, api.stream("topic=*").await];
    for stream in &mut streams {
        stream.next_of("tidings.connected").await;
    }
    for _ in 0..50 {
        api.publish(r#"{"topic":"a"}"#).await;
        // Nobody listens to this one: it has arrived when it is stored.
        api.publish(r#"{"topic":"b/c"}"#).await;
        for stream in &mut streams {
            stream.next_event().await;
        }
    }
    let all = |view: &View| view.json("/performance/eventProcessingCount") >= 100;
    let view = View::until(&api, "every event has arrived", all).await;
    let elapsed_ms = begun.elapsed().as_secs_f64() * 1e3;
    assert_eq!(view.json("/performance/eventProcessingCount"), 100);

    let performance = &view.json["metrics"]["performance"];
    let times = &performance["eventProcessingTimeMs"];
    let [p50, p95, p99, max] =
        ["p50", "p95", "p99", "max"].map(|name| times[name].as_f64().unwrap());
    assert!(0.0 < p50 && p50 <= p95 && p95 <= p99 && p99 <= max && max <= elapsed_ms, "{times}");
    let average = performance["averageEventProcessingTimeMs"].as_f64().unwrap();
    assert!(0.0 < average && average <= max, "{performance}");

    // The text is read first, and may not have the last of them yet.
    let view = View::of(&api).await;
    assert_eq!(view.text("tidings_publish_to_socket_seconds_count", &[]), 100);
    let sum_secs = view.float("tidings_publish_to_socket_seconds_sum", &[]);
    assert!((sum_secs * 1e3 / 100.0 - average).abs() < 0.002, "{sum_secs} {average}");
    let max_secs = view.float("tidings_publish_to_socket_max_seconds", &[]);
    assert!((max_secs * 1e3 - max).abs() < 0.002, "{max_secs} {max}");
    assert_eq!(view.text("tidings_fanout_seconds_count", &[]), 100);
    assert!(view.float("tidings_fanout_seconds_sum", &[]) <= sum_secs);
    assert_eq!(view.text("tidings_broker_append_seconds_count", &[]), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_tells_what_it_takes() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let view = View::of(&api).await;
    assert!(view.float("tidings_process_resident_bytes", &[]) > 1e6);
    let open = view.text("tidings_process_open_fds", &[]);
    let streams = [api.stream("topic=a").await, api.stream("topic=a").await];
    let more = |view: &View| view.text("tidings_process_open_fds", &[]) > open;
    View::until(&api, "each stream has a descriptor", more).await;
    drop(streams);
    let busy = |view: &View| view.float("tidings_process_cpu_seconds_total", &[]) > 0.0;
    let view = View::until(&api, "it has used the processor", busy).await;
    let started = view.float("tidings_process_start_time_seconds", &[]);
    let uptime = view.float("tidings_process_uptime_seconds", &[]);
    #[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970")]
    let now = crate::support::unix_ms() as f64 / 1e3;
    assert!(uptime > 0.0 && started + uptime <= now + 0.1, "{started} {uptime} {now}");
}

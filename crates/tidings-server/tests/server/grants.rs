//! What a grant allows, against the definition, a million times at random; user ids that try to be
//! somebody else among them.

#[path = "../../../tidings-hub/tests/hub/naive/matching.rs"]
mod matching;

use std::collections::HashMap;

use fastrand::Rng;
use matching::matches;
use tidings_hub::{Pattern, Topic};
use tidings_server::identity::{Grant, User, user_topic};

use crate::support::api::{Api, Stream, json};
use crate::support::tokens::token;
use crate::support::{Server, seed};

const CASES: usize = 1_000_000;
/// Cases that share a grant.
const CASES_PER_GRANT: usize = 100;
const USERS: usize = 200_000;

const NAMES: [&str; 5] = ["a", "b", "user", "42", "4%2F2"];
const WILDCARDS: [&str; 2] = ["*", "**"];

/// One to four segments; with wildcards, those that a pattern may have.
fn text(random: &mut Rng, wildcards: bool) -> String {
    let count = random.usize(1..=4);
    let mut segments: Vec<&str> = Vec::new();
    for index in 0..count {
        let is_last = index + 1 == count;
        if wildcards && random.u8(..4) == 0 {
            let wildcard = if is_last { random.choice(WILDCARDS).unwrap() } else { "*" };
            segments.push(wildcard);
        } else {
            segments.push(random.choice(NAMES).unwrap());
        }
    }
    segments.join("/")
}

fn patterns(random: &mut Rng, count_max: usize) -> Vec<Pattern> {
    let count = random.usize(..=count_max);
    (0..count).map(|_| Pattern::new(&text(random, true)).unwrap()).collect()
}

#[test]
fn a_grant_allows_what_its_patterns_match_and_nothing_else() {
    let mut random = Rng::with_seed(seed());
    let mut allowed = 0;
    for _ in 0..CASES / CASES_PER_GRANT {
        let grant = Grant {
            default_topics: patterns(&mut random, 2),
            subscribe: patterns(&mut random, 4),
            publish: patterns(&mut random, 4),
        };
        let hears: Vec<&str> =
            grant.default_topics.iter().chain(&grant.subscribe).map(Pattern::as_str).collect();
        for _ in 0..CASES_PER_GRANT {
            let name = text(&mut random, false);
            let topic = Topic::new(&name).unwrap();
            let may_hear = hears.iter().any(|pattern| matches(pattern, &name));
            assert_eq!(grant.may_subscribe(&topic.clone().into()), may_hear, "{name} {grant:?}");
            let may_publish = grant.publish.iter().any(|granted| matches(granted.as_str(), &name));
            assert_eq!(grant.may_publish(&topic), may_publish, "{name} {grant:?}");

            // A pattern that is allowed lets nothing through that the grant would not.
            let asked = Pattern::new(&text(&mut random, true)).unwrap();
            if grant.may_subscribe(&asked) {
                allowed += 1;
                if matches(asked.as_str(), &name) {
                    assert!(may_hear, "{asked:?} hears {name}, beyond {grant:?}");
                }
            }
        }
    }
    assert!(allowed > CASES / 100, "{allowed} patterns were allowed");
}

#[test]
fn whatever_a_user_is_called_their_topic_is_theirs_alone() {
    const PIECES: [&str; 14] =
        ["a", "4", "2", "/", "*", "**", "%", "%2F", "..", ".", "$", ",", "é", "\u{202e}"];
    let mut random = Rng::with_seed(seed());
    let mut owners: HashMap<String, String> = HashMap::new();
    let everyones: Vec<Pattern> = ["user/*", "user/**"].map(|text| text.parse().unwrap()).into();
    for _ in 0..USERS {
        let count = random.usize(1..=5);
        let id: String = (0..count).map(|_| random.choice(PIECES).unwrap()).collect();
        let user = User::new(&id).unwrap();
        let topic = user_topic(&id).unwrap();
        assert_eq!(topic, user.topic());
        let segments: Vec<&str> = topic.as_str().split('/').collect();
        assert_eq!((segments.len(), segments[0]), (2, "user"), "{id:?} is {topic}");
        assert!(!segments[1].contains(['*', ',', '$', '\n']), "{id:?} is {topic}");
        let pattern = Pattern::from(topic.clone());
        assert!(pattern.is_literal());
        // As a request has it: the text of the topic is no pattern for anything else.
        assert_eq!(Pattern::new(topic.as_str()).unwrap(), pattern);
        assert!(everyones.iter().all(|everyone| everyone.matches(&topic)));
        let owner = owners.entry(topic.as_str().to_owned()).or_insert_with(|| id.clone());
        assert_eq!(*owner, id, "two users own {topic}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_has_shrunk_shrinks_what_is_replayed() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let open = |bearer: String, query: &str, cursor: Option<String>| {
        let request = api.client.get(format!("{}/api/sse?{query}", server.url()));
        let request = request.bearer_auth(bearer);
        match cursor {
            Some(cursor) => request.header("last-event-id", cursor),
            None => request,
        }
    };
    let wide = token("ann", &["orders/**"], &[]);
    let mut stream = Stream::open(open(wide, "topic=orders/**", None)).await;
    let cursor = stream.next_of("tidings.connected").await.id().to_owned();
    drop(stream);
    let mut ids = Vec::new();
    for topic in ["orders/1", "orders/2", "orders/1/items", "orders/1"] {
        ids.push(api.publish(format!(r#"{{"topic":"{topic}"}}"#)).await);
    }

    let narrow = token("ann", &["orders/1"], &[]);
    for asked in ["topic=orders/**", "topic=orders/*", "topic=orders/1&topic=orders/2"] {
        let refused = open(narrow.clone(), asked, Some(cursor.clone())).send().await.unwrap();
        assert_eq!(refused.status(), 403, "{asked}");
        assert_eq!(json(refused).await["code"], "forbidden-topic", "{asked}");
    }
    let mut stream = Stream::open(open(narrow, "topic=orders/1", Some(cursor))).await;
    assert_eq!(stream.next_of("tidings.connected").await.json()["resumed"], true);
    assert_eq!(stream.next_event().await.id(), ids[0]);
    assert_eq!(stream.next_event().await.id(), ids[3]);
}

//! Matching, covering and the index of listeners, each against its definition by brute force.

use std::collections::BTreeSet;

use fastrand::Rng;
use tidings_hub::{Pattern, PatternIndex, Topic};

use crate::naive::matching::matches;

/// Every text of up to so many segments from these.
fn texts(segments: &[&str], segments_max: usize) -> Vec<String> {
    let mut texts = Vec::new();
    let mut longest = vec![String::new()];
    for _ in 0..segments_max {
        let longer = longest.iter().flat_map(|text: &String| {
            segments.iter().map(move |segment| {
                if text.is_empty() { (*segment).into() } else { format!("{text}/{segment}") }
            })
        });
        longest = longer.collect();
        texts.extend_from_slice(&longest);
    }
    texts
}

/// Topics of up to four segments, the hub's own among them.
fn topics() -> Vec<Topic> {
    let texts = texts(&["a", "b", "$a"], 4);
    texts.iter().map(|text| Topic::reserved(text).unwrap()).collect()
}

/// Patterns of up to three segments, and literal ones of the hub's own topics.
fn patterns() -> Vec<Pattern> {
    let texts = texts(&["a", "b", "*", "**"], 3);
    let mut patterns: Vec<_> = texts.iter().filter_map(|text| Pattern::new(text).ok()).collect();
    patterns.extend(["$a", "$a/b"].map(|text| Pattern::from(Topic::reserved(text).unwrap())));
    patterns
}

#[test]
fn a_pattern_matches_by_the_definition() {
    let patterns = patterns();
    // The 84 texts of up to three segments, less those with a `**` before their end.
    assert_eq!(patterns.len(), 4 + 3 * 4 + 9 * 4 + 2);
    for pattern in &patterns {
        for topic in topics() {
            let expected = matches(pattern.as_str(), topic.as_str());
            assert_eq!(pattern.matches(&topic), expected, "{pattern:?} {topic:?}");
        }
    }
}

#[test]
fn a_pattern_covers_another_when_it_matches_all_that_the_other_does() {
    let (patterns, topics) = (patterns(), topics());
    let matched = |pattern: &Pattern| -> BTreeSet<usize> {
        (0..topics.len()).filter(|&index| pattern.matches(&topics[index])).collect()
    };
    let matched: Vec<_> = patterns.iter().map(matched).collect();
    let mut covered = 0;
    for (wider, wider_matched) in patterns.iter().zip(&matched) {
        for (narrower, narrower_matched) in patterns.iter().zip(&matched) {
            let expected = wider_matched.is_superset(narrower_matched);
            assert_eq!(wider.covers(narrower), expected, "{wider:?} covers {narrower:?}");
            covered += usize::from(expected);
        }
    }
    assert!(covered > patterns.len(), "some cover more than themselves");
}

#[test]
fn the_index_finds_the_listeners_whose_patterns_match() {
    let seed = std::env::var("TIDINGS_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("TIDINGS_SEED is a number"));
    println!("replay with TIDINGS_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let (patterns, topics) = (patterns(), topics());
    for _ in 0..200 {
        let mut index = PatternIndex::default();
        let mut listening: BTreeSet<(Pattern, u32)> = BTreeSet::new();
        for _ in 0..rng.usize(..60) {
            let pattern = rng.choice(&patterns).unwrap();
            let listener = rng.u32(..6);
            if rng.u32(..3) > 0 {
                index.insert(pattern, listener);
                listening.insert((pattern.clone(), listener));
            } else {
                index.remove(pattern, &listener);
                listening.remove(&(pattern.clone(), listener));
            }
            assert_eq!(index.is_empty(), listening.is_empty());
        }
        for topic in &topics {
            let mut found = Vec::new();
            index.for_each_match(topic, |&listener| found.push(listener));
            found.sort_unstable();
            let matching = listening.iter().filter(|(pattern, _)| pattern.matches(topic));
            let mut expected: Vec<u32> = matching.map(|&(_, listener)| listener).collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "{topic:?} among {listening:?}");
        }
        for (pattern, listener) in &listening {
            assert!(!index.is_empty());
            index.remove(pattern, listener);
        }
        assert!(index.is_empty(), "nothing is left of {listening:?}");
    }
}

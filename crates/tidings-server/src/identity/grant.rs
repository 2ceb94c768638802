//! What a principal may subscribe and publish to.

use tidings_hub::{Pattern, Topic};

/// Patterns a principal may subscribe and publish to.
///
/// The default topics are everyone's own (`user/{user}`, `broadcast`): they may always be
/// subscribed to, and `subscribe` adds to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// What a request that names no topic gets; always granted.
    pub default_topics: Vec<Pattern>,
    /// What may be subscribed to beside the default topics.
    pub subscribe: Vec<Pattern>,
    /// What may be published to.
    pub publish: Vec<Pattern>,
}

impl Grant {
    /// Whether every topic that this pattern matches may be subscribed to.
    pub fn may_subscribe(&self, pattern: &Pattern) -> bool {
        self.default_topics.iter().chain(&self.subscribe).any(|granted| granted.covers(pattern))
    }

    /// Whether there is anything that may be subscribed to.
    pub fn subscribes(&self) -> bool {
        !self.default_topics.is_empty() || !self.subscribe.is_empty()
    }

    /// Whether events may be published to this topic.
    pub fn may_publish(&self, topic: &Topic) -> bool {
        self.publish.iter().any(|granted| granted.matches(topic))
    }

    /// Whether there is anything that may be published to.
    pub fn publishes(&self) -> bool {
        !self.publish.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[rstest]
    #[case("user/42", true)]
    #[case("broadcast", true)]
    #[case("orders/1", true)]
    #[case("orders/*", true)]
    #[case("teams/7/chat/1", true)]
    #[case("teams/7/**", true)]
    #[case("user/43", false)]
    #[case("user/*", false)]
    #[case("user/42/x", false)]
    #[case("orders", false)]
    #[case("orders/**", false)]
    #[case("orders/1/items", false)]
    #[case("teams/7", false)]
    #[case("teams/*/chat", false)]
    #[case("*", false)]
    #[case("**", false)]
    fn covers_what_is_subscribed_to(#[case] asked: &str, #[case] granted: bool) {
        let grant = Grant {
            default_topics: patterns(&["user/42", "broadcast"]),
            subscribe: patterns(&["orders/*", "teams/7/**"]),
            publish: Vec::new(),
        };
        assert_eq!(grant.may_subscribe(&asked.parse().unwrap()), granted);
    }

    #[rstest]
    #[case("chat/1", true)]
    #[case("chat", false)]
    #[case("chat/1/2", false)]
    #[case("user/42", false)]
    fn matches_what_is_published_to(#[case] topic: &str, #[case] granted: bool) {
        let grant = Grant {
            default_topics: patterns(&["user/42"]),
            subscribe: patterns(&["**"]),
            publish: patterns(&["chat/*"]),
        };
        assert_eq!(grant.may_publish(&topic.parse().unwrap()), granted);
    }
}

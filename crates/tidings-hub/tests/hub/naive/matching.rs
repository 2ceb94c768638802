//! What a pattern matches, as it is defined.

/// The definition: segment by segment, `*` one, a final `**` one or more, and no wildcard for the
/// hub's own topics.
pub(crate) fn matches(pattern: &str, topic: &str) -> bool {
    fn rest(pattern: &[&str], topic: &[&str]) -> bool {
        match (pattern, topic) {
            ([], []) | (["**"], [_, ..]) => true,
            (["*", pattern @ ..], [_, topic @ ..]) => rest(pattern, topic),
            ([a, pattern @ ..], [b, topic @ ..]) => a == b && rest(pattern, topic),
            _ => false,
        }
    }
    if topic.starts_with('$') && pattern.starts_with('*') {
        return false;
    }
    let pattern: Vec<&str> = pattern.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    rest(&pattern, &topic)
}

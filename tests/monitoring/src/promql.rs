//! As much of PromQL as is needed to find the operator's metrics in it.

/// A metric of the operator in a query or in a series of a test.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// Name of the metric.
    pub metric: String,
    /// Names of the labels that stand in the braces behind it.
    pub labels: Vec<String>,
}

/// What names of metrics begin with.
const PREFIX: &str = "etcdbackup_";

/// Every use of a metric of the operator, in the order of the text. A name in quotes counts as well: it is one that
/// `__name__` is compared with, or stands in a query inside a message.
#[must_use]
pub fn selectors(text: &str) -> Vec<Selector> {
    let starts = text.match_indices(PREFIX).map(|(at, _)| at);
    let alone = starts.filter(|&at| !text[..at].ends_with(is_word));
    alone
        .map(|at| {
            let end = text[at..].find(|c| !is_word(c)).map_or(text.len(), |length| at + length);
            Selector { metric: text[at..end].to_owned(), labels: labels(&text[end..]) }
        })
        .collect()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The names of the labels, if the text begins with braces.
fn labels(text: &str) -> Vec<String> {
    let Some(inside) = text.strip_prefix('{') else { return Vec::new() };
    let (mut found, mut name, mut quote) = (Vec::new(), String::new(), None);
    for c in inside.chars() {
        match (quote, c) {
            (Some(open), c) => quote = Some(open).filter(|&open| open != c),
            (None, '}') => break,
            (None, '"' | '\'') => quote = Some(c),
            (None, '=' | '!') if !name.is_empty() => found.push(std::mem::take(&mut name)),
            (None, c) if is_word(c) => name.push(c),
            (None, _) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(metric: &str, labels: &[&str]) -> Selector {
        Selector { metric: metric.to_owned(), labels: labels.iter().map(|&label| label.to_owned()).collect() }
    }

    #[test]
    fn metrics_are_found_with_their_labels() {
        let cases: [(&str, &[Selector]); 5] = [
            ("sum(etcdbackup_a) by (b)", &[selector("etcdbackup_a", &[])]),
            (
                r#"rate(etcdbackup_a{b="}=c",d!~"e|f"}[5m]) + etcdbackup_g"#,
                &[selector("etcdbackup_a", &["b", "d"]), selector("etcdbackup_g", &[])],
            ),
            (
                r#"{__name__=~"etcdbackup_a|etcdbackup_b"}"#,
                &[selector("etcdbackup_a", &[]), selector("etcdbackup_b", &[])],
            ),
            ("printf \"etcdbackup_a{b='%s'}\"", &[selector("etcdbackup_a", &["b"])]),
            ("my_etcdbackup_a + up", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(selectors(text), expected, "{text}");
        }
    }
}

//! Whether an object in the cluster still is what we applied.

use serde_json::Value;

/// Whether `live` has everything that `wanted` says. It may have more fields, which the API server
/// or somebody else set, but no longer and no shorter lists: those are ours as a whole.
#[must_use]
pub(crate) fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| live.get(key).map_or_else(|| is_empty(wanted), |live| covers(live, wanted))),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
        }
        (live, wanted) => live == wanted,
    }
}

/// What the API server may leave out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_we_said_matters_but_all_of_it() {
        let wanted =
            json!({"spec": {"suspend": false, "args": ["a", "b"], "env": [{"name": "A", "value": "1"}], "none": {}}});
        let rows = [
            (
                json!({"spec": {"suspend": false, "args": ["a", "b"], "env": [{"name": "A", "value": "1", "more": 1}], "more": 2}}),
                true,
            ),
            (json!({"spec": {"suspend": true, "args": ["a", "b"], "env": [{"name": "A", "value": "1"}]}}), false),
            (json!({"spec": {"args": ["a", "b"], "env": [{"name": "A", "value": "1"}]}}), false),
            (json!({"spec": {"suspend": false, "args": ["b", "a"], "env": [{"name": "A", "value": "1"}]}}), false),
            (json!({"spec": {"suspend": false, "args": ["a", "b", "c"], "env": [{"name": "A", "value": "1"}]}}), false),
            (json!({"spec": {"suspend": false, "args": ["a", "b"], "env": [{"name": "A", "value": "2"}]}}), false),
            (json!({}), false),
        ];
        for (live, expected) in rows {
            assert_eq!(covers(&live, &wanted), expected, "{live}");
        }
    }
}

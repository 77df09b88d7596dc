//! What holds for every JSON document of ours.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What was read is written so that the same is read again, also when a newer minor version has added fields to every
/// object.
pub(crate) fn reads_back<T>(read: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let again = serde_json::to_string(read).and_then(|text| serde_json::from_str::<T>(&text));
    assert_eq!(again.as_ref().ok(), Some(read), "written and read again: {again:?}");
    let newer = serde_json::to_value(read).and_then(|mut value| {
        add_fields(&mut value);
        serde_json::from_value::<T>(value)
    });
    assert_eq!(newer.as_ref().ok(), Some(read), "read with unknown fields: {newer:?}");
}

fn add_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(add_fields);
            fields.insert("fieldOfANewerVersion".to_owned(), json!({ "list": [null, 1.5, "text"] }));
        }
        Value::Array(values) => values.iter_mut().for_each(add_fields),
        _ => {}
    }
}

//! What the tests of the packages share: manifests as objects, and the table of the chart's values.

#![forbid(unsafe_code)]

pub mod objects;
pub mod values_table;

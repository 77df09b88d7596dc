//! Retention's plan over volumes, policies and histories that nobody thought of.

#![expect(clippy::unwrap_used, reason = "a test whose setup fails must fail")]

mod given;
mod properties;
mod simulation;

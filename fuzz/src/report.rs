use etcd_backup_core::{MAX_REPORT_BYTES, Report};

use crate::document::reads_back;

/// Room that a report needs for what people read, in bytes.
const ROOM_FOR_TEXT: usize = 1024;

/// A run's report, as the operator reads it from a termination message and the store from the volume.
///
/// A report that reads is written so that it reads back. As one line it has at most 4,096 bytes, whatever people are
/// told in it, and nothing is lost but that.
pub fn report(document: &[u8]) {
    let Ok(report) = serde_json::from_slice::<Report>(document) else { return };
    reads_back(&report);

    let line = report.to_json();
    assert!(!line.contains('\n'), "more than a line: {line}");
    let short = serde_json::from_str::<Report>(&line);
    let facts = without_text(&report);
    assert_eq!(short.as_ref().map(without_text).ok(), Some(facts.clone()), "{short:?}");
    let bytes = |report: &Report| serde_json::to_string(report).map_or(usize::MAX, |text| text.len());
    if bytes(&report) <= MAX_REPORT_BYTES {
        assert_eq!(short.ok().as_ref(), Some(&report), "cut without need");
    }
    // Names and numbers alone are never as many as that, but where somebody invents them.
    if bytes(&facts) <= MAX_REPORT_BYTES - ROOM_FOR_TEXT {
        assert!(line.len() <= MAX_REPORT_BYTES, "{} bytes: {line}", line.len());
    }
}

/// What the operator decides by.
fn without_text(report: &Report) -> Report {
    let mut facts = Report { message: String::new(), warnings: Vec::new(), phases: Vec::new(), ..report.clone() };
    if let Some(retention) = &mut facts.retention {
        retention.message = String::new();
    }
    facts
}

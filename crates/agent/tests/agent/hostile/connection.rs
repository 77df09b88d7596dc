//! Ports at which something else than etcd answers, or nothing.

use etcd_backup_core::Reason;
use etcd_backup_hostile::{Behaviour, Speech};

use super::{Case, Then, check};

fn speaks(name: &'static str, says: &'static str, speech: Speech) -> Case {
    Case::new(name, Reason::NoMember, says, move || Behaviour::default().speaking(speech)).then(Then::Around)
}

#[test]
fn what_does_not_speak_etcds_protocol_is_no_member() {
    check(&[
        speaks("silent-port", "took longer than", Speech::Silence),
        Case {
            behaviour: Box::new(|bed| {
                let identity = bed.etcd.issue("silent", &["127.0.0.1"], 3600).unwrap();
                Behaviour::default().identity(identity).speaking(Speech::Silence)
            }),
            ..speaks("silent-after-the-tls-handshake", "took longer than", Speech::Silence)
        },
        speaks("http-1", "that this is its client URL", Speech::Http1),
        speaks("bad-gateway", "502", Speech::BadGateway),
        speaks("garbage", "that this is its client URL", Speech::Garbage),
        speaks("goaway-at-once", "no answer from etcd at http://127.0.0.1:", Speech::GoAway),
    ]);
}

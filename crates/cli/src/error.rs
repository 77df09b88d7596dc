use std::error::Error as StdError;
use std::path::PathBuf;

/// Why a command could not do or find out what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No kubeconfig, or one that cannot be used.
    #[error("no cluster is known: {0}; see --kubeconfig and --context")]
    Configuration(String),
    /// A kubeconfig that was named cannot be read.
    #[error("{} cannot be read: {reason}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The API server was not reached, or gave no usable answer.
    #[error("cannot {verb} {what}: {reason}")]
    Unreachable {
        /// What was to be done.
        verb: &'static str,
        /// With what.
        what: String,
        /// Why.
        reason: String,
    },
    /// The API server said no.
    #[error("cannot {verb} {what}: {reason}. docs/plugin.md has a table of the rights that each command needs")]
    Forbidden {
        /// What was to be done.
        verb: &'static str,
        /// With what.
        what: String,
        /// The API server's words.
        reason: String,
    },
    /// There is no such kind.
    #[error("this cluster does not serve {0}: is the operator installed, and is this the right cluster (--context)?")]
    NotServed(String),
    /// There is no such object.
    #[error(
        "{0} does not exist; `kubectl etcd-backup status` shows the schedules, `kubectl etcd-backup list` the backups"
    )]
    NotFound(String),
    /// There is one already.
    #[error("{0} exists already; choose another --name")]
    Exists(String),
    /// No claim was named, and there is not exactly one to choose.
    #[error("--pvc is needed: {0}")]
    ClaimUnknown(String),
    /// A Backup without a CronJob: nothing says how its Jobs look.
    #[error("Backup {backup} has no CronJob in namespace {namespace}: {why}")]
    NoCronJob {
        /// The Backup.
        backup: String,
        /// Where it was looked for.
        namespace: String,
        /// What to do.
        why: String,
    },
    /// The CronJob is not what our operator writes.
    #[error("CronJob {0} is not one of this operator's: its pod does not run `save` with a policy")]
    ForeignCronJob(String),
    /// A Job ended without the answer.
    #[error("Job {job} {how}; {told}")]
    Job {
        /// Its name.
        job: String,
        /// How it ended.
        how: String,
        /// What it or its pod said.
        told: String,
    },
    /// Nothing has a log.
    #[error("{0}")]
    NoLog(String),
    /// What was read cannot be written as a document.
    #[error("this cannot be written as {format}: {reason}; please report it")]
    Document {
        /// JSON or YAML.
        format: &'static str,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// What the API server's answer means for somebody who wanted to `verb` `what`.
    pub(crate) fn of(verb: &'static str, what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |error| {
            let kube::Error::Api(status) = &error else {
                return Self::Unreachable { verb, what, reason: chain(&error) };
            };
            let reason = status.message.clone();
            match status.code {
                404 if verb == "list" => Self::NotServed(what),
                404 => Self::NotFound(what),
                409 if verb == "create" && status.is_already_exists() => Self::Exists(what),
                401 | 403 => Self::Forbidden { verb, what, reason },
                _ => Self::Unreachable { verb, what, reason },
            }
        }
    }

    /// Whether asking again may help.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// An error with its causes, each said once.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn an_answer_says_what_to_do() {
        let rows = [
            ("list", 404, "NotFound", "does not serve EtcdBackups"),
            (
                "read",
                404,
                "NotFound",
                "EtcdBackups does not exist; `kubectl etcd-backup status` shows the schedules, `kubectl etcd-backup list` the backups",
            ),
            ("create", 409, "AlreadyExists", "choose another --name"),
            ("list", 403, "Forbidden", "table of the rights"),
            ("create", 422, "Invalid", "cannot create EtcdBackups: said the server"),
        ];
        for (verb, code, reason, expected) in rows {
            let status = Status::failure("said the server", reason).with_code(code);
            let error = Error::of(verb, "EtcdBackups")(kube::Error::Api(status.boxed()));
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn causes_are_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Layer(&'static str, #[source] Option<Box<Layer>>);
        let inner = Layer("connection refused", None);
        let error = Layer("request failed", Some(Box::new(Layer("connection refused", Some(Box::new(inner))))));
        assert_eq!(chain(&error), "request failed: connection refused");
    }
}

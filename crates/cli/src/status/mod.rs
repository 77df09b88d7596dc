//! `status`: one screen that tells whether the backups are well.

mod operator;
mod overview;
mod problem;
mod schedule;
mod screen;

use jiff::{SignedDuration, Timestamp};

use crate::cli::{Output, StatusArgs};
use crate::cluster::Cluster;
use crate::document::print_document;
use crate::error::Error;
use crate::exit::Exit;
use crate::paint::Paint;
use crate::print;
use operator::Operator;
use overview::{Observed, Overview};

/// Shows everything; not well is an exit code, not an error.
///
/// # Errors
/// If schedules or backups cannot be read. Not being allowed to see the operator is told, and no error.
pub(crate) async fn run(cluster: &Cluster, args: &StatusArgs) -> Result<Exit, Error> {
    let (schedules, backups, operator) =
        futures::try_join!(cluster.backups(), cluster.etcd_backups(), operator(cluster, &args.operator_namespace))?;
    let since = SignedDuration::try_from(args.since).unwrap_or(SignedDuration::MAX);
    let overview = Overview::new(Observed { schedules, backups, operator }, since, Timestamp::now());
    match args.output {
        Output::Json | Output::Yaml => print_document(&overview, args.output)?,
        Output::Table => print(&screen::text(&overview, false, Paint::of_stdout())),
        Output::Wide => print(&screen::text(&overview, true, Paint::of_stdout())),
    }
    Ok(if overview.healthy { Exit::Success } else { Exit::Unwell })
}

async fn operator(cluster: &Cluster, namespace: &str) -> Result<Operator, Error> {
    match cluster.deployment(namespace, operator::NAME).await {
        Ok(deployment) => Ok(Operator::of(namespace, deployment.as_ref())),
        Err(error @ Error::Forbidden { .. }) => Ok(Operator::hidden(namespace, &error)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;

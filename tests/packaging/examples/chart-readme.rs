//! Writes the table of a chart's values into its README: `chart-readme charts/etcd-backup-operator`.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context as _, Result};
use etcd_backup_packaging_tests::values_table;

fn main() -> Result<()> {
    let chart = PathBuf::from(env::args_os().nth(1).context("usage: chart-readme CHART")?);
    let (readme, values) = (chart.join("README.md"), chart.join("values.yaml"));
    let text = values_table::updated(&fs::read_to_string(&readme)?, &fs::read_to_string(values)?)?;
    Ok(fs::write(readme, text)?)
}

use anyhow::Result;
use serde::Deserialize;

use crate::read;

/// The dashboard, as far as it is tested.
#[derive(Debug, Clone, Deserialize)]
pub struct Dashboard {
    /// What it shows.
    pub panels: Vec<Panel>,
}

/// One panel.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    /// Number, unique in the dashboard.
    pub id: u32,
    /// What stands above it.
    pub title: String,
    /// What it says when it is asked.
    pub description: String,
    /// Where it is.
    pub grid_pos: GridPos,
    /// What it asks Prometheus.
    pub targets: Vec<Target>,
}

/// A place on the dashboard, which is 24 units wide.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct GridPos {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// Width.
    pub w: u32,
    /// Height.
    pub h: u32,
}

/// One query of a panel.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Letter, unique in the panel.
    pub ref_id: String,
    /// The query, with Grafana's variables.
    pub expr: String,
}

impl Dashboard {
    /// The dashboard of `config/monitoring`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn shipped() -> Result<Self> {
        Self::parse(&read("config/monitoring/dashboard.json")?)
    }

    /// A dashboard given as text.
    ///
    /// # Errors
    /// If it is not one.
    pub fn parse(json: &str) -> Result<Self> {
        Ok(serde_json::from_str(json)?)
    }
}

impl Target {
    /// The query as Grafana sends it, with this much for the time that a rate looks back.
    #[must_use]
    pub fn query(&self, rate_interval: &str) -> String {
        self.expr.replace("$__rate_interval", rate_interval)
    }
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A manifest is not YAML.
    #[error("not YAML: {0}")]
    Yaml(#[from] serde_yaml_ng::Error),
    /// A document is no Kubernetes object.
    #[error("a document without kind or name: {0}")]
    NotAnObject(String),
    /// The install has no Deployment, or more than one.
    #[error("{0} Deployments: a bundle needs exactly one, the operator's")]
    Deployments(usize),
    /// A binding names a role that is not part of the install.
    #[error("{0} names a role that the install does not have")]
    NoSuchRole(String),
    /// A binding gives rights to the operator and to somebody else: OLM could carry only one of the two.
    #[error("{0} binds the operator and others: write two bindings")]
    SharedBinding(String),
    /// The hand-written text describes a kind that has no CRD.
    #[error("config/olm/base.yaml describes {0}, which has no CRD: remove it")]
    NoSuchKind(String),
    /// A CRD that the hand-written text does not describe.
    #[error("config/olm/base.yaml does not describe the CRD {0}: add it to customresourcedefinitions.owned")]
    UndescribedKind(String),
    /// The hand-written text describes a field that the CRD does not have.
    #[error("config/olm/base.yaml describes {kind} {field}, which the CRD does not have: remove or rename it")]
    NoSuchField {
        /// Of which kind.
        kind: String,
        /// `spec` or `status` and the path below it.
        field: String,
    },
    /// A field of the CRD that the hand-written text leaves out.
    #[error("config/olm/base.yaml does not describe {kind} {field}: add a descriptor")]
    UndescribedField {
        /// Of which kind.
        kind: String,
        /// `spec` or `status` and the name of the field.
        field: String,
    },
    /// There is no example of a kind.
    #[error("config/samples has no {0}")]
    NoSample(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

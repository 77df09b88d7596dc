//! Where the test programs are: etcd, kube-apiserver, kubectl and their like.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The directory that controller-runtime's envtest, and with it most operators' tests, take test programs from.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// The repository that this crate was built in.
#[must_use]
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// Finds a test program in `$KUBEBUILDER_ASSETS`, else where `make tools` builds it.
///
/// # Errors
/// [`Error::Tool`] says where it was looked for and how to get it.
pub fn tool(name: &str) -> Result<PathBuf> {
    let assets = env::var_os(ASSETS).filter(|value| !value.is_empty()).map(PathBuf::from);
    find(name, assets.into_iter().chain([repository().join("target/tools")]).collect())
}

fn find(name: &str, searched: Vec<PathBuf>) -> Result<PathBuf> {
    let found = searched.iter().map(|directory| directory.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| Error::Tool { name: name.to_owned(), searched })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_directory_that_has_it_wins() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let searched = || vec![first.path().to_owned(), second.path().to_owned()];
        std::fs::write(second.path().join("etcd"), "").unwrap();
        assert_eq!(find("etcd", searched()).unwrap(), second.path().join("etcd"));
        std::fs::write(first.path().join("etcd"), "").unwrap();
        assert_eq!(find("etcd", searched()).unwrap(), first.path().join("etcd"));
    }

    #[test]
    fn what_is_missing_says_how_to_get_it() {
        let message = find("etcd", vec!["/no/such/place".into()]).unwrap_err().to_string();
        assert!(message.contains("etcd not found in /no/such/place") && message.contains("make tools"), "{message}");
    }

    #[test]
    fn the_repository_holds_this_crate() {
        assert!(repository().join("tests/testbed/Cargo.toml").is_file());
    }
}

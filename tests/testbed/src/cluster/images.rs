//! The images of the control plane: the programs that `make tools` builds, packed under the names that kubeadm uses.

use std::fs;
use std::path::{Path, PathBuf};

use super::manifests::{PAUSE_IMAGE, image as image_name};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::tools::tool;

/// The archives of the control plane's images, made once for each build of the tools.
pub(crate) fn archives() -> Result<Vec<PathBuf>> {
    let kube = tool("kube")?;
    let programs =
        ["etcd", "etcdctl", "etcdutl", "kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
    let components = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
    let control_plane = Image {
        tags: components.map(image_name).to_vec(),
        entrypoint: vec!["/usr/local/bin/kube".to_owned()],
        user: String::new(),
        links: programs.map(|name| (format!("/usr/local/bin/{name}"), "kube".to_owned())).to_vec(),
        files: vec![(kube.clone(), "/usr/local/bin/kube".to_owned())],
    };
    let pause_program = tool("pause")?;
    let pause = Image {
        tags: vec![PAUSE_IMAGE.to_owned()],
        entrypoint: vec!["/pause".to_owned()],
        files: vec![(pause_program.clone(), "/pause".to_owned())],
        user: String::new(),
        links: Vec::new(),
    };
    Ok(vec![cached(&pause, "pause", &pause_program)?, cached(&control_plane, "kube", &kube)?])
}

/// Writes the image beside the program that it is made of, unless a newer one is there.
fn cached(image: &Image, name: &str, program: &Path) -> Result<PathBuf> {
    let archive = program.with_file_name(format!("{name}-image.tar"));
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    if modified(&archive).is_some_and(|time| Some(time) > modified(program)) {
        return Ok(archive);
    }
    let part = archive.with_extension(format!("{}.part", std::process::id()));
    image.write(&part)?;
    fs::rename(&part, &archive).map_err(Error::io(format!("rename {} to {}", part.display(), archive.display())))?;
    Ok(archive)
}

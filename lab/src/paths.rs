//! Where the lab finds and leaves its things.

use std::env;
use std::fs::{self, File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Writes a file that is there as a whole or not at all, whatever happens meanwhile; its directory is made.
///
/// # Errors
///
/// Those of `write`, or when there is no space for it: what had the name stays.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> Result<()>,
) -> Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let write_it = || -> Result<()> {
        fs::create_dir_all(directory)?;
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(directory)?;
        let mut buffer = BufWriter::new(file.as_file_mut());
        write(&mut buffer)?;
        buffer.flush()?;
        drop(buffer);
        file.as_file().sync_data()?;
        file.persist(path)?;
        Ok(())
    };
    write_it().with_context(|| format!("cannot write {}", path.display()))
}

/// The directories of one checkout.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The checkout.
    pub root: PathBuf,
    /// Cargo's target directory: `CARGO_TARGET_DIR`, otherwise `target` in the checkout.
    pub target: PathBuf,
}

impl Paths {
    /// For the checkout that this crate was built from.
    pub fn discover() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the lab is a directory of the workspace")
            .to_owned();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => env::current_dir()
                .unwrap_or_else(|_| root.clone())
                .join(dir),
            None => root.join("target"),
        };
        Paths { root, target }
    }

    /// What the lab leaves behind: reports and tools.
    pub fn lab(&self) -> PathBuf {
        self.target.join("lab")
    }

    /// Root of `cargo install` for the lab's tools.
    pub fn tools(&self) -> PathBuf {
        self.lab().join("tools")
    }

    /// A tool that `cargo install` put there.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.tools().join("bin").join(name)
    }

    /// Kernels, root disks and tools of guests.
    pub fn images(&self) -> PathBuf {
        self.lab().join("images")
    }

    /// The declarations of targets.
    pub fn vm_images(&self) -> PathBuf {
        self.root.join("vm-images")
    }

    /// Which packages images are made of.
    pub fn images_lock(&self) -> PathBuf {
        self.vm_images().join("images.lock")
    }

    /// What the bench compiled to compare with.
    pub fn peers(&self) -> PathBuf {
        self.lab().join("peers")
    }

    /// A directory for each run of the lab.
    pub fn runs(&self) -> PathBuf {
        self.lab().join("runs")
    }

    /// A program of the workspace, built for measuring.
    pub fn release(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// A program of the workspace, built as the verbs are.
    pub fn debug(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// The accepted differences.
    pub fn exceptions(&self) -> PathBuf {
        self.root.join("lab/exceptions.toml")
    }

    /// Where the accepted reports lie.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("tests/snapshots")
    }
}

//! What targets there are, and what of them is built.

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};

use super::build::Entries;
use super::cache::{Cache, allocated};
use super::declaration::{Guest, Kernel, Target, load_all};
use super::lock::Lock;
use crate::paths::Paths;

/// A target, as it stands.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The declaration.
    pub target: Target,
    /// The pinned version of its kernel, and the suite of the archive that has it.
    pub kernel: String,
    /// What the parts that are built take on disk, in bytes; `None` when some are missing.
    pub built: Option<u64>,
}

/// All targets.
///
/// # Errors
///
/// When a declaration or the lock makes no sense.
pub fn list(paths: &Paths) -> Result<Vec<Listed>> {
    let lock = Lock::load(paths)?;
    let cache = Cache::open(&paths.images())?;
    let listed = |target: Target| {
        let (kernel, built) = match &target.guest {
            None => ("the running one".to_owned(), Some(0)),
            Some(guest) => (
                kernel_words(guest, &target, &lock),
                built(paths, &lock, &cache, &target, guest)?,
            ),
        };
        Ok(Listed {
            target,
            kernel,
            built,
        })
    };
    load_all(paths)?.into_iter().map(listed).collect()
}

fn kernel_words(guest: &Guest, target: &Target, lock: &Lock) -> String {
    match &guest.kernel {
        Kernel::Files { image, .. } => image.display().to_string(),
        Kernel::Packages { packages, suite } => match lock.kernel_of(target).as_deref() {
            Ok([first, ..]) => format!("{}, {suite}", first.version),
            _ => format!("{} of {suite}, not pinned", packages.join(", ")),
        },
    }
}

fn built(
    paths: &Paths,
    lock: &Lock,
    cache: &Cache,
    target: &Target,
    guest: &Guest,
) -> Result<Option<u64>> {
    let Ok(entries) = Entries::of(paths, lock, target, guest) else {
        return Ok(None);
    };
    let mut bytes = 0;
    for name in entries.names() {
        match cache.entry(&name) {
            Some(path) => bytes += allocated(&path)?,
            None => return Ok(None),
        }
    }
    Ok(Some(bytes))
}

/// For a terminal of `width` columns.
pub fn table(targets: &[Listed], width: u16) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(width);
    table.set_header([
        "target", "backend", "kernel", "root", "profiles", "built", "for",
    ]);
    for Listed {
        target,
        kernel,
        built,
    } in targets
    {
        let profiles: Vec<&str> = target
            .profiles
            .iter()
            .map(|profile| profile.name())
            .collect();
        table.add_row([
            target.name.clone(),
            target.backend.name().to_owned(),
            kernel.clone(),
            target
                .guest
                .as_ref()
                .map_or("-", |guest| &guest.root)
                .to_owned(),
            profiles.join(" "),
            match (&target.guest, built) {
                (None, _) => "-".to_owned(),
                (Some(_), None) => "no".to_owned(),
                (Some(_), Some(bytes)) => format!("{} MiB", bytes >> 20),
            },
            target.purpose.clone(),
        ]);
    }
    table
}

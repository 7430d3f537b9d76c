//! The directories of the workloads, and what is in them before the mounts are made.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workload::{Fixtures, Material, Room, Workload};

/// Where a workload works below the directory of a contestant.
fn place(workload: &Workload) -> PathBuf {
    match workload.material {
        Material::Shared { name, .. } => Path::new("shared").join(name),
        Material::Own { .. } => Path::new("own").join(workload.name),
    }
}

/// The room of a workload on a contestant whose root directory is `dir` on the mount and `source`
/// behind it.
pub(super) fn room(workload: &Workload, dir: &Path, source: &Path, fixtures: &Fixtures) -> Room {
    let place = place(workload);
    Room {
        dir: dir.join(&place),
        backing: source.join(&place),
        fixtures: fixtures.clone(),
    }
}

/// Makes what the workloads need in the directory of a contestant: what is only read when it is
/// missing, all else anew.
pub(super) fn furnish(source: &Path, workloads: &[&Workload], fixtures: &Fixtures) -> Result<()> {
    let own = source.join("own");
    if own.exists() {
        fs::remove_dir_all(&own).with_context(|| format!("cannot clear {}", own.display()))?;
    }
    for workload in workloads {
        let path = source.join(place(workload));
        let (Material::Shared { make, .. } | Material::Own { make }) = workload.material;
        if path.exists() {
            continue;
        }
        fs::create_dir_all(&path)?;
        make(&path, fixtures).with_context(|| {
            format!(
                "making the files of {} in {}",
                workload.name,
                path.display()
            )
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Caches, Group};

    fn workload(name: &'static str, material: Material) -> Workload {
        Workload {
            name,
            group: Group::Data,
            operation: "nothing",
            caches: Caches::New,
            quick: true,
            material,
            before: |_| Ok(()),
            run: |_, _| Ok(()),
        }
    }

    #[test]
    fn what_is_read_is_made_once_and_what_is_changed_each_time() {
        let make =
            |path: &Path, _: &Fixtures| -> Result<()> { Ok(fs::write(path.join("file"), "new")?) };
        let dir = tempfile::tempdir().unwrap();
        let fixtures = Fixtures {
            dir: dir.path().to_owned(),
            quick: true,
        };
        let read = workload("read", Material::Shared { name: "data", make });
        let changed = workload("changed", Material::Own { make });
        let workloads = [&read, &changed];
        furnish(dir.path(), &workloads, &fixtures).unwrap();
        let rooms = workloads.map(|one| room(one, dir.path(), dir.path(), &fixtures));
        for room in &rooms {
            fs::write(room.dir.join("file"), "old").unwrap();
            fs::write(room.dir.join("more"), "").unwrap();
        }
        furnish(dir.path(), &workloads, &fixtures).unwrap();
        let seen = rooms.map(|room| {
            let content = fs::read_to_string(room.dir.join("file")).unwrap();
            (content, room.dir.join("more").exists())
        });
        assert_eq!(seen, [("old".to_owned(), true), ("new".to_owned(), false)]);
    }
}

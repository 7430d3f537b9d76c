//! The directories of the workloads, and what is in them before the mounts are made.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workload::{Fixtures, Material, Room, Workload};

/// What is made anew for each repetition.
const FRESH: &str = "fresh";

/// Where a workload works below the directory of a contestant.
fn place(workload: &Workload) -> PathBuf {
    match workload.material {
        Material::Lasting { name, .. } => Path::new("lasting").join(name),
        Material::Shared { name, .. } => Path::new(FRESH).join("shared").join(name),
        Material::Own { .. } => Path::new(FRESH).join("own").join(workload.name),
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

/// Makes what the workloads need in the directory of a contestant: what lasts when it is missing, all
/// else anew.
pub(super) fn furnish(source: &Path, workloads: &[&Workload], fixtures: &Fixtures) -> Result<()> {
    let fresh = source.join(FRESH);
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("cannot clear {}", fresh.display()))?;
    }
    for workload in workloads {
        let path = source.join(place(workload));
        let (Material::Lasting { make, .. }
        | Material::Shared { make, .. }
        | Material::Own { make }) = workload.material;
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
    fn what_lasts_is_made_once_and_all_else_each_time() {
        let make =
            |path: &Path, _: &Fixtures| -> Result<()> { Ok(fs::write(path.join("file"), "new")?) };
        let dir = tempfile::tempdir().unwrap();
        let fixtures = Fixtures {
            dir: dir.path().to_owned(),
            quick: true,
        };
        let name = "data";
        let workloads = [
            workload("lasts", Material::Lasting { name, make }),
            workload("read", Material::Shared { name, make }),
            workload("read-too", Material::Shared { name, make }),
            workload("changed", Material::Own { make }),
        ];
        let workloads = workloads.each_ref();
        furnish(dir.path(), &workloads, &fixtures).unwrap();
        let rooms = workloads.map(|one| room(one, dir.path(), dir.path(), &fixtures));
        assert_eq!(rooms[1].dir, rooms[2].dir);
        for room in &rooms {
            fs::write(room.dir.join("file"), "old").unwrap();
            fs::write(room.dir.join("more"), "").unwrap();
        }
        furnish(dir.path(), &workloads, &fixtures).unwrap();
        let kept = rooms.map(|room| {
            let content = fs::read_to_string(room.dir.join("file")).unwrap();
            (content == "old", room.dir.join("more").exists())
        });
        let (old, new) = ((true, true), (false, false));
        assert_eq!(kept, [old, new, new, new]);
    }
}

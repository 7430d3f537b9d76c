//! The directories of the workloads, and what is in them before the mounts are made.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::workload::{Fixtures, Material, Room, Workload};

/// Directories that begin so are kept; all others are made anew for each repetition.
const LASTING: &str = "lasting-";

/// Where a workload works below the directory of a contestant: one component, because who caches no
/// names pays for each.
fn place(workload: &Workload) -> String {
    match workload.material {
        Material::Lasting { name, .. } => format!("{LASTING}{name}"),
        Material::Shared { name, .. } => format!("shared-{name}"),
        Material::Own { .. } => format!("own-{}", workload.name),
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
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(LASTING.as_bytes())
        {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("cannot clear {}", entry.path().display()))?;
        }
    }
    for workload in workloads {
        let path = source.join(place(workload));
        let (Material::Lasting { make, .. }
        | Material::Shared { make, .. }
        | Material::Own { make }) = workload.material;
        if path.exists() {
            continue;
        }
        fs::create_dir(&path)?;
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
            dir: "/nowhere".into(),
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

//! `mount -t`, `/etc/fstab` and the names of mount helpers, in a mount namespace of their own.

use std::path::Path;

use serde_json::Value;

use crate::command::{Said, World, available};
use crate::world;

/// Runs a script in a mount namespace of its own, with the directory of the binary in PATH. Whatever
/// happens, the mount is gone at its end.
fn script(world: &World, script: &str) -> Said {
    let binary = world.binary();
    let dir = binary.parent().expect("a directory");
    let script = format!(
        "set -eu; S={src} M={mnt} B={binary}; PATH=$PATH:{dir}; trap 'umount -l $M 2>/dev/null || :' EXIT\n{script}",
        src = world.text("src"),
        mnt = world.text("mnt"),
        binary = binary.display(),
        dir = dir.display(),
    );
    let args = ["--mount", "--propagation", "private", "sh", "-c", &script];
    world.run_program(Path::new("/usr/bin/unshare"), &args)
}

/// A world on a machine with what `mount -t fuse.*` needs.
#[track_caller]
fn fuse3() -> Option<World> {
    let world = world()?;
    available(Path::new("/sbin/mount.fuse3").exists(), "mount.fuse3").then_some(world)
}

/// Reads the file and the status, unmounts, and waits for the daemon.
const CHECK: &str = "cat $M/file; echo; dynamicfs status --json $M; dynamicfs umount --wait $M";

#[track_caller]
fn checked(world: &World, said: Said) -> Value {
    let out = said.ok();
    let (content, status) = out.split_once('\n').expect("two parts");
    assert_eq!(content, "content");
    world.nothing_left();
    serde_json::from_str(status).expect("JSON")
}

#[test]
fn mount_type_fuse_dynamicfs() {
    let Some(world) = fuse3() else { return };
    let said = script(
        &world,
        &format!("mount -t fuse.dynamicfs $S $M -o preset=safe\n{CHECK}"),
    );
    let status = checked(&world, said);
    assert_eq!(status["preset"], "safe");
    assert_eq!(status["preset_origin"], "-o preset");
}

#[test]
fn a_line_of_fstab() {
    let Some(world) = fuse3() else { return };
    let line = format!(
        "{} {} fuse.dynamicfs ro,noatime,attr_ttl=2s,nofail,_netdev,x-systemd.automount 0 0\n",
        world.text("src"),
        world.text("mnt")
    );
    std::fs::write(world.path("fstab"), line).expect("a file");
    let fstab = world.text("fstab");
    let script = script(
        &world,
        &format!(
            "mount --fstab {fstab} $M\n! touch $M/x 2>/dev/null\nmount --fstab {fstab} -a\n{CHECK}"
        ),
    );
    let status = checked(&world, script);
    let options = status["options"].as_str().expect("options");
    assert!(
        options.contains("ro") && options.contains("noatime"),
        "{options}"
    );
    let settings = status["settings"].as_array().expect("settings");
    let attr = settings
        .iter()
        .find(|setting| setting["name"] == "attr_ttl")
        .expect("it");
    assert_eq!(attr["value"], "2s");
}

#[test]
fn the_names_of_helpers() {
    let Some(world) = world() else { return };
    for name in ["dynamicfs", "fuse.dynamicfs"] {
        // mount(8) looks in /sbin, which this namespace may cover.
        let said = script(
            &world,
            &format!(
                "mount -t tmpfs none /usr/sbin; ln -s $B /usr/sbin/mount.{name}\n\
                 mount -t {name} $S $M -o ro,preset=safe\n{CHECK}"
            ),
        );
        assert_eq!(checked(&world, said)["preset"], "safe", "{name}");
    }
}

#[test]
fn a_helper_that_only_checks() {
    let Some(world) = world() else { return };
    let link = world.path("mount.dynamicfs");
    std::os::unix::fs::symlink(world.binary(), &link).expect("a link");
    let said = world.run_program(
        &link,
        &world.expand(&["@src", "@mnt", "-f", "-o", "preset=safe"]),
    );
    said.ok();
    world.nothing_left();
    let said = world.run_program(
        &link,
        &world.expand(&["@src", "@mnt", "-f", "-o", "preset=no"]),
    );
    said.refused(2, &["-o preset=no"]);
}

#[test]
fn errors_pass_through_mount() {
    let Some(world) = fuse3() else { return };
    let said = script(&world, "mount -t fuse.dynamicfs $S $M -o attr_ttl=soon");
    assert_ne!(said.code, Some(0), "{said:?}");
    assert!(
        said.err.contains("-o attr_ttl=soon") && said.err.contains("not a duration"),
        "{said:?}"
    );
    world.nothing_left();
}

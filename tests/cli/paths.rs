//! Sources and mountpoints that cannot be used, and mounts that are not there.

use std::os::unix::fs::symlink;

use crate::command::{World, root};

/// Mounts `source` at `mountpoint`, and leaves nothing behind.
#[track_caller]
fn refused(world: &World, source: &str, mountpoint: &str, fragments: &[&str]) {
    // Paths are checked before privileges, so nobody needs to be root for these.
    world
        .run(&["mount", source, mountpoint])
        .refused(3, fragments);
    world
        .run(&["mount", "--foreground", source, mountpoint])
        .refused(3, fragments);
    world.nothing_left();
}

#[test]
fn the_source_is_missing() {
    refused(
        &World::new(),
        "@none",
        "@mnt",
        &["source", "none: no such directory", "create it"],
    );
}

#[test]
fn the_source_is_a_file() {
    let world = World::new();
    std::fs::write(world.path("file"), "").expect("a file");
    refused(
        &world,
        "@file",
        "@mnt",
        &["file: not a directory", "memory:[SIZE]"],
    );
}

#[test]
fn the_source_is_inside_the_mountpoint() {
    let world = World::new();
    std::fs::create_dir(world.path("mnt/in")).expect("a directory");
    refused(
        &world,
        "@mnt/in",
        "@mnt",
        &["inside the mountpoint", "mount elsewhere"],
    );
}

#[test]
fn the_mountpoint_is_inside_the_source() {
    let world = World::new();
    std::fs::create_dir(world.path("src/in")).expect("a directory");
    refused(
        &world,
        "@src",
        "@src/in",
        &["inside the source", "mount elsewhere"],
    );
}

#[test]
fn both_are_the_same_by_another_name() {
    let world = World::new();
    symlink("src", world.path("link")).expect("a link");
    refused(
        &world,
        "@src",
        "@link",
        &["source and mountpoint are both", "another directory"],
    );
}

#[test]
fn the_mountpoint_is_inside_the_source_by_a_link() {
    let world = World::new();
    std::fs::create_dir(world.path("src/in")).expect("a directory");
    symlink("src/in", world.path("link")).expect("a link");
    refused(&world, "@src", "@link", &["inside the source"]);
}

#[test]
fn the_mountpoint_is_missing() {
    refused(
        &World::new(),
        "@src",
        "@none",
        &["mountpoint", "none: no such directory", "mkdir -p"],
    );
}

#[test]
fn the_mountpoint_is_a_dangling_link() {
    let world = World::new();
    symlink("none", world.path("link")).expect("a link");
    refused(
        &world,
        "@src",
        "@link",
        &["mountpoint", "no such directory"],
    );
}

#[test]
fn the_mountpoint_is_a_file() {
    let world = World::new();
    std::fs::write(world.path("file"), "").expect("a file");
    refused(
        &world,
        "@src",
        "@file",
        &["mountpoint", "file: not a directory"],
    );
}

#[test]
fn the_helper_says_the_same() {
    let world = World::new();
    world
        .run(&["@none", "@mnt", "-o", "rw"])
        .refused(3, &["source", "no such directory"]);
    world.nothing_left();
}

#[test]
fn unmounting_what_is_not_mounted() {
    let world = World::new();
    for way in [
        &["umount", "@mnt"][..],
        &["umount", "--lazy", "@mnt"],
        &["umount", "--wait", "@mnt"],
    ] {
        world
            .run(way)
            .refused(5, &["mnt: nothing is mounted there", "dynamicfs status"]);
    }
}

#[test]
fn unmounting_what_does_not_exist() {
    World::new()
        .run(&["umount", "@none"])
        .refused(5, &["none: No such file or directory"]);
}

#[test]
fn unmounting_the_mount_of_another_file_system() {
    World::new()
        .run(&["umount", "/proc"])
        .refused(5, &["/proc: not a dynamicfs mount", "type proc"]);
    assert!(std::path::Path::new("/proc/self").exists());
}

#[test]
fn figures_without_mounts() {
    World::new()
        .run(&["stats"])
        .refused(5, &["no dynamicfs mounts", "dynamicfs mount SRC MNT"]);
}

#[test]
fn status_and_figures_of_what_is_not_mounted() {
    let world = World::new();
    for verb in ["status", "stats"] {
        world
            .run(&[verb, "@mnt"])
            .refused(5, &["mnt: not a dynamicfs mount"]);
        world
            .run(&[verb, "@none"])
            .refused(5, &["none: No such file"]);
    }
}

#[test]
fn status_without_mounts_is_no_error() {
    let world = World::new();
    let said = world.run(&["status"]).ok();
    // A stale mount of somebody else may be on this machine, but none of ours.
    assert!(!said.contains(&world.text("")), "{said}");
    let json: serde_json::Value =
        serde_json::from_str(&world.run(&["status", "--json"]).ok()).expect("JSON");
    assert_eq!(json["mounts"], serde_json::json!([]));
}

#[test]
fn the_runtime_directory_cannot_be_made() {
    if !root() {
        return;
    }
    let world = World::new().with("DYNAMICFS_RUNTIME_DIR", "/proc/none");
    world
        .run(&["mount", "@src", "@mnt"])
        .refused(1, &["/proc/none cannot be used", "DYNAMICFS_RUNTIME_DIR"]);
    world.nothing_left();
}

#[test]
fn the_runtime_directory_is_a_link_of_somebody() {
    if !root() {
        return;
    }
    let world = World::new();
    symlink("/etc", world.path("run")).expect("a link");
    world
        .run(&["mount", "@src", "@mnt"])
        .refused(1, &["not private", "not a directory"]);
    assert!(world.mounts().is_empty());
}

#[test]
fn the_runtime_directory_is_open_to_others() {
    if !root() {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    std::fs::create_dir(world.path("run")).expect("a directory");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(world.path("run"), open).expect("mode");
    world
        .run(&["mount", "@src", "@mnt"])
        .refused(1, &["not private", "others may write"]);
    world.nothing_left();
}

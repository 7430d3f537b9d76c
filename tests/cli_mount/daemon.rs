//! In the background and in the foreground.

use std::process::Stdio;

use rustix::mount::MountFlags;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::command::World;
use crate::{Daemon, mounted, status, unmount_when_idle, unmounted, wait_until, world};

fn content(world: &World) -> String {
    std::fs::read_to_string(world.path("mnt/file")).expect("it answers")
}

#[test]
fn the_mount_answers_when_the_command_returns() {
    let Some(world) = world() else { return };
    mounted(&world, &["@src", "@mnt"]);
    assert_eq!(content(&world), "content");
    std::fs::write(world.path("mnt/new"), "new").expect("written");
    assert_eq!(std::fs::read(world.path("src/new")).expect("there"), b"new");
    let status = status(&world, "@mnt");
    assert_eq!(status["source"], world.text("src"));
    assert_eq!(status["mountpoint"], world.text("mnt"));
    assert_eq!(status["preset"], "balanced");
    unmounted(&world, "@mnt");
}

#[test]
fn the_daemon_has_a_session_of_its_own_and_holds_nothing() {
    let Some(world) = world() else { return };
    mounted(&world, &["@src", "@mnt"]);
    let pid = status(&world, "@mnt")["pid"].as_i64().expect("a pid");
    let process = std::path::PathBuf::from(format!("/proc/{pid}"));
    let link = |name: &str| std::fs::read_link(process.join(name)).expect("it lives");
    assert_eq!(link("cwd"), std::path::Path::new("/"));
    for descriptor in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(link(descriptor), std::path::Path::new("/dev/null"));
    }
    let pid = Pid::from_raw(pid as i32);
    assert_eq!(rustix::process::getsid(pid).ok(), pid);
    unmounted(&world, "@mnt");
}

#[test]
fn relative_paths_are_those_of_the_caller() {
    let Some(world) = world() else { return };
    mounted(&world, &["src", "mnt", "--log-file", "log"]);
    assert_eq!(content(&world), "content");
    unmounted(&world, "mnt");
    let log = std::fs::read_to_string(world.path("log")).expect("a log");
    assert!(
        log.contains("mounted") && log.contains("unmounted"),
        "{log}"
    );
}

#[test]
fn in_the_foreground() {
    let Some(world) = world() else { return };
    let args = world.expand(&["mount", "-f", "--log-format", "json", "@src", "@mnt"]);
    let child = world
        .command(&world.binary(), &args)
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    wait_until("a mount", || world.run(&["status", "@mnt"]).code == Some(0));
    assert_eq!(status(&world, "@mnt")["pid"], child.id());
    assert_eq!(content(&world), "content");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).expect("it lives");
    let child = std::cell::RefCell::new(child);
    wait_until("its end", || child_ended(&mut child.borrow_mut()));
    let child = child.into_inner();
    let output = child.wait_with_output().expect("it ended");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let log = String::from_utf8(output.stderr).expect("text");
    assert!(log.lines().count() >= 2, "{log}");
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line).expect("JSON");
        assert!(entry["level"].is_string(), "{entry}");
    }
    world.nothing_left();
}

#[test]
fn what_is_in_use_stays() {
    let Some(world) = world() else { return };
    mounted(&world, &["@src", "@mnt"]);
    let file = std::fs::File::open(world.path("mnt/file")).expect("opened");
    world
        .run(&["umount", "@mnt"])
        .refused(6, &["is in use", "umount --lazy"]);
    assert_eq!(content(&world), "content");
    drop(file);
    unmounted(&world, "@mnt");
}

#[test]
fn what_is_in_use_can_be_detached() {
    let Some(world) = world() else { return };
    mounted(&world, &["@src", "@mnt"]);
    let daemon = Daemon::of(&world, "@mnt");
    let file = std::fs::File::open(world.path("mnt/file")).expect("opened");
    world.run(&["umount", "--lazy", "@mnt"]).ok();
    assert!(world.mounts().is_empty());
    // Who has it open still reads.
    assert_eq!(std::io::read_to_string(&file).expect("data"), "content");
    assert!(!daemon.is_gone());
    drop(file);
    wait_until("the daemon's end", || daemon.is_gone());
    world.nothing_left();
}

#[test]
fn the_place_of_a_detached_mount_is_free() {
    let Some(world) = world() else { return };
    mounted(&world, &["@src", "@mnt"]);
    let old = Daemon::of(&world, "@mnt");
    let file = std::fs::File::open(world.path("mnt/file")).expect("opened");
    world.run(&["umount", "--lazy", "@mnt"]).ok();
    let overview: Value =
        serde_json::from_str(&world.run(&["status", "--json"]).ok()).expect("JSON");
    assert_eq!(overview["detached"], serde_json::json!([world.text("mnt")]));
    mounted(&world, &["@src", "@mnt", "--preset", "safe"]);
    assert_eq!(status(&world, "@mnt")["preset"], "safe");
    drop(file);
    wait_until("the end of the old daemon", || old.is_gone());
    assert_eq!(status(&world, "@mnt")["preset"], "safe");
    unmounted(&world, "@mnt");
}

/// The end of a daemon must not take the next mount, or the one below, with it.
#[test]
fn what_is_mounted_below_stays() {
    let Some(world) = world() else { return };
    let none = Option::<&std::ffi::CStr>::None;
    rustix::mount::mount(
        "none",
        world.path("mnt"),
        "tmpfs",
        MountFlags::empty(),
        none,
    )
    .expect("root may");
    std::fs::write(world.path("mnt/below"), "").expect("a file");
    let said = world.run(&["mount", "@src", "@mnt"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(content(&world), "content");
    unmount_when_idle(&world, "@mnt");
    assert!(world.path("mnt/below").exists(), "the tmpfs below is gone");
}

#[test]
fn a_mount_of_another_subtype_is_ours_all_the_same() {
    let Some(world) = world() else { return };
    mounted(&world, &["-o", "subtype=other", "@src", "@mnt"]);
    let table = std::fs::read_to_string("/proc/thread-self/mountinfo").expect("/proc");
    assert!(table.contains("fuse.other"), "{table}");
    unmounted(&world, "@mnt");
}

#[test]
fn a_second_mount_in_the_same_place() {
    let Some(world) = world() else { return };
    std::fs::create_dir(world.path("other")).expect("a directory");
    mounted(&world, &["@src", "@mnt"]);
    world.run(&["mount", "@other", "@mnt"]).refused(
        3,
        &["there is a dynamicfs mount already", "dynamicfs umount"],
    );
    assert_eq!(content(&world), "content");
    unmounted(&world, "@mnt");
}

#[test]
fn a_mountpoint_that_is_not_empty_is_warned_of() {
    let Some(world) = world() else { return };
    std::fs::write(world.path("mnt/hidden"), "").expect("a file");
    let said = world.run(&["mount", "@src", "@mnt"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.err.lines().count(), 1, "{said:?}");
    assert!(
        said.err.contains("warning: ") && said.err.contains("not empty"),
        "{said:?}"
    );
    unmounted(&world, "@mnt");
    assert!(world.path("mnt/hidden").exists());
}

#[test]
fn a_file_system_in_memory() {
    let Some(world) = world() else { return };
    mounted(&world, &["memory:16M", "@mnt"]);
    std::fs::write(world.path("mnt/file"), vec![7; 1 << 20]).expect("written");
    assert_eq!(
        std::fs::read(world.path("mnt/file")).expect("read"),
        vec![7; 1 << 20]
    );
    let found = rustix::fs::statfs(world.path("mnt")).expect("it answers");
    let bytes = found.f_blocks * found.f_bsize as u64;
    assert!(bytes <= 16 << 20, "{bytes}");
    assert_eq!(status(&world, "@mnt")["source"], "memory:16MiB");
    unmounted(&world, "@mnt");
}

fn child_ended(child: &mut std::process::Child) -> bool {
    child.try_wait().expect("our child").is_some()
}

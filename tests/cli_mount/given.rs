//! Connections that somebody else has mounted: `/dev/fd/N` in the place of a mountpoint.

use std::io::Write;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::command::{Said, World};
use crate::{Daemon, status, unmounted, wait_until, world};

/// Mounts at `mnt` with descriptor 9, as mount(8) does it for a container, with these options besides; then
/// runs the rest of `script` with the binary in `$0`.
fn with_connection(world: &World, options: &str, script: &str) -> Said {
    let script = format!(
        "exec 9<>/dev/fuse
        mount -i -t fuse given mnt -o fd=9,rootmode=40000,user_id=0,group_id=0{options} || exit 99
        {script}"
    );
    let binary = world.binary().display().to_string();
    world.run_program("/bin/bash".as_ref(), &["-c", &script, &binary])
}

/// A world whose mounts use the transport that can do this.
#[track_caller]
fn native() -> Option<World> {
    world().map(|world| world.with("DYNAMICFS_TRANSPORT", "linux"))
}

#[test]
fn a_mount_of_somebody_else_is_served_like_any_other() {
    let Some(world) = native() else { return };
    let options = ",allow_other,default_permissions";
    with_connection(&world, options, "exec \"$0\" mount src /dev/fd/9").ok();
    let content = std::fs::read(world.path("mnt/file")).expect("it answers");
    assert_eq!(content, b"content");
    assert_eq!(
        status(&world, "@mnt")["mountpoint"],
        world.text("mnt").as_str()
    );
    unmounted(&world, "@mnt");
    world.nothing_left();
}

#[test]
fn a_signal_unmounts_it_where_it_is_in_sight() {
    let Some(world) = native() else { return };
    let options = ",allow_other,default_permissions";
    with_connection(&world, options, "exec \"$0\" mount src /dev/fd/9").ok();
    let daemon = Daemon::of(&world, "@mnt");
    daemon.signal(Signal::TERM);
    wait_until("the daemon's end", || daemon.is_gone());
    world.nothing_left();
}

#[test]
fn its_requests_may_come_by_a_pipe() {
    let Some(world) = native() else { return };
    let options = ",allow_other,default_permissions";
    // Requests for which everybody may have a pipe; after the first large one, the worker takes them by it.
    let script = "exec \"$0\" mount src /dev/fd/9 \
        -o splice_read,io_mode=write-through,max_read_size=512k,max_write_size=512k,worker_threads=1";
    with_connection(&world, options, script).ok();
    let content: Vec<u8> = (0..2_000_000).map(|at| (at / 7) as u8).collect();
    std::fs::write(world.path("mnt/large"), &content).expect("written");
    assert!(std::fs::read(world.path("src/large")).expect("there") == content);
    let stats = world.run(&["stats", &world.text("mnt"), "--json"]).ok();
    let stats: Value = serde_json::from_str(&stats).expect("JSON");
    assert!(stats["bytes_spliced"].as_u64() > Some(1_000_000), "{stats}");
    unmounted(&world, "@mnt");
    world.nothing_left();
}

#[test]
fn a_mount_out_of_sight_is_served_until_a_signal() {
    let Some(world) = native() else { return };
    // The mount is in another namespace, whose process reads, waits for a word, and reads again.
    let script = r#"
        exec 9<>/dev/fuse
        unshare --mount --propagation private bash -c '
            mount -i -t fuse given mnt -o fd=9,rootmode=40000,user_id=0,group_id=0,default_permissions || exit 1
            exec 9>&-
            touch made
            cat mnt/file > before
            read -r _
            cat mnt/other > after 2>&1
        ' <&0 &
        until [ -e made ]; do sleep 0.01; done
        "$0" mount src /dev/fd/9 2> warned || exit 1
        exec 9>&-
        wait"#;
    let binary = world.binary().display().to_string();
    let mut maker = world
        .command("/bin/bash".as_ref(), &["-c", script, &binary])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    let read = |name| std::fs::read_to_string(world.path(name)).unwrap_or_default();
    wait_until("its content", || read("before") == "content");
    assert!(read("warned").contains("warning: mountpoint /dev/fd/9: its mount is out of sight"));

    // The mount answers before its daemon does.
    let mounts = || {
        let all = world.run(&["status", "--json"]).ok();
        let all: Value = serde_json::from_str(&all).expect("JSON");
        all["mounts"].as_array().expect("a list").clone()
    };
    wait_until("its daemon", || !mounts().is_empty());
    let mount = &mounts()[0];
    let at = mount["mountpoint"].as_str().expect("a name");
    assert_eq!(at, format!("/proc/{}/fd/9", mount["pid"]));
    let daemon = Daemon::with_pid(mount["pid"].as_i64().expect("a pid"));
    daemon.signal(Signal::TERM);
    wait_until("the daemon's end", || daemon.is_gone());
    world.nothing_left();

    let mut word = maker.stdin.take().expect("a pipe");
    word.write_all(b"\n").expect("it listens");
    assert!(maker.wait().expect("it ends").success() || !read("after").is_empty());
    let after = read("after");
    assert!(after.contains("not connected"), "{after}");
}

#[test]
fn what_is_no_mounted_connection_is_refused() {
    let Some(world) = native() else { return };
    let refused = |script: &str, code, fragments: &[&str]| {
        let binary = world.binary().display().to_string();
        world
            .run_program("/bin/bash".as_ref(), &["-c", script, &binary])
            .refused(code, fragments);
    };
    let mount = "exec \"$0\" mount src /dev/fd/9";
    refused(mount, 3, &["/dev/fd/9", "No such file"]);
    let script = format!("exec 9<src/file; {mount}");
    refused(&script, 1, &["descriptor 9 is not an open /dev/fuse"]);
    let script = format!("exec 9<>/dev/fuse; {mount}");
    refused(&script, 1, &["nothing is mounted"]);
    world.nothing_left();
}

#[test]
fn what_only_its_maker_can_do_is_refused() {
    let Some(world) = native() else { return };
    for (options, arguments, code, fragments) in [
        ("", "--read-only", 2, ["option ro", "whoever mounted"]),
        ("", "-o noexec", 2, ["option noexec", "whoever mounted"]),
        (
            ",allow_other",
            "",
            1,
            ["allow_other", "default_permissions"],
        ),
    ] {
        let script = format!("exec \"$0\" mount src /dev/fd/9 {arguments}");
        with_connection(&world, options, &script).refused(code, &fragments);
        rustix::mount::unmount(world.path("mnt"), rustix::mount::UnmountFlags::DETACH)
            .expect("it is there, as its maker left it");
    }
    let script = "exec \"$0\" mount src /dev/fd/9 --default-permissions=false";
    with_connection(&world, ",allow_other", script).ok();
    unmounted(&world, "@mnt");
}

//! `status` and `stats` of live mounts.

use std::collections::BTreeMap;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::mount::{MountFlags, mount_remount};
use serde_json::Value;

use crate::{mounted, status, unmounted, wait_until, world};

fn figure(text: &str, name: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
    value.parse().expect("a figure")
}

#[test]
fn the_figures_of_the_only_mount() {
    let Some(world) = world() else { return };
    mounted(&world, &["@src", "@mnt"]);
    let before = world.run(&["stats", "@mnt"]).ok();
    std::fs::read(world.path("mnt/file")).expect("read");
    let after = world.run(&["stats"]).ok();
    for name in ["xattr_cache_hit_rate", "readahead_triggered", "throughput"] {
        assert!(figure(&after, name) >= 0.0);
    }
    assert!(figure(&after, "requests") > figure(&before, "requests"));
    let opens = |text: &str| figure(text, "passthrough_opens") + figure(text, "plain_opens");
    assert_eq!(opens(&after), opens(&before) + 1.0);
    let json: Value = serde_json::from_str(&world.run(&["stats", "--json"]).ok()).expect("JSON");
    assert_eq!(json["mountpoint"], world.text("mnt"));
    let ops = json["ops"].as_array().expect("operations");
    let open = ops.iter().find(|op| op["name"] == "OPEN").expect("an open");
    assert_eq!(open["count"], 1);
    assert!(open["p50_us"].as_f64().expect("a latency") > 0.0);
    let sum = json["passthrough_opens"]
        .as_f64()
        .zip(json["plain_opens"].as_f64());
    assert_eq!(sum.map(|(a, b)| a + b), Some(opens(&after)));
    unmounted(&world, "@mnt");
}

#[test]
fn the_figures_of_two_mounts() {
    let Some(world) = world() else { return };
    std::fs::create_dir(world.path("two")).expect("a directory");
    mounted(&world, &["@src", "@mnt"]);
    mounted(&world, &["@src", "@two", "--preset", "safe"]);
    let points = [world.text("mnt"), world.text("two")];
    let text = world.run(&["stats"]).ok();
    for point in &points {
        assert!(text.contains(&format!("mountpoint {point}\n")), "{text}");
    }
    let json: Value = serde_json::from_str(&world.run(&["stats", "--json"]).ok()).expect("JSON");
    let listed: Vec<_> = json["mounts"].as_array().expect("mounts").iter().collect();
    assert_eq!(listed.len(), 2);
    assert!(
        listed
            .iter()
            .zip(&points)
            .all(|(one, point)| one["mountpoint"] == **point)
    );
    let text = world.run(&["stats", "--prometheus"]).ok();
    for point in &points {
        let series = format!("dynamicfs_requests_total{{mountpoint=\"{point}\"}} ");
        assert!(text.contains(&series), "{text}");
    }
    let text = world.run(&["status", "--json"]).ok();
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let presets: Vec<_> = json["mounts"]
        .as_array()
        .expect("mounts")
        .iter()
        .map(|m| &m["preset"])
        .collect();
    assert_eq!(presets, ["balanced", "safe"]);
    world.run(&["umount", "--wait", "@two"]).ok();
    unmounted(&world, "@mnt");
}

#[test]
fn every_value_has_its_origin() {
    let Some(world) = world() else { return };
    let file = world.text("c.toml");
    std::fs::write(
        &file,
        "preset = \"high-performance\"\nattr_ttl = 1\nentry_ttl = 1\nnegative_ttl = 1\n",
    )
    .expect("a file");
    let world = world
        .with("DYNAMICFS_ENTRY_TTL", "2")
        .with("DYNAMICFS_NEGATIVE_TTL", "2");
    let config = [
        "--config",
        &file,
        "-o",
        "negative_ttl=3,xattr_cache_ttl=3",
        "--xattr-cache-ttl",
        "4s",
    ];
    mounted(&world, &[&config[..], &["@src", "@mnt"]].concat());
    let status = status(&world, "@mnt");
    assert_eq!(status["preset"], "high-performance");
    assert_eq!(status["preset_origin"], format!("{file}:1"));
    let settings = status["settings"].as_array().expect("settings");
    let get = |name: &str| {
        let setting = settings
            .iter()
            .find(|setting| setting["name"] == name)
            .expect(name);
        (
            setting["value"].as_str().expect("text"),
            setting["origin"].as_str().expect("text"),
        )
    };
    assert_eq!(get("attr_ttl"), ("1s", &*format!("{file}:2")));
    assert_eq!(get("entry_ttl"), ("2s", "DYNAMICFS_ENTRY_TTL"));
    assert_eq!(get("negative_ttl"), ("3s", "-o negative_ttl"));
    assert_eq!(get("xattr_cache_ttl"), ("4s", "--xattr-cache-ttl"));
    assert_eq!(get("readahead_size").1, "preset high-performance");
    unmounted(&world, "@mnt");
}

#[test]
fn what_was_asked_and_granted_is_shown() {
    let Some(world) = world() else { return };
    mounted(&world, &["@src", "@mnt"]);
    let status = status(&world, "@mnt");
    let capabilities = status["report"]["capabilities"]
        .as_array()
        .expect("capabilities");
    let parallel = capabilities
        .iter()
        .find(|c| c["name"] == "PARALLEL_DIROPS")
        .expect("it");
    assert_eq!(
        (&parallel["asked"], &parallel["effective"]),
        (&"yes".into(), &"yes".into())
    );
    for item in capabilities.iter().filter(|item| item["effective"] == "no") {
        assert!(item["why"].is_string(), "{item}");
    }
    let text = world.run(&["status", "@mnt"]).ok();
    for part in ["preset balanced", "PASSTHROUGH", "attr_ttl", "io mode"] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    unmounted(&world, "@mnt");
}

/// Requests by operation, as the log of `fuser` tells them; those that it does not know have no
/// name there and are not counted.
fn logged(log: &str) -> BTreeMap<String, u64> {
    let mut requests = BTreeMap::new();
    for line in log.lines() {
        let Some((_, request)) = line.split_once(" FUSE(") else {
            continue;
        };
        let name = request
            .split(' ')
            .skip_while(|word| !word.starts_with("0x"))
            .nth(1);
        let name = match name.expect("a word after the inode") {
            unknown if unknown.starts_with("thread=") => continue,
            "INTERRUPT" => continue,
            "BATCHFORGET" => "FORGET",
            "RENAME2" => "RENAME",
            "SETLKW" => "SETLK",
            name => name,
        };
        *requests.entry(name.to_owned()).or_default() += 1;
    }
    requests
}

#[test]
fn every_request_is_counted_once() {
    let Some(world) = world() else { return };
    let world = world
        .with("DYNAMICFS_LOG", "fuser=debug")
        .with("DYNAMICFS_TRANSPORT", "fuser");
    for n in 0..200 {
        std::fs::write(world.path(&format!("src/{n}")), "x").expect("a file");
    }
    mounted(&world, &["@src", "@mnt", "--log-file", "@log"]);
    let mnt = world.path("mnt");
    for entry in std::fs::read_dir(&mnt).expect("a listing") {
        std::fs::read(entry.expect("an entry").path()).expect("a read");
    }
    std::fs::write(mnt.join("new"), "x").expect("a write");
    std::fs::rename(mnt.join("new"), mnt.join("newer")).expect("a rename");
    std::fs::remove_file(mnt.join("newer")).expect("a removal");
    std::fs::metadata(mnt.join("absent")).expect_err("not there");
    let file = std::fs::File::open(mnt.join("file")).expect("a file");
    let mut ready = [PollFd::new(&file, PollFlags::IN)];
    assert_eq!(poll(&mut ready, None), Ok(1), "files are always ready");
    drop(file);
    let counted = || -> BTreeMap<String, u64> {
        let text = world.run(&["stats", "--json"]).ok();
        let json: Value = serde_json::from_str(&text).expect("JSON");
        let ops = json["ops"].as_array().expect("operations").iter();
        ops.map(|op| {
            let name = op["name"].as_str().expect("a name");
            (name.to_owned(), op["count"].as_u64().expect("a count"))
        })
        .collect()
    };
    let log = || std::fs::read_to_string(world.path("log")).expect("a log");
    wait_until("many inodes are forgotten at once, by BATCH_FORGET", || {
        for n in 0..200 {
            std::fs::metadata(mnt.join(n.to_string())).expect("a file");
        }
        // Drops the names of this mount (`reconfigure_super`). How many a worker gets at once depends on how
        // fast it is.
        mount_remount(&mnt, MountFlags::NOSUID | MountFlags::NODEV, "").expect("a remount");
        log().contains(" BATCHFORGET ")
    });
    wait_until("what was logged is what was counted", || {
        let (logged, counted) = (logged(&log()), counted());
        logged == counted || {
            eprintln!("logged {logged:?}\ncounted {counted:?}");
            false
        }
    });
    assert!(counted().contains_key("POLL"));
    unmounted(&world, "@mnt");
}

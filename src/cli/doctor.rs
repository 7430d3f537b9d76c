//! `dynamicfs doctor`.

use crate::mount::doctor::{Diagnosis, diagnose};
use crate::mount::registry::RuntimeDir;

use super::arguments::DoctorArgs;
use super::exit::Failure;
use super::status::plain;
use super::{print, print_json};

pub(crate) fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let found = diagnose();
    let abi = abi();
    if args.json {
        let mut value = serde_json::to_value(&found).map_err(anyhow::Error::from)?;
        value["fuse_abi"] = abi.into();
        return print_json(&value);
    }
    print(&text(&found, abi.as_deref()))
}

/// The version of the protocol: the kernel tells it to a mount alone, so a live mount is asked.
fn abi() -> Option<String> {
    let mounts = RuntimeDir::of_this_user().mounts().ok()?;
    let first = mounts.into_iter().find_map(|mount| mount.status.ok())?;
    Some(first.report.abi)
}

fn text(found: &Diagnosis, abi: Option<&str>) -> String {
    let mut facts = plain(["fact", "value"]);
    for (name, value) in facts_of(found, abi) {
        facts.add_row([name, value]);
    }
    let mut text = facts.trim_fmt() + "\n";
    for preset in &found.presets {
        text += &format!(
            "\npreset {}\n  expected: {}\n",
            preset.preset,
            preset.granted.join(" ")
        );
        for missing in &preset.missing {
            text += &format!(
                "  missing: {} ({}); {}\n",
                missing.name, missing.why, missing.remedy
            );
        }
    }
    text += "\nWhat the kernel granted to a mount: dynamicfs status\n";
    for advice in &found.advice {
        text += &format!("advice: {advice}\n");
    }
    text
}

fn facts_of(found: &Diagnosis, abi: Option<&str>) -> Vec<(String, String)> {
    let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let limit = |limit: Option<u64>| limit.map_or_else(|| "none".to_owned(), |n| n.to_string());
    let device = match &found.dev_fuse.error {
        None => "present, can be opened".to_owned(),
        Some(error) => error.clone(),
    };
    let helper = found.fusermount3.as_ref().map_or_else(
        || "not in PATH".to_owned(),
        |helper| {
            let kind = if helper.set_user_id {
                ""
            } else {
                ", not set-user-id"
            };
            format!("{} {}{kind}", helper.path.display(), helper.version)
        },
    );
    let pages = found.max_pages_limit.map_or_else(
        || "256 (fixed before Linux 6.13)".to_owned(),
        |n| n.to_string(),
    );
    let facts = [
        ("kernel", found.kernel.clone()),
        (
            "FUSE ABI",
            abi.unwrap_or("known once something is mounted").to_owned(),
        ),
        ("/dev/fuse", device),
        ("user", found.privileges.uid.to_string()),
        ("CAP_SYS_ADMIN", yes_no(found.privileges.sys_admin)),
        (
            "CAP_DAC_READ_SEARCH",
            yes_no(found.privileges.dac_read_search),
        ),
        ("open files, soft limit", limit(found.open_files_soft)),
        ("open files, hard limit", limit(found.open_files_hard)),
        ("fusermount3", helper),
        ("user_allow_other", yes_no(found.user_allow_other)),
        ("fs.fuse.max_pages_limit", pages),
    ];
    let facts = facts
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    let parameters = found.module_parameters.iter();
    facts
        .chain(parameters.map(|(name, value)| (format!("fuse.{name}"), value.clone())))
        .collect()
}

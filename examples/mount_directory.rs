//! Mounts a directory in the foreground: `mount_directory SOURCE MOUNTPOINT [PRESET]`.
//!
//! What the command `dynamicfs` does, without its comforts.

use std::path::PathBuf;

use dynamicfs::storage::{LocalStorage, PermissionChecks};
use dynamicfs::{DynamicFS, Preset};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let usage = "usage: mount_directory SOURCE MOUNTPOINT [PRESET]";
    let source = PathBuf::from(args.next().ok_or(usage)?);
    let mountpoint = PathBuf::from(args.next().ok_or(usage)?);
    let preset: Preset = match args.next() {
        Some(name) => name.to_string_lossy().parse()?,
        None => Preset::default(),
    };

    let config = preset.config();
    let options = config.to_mount_options();
    let checks = match config.default_permissions {
        true => PermissionChecks::Kernel,
        false => PermissionChecks::Storage,
    };
    let storage = LocalStorage::builder(source)
        .permission_checks(checks)
        .build()?;
    let fs = DynamicFS::new_with_config(Box::new(storage), config);
    let mount = dynamicfs::mount::spawn(fs, &mountpoint, &options)?;
    println!("{:#?}", mount.report());
    Ok(mount.wait()?)
}

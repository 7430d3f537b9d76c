//! Mounts a directory in the foreground: `mount_directory SOURCE MOUNTPOINT`.
//!
//! What the command `dynamicfs` does, without its comforts. Settings come from the environment, such
//! as `DYNAMICFS_PRESET=safe` or `DYNAMICFS_ATTR_TTL=2s`.

use std::path::PathBuf;

use dynamicfs::storage::{LocalStorage, PermissionChecks};
use dynamicfs::{DynamicFS, Layers};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let usage = "usage: mount_directory SOURCE MOUNTPOINT";
    let source = PathBuf::from(args.next().ok_or(usage)?);
    let mountpoint = PathBuf::from(args.next().ok_or(usage)?);

    let config = Layers::new()
        .environment(std::env::vars_os())
        .resolve()?
        .config;
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

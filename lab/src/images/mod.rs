//! Everything that makes a guest bootable, from Debian packages: kernels, root disks, and the tools
//! that boot them.
//!
//! `vm-images/` says what is wanted, `vm-images/images.lock` which packages that are now, and
//! `target/lab/images` keeps what was made of them.

mod apt;
mod build;
mod cache;
mod cpio;
mod declaration;
mod disk;
mod initramfs;
mod kernel;
mod libraries;
mod list;
mod lock;
mod root;
mod tree;
mod update;

pub use build::{Image, build, prune, tools};
pub use cache::Pruned;
pub use declaration::{
    Backend, Disks, Guest, HOST, Kernel, ModuleRequest, Profile, Target, load, load_all, names,
};
pub use kernel::Module;
pub(crate) use libraries::libraries;
pub use list::{Listed, list, table};
pub use lock::{Lock, Locked};
pub use tree::ToolsTree;
pub use update::{Moved, update};

/// Whether a test that needs root can run; with `CI` set it must.
#[cfg(test)]
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    assert!(root || std::env::var_os("CI").is_none(), "needs root");
    root
}

//! Loading the modules that the initramfs brings.

use std::ffi::CString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::system::finit_module;

/// Where the initramfs has them, named so that sorting them gives the order to load them in.
const MODULES: &str = "/modules";

/// `MODULE_INIT_COMPRESSED_FILE` (finit_module(2)).
const COMPRESSED: i32 = 4;

/// Loads all. A module's parameters are in a file of the same name with `.parameters` appended.
pub(super) fn load() -> Result<()> {
    let mut modules: Vec<PathBuf> = match fs::read_dir(MODULES) {
        Ok(entries) => entries
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?,
        Err(_) => return Ok(()),
    };
    modules.retain(|path| path.extension().is_none_or(|word| word != "parameters"));
    modules.sort();
    for module in modules {
        insert(&module).with_context(|| format!("cannot load {}", module.display()))?;
    }
    Ok(())
}

fn insert(module: &Path) -> Result<()> {
    let name = module.display().to_string();
    let parameters = fs::read_to_string(format!("{name}.parameters")).unwrap_or_default();
    let flags = if name.ends_with(".ko") { 0 } else { COMPRESSED };
    match finit_module(
        File::open(module)?,
        &CString::new(parameters.trim())?,
        flags,
    ) {
        // Built in, or another brought it.
        Err(Errno::EXIST) => Ok(()),
        result => Ok(result?),
    }
}

//! Loading the modules that the initramfs brings.

use std::ffi::CString;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::system::finit_module;

/// Where the initramfs has them.
const MODULES: &str = "/modules";

/// A line for each module in the order of loading: the name of its file and, after a blank, its
/// parameters.
const LIST: &str = "/modules.list";

/// `MODULE_INIT_COMPRESSED_FILE` (finit_module(2)).
const COMPRESSED: i32 = 4;

/// Loads all.
pub(super) fn load() -> Result<()> {
    let list = fs::read_to_string(LIST).with_context(|| format!("no {LIST} in the initramfs"))?;
    for line in list.lines() {
        let (name, parameters) = line.split_once(' ').unwrap_or((line, ""));
        insert(&Path::new(MODULES).join(name), parameters)
            .with_context(|| format!("cannot load the module {line:?}"))?;
    }
    Ok(())
}

fn insert(module: &Path, parameters: &str) -> Result<()> {
    let compressed = module.extension().is_some_and(|word| word != "ko");
    let flags = if compressed { COMPRESSED } else { 0 };
    match finit_module(File::open(module)?, &CString::new(parameters)?, flags) {
        // Built in, or another brought it.
        Err(Errno::EXIST) => Ok(()),
        result => Ok(result?),
    }
}

//! What the lab runs one at a time: a suite on ext4, or on a preset.

use std::fmt;

use dynamicfs::config::Preset;
use serde::{Deserialize, Serialize};

use crate::suites::Suite;
use crate::target::Permissions;

/// Who a suite runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contestant {
    /// Native ext4, the reference.
    Ext4,
    /// A mount of the command under test.
    Preset {
        /// The preset.
        preset: Preset,
        /// Who checks permissions.
        permissions: Permissions,
    },
}

/// A suite on somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cell {
    /// On whom.
    pub contestant: Contestant,
    /// The suite.
    pub suite: Suite,
}

impl Cell {
    /// The suite on the reference.
    pub fn reference(suite: Suite) -> Self {
        Cell {
            contestant: Contestant::Ext4,
            suite,
        }
    }

    /// The suite on a preset.
    pub fn preset(preset: Preset, permissions: Permissions, suite: Suite) -> Self {
        Cell {
            contestant: Contestant::Preset {
                preset,
                permissions,
            },
            suite,
        }
    }

    /// A name without blanks, of its own for every cell: `ext4/fsx`, `safe/kernel/fsx`.
    pub fn key(&self) -> String {
        match self.contestant {
            Contestant::Ext4 => format!("ext4/{}", self.suite.name()),
            Contestant::Preset {
                preset,
                permissions,
            } => format!(
                "{}/{}/{}",
                preset.name(),
                permissions.name(),
                self.suite.name()
            ),
        }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Contestant::Ext4 => f.write_str("ext4"),
            Contestant::Preset {
                preset,
                permissions,
            } => write!(
                f,
                "{}, permissions by the {}",
                preset.name(),
                permissions.name()
            ),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.suite.name(), self.contestant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_cells_apart() {
        let cells = [
            Cell::reference(Suite::Fsx),
            Cell::preset(Preset::Safe, Permissions::Kernel, Suite::Fsx),
            Cell::preset(Preset::Safe, Permissions::Storage, Suite::Fsx),
        ];
        assert_eq!(
            cells.map(|cell| cell.key()),
            ["ext4/fsx", "safe/kernel/fsx", "safe/storage/fsx"]
        );
        assert_eq!(
            cells[2].to_string(),
            "fsx on safe, permissions by the storage"
        );
    }
}

//! What a thread of the load does, and how often.

use crate::material::Random;

/// One step of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Write,
    Append,
    Read,
    MapWrite,
    MapRead,
    Stat,
    Chmod,
    SetXattr,
    GetXattr,
    RemoveXattr,
    Link,
    Unlink,
    Rename,
    MakeDirectory,
    RemoveDirectory,
    RenameDirectory,
    List,
    Truncate,
    Allocate,
    Punch,
    Sync,
    Copy,
    WriteBig,
    ReadBig,
    Shared,
}

use Operation::*;

/// How often each comes, among the sum of all. Whatever empties an own subtree comes less often than what
/// fills it; the big file, which is larger than the memory, comes most often.
const WEIGHTS: [(Operation, usize); 26] = [
    (Create, 8),
    (Write, 8),
    (Append, 6),
    (Read, 8),
    (MapWrite, 4),
    (MapRead, 4),
    (Stat, 8),
    (Chmod, 3),
    (SetXattr, 3),
    (GetXattr, 4),
    (RemoveXattr, 1),
    (Link, 3),
    (Unlink, 6),
    (Rename, 6),
    (MakeDirectory, 2),
    (RemoveDirectory, 2),
    (RenameDirectory, 2),
    (List, 4),
    (Truncate, 3),
    (Allocate, 2),
    (Punch, 2),
    (Sync, 1),
    (Copy, 3),
    (WriteBig, 6),
    (ReadBig, 16),
    (Shared, 12),
];

impl Operation {
    pub(super) fn any(random: &mut Random) -> Self {
        let sum = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut at = random.below(sum);
        for (operation, weight) in WEIGHTS {
            match at.checked_sub(weight) {
                Some(rest) => at = rest,
                None => return operation,
            }
        }
        Stat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_comes() {
        let mut random = Random::new(1);
        let drawn: Vec<Operation> = (0..10_000).map(|_| Operation::any(&mut random)).collect();
        for (operation, _) in WEIGHTS {
            assert!(drawn.contains(&operation), "{operation:?}");
        }
    }
}

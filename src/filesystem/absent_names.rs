//! Names that the kernel holds for absent.
//!
//! Of what it holds otherwise, the storage has an inode. A change that is heard of tells the name; where events
//! were lost, nobody but this list knows which names to doubt.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

use crate::storage::Ino;

/// Names that are remembered: some two megabytes. What is pushed out is to expire in the kernel, too.
const MOST: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// A name in a directory.
type Name = (Ino, OsString);

/// Those that were answered for absent last.
pub(super) struct AbsentNames(Mutex<LruCache<Name, ()>>);

impl AbsentNames {
    pub(super) fn new() -> AbsentNames {
        AbsentNames(Mutex::new(LruCache::new(MOST)))
    }

    /// Remembers a name, before the kernel is told. Gives back the one that is forgotten for it.
    pub(super) fn add(&self, parent: Ino, name: &OsStr) -> Option<Name> {
        let pushed_out = self.0.lock().push((parent, name.to_owned()), ());
        // The same name again, where it was there.
        pushed_out
            .map(|(other, ())| other)
            .filter(|(directory, other)| (*directory, other.as_os_str()) != (parent, name))
    }

    /// All of them, which are forgotten.
    pub(super) fn take(&self) -> Vec<Name> {
        let mut names = self.0.lock();
        std::iter::from_fn(|| names.pop_lru())
            .map(|(name, ())| name)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_forgotten_without_being_given_back() {
        let names = AbsentNames::new();
        let most = MOST.get() as Ino;
        assert!((0..most).all(|ino| names.add(ino, OsStr::new("x")).is_none()));
        // Not the one that was asked for again since.
        assert_eq!(names.add(0, OsStr::new("x")), None);
        assert_eq!(names.add(0, OsStr::new("y")), Some((1, "x".into())));
        let all = names.take();
        assert_eq!(all.len(), MOST.get());
        assert!(all.contains(&(0, "y".into())) && !all.contains(&(1, "x".into())));
        assert!(names.take().is_empty());
    }
}

//! What the subtree of a thread must hold: directories of one level, and files with names in them.

use std::collections::BTreeMap;

use crate::material::Random;

/// Most names of a subtree.
const NAMES: usize = 48;

/// Most directories of a subtree.
const DIRECTORIES: usize = 6;

/// Most names that one file has.
const LINKS: u64 = 8;

/// A name: the directory that it is in, which keeps its number when it is renamed, and a number of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) directory: u32,
    number: u32,
}

/// A file, under however many names.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) content: Vec<u8>,
    /// Permission bits.
    pub(super) mode: u32,
    /// The value of its one extended attribute.
    pub(super) label: Option<Vec<u8>>,
    pub(super) links: u64,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Model {
    /// By what each is called at present.
    directories: BTreeMap<u32, u32>,
    names: BTreeMap<Name, u64>,
    files: BTreeMap<u64, File>,
    /// Numbers are never used again.
    next: u32,
}

impl Model {
    /// One directory without files.
    pub(super) fn new() -> Self {
        Model {
            directories: BTreeMap::from([(0, 0)]),
            names: BTreeMap::new(),
            files: BTreeMap::new(),
            next: 1,
        }
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    pub(super) fn is_full(&self) -> bool {
        self.names.len() >= NAMES
    }

    pub(super) fn has_all_directories(&self) -> bool {
        self.directories.len() >= DIRECTORIES
    }

    pub(super) fn names(&self) -> impl Iterator<Item = Name> {
        self.names.keys().copied()
    }

    pub(super) fn any_name(&self, random: &mut Random) -> Option<Name> {
        let at = random.below(self.names.len().max(1));
        self.names.keys().nth(at).copied()
    }

    /// A name that nothing has yet.
    pub(super) fn free_name(&mut self, random: &mut Random) -> Name {
        let at = random.below(self.directories.len());
        let directory = self.directories.keys().nth(at).copied().unwrap_or(0);
        Name {
            directory,
            number: self.number(),
        }
    }

    /// The path below the subtree.
    pub(super) fn path(&self, name: Name) -> String {
        format!("{}/f{}", self.directory(name.directory), name.number)
    }

    pub(super) fn file(&self, name: Name) -> Option<&File> {
        self.files.get(self.names.get(&name)?)
    }

    pub(super) fn file_mut(&mut self, name: Name) -> Option<&mut File> {
        self.files.get_mut(self.names.get(&name)?)
    }

    /// A new file.
    pub(super) fn create(&mut self, name: Name, content: Vec<u8>, mode: u32) {
        let id = u64::from(name.number);
        self.names.insert(name, id);
        let file = File {
            content,
            mode,
            label: None,
            links: 1,
        };
        self.files.insert(id, file);
    }

    pub(super) fn may_link(&self, name: Name) -> bool {
        self.file(name).is_some_and(|file| file.links < LINKS)
    }

    /// Another name for a file.
    pub(super) fn link(&mut self, old: Name, new: Name) {
        if let Some(&id) = self.names.get(&old) {
            self.names.insert(new, id);
            self.files.entry(id).and_modify(|file| file.links += 1);
        }
    }

    pub(super) fn unlink(&mut self, name: Name) {
        let Some(id) = self.names.remove(&name) else {
            return;
        };
        if let Some(file) = self.files.get_mut(&id) {
            file.links -= 1;
            if file.links == 0 {
                self.files.remove(&id);
            }
        }
    }

    /// As rename(2): two names of one file stay as they are.
    pub(super) fn rename(&mut self, old: Name, new: Name) {
        if self.names.get(&old) == self.names.get(&new) {
            return;
        }
        self.unlink(new);
        if let Some(id) = self.names.remove(&old) {
            self.names.insert(new, id);
        }
    }

    pub(super) fn directories(&self) -> impl Iterator<Item = u32> {
        self.directories.keys().copied()
    }

    /// One of those that come and go.
    pub(super) fn any_directory(&self, random: &mut Random) -> Option<u32> {
        let others = self.directories.len() - 1;
        let at = 1 + random.below(others.max(1));
        self.directories.keys().nth(at).copied()
    }

    /// What a directory is called.
    pub(super) fn directory(&self, directory: u32) -> String {
        format!("d{}", self.directories.get(&directory).unwrap_or(&0))
    }

    /// What directories are called, sorted.
    pub(super) fn directory_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.directories().map(|one| self.directory(one)).collect();
        names.sort();
        names
    }

    /// A directory that is to be made.
    pub(super) fn add_directory(&mut self) -> u32 {
        let number = self.number();
        self.directories.insert(number, number);
        number
    }

    pub(super) fn is_empty(&self, directory: u32) -> bool {
        !self.names().any(|name| name.directory == directory)
    }

    pub(super) fn remove_directory(&mut self, directory: u32) {
        self.directories.remove(&directory);
    }

    /// Gives a directory another name.
    pub(super) fn rename_directory(&mut self, directory: u32) {
        let number = self.number();
        self.directories.insert(directory, number);
    }

    /// The names in a directory, sorted as text.
    pub(super) fn list(&self, directory: u32) -> Vec<String> {
        let here = self.names().filter(|name| name.directory == directory);
        let mut names: Vec<String> = here.map(|name| format!("f{}", name.number)).collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_and_go_as_in_a_file_system() {
        let mut random = Random::new(1);
        let mut model = Model::new();
        let [a, b, c] = [(); 3].map(|()| model.free_name(&mut random));
        model.create(a, b"x".to_vec(), 0o644);
        model.link(a, b);
        model.rename(a, b);
        assert_eq!(
            (model.names().count(), model.file(a).unwrap().links),
            (2, 2)
        );
        model.create(c, b"y".to_vec(), 0o644);
        model.rename(c, a);
        assert_eq!(model.file(a).unwrap().content, b"y");
        assert_eq!(model.file(b).unwrap().links, 1);
        model.unlink(b);
        assert_eq!((model.names().count(), model.files.len()), (1, 1));
    }

    #[test]
    fn names_follow_their_directory() {
        let mut random = Random::new(1);
        let mut model = Model::new();
        let name = model.free_name(&mut random);
        model.create(name, Vec::new(), 0o644);
        let before = model.path(name);
        model.rename_directory(0);
        assert_ne!(model.path(name), before);
        assert_eq!(model.list(0).len(), 1);
        assert!(!model.is_empty(0));
    }
}

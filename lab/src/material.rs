//! What programs and workloads work on: made on the spot, the same bytes every time.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use anyhow::Result;
use rustix::fs::{XattrFlags, setxattr};
use rustix::io::Errno;

/// A word that occurs in a known number of lines of the material.
pub(crate) const NEEDLE: &str = "dynamicfs_needle";

/// SplitMix64: every seed gives another sequence, quickly and the same everywhere.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound
    }

    /// The numbers below `count` in an order that no neighbour predicts.
    pub(crate) fn shuffled(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }

    /// Fills a block whose length is a multiple of 8: no zeros in a row, nothing to compress.
    pub(crate) fn fill(&mut self, block: &mut [u8]) {
        for word in block.chunks_exact_mut(8) {
            word.copy_from_slice(&self.next().to_le_bytes());
        }
    }
}

/// Lines of text; every seventh has the needle.
fn text(seed: u64, lines: usize) -> String {
    let mut random = Random::new(seed);
    let mut text = String::new();
    for line in 0..lines {
        let needle = if line % 7 == 3 { NEEDLE } else { "straw" };
        let _ = writeln!(text, "line {line} {needle} {:016x}", random.next());
    }
    text
}

/// How many lines of [`text`] have the needle.
fn needles(lines: usize) -> usize {
    (0..lines).filter(|line| line % 7 == 3).count()
}

/// A history for git-fast-import(1): files in directories, commits that change three files each.
/// Authors and times are fixed, so that the ids of the commits are too.
pub(crate) fn history(files: usize, commits: usize) -> String {
    let mut stream = String::from("reset refs/heads/main\n");
    for commit in 0..commits {
        let message = format!("Change number {commit}\n");
        let time = 1_700_000_000 + commit * 60;
        let _ = write!(
            stream,
            "commit refs/heads/main\nauthor Lab <lab@example.org> {time} +0000\n\
             committer Lab <lab@example.org> {time} +0000\ndata {}\n{message}",
            message.len()
        );
        let changed: Vec<usize> = if commit == 0 {
            (0..files).collect()
        } else {
            (0..3).map(|n| (commit * 7 + n * 101) % files).collect()
        };
        for file in changed {
            let seed = (commit * files + file) as u64;
            let content = text(seed, 20 + file % 50);
            let mode = if file % 10 == 0 { "100755" } else { "100644" };
            let _ = write!(
                stream,
                "M {mode} inline dir-{}/sub-{}/file-{file}.txt\ndata {}\n{content}\n",
                file % 12,
                file % 5,
                content.len()
            );
        }
        if commit == 0 {
            let target = "dir-0/sub-0/file-0.txt";
            let _ = writeln!(
                stream,
                "M 120000 inline link\ndata {}\n{target}",
                target.len()
            );
        }
        stream.push('\n');
    }
    stream.push_str("done\n");
    stream
}

const TREE_DIRECTORIES: usize = 20;
const TREE_FILES: usize = 25;

/// A tree with what archives have to keep: modes, owners, symlinks (also dangling), hard links,
/// long names, deep paths, holes, empty files and directories, extended attributes.
/// Returns how many lines have the needle.
pub(crate) fn tree(root: &Path) -> Result<usize> {
    let modes = [0o644, 0o755, 0o600, 0o444, 0o4755, 0o2755, 0o000, 0o777];
    let mut count = 0;
    for directory in 0..TREE_DIRECTORIES {
        let path = root.join(format!("d{directory}"));
        fs::create_dir_all(&path)?;
        for index in 0..TREE_FILES {
            let file = path.join(format!("f{index}"));
            let lines = (directory * TREE_FILES + index) % 60;
            fs::write(&file, text(index as u64, lines))?;
            count += needles(lines);
            let owner = (directory % 3) as u32;
            // Before the mode: a change of the owner takes the set-user-ID bit away.
            chown(&file, Some(owner), Some(owner))?;
            let mode = modes[index % modes.len()];
            fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
        }
        symlink(format!("f{directory}"), path.join("symlink"))?;
        symlink("../nowhere", path.join("dangling"))?;
    }
    fs::set_permissions(root.join("d1"), fs::Permissions::from_mode(0o1777))?;
    fs::set_permissions(root.join("d2"), fs::Permissions::from_mode(0o2750))?;
    fs::set_permissions(root.join("d3"), fs::Permissions::from_mode(0o555))?;
    for index in 0..10 {
        fs::hard_link(root.join("d0/f7"), root.join(format!("d4/hard{index}")))?;
    }
    // NAME_MAX is 255 bytes (limits.h); two-byte characters among them.
    for letter in ["n", "ü"] {
        fs::write(root.join(letter.repeat(255 / letter.len())), text(1, 5))?;
        count += needles(5);
    }
    let deep = root.join(
        (0..40)
            .map(|level| format!("level-{level}"))
            .collect::<Vec<_>>()
            .join("/"),
    );
    fs::create_dir_all(&deep)?;
    symlink("x".repeat(1000), deep.join("long"))?;
    fs::create_dir(root.join("empty"))?;
    File::create(root.join("nothing"))?;
    File::create(root.join("hole"))?.set_len(3 << 20)?;
    match setxattr(root.join("d5/f0"), "user.lab", b"kept", XattrFlags::empty()) {
        // A tmpfs has such attributes since Linux 6.6; elsewhere `root` is the suite's own directory.
        Err(Errno::OPNOTSUPP) | Ok(()) => Ok(count),
        Err(error) => Err(error.into()),
    }
}

/// How many entries [`tree`] makes, the root among them.
#[cfg(test)]
pub(crate) const TREE_ENTRIES: usize = 1 + TREE_DIRECTORIES * (TREE_FILES + 3) + 10 + 2 + 41 + 3;

/// Files of text in directories of 25, as source code lies: in all `files`, each with the needle.
pub(crate) fn sources(root: &Path, files: u64) -> Result<()> {
    for index in 0..files {
        let directory = root.join(format!("part-{}", index / 25));
        fs::create_dir_all(&directory)?;
        let content = text(index, 20 + index as usize % 80);
        fs::write(directory.join(format!("source-{index}.txt")), content)?;
    }
    Ok(())
}

/// Two crates, one using the other, and no dependency that would have to be fetched.
pub(crate) fn workspace(root: &Path) -> Result<()> {
    let package = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}")
    };
    fs::create_dir_all(root.join("number/src"))?;
    fs::create_dir_all(root.join("show/src"))?;
    fs::write(
        root.join("Cargo.toml"),
        "[workspace]\nmembers = [\"number\", \"show\"]\nresolver = \"2\"\n",
    )?;
    fs::write(root.join("number/Cargo.toml"), package("number", ""))?;
    set_number(root, 42)?;
    fs::write(
        root.join("show/Cargo.toml"),
        package(
            "show",
            "[dependencies]\nnumber = { path = \"../number\" }\n",
        ),
    )?;
    fs::write(
        root.join("show/src/main.rs"),
        "fn main() {\n    println!(\"{}\", number::number());\n}\n",
    )?;
    Ok(())
}

/// The source of the library of [`workspace`].
pub(crate) fn set_number(root: &Path, number: u32) -> Result<()> {
    let source = format!("pub fn number() -> u32 {{\n    {number}\n}}\n");
    Ok(fs::write(root.join("number/src/lib.rs"), source)?)
}

/// Random bytes without holes, handed to `seen` block by block on the way to the file.
pub(crate) fn large_file(path: &Path, bytes: u64, mut seen: impl FnMut(&[u8])) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut random = Random::new(bytes);
    let mut block = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        random.fill(&mut block);
        let length = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.write_all(&block[..length])?;
        seen(&block[..length]);
        left -= length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffled_is_each_number_once_and_the_same_again() {
        let order = Random::new(1).shuffled(100);
        assert_eq!(order, Random::new(1).shuffled(100));
        assert!(order[..50].iter().any(|&number| number >= 50));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn the_large_file_has_its_length_and_no_repetition() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        let mut blocks = Vec::new();
        large_file(&path, (2 << 20) + 5, |block| blocks.push(block.to_vec())).unwrap();
        assert_eq!(fs::read(path).unwrap(), blocks.concat());
        assert_eq!(blocks[2].len(), 5);
        assert_ne!(blocks[0], blocks[1]);
    }
}

//! A file that does not fit into the memory: its blocks are read from the disk again and again.

use std::os::fd::AsFd;

use anyhow::{Result, ensure};

use crate::material::Random;
use crate::suite::util::{read_at, write_at};

/// Bytes that are read or written at a time.
pub(super) const BLOCK: usize = 64 << 10;

/// What is in each block: how often it was written; 0 is a hole.
#[derive(Debug)]
pub(super) struct Big {
    seed: u64,
    generations: Vec<u32>,
}

impl Big {
    pub(super) fn new(seed: u64, blocks: usize) -> Self {
        Big {
            seed,
            generations: vec![0; blocks],
        }
    }

    pub(super) fn blocks(&self) -> usize {
        self.generations.len()
    }

    fn content(&self, number: usize) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        let generation = u64::from(self.generations[number]);
        if generation > 0 {
            let seed = self.seed ^ (generation << 32) ^ number as u64;
            Random::new(seed).fill(&mut block);
        }
        block
    }

    /// Writes a block anew.
    pub(super) fn write(&mut self, file: impl AsFd, number: usize) -> Result<()> {
        self.generations[number] += 1;
        Ok(write_at(file, &self.content(number), offset(number))?)
    }

    /// Fails unless a block is as it was written.
    pub(super) fn check(&self, file: impl AsFd, number: usize) -> Result<()> {
        let found = read_at(file, BLOCK, offset(number))?;
        let expected = self.content(number);
        // Past the end there are no holes to read.
        let is_short = found.len() < BLOCK && self.generations[number..].iter().all(|n| *n == 0);
        ensure!(
            found == expected || (is_short && found.is_empty()),
            "block {number} of the big file, written {} times, is another",
            self.generations[number]
        );
        Ok(())
    }
}

fn offset(number: usize) -> u64 {
    (number * BLOCK) as u64
}

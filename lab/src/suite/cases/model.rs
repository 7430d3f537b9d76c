//! Random operations on one file beside a model in memory, as fsx does them, with O_DIRECT among the
//! ways to the data.
//!
//! Every way is open at the same time: after each operation what it read, and at intervals the whole
//! file through each way, is compared with the model. Before direct I/O in the range of another way
//! nothing is synced: that is the work of the kernel.

use std::os::fd::OwnedFd;

use super::super::sys::{Aligned, Map};
use super::prelude::*;
use crate::material::Random;

pub(super) const CASES: &[Case] = &[
    case!(
        "model",
        direct_alone,
        "aligned O_DIRECT reads, writes and truncations, against a model"
    ),
    case!(
        "model",
        direct_and_buffered,
        "O_DIRECT mixed with read(2) and write(2), against a model"
    ),
    case!(
        "model",
        direct_buffered_and_mapped,
        "O_DIRECT mixed with read(2), write(2) and a shared mapping, against a model"
    ),
];

const PAGE: usize = 4096;

/// Pages of the file at its longest.
const PAGES: usize = 64;

/// Longest direct transfer, in pages.
const TRANSFER: usize = 8;

/// Operations of one seed: under 0.2 s on ext4.
const OPERATIONS: u32 = 1_500;

/// After how many operations everything is compared.
const INTERVAL: u32 = 100;

/// Fixed, so that every file system sees the same operations.
const SEEDS: [u64; 3] = [3, 50, 700];

/// What may happen to the file.
#[derive(Clone, Copy, Debug)]
enum Operation {
    DirectRead,
    DirectWrite,
    Read,
    Write,
    MapRead,
    MapWrite,
    Truncate,
    Sync,
}

use Operation::{DirectRead, DirectWrite, MapRead, MapWrite, Read, Sync, Truncate, Write};

fn direct_alone(cx: &Cx) -> Checked {
    run(cx, &[DirectRead, DirectWrite, DirectWrite, Truncate, Sync])
}

fn direct_and_buffered(cx: &Cx) -> Checked {
    run(cx, &[DirectRead, DirectWrite, Read, Write, Truncate, Sync])
}

fn direct_buffered_and_mapped(cx: &Cx) -> Checked {
    run(
        cx,
        &[
            DirectRead,
            DirectWrite,
            Read,
            Write,
            MapRead,
            MapWrite,
            Truncate,
            Sync,
        ],
    )
}

fn run(cx: &Cx, operations: &[Operation]) -> Checked {
    for seed in SEEDS {
        let mut file = File::create(seed)?;
        for step in 1..=OPERATIONS {
            let operation = operations[file.random.below(operations.len())];
            file.apply(operation)
                .map_err(|failure| in_step(seed, step, operation, &failure))?;
            if step % INTERVAL == 0 {
                file.compare_all()
                    .map_err(|failure| in_step(seed, step, operation, &failure))?;
            }
        }
        file.compare_all()?;
        rustix::fs::fsync(&file.buffered)?;
        ensure!(
            read_all(cx.backing().join(file.name()))? == file.model,
            "seed {seed}: below the mount the file is not the model"
        );
        cx.observe(format!("seed {seed}"), hash(&file.model));
    }
    Ok(())
}

fn in_step(seed: u64, step: u32, operation: Operation, failure: &Failure) -> Failure {
    Failure::new(format_args!(
        "seed {seed}, step {step}, {operation:?}: {failure}"
    ))
}

/// The file by each way, and what it must hold.
struct File {
    seed: u64,
    random: Random,
    direct: OwnedFd,
    buffered: OwnedFd,
    map: Map,
    model: Vec<u8>,
}

impl File {
    fn create(seed: u64) -> Result<Self, Failure> {
        let name = format!("model-{seed}");
        let buffered = create(&name)?;
        let model = pattern(seed, PAGES * PAGE);
        write_all(&buffered, &model)?;
        Ok(Self {
            seed,
            random: Random::new(seed),
            direct: open(&name, OFlags::RDWR | OFlags::DIRECT)?,
            map: Map::shared(&buffered, PAGES * PAGE)?,
            buffered,
            model,
        })
    }

    fn name(&self) -> String {
        format!("model-{}", self.seed)
    }

    fn apply(&mut self, operation: Operation) -> Checked {
        match operation {
            DirectRead => {
                let (at, len) = self.pages();
                self.direct_read(at, len)
            }
            DirectWrite => {
                let (at, len) = self.pages();
                let bytes = self.bytes(len);
                let aligned = Aligned::from_pattern(&bytes);
                same!(
                    rustix::io::pwrite(&self.direct, aligned.bytes(), at as u64)?,
                    len
                );
                self.put(at, &bytes);
                Ok(())
            }
            Read => {
                let (at, len) = self.range(PAGES * PAGE);
                self.expect(at, &read_at(&self.buffered, len, at as u64)?, len)
            }
            Write => {
                let (at, len) = self.range(PAGES * PAGE);
                let bytes = self.bytes(len);
                write_at(&self.buffered, &bytes, at as u64)?;
                self.put(at, &bytes);
                Ok(())
            }
            MapRead => {
                let (at, len) = self.range(self.model.len());
                self.expect(at, &self.map.read(at, len), len)
            }
            MapWrite => {
                let (at, len) = self.range(self.model.len());
                let bytes = self.bytes(len);
                self.map.write(at, &bytes);
                self.put(at, &bytes);
                Ok(())
            }
            Truncate => {
                // Not to nothing: then the other operations would have no room.
                let len = PAGE + self.random.below((PAGES - 1) * PAGE + 1);
                rustix::fs::ftruncate(&self.buffered, len as u64)?;
                self.model.resize(len, 0);
                Ok(())
            }
            Sync => Ok(rustix::fs::fsync(&self.buffered)?),
        }
    }

    /// The whole file by every way, and its size.
    fn compare_all(&self) -> Checked {
        let len = self.model.len();
        same!(rustix::fs::fstat(&self.buffered)?.st_size as usize, len);
        self.expect(0, &read_at(&self.buffered, PAGES * PAGE, 0)?, len)?;
        self.expect(0, &self.map.read(0, len), len)?;
        self.direct_read(0, PAGES * PAGE)
    }

    fn direct_read(&self, at: usize, len: usize) -> Checked {
        let mut buffer = Aligned::new(len / PAGE);
        let got = rustix::io::pread(&self.direct, buffer.bytes_mut(), at as u64)?;
        self.expect(at, &buffer.bytes()[..got], len)
    }

    /// Fails unless `got` is what a read of `len` bytes at `at` must give.
    fn expect(&self, at: usize, got: &[u8], len: usize) -> Checked {
        let from = at.min(self.model.len());
        let expected = &self.model[from..(at + len).clamp(from, self.model.len())];
        same!(got.len(), expected.len());
        if let Some(first) = got.iter().zip(expected).position(|(a, b)| a != b) {
            return Err(Failure::new(format_args!(
                "byte {} is {:#04x}, expected {:#04x}",
                at + first,
                got[first],
                expected[first]
            )));
        }
        Ok(())
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.model.len() < end {
            self.model.resize(end, 0);
        }
        self.model[at..end].copy_from_slice(bytes);
    }

    /// Whole pages, as O_DIRECT wants them: offset and length.
    fn pages(&mut self) -> (usize, usize) {
        let at = self.random.below(PAGES);
        let len = 1 + self.random.below(TRANSFER.min(PAGES - at));
        (at * PAGE, len * PAGE)
    }

    /// Some bytes before `end`: offset and length.
    fn range(&mut self, end: usize) -> (usize, usize) {
        let at = self.random.below(end);
        let len = 1 + self.random.below((TRANSFER * PAGE).min(end - at));
        (at, len)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        pattern(self.random.next(), len)
    }
}

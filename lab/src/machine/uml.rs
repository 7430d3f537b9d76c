//! User-mode Linux: a kernel that is a process. Needs no KVM, and its system calls take about four times
//! as long as this machine's (`Documentation/virt/uml`).

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::guest::{CONSOLE, Guest, Stream};
use super::qemu::{Disk, Writes};

/// A user-mode Linux.
#[derive(Debug, Clone)]
pub struct Uml {
    /// The initramfs.
    pub initramfs: PathBuf,
    /// Added to the kernel's command line.
    pub command_line: String,
    /// In this order `ubda`, `ubdb` and so on.
    pub disks: Vec<Disk>,
    /// Memory in MiB.
    pub memory_mib: u32,
}

impl Uml {
    /// Starts it with `program`, a command that ends in `linux.uml`. The console is in `room`.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(&self, mut program: Command, room: &Path) -> Result<Guest> {
        let console = room.join(CONSOLE);
        let (here, there) = UnixStream::pair()?;
        let output = File::options().append(true).create(true).open(&console)?;
        program
            .args(self.arguments(room))
            // The first serial line is standard input, in both directions: a socket.
            .stdin(OwnedFd::from(there))
            .stdout(output.try_clone()?)
            .stderr(Stdio::from(output))
            // Where the memory of the guest is kept, and its own control socket.
            .env("TMPDIR", "/dev/shm")
            .env("HOME", room)
            .process_group(0);
        let child = program.spawn().context("cannot start user-mode Linux")?;
        let stream = Stream {
            from: Box::new(here.try_clone()?),
            to: Box::new(here),
        };
        Ok(Guest::new(child, stream, &console))
    }

    /// Runs it with this process' terminal as its console, until it ends. Without an agent's stream.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or fails.
    pub fn run_on_terminal(&self, mut program: Command, room: &Path) -> Result<bool> {
        program
            .args(self.arguments(room))
            // The last one counts.
            .args(["con0=fd:0,fd:1", "ssl0=null"])
            .env("TMPDIR", "/dev/shm")
            .env("HOME", room);
        let status = program.status();
        Ok(status.context("cannot start user-mode Linux")?.success())
    }

    fn arguments(&self, room: &Path) -> Vec<String> {
        let mut arguments: Vec<String> = [
            &format!("mem={}M", self.memory_mib),
            &format!("initrd={}", self.initramfs.display()),
            "con=null",
            "con0=null,fd:1",
            "ssl=null",
            "ssl0=fd:0,fd:0",
            "console=tty0",
            "panic=-1",
            "lab.disks=ubd",
            "hostfs=/nonexistent",
        ]
        .map(|word| word.to_string())
        .to_vec();
        arguments.extend(self.command_line.split_whitespace().map(str::to_owned));
        for (number, disk) in self.disks.iter().enumerate() {
            let file = disk.file.display();
            arguments.push(match disk.writes {
                Writes::Refused => format!("ubd{number}r={file}"),
                Writes::Vanish => {
                    let own = room.join(format!("cow{number}"));
                    format!("ubd{number}={},{file}", own.display())
                }
                Writes::Stay => format!("ubd{number}={file}"),
            });
        }
        arguments
    }
}

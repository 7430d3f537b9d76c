//! QEMU: a whole machine, with a kernel of its choice.

use std::fs::File;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use super::guest::{CONSOLE, Guest, Stream};
use crate::process::poll_until;

/// QEMU comes up and connects, or says why not.
const CONNECTS: Duration = Duration::from_secs(60);

/// A kernel on KVM prints its first line in a second.
const KVM_COMES_UP: Duration = Duration::from_secs(10);

/// A machine without anything, which ends instead of starting again.
const COMMON: &[&str] = &[
    "-nodefaults",
    "-no-user-config",
    "-no-reboot",
    "-display",
    "none",
];

/// What makes a guest's processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Accelerator {
    /// The machine's own (`/dev/kvm`).
    Kvm,
    /// Emulated: each system call takes 15 to 20 times as long.
    Tcg,
}

impl Accelerator {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Accelerator::Kvm => "KVM",
            Accelerator::Tcg => "TCG",
        }
    }

    /// KVM where a kernel comes up on it; otherwise TCG, and why. That `/dev/kvm` opens says little: in
    /// some virtual machines it does, and fails at the first instruction of some kind. `program` is a
    /// command that ends in `qemu-system-x86_64`, and sees `kernel` and `room`.
    ///
    /// # Errors
    ///
    /// When QEMU cannot be started at all.
    pub fn probe(program: Command, kernel: &Path, room: &Path) -> Result<(Self, Option<String>)> {
        if let Some(obstacle) = kvm_obstacle() {
            return Ok((Accelerator::Tcg, Some(obstacle)));
        }
        if comes_up_on_kvm(program, kernel, room)? {
            return Ok((Accelerator::Kvm, None));
        }
        let why = "/dev/kvm opens, but no kernel comes up on it".to_owned();
        Ok((Accelerator::Tcg, Some(why)))
    }

    /// The machine and the processor, for QEMU.
    fn arguments(self) -> [&'static str; 4] {
        match self {
            Accelerator::Kvm => ["-M", "q35,accel=kvm", "-cpu", "host"],
            Accelerator::Tcg => ["-M", "q35,accel=tcg", "-cpu", "max"],
        }
    }
}

/// Why `/dev/kvm` cannot be used; `None` when it opens.
pub(super) fn kvm_obstacle() -> Option<String> {
    let kvm = File::options().read(true).write(true).open("/dev/kvm");
    kvm.err().map(|error| format!("/dev/kvm: {error}"))
}

/// Whether a kernel prints its first line. Without disks it goes no further.
fn comes_up_on_kvm(mut program: Command, kernel: &Path, room: &Path) -> Result<bool> {
    let console = room.join("kvm.log");
    program
        .args(Accelerator::Kvm.arguments())
        .args(["-m", "256"])
        .args(COMMON)
        .arg("-chardev")
        .arg(format!("file,id=console,path={}", console.display()))
        .args([
            "-serial",
            "chardev:console",
            "-append",
            "console=ttyS0 panic=-1",
        ])
        .arg("-kernel")
        .arg(kernel)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    let child = program.spawn().context("cannot start QEMU")?;
    let mut guest = Guest::new(child, Stream::nowhere(), &console);
    let came_up = |guest: &Guest| guest.console().contains("Linux version");
    poll_until(Instant::now() + KVM_COMES_UP, || {
        Ok(came_up(&guest) || guest.ended().is_some())
    })?;
    Ok(came_up(&guest))
}

/// A disk of a guest: a raw file.
#[derive(Debug, Clone)]
pub struct Disk {
    /// The file.
    pub file: PathBuf,
    /// What becomes of writes.
    pub writes: Writes,
}

/// What becomes of writes to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// They are refused.
    Refused,
    /// They go to a file of the guest's own and vanish with it.
    Vanish,
    /// They stay.
    Stay,
}

/// A machine of QEMU's.
#[derive(Debug, Clone)]
pub struct Qemu {
    /// What makes the processor.
    pub accelerator: Accelerator,
    /// The kernel, as a boot loader takes it.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initramfs: PathBuf,
    /// Added to the kernel's command line.
    pub command_line: String,
    /// In this order `vda`, `vdb` and so on.
    pub disks: Vec<Disk>,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Processors.
    pub cpus: u32,
}

impl Qemu {
    /// Starts it with `program`, a command that ends in `qemu-system-x86_64`. The console and the
    /// socket are in `room`, whose path must be short (unix(7)).
    ///
    /// # Errors
    ///
    /// When QEMU does not come up; with what it said.
    pub fn start(&self, mut program: Command, room: &Path) -> Result<Guest> {
        let console = room.join(CONSOLE);
        let socket = room.join("agent");
        // Of a guest that was here before.
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)
            .with_context(|| format!("cannot listen at {}", socket.display()))?;
        // What QEMU itself says is part of the story.
        let said = File::options().append(true).create(true).open(&console)?;
        program
            .args(self.arguments(&format!(
                "file,id=console,path={},append=on",
                console.display()
            )))
            .args(["-device", "virtio-serial-pci", "-chardev"])
            .arg(format!("socket,id=lab,path={}", socket.display()))
            .args(["-device", "virtserialport,chardev=lab,name=lab"])
            // Where writes that vanish go.
            .env("TMPDIR", room)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .process_group(0);
        let mut child = program.spawn().context("cannot start QEMU")?;
        match connected(&listener, &child) {
            Ok(stream) => {
                let stream = Stream {
                    from: Box::new(stream.try_clone()?),
                    to: Box::new(stream),
                };
                Ok(Guest::new(child, stream, &console))
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                let said = std::fs::read_to_string(&console).unwrap_or_default();
                Err(error.context(format!("QEMU: {}", said.trim())))
            }
        }
    }

    /// Runs it with this process' terminal as its console, until it ends. Without an agent's stream.
    ///
    /// # Errors
    ///
    /// When QEMU cannot be started, or fails.
    pub fn run_on_terminal(&self, mut program: Command, room: &Path) -> Result<bool> {
        program.args(self.arguments("stdio,id=console,signal=off"));
        let status = program.env("TMPDIR", room).status();
        Ok(status.context("cannot start QEMU")?.success())
    }

    /// Without the agent's port. `console` is a character device named `console`.
    fn arguments(&self, console: &str) -> Vec<String> {
        let mut arguments: Vec<String> = self.accelerator.arguments().map(str::to_owned).to_vec();
        arguments.extend(COMMON.iter().map(|&word| word.to_owned()));
        arguments.extend(
            [
                "-smp",
                &self.cpus.to_string(),
                "-m",
                &self.memory_mib.to_string(),
                "-chardev",
                console,
                "-serial",
                "chardev:console",
                "-kernel",
                &self.kernel.display().to_string(),
                "-initrd",
                &self.initramfs.display().to_string(),
                // A kernel that panics restarts at once, which -no-reboot makes the end.
                "-append",
                &format!("console=ttyS0 panic=-1 lab.disks=vd {}", self.command_line),
                "-device",
                "virtio-rng-pci",
            ]
            .map(str::to_owned),
        );
        for (number, disk) in self.disks.iter().enumerate() {
            let writes = match disk.writes {
                Writes::Refused => ",readonly=on",
                Writes::Vanish => ",snapshot=on",
                Writes::Stay => "",
            };
            let file = disk.file.display();
            arguments.extend([
                "-drive".to_owned(),
                // A guest's flush is not passed to the machine's own disk: a guest that is killed loses
                // what it has not written, never what it has. No locks: user-mode Linux locks what it
                // only reads too, and guests share what they only read.
                format!(
                    "if=none,id=disk{number},file={file},file.locking=off,format=raw,cache=unsafe,\
                     discard=unmap{writes}"
                ),
                "-device".to_owned(),
                format!("virtio-blk-pci,drive=disk{number}"),
            ]);
        }
        arguments
    }
}

/// The connection that QEMU makes.
fn connected(listener: &UnixListener, child: &Child) -> Result<UnixStream> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut fds = [
        PollFd::new(listener, PollFlags::IN),
        PollFd::new(&pidfd, PollFlags::IN),
    ];
    let timeout = Timespec::try_from(CONNECTS)?;
    if poll(&mut fds, Some(&timeout))? == 0 {
        bail!("it did not come up within {CONNECTS:?}");
    }
    if fds[0].revents().is_empty() {
        bail!("it ended at once");
    }
    Ok(listener.accept()?.0)
}

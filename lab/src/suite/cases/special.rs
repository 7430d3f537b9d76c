//! Programs, FIFOs, sockets, devices and change notification.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use rustix::fs::{CWD, FileType, inotify, mknodat};

use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!("special", run_script, "a script runs from here"),
    case!("special", run_binary, "a copied binary runs from here"),
    case!("special", text_busy, "a file open for writing does not run"),
    case!(
        "special",
        execute_only,
        "an execute-only program runs but is not readable",
        root
    ),
    case!("special", fifo, "two processes talk through a FIFO"),
    case!(
        "special",
        unix_socket,
        "a socket is bound and reached by its name"
    ),
    case!("special", device, "a copy of /dev/null", root),
    case!("special", notification, "inotify tells of local changes"),
];

fn run(program: &str) -> Result<String, std::io::Error> {
    let output = Command::new(program).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn run_script(_: &Cx) -> Checked {
    write_file("script", "#!/bin/sh\necho hello\n")?;
    same!(
        run("./script").err().and_then(|e| e.raw_os_error()),
        Some(libc::EACCES)
    );
    chmod("script", 0o755)?;
    same!(run("./script")?, "hello\n");
    Ok(())
}

fn run_binary(_: &Cx) -> Checked {
    std::fs::copy("/bin/echo", "echo")?;
    chmod("echo", 0o755)?;
    same!(run("./echo")?, "\n");
    same!(hash(&read_all("echo")?), hash(&read_all("/bin/echo")?));
    Ok(())
}

fn text_busy(cx: &Cx) -> Checked {
    std::fs::copy("/bin/sleep", "program")?;
    chmod("program", 0o755)?;
    let fd = open("program", OFlags::WRONLY)?;
    let refused = run("./program")
        .err()
        .and_then(|error| error.raw_os_error());
    same!(refused, Some(libc::ETXTBSY));
    drop(fd);
    let mut running = Command::new("./program").arg("100").spawn()?;
    let write = open("program", OFlags::WRONLY);
    let truncate = open("program", OFlags::RDONLY | OFlags::TRUNC);
    let intact = hash(&read_all("program")?) == hash(&read_all("/bin/sleep")?);
    let ended = running.try_wait()?;
    running.kill()?;
    running.wait()?;
    cx.observe_code("write while running", &write);
    cx.observe_code("truncate while running", &truncate);
    same!((intact, ended), (true, None));
    Ok(())
}

fn execute_only(_: &Cx) -> Checked {
    std::fs::copy("/bin/echo", "echo")?;
    chmod("echo", 0o711)?;
    as_user(ALICE, || {
        same!(code(&read_only("echo")), "EACCES");
        same!(run("./echo")?, "\n");
        Ok(())
    })
}

fn fifo(_: &Cx) -> Checked {
    mknodat(CWD, "p", FileType::Fifo, 0o600.into(), 0)?;
    same!(code(&open("p", OFlags::WRONLY | OFlags::NONBLOCK)), "ENXIO");
    let child = spawn(|| Ok(write_file("p", pattern(1, 100_000))?))?;
    let bytes = read_all("p")?;
    child.join()?;
    same!(hash(&bytes), hash(&pattern(1, 100_000)));
    same!(size_of("p")?, 0);
    Ok(())
}

fn unix_socket(cx: &Cx) -> Checked {
    let listener = UnixListener::bind("s")?;
    cx.observe_stat("socket", "s");
    let child = spawn(|| {
        UnixStream::connect("s")?.write_all(b"through the socket")?;
        Ok(())
    })?;
    let mut text = String::new();
    listener.accept()?.0.read_to_string(&mut text)?;
    child.join()?;
    same!(text, "through the socket");
    drop(listener);
    let refused = UnixStream::connect("s")
        .err()
        .and_then(|error| error.raw_os_error());
    same!(refused, Some(libc::ECONNREFUSED));
    let again = UnixListener::bind("s")
        .err()
        .and_then(|error| error.raw_os_error());
    same!(again, Some(libc::EADDRINUSE));
    Ok(())
}

fn device(cx: &Cx) -> Checked {
    let number = rustix::fs::makedev(1, 3);
    mknodat(CWD, "null", FileType::CharacterDevice, 0o600.into(), number)?;
    let opened = read_write("null");
    // Allowed or not is up to the mount (nodev).
    cx.observe_code("open", &opened);
    if let Ok(fd) = opened {
        write_all(&fd, b"x")?;
        same!(read_at(&fd, 1, 0)?, b"");
    }
    Ok(())
}

fn notification(cx: &Cx) -> Checked {
    use inotify::{CreateFlags, WatchFlags};
    mkdir("d")?;
    let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let wanted = WatchFlags::CREATE
        | WatchFlags::MODIFY
        | WatchFlags::ATTRIB
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::MOVE
        | WatchFlags::DELETE;
    inotify::add_watch(&fd, "d", wanted)?;
    write_file("d/f", "x")?;
    chmod("d/f", 0o600)?;
    rustix::fs::rename("d/f", "d/g")?;
    rustix::fs::unlink("d/g")?;
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&fd, &mut buffer);
    let mut events = Vec::new();
    loop {
        match reader.next() {
            Ok(event) => {
                let name = event
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned());
                events.push(format!(
                    "{:x} {}",
                    event.events().bits(),
                    name.unwrap_or_default()
                ));
            }
            Err(Errno::AGAIN) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    ensure!(events.len() >= 6, "events: {events:?}");
    cx.observe("events", events.join(", "));
    Ok(())
}

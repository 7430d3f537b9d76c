//! The daemon: mounts, answers on its socket, and unmounts when it is told to.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::DynamicFS;
use crate::config::Resolved;
use crate::mount::registry::{MountStatus, RuntimeDir, Setting};
use crate::mount::{self, MountError, MountHandle, UnmountError, UnmountMode, Unmounter};
use crate::stats::socket::{Answerer, Request};
use crate::storage::{FilesystemInterface, MemoryStorage, PermissionChecks};
use crate::transport::TransportError;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use super::exit::{Exit, Failure};
use super::prepare::{Prepared, Source};
use super::{Around, directory};

/// Mounts, calls `ready` once the mount answers, and serves until it is unmounted.
pub(crate) fn serve(
    prepared: Prepared,
    around: &Around,
    ready: impl FnOnce() -> io::Result<()>,
) -> Result<(), Failure> {
    let runtime = RuntimeDir::of_this_user();
    runtime
        .prepare()
        .map_err(|error| Failure::new(Exit::Failed, error))?;
    let storage = around(storage(&prepared)?);
    // Before the mount, so that no signal can end the process and leave a dead mount.
    let signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(|error| {
        Failure::new(Exit::Failed, format_args!("cannot handle signals: {error}"))
    })?;
    let fs = DynamicFS::new_with_config(storage, prepared.resolved.config.clone());
    let handle = mount::spawn(fs, &prepared.mountpoint, &prepared.options)
        .map_err(|error| cannot_mount(&prepared.mountpoint, error))?;
    // From here on, leaving drops the handle, and that unmounts.
    let mountpoint = handle.mountpoint().to_owned();
    let server = runtime
        .listen(&mountpoint, answerer(&prepared, &handle))
        .map_err(|error| {
            let path = runtime.path().display();
            Failure::new(
                Exit::Failed,
                format_args!("cannot listen in {path}: {error}"),
            )
        })?;
    rustix::fs::statfs(&mountpoint).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format_args!("the mount does not answer: {error}"),
        )
    })?;
    let watcher = watch(signals, handle.unmounter())?;
    ready().map_err(|error| {
        Failure::new(
            Exit::Failed,
            format_args!("nobody waits for the mount any more: {error}"),
        )
    })?;
    tracing::info!(source = %prepared.source, mountpoint = %mountpoint.display(), "mounted");
    let served = handle.wait();
    watcher.close();
    drop(server);
    tracing::info!(mountpoint = %mountpoint.display(), "unmounted");
    served.map_err(|error| Failure::new(Exit::Failed, error))
}

fn storage(prepared: &Prepared) -> Result<Box<dyn FilesystemInterface>, Failure> {
    let config = &prepared.resolved.config;
    let checks = if config.default_permissions {
        PermissionChecks::Kernel
    } else {
        PermissionChecks::Storage
    };
    Ok(match &prepared.source {
        Source::Memory(size) => {
            let storage = size.map_or_else(MemoryStorage::new, MemoryStorage::with_capacity);
            Box::new(storage.with_permission_checks(checks))
        }
        Source::Directory(root) => directory::open(root, config, &prepared.options, checks)?,
    })
}

fn cannot_mount(mountpoint: &Path, error: MountError) -> Failure {
    let exit = match &error {
        MountError::Idmap => Exit::Usage,
        MountError::Transport(
            TransportError::Option { .. }
            | TransportError::Mounted { .. }
            | TransportError::Given { .. },
        ) => Exit::Usage,
        MountError::Transport(TransportError::Mount(source)) => match source.kind() {
            // EBUSY and the like are about the place, not about rights.
            io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => Exit::NoFuse,
            _ => Exit::Failed,
        },
        _ => Exit::Failed,
    };
    let text = error.to_string();
    // What a helper says comes with a line feed, and this is one line.
    let text = text.trim().replace('\n', "; ");
    Failure::new(
        exit,
        format_args!("{}: {text}; see 'dynamicfs doctor'", mountpoint.display()),
    )
}

/// How long a mount has to be found in use until a signal is refused for it. A program that is just being started has the
/// open files of its parent until execve(2), a user that is ending has its own for a moment: who stops a service
/// has nobody to stop it again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Unmounts at the first signal, detaches at the second.
fn watch(mut signals: Signals, unmounter: Unmounter) -> Result<Handle, Failure> {
    let handle = signals.handle();
    std::thread::Builder::new()
        .name("dynamicfs-signal".to_owned())
        .spawn(move || {
            let mut mode = UnmountMode::Normal;
            for signal in &mut signals {
                tracing::info!(signal, "unmounting");
                match unmount_once_free(&unmounter, mode) {
                    Ok(()) | Err(UnmountError::NotMounted { .. }) => {}
                    Err(error) => {
                        tracing::warn!("{error}; a second signal detaches the mount");
                    }
                }
                mode = UnmountMode::Lazy;
            }
        })
        .map_err(|error| {
            Failure::new(Exit::Failed, format_args!("cannot start a thread: {error}"))
        })?;
    Ok(handle)
}

/// Unmounts, and tries again for a while as long as the mount is in use.
fn unmount_once_free(unmounter: &Unmounter, mode: UnmountMode) -> Result<(), UnmountError> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(5);
    loop {
        match unmounter.unmount(mode) {
            Err(UnmountError::Busy { .. }) if Instant::now() + pause < deadline => {}
            outcome => return outcome,
        }
        std::thread::sleep(pause);
        pause = Duration::min(pause * 2, PATIENCE / 10);
    }
}

/// Answers from the state of the mount at the moment of the question.
fn answerer(prepared: &Prepared, handle: &MountHandle) -> Answerer {
    let fs = handle.filesystem().clone();
    let reporter = handle.reporter();
    let given_up = prepared.given_up.clone();
    let status = status(prepared, handle);
    Box::new(move |request| {
        let answer = match request {
            Request::Stats => serde_json::to_value(fs.snapshot()),
            Request::Status => {
                let mut report = reporter();
                report.capabilities.extend(given_up.iter().cloned());
                serde_json::to_value(MountStatus {
                    report,
                    ..status.clone()
                })
            }
        };
        answer.map_err(|error| error.to_string())
    })
}

fn status(prepared: &Prepared, handle: &MountHandle) -> MountStatus {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let options: Vec<_> = prepared.options.iter().map(ToString::to_string).collect();
    MountStatus {
        pid: rustix::process::getpid().as_raw_nonzero().get(),
        source: prepared.source.to_string(),
        mountpoint: handle.mountpoint().to_owned(),
        started: now.map_or(0, |since| since.as_secs()),
        preset: prepared.resolved.preset.to_string(),
        preset_origin: prepared.resolved.preset_origin.to_string(),
        settings: settings(&prepared.resolved),
        options: options.join(","),
        report: handle.report(),
    }
}

fn settings(resolved: &Resolved) -> Vec<Setting> {
    resolved
        .settings()
        .map(|setting| Setting {
            name: setting.name.to_owned(),
            value: setting.value,
            origin: setting.origin.to_string(),
        })
        .collect()
}

//! Serves a directory with the passthrough file system of the crate fuse-backend-rs, set up for
//! many small files: a peer in `cargo xtask bench`, which builds it under target/lab/peers.
//!
//! Set up means:
//! - under the crate's `Vfs`, because only that negotiates big requests and parallel lookups;
//! - no OPEN and OPENDIR (`no_open`, `no_opendir`), which need data that stays cached
//!   (`CachePolicy::Always`);
//! - the kernel collects writes (`writeback`), and set-id bits are dropped without a GETXATTR before
//!   each write (`killpriv_v2`);
//! - file handles instead of a descriptor for each inode, whose number may be limited;
//! - all else as the crate has it: times to live of 5 s, `default_permissions`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use fuse_backend_rs::api::server::Server;
use fuse_backend_rs::api::{Vfs, VfsOptions};
use fuse_backend_rs::passthrough::{CachePolicy, Config, PassthroughFs};
use fuse_backend_rs::transport::{FuseChannel, FuseSession};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Serves SOURCE at MOUNTPOINT, in the foreground, until it is unmounted or gets SIGTERM or SIGINT.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The directory to serve
    source: PathBuf,
    /// Where it is mounted
    mountpoint: PathBuf,
    /// Threads that answer requests
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    threads: u8,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let server = Arc::new(Server::new(passthrough(&arguments.source)?));
    let mountpoint = &arguments.mountpoint;
    let mut session = FuseSession::new(mountpoint, "fuse-backend-rs", "fuse-backend-rs", false)
        .and_then(|mut session| session.mount().map(|()| session))
        .with_context(|| format!("cannot mount {}", mountpoint.display()))?;
    let workers = (0..arguments.threads)
        .map(|number| {
            let (server, channel) = (server.clone(), session.new_channel()?);
            Ok(thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || serve(&server, channel))?)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some()
            && let Err(error) = session.umount()
        {
            eprintln!("cannot unmount: {error}");
        }
    });
    for worker in workers {
        worker.join().map_err(|_| anyhow!("a worker panicked"))?;
    }
    Ok(())
}

fn passthrough(source: &Path) -> Result<Arc<Vfs>> {
    let root_dir = source
        .to_str()
        .with_context(|| format!("{} is not UTF-8", source.display()))?
        .to_owned();
    let config = Config {
        root_dir,
        cache_policy: CachePolicy::Always,
        no_open: true,
        no_opendir: true,
        writeback: true,
        killpriv_v2: true,
        xattr: true,
        inode_file_handles: true,
        // Under a Vfs, which asks for the root before the kernel asks for anything.
        do_import: false,
        ..Config::default()
    };
    let fs = PassthroughFs::<()>::new(config)?;
    fs.import()
        .with_context(|| format!("cannot serve {}", source.display()))?;
    let vfs = Vfs::new(VfsOptions {
        killpriv_v2: true,
        ..VfsOptions::default()
    });
    vfs.mount(Box::new(fs), "/")?;
    Ok(Arc::new(vfs))
}

/// Answers requests until the file system is unmounted.
fn serve(server: &Server<Arc<Vfs>>, mut channel: FuseChannel) {
    // An error of the channel is the end, too: the connection is gone.
    while let Ok(Some((reader, writer))) = channel.get_request() {
        // The caller of a request that cannot be answered was told, or is gone.
        let _ = server.handle_message(reader, writer.into(), None, None);
    }
}

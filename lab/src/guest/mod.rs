//! What runs where the file systems are tested: the agent, and the language that it speaks.
//!
//! The same agent serves a guest (as its first process) and this machine (in namespaces of its own). It
//! reads a job, does its steps one by one, and tells of each as it ends, so that what was done survives
//! what comes after.

mod init;
mod modules;
mod power;
pub mod protocol;
mod root;
mod stuck;
mod sys;
mod work;
mod xfstests;

pub use self::root::{SHELL, run_root};
pub use self::work::{Ground, serve};

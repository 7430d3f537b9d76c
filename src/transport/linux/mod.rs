//! The native transport of Linux.

mod wire;

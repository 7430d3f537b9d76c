//! What `rustix` lacks on FreeBSD, numbered as the FUSE protocol does.

bitflags::bitflags! {
    /// Flags of a rename.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct RenameFlags: u32 {
        /// The new name must not exist.
        const NOREPLACE = 1;
        /// The two names change places.
        const EXCHANGE = 2;
        /// Leaves a whiteout at the old name.
        const WHITEOUT = 4;
        const _ = !0;
    }
}

bitflags::bitflags! {
    /// Flags of setting an extended attribute.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct XattrFlags: u32 {
        /// It must not exist.
        const CREATE = 1;
        /// It must exist.
        const REPLACE = 2;
        const _ = !0;
    }
}

//! The table of all settings: names, texts, ranges. Everything else is driven from it.

use std::time::Duration;

use super::names::UnknownName;
use super::units::{self, ValueError};
use super::{
    IoMode, KernelFeatures, LockMode, OpenPolicy, OptimizedFUSEConfig as Config, ReadDirPlus,
    TransportChoice,
};

/// What the names of all environment variables begin with.
pub(super) const PREFIX: &str = "DYNAMICFS_";

/// The page size that request sizes are multiples of: the smallest of all architectures.
const PAGE: u64 = 4 * KIB;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// No lifetime is longer: a stale name or attribute is gone within a day.
const LONGEST: Duration = Duration::from_secs(86_400);
const MILLIS_ACCEPTED: &str = "0 to 999";

/// One setting: a value of [`OptimizedFUSEConfig`](Config) with its names and its range.
#[derive(Debug)]
pub struct Field {
    name: &'static str,
    member: &'static str,
    description: &'static str,
    hint: Option<&'static str>,
    kind: Kind,
}

/// What values a setting has, and where they are kept.
#[derive(Debug)]
enum Kind {
    Bool(Access<bool>),
    Count {
        access: Access<u64>,
        min: u64,
        max: u64,
    },
    Size {
        access: Access<u64>,
        min: u64,
        max: u64,
        aligned: bool,
    },
    Duration {
        access: Access<Duration>,
        millis: fn(&Config) -> u32,
        millis_member: &'static str,
    },
    Choice {
        names: &'static [&'static str],
        get: fn(&Config) -> &'static str,
        set: fn(&mut Config, &str) -> Result<(), UnknownName>,
    },
}

#[derive(Debug)]
struct Access<T> {
    get: fn(&Config) -> T,
    set: fn(&mut Config, T),
}

/// A value out of range in a struct that a program filled.
pub(super) struct OutOfRange {
    pub(super) member: &'static str,
    pub(super) value: String,
    pub(super) problem: ValueError,
    pub(super) accepted: String,
}

impl Field {
    /// The name: the key in a file, the word in a mount option.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.to_ascii_uppercase())
    }

    /// The long command-line flag without the two dashes.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The member of [`OptimizedFUSEConfig`](Config); of a duration the one with the seconds.
    pub fn member(&self) -> &'static str {
        self.member
    }

    /// What it is, in one line.
    pub fn description(&self) -> &'static str {
        self.description
    }

    /// Whether the name alone means yes, as in `-o writeback`.
    pub fn is_switch(&self) -> bool {
        matches!(self.kind, Kind::Bool(_))
    }

    /// The accepted range or names.
    pub fn accepted(&self) -> String {
        let mut accepted = match self.kind {
            Kind::Bool(_) => units::BOOL_TEXTS.to_owned(),
            Kind::Count { min, max, .. } => format!("{min} to {max}"),
            Kind::Size { min, max, .. } => {
                format!("{} to {}", units::format_size(min), units::format_size(max))
            }
            Kind::Duration { .. } => format!("0s to {}", units::format_duration(LONGEST)),
            Kind::Choice { names, .. } => names.join(", "),
        };
        if let Kind::Size { aligned: true, .. } = self.kind {
            accepted += " in steps of 4KiB";
        }
        if let Some(hint) = self.hint {
            accepted = format!("{accepted} ({hint})");
        }
        accepted
    }

    /// The value of this setting as text that [`set`](Self::set) reads back.
    pub fn get(&self, config: &Config) -> String {
        match &self.kind {
            Kind::Bool(access) => (access.get)(config).to_string(),
            Kind::Count { access, .. } => (access.get)(config).to_string(),
            Kind::Size { access, .. } => units::format_size((access.get)(config)),
            Kind::Duration { access, .. } => units::format_duration((access.get)(config)),
            Kind::Choice { get, .. } => get(config).to_owned(),
        }
    }

    /// Changes this setting.
    ///
    /// # Errors
    ///
    /// The text is not of the setting's kind, or the value is out of range; `config` is unchanged.
    pub fn set(&self, config: &mut Config, text: &str) -> Result<(), ValueError> {
        match &self.kind {
            Kind::Bool(access) => (access.set)(config, units::parse_bool(text)?),
            Kind::Count { access, min, max } => {
                let value = units::parse_integer(text)?;
                in_range(&value, min, max)?;
                (access.set)(config, value);
            }
            Kind::Size {
                access,
                min,
                max,
                aligned,
            } => {
                let value = units::parse_size(text)?;
                in_range(&value, min, max)?;
                on_boundary(value, *aligned)?;
                (access.set)(config, value);
            }
            Kind::Duration { access, .. } => {
                let value = units::parse_duration(text)?;
                in_range(&value, &Duration::ZERO, &LONGEST)?;
                (access.set)(config, value);
            }
            Kind::Choice { set, .. } => set(config, text).map_err(|_| ValueError::NotAName)?,
        }
        Ok(())
    }

    /// Whether the value in `config` is in the range.
    pub(super) fn check(&self, config: &Config) -> Result<(), OutOfRange> {
        let result = match &self.kind {
            Kind::Bool(_) | Kind::Choice { .. } => Ok(()),
            Kind::Count { access, min, max } => in_range(&(access.get)(config), min, max),
            Kind::Size {
                access,
                min,
                max,
                aligned,
            } => {
                let value = (access.get)(config);
                in_range(&value, min, max).and_then(|()| on_boundary(value, *aligned))
            }
            Kind::Duration {
                millis,
                millis_member,
                ..
            } if millis(config) > 999 => {
                return Err(OutOfRange {
                    member: millis_member,
                    value: millis(config).to_string(),
                    problem: ValueError::TooLarge,
                    accepted: MILLIS_ACCEPTED.to_owned(),
                });
            }
            Kind::Duration { access, .. } => {
                in_range(&(access.get)(config), &Duration::ZERO, &LONGEST)
            }
        };
        result.map_err(|problem| OutOfRange {
            member: self.member,
            value: self.get(config),
            problem,
            accepted: self.accepted(),
        })
    }
}

fn in_range<T: PartialOrd>(value: &T, min: &T, max: &T) -> Result<(), ValueError> {
    if value < min {
        Err(ValueError::TooSmall)
    } else if value > max {
        Err(ValueError::TooLarge)
    } else {
        Ok(())
    }
}

fn on_boundary(value: u64, aligned: bool) -> Result<(), ValueError> {
    if aligned && !value.is_multiple_of(PAGE) {
        return Err(ValueError::NotAligned);
    }
    Ok(())
}

/// All settings, in the order of presentation.
pub fn fields() -> &'static [Field] {
    FIELDS
}

/// The setting of that name; dashes and underscores are the same.
pub(super) fn find(name: &str) -> Option<&'static Field> {
    let name = name.replace('-', "_");
    FIELDS.iter().find(|field| field.name == name)
}

macro_rules! number {
    ($member:ident: $type:ty) => {
        Access {
            get: |config| config.$member as u64,
            // The range was checked; only a 4 GiB budget on a 32 bit machine is cut, by one byte.
            set: |config, value| config.$member = <$type>::try_from(value).unwrap_or(<$type>::MAX),
        }
    };
}

macro_rules! count {
    ($member:ident: $type:ty, $range:expr) => {
        Kind::Count { access: number!($member: $type), min: *$range.start(), max: *$range.end() }
    };
}

macro_rules! size {
    ($member:ident, $range:expr, aligned: $aligned:expr) => {
        Kind::Size {
            access: number!($member: usize),
            min: *$range.start(),
            max: *$range.end(),
            aligned: $aligned,
        }
    };
}

macro_rules! duration {
    ($get:ident, $secs:ident, $millis:ident) => {
        Kind::Duration {
            access: Access {
                get: Config::$get,
                set: |config, value| {
                    config.$secs = value.as_secs();
                    config.$millis = value.subsec_millis();
                },
            },
            millis: |config| config.$millis,
            millis_member: stringify!($millis),
        }
    };
}

macro_rules! switch {
    ($member:ident) => {
        Kind::Bool(Access {
            get: |config| config.$member,
            set: |config, value| config.$member = value,
        })
    };
}

macro_rules! choice {
    ($member:ident: $type:ty) => {
        Kind::Choice {
            names: <$type>::NAMES,
            get: |config| config.$member.name(),
            set: |config, text| {
                config.$member = text.parse()?;
                Ok(())
            },
        }
    };
}

macro_rules! table {
    ($($name:ident, $member:ident, $description:literal $([$hint:literal])?, $kind:expr;)+) => {
        &[$(Field {
            name: stringify!($name),
            member: stringify!($member),
            description: $description,
            hint: table!(@hint $($hint)?),
            kind: $kind,
        }),+]
    };
    (@hint) => { None };
    (@hint $hint:literal) => { Some($hint) };
}

static FIELDS: &[Field] = table! {
    attr_ttl, attr_timeout_secs, "how long the kernel may use attributes without asking",
        duration!(attr_timeout, attr_timeout_secs, attr_timeout_millis);
    entry_ttl, entry_timeout_secs, "how long the kernel may use a name without asking",
        duration!(entry_timeout, entry_timeout_secs, entry_timeout_millis);
    negative_ttl, negative_timeout_secs, "how long the kernel may remember that a name is absent",
        duration!(negative_timeout, negative_timeout_secs, negative_timeout_millis);
    readahead, enable_readahead, "detect sequential reads and fetch ahead of them",
        switch!(enable_readahead);
    readahead_size, readahead_size, "largest readahead window" ["readahead=false turns it off"],
        size!(readahead_size, 4 * KIB..=64 * MIB, aligned: false);
    worker_threads, worker_threads, "threads that serve requests",
        count!(worker_threads: usize, 1..=256);
    writeback, enable_writeback, "acknowledge writes before the storage has them",
        switch!(enable_writeback);
    writeback_buffer_size, writeback_buffer_size, "unwritten data held at most in this process",
        size!(writeback_buffer_size, 0..=GIB, aligned: false);
    xattrs, xattrs, "have extended attributes and ACLs, for a request at the first write of each file",
        switch!(xattrs);
    xattr_cache, enable_xattr_cache, "cache extended attributes in this process",
        switch!(enable_xattr_cache);
    xattr_cache_size, xattr_cache_size, "entries of the extended attribute cache"
        ["xattr_cache=false turns it off"],
        count!(xattr_cache_size: usize, 1..=10_000_000);
    xattr_cache_bytes, xattr_cache_bytes, "bytes of the extended attribute cache"
        ["xattr_cache=false turns it off"],
        size!(xattr_cache_bytes, 4 * KIB..=4 * GIB, aligned: false);
    xattr_cache_ttl, xattr_cache_ttl_secs, "how long a cached extended attribute is used",
        duration!(xattr_cache_ttl, xattr_cache_ttl_secs, xattr_cache_ttl_millis);
    max_read_size, max_read_size, "largest read request",
        size!(max_read_size, 4 * KIB..=16 * MIB, aligned: true);
    max_write_size, max_write_size, "largest write request",
        size!(max_write_size, 4 * KIB..=16 * MIB, aligned: true);
    max_background, max_background, "asynchronous requests in flight",
        count!(max_background: u16, 1..=65_535);
    request_timeout, request_timeout_secs, "how long an answer may take before the kernel ends the mount; 0s: for ever",
        duration!(request_timeout, request_timeout_secs, request_timeout_millis);
    io_mode, io_mode, "the path of file data", choice!(io_mode: IoMode);
    open, open, "whether opening a file is a request", choice!(open: OpenPolicy);
    lock_mode, lock_mode, "who arbitrates file locks", choice!(lock_mode: LockMode);
    readdirplus, readdirplus, "attributes with directory listings",
        choice!(readdirplus: ReadDirPlus);
    kernel_features, kernel_features, "how much of what the kernel offers is asked for",
        choice!(kernel_features: KernelFeatures);
    watch, watch, "expire what others change behind the mount as soon as it changes",
        switch!(watch);
    exclusive, exclusive, "nothing else changes the directory: what is cached never expires",
        switch!(exclusive);
    birth_time, birth_time, "tell when files were made, for a request at a stat that asks",
        switch!(birth_time);
    cpu_latency_qos, cpu_latency_qos, "keep idle processors from halting while requests come fast",
        switch!(cpu_latency_qos);
    splice_read, splice_read, "splice data of large writes from the kernel into the backing file",
        switch!(splice_read);
    splice_move, splice_move, "move pages of large reads from one page cache to the other instead of copying",
        switch!(splice_move);
    transport, transport, "how requests reach the daemon", choice!(transport: TransportChoice);
    allow_other, allow_other, "let other users enter the mount", switch!(allow_other);
    default_permissions, default_permissions, "let the kernel check permissions",
        switch!(default_permissions);
    allow_idmap, allow_idmap, "let the mount be mounted again with ids mapped (mount_setattr(2))",
        switch!(allow_idmap);
    security_ctx, security_ctx, "label what is created as SELinux labels it in the mount",
        switch!(security_ctx);
};

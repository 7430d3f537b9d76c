//! What has to hold for a configuration: ranges, and values that fit together.

use super::error::{ConfigError, ConfigErrors, assignment};
use super::fields::{fields, find};
use super::{IoMode, KernelFeatures, LockMode, OpenPolicy, OptimizedFUSEConfig, Origin};

/// The least that a write buffer can be of use with: one page.
const SMALLEST_BUFFER: usize = 4096;

/// Settings that cannot hold together.
pub(super) struct Conflict {
    /// Their names.
    pub(super) settings: &'static [&'static str],
    /// What has to hold.
    rule: &'static str,
}

impl Conflict {
    /// The error, with each value as `origin` knows it was given.
    pub(super) fn error(
        &self,
        config: &OptimizedFUSEConfig,
        origin: impl Fn(&str) -> Option<Origin>,
    ) -> ConfigError {
        let fields = self.settings.iter().filter_map(|name| find(name));
        let given = fields
            .map(|field| match origin(field.name()) {
                Some(origin) => assignment(field.name(), &field.get(config), Some(&origin)),
                None => assignment(field.member(), &field.get(config), None),
            })
            .collect();
        ConfigError::Conflict {
            given,
            rule: self.rule,
        }
    }
}

/// Every contradiction in `config`.
pub(super) fn conflicts(config: &OptimizedFUSEConfig) -> Vec<Conflict> {
    let kernel_writeback = config.io_mode == IoMode::WritebackCache;
    let stateless = config.open == OpenPolicy::Stateless;
    let feature = |wanted: bool, settings: &'static [&'static str], rule: &'static str| {
        let broken = wanted && config.kernel_features == KernelFeatures::Minimal;
        (broken, Conflict { settings, rule })
    };
    let rules = [
        (
            kernel_writeback && !config.enable_writeback,
            Conflict {
                settings: &["io_mode", "writeback"],
                rule: "the writeback cache holds dirty data, which writeback must allow",
            },
        ),
        feature(
            kernel_writeback,
            &["io_mode", "kernel_features"],
            "the writeback cache is a kernel feature, kernel_features must be all",
        ),
        (
            config.watch && config.exclusive,
            Conflict {
                settings: &["watch", "exclusive"],
                rule: "where nothing else changes the directory there is nothing to watch for",
            },
        ),
        (
            !config.request_timeout().is_zero() && config.lock_mode == LockMode::Daemon,
            Conflict {
                settings: &["request_timeout", "lock_mode"],
                rule: "waiting for a lock of the daemon is a request, for which the kernel would end the mount",
            },
        ),
        (
            config.enable_writeback && config.writeback_buffer_size < SMALLEST_BUFFER,
            Conflict {
                settings: &["writeback", "writeback_buffer_size"],
                rule: "writeback needs a buffer of at least 4KiB",
            },
        ),
        (
            config.allow_idmap && !config.default_permissions,
            Conflict {
                settings: &["allow_idmap", "default_permissions"],
                rule: "requests then come without the ids that the storage would check",
            },
        ),
        feature(
            config.allow_idmap,
            &["allow_idmap", "kernel_features"],
            "mapping ids is a kernel feature, kernel_features must be all",
        ),
        feature(
            config.security_ctx,
            &["security_ctx", "kernel_features"],
            "sending labels is a kernel feature, kernel_features must be all",
        ),
        feature(
            config.splice_read,
            &["splice_read", "kernel_features"],
            "requests through a pipe are a kernel feature, kernel_features must be all",
        ),
        feature(
            config.splice_move,
            &["splice_move", "kernel_features"],
            "moving pages is a kernel feature, kernel_features must be all",
        ),
        (
            stateless && config.io_mode == IoMode::Direct,
            Conflict {
                settings: &["open", "io_mode"],
                rule: "direct I/O is part of the answer to an open, so open must not be stateless",
            },
        ),
        (
            stateless && config.lock_mode == LockMode::Daemon,
            Conflict {
                settings: &["open", "lock_mode"],
                rule: "the daemon takes locks away at a close that it is told of, so open must not be \
                       stateless",
            },
        ),
        feature(
            stateless,
            &["open", "kernel_features"],
            "opening without a request is a kernel feature, kernel_features must be all",
        ),
    ];
    let broken = rules.into_iter().filter(|(broken, _)| *broken);
    broken.map(|(_, conflict)| conflict).collect()
}

impl OptimizedFUSEConfig {
    /// Whether every value is in its range and no two contradict each other.
    ///
    /// Ranges are those of the fields' documentation; `max_read_size` and `max_write_size` are
    /// also multiples of 4 KiB, because requests are made of pages. Contradictions: the I/O mode
    /// [`WritebackCache`](IoMode::WritebackCache) without `enable_writeback` or with
    /// [`KernelFeatures::Minimal`], `enable_writeback` without a buffer of a page, `watch` with `exclusive`,
    /// a limit to requests with locks in the daemon, mapped ids without checks of the kernel, and with minimal features mapped ids,
    /// labels, `splice_read` or `splice_move`, and
    /// [`OpenPolicy::Stateless`] with direct I/O, locks in the daemon or minimal features. What a kernel
    /// or a storage lacks is not an error here: the mount falls back and says so.
    ///
    /// # Errors
    ///
    /// All that is wrong at once, each with field, value and what is accepted.
    pub fn validate(&self) -> Result<(), ConfigErrors> {
        let ranges = fields().iter().filter_map(|field| field.check(self).err());
        let ranges = ranges.map(|wrong| ConfigError::Value {
            setting: wrong.member.to_owned(),
            value: wrong.value,
            origin: None,
            problem: wrong.problem,
            accepted: wrong.accepted,
        });
        let conflicts = conflicts(self).into_iter().map(|c| c.error(self, |_| None));
        ConfigErrors::check(ranges.chain(conflicts).collect())
    }
}

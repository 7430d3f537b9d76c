//! The names of the enumerations in flags, variables and files.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{IoMode, KernelFeatures, LockMode, OpenPolicy, Preset, ReadDirPlus, TransportChoice};

/// A text that is none of an enumeration's names.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given}: not a name that is known here; accepted: {accepted}")]
pub struct UnknownName {
    /// The text.
    pub given: String,
    /// The names, separated by commas.
    pub accepted: String,
}

/// One list a type: names, printing and reading cannot disagree.
macro_rules! names {
    ($($type:ident { $($variant:ident = $name:literal),+ $(,)? })+) => {$(
        impl $type {
            /// All names, in the order of presentation.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The name in flags, variables and files.
            pub fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $name,)+
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                let name = text.trim();
                $(if name.eq_ignore_ascii_case($name) {
                    return Ok($type::$variant);
                })+
                Err(UnknownName { given: text.to_owned(), accepted: Self::NAMES.join(", ") })
            }
        }
    )+};
}

names! {
    Preset {
        Balanced = "balanced",
        HighPerformance = "high-performance",
        Safe = "safe",
        Baseline = "baseline",
    }
    IoMode {
        Passthrough = "passthrough",
        WritebackCache = "writeback-cache",
        WriteThrough = "write-through",
        Direct = "direct",
    }
    OpenPolicy { Auto = "auto", Passthrough = "passthrough", Stateless = "stateless" }
    LockMode { Kernel = "kernel", Daemon = "daemon" }
    ReadDirPlus { Off = "off", Auto = "auto", On = "on" }
    KernelFeatures { Minimal = "minimal", All = "all" }
    TransportChoice { Auto = "auto", Linux = "linux", Fuser = "fuser" }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::*;

    /// Each name is read, printed and serialised the same way.
    fn agrees<T>(names: &[&str])
    where
        T: FromStr<Err = UnknownName> + fmt::Display + Serialize + DeserializeOwned,
    {
        for name in names {
            let value: T = name.to_ascii_uppercase().parse().unwrap();
            assert_eq!(value.to_string(), *name);
            assert_eq!(serde_json::to_value(&value).unwrap(), *name);
            assert!(serde_json::from_value::<T>((*name).into()).is_ok());
        }
    }

    #[test]
    fn names_agree_with_serde() {
        agrees::<Preset>(Preset::NAMES);
        agrees::<IoMode>(IoMode::NAMES);
        agrees::<OpenPolicy>(OpenPolicy::NAMES);
        agrees::<LockMode>(LockMode::NAMES);
        agrees::<ReadDirPlus>(ReadDirPlus::NAMES);
        agrees::<KernelFeatures>(KernelFeatures::NAMES);
        agrees::<TransportChoice>(TransportChoice::NAMES);
        assert!(
            Preset::ALL
                .iter()
                .map(|p| p.name())
                .eq(Preset::NAMES.iter().copied())
        );
    }

    #[test]
    fn an_unknown_name_says_which_are_known() {
        assert_eq!(
            "fast".parse::<Preset>().unwrap_err().to_string(),
            "fast: not a name that is known here; accepted: balanced, high-performance, safe, \
             baseline"
        );
    }
}

//! The texts of values: sizes, durations, whole numbers, yes and no.
//!
//! One way to read and one way to print each kind, so that what is printed can be given back.

use std::time::Duration;

use parse_size::Config;
use thiserror::Error;

/// Why a text is not a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Not a number of bytes.
    #[error("not a size (such as 4096, 512k or 1MiB; k, M and G are powers of 1024)")]
    NotASize,
    /// Not a length of time.
    #[error("not a duration (such as 15 for seconds, 500ms, 5s or 1m)")]
    NotADuration,
    /// A length of time that has no whole number of milliseconds.
    #[error("finer than a millisecond")]
    TooFine,
    /// A length of time that cannot be represented.
    #[error("too long, or finer than a millisecond")]
    DurationLimits,
    /// Not digits alone.
    #[error("not a whole number")]
    NotAnInteger,
    /// Neither yes nor no.
    #[error("neither true nor false")]
    NotABool,
    /// None of the names of an enumeration.
    #[error("not a name that is known here")]
    NotAName,
    /// In a file: a table, an array or a date.
    #[error("not a number, a boolean or a string")]
    NotAScalar,
    /// In the environment: bytes that are not UTF-8.
    #[error("not UTF-8")]
    NotUnicode,
    /// Below the accepted range.
    #[error("too small")]
    TooSmall,
    /// Above the accepted range.
    #[error("too large")]
    TooLarge,
    /// In the range, but between the steps.
    #[error("not a multiple of 4KiB")]
    NotAligned,
}

/// The texts that [`parse_bool`] accepts.
pub const BOOL_TEXTS: &str = "true, false, 1, 0, yes, no, on, off";

/// Reads a number of bytes: `4096`, `512k`, `1MiB`, `0.5G`.
///
/// The prefixes k, M, G (and T, P, E) are powers of 1024 with and without `iB`, in either case.
///
/// # Errors
///
/// [`ValueError::NotASize`], or [`ValueError::TooLarge`] from 2⁶⁴ on.
pub fn parse_size(text: &str) -> Result<u64, ValueError> {
    if has_split_number(text) {
        return Err(ValueError::NotASize);
    }
    match Config::new().with_binary().parse_size(text.trim()) {
        Ok(bytes) => Ok(bytes),
        Err(parse_size::Error::PosOverflow) => Err(ValueError::TooLarge),
        Err(_) => Err(ValueError::NotASize),
    }
}

/// Prints a number of bytes in the largest unit that leaves no fraction: `128KiB`, `1MiB`, `4097`.
pub fn format_size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    UNITS
        .iter()
        .find(|&&(_, shift)| bytes != 0 && bytes.trailing_zeros() >= shift)
        .map_or_else(
            || bytes.to_string(),
            |&(unit, shift)| format!("{}{unit}", bytes >> shift),
        )
}

/// Reads a length of time: `15` and `0.5` are seconds, otherwise with units: `500ms`, `5s`,
/// `1m30s`.
///
/// # Errors
///
/// [`ValueError::NotADuration`]; [`ValueError::TooFine`] for a fraction of a millisecond, the unit
/// of the configuration's fields; [`ValueError::DurationLimits`].
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let text = text.trim();
    if has_split_number(text) {
        return Err(ValueError::NotADuration);
    }
    let bare = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let parsed = if bare {
        humantime::parse_duration(&format!("{text}s"))
    } else {
        humantime::parse_duration(text)
    };
    match parsed {
        Ok(duration) if duration.subsec_nanos() % 1_000_000 != 0 => Err(ValueError::TooFine),
        Ok(duration) => Ok(duration),
        Err(humantime::DurationError::NumberOverflow) => Err(ValueError::DurationLimits),
        Err(_) => Err(ValueError::NotADuration),
    }
}

/// Whether a space stands between two digits. Both parsers would skip it, and what was a slip
/// (`1 2k`) would be another value.
fn has_split_number(text: &str) -> bool {
    let digit = |c: char| c.is_ascii_digit();
    text.split_whitespace()
        .zip(text.split_whitespace().skip(1))
        .any(|(left, right)| left.ends_with(digit) && right.starts_with(digit))
}

/// Prints a length of time without spaces, so that it is one word of a command: `5s`, `1m30s`.
pub fn format_duration(duration: Duration) -> String {
    humantime::format_duration(duration)
        .to_string()
        .replace(' ', "")
}

/// Reads a whole number.
///
/// # Errors
///
/// [`ValueError::NotAnInteger`], also for a negative one; [`ValueError::TooLarge`] from 2⁶⁴ on.
pub fn parse_integer(text: &str) -> Result<u64, ValueError> {
    use std::num::IntErrorKind::PosOverflow;
    text.trim()
        .parse()
        .map_err(|error: std::num::ParseIntError| match error.kind() {
            PosOverflow => ValueError::TooLarge,
            _ => ValueError::NotAnInteger,
        })
}

/// Reads yes or no, in any of [`BOOL_TEXTS`] and either case.
///
/// # Errors
///
/// [`ValueError::NotABool`].
pub fn parse_bool(text: &str) -> Result<bool, ValueError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(ValueError::NotABool),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("4096B", 4096),
            ("512k", 512 << 10),
            ("512K", 512 << 10),
            ("512KB", 512 << 10),
            ("1MiB", 1 << 20),
            ("1 MiB", 1 << 20),
            (" 1m ", 1 << 20),
            ("0.5G", 512 << 20),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text:?}");
        }
        for text in [
            "", " ", "k", "MiB", "12x", "-1", "1 2k", "1k2", "0x10", "½k", "1,5k",
        ] {
            assert_eq!(parse_size(text), Err(ValueError::NotASize), "{text:?}");
        }
        assert_eq!(parse_size("16E"), Err(ValueError::TooLarge));
        assert_eq!(
            parse_size("18446744073709551616"),
            Err(ValueError::TooLarge)
        );
    }

    #[test]
    fn printed_sizes() {
        for (bytes, text) in [
            (0, "0"),
            (1, "1"),
            (4097, "4097"),
            (1 << 10, "1KiB"),
            (1536 << 10, "1536KiB"),
            (5 << 20, "5MiB"),
            (4 << 30, "4GiB"),
        ] {
            assert_eq!(format_size(bytes), text);
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("15", 15_000),
            ("0.5", 500),
            ("500ms", 500),
            ("5s", 5_000),
            ("1.25s", 1_250),
            ("1m", 60_000),
            ("1m30s", 90_000),
            ("1h 1ms", 3_600_001),
            ("2000us", 2),
            (" 7 ", 7_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text:?}"
            );
        }
        for text in [
            "", " ", ".", "s", "5q", "-1", "-1s", "1:30", "five", "0x5", "∞", "1 5s", "1 5",
        ] {
            assert_eq!(
                parse_duration(text),
                Err(ValueError::NotADuration),
                "{text:?}"
            );
        }
        for text in ["1us", "1500us", "0.0005", "1ns", "1s1ns"] {
            assert_eq!(parse_duration(text), Err(ValueError::TooFine), "{text:?}");
        }
        for text in ["99999999999999999999", "0.5ns", "0.00000000001s"] {
            assert_eq!(
                parse_duration(text),
                Err(ValueError::DurationLimits),
                "{text:?}"
            );
        }
    }

    #[test]
    fn integers_and_bools() {
        assert_eq!(parse_integer(" 65535 "), Ok(65_535));
        assert_eq!(
            parse_integer("18446744073709551616"),
            Err(ValueError::TooLarge)
        );
        for text in ["", "-1", "1.5", "ten", "1k", "0x10"] {
            assert_eq!(
                parse_integer(text),
                Err(ValueError::NotAnInteger),
                "{text:?}"
            );
        }
        for text in ["true", "1", "yes", "on", "TRUE", " On "] {
            assert_eq!(parse_bool(text), Ok(true), "{text:?}");
        }
        for text in ["false", "0", "no", "off", "False"] {
            assert_eq!(parse_bool(text), Ok(false), "{text:?}");
        }
        for text in ["", "2", "y", "enable", "tru"] {
            assert_eq!(parse_bool(text), Err(ValueError::NotABool), "{text:?}");
        }
        assert!(BOOL_TEXTS.split(", ").all(|text| parse_bool(text).is_ok()));
    }

    proptest! {
        #[test]
        fn any_size_is_read_as_printed(bytes: u64, shift in 0_u32..64) {
            let bytes = bytes >> shift << (shift % 31);
            let text = format_size(bytes);
            prop_assert_eq!(parse_size(&text), Ok(bytes));
            prop_assert_eq!(format_size(parse_size(&text).unwrap()), text);
        }

        #[test]
        fn any_duration_is_read_as_printed(millis in 0..=u64::MAX / 1_000_000, shift in 0_u32..40) {
            let duration = Duration::from_millis(millis >> shift);
            let text = format_duration(duration);
            prop_assert!(!text.contains(' '));
            prop_assert_eq!(parse_duration(&text), Ok(duration));
            prop_assert_eq!(format_duration(parse_duration(&text).unwrap()), text);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,24}") {
            let _ = (parse_size(&text), parse_duration(&text), parse_integer(&text), parse_bool(&text));
        }

        #[test]
        fn nothing_like_a_number_panics(text in "[0-9.]{0,22}[a-zA-Zµ .+-]{0,4}[0-9]{0,3}") {
            let _ = (parse_size(&text), parse_duration(&text));
        }
    }
}

//! Command lines with places for paths.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// The directory to serve.
pub(super) const SOURCE: &str = "{src}";
/// Where it is mounted.
pub(super) const MOUNTPOINT: &str = "{mnt}";
/// An empty directory on the file system of the source.
pub(super) const EMPTY: &str = "{empty}";
/// Another one, in which the file system may work.
pub(super) const WORK: &str = "{work}";

/// A command line, in which words in braces stand for paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    program: String,
    arguments: Vec<String>,
}

impl Template {
    /// Splits words as a shell does.
    ///
    /// # Errors
    ///
    /// When a quote is open or there is no word.
    pub fn parse(text: &str) -> Result<Self> {
        let words = shell_words::split(text)
            .with_context(|| format!("a quote is not closed in the command {text:?}"))?;
        let mut words = words.into_iter();
        let program = words.next().unwrap_or_default();
        ensure!(!program.is_empty(), "the command is empty");
        Ok(Template {
            text: text.to_owned(),
            program,
            arguments: words.collect(),
        })
    }

    /// The first word.
    pub(super) fn program(&self) -> &str {
        &self.program
    }

    /// Whether an argument has that place.
    pub(super) fn mentions(&self, placeholder: &str) -> bool {
        self.arguments.iter().any(|word| word.contains(placeholder))
    }

    /// The arguments with paths in their places.
    ///
    /// # Errors
    ///
    /// When a path is not UTF-8.
    pub(super) fn arguments(&self, paths: &[(&str, &Path)]) -> Result<Vec<String>> {
        let paths = paths
            .iter()
            .map(|(placeholder, path)| {
                let path = path
                    .to_str()
                    .with_context(|| format!("{} is not UTF-8", path.display()))?;
                Ok((*placeholder, path))
            })
            .collect::<Result<Vec<_>>>()?;
        let filled = |word: &String| {
            paths
                .iter()
                .fold(word.clone(), |word, (placeholder, path)| {
                    word.replace(placeholder, path)
                })
        };
        Ok(self.arguments.iter().map(filled).collect())
    }
}

/// As it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_take_their_places_also_within_words() {
        let template = Template::parse("'my fs' -o source={src},x \"a b\" {mnt}").unwrap();
        assert_eq!(template.program(), "my fs");
        let paths = [(SOURCE, Path::new("/s p")), (MOUNTPOINT, Path::new("/m"))];
        let arguments = template.arguments(&paths).unwrap();
        assert_eq!(arguments, ["-o", "source=/s p,x", "a b", "/m"]);
        assert!(template.mentions(SOURCE) && !template.mentions(WORK));
    }
}

//! "Did you mean".

/// The candidate nearest to `given`, if it is near enough to be a slip of the hand.
///
/// Each candidate is what may have been written and what should have been: the two differ where an
/// old or related name leads to the current one.
pub fn nearest<T>(
    given: &str,
    candidates: impl IntoIterator<Item = (impl AsRef<str>, T)>,
) -> Option<T> {
    let given = given.to_ascii_lowercase();
    // A third of the letters may be wrong: enough for swapped and missing ones, too little to
    // turn one word into another.
    let allowed = (given.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|(candidate, name)| {
            (
                strsim::damerau_levenshtein(&given, candidate.as_ref()),
                name,
            )
        })
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_and_far() {
        let words = ["noatime", "nodev", "ro"];
        let find = |given| nearest(given, words.iter().map(|w| (w, *w)));
        assert_eq!(find("noatmie"), Some("noatime"));
        assert_eq!(find("NOATIM"), Some("noatime"));
        assert_eq!(find("nodve"), Some("nodev"));
        assert_eq!(find("zebra"), None);
        assert_eq!(find(""), None);
    }
}

//! A page of HTML that needs nothing else: no script, no font, no other file.

mod axis;

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub(crate) use self::axis::Axis;

/// What all pages have in common: colours (light and dark), type, tables.
const STYLE: &str = include_str!("base.css");

/// Ratios from which a cell has its shade, the fastest first.
const SHADES: [f64; 6] = [1.05, 0.95, 0.7, 0.5, 0.2, 0.05];

/// The page. `style` comes after what all pages have.
pub(crate) fn document(title: &str, style: &str, body: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(style)) }
            }
            body { main { (body) } }
        }
    };
    page.into_string()
}

/// A box that scrolls by itself when what is in it is wider than the page.
pub(crate) fn scroll(label: &str, body: Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(label) { (body) } }
}

/// The class of a ratio to ext4: `s0` is faster, `s6` the slowest.
pub(crate) fn shade(ratio: f64) -> String {
    let step = SHADES.iter().position(|from| ratio >= *from);
    format!("s{}", step.unwrap_or(SHADES.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_go_from_fast_to_slow() {
        let cases = [(4.0, "s0"), (1.0, "s1"), (0.6, "s3"), (0.001, "s6")];
        for (ratio, class) in cases {
            assert_eq!(shade(ratio), class);
        }
    }
}

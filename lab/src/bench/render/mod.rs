//! What a person sees of a run: tables on a terminal, Markdown, HTML.

mod facts;
pub(crate) mod format;

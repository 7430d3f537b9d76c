//! What a person sees of a run: tables on a terminal, Markdown, HTML.

mod changes;
pub(crate) mod facts;
pub(crate) mod format;
mod html;
pub(crate) mod markdown;
pub(crate) mod table;
mod terminal;

pub use self::changes::text as changes;
pub use self::html::page as html;
pub use self::markdown::document as markdown;
pub use self::terminal::{detail as terminal_detail, summary as terminal};

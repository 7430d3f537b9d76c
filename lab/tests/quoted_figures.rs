//! The figures in the documents are those of the committed run.

use dynamicfs_lab::bench::quote;
use dynamicfs_lab::paths::Paths;

#[test]
fn the_documents_quote_the_committed_run() {
    quote::check(&Paths::discover().root).unwrap();
}

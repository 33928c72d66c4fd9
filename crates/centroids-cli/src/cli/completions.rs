//! `centroids completions`

use clap::Args;

/// Print the completion script of a shell
///
/// Example:
///   centroids completions bash > ~/.local/share/bash-completion/completions/centroids
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

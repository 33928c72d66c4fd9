//! One file per command.

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod data;
pub(crate) mod demo;
pub(crate) mod embed;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod index;
pub(crate) mod prepare;
pub(crate) mod search;
pub(crate) mod search_store;
pub(crate) mod train;
pub(crate) mod weights;

//! One file per command.

pub(crate) mod bench;
pub(crate) mod bulk;
pub(crate) mod calibrate;
pub(crate) mod completions;
pub(crate) mod data;
pub(crate) mod demo;
pub(crate) mod embed;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod gallery;
pub(crate) mod index;
pub(crate) mod prepare;
pub(crate) mod refine;
pub(crate) mod report;
pub(crate) mod search;
pub(crate) mod search_store;
pub(crate) mod serve;
pub(crate) mod statistics;
pub(crate) mod train;
pub(crate) mod weights;

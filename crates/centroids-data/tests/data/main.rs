//! Tests of the crate as its users see it.

#![expect(clippy::unwrap_used, reason = "a failing helper is a failing test")]

/// The reference's own decoded pixels, resized pictures, crops and erasings.
mod golden_transforms;

/// The properties that the reference's sampler has.
mod golden_sampler;

/// Files cut off at every place, hostile headers, formats.
mod decoding;

/// Little trees of every layout, real names and odd files.
mod layouts;

/// Public datasets with their real names, whole, halved and hostile.
mod public_layouts;

/// Order, pixels and errors of the threaded loaders.
mod loaders;

/// The procedural catalogue.
mod catalogue;

/// Where vectors lie and how to write pictures.
mod support;

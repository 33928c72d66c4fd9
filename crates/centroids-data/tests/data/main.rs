//! Tests of the crate as its users see it.

#![expect(clippy::unwrap_used, reason = "a failing helper is a failing test")]

/// Tar archives as WebDataset packs them, whole, cut off and hostile.
mod archives;

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

/// `prepare`: other datasets and folders made ready.
mod prepare_deepfashion;
mod prepare_jpg;
mod prepare_street2shop;

/// Where vectors lie and how to write pictures.
mod support;

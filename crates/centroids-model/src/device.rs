//! Devices by name.

use burn::tensor::Device;

use crate::Error;

/// `cpu`, or one of the compiled GPU back ends, with the number of the device where there are
/// several: `cuda`, `cuda:1`, `rocm:0`, `vulkan`, `metal`.
///
/// # Errors
/// An unknown name, a bad index, or a back end that this binary was built without.
pub fn parse_device(name: &str) -> Result<Device, Error> {
    let (kind, index) = match name.split_once(':') {
        Some((kind, index)) => (kind, Some(index)),
        None => (name, None),
    };
    let error = |reason: &str| Error::Device { name: name.to_owned(), reason: reason.to_owned() };
    let index: Option<usize> = index
        .map(str::parse)
        .transpose()
        .map_err(|_| error("the part after `:` must be a number"))?;
    match (kind, index) {
        ("cpu", None | Some(0)) => Ok(Device::flex()),
        ("cpu", _) => Err(error("there is only one `cpu`; it uses every core")),
        ("cuda" | "rocm" | "vulkan" | "metal", index) => gpu(kind, index).ok_or_else(|| {
            error(&format!("this binary was built without it; rebuild with `--features {kind}`"))
        }),
        _ => Err(error("known are cpu, cuda:N, rocm:N, vulkan:N, metal:N")),
    }
}

/// The GPU back ends of this build.
pub const COMPILED_GPUS: &[&str] = &[
    #[cfg(feature = "cuda")]
    "cuda",
    #[cfg(feature = "rocm")]
    "rocm",
    #[cfg(feature = "vulkan")]
    "vulkan",
    #[cfg(feature = "metal")]
    "metal",
];

#[allow(unused_variables, reason = "without GPU features nothing is looked at")]
fn gpu(kind: &str, index: Option<usize>) -> Option<Device> {
    #[cfg(any(feature = "vulkan", feature = "metal"))]
    let graphics = {
        use burn::tensor::DeviceKind;
        index.map_or(DeviceKind::DefaultDevice, DeviceKind::DiscreteGpu)
    };
    match kind {
        #[cfg(feature = "cuda")]
        "cuda" => Some(Device::cuda(index.unwrap_or(0))),
        #[cfg(feature = "rocm")]
        "rocm" => Some(Device::rocm(index.unwrap_or(0))),
        #[cfg(feature = "vulkan")]
        "vulkan" => Some(Device::vulkan(graphics)),
        #[cfg(feature = "metal")]
        "metal" => Some(Device::metal(graphics)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_wrong() {
        assert!(parse_device("cpu").is_ok());
        for (name, part) in [
            ("gpu", "known are"),
            ("cuda:x", "number"),
            ("cpu:1", "only one"),
            ("rocm", "--features"),
        ] {
            #[cfg(feature = "rocm")]
            if name == "rocm" {
                continue;
            }
            assert!(parse_device(name).unwrap_err().to_string().contains(part), "{name}");
        }
    }
}

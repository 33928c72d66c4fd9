//! Devices by name.

use burn::tensor::Device;

use crate::Error;

/// `cpu`, or one of the compiled GPU back ends with an index: `cuda:0`, `rocm:1`, `vulkan`, `metal`.
///
/// # Errors
/// An unknown name, a bad index, or a back end that this binary was built without.
pub fn parse_device(name: &str) -> Result<Device, Error> {
    let (kind, index) = name.split_once(':').unwrap_or((name, "0"));
    let error = |reason: &str| Error::Device { name: name.to_owned(), reason: reason.to_owned() };
    let index: usize = index.parse().map_err(|_| error("the part after `:` must be a number"))?;
    match kind {
        "cpu" if index == 0 => Ok(Device::flex()),
        "cpu" => Err(error("there is only one `cpu`; it uses every core")),
        "cuda" | "rocm" | "vulkan" | "metal" => gpu(kind, index).ok_or_else(|| {
            error(&format!("this binary was built without it; rebuild with `--features {kind}`"))
        }),
        _ => Err(error("known are cpu, cuda:N, rocm:N, vulkan:N, metal:N")),
    }
}

#[allow(unused_variables, reason = "without GPU features nothing is looked at")]
fn gpu(kind: &str, index: usize) -> Option<Device> {
    #[cfg(any(feature = "vulkan", feature = "metal"))]
    use burn::tensor::DeviceKind;
    match kind {
        #[cfg(feature = "cuda")]
        "cuda" => Some(Device::cuda(index)),
        #[cfg(feature = "rocm")]
        "rocm" => Some(Device::rocm(index)),
        #[cfg(feature = "vulkan")]
        "vulkan" => Some(Device::vulkan(DeviceKind::DiscreteGpu(index))),
        #[cfg(feature = "metal")]
        "metal" => Some(Device::metal(DeviceKind::DiscreteGpu(index))),
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

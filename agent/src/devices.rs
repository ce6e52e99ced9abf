//! The devices as they were known last, for a start in which nobody may ask the driver.

use std::path::Path;

use affiant_proto::{usage::MAX_DEVICES, v1};
use prost::Message as _;

use crate::durable::{self, FileError, Secrecy};

/// Most bytes of the file: 64 devices with four texts of 512 bytes and 100 bytes of numbers.
const MAX_FILE: u64 = 64 * (4 * 512 + 100);

/// Writes the devices, in their order.
pub fn write(path: &Path, devices: &[v1::Device]) -> Result<(), FileError> {
    let all: Vec<u8> = devices
        .iter()
        .flat_map(prost::Message::encode_length_delimited_to_vec)
        .collect();
    durable::replace(path, &all)
}

/// Reads the devices; none where there is no file or it does not read.
pub fn read(path: &Path) -> Vec<v1::Device> {
    let bytes = match durable::read(path, MAX_FILE, Secrecy::Public) {
        Ok(bytes) => bytes.map(|bytes| bytes.to_vec()).unwrap_or_default(),
        Err(error) => {
            tracing::warn!(%error, "the devices are not known until the driver is asked");
            return Vec::new();
        }
    };
    let mut rest = bytes.as_slice();
    let mut devices = Vec::new();
    while !rest.is_empty() && devices.len() < MAX_DEVICES {
        match v1::Device::decode_length_delimited(&mut rest) {
            Ok(device) => devices.push(device),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "the devices are not known until the driver is asked");
                return Vec::new();
            }
        }
    }
    devices
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_back_in_their_order_and_half_a_file_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("devices");
        assert_eq!(read(&path), []);
        let device = |uuid: &str| v1::Device {
            uuid: uuid.into(),
            coverage: v1::Coverage::Full.into(),
            ..v1::Device::default()
        };
        let devices = [device("b"), device("a")];
        write(&path, &devices).unwrap();
        assert_eq!(read(&path), devices);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(read(&path), []);
    }
}

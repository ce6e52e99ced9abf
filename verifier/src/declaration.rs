//! The CSV file of the devices that a site has, as an officer declares them.

use std::{collections::BTreeMap, path::Path};

use affiant_proto::{Body, v1};
use affiant_report::plain_file::NotRead;
use prost::Message as _;

use crate::keyfile::{self, KeyFileError};

/// Most bytes of the file: 262,144 devices, as many as the judge takes, at 128.
const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// Most devices.
const MAX_DEVICES: usize = 262_144;

/// Most bytes of one field: a serial number has 13, a uuid 40.
const MAX_FIELD: usize = 64;

/// Most bytes of devices in one statement: with header, site and signature it stays below 64 KiB.
const MAX_PART: usize = 56 * 1024;

/// Most faults that are told at once.
const MAX_FAULTS: usize = 20;

/// Why a file declares nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadDeclaration {
    /// It cannot be read.
    #[error("{0}")]
    Io(String),
    /// It says something that cannot be, a line each.
    #[error("{}; nothing was signed", .0.join("\n"))]
    Lines(Vec<String>),
}

/// Reads the file.
pub fn read(path: &Path) -> Result<Vec<v1::DeclaredDevice>, BadDeclaration> {
    let text = keyfile::read_bounded_text(path, MAX_BYTES).map_err(|error| match error {
        KeyFileError::Unfit(NotRead::Long { .. }) => {
            BadDeclaration::Io(format!("{error}; declare the devices as several sites"))
        }
        KeyFileError::Unfit(NotRead::NotText { .. }) => {
            BadDeclaration::Lines(vec![error.to_string()])
        }
        _ => BadDeclaration::Io(error.to_string()),
    })?;
    parse(&text).map_err(|faults| {
        let named = faults.iter();
        let named = named.map(|fault| format!("{}, {fault}", path.display()));
        BadDeclaration::Lines(named.collect())
    })
}

/// Reads lines of fields; the first names the columns. Lines of `#` are comments.
fn parse(text: &str) -> Result<Vec<v1::DeclaredDevice>, Vec<String>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = (1..).zip(text.lines());
    let mut lines = lines.filter(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    let head = lines.next();
    let columns: Vec<&str> = head.map_or(Vec::new(), |(_, line)| fields(line));
    let mut sorted = columns.clone();
    sorted.sort_unstable();
    if sorted != ["model", "serial", "uuid"] {
        return Err(vec![format!(
            "line {}: the columns are not serial,uuid,model; write that line first",
            head.map_or(1, |(number, _)| number)
        )]);
    }
    let mut faults = Vec::new();
    let mut devices = Vec::new();
    let mut seen: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for (number, line) in lines {
        match device(&columns, line) {
            Ok(device) => {
                for (what, name) in [
                    ("uuid", device.uuid.to_lowercase()),
                    ("serial", device.serial.to_uppercase()),
                ] {
                    if name.is_empty() {
                        continue;
                    }
                    if let Some(first) = seen.insert((what, name), number) {
                        faults.push(format!(
                            "line {number}: the {what} stands in line {first} too; keep one"
                        ));
                    }
                }
                devices.push(device);
            }
            Err(fault) => faults.push(format!("line {number}: {fault}")),
        }
    }
    if devices.is_empty() && faults.is_empty() {
        let text =
            "it has no device, and would declare that the site has none; say --none if that is so";
        faults.push(format!("line 1: {text}"));
    }
    if devices.len() > MAX_DEVICES {
        faults.push(format!(
            "more than {MAX_DEVICES} devices; declare them as several sites"
        ));
    }
    let more = faults.len().saturating_sub(MAX_FAULTS);
    faults.truncate(MAX_FAULTS);
    if more > 0 {
        faults.push(format!("and {more} faults more"));
    }
    if faults.is_empty() {
        Ok(devices)
    } else {
        Err(faults)
    }
}

fn fields(line: &str) -> Vec<&str> {
    line.split(',').map(str::trim).collect()
}

fn device(columns: &[&str], line: &str) -> Result<v1::DeclaredDevice, String> {
    let fields = fields(line);
    if fields.len() != columns.len() {
        return Err(format!(
            "{} fields where 3 are due; leave empty what is not known, and no comma within one",
            fields.len()
        ));
    }
    let mut device = v1::DeclaredDevice::default();
    for (column, field) in columns.iter().zip(fields) {
        if field.len() > MAX_FIELD || field.contains('"') || field.chars().any(char::is_control) {
            return Err(format!(
                "{column} is longer than {MAX_FIELD} bytes, quoted or not plain text; write it as `nvidia-smi` does"
            ));
        }
        match *column {
            "serial" => field.clone_into(&mut device.serial),
            "uuid" => field.clone_into(&mut device.uuid),
            _ => field.clone_into(&mut device.model),
        }
    }
    if device.serial.is_empty() && device.uuid.is_empty() {
        return Err("neither serial nor uuid; give one, or no host can be told to have it".into());
    }
    Ok(device)
}

/// The statements that declare devices, in parts where they are too many for one.
pub fn bodies(site: &str, devices: Vec<v1::DeclaredDevice>) -> Vec<Body> {
    let mut parts: Vec<Vec<v1::DeclaredDevice>> = vec![Vec::new()];
    let mut bytes = 0;
    for device in devices {
        // Tag and length of an entry of at most 201 bytes.
        let length = device.encoded_len() + 3;
        if bytes + length > MAX_PART {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += length;
        if let Some(part) = parts.last_mut() {
            part.push(device);
        }
    }
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let count = if count > 1 { count } else { 0 };
    let body = |(part, devices)| {
        v1::InventoryDeclaration {
            header: None,
            site: site.to_owned(),
            devices,
            part: if count > 1 { part } else { 0 },
            parts: count,
        }
        .into()
    };
    (1..).zip(parts).map(body).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_by_the_names_of_their_columns() {
        let read = parse("# of hall 2\nuuid, serial,model\nGPU-1,,H100\n\n,S2,\n").unwrap();
        let told: Vec<_> = read
            .iter()
            .map(|it| (it.uuid.as_str(), it.serial.as_str(), it.model.as_str()))
            .collect();
        assert_eq!(told, [("GPU-1", "", "H100"), ("", "S2", "")]);
    }

    #[test]
    fn each_fault_is_told_with_its_line_and_nothing_is_read() {
        for (text, due) in [
            ("", "line 1: the columns"),
            ("serial,uuid\n", "line 1: the columns"),
            ("serial,uuid,model\n", "line 1: it has no device"),
            ("serial,uuid,model\nS1,GPU-1\n", "line 2: 2 fields"),
            ("serial,uuid,model\n,,H100\n", "line 2: neither"),
            (
                "serial,uuid,model\nS1,,\n#\ns1,,\n",
                "line 4: the serial stands in line 2",
            ),
            (
                "serial,uuid,model\nS1,gpu-1,\nS2,GPU-1,\n",
                "line 3: the uuid",
            ),
            ("serial,uuid,model\n\"S1\",,\n", "line 2: serial is"),
        ] {
            let faults = parse(text).unwrap_err();
            assert!(faults[0].starts_with(due), "{faults:?}");
        }
        let many = "serial,uuid,model\n".to_owned() + &",,\n".repeat(100);
        assert_eq!(parse(&many).unwrap_err().len(), MAX_FAULTS + 1);
    }

    #[test]
    fn a_long_list_is_parted_into_statements_that_fit() {
        let device = |number: usize| v1::DeclaredDevice {
            serial: format!("{number:064}"),
            uuid: format!("GPU-{number:060}"),
            model: "m".repeat(64),
        };
        let parts = bodies("s", (0..1_000).map(device).collect());
        assert_eq!(parts.len(), 4);
        let mut devices = 0;
        for (number, part) in (1..).zip(&parts) {
            let Body::InventoryDeclaration(part) = part else {
                panic!("another kind");
            };
            assert_eq!((part.part, part.parts), (number, 4));
            assert!(part.encoded_len() < 60 * 1024);
            devices += part.devices.len();
        }
        assert_eq!(devices, 1_000);
        let one = bodies("s", vec![device(1)]);
        assert!(matches!(&one[..], [Body::InventoryDeclaration(it)] if it.parts == 0));
    }
}

//! What parent and child say to each other over the pipes: a length of four bytes, big-endian,
//! then that many bytes of JSON.
//!
//! The child runs a foreign library and may say anything: every length is checked before it is
//! used, and an answer outside its bounds ends the child.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::MAX_DEVICES;
use affiant_proto::v1;

/// Longest frame: 64 devices × (512 processes × 54 bytes, plus 1 KiB for the rest) is 1.8 MB.
pub(super) const MAX_FRAME: usize = 2 << 20;

/// Most processes of one device: the buffer that the driver is given (see `holders`), twice,
/// because clients of MPS are listed apart.
pub(super) const MAX_PROCESSES: usize = 512;

/// Longest text field. NVML's own buffers end at 96 bytes.
pub(super) const MAX_TEXT: usize = 96;

/// Longest description of a failure, which may name a path of 4,096 bytes only in part.
pub(super) const MAX_FAILURE: usize = 512;

/// What the parent asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// Counts from 1; the answer repeats it.
    pub(super) tick: u64,
    /// The parent missed a sample: every list of processes is due.
    pub(super) fresh: bool,
    /// The counter of energy is to be read: 3 to 5 ms on an H100 (driver 580), and up to 20, in
    /// which the calling thread spins in the kernel. All other figures of a tick take 0.3 ms.
    pub(super) energy: bool,
}

/// What the child answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum Answer {
    /// NVML could not be opened; the child ends.
    Failed { cause: Cause, text: String },
    /// By NVML index; `None` for a device that has not yet said who it is. First of all answers,
    /// and again when a device says so.
    Devices {
        driver_version: String,
        devices: Vec<Option<Identity>>,
    },
    /// By NVML index.
    Tick { tick: u64, devices: Vec<Outcome> },
}

/// Who a device is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    pub(super) uuid: String,
    pub(super) name: String,
    pub(super) serial: Option<String>,
    pub(super) pci_bus_id: Option<String>,
    pub(super) pci_device_id: Option<u32>,
    pub(super) pci_subsystem_id: Option<u32>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) sharing: Sharing,
}

/// How a device is cut up, as far as NVML tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Sharing {
    Whole,
    Mig,
    Vgpu,
}

/// A device's reading, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    Read(Figures),
    Missing(Cause),
}

/// Why a device, or all of NVML, gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Cause {
    Hung,
    Lost,
    Error,
    Permission,
}

impl Cause {
    /// Gives the reason as records spell it.
    pub(super) fn reason(self) -> v1::Reason {
        match self {
            Self::Hung => v1::Reason::DriverHung,
            Self::Lost => v1::Reason::DeviceLost,
            Self::Error => v1::Reason::DriverError,
            Self::Permission => v1::Reason::Permission,
        }
    }
}

/// One reading. `None`: the device does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Figures {
    pub(super) utilization: Option<u8>,
    pub(super) memory_used: Option<u64>,
    pub(super) power_mw: Option<u32>,
    pub(super) energy_mj: Option<u64>,
    pub(super) sm_permille: Option<u32>,
    pub(super) tensor_permille: Option<u32>,
    pub(super) processes: Listing,
}

/// The list of a device's processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Listing {
    #[default]
    Unchanged,
    Read(Vec<Holder>),
    Failed,
}

/// A process that holds a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Holder {
    pub(super) pid: u32,
    pub(super) used_memory: Option<u64>,
}

/// Why a frame was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("the pipe to the nvml reader failed: {0}")]
    Pipe(#[from] io::Error),
    #[error("a frame of the nvml reader claims {0} bytes, {MAX_FRAME} are the most")]
    TooLong(u64),
    #[error("the nvml reader ended within a frame")]
    Cut,
    #[error("a frame of the nvml reader is not what was agreed: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("a frame of the nvml reader has {what} out of bounds")]
    OutOfBounds { what: &'static str },
}

/// Writes one message.
///
/// # Errors
/// When the pipe refuses, or the message is longer than [`MAX_FRAME`].
pub(super) fn write<T: Serialize>(pipe: &mut impl Write, message: &T) -> Result<(), FrameError> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= MAX_FRAME)
        .ok_or(FrameError::TooLong(body.len() as u64))?;
    // One write: a pipe takes up to 4,096 bytes as a whole or not at all, and every request fits.
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&body);
    pipe.write_all(&frame)?;
    pipe.flush()?;
    Ok(())
}

/// Reads one message; `None` when the pipe ended between two.
///
/// # Errors
/// When the pipe fails, or what came is not a message of this kind.
pub(super) fn read<T: DeserializeOwned>(pipe: &mut impl Read) -> Result<Option<T>, FrameError> {
    let mut header = [0_u8; 4];
    let mut filled = 0;
    while let Some(rest) = header.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match pipe.read(rest) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(FrameError::Cut),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let claimed = u64::from(u32::from_be_bytes(header));
    if claimed > MAX_FRAME as u64 {
        return Err(FrameError::TooLong(claimed));
    }
    // Grows with what comes, so that a claim alone takes no memory.
    let mut body = Vec::new();
    pipe.take(claimed).read_to_end(&mut body)?;
    if (body.len() as u64) < claimed {
        return Err(FrameError::Cut);
    }
    Ok(Some(serde_json::from_slice(&body)?))
}

impl Answer {
    /// Checks that everything is within its bounds.
    ///
    /// # Errors
    /// Names the field that is not.
    pub(super) fn check(self) -> Result<Self, FrameError> {
        match &self {
            Self::Failed { text, .. } => bound("a failure's text", is_text(text, MAX_FAILURE))?,
            Self::Devices {
                driver_version,
                devices,
            } => {
                bound("the driver version", is_text(driver_version, MAX_TEXT))?;
                bound("the number of devices", devices.len() <= MAX_DEVICES)?;
                for identity in devices.iter().flatten() {
                    identity.check()?;
                }
            }
            Self::Tick { devices, .. } => {
                bound("the number of devices", devices.len() <= MAX_DEVICES)?;
                for outcome in devices {
                    if let Outcome::Read(figures) = outcome {
                        figures.check()?;
                    }
                }
            }
        }
        Ok(self)
    }
}

impl Identity {
    fn check(&self) -> Result<(), FrameError> {
        let optional = |text: &Option<String>| text.as_deref().is_none_or(is_name);
        bound("a device's uuid", is_name(&self.uuid))?;
        bound("a device's name", is_name(&self.name))?;
        bound("a device's serial", optional(&self.serial))?;
        bound("a device's pci bus id", optional(&self.pci_bus_id))
    }
}

impl Figures {
    fn check(&self) -> Result<(), FrameError> {
        let thousandths = |value: Option<u32>| value.is_none_or(|v| v <= 1000);
        bound(
            "a utilization",
            self.utilization.is_none_or(|percent| percent <= 100),
        )?;
        bound("an sm activity", thousandths(self.sm_permille))?;
        bound("a tensor activity", thousandths(self.tensor_permille))?;
        if let Listing::Read(holders) = &self.processes {
            bound("the number of processes", holders.len() <= MAX_PROCESSES)?;
            bound("a pid", holders.iter().all(|holder| holder.pid > 0))?;
        }
        Ok(())
    }
}

fn bound(what: &'static str, within: bool) -> Result<(), FrameError> {
    if within {
        Ok(())
    } else {
        Err(FrameError::OutOfBounds { what })
    }
}

fn is_text(text: &str, longest: usize) -> bool {
    text.len() <= longest && !text.chars().any(char::is_control)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && is_text(text, MAX_TEXT)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(length: u32, body: &[u8]) -> Vec<u8> {
        [length.to_be_bytes().as_slice(), body].concat()
    }

    #[test]
    fn a_claimed_length_beyond_the_limit_is_refused_before_a_byte_of_it_is_read() {
        let bytes = framed(u32::MAX, b"");
        let error = read::<Answer>(&mut bytes.as_slice()).unwrap_err();
        assert!(matches!(error, FrameError::TooLong(0xFFFF_FFFF)), "{error}");
    }

    #[test]
    fn a_frame_that_ends_early_is_told_from_a_pipe_that_ended() {
        assert!(read::<Answer>(&mut [].as_slice()).unwrap().is_none());
        for bytes in [vec![0, 0], framed(10, b"{}")] {
            let error = read::<Answer>(&mut bytes.as_slice()).unwrap_err();
            assert!(matches!(error, FrameError::Cut), "{error}");
        }
    }

    #[test]
    fn the_largest_honest_answer_fits_a_frame() {
        let holder = Holder {
            pid: u32::MAX,
            used_memory: Some(u64::MAX),
        };
        let figures = Figures {
            utilization: Some(100),
            memory_used: Some(u64::MAX),
            power_mw: Some(u32::MAX),
            energy_mj: Some(u64::MAX),
            sm_permille: Some(1000),
            tensor_permille: Some(1000),
            processes: Listing::Read(vec![holder; MAX_PROCESSES]),
        };
        let answer = Answer::Tick {
            tick: u64::MAX,
            devices: vec![Outcome::Read(figures); MAX_DEVICES],
        };
        let mut pipe = Vec::new();
        write(&mut pipe, &answer).unwrap();
        let back: Answer = read(&mut pipe.as_slice()).unwrap().unwrap();
        assert_eq!(back.check().unwrap(), answer);
    }

    #[test]
    fn an_answer_out_of_its_bounds_is_refused_by_name() {
        let read = |figures| Answer::Tick {
            tick: 1,
            devices: vec![Outcome::Read(figures)],
        };
        let busy = read(Figures {
            utilization: Some(101),
            ..Figures::default()
        });
        let crowd = read(Figures {
            processes: Listing::Read(vec![
                Holder {
                    pid: 1,
                    used_memory: None
                };
                MAX_PROCESSES + 1
            ]),
            ..Figures::default()
        });
        let host = Answer::Tick {
            tick: 1,
            devices: vec![Outcome::Missing(Cause::Hung); MAX_DEVICES + 1],
        };
        let escape = Answer::Failed {
            cause: Cause::Error,
            text: "\u{1b}[2J".into(),
        };
        for (answer, what) in [
            (busy, "a utilization"),
            (crowd, "the number of processes"),
            (host, "the number of devices"),
            (escape, "a failure's text"),
        ] {
            let error = answer.check().unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parent_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let claimed = u32::try_from(bytes.len()).unwrap();
            for bytes in [framed(claimed, &bytes), bytes] {
                if let Ok(Some(answer)) = read::<Answer>(&mut bytes.as_slice()) {
                    let _ = answer.check();
                }
            }
        }

        #[test]
        fn a_reading_is_accepted_exactly_when_it_is_within_its_bounds(
            utilization in 0_u8..=255, sm in 0_u32..2000, pid in 0_u32..3, holders in 0_usize..1000
        ) {
            let figures = Figures {
                utilization: Some(utilization),
                sm_permille: Some(sm),
                processes: Listing::Read(vec![Holder { pid, used_memory: None }; holders]),
                ..Figures::default()
            };
            let answer = Answer::Tick { tick: 1, devices: vec![Outcome::Read(figures)] };
            let within = utilization <= 100
                && sm <= 1000
                && holders <= MAX_PROCESSES
                && (pid > 0 || holders == 0);
            prop_assert_eq!(answer.check().is_ok(), within);
        }

        #[test]
        fn every_request_comes_back_as_it_was_sent(tick: u64, fresh: bool, energy: bool) {
            let request = Request { tick, fresh, energy };
            let mut pipe = Vec::new();
            write(&mut pipe, &request).unwrap();
            prop_assert_eq!(read::<Request>(&mut pipe.as_slice()).unwrap(), Some(request));
        }

        #[test]
        fn a_frame_cut_anywhere_is_refused(cut in 1usize..60) {
            let mut pipe = Vec::new();
            write(&mut pipe, &Answer::Tick { tick: 9, devices: vec![Outcome::Missing(Cause::Lost)] }).unwrap();
            let cut = cut.min(pipe.len() - 1);
            let refused = matches!(
                read::<Answer>(&mut pipe.get(..cut).unwrap()),
                Err(FrameError::Cut)
            );
            prop_assert!(refused);
        }
    }
}

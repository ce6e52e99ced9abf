//! The calls into the driver's library. The only module with `unsafe`.
//!
//! nvml-wrapper loads the library and makes the plain calls. Called raw here is what its safe
//! layer does in a way that a lying library can abuse: strings (it looks for their end past the
//! buffer) and the list of processes (two calls and a race; see `holders`).
#![allow(unsafe_code)]

use std::{
    ffi::{c_char, c_uint},
    path::Path,
};

use nvml_wrapper::{
    Device, GpmSample, Nvml,
    enums::gpm::GpmMetricId,
    error::{NvmlError, nvml_sym, nvml_try},
    gpm::gpm_metrics_get,
};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlPciInfo_t, nvmlProcessInfo_t, nvmlReturn_t};

use super::{
    frame::{Holder, MAX_TEXT, Sharing},
    holders::{self, LONGEST_ENTRY, Layout, ROOM},
};

/// Why a call gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The device or driver does not offer it.
    #[error("not supported by this device or driver")]
    Unsupported,
    /// The device fell off the bus.
    #[error("the device is lost")]
    Lost,
    /// This user may not.
    #[error("permission denied; run the agent as a user that may open /dev/nvidia*")]
    Permission,
    /// Anything else: the driver's own words.
    #[error("{0}")]
    Driver(String),
}

impl From<NvmlError> for Fault {
    fn from(error: NvmlError) -> Self {
        match error {
            NvmlError::NotSupported
            | NvmlError::FunctionNotFound
            | NvmlError::FailedToLoadSymbol(_) => Self::Unsupported,
            NvmlError::GpuLost => Self::Lost,
            NvmlError::NoPermission => Self::Permission,
            other => Self::Driver(other.to_string()),
        }
    }
}

/// The opened library. Stays open until the process ends: threads that hang in it hold it.
#[derive(Clone, Copy)]
pub(super) struct Driver {
    nvml: &'static Nvml,
    layout: Layout,
}

/// One device of the driver.
pub(super) struct Card {
    driver: Driver,
    device: Device<'static>,
}

/// A measurement of pipe activity, to be set against a later one.
pub(super) struct Activity(GpmSample<'static>);

/// The numbers that name a device on its bus.
pub(super) struct Address {
    pub(super) bus_id: Option<String>,
    pub(super) device_id: u32,
    pub(super) subsystem_id: u32,
}

impl Driver {
    /// Loads the library at `path` and initialises it.
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let nvml = Nvml::builder().lib_path(path.as_os_str()).init()?;
        let layout = Layout::of(
            nvml.lib().nvmlDeviceGetConfComputeMemSizeInfo.is_ok(),
            nvml.lib().nvmlDeviceGetRunningProcessDetailList.is_ok(),
        );
        Ok(Self {
            nvml: Box::leak(Box::new(nvml)),
            layout,
        })
    }

    /// Gives the driver's version as it spells it.
    pub(super) fn version(self) -> Result<String, Fault> {
        let call = nvml_sym(self.nvml.lib().nvmlSystemGetDriverVersion.as_ref())?;
        // SAFETY: the symbol has nvml.h's signature; `text` gives it a buffer of the stated size.
        text(|buffer, size| unsafe { call(buffer, size) })
    }

    /// Gives the number of devices that the driver claims.
    pub(super) fn count(self) -> Result<u32, Fault> {
        Ok(self.nvml.device_count()?)
    }

    /// Opens a device, which may wake it.
    pub(super) fn card(self, index: u32) -> Result<Card, Fault> {
        let device = self.nvml.device_by_index(index)?;
        Ok(Card {
            driver: self,
            device,
        })
    }

    /// Gives back what `open` took. No call may be under way.
    pub(super) fn shut_down(self) {
        if let Ok(call) = self.nvml.lib().nvmlShutdown.as_ref() {
            // SAFETY: the symbol has nvml.h's signature and takes no argument; the library was
            // initialised by `open`, and nothing calls it afterwards.
            let _ = unsafe { call() };
        }
    }
}

impl Card {
    /// Gives the device's UUID.
    pub(super) fn uuid(&self) -> Result<String, Fault> {
        let call = nvml_sym(self.driver.nvml.lib().nvmlDeviceGetUUID.as_ref())?;
        // SAFETY: as in `Driver::version`; the handle comes from this library.
        text(|buffer, size| unsafe { call(self.handle(), buffer, size) })
    }

    /// Gives the name of the model.
    pub(super) fn name(&self) -> Result<String, Fault> {
        let call = nvml_sym(self.driver.nvml.lib().nvmlDeviceGetName.as_ref())?;
        // SAFETY: as in `uuid`.
        text(|buffer, size| unsafe { call(self.handle(), buffer, size) })
    }

    /// Gives the board's serial number.
    pub(super) fn serial(&self) -> Result<String, Fault> {
        let call = nvml_sym(self.driver.nvml.lib().nvmlDeviceGetSerial.as_ref())?;
        // SAFETY: as in `uuid`.
        text(|buffer, size| unsafe { call(self.handle(), buffer, size) })
    }

    /// Gives the device's place on the bus.
    pub(super) fn address(&self) -> Result<Address, Fault> {
        let call = nvml_sym(self.driver.nvml.lib().nvmlDeviceGetPciInfo_v3.as_ref())?;
        // SAFETY: a struct of integers and byte arrays, for which all zeros is a value.
        let mut info: nvmlPciInfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: the symbol has nvml.h's signature and writes one such struct.
        nvml_try(unsafe { call(self.handle(), &raw mut info) })?;
        Ok(Address {
            bus_id: bounded(&info.busId).ok(),
            device_id: info.pciDeviceId,
            subsystem_id: info.pciSubSystemId,
        })
    }

    /// Says how the device is cut up; a driver that cannot tell has it whole.
    pub(super) fn sharing(&self) -> Sharing {
        const MIG_ENABLED: u32 = 1;
        let vgpu = self.device.virtualization_mode().is_ok_and(|mode| {
            use nvml_wrapper::enum_wrappers::device::GpuVirtualizationMode as Mode;
            matches!(mode, Mode::Vgpu | Mode::HostVgpu)
        });
        if vgpu {
            Sharing::Vgpu
        } else if self
            .device
            .mig_mode()
            .is_ok_and(|mode| mode.current == MIG_ENABLED)
        {
            Sharing::Mig
        } else {
            Sharing::Whole
        }
    }

    /// Gives (total, used) bytes of memory.
    pub(super) fn memory(&self) -> Result<(u64, u64), Fault> {
        let memory = self.device.memory_info()?;
        Ok((memory.total, memory.used))
    }

    /// Gives the percent of time in which a kernel ran; more than 100 is no percentage.
    pub(super) fn utilization(&self) -> Result<u8, Fault> {
        let percent = self.device.utilization_rates()?.gpu;
        u8::try_from(percent)
            .ok()
            .filter(|&percent| percent <= 100)
            .ok_or_else(|| Fault::Driver(format!("a utilization of {percent} %")))
    }

    /// Gives milliwatts.
    pub(super) fn power(&self) -> Result<u32, Fault> {
        Ok(self.device.power_usage()?)
    }

    /// Gives millijoules since the driver was loaded.
    pub(super) fn energy(&self) -> Result<u64, Fault> {
        Ok(self.device.total_energy_consumption()?)
    }

    /// Gives the processes that compute on the device, clients of MPS among them.
    pub(super) fn holders(&self) -> Result<Vec<Holder>, Fault> {
        let library = self.driver.nvml.lib();
        let compute = nvml_sym(library.nvmlDeviceGetComputeRunningProcesses_v3.as_ref())?;
        // SAFETY: the symbol has nvml.h's signature; see `list` for the buffer.
        let mut found =
            self.list(|count, infos| unsafe { compute(self.handle(), count, infos) })?;
        if let Ok(mps) = library.nvmlDeviceGetMPSComputeRunningProcesses_v3.as_ref() {
            // SAFETY: as above.
            match self.list(|count, infos| unsafe { mps(self.handle(), count, infos) }) {
                Ok(clients) => {
                    for client in clients {
                        holders::merge(&mut found, client);
                    }
                }
                Err(Fault::Unsupported) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(found)
    }

    /// Takes a measurement of pipe activity; `Unsupported` before Hopper.
    pub(super) fn activity(&self) -> Result<Activity, Fault> {
        Ok(Activity(self.device.gpm_sample()?))
    }

    /// Says whether [`Card::activity`] can work.
    pub(super) fn has_activity(&self) -> bool {
        self.device.gpm_support().unwrap_or(false)
    }

    /// Gives (SM, tensor) activity between two measurements, in thousandths.
    pub(super) fn between(
        &self,
        before: &Activity,
        after: &Activity,
    ) -> (Option<u32>, Option<u32>) {
        let wanted = [GpmMetricId::SmUtil, GpmMetricId::AnyTensorUtil];
        let found = gpm_metrics_get(self.driver.nvml, &before.0, &after.0, &wanted);
        let mut values = found.unwrap_or_default().into_iter().map(|metric| {
            let percent = metric.ok()?.value;
            (0.0..=100.0).contains(&percent).then(|| permille(percent))
        });
        (values.next().flatten(), values.next().flatten())
    }

    /// Makes one call with a fixed buffer, so that the list cannot change between two.
    fn list(
        &self,
        call: impl FnOnce(*mut c_uint, *mut nvmlProcessInfo_t) -> nvmlReturn_t,
    ) -> Result<Vec<Holder>, Fault> {
        const WORDS: usize = ROOM * LONGEST_ENTRY / size_of::<u64>();
        // The room told to the driver is counted in entries; in the longer layout it writes
        // entries of 32 bytes, for which there is space.
        let mut buffer = vec![0_u64; WORDS];
        #[allow(clippy::cast_possible_truncation)] // 256
        let mut count = ROOM as c_uint;
        nvml_try(call(&raw mut count, buffer.as_mut_ptr().cast()))?;
        let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_ne_bytes()).collect();
        usize::try_from(count)
            .ok()
            .and_then(|count| holders::decode(&bytes, self.driver.layout, count))
            .ok_or_else(|| {
                Fault::Driver(format!("a list of {count} processes that makes no sense"))
            })
    }

    fn handle(&self) -> nvmlDevice_t {
        // SAFETY: the handle is only passed to the library it came from, which is never closed.
        unsafe { self.device.handle() }
    }
}

/// Ends the process at once, without running the library's own exit handlers, which may hang.
pub(super) fn leave() -> ! {
    // SAFETY: `_exit` has no precondition; nothing is left to be written.
    unsafe { libc::_exit(0) }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to 100 by the caller
fn permille(percent: f64) -> u32 {
    (percent * 10.0).round() as u32
}

/// Makes a call that fills a buffer with text.
fn text(call: impl FnOnce(*mut c_char, c_uint) -> nvmlReturn_t) -> Result<String, Fault> {
    let mut buffer = [0 as c_char; MAX_TEXT];
    #[allow(clippy::cast_possible_truncation)] // 96
    let size = MAX_TEXT as c_uint;
    nvml_try(call(buffer.as_mut_ptr(), size))?;
    bounded(&buffer)
}

/// Reads text up to its end, which must lie within the buffer.
fn bounded(buffer: &[c_char]) -> Result<String, Fault> {
    let bytes: Vec<u8> = buffer
        .iter()
        .map(|&byte| byte.cast_unsigned())
        .take_while(|&byte| byte != 0)
        .collect();
    if bytes.len() == buffer.len() {
        return Err(Fault::Driver("text that does not end".into()));
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && !text.chars().any(char::is_control) => Ok(text),
        _ => Err(Fault::Driver("text that is empty or not printable".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chars(bytes: &[u8]) -> Vec<c_char> {
        bytes.iter().map(|&byte| byte.cast_signed()).collect()
    }

    #[test]
    fn text_is_read_to_its_end_and_not_past_the_buffer() {
        assert_eq!(bounded(&chars(b"GPU-1\0junk")), Ok("GPU-1".into()));
        for bad in [b"GPU-1".as_slice(), b"\0", b"\xFF\xFE\0", b"\x1b[2J\0"] {
            assert!(bounded(&chars(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_a_device_cannot_do_is_told_from_what_failed() {
        assert_eq!(Fault::from(NvmlError::NotSupported), Fault::Unsupported);
        assert_eq!(Fault::from(NvmlError::GpuLost), Fault::Lost);
        assert_eq!(Fault::from(NvmlError::NoPermission), Fault::Permission);
        assert!(matches!(
            Fault::from(NvmlError::UnexpectedVariant(27)),
            Fault::Driver(_)
        ));
    }
}

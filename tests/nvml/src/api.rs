//! NVML's C ABI, by the signatures and structs of nvml.h.
//!
//! Every function follows nvml.h's contract: pointers are null or valid for what they point at.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};

use crate::{
    fleet::FaultKind,
    status::{
        self, ARGUMENT_VERSION_MISMATCH, INSUFFICIENT_SIZE, INVALID_ARGUMENT, NOT_FOUND,
        NOT_SUPPORTED, SUCCESS, Status,
    },
    world::{self, Call, Running},
};

/// `NVML_VALUE_NOT_AVAILABLE`.
const NOT_AVAILABLE: c_ulonglong = c_ulonglong::MAX;

/// Instance ids of a process on a device that is not cut up.
const NO_INSTANCE: c_uint = c_uint::MAX;

/// Metrics of GPM: streaming multiprocessors, and any tensor pipe.
const GPM_SM: c_uint = 2;
const GPM_TENSOR: c_uint = 5;

/// Most metrics of one request, as nvml.h sizes the array.
const GPM_METRICS: usize = 210;

/// `nvmlDevice_t`: the index, plus one so that it is not null.
type Handle = *mut c_void;

#[repr(C)]
struct PciInfo {
    bus_id_legacy: [c_char; 16],
    domain: c_uint,
    bus: c_uint,
    device: c_uint,
    pci_device_id: c_uint,
    pci_sub_system_id: c_uint,
    bus_id: [c_char; 32],
}

#[repr(C)]
struct Memory {
    total: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

#[repr(C)]
struct MemoryV2 {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

#[repr(C)]
struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

#[repr(C)]
struct ProcessInfo {
    pid: c_uint,
    used_gpu_memory: c_ulonglong,
    gpu_instance_id: c_uint,
    compute_instance_id: c_uint,
}

#[repr(C)]
struct ProcessUtilization {
    pid: c_uint,
    time_stamp: c_ulonglong,
    sm_util: c_uint,
    mem_util: c_uint,
    enc_util: c_uint,
    dec_util: c_uint,
}

#[repr(C)]
struct GpmSupport {
    version: c_uint,
    is_supported_device: c_uint,
}

#[repr(C)]
struct GpmMetric {
    metric_id: c_uint,
    nvml_return: c_uint,
    value: f64,
    info: [*mut c_char; 3],
}

#[repr(C)]
struct GpmMetricsGet {
    version: c_uint,
    num_metrics: c_uint,
    sample1: *mut GpmSample,
    sample2: *mut GpmSample,
    metrics: [GpmMetric; GPM_METRICS],
}

/// What `nvmlGpmSample_t` points at.
struct GpmSample {
    sm: c_uint,
    tensor: c_uint,
}

type Done = Result<(), Status>;

fn told(done: Done) -> Status {
    done.err().unwrap_or(SUCCESS)
}

fn index(device: Handle) -> Option<usize> {
    device.addr().checked_sub(1)
}

/// Lets in a call on a device, whose handle must be one that this library gave out.
fn on(name: &'static str, device: Handle) -> Result<Call, Status> {
    let index = index(device).ok_or(INVALID_ARGUMENT)?;
    let call = world::enter(name, Some(index))?;
    call.device().ok_or(INVALID_ARGUMENT)?;
    Ok(call)
}

/// Writes through a pointer that the caller gave.
fn put<T>(to: *mut T, value: T) -> Done {
    if to.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: not null, and then valid for a write by nvml.h's contract.
    unsafe { to.write(value) };
    Ok(())
}

/// Reads through a pointer that the caller gave.
fn get<T: Copy>(from: *const T) -> Result<T, Status> {
    if from.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: not null, and then valid for a read by nvml.h's contract.
    Ok(unsafe { from.read() })
}

/// Writes text with its end, or says that there is no room for it.
fn put_text(call: &Call, text: &str, to: *mut c_char, length: c_uint) -> Done {
    let length = length as usize;
    if to.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    if call.fault(FaultKind::Garbage).is_some() {
        // SAFETY: the caller vouches for `length` bytes.
        unsafe { to.cast::<u8>().write_bytes(0xFF, length) };
        return Ok(());
    }
    if length <= text.len() {
        return Err(INSUFFICIENT_SIZE);
    }
    // SAFETY: `length` bytes are the caller's, and the text with its end is not longer.
    unsafe {
        to.cast::<u8>()
            .copy_from_nonoverlapping(text.as_ptr(), text.len());
        to.add(text.len()).write(0);
    }
    Ok(())
}

/// Copies text into a field, cut to leave room for its end.
fn field<const N: usize>(text: &str) -> [c_char; N] {
    let mut field = [0; N];
    for (to, from) in field.iter_mut().take(N - 1).zip(text.bytes()) {
        *to = from.cast_signed();
    }
    field
}

/// Ends the process the way a fault in the driver's library does.
pub(crate) fn crash() -> ! {
    let nowhere = std::ptr::without_provenance_mut::<u8>(16);
    // SAFETY: none is claimed: this is the segmentation fault that the fleet asks for. The first
    // page is never mapped.
    unsafe { nowhere.write_volatile(0) };
    std::process::abort()
}

/// Marks the library as simulated; see the crate's documentation.
#[unsafe(no_mangle)]
extern "C" fn affiantSimulatedNvml() -> c_int {
    1
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> Status {
    told(world::initialise("nvmlInit_v2"))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> Status {
    told(world::initialise("nvmlInitWithFlags"))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> Status {
    told(world::shut_down("nvmlShutdown"))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlErrorString(result: Status) -> *const c_char {
    status::words(result).as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) -> Status {
    told(
        world::enter("nvmlSystemGetDriverVersion", None)
            .and_then(|call| put_text(&call, call.world.driver_version(), version, length)),
    )
}

#[unsafe(no_mangle)]
extern "C" fn nvmlSystemGetNVMLVersion(version: *mut c_char, length: c_uint) -> Status {
    told(
        world::enter("nvmlSystemGetNVMLVersion", None).and_then(|call| {
            let text = format!("13.{}", call.world.driver_version());
            put_text(&call, &text, version, length)
        }),
    )
}

#[unsafe(no_mangle)]
extern "C" fn nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) -> Status {
    told(world::enter("nvmlSystemGetCudaDriverVersion_v2", None).and_then(|_| put(version, 12_080)))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> Status {
    told(
        world::enter("nvmlDeviceGetCount_v2", None).and_then(|call| {
            // A claim without a device is about the number of devices.
            let claim = call.fault(FaultKind::Claim).and_then(|fault| fault.count);
            let real = c_uint::try_from(call.world.devices().len()).unwrap_or(c_uint::MAX);
            put(count, claim.unwrap_or(real))
        }),
    )
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut Handle) -> Status {
    told(
        world::enter("nvmlDeviceGetHandleByIndex_v2", Some(index as usize)).and_then(|call| {
            call.device().ok_or(INVALID_ARGUMENT)?;
            put(device, std::ptr::without_provenance_mut(index as usize + 1))
        }),
    )
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetIndex(device: Handle, to: *mut c_uint) -> Status {
    told(on("nvmlDeviceGetIndex", device).and_then(|_| {
        let index = index(device).and_then(|index| c_uint::try_from(index).ok());
        put(to, index.ok_or(INVALID_ARGUMENT)?)
    }))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMinorNumber(device: Handle, to: *mut c_uint) -> Status {
    nvmlDeviceGetIndex(device, to)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetUUID(device: Handle, uuid: *mut c_char, length: c_uint) -> Status {
    text(device, "nvmlDeviceGetUUID", uuid, length, |device| {
        Some(&device.uuid)
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetName(device: Handle, name: *mut c_char, length: c_uint) -> Status {
    text(device, "nvmlDeviceGetName", name, length, |device| {
        Some(&device.name)
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetSerial(device: Handle, serial: *mut c_char, length: c_uint) -> Status {
    text(device, "nvmlDeviceGetSerial", serial, length, |device| {
        device.serial.as_deref()
    })
}

fn text(
    device: Handle,
    name: &'static str,
    to: *mut c_char,
    length: c_uint,
    choose: fn(&'static crate::fleet::Device) -> Option<&'static str>,
) -> Status {
    told(on(name, device).and_then(|call| {
        let text = call.device().and_then(choose).ok_or(NOT_SUPPORTED)?;
        put_text(&call, text, to, length)
    }))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetPciInfo_v3(device: Handle, pci: *mut PciInfo) -> Status {
    told(on("nvmlDeviceGetPciInfo_v3", device).and_then(|call| {
        let device = call.device().ok_or(INVALID_ARGUMENT)?;
        // domain:bus:device.function, in hexadecimal.
        let mut parts = device
            .pci_bus_id
            .split([':', '.'])
            .map(|part| c_uint::from_str_radix(part, 16));
        let mut part = || parts.next().and_then(Result::ok).unwrap_or_default();
        let (domain, bus, slot) = (part(), part(), part());
        let legacy = device.pci_bus_id.get(4..).unwrap_or_default();
        put(
            pci,
            PciInfo {
                bus_id_legacy: field(legacy),
                domain,
                bus,
                device: slot,
                pci_device_id: device.pci_device_id,
                pci_sub_system_id: device.pci_subsystem_id,
                bus_id: field(&device.pci_bus_id),
            },
        )
    }))
}

fn memory(call: &Call) -> Result<(c_ulonglong, c_ulonglong), Status> {
    let total = call.device().ok_or(INVALID_ARGUMENT)?.memory_mib << 20;
    let used = call
        .processes()
        .iter()
        .filter_map(|process| process.memory)
        .sum();
    Ok((total, total.min(used)))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMemoryInfo(device: Handle, to: *mut Memory) -> Status {
    told(on("nvmlDeviceGetMemoryInfo", device).and_then(|call| {
        let (total, used) = memory(&call)?;
        let free = total - used;
        put(to, Memory { total, free, used })
    }))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: Handle, to: *mut MemoryV2) -> Status {
    // nvml.h: the size of the struct, and its version in the highest byte.
    const VERSION: c_uint = 40 | 2 << 24;
    const _: () = assert!(size_of::<MemoryV2>() == 40);
    told(on("nvmlDeviceGetMemoryInfo_v2", device).and_then(|call| {
        // The version is the struct's first field.
        if get(to.cast::<c_uint>())? != VERSION {
            return Err(ARGUMENT_VERSION_MISMATCH);
        }
        let (total, used) = memory(&call)?;
        put(
            to,
            MemoryV2 {
                version: VERSION,
                total,
                reserved: 0,
                free: total - used,
                used,
            },
        )
    }))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetUtilizationRates(device: Handle, to: *mut Utilization) -> Status {
    told(
        on("nvmlDeviceGetUtilizationRates", device).and_then(|call| {
            if call.device().is_some_and(|device| device.mig == Some(true)) {
                return Err(NOT_SUPPORTED);
            }
            let gpu = call.level().ok_or(INVALID_ARGUMENT)?.utilization;
            put(
                to,
                Utilization {
                    gpu,
                    memory: gpu / 2,
                },
            )
        }),
    )
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetPowerUsage(device: Handle, to: *mut c_uint) -> Status {
    told(on("nvmlDeviceGetPowerUsage", device).and_then(|call| {
        let watts = call.level().ok_or(INVALID_ARGUMENT)?.watts;
        put(to, watts.saturating_mul(1000))
    }))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetTotalEnergyConsumption(device: Handle, to: *mut c_ulonglong) -> Status {
    told(
        on("nvmlDeviceGetTotalEnergyConsumption", device)
            .and_then(|call| put(to, call.energy().ok_or(INVALID_ARGUMENT)?)),
    )
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMigMode(
    device: Handle,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> Status {
    told(on("nvmlDeviceGetMigMode", device).and_then(|call| {
        let mig = call
            .device()
            .and_then(|device| device.mig)
            .ok_or(NOT_SUPPORTED)?;
        put(current, c_uint::from(mig))?;
        put(pending, c_uint::from(mig))
    }))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetVirtualizationMode(device: Handle, mode: *mut c_uint) -> Status {
    told(on("nvmlDeviceGetVirtualizationMode", device).and_then(|_| put(mode, 0)))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: Handle,
    count: *mut c_uint,
    infos: *mut ProcessInfo,
) -> Status {
    let name = "nvmlDeviceGetComputeRunningProcesses_v3";
    told(list(name, device, count, infos, |process| !process.mps))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMPSComputeRunningProcesses_v3(
    device: Handle,
    count: *mut c_uint,
    infos: *mut ProcessInfo,
) -> Status {
    let name = "nvmlDeviceGetMPSComputeRunningProcesses_v3";
    told(list(name, device, count, infos, |process| process.mps))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    device: Handle,
    count: *mut c_uint,
    infos: *mut ProcessInfo,
) -> Status {
    let name = "nvmlDeviceGetGraphicsRunningProcesses_v3";
    told(list(name, device, count, infos, |_| false))
}

fn list(
    name: &'static str,
    device: Handle,
    count: *mut c_uint,
    infos: *mut ProcessInfo,
    wanted: fn(&Running) -> bool,
) -> Done {
    let call = on(name, device)?;
    if let Some(claim) = call.fault(FaultKind::Claim) {
        put(count, claim.count.unwrap_or(c_uint::MAX))?;
        return claim
            .code
            .filter(|&code| code != SUCCESS)
            .map_or(Ok(()), Err);
    }
    let mut running = call.processes();
    running.retain(wanted);
    let room = get(count)? as usize;
    let found = c_uint::try_from(running.len()).unwrap_or(c_uint::MAX);
    put(count, found)?;
    if running.len() > room {
        return Err(INSUFFICIENT_SIZE);
    }
    for (at, process) in running.iter().enumerate() {
        let info = ProcessInfo {
            pid: process.pid,
            used_gpu_memory: process.memory.unwrap_or(NOT_AVAILABLE),
            gpu_instance_id: NO_INSTANCE,
            compute_instance_id: NO_INSTANCE,
        };
        if infos.is_null() {
            return Err(INVALID_ARGUMENT);
        }
        // SAFETY: the caller vouches for `room` entries, and there are no more processes.
        unsafe { infos.add(at).write(info) };
    }
    Ok(())
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetProcessUtilization(
    device: Handle,
    samples: *mut ProcessUtilization,
    count: *mut c_uint,
    _last_seen: c_ulonglong,
) -> Status {
    told(
        on("nvmlDeviceGetProcessUtilization", device).and_then(|call| {
            if call.device().is_some_and(|device| device.mig == Some(true)) {
                return Err(NOT_SUPPORTED);
            }
            let busy = call.level().map_or(0, |level| level.utilization);
            let running = call.processes();
            // nvml.h: only processes with some use are there, and none at all is not found.
            let share = c_uint::try_from(running.len())
                .ok()
                .and_then(|count| busy.checked_div(count));
            let Some(share) = share.filter(|&share| share > 0) else {
                return Err(NOT_FOUND);
            };
            let room = get(count)? as usize;
            put(
                count,
                c_uint::try_from(running.len()).unwrap_or(c_uint::MAX),
            )?;
            if samples.is_null() || room < running.len() {
                return Err(INSUFFICIENT_SIZE);
            }
            let now = std::time::SystemTime::UNIX_EPOCH
                .elapsed()
                .unwrap_or_default();
            for (at, process) in running.iter().enumerate() {
                let sample = ProcessUtilization {
                    pid: process.pid,
                    time_stamp: c_ulonglong::try_from(now.as_micros()).unwrap_or_default(),
                    sm_util: share,
                    mem_util: 0,
                    enc_util: 0,
                    dec_util: 0,
                };
                // SAFETY: the caller vouches for `room` entries, and there are no more processes.
                unsafe { samples.add(at).write(sample) };
            }
            Ok(())
        }),
    )
}

#[unsafe(no_mangle)]
extern "C" fn nvmlGpmQueryDeviceSupport(device: Handle, to: *mut GpmSupport) -> Status {
    told(on("nvmlGpmQueryDeviceSupport", device).and_then(|call| {
        if get(to.cast::<c_uint>())? != 1 {
            return Err(ARGUMENT_VERSION_MISMATCH);
        }
        let supported = call.device().is_some_and(|device| device.gpm);
        put(
            to,
            GpmSupport {
                version: 1,
                is_supported_device: supported.into(),
            },
        )
    }))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlGpmSampleAlloc(to: *mut *mut GpmSample) -> Status {
    told(world::enter("nvmlGpmSampleAlloc", None).and_then(|_| {
        if to.is_null() {
            return Err(INVALID_ARGUMENT);
        }
        put(to, Box::into_raw(Box::new(GpmSample { sm: 0, tensor: 0 })))
    }))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlGpmSampleFree(sample: *mut GpmSample) -> Status {
    if sample.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: not null, and then from `nvmlGpmSampleAlloc` and freed once by nvml.h's contract.
    drop(unsafe { Box::from_raw(sample) });
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn nvmlGpmSampleGet(device: Handle, sample: *mut GpmSample) -> Status {
    told(on("nvmlGpmSampleGet", device).and_then(|call| {
        if !call.device().is_some_and(|device| device.gpm) {
            return Err(NOT_SUPPORTED);
        }
        let level = call.level().ok_or(INVALID_ARGUMENT)?;
        let (sm, tensor) = (level.utilization, level.tensor);
        put(sample, GpmSample { sm, tensor })
    }))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlGpmMetricsGet(request: *mut GpmMetricsGet) -> Status {
    told(world::enter("nvmlGpmMetricsGet", None).and_then(|_| {
        if get(request.cast::<c_uint>())? != 1 {
            return Err(ARGUMENT_VERSION_MISMATCH);
        }
        // SAFETY: not null by the line above, and then valid by nvml.h's contract.
        let request = unsafe { &mut *request };
        if request.sample1.is_null() || request.sample2.is_null() {
            return Err(INVALID_ARGUMENT);
        }
        // SAFETY: both come from `nvmlGpmSampleAlloc` by nvml.h's contract.
        let (before, after) = unsafe { (&*request.sample1, &*request.sample2) };
        let wanted = request
            .metrics
            .get_mut(..request.num_metrics as usize)
            .ok_or(INVALID_ARGUMENT)?;
        for metric in wanted {
            let pair = match metric.metric_id {
                GPM_SM => Some((before.sm, after.sm)),
                GPM_TENSOR => Some((before.tensor, after.tensor)),
                _ => None,
            };
            metric.nvml_return = if pair.is_some() {
                SUCCESS
            } else {
                NOT_SUPPORTED
            };
            metric.value = pair.map_or(0.0, |(one, other)| f64::from(one + other) / 2.0);
            metric.info = [std::ptr::null_mut(); 3];
        }
        Ok(())
    }))
}

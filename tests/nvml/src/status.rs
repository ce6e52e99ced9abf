//! Return codes, as nvml.h numbers them.

use std::ffi::{CStr, c_uint};

/// What every call returns.
pub(crate) type Status = c_uint;

pub(crate) const SUCCESS: Status = 0;
pub(crate) const UNINITIALIZED: Status = 1;
pub(crate) const INVALID_ARGUMENT: Status = 2;
pub(crate) const NOT_SUPPORTED: Status = 3;
pub(crate) const NOT_FOUND: Status = 6;
pub(crate) const INSUFFICIENT_SIZE: Status = 7;
pub(crate) const DRIVER_NOT_LOADED: Status = 9;
pub(crate) const GPU_IS_LOST: Status = 15;
pub(crate) const ARGUMENT_VERSION_MISMATCH: Status = 25;
pub(crate) const UNKNOWN: Status = 999;

/// Gives the driver's words for a code.
pub(crate) fn words(status: Status) -> &'static CStr {
    match status {
        SUCCESS => c"Success",
        UNINITIALIZED => c"Uninitialized",
        INVALID_ARGUMENT => c"Invalid Argument",
        NOT_SUPPORTED => c"Not Supported",
        4 => c"Insufficient Permissions",
        NOT_FOUND => c"Not Found",
        INSUFFICIENT_SIZE => c"Insufficient Size",
        DRIVER_NOT_LOADED => c"Driver Not Loaded",
        GPU_IS_LOST => c"GPU is lost",
        ARGUMENT_VERSION_MISMATCH => c"Argument version mismatch",
        _ => c"Unknown Error",
    }
}

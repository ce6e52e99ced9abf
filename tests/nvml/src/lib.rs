//! A simulated `libnvidia-ml.so`: NVML's C ABI over a fleet that is read from a file.
//!
//! `cargo build -p affiant-nvml-sim` makes `libnvidia_ml.so` in the target folder. The agent loads
//! it through the path in its configuration; the environment variable `AFFIANT_NVML_SIM` names the
//! fleet file, whose fields are those of [`fleet::Fleet`] (`fleets/eight.toml` is an example). A
//! file that the fleet names as `control` is read anew at every call ([`fleet::Control`]), so that
//! a test can hang, lose or load a device at a moment of its choosing.
//!
//! The library behaves as nvml.h says, not as is convenient, and exports `affiantSimulatedNvml`,
//! by which whoever loads it knows that nothing here is real.

mod api;
pub mod fleet;
mod status;
mod world;

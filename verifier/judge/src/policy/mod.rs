//! Policy packs: Cedar policies that decide whether a tenant may use a class of device at a site.
//!
//! A pack is data: policies, the parameters that they read, and examples that test both. It is read
//! whole or not at all, and every policy is checked strictly against the types of the facts. What
//! no policy forbids is allowed; a policy that gives no answer is broken.

mod annotation;
mod decision;
mod examples;
mod facts;
mod fault;
mod files;
mod manifest;
mod pack;
mod scan;
mod shipped;

pub use annotation::{Day, Mode, Policy, Status};
pub use decision::{Broken, Decision};
pub use examples::{Failed, Report};
pub use facts::{DeviceFacts, Facts, TenantFacts};
pub use fault::{BadPack, Fault, MAX_FAULTS};
pub use files::{
    DEVICES, EXAMPLES, MANIFEST, MAX_FILE_BYTES, MAX_FILES, MAX_PACK_BYTES, POLICIES, PackFiles,
};
pub use manifest::{JUDGED_LIMITS, PackParameters};
pub use pack::Pack;
pub use shipped::{shipped, shipped_files};

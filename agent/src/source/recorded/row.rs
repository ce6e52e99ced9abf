//! How a device, a reading and a workload are spelled in a trace.

use affiant_proto::v1;
use serde::{Deserialize, Deserializer, Serialize};

/// A device in the header.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceRow {
    pub(super) uuid: String,
    pub(super) model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) serial: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pci_bus_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pci_device_id: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pci_subsystem_id: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) memory_bytes: Option<u64>,
    pub(super) coverage: Coverage,
}

/// What the source could see of the device.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Coverage {
    #[default]
    Full,
    Mig,
    Vgpu,
    AllocationOnly,
    Dark,
}

/// One device in one tick: either `lost`, or figures.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<Why>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) util: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mem: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) power_mw: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) energy_mj: Option<u64>,
    /// Thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sm: Option<u32>,
    /// Thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tensor: Option<u32>,
    /// Outer `None`: unchanged. Inner `None`, `null` in the file: could not be read.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) procs: Option<Option<Vec<ProcessRow>>>,
}

/// Keeps `null` apart from a field that is absent.
fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<Vec<ProcessRow>>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A process that holds the device.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProcessRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) workload: Option<WorkloadRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mem: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sm: Option<u8>,
}

macro_rules! names {
    ($($field:ident),*) => {
        /// A workload; names that are empty are left out.
        #[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct WorkloadRow {
            pub(super) platform: Platform,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub(super) uid: Option<u32>,
            $(
                #[serde(default, skip_serializing_if = "String::is_empty")]
                pub(super) $field: String,
            )*
        }

        impl WorkloadRow {
            /// Every name with the field that it stands in.
            pub(super) fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
                [$((stringify!($field), self.$field.as_str())),*].into_iter()
            }
        }

        impl From<WorkloadRow> for v1::Workload {
            fn from(row: WorkloadRow) -> Self {
                Self {
                    platform: v1::Platform::from(row.platform).into(),
                    uid: row.uid,
                    $($field: row.$field,)*
                }
            }
        }

        impl From<&v1::Workload> for WorkloadRow {
            fn from(workload: &v1::Workload) -> Self {
                Self {
                    platform: workload.platform().into(),
                    uid: workload.uid,
                    $($field: workload.$field.clone(),)*
                }
            }
        }
    };
}

names!(
    unit,
    user,
    container_id,
    pod_uid,
    cluster,
    namespace,
    pod,
    service_account,
    slurm_job,
    slurm_account,
    image
);

/// Spells an enumeration of the protocol in a trace.
macro_rules! spelled {
    ($(#[$doc:meta])* $name:ident = $message:ty, else $other:ident { $($value:ident),* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub(super) enum $name {
            $($value),*,
            #[default]
            $other,
        }

        impl From<$name> for $message {
            fn from(row: $name) -> Self {
                match row {
                    $($name::$value => Self::$value,)*
                    $name::$other => Self::$other,
                }
            }
        }

        impl From<$message> for $name {
            fn from(message: $message) -> Self {
                match message {
                    $(<$message>::$value => Self::$value,)*
                    <$message>::$other | <$message>::Unspecified => Self::$other,
                }
            }
        }
    };
}

spelled!(
    /// Where a workload runs.
    Platform = v1::Platform, else Bare {
        SystemdUnit, Kubernetes, Slurm, Container, VirtualMachine
    }
);

spelled!(
    /// Why a device was not read.
    Why = v1::Reason, else DriverError {
        DriverHung, DeviceLost, ReaderDied, AgentStopped, Suspended, Permission, DriverUpgrade,
        Mig, Rma, Maintenance
    }
);

impl From<Coverage> for v1::Coverage {
    fn from(row: Coverage) -> Self {
        match row {
            Coverage::Full => Self::Full,
            Coverage::Mig => Self::Mig,
            Coverage::Vgpu => Self::Vgpu,
            Coverage::AllocationOnly => Self::AllocationOnly,
            Coverage::Dark => Self::Dark,
        }
    }
}

impl From<v1::Coverage> for Coverage {
    fn from(message: v1::Coverage) -> Self {
        match message {
            v1::Coverage::Full => Self::Full,
            v1::Coverage::Mig => Self::Mig,
            v1::Coverage::Vgpu => Self::Vgpu,
            v1::Coverage::AllocationOnly => Self::AllocationOnly,
            // What was not said to be seen was not seen.
            v1::Coverage::Dark | v1::Coverage::Unspecified => Self::Dark,
        }
    }
}

impl From<DeviceRow> for v1::Device {
    fn from(row: DeviceRow) -> Self {
        Self {
            uuid: row.uuid,
            model: row.model,
            serial: row.serial,
            pci_bus_id: row.pci_bus_id,
            pci_device_id: row.pci_device_id,
            pci_subsystem_id: row.pci_subsystem_id,
            memory_bytes: row.memory_bytes,
            coverage: v1::Coverage::from(row.coverage).into(),
        }
    }
}

impl From<&v1::Device> for DeviceRow {
    fn from(device: &v1::Device) -> Self {
        Self {
            uuid: device.uuid.clone(),
            model: device.model.clone(),
            serial: device.serial.clone(),
            pci_bus_id: device.pci_bus_id.clone(),
            pci_device_id: device.pci_device_id,
            pci_subsystem_id: device.pci_subsystem_id,
            memory_bytes: device.memory_bytes,
            coverage: device.coverage().into(),
        }
    }
}

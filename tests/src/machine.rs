//! Simulated machines, for the simulated NVML library.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Writes the fleet file of a machine with so many idle devices; gives its path.
pub fn fleet(dir: &Path, devices: usize) -> PathBuf {
    let mut text = format!(
        "driver_version = \"570.1\"\ncontrol = {:?}\nclock = \"file\"\n",
        dir.join("control")
    );
    for n in 0..devices {
        text += &format!(
            "[[device]]\nuuid = \"GPU-5a1d0000-0000-4000-8000-00000000000{n}\"\nname = \"NVIDIA H100 80GB HBM3\"\n\
             pci_bus_id = \"00000000:{n:02X}:00.0\"\npci_device_id = 0x233010DE\npci_subsystem_id = 0x16C110DE\n\
             memory_mib = 81559\nload = [{{ at = 0, utilization = 0, watts = 70 }}]\n"
        );
    }
    let path = dir.join("fleet.toml");
    fs::write(&path, text).unwrap();
    path
}

/// Says what befalls the machine from now on, as one step.
pub fn control(dir: &Path, text: &str) {
    fs::write(dir.join("control.new"), text).unwrap();
    fs::rename(dir.join("control.new"), dir.join("control")).unwrap();
}

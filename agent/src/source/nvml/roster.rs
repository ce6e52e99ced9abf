//! The devices that are known, each in a place that it keeps while the agent runs.

use affiant_proto::v1;

use super::{
    MAX_DEVICES,
    frame::{Figures, Identity, Listing, Outcome, Sharing},
};
use crate::sample::{GpuProcess, Processes, Reading};

/// Every device that a child ever named, by UUID, and those that a child counted but that have not
/// yet said who they are.
#[derive(Debug, Default)]
pub(super) struct Roster {
    seats: Vec<Seat>,
}

#[derive(Debug)]
struct Seat {
    device: v1::Device,
    /// NVML's index for it, which may be another after every start of the driver.
    index: usize,
    named: bool,
}

/// Where each NVML index of one child sits in the roster; `None` for one that found no seat.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<Option<usize>>);

impl Roster {
    /// Seats devices that were known before this start, until a child counts them anew.
    pub(super) fn remembered(devices: Vec<v1::Device>) -> Self {
        let seats = devices.into_iter().take(MAX_DEVICES).enumerate();
        let seat = |(index, device)| Seat {
            device,
            index,
            named: true,
        };
        Self {
            seats: seats.map(seat).collect(),
        }
    }

    /// Gives the devices in their places.
    pub(super) fn devices(&self) -> Vec<v1::Device> {
        self.seats.iter().map(|seat| seat.device.clone()).collect()
    }

    /// Takes in what a child found, by NVML index, and says where each sits.
    ///
    /// A device that is new gets the next seat; beyond [`MAX_DEVICES`] it gets none. A UUID that
    /// comes twice sits once. A device that has not said who it is sits where its index sat last,
    /// or where any absent device sits, or on a seat of its own until it has a name.
    pub(super) fn merge(&mut self, found: &[Option<Identity>]) -> Places {
        let mut places = Places(vec![None; found.len()]);
        let mut taken = vec![false; MAX_DEVICES];
        let entries = || found.iter().enumerate();
        // Known names first, then new ones, then the nameless: a name never loses its seat.
        for (index, identity) in entries() {
            let Some(identity) = identity else { continue };
            let seat = self
                .seats
                .iter()
                .position(|seat| seat.named && seat.device.uuid == identity.uuid);
            self.sit(&mut places, &mut taken, index, seat, Some(identity));
        }
        for (index, identity) in entries() {
            let Some(identity) = identity else { continue };
            if self
                .seats
                .iter()
                .any(|seat| seat.named && seat.device.uuid == identity.uuid)
            {
                continue;
            }
            let seat = self
                .seats
                .iter()
                .position(|seat| !seat.named && seat.index == index);
            let seat = seat.or_else(|| self.add(index));
            self.sit(&mut places, &mut taken, index, seat, Some(identity));
        }
        for (index, identity) in entries() {
            if identity.is_some() {
                continue;
            }
            let free = |at: &usize| taken.get(*at) == Some(&false);
            let seats = || self.seats.iter().enumerate().filter(|(at, _)| free(at));
            let seat = seats()
                .find(|(_, seat)| seat.index == index)
                .or_else(|| seats().next())
                .map(|(at, _)| at);
            let seat = seat.or_else(|| self.add(index));
            self.sit(&mut places, &mut taken, index, seat, None);
        }
        places
    }

    /// Lays the child's outcomes on the seats. A known device that the child does not have is lost.
    pub(super) fn lay(
        &self,
        places: &Places,
        outcomes: Vec<Outcome>,
    ) -> Vec<Result<Reading, v1::Reason>> {
        let mut laid: Vec<_> = self.all(v1::Reason::DeviceLost);
        for (place, outcome) in places.0.iter().zip(outcomes) {
            if let Some(seat) = place.and_then(|at| laid.get_mut(at)) {
                *seat = match outcome {
                    Outcome::Read(figures) => Ok(reading(figures)),
                    Outcome::Missing(cause) => Err(cause.reason()),
                };
            }
        }
        laid
    }

    /// Gives the same reason for every device.
    pub(super) fn all(&self, reason: v1::Reason) -> Vec<Result<Reading, v1::Reason>> {
        self.seats.iter().map(|_| Err(reason)).collect()
    }

    fn add(&mut self, index: usize) -> Option<usize> {
        if self.seats.len() >= MAX_DEVICES {
            return None;
        }
        self.seats.push(Seat {
            device: v1::Device {
                uuid: format!("unidentified:{index}"),
                model: "unidentified".into(),
                coverage: v1::Coverage::Dark.into(),
                ..v1::Device::default()
            },
            index,
            named: false,
        });
        Some(self.seats.len() - 1)
    }

    fn sit(
        &mut self,
        places: &mut Places,
        taken: &mut [bool],
        index: usize,
        seat: Option<usize>,
        identity: Option<&Identity>,
    ) {
        let Some(at) = seat else { return };
        let (Some(seat), Some(taken), Some(place)) = (
            self.seats.get_mut(at),
            taken.get_mut(at),
            places.0.get_mut(index),
        ) else {
            return;
        };
        if std::mem::replace(taken, true) {
            return;
        }
        *place = Some(at);
        seat.index = index;
        if let Some(identity) = identity {
            seat.device = device(identity);
            seat.named = true;
        }
    }
}

fn device(identity: &Identity) -> v1::Device {
    let coverage = match identity.sharing {
        Sharing::Whole => v1::Coverage::Full,
        Sharing::Mig => v1::Coverage::Mig,
        Sharing::Vgpu => v1::Coverage::Vgpu,
    };
    v1::Device {
        uuid: identity.uuid.clone(),
        model: identity.name.clone(),
        serial: identity.serial.clone(),
        pci_bus_id: identity.pci_bus_id.clone(),
        pci_device_id: identity.pci_device_id,
        pci_subsystem_id: identity.pci_subsystem_id,
        memory_bytes: identity.memory_bytes,
        coverage: coverage.into(),
    }
}

fn reading(figures: Figures) -> Reading {
    let processes = match figures.processes {
        Listing::Unchanged => Processes::Unchanged,
        Listing::Failed => Processes::Failed,
        Listing::Read(holders) => Processes::Read(
            holders
                .into_iter()
                .map(|holder| GpuProcess {
                    pid: holder.pid,
                    used_memory: holder.used_memory,
                    sm_percent: None,
                    recorded: None,
                })
                .collect(),
        ),
    };
    Reading {
        utilization: figures.utilization,
        memory_used: figures.memory_used,
        power_mw: figures.power_mw,
        energy_mj: figures.energy_mj,
        sm_permille: figures.sm_permille,
        tensor_permille: figures.tensor_permille,
        processes,
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Cause;
    use super::*;

    fn named(uuid: &str) -> Option<Identity> {
        Some(Identity {
            uuid: uuid.into(),
            name: "NVIDIA H100".into(),
            serial: None,
            pci_bus_id: None,
            pci_device_id: None,
            pci_subsystem_id: None,
            memory_bytes: None,
            sharing: Sharing::Whole,
        })
    }

    fn uuids(roster: &Roster) -> Vec<String> {
        roster
            .devices()
            .into_iter()
            .map(|device| device.uuid)
            .collect()
    }

    fn lit(power_mw: u32) -> Outcome {
        Outcome::Read(Figures {
            power_mw: Some(power_mw),
            ..Figures::default()
        })
    }

    #[test]
    fn devices_keep_their_places_when_the_driver_counts_them_anew() {
        let mut roster = Roster::default();
        roster.merge(&[named("a"), named("b"), named("c")]);
        let places = roster.merge(&[named("c"), named("d"), named("a")]);
        assert_eq!(uuids(&roster), ["a", "b", "c", "d"]);
        let laid = roster.lay(&places, vec![lit(3), lit(4), lit(1)]);
        let watts: Vec<_> = laid
            .into_iter()
            .map(|seat| seat.map(|reading| reading.power_mw))
            .collect();
        assert_eq!(
            watts,
            [
                Ok(Some(1)),
                Err(v1::Reason::DeviceLost),
                Ok(Some(3)),
                Ok(Some(4))
            ]
        );
    }

    #[test]
    fn a_device_that_hangs_before_it_says_who_it_is_is_counted_and_named_later_in_its_place() {
        let mut roster = Roster::default();
        let places = roster.merge(&[named("a"), None, named("c")]);
        // New names are seated first, so the nameless comes last.
        assert_eq!(uuids(&roster), ["a", "c", "unidentified:1"]);
        let hung = Outcome::Missing(Cause::Hung);
        let laid = roster.lay(&places, vec![lit(1), hung, lit(3)]);
        assert_eq!(laid.last(), Some(&Err(v1::Reason::DriverHung)));
        roster.merge(&[named("a"), named("b"), named("c")]);
        assert_eq!(uuids(&roster), ["a", "c", "b"]);
    }

    #[test]
    fn a_known_device_that_hangs_at_the_next_start_is_not_counted_twice() {
        let mut roster = Roster::default();
        roster.merge(&[named("a"), named("b")]);
        let places = roster.merge(&[named("a"), None]);
        assert_eq!(uuids(&roster), ["a", "b"]);
        let laid = roster.lay(&places, vec![lit(1), Outcome::Missing(Cause::Hung)]);
        assert_eq!(laid.last(), Some(&Err(v1::Reason::DriverHung)));
    }

    #[test]
    fn a_driver_that_names_a_device_twice_or_too_many_cannot_grow_the_roster() {
        let mut roster = Roster::default();
        roster.merge(&[named("a"), named("a")]);
        assert_eq!(uuids(&roster), ["a"]);
        for round in 0..5 {
            let names: Vec<_> = (0..MAX_DEVICES)
                .map(|n| named(&format!("{round}-{n}")))
                .collect();
            roster.merge(&names);
        }
        assert_eq!(roster.devices().len(), MAX_DEVICES);
    }

    #[test]
    fn an_answer_that_is_too_short_leaves_the_rest_lost_and_never_idle() {
        let mut roster = Roster::default();
        let places = roster.merge(&[named("a"), named("b")]);
        let laid = roster.lay(&places, vec![lit(1)]);
        assert_eq!(laid.last(), Some(&Err(v1::Reason::DeviceLost)));
    }
}

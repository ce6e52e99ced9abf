//! One device, in the child: who it is and what it does now.

use std::time::{Duration, Instant};

use super::{
    attention::Attention,
    frame::{Cause, Figures, Identity, Listing, Outcome},
    raw::{Activity, Card, Driver, Fault},
};

/// Two measurements of pipe activity must lie further apart than this (NVML's own condition) …
const WINDOW_LEAST: Duration = Duration::from_millis(100);

/// … and a window longer than ten samples would speak of time before the last record.
const WINDOW_MOST: Duration = Duration::from_secs(10);

/// A device by its NVML index, opened when it first can be.
pub(super) struct DeviceReader {
    driver: Driver,
    index: u32,
    period: Duration,
    opened: Option<Opened>,
}

struct Opened {
    card: Card,
    attention: Attention,
    has_activity: bool,
    activity: Option<(Instant, Activity)>,
}

impl From<Fault> for Cause {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Lost => Self::Lost,
            Fault::Permission => Self::Permission,
            Fault::Unsupported | Fault::Driver(_) => Self::Error,
        }
    }
}

impl DeviceReader {
    /// Names a device that is read once in a `period`; the driver is not called yet.
    pub(super) fn new(driver: Driver, index: u32, period: Duration) -> Self {
        Self {
            driver,
            index,
            period,
            opened: None,
        }
    }

    /// Opens the device and says who it is. May hang.
    pub(super) fn identify(&mut self) -> Result<Identity, Cause> {
        let card = self.driver.card(self.index)?;
        let identity = identity(&card)?;
        self.opened = Some(Opened {
            has_activity: card.has_activity(),
            card,
            attention: Attention::new(self.period),
            activity: None,
        });
        Ok(identity)
    }

    /// Reads the device once. May hang. `fresh` asks for the list of processes in any case,
    /// `energy` for the counter of energy, by far the dearest of all calls (`Request::energy`).
    pub(super) fn read(&mut self, fresh: bool, energy: bool) -> Outcome {
        match self.opened.as_mut() {
            None => Outcome::Missing(Cause::Error),
            Some(opened) => match opened.read(fresh, energy) {
                Ok(figures) => Outcome::Read(figures),
                Err(cause) => Outcome::Missing(cause),
            },
        }
    }
}

impl Opened {
    fn read(&mut self, fresh: bool, energy: bool) -> Result<Figures, Cause> {
        let mut failed = None;
        let utilization = figure(self.card.utilization(), &mut failed)?;
        let memory_used = figure(self.card.memory(), &mut failed)?.map(|(_, used)| used);
        let power_mw = figure(self.card.power(), &mut failed)?;
        let energy_mj = if energy || fresh {
            figure(self.card.energy(), &mut failed)?
        } else {
            None
        };
        // One figure that fails is missing; a device that gives none at all has failed itself.
        let silent = utilization.is_none()
            && memory_used.is_none()
            && power_mw.is_none()
            && energy_mj.is_none();
        if let Some(cause) = failed.filter(|_| silent) {
            return Err(cause);
        }
        let processes = if self.attention.due(utilization, memory_used, fresh) {
            let began = Instant::now();
            let read = self.card.holders();
            self.attention.took(began.elapsed());
            match read {
                Ok(holders) => Listing::Read(holders),
                Err(Fault::Lost) => return Err(Cause::Lost),
                Err(_) => {
                    self.attention.failed();
                    Listing::Failed
                }
            }
        } else {
            Listing::Unchanged
        };
        let (sm_permille, tensor_permille) = self.pipes();
        Ok(Figures {
            utilization,
            memory_used,
            power_mw,
            energy_mj,
            sm_permille,
            tensor_permille,
            processes,
        })
    }

    /// Gives the activity of the pipes since the last tick, where the device measures it.
    fn pipes(&mut self) -> (Option<u32>, Option<u32>) {
        if !self.has_activity {
            return (None, None);
        }
        let Ok(sample) = self.card.activity() else {
            self.activity = None;
            return (None, None);
        };
        let now = Instant::now();
        match self.activity.take() {
            Some((then, before)) if now - then <= WINDOW_LEAST => {
                self.activity = Some((then, before));
                (None, None)
            }
            Some((then, before)) if now - then <= WINDOW_MOST => {
                let found = self.card.between(&before, &sample);
                self.activity = Some((now, sample));
                found
            }
            _ => {
                self.activity = Some((now, sample));
                (None, None)
            }
        }
    }
}

/// Sorts one figure: there, missing, or the end of the whole device.
fn figure<T>(read: Result<T, Fault>, failed: &mut Option<Cause>) -> Result<Option<T>, Cause> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(Fault::Lost) => Err(Cause::Lost),
        Err(Fault::Unsupported) => Ok(None),
        Err(fault) => {
            failed.get_or_insert(fault.into());
            Ok(None)
        }
    }
}

fn identity(card: &Card) -> Result<Identity, Cause> {
    let address = card.address().ok();
    Ok(Identity {
        uuid: card.uuid()?,
        name: card.name()?,
        serial: card.serial().ok(),
        pci_bus_id: address.as_ref().and_then(|at| at.bus_id.clone()),
        pci_device_id: address.as_ref().map(|at| at.device_id),
        pci_subsystem_id: address.as_ref().map(|at| at.subsystem_id),
        memory_bytes: card.memory().ok().map(|(total, _)| total),
        sharing: card.sharing(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_a_device_lacks_is_missing_and_no_failure() {
        let mut failed = None;
        assert_eq!(figure::<u8>(Err(Fault::Unsupported), &mut failed), Ok(None));
        assert_eq!(failed, None);
    }

    #[test]
    fn a_lost_device_gives_no_figure_and_a_refusal_is_remembered() {
        let mut failed = None;
        assert_eq!(
            figure::<u8>(Err(Fault::Lost), &mut failed),
            Err(Cause::Lost)
        );
        assert_eq!(figure::<u8>(Err(Fault::Permission), &mut failed), Ok(None));
        assert_eq!(
            figure::<u8>(Err(Fault::Driver("x".into())), &mut failed),
            Ok(None)
        );
        assert_eq!(failed, Some(Cause::Permission));
    }
}

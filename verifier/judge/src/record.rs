//! One usage record with what its lines point at.

use std::{borrow::Cow, sync::Arc};

use affiant_proto::v1;

use crate::{
    books::Number,
    darkness::Name,
    devices::{Class, Model},
    episodes::Episode,
    findings::Subject,
    hosts::{Host, Placed},
};

/// A record to be judged.
pub(crate) struct Record<'a> {
    pub(crate) host: &'a Host,
    /// Devices of the inventory that it cites.
    pub(crate) placed: &'a [Option<Placed>],
    pub(crate) chain: [u8; 32],
    pub(crate) index: u64,
    pub(crate) usage: &'a v1::Usage,
}

/// A tenant, with its place in the books.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tenant {
    pub(crate) number: Number,
    pub(crate) id: Arc<str>,
}

/// Whose the time of one line is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Tenant(Tenant),
    /// Nobody's, and why.
    Nobody(Arc<str>),
    Idle,
    NotObserved,
    /// Its workload is not shown: it counts with what is withheld.
    NotShown,
}

impl Record<'_> {
    fn placed(&self, place: u32) -> Option<&Placed> {
        let place = usize::try_from(place).ok()?;
        self.placed.get(place)?.as_ref()
    }

    /// The class of a device of the record's inventory.
    pub(crate) fn class(&self, place: u32) -> Class {
        self.model(place).class
    }

    /// The model of a device of the record's inventory.
    pub(crate) fn model(&self, place: u32) -> Model {
        self.placed(place)
            .map_or(Model::NOT_SHOWN, |placed| placed.model)
    }

    /// The uuid of a device, or its place when it is not shown.
    pub(crate) fn device(&self, place: u32) -> Cow<'_, str> {
        self.placed(place).map_or_else(
            || format!("number {place}").into(),
            |placed| placed.device.uuid.as_str().into(),
        )
    }

    /// How a device is known beyond this record.
    pub(crate) fn name(&self, place: u32) -> Name {
        match self.placed(place) {
            Some(placed) if !placed.device.uuid.is_empty() => {
                Name::Uuid(placed.device.uuid.clone())
            }
            _ => Name::Place(self.chain, self.device(place).into_owned()),
        }
    }

    /// The workload that a line points at; `None` when it is not shown.
    pub(crate) fn workload(&self, line: &v1::UsageLine) -> Option<&v1::Workload> {
        self.host.workload(self.usage.workloads, line.workload?)
    }

    /// The instant at which the record is judged as known then: its interval's last millisecond.
    ///
    /// What permits need only begin within the interval, what restricts counts as soon as it
    /// does: the record cannot say where in it the use was, and the order of the log decides.
    pub(crate) fn instant(&self) -> u64 {
        self.usage.wall_end_ms.saturating_sub(1)
    }

    pub(crate) fn subject(&self) -> Subject {
        Subject::Host(self.host.name.clone(), self.chain)
    }

    /// An observation that rests on this record.
    pub(crate) fn observed(&self, logged_ms: u64) -> Episode {
        let span = (self.usage.wall_start_ms, self.usage.wall_end_ms);
        Episode::new((self.index, self.index), span, logged_ms, 1)
    }
}

/// Whether a line is use: its workload had the device, kernels or none; a device that is held is
/// not anybody else's.
pub(crate) fn is_use(line: &v1::UsageLine) -> bool {
    line.time_ms > 0 || line.allocated_ms.is_some_and(|held| held > 0)
}

/// Names a workload by the most telling of what was observed of it.
pub(crate) fn words(workload: &v1::Workload) -> String {
    let named = [
        ("namespace", &workload.namespace),
        ("Slurm account", &workload.slurm_account),
        ("unit", &workload.unit),
        ("container", &workload.container_id),
        ("user", &workload.user),
    ];
    match named.into_iter().find(|(_, value)| !value.is_empty()) {
        Some((what, value)) => format!("{what} {value}"),
        None => "a workload without a name".to_owned(),
    }
}

/// The first instant of `from..=to` at which `breaks` holds, given that it holds at `to` and,
/// once it does, on to there.
pub(crate) fn first(mut from: u64, mut to: u64, breaks: impl Fn(u64) -> bool) -> u64 {
    while from < to {
        let middle = from + (to - from) / 2;
        if breaks(middle) {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_instant_is_found_at_any_place() {
        for due in [0, 1, 57, 99, 100] {
            assert_eq!(first(0, 100, |instant| instant >= due), due);
        }
        assert_eq!(first(0, u64::MAX, |instant| instant == u64::MAX), u64::MAX);
        assert_eq!(first(9, 3, |_| true), 3, "a span that runs backwards");
    }

    #[test]
    fn holding_a_device_without_running_kernels_is_use() {
        let held = v1::UsageLine {
            allocated_ms: Some(10),
            ..Default::default()
        };
        assert!(is_use(&held));
        assert!(!is_use(&v1::UsageLine::default()));
    }
}

//! Accounting: how much device time each tenant had, and where all the rest is.
//!
//! For every class of device, tenants + unattributed + idle + not observed + lost + withheld =
//! total: the total comes from the signed totals lines, the parts from the lines that are shown and,
//! where the host let lines go, from the totals of their records.
//! Attribution is as known when a record was logged; no later event moves a figure.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use affiant_proto::v1;
use serde::{Deserialize, Serialize};

use crate::{bare::Parts, chains::ByChain, devices::Class};

type Chain = [u8; 32];

/// The largest integer that every JSON reader keeps exact: 2^53 − 1.
const MAX_JSON_INTEGER: u128 = (1 << 53) - 1;

/// A count that never overflows: a JSON number up to 2^53 − 1, a string of digits above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Spelled", into = "Spelled")]
pub struct Amount(pub u128);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Spelled {
    Number(u64),
    Text(String),
}

impl From<Amount> for Spelled {
    fn from(amount: Amount) -> Self {
        match u64::try_from(amount.0) {
            Ok(number) if amount.0 <= MAX_JSON_INTEGER => Self::Number(number),
            _ => Self::Text(amount.0.to_string()),
        }
    }
}

impl TryFrom<Spelled> for Amount {
    type Error = std::num::ParseIntError;

    fn try_from(spelled: Spelled) -> Result<Self, Self::Error> {
        match spelled {
            Spelled::Number(number) => Ok(Self(number.into())),
            Spelled::Text(text) => text.parse().map(Self),
        }
    }
}

impl Amount {
    fn add(&mut self, more: u64) {
        self.0 = self.0.saturating_add(more.into());
    }

    fn join(&mut self, more: Self) {
        self.0 = self.0.saturating_add(more.0);
    }
}

/// One tenant's use of one class of device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantUse {
    /// The tenant.
    pub tenant: String,
    /// Class of device.
    pub class: String,
    /// Device time attributed, milliseconds.
    pub attributed_ms: Amount,
    /// Wall time in which a device was held, milliseconds; what was shared counts for each.
    pub allocated_ms: Amount,
    /// Time in which kernels ran, milliseconds.
    pub busy_ms: Amount,
    /// Energy, millijoules.
    pub energy_mj: Amount,
    /// Samples on which this rests.
    pub samples: Amount,
    /// Samples that were due and failed.
    pub samples_missing: Amount,
    /// Usage lines.
    pub lines: u64,
    /// Lines that do not tell how long the device was held.
    pub lines_without_allocated: u64,
    /// Lines that do not tell how long kernels ran.
    pub lines_without_busy: u64,
    /// Lines that do not tell energy.
    pub lines_without_energy: u64,
    /// Records with a line of this tenant and class.
    pub records: u64,
    /// Devices, by uuid, on which.
    pub devices: u64,
}

/// All device time of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassUse {
    /// Class of device; "not shown" for devices that are not disclosed.
    pub class: String,
    /// All device time recorded, milliseconds.
    pub total_ms: Amount,
    /// Attributed to tenants.
    pub tenants_ms: Amount,
    /// Used by nobody whom a binding names.
    pub unattributed_ms: Amount,
    /// Idle.
    pub idle_ms: Amount,
    /// Not observed, for whatever reason.
    pub not_observed_ms: Amount,
    /// Part of it for a reason that is planned, as the lines say.
    pub planned_ms: Amount,
    /// Used, and for whom stood in lines that the host let go.
    pub lost_ms: Amount,
    /// In lines that are not shown.
    pub withheld_ms: Amount,
    /// Energy of all devices that told it, millijoules.
    pub energy_mj: Amount,
    /// Device records that tell no energy.
    pub without_energy: u64,
    /// Devices × records.
    pub device_records: u64,
}

/// Where the time of lines goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share<'a> {
    Tenant(&'a str),
    Unattributed,
    Idle,
    NotObserved { planned: bool },
}

/// What lines of one record sum to that are of one class and one share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    lines: u64,
    time_ms: Amount,
    samples: Amount,
    samples_missing: Amount,
    /// Each with the lines that do not tell it.
    allocated_ms: (Amount, u64),
    busy_ms: (Amount, u64),
    energy_mj: (Amount, u64),
    places: Places,
}

/// Places of devices in an inventory.
#[derive(Clone, Debug, Default)]
struct Places {
    /// The first 64, which are all that an inventory may have, as bits.
    near: u64,
    /// What else lines may point at.
    far: BTreeSet<u32>,
}

impl Places {
    fn add(&mut self, place: u32) {
        match 1_u64.checked_shl(place) {
            Some(bit) => self.near |= bit,
            None => {
                self.far.insert(place);
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        let near = (0..u64::BITS).filter(|place| self.near & 1 << place != 0);
        near.chain(self.far.iter().copied())
    }
}

impl Sum {
    /// Adds one shown line.
    pub(crate) fn add(&mut self, line: &v1::UsageLine) {
        self.lines = self.lines.saturating_add(1);
        self.time_ms.add(line.time_ms);
        self.samples.add(line.samples.into());
        self.samples_missing.add(line.missing.into());
        for ((amount, missing), value) in [
            (&mut self.allocated_ms, line.allocated_ms),
            (&mut self.busy_ms, line.busy_ms),
            (&mut self.energy_mj, line.energy_mj),
        ] {
            match value {
                Some(value) => amount.add(value),
                None => *missing = missing.saturating_add(1),
            }
        }
        self.places.add(line.device);
    }
}

/// The record of which lines are booked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) index: u64,
    pub(crate) chain: Chain,
    /// The inventory that it cites, and how many its host has stated.
    pub(crate) inventory: (u64, u64),
}

/// The books.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    /// By tenant and class; found without copying the tenant's name, as this is asked per line.
    tenants: BTreeMap<String, BTreeMap<Class, Books>>,
    classes: BTreeMap<Class, ClassUse>,
}

/// The books of one tenant and class.
#[derive(Clone, Debug, Default)]
struct Books {
    used: TenantUse,
    devices: BTreeSet<String>,
    /// Of each chain the places of its inventory whose devices are in that set: they are named once
    /// and not with every record. 64 bytes a host that the tenant used.
    booked: ByChain<((u64, u64), u64)>,
    /// The last record that was booked.
    last: Option<u64>,
}

impl Books {
    /// Books lines of one record.
    fn book<'a>(&mut self, at: At, sum: &Sum, named: impl Fn(u32) -> Cow<'a, str>) {
        self.on(at, &sum.places, named);
        let again = self.last.replace(at.index) == Some(at.index);
        let books = &mut self.used;
        books.records = books.records.saturating_add(u64::from(!again));
        books.lines = books.lines.saturating_add(sum.lines);
        books.attributed_ms.join(sum.time_ms);
        books.samples.join(sum.samples);
        books.samples_missing.join(sum.samples_missing);
        for (amount, missing, (more, without)) in [
            (
                &mut books.allocated_ms,
                &mut books.lines_without_allocated,
                sum.allocated_ms,
            ),
            (
                &mut books.busy_ms,
                &mut books.lines_without_busy,
                sum.busy_ms,
            ),
            (
                &mut books.energy_mj,
                &mut books.lines_without_energy,
                sum.energy_mj,
            ),
        ] {
            amount.join(more);
            *missing = missing.saturating_add(without);
        }
    }

    /// Takes the devices of lines, which `named` gives by their place.
    fn on<'a>(&mut self, at: At, places: &Places, named: impl Fn(u32) -> Cow<'a, str>) {
        let none = (at.inventory, 0);
        let booked = self.booked.entry(at.chain).or_insert(none);
        if booked.0 != at.inventory {
            *booked = none;
        }
        if places.near & !booked.1 == 0 && places.far.is_empty() {
            return;
        }
        booked.1 |= places.near;
        for place in places.iter() {
            let device = named(place);
            if !self.devices.contains(device.as_ref()) {
                self.devices.insert(device.into_owned());
            }
        }
    }
}

impl Accounts {
    /// Books the totals line's entry of one device.
    pub(crate) fn device(&mut self, class: Class, totals: &v1::DeviceTotals) {
        let books = self.classes.entry(class).or_default();
        let parts = [
            totals.attributed_ms,
            totals.idle_ms,
            totals.unattributed_ms,
            totals.not_observed_ms,
        ];
        parts.into_iter().for_each(|part| books.total_ms.add(part));
        books.device_records = books.device_records.saturating_add(1);
        match totals.energy_mj {
            Some(energy) => books.energy_mj.add(energy),
            None => books.without_energy = books.without_energy.saturating_add(1),
        }
    }

    /// Books shown lines of one record that have class and share in common.
    pub(crate) fn lines<'a>(
        &mut self,
        at: At,
        class: Class,
        share: Share<'_>,
        sum: &Sum,
        named: impl Fn(u32) -> Cow<'a, str>,
    ) {
        let books = self.classes.entry(class).or_default();
        match share {
            Share::Unattributed => books.unattributed_ms.join(sum.time_ms),
            Share::Idle => books.idle_ms.join(sum.time_ms),
            Share::NotObserved { planned } => {
                books.not_observed_ms.join(sum.time_ms);
                if planned {
                    books.planned_ms.join(sum.time_ms);
                }
            }
            Share::Tenant(tenant) => {
                books.tenants_ms.join(sum.time_ms);
                self.tenant(at, class, tenant, sum, named);
            }
        }
    }

    /// Books records of which the host let go of all lines, by their totals.
    pub(crate) fn lost(&mut self, class: Class, parts: &Parts) {
        let books = self.classes.entry(class).or_default();
        for (sum, part) in [
            (&mut books.lost_ms, parts.attributed_ms),
            (&mut books.idle_ms, parts.idle_ms),
            (&mut books.unattributed_ms, parts.unattributed_ms),
            (&mut books.not_observed_ms, parts.not_observed_ms),
        ] {
            sum.0 = sum.0.saturating_add(part);
        }
    }

    /// The figures by tenant and class, in order.
    pub(crate) fn tenants(&self) -> Vec<TenantUse> {
        let each = self.tenants.iter().flat_map(|(tenant, classes)| {
            classes.iter().map(move |(class, books)| TenantUse {
                tenant: tenant.clone(),
                class: class.to_string(),
                devices: books.devices.len() as u64,
                ..books.used.clone()
            })
        });
        each.collect()
    }

    /// The figures by class, in order, with what is withheld.
    pub(crate) fn classes(&self) -> Vec<ClassUse> {
        let complete = self.classes.iter().map(|(class, books)| {
            let shown = [
                books.tenants_ms,
                books.unattributed_ms,
                books.idle_ms,
                books.not_observed_ms,
                books.lost_ms,
            ];
            let shown = shown
                .iter()
                .fold(0_u128, |sum, part| sum.saturating_add(part.0));
            let withheld_ms = Amount(books.total_ms.0.saturating_sub(shown));
            ClassUse {
                class: class.to_string(),
                withheld_ms,
                ..books.clone()
            }
        });
        complete.collect()
    }

    fn tenant<'a>(
        &mut self,
        at: At,
        class: Class,
        tenant: &str,
        sum: &Sum,
        named: impl Fn(u32) -> Cow<'a, str>,
    ) {
        match self.tenants.get_mut(tenant) {
            Some(classes) => classes.entry(class).or_default().book(at, sum, named),
            None => {
                let classes = self.tenants.entry(tenant.to_owned()).or_default();
                classes.entry(class).or_default().book(at, sum, named);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(time_ms: u64) -> v1::UsageLine {
        v1::UsageLine {
            time_ms,
            samples: 10,
            ..Default::default()
        }
    }

    /// Books one line of device `g`, number 0 of its host, or `h`, number 1.
    fn book(accounts: &mut Accounts, share: Share<'_>, line: &v1::UsageLine) {
        let at = At {
            index: 1,
            chain: [7; 32],
            inventory: (1, 1),
        };
        let mut sum = Sum::default();
        sum.add(line);
        let named = |place| if place == 0 { "g" } else { "h" }.into();
        accounts.lines(at, Class::A, share, &sum, named);
    }

    #[test]
    fn a_device_counts_once_however_often_and_wherever_it_is_listed() {
        let mut accounts = Accounts::default();
        let mut sum = Sum::default();
        for device in [0, 63, 64, u32::MAX, 0] {
            sum.add(&v1::UsageLine { device, ..line(1) });
        }
        let named = |place: u32| format!("device {place}").into();
        let other = |place: u32| format!("other {place}").into();
        let at = |index, chain, inventory| At {
            index,
            chain,
            inventory,
        };
        let devices = |accounts: &Accounts| accounts.tenants().pop().unwrap().devices;
        let mut book = |at, named: &dyn Fn(u32) -> Cow<'static, str>| {
            accounts.lines(at, Class::A, Share::Tenant("t"), &sum, named);
            devices(&accounts)
        };
        assert_eq!(book(at(1, [7; 32], (1, 1)), &named), 4);
        assert_eq!(book(at(2, [7; 32], (1, 1)), &named), 4);
        assert_eq!(book(at(3, [8; 32], (1, 1)), &named), 4, "carried over");
        assert_eq!(
            book(at(4, [7; 32], (9, 2)), &other),
            8,
            "others in their place"
        );
        assert_eq!(book(at(5, [7; 32], (1, 3)), &named), 8);
    }

    #[test]
    fn the_parts_of_a_class_make_up_its_total_and_what_is_not_shown_is_withheld() {
        let mut accounts = Accounts::default();
        let totals = v1::DeviceTotals {
            attributed_ms: 7_000,
            idle_ms: 1_000,
            unattributed_ms: 1_000,
            not_observed_ms: 1_000,
            energy_mj: Some(5),
        };
        accounts.device(Class::A, &totals);
        book(&mut accounts, Share::Tenant("t"), &line(4_000));
        book(&mut accounts, Share::Unattributed, &line(1_000));
        let class = accounts.classes().pop().unwrap();
        assert_eq!(class.total_ms, Amount(10_000));
        assert_eq!(class.tenants_ms, Amount(4_000));
        assert_eq!(class.unattributed_ms, Amount(1_000));
        assert_eq!(class.withheld_ms, Amount(5_000));
    }

    #[test]
    fn a_missing_figure_is_counted_as_missing_and_never_as_zero() {
        let mut accounts = Accounts::default();
        book(&mut accounts, Share::Tenant("t"), &line(10));
        let measured = v1::UsageLine {
            device: 1,
            busy_ms: Some(0),
            ..line(10)
        };
        book(&mut accounts, Share::Tenant("t"), &measured);
        let tenant = accounts.tenants().pop().unwrap();
        assert_eq!(
            (tenant.lines, tenant.lines_without_busy, tenant.records),
            (2, 1, 1)
        );
        assert_eq!((tenant.lines_without_energy, tenant.devices), (2, 2));
    }

    #[test]
    fn an_amount_reads_back_at_any_size() {
        for amount in [0, MAX_JSON_INTEGER, MAX_JSON_INTEGER + 1, u128::MAX] {
            let text = serde_json::to_string(&Amount(amount)).unwrap();
            assert_eq!(text.contains('"'), amount > MAX_JSON_INTEGER);
            assert_eq!(
                serde_json::from_str::<Amount>(&text).unwrap(),
                Amount(amount)
            );
        }
        assert!(serde_json::from_str::<Amount>("\"-1\"").is_err());
    }

    #[test]
    fn sums_beyond_64_bits_stay_exact() {
        let mut accounts = Accounts::default();
        for _ in 0..3 {
            book(&mut accounts, Share::Tenant("t"), &line(u64::MAX));
        }
        let tenant = accounts.tenants().pop().unwrap();
        assert_eq!(tenant.attributed_ms.0, 3 * u128::from(u64::MAX));
    }
}

//! Books: what each tenant used, by ten minutes, by day and by calendar month.
//!
//! Caps and statistics are held against them. They are bounded, and what goes first is the oldest. What a
//! host claims for a time that the log's clock has not reached is not booked: the books are shared, and
//! one host could push out what all others did.
//!
//! Most records belong to the span and the month of the one before: these lie open beside the tenant, so
//! that a record takes one look, and are put away when another comes or a round takes them.

use std::{collections::BTreeMap, sync::Arc};

use affiant_proto::v1;

use crate::{caps::Ceilings, month};

/// Milliseconds over which devices of several hosts are averaged. A month is a whole number of them.
pub(crate) const SPAN_MS: u64 = 600_000;

/// Spans of a day.
pub(crate) const DAY_SPANS: u64 = 144;

/// Spans that are kept, the newest: 4,464 × 10 min are a month, so that what was away for that long still
/// counts.
const SPANS: usize = 4_464;

/// Most entries of all spans, one a tenant that used devices in it. Some 80 bytes each: 1,500,000 are 120 MB,
/// which 10,000 tenants who never pause fill in 25 hours, and 300 in a month.
const CELLS: usize = 1_500_000;

/// Months that are kept: a year and the one that begins. 130 bytes a tenant and month, 17 MB for 10,000.
const MONTHS: usize = 13;

/// Days of which it is kept in which spans a tenant had whole hosts: 32 × 60 bytes a tenant that ever had.
const DAYS: usize = 32;

/// Longest interval that is spread over spans; of a longer claim the end: 144 of them.
const LONGEST_MS: u64 = 86_400_000;

/// Last instant that is booked, 36 million years after 1970: no sum over instants before it overflows.
const LAST_MS: u64 = 1 << 60;

/// A tenant's place in the books.
pub(crate) type Number = u32;

/// What lines of one record sum to, of one tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Device time that is attributed, milliseconds.
    pub(crate) device_ms: u64,
    /// Part of it on devices whose TPP is not known.
    pub(crate) unrated_ms: u64,
    /// The same × TPP, where that is known.
    pub(crate) tpp_ms: u64,
    /// Time in which kernels ran, as far as lines tell it and no more than is attributed.
    pub(crate) busy_ms: u64,
    /// Part of the device time in records of hosts that the tenant had to itself.
    pub(crate) whole_ms: u64,
    /// Time in which devices were held × TPP; what was shared counts for each.
    pub(crate) held_tpp_ms: u64,
    /// Busy time × TPP.
    pub(crate) busy_tpp_ms: u64,
}

impl Load {
    /// Adds one line of a device with a TPP, where that is known.
    pub(crate) fn line(&mut self, line: &v1::UsageLine, tpp: Option<u32>) {
        let busy = line.busy_ms.unwrap_or(0).min(line.time_ms);
        self.device_ms = self.device_ms.saturating_add(line.time_ms);
        self.busy_ms = self.busy_ms.saturating_add(busy);
        let Some(tpp) = tpp.map(u64::from) else {
            self.unrated_ms = self.unrated_ms.saturating_add(line.time_ms);
            return;
        };
        let held = line.allocated_ms.unwrap_or(0).max(line.time_ms);
        for (sum, ms) in [
            (&mut self.tpp_ms, line.time_ms),
            (&mut self.held_tpp_ms, held),
            (&mut self.busy_tpp_ms, busy),
        ] {
            *sum = sum.saturating_add(ms.saturating_mul(tpp));
        }
    }

    /// Adds another.
    pub(crate) fn add(&mut self, other: &Self) {
        let mut other = *other;
        for (sum, more) in self.all().into_iter().zip(other.all()) {
            *sum = sum.saturating_add(*more);
        }
    }

    /// Takes note whether a record's host, with so many devices, was the tenant's alone: for 95 % of the
    /// interval, as a job may begin within it.
    pub(crate) fn alone(&mut self, (from_ms, to_ms): (u64, u64), devices: usize) {
        let length = to_ms.saturating_sub(from_ms).max(1);
        let all = u128::from(length) * u128::try_from(devices).unwrap_or(u128::MAX);
        if u128::from(self.device_ms) * 100 >= all.saturating_mul(95) {
            self.whole_ms = self.device_ms;
        }
    }

    /// The part of it that falls on `part` of `whole` milliseconds.
    fn part(mut self, part: u64, whole: u64) -> Self {
        if part != whole {
            for sum in self.all() {
                let of = u128::from(*sum) * u128::from(part) / u128::from(whole.max(1));
                *sum = u64::try_from(of).unwrap_or(u64::MAX);
            }
        }
        self
    }

    fn all(&mut self) -> [&mut u64; 7] {
        [
            &mut self.device_ms,
            &mut self.unrated_ms,
            &mut self.tpp_ms,
            &mut self.busy_ms,
            &mut self.whole_ms,
            &mut self.held_tpp_ms,
            &mut self.busy_tpp_ms,
        ]
    }
}

/// What a tenant used in one span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) device_ms: u64,
    pub(crate) tpp_ms: u64,
    pub(crate) busy_ms: u64,
    pub(crate) whole_ms: u64,
    /// Lowest and highest log index of the records.
    pub(crate) indices: (u64, u64),
    /// Whether a device was among them whose TPP is not known.
    pub(crate) is_unrated: bool,
    /// Whether it waits to be looked at.
    is_fresh: bool,
}

/// What a tenant used in one calendar month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Month {
    pub(crate) device_ms: u64,
    pub(crate) unrated_ms: u64,
    pub(crate) held_tpp_ms: u128,
    pub(crate) busy_tpp_ms: u128,
    /// First and last instant that was booked, and lowest and highest log index.
    pub(crate) ends_ms: (u64, u64),
    pub(crate) indices: (u64, u64),
}

/// In which spans of a day a tenant kept whole hosts busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Day {
    spans: [u64; 3],
    pub(crate) indices: (u64, u64),
}

impl Day {
    pub(crate) fn count(&self) -> u32 {
        self.spans.iter().map(|word| word.count_ones()).sum()
    }
}

/// What a record was booked to, for caps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Booked {
    /// The span that is fullest by now of those it touches, and its device time.
    pub(crate) devices: (u64, u64),
    /// The same by TPP.
    pub(crate) tpp: (u64, u64),
    /// The last month, and its device time.
    pub(crate) month: (u64, u64),
}

#[derive(Clone, Debug)]
struct Tenant {
    id: Arc<str>,
    /// Begin of its earliest use.
    first_ms: u64,
    /// What bounds it, by its last answer.
    ceilings: Option<Ceilings>,
    /// The span and the month that lie open.
    span: Option<(u64, Cell)>,
    month: Option<(u64, Month)>,
}

/// The books.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    numbers: BTreeMap<Arc<str>, Number>,
    tenants: Vec<Tenant>,
    spans: BTreeMap<u64, BTreeMap<Number, Cell>>,
    cells: usize,
    months: BTreeMap<u64, BTreeMap<Number, Month>>,
    days: BTreeMap<Number, BTreeMap<u64, Day>>,
    fresh: Vec<(u64, Number)>,
    /// A day, counted from 1970, and its month.
    today: (u64, u64),
}

impl Books {
    /// The place of a tenant, which gets one when it has none.
    pub(crate) fn number(&mut self, tenant: &str) -> Number {
        if let Some(number) = self.numbers.get(tenant) {
            return *number;
        }
        let number = Number::try_from(self.tenants.len()).unwrap_or(Number::MAX);
        let id: Arc<str> = tenant.into();
        self.numbers.insert(Arc::clone(&id), number);
        self.tenants.push(Tenant {
            id,
            first_ms: u64::MAX,
            ceilings: None,
            span: None,
            month: None,
        });
        number
    }

    /// The place of a tenant that used anything.
    pub(crate) fn known(&self, tenant: &str) -> Option<Number> {
        self.numbers.get(tenant).copied()
    }

    /// The tenant at a place.
    pub(crate) fn id(&self, number: Number) -> &str {
        self.tenant(number).map_or("", |tenant| tenant.id.as_ref())
    }

    /// Begin of a tenant's earliest use, milliseconds since 1970.
    pub(crate) fn first_ms(&self, number: Number) -> u64 {
        self.tenant(number)
            .map_or(u64::MAX, |tenant| tenant.first_ms)
    }

    /// How many tenants have a place.
    pub(crate) fn len(&self) -> usize {
        self.tenants.len()
    }

    /// All tenants, by place.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Number, &str)> {
        let all = (0..).zip(&self.tenants);
        all.map(|(number, tenant)| (number, tenant.id.as_ref()))
    }

    /// Takes what bounds a tenant.
    pub(crate) fn bind(&mut self, number: Number, ceilings: Ceilings) {
        if let Some(tenant) = self.tenant_mut(number) {
            tenant.ceilings = Some(ceilings);
        }
    }

    /// Forgets what bounds each.
    pub(crate) fn unbind(&mut self) {
        let all = self.tenants.iter_mut();
        all.for_each(|tenant| tenant.ceilings = None);
    }

    /// What bounds a tenant; `None` when nobody asked since another pack came.
    pub(crate) fn ceilings(&self, number: Number) -> Option<Ceilings> {
        self.tenant(number)?.ceilings
    }

    fn tenant_mut(&mut self, number: Number) -> Option<&mut Tenant> {
        self.tenants.get_mut(usize::try_from(number).ok()?)
    }

    fn tenant(&self, number: Number) -> Option<&Tenant> {
        self.tenants.get(usize::try_from(number).ok()?)
    }

    /// Books a tenant's part of one record, spread evenly over its interval.
    pub(crate) fn add(
        &mut self,
        number: Number,
        index: u64,
        (from_ms, to_ms): (u64, u64),
        clock_ms: u64,
        load: &Load,
    ) -> Booked {
        let mut booked = Booked::default();
        // One that ends before it begins is booked where it begins.
        let to_ms = to_ms.max(from_ms.saturating_add(1));
        if from_ms > clock_ms.saturating_add(SPAN_MS) || to_ms > LAST_MS {
            return booked;
        }
        let from_ms = from_ms.max(to_ms.saturating_sub(LONGEST_MS));
        if let Some(tenant) = self.tenant_mut(number) {
            tenant.first_ms = tenant.first_ms.min(from_ms);
        }
        let whole = to_ms - from_ms;
        let mut begun = from_ms;
        while begun < to_ms {
            let span = begun / SPAN_MS;
            let ended = to_ms.min((span + 1).saturating_mul(SPAN_MS));
            let part = load.part(ended - begun, whole);
            let cell = self.in_span(span, number, index, &part);
            if cell.0 >= booked.devices.1 {
                booked.devices = (span, cell.0);
            }
            if cell.1 >= booked.tpp.1 {
                booked.tpp = (span, cell.1);
            }
            let month = self.month_of(begun);
            let sum = self.in_month(month, number, index, (begun, ended), &part);
            booked.month = (month, sum);
            begun = ended.max(begun + 1);
        }
        if self.spans.len() > SPANS || self.cells > CELLS || self.months.len() > MONTHS {
            self.let_go();
        }
        booked
    }

    fn month_of(&mut self, unix_ms: u64) -> u64 {
        let day = unix_ms / (DAY_SPANS * SPAN_MS);
        if self.today.0 != day || self.today.1 == 0 {
            self.today = (day, month::of(unix_ms));
        }
        self.today.1
    }

    /// Lets go of the oldest until what is kept is within bounds.
    fn let_go(&mut self) {
        while self.spans.len() > SPANS || self.cells > CELLS {
            let oldest = self.spans.pop_first();
            self.cells -= oldest.map_or(0, |(_, cells)| cells.len());
        }
        while self.months.len() > MONTHS {
            self.months.pop_first();
        }
    }

    /// Gives device time and TPP × time of the span by now.
    fn in_span(&mut self, span: u64, number: Number, index: u64, part: &Load) -> (u64, u64) {
        let open = self.tenant(number).and_then(|tenant| tenant.span.as_ref());
        if open.is_none_or(|(open, _)| *open != span) {
            self.open_span(span, number, index);
        }
        let tenant = self.tenant_mut(number);
        let Some((_, cell)) = tenant.and_then(|tenant| tenant.span.as_mut()) else {
            return (0, 0);
        };
        let is_new = !std::mem::replace(&mut cell.is_fresh, true);
        for (sum, more) in [
            (&mut cell.device_ms, part.device_ms),
            (&mut cell.tpp_ms, part.tpp_ms),
            (&mut cell.busy_ms, part.busy_ms),
            (&mut cell.whole_ms, part.whole_ms),
        ] {
            *sum = sum.saturating_add(more);
        }
        cell.is_unrated |= part.unrated_ms > 0;
        cell.indices.1 = cell.indices.1.max(index);
        let sums = (cell.device_ms, cell.tpp_ms);
        if is_new {
            self.fresh.push((span, number));
        }
        sums
    }

    /// Opens a span of a tenant, as far as it is booked, and puts the one away that lay open.
    fn open_span(&mut self, span: u64, number: Number, index: u64) {
        self.put_away(number);
        let known = self.spans.get_mut(&span);
        let known = known.and_then(|cells| cells.remove(&number));
        self.cells -= usize::from(known.is_some());
        let new = || Cell {
            indices: (index, index),
            ..Cell::default()
        };
        if let Some(tenant) = self.tenant_mut(number) {
            tenant.span = Some((span, known.unwrap_or_else(new)));
        }
    }

    /// Puts the span of a tenant away that lies open.
    fn put_away(&mut self, number: Number) {
        let open = self
            .tenant_mut(number)
            .and_then(|tenant| tenant.span.take());
        if let Some((span, cell)) = open {
            self.spans.entry(span).or_default().insert(number, cell);
            self.cells += 1;
        }
    }

    fn in_month(
        &mut self,
        month: u64,
        number: Number,
        index: u64,
        (from_ms, to_ms): (u64, u64),
        part: &Load,
    ) -> u64 {
        let open = self.tenant(number).and_then(|tenant| tenant.month.as_ref());
        if open.is_none_or(|(open, _)| *open != month) {
            let known = self.months.get_mut(&month);
            let known = known.and_then(|books| books.remove(&number));
            let new = || Month {
                ends_ms: (from_ms, to_ms),
                indices: (index, index),
                ..Month::default()
            };
            let open = Some((month, known.unwrap_or_else(new)));
            let tenant = self.tenant_mut(number);
            let old = tenant.and_then(|tenant| std::mem::replace(&mut tenant.month, open));
            if let Some((old, book)) = old {
                self.months.entry(old).or_default().insert(number, book);
            }
        }
        let tenant = self.tenant_mut(number);
        let Some((_, book)) = tenant.and_then(|tenant| tenant.month.as_mut()) else {
            return 0;
        };
        book.device_ms = book.device_ms.saturating_add(part.device_ms);
        book.unrated_ms = book.unrated_ms.saturating_add(part.unrated_ms);
        book.held_tpp_ms = book.held_tpp_ms.saturating_add(part.held_tpp_ms.into());
        book.busy_tpp_ms = book.busy_tpp_ms.saturating_add(part.busy_tpp_ms.into());
        book.ends_ms = (book.ends_ms.0.min(from_ms), book.ends_ms.1.max(to_ms));
        book.indices.1 = book.indices.1.max(index);
        book.device_ms
    }

    /// What a tenant used in a span.
    pub(crate) fn cell(&self, span: u64, number: Number) -> Option<&Cell> {
        match &self.tenant(number)?.span {
            Some((open, cell)) if *open == span => Some(cell),
            _ => self.spans.get(&span)?.get(&number),
        }
    }

    /// What all used in a span that a round has taken, by place.
    pub(crate) fn span(&self, span: u64) -> impl Iterator<Item = (Number, &Cell)> {
        let cells = self.spans.get(&span).into_iter().flatten();
        cells.map(|(number, cell)| (*number, cell))
    }

    /// What a tenant used in a month.
    pub(crate) fn month(&self, month: u64, number: Number) -> Option<&Month> {
        match &self.tenant(number)?.month {
            Some((open, book)) if *open == month => Some(book),
            _ => self.months.get(&month)?.get(&number),
        }
    }

    /// What changed since it was last taken, by span and place.
    pub(crate) fn fresh(&self) -> &[(u64, Number)] {
        &self.fresh
    }

    /// Takes what changed since it was last taken, of spans that ended before an instant.
    pub(crate) fn take_fresh(&mut self, before_ms: u64) -> Vec<(u64, Number)> {
        let over = |(span, _): &(u64, Number)| (span + 1).saturating_mul(SPAN_MS) <= before_ms;
        let (taken, left) = std::mem::take(&mut self.fresh).into_iter().partition(over);
        self.fresh = left;
        let mut taken: Vec<(u64, Number)> = taken;
        for (span, number) in &taken {
            let open = self.tenant(*number).and_then(|tenant| tenant.span.as_ref());
            if open.is_some_and(|(open, _)| open == span) {
                self.put_away(*number);
            }
            let cells = self.spans.get_mut(span);
            if let Some(cell) = cells.and_then(|cells| cells.get_mut(number)) {
                cell.is_fresh = false;
            }
        }
        taken.sort_unstable();
        taken
    }

    /// Marks a span in which a tenant kept whole hosts busy. Gives its day when it is marked for the first
    /// time.
    pub(crate) fn mark(&mut self, span: u64, number: Number) -> Option<(u64, u32)> {
        let indices = self.cell(span, number)?.indices;
        let (date, place) = (span / DAY_SPANS, span % DAY_SPANS);
        let days = self.days.entry(number).or_default();
        let day = days.entry(date).or_insert(Day {
            indices,
            ..Day::default()
        });
        day.indices.0 = day.indices.0.min(indices.0);
        day.indices.1 = day.indices.1.max(indices.1);
        let word = usize::try_from(place / 64).ok()?;
        let word = day.spans.get_mut(word)?;
        let bit = 1 << (place % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        let count = day.count();
        while days.len() > DAYS {
            days.pop_first();
        }
        is_new.then_some((date, count))
    }

    /// The days of a tenant around one, without a gap, of which `is_full` holds.
    pub(crate) fn days_around(
        &self,
        number: Number,
        date: u64,
        is_full: impl Fn(&Day) -> bool,
    ) -> BTreeMap<u64, Day> {
        let mut found = BTreeMap::new();
        let Some(days) = self.days.get(&number) else {
            return found;
        };
        let mut take = |date: u64| match days.get(&date).filter(|day| is_full(day)) {
            Some(day) => found.insert(date, *day).is_none(),
            None => false,
        };
        let mut at = date;
        while take(at) && at > 0 {
            at -= 1;
        }
        let mut at = date + 1;
        while take(at) {
            at += 1;
        }
        found
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const T: Number = 0;

    fn books() -> Books {
        let mut books = Books::default();
        assert_eq!(books.number("t"), T);
        books
    }

    fn devices(device_ms: u64) -> Load {
        Load {
            device_ms,
            ..Load::default()
        }
    }

    fn spans(books: &Books) -> Vec<(u64, u64)> {
        let mut books = books.clone();
        books.put_away(T);
        books.let_go();
        let cells = books.spans.iter();
        cells
            .flat_map(|(span, cells)| cells.values().map(|cell| (*span, cell.device_ms)))
            .collect()
    }

    #[test]
    fn time_is_spread_over_the_spans_that_it_touches_and_none_is_lost() {
        let mut books = books();
        let edge = SPAN_MS * 7;
        books.add(T, 1, (edge - 4_000, edge + 6_000), edge, &devices(80_000));
        let booked = books.add(T, 2, (edge, edge + 10_000), edge, &devices(10_000));
        assert_eq!(spans(&books), [(6, 32_000), (7, 58_000)]);
        assert_eq!(booked.devices, (7, 58_000));
        assert_eq!(booked.month, (1970 * 12, 90_000));
        assert_eq!(books.cell(7, T).unwrap().indices, (1, 2));
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_newest() {
        let mut books = books();
        for span in 0..SPANS as u64 + 10 {
            let from = span * SPAN_MS;
            books.add(T, span, (from, from + 10), from, &devices(10));
        }
        let kept = spans(&books);
        assert_eq!((kept.len(), kept.first().unwrap().0), (SPANS, 10));
        assert!(books.cells <= SPANS);
    }

    #[test]
    fn a_claim_of_the_future_pushes_nothing_out_and_an_endless_one_ends() {
        let mut books = books();
        books.add(T, 1, (0, 10), 10, &devices(10));
        for ahead in 1..=SPANS as u64 {
            let from = ahead * 10 * SPAN_MS;
            let booked = books.add(T, 2, (from, from + 10), 10, &devices(10));
            assert_eq!(booked, Booked::default());
        }
        assert_eq!(spans(&books), [(0, 10)]);
        books.add(T, 3, (0, LAST_MS), 10, &devices(144_000));
        books.add(T, 3, (0, u64::MAX), u64::MAX, &devices(144_000));
        assert!(spans(&books).len() <= 146);
        let before = spans(&books);
        let backwards = (u64::MAX - 5, 0);
        let booked = books.add(T, 4, backwards, u64::MAX, &devices(10));
        assert_eq!(
            (booked, spans(&books)),
            (Booked::default(), before),
            "ends before it begins"
        );
    }

    #[test]
    fn what_changed_is_taken_once_its_span_is_over_and_again_when_it_changes() {
        let mut books = books();
        books.add(T, 1, (0, 10), 10, &devices(10));
        books.add(T, 2, (10, 20), 20, &devices(10));
        assert_eq!(books.fresh(), [(0, T)]);
        assert_eq!(books.take_fresh(SPAN_MS - 1), []);
        assert_eq!(books.take_fresh(SPAN_MS), [(0, T)]);
        assert_eq!(books.take_fresh(SPAN_MS), []);
        books.add(T, 3, (20, 30), 30, &devices(10));
        assert_eq!(books.take_fresh(SPAN_MS), [(0, T)]);
    }

    #[test]
    fn a_device_of_unknown_performance_is_counted_apart_and_not_as_nothing() {
        let mut load = Load::default();
        let line = v1::UsageLine {
            time_ms: 10,
            allocated_ms: Some(20),
            busy_ms: Some(5),
            ..Default::default()
        };
        load.line(&line, Some(4_000));
        load.line(&line, None);
        assert_eq!(
            (load.device_ms, load.unrated_ms, load.busy_ms),
            (20, 10, 10)
        );
        let by_tpp = (load.tpp_ms, load.held_tpp_ms, load.busy_tpp_ms);
        assert_eq!(by_tpp, (40_000, 80_000, 20_000));
    }

    #[test]
    fn days_are_told_as_far_as_they_follow_each_other() {
        let mut books = books();
        for day in [3, 4, 6] {
            for span in 0..2 {
                let from = (day * DAY_SPANS + span) * SPAN_MS;
                books.add(T, day, (from, from + 10), from, &devices(10));
                let due = Some((day, u32::try_from(span).unwrap() + 1));
                assert_eq!(books.mark(day * DAY_SPANS + span, T), due);
            }
        }
        assert_eq!(books.mark(3 * DAY_SPANS, T), None, "marked before");
        let found = |least| {
            let around = books.days_around(T, 4, |day| day.count() >= least);
            around.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(found(2), [3, 4]);
        assert!(found(3).is_empty());
    }
}

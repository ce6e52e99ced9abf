//! Structuring: linked tenants that together exceed a cap which none of them exceeds alone.
//!
//! Of tenants that are linked ([`crate::registry::links`]) and used devices in the same ten minutes, or month,
//! the sum is held against the cap of each, the strictest first. A cap that one of them exceeds alone is no
//! matter of the group: that one has a finding of its own, or is allowed more.

use std::collections::BTreeSet;

use crate::{
    Judge,
    books::{Number, SPAN_MS},
    caps::{Ceiling, HOUR_MS, Measure, on_average, tenths},
    episodes::Episode,
    findings::{Rule, Subject},
    month,
    registry::links::Group,
    rounds::{Linked, Seen, key},
};

/// Most tenants whose part is told, the largest.
const TOLD: usize = 4;

/// What one tenant used, as one measure counts it.
#[derive(Clone, Copy, Debug)]
struct Part {
    number: Number,
    sum: u64,
    indices: (u64, u64),
    span_ms: (u64, u64),
}

impl Judge {
    pub(crate) fn structured(&self, due: &[(u64, Number)], linked: &Linked) -> Vec<Seen> {
        let mut spans: BTreeSet<(usize, u64)> = BTreeSet::new();
        let mut months: BTreeSet<(usize, u64)> = BTreeSet::new();
        let mut of: Option<(u64, u64)> = None;
        for (span, number) in due {
            if let Some(place) = linked.of(*number) {
                spans.insert((place, *span));
                let month = match of {
                    Some((same, month)) if same == *span => month,
                    _ => month::of(span * SPAN_MS),
                };
                of = Some((*span, month));
                months.insert((place, month));
            }
        }
        let mut seen = Vec::new();
        for (place, span) in spans {
            let Some((group, members)) = linked.group(place) else {
                continue;
            };
            let cells = members.iter();
            let cells = cells.filter_map(|number| Some((*number, self.books.cell(span, *number)?)));
            let cells: Vec<_> = cells.collect();
            let span_ms = (span * SPAN_MS, (span + 1) * SPAN_MS);
            for measure in [Measure::Gpus, Measure::Tpp] {
                let parts = cells.iter().map(|(number, cell)| Part {
                    number: *number,
                    sum: match measure {
                        Measure::Tpp => cell.tpp_ms,
                        Measure::Gpus | Measure::Hours => cell.device_ms,
                    },
                    indices: cell.indices,
                    span_ms,
                });
                let parts: Vec<Part> = parts.collect();
                let is_unrated = cells.iter().any(|(_, cell)| cell.is_unrated);
                let unit = match measure {
                    Measure::Tpp if is_unrated => "TPP at least",
                    Measure::Tpp => "TPP",
                    Measure::Gpus | Measure::Hours => "GPUs",
                };
                seen.extend(
                    self.exceeded(measure, group, parts, |total| on_average(span, total, unit)),
                );
            }
        }
        for (place, month) in months {
            let Some((group, members)) = linked.group(place) else {
                continue;
            };
            let parts = members.iter().filter_map(|number| {
                let book = self.books.month(month, *number)?;
                Some(Part {
                    number: *number,
                    sum: book.device_ms,
                    indices: book.indices,
                    span_ms: book.ends_ms,
                })
            });
            let parts = parts.collect();
            seen.extend(self.exceeded(Measure::Hours, group, parts, |_| {
                format!(
                    "more GPU-hours in {} than a cap allows",
                    month::spelled(month)
                )
            }));
        }
        seen
    }

    fn exceeded(
        &self,
        measure: Measure,
        group: &Group,
        mut parts: Vec<Part>,
        total_in_words: impl Fn(u64) -> String,
    ) -> Option<Seen> {
        if parts.len() < 2 {
            return None;
        }
        let most_alone = parts.iter().map(|part| part.sum).max()?;
        let all = parts.iter().map(|part| part.sum);
        let total = all.fold(0, u64::saturating_add);
        let pack = self.packs.newest();
        let caps = parts.iter().filter_map(|part| {
            let ceiling = self.ceilings(part.number, pack).get(measure)?;
            Some((ceiling, self.books.id(part.number)))
        });
        let caps: BTreeSet<(Ceiling, &str)> = caps.collect();
        let limit = |most: u64| match measure {
            Measure::Hours => most.saturating_mul(HOUR_MS),
            Measure::Gpus | Measure::Tpp => self.in_a_span(most),
        };
        let exceeded = caps.into_iter().find(|(ceiling, _)| {
            let limit = limit(ceiling.most);
            most_alone <= limit && limit < total
        });
        let (ceiling, whose) = exceeded?;
        let indices = parts.iter().map(|part| part.indices);
        let indices = indices.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))?;
        let spans = parts.iter().map(|part| part.span_ms);
        let span = spans.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))?;
        let head = self.head(parts.iter().map(|part| (part.number, part.indices.0)));
        parts.sort_by(|a, b| {
            let by_id = self.books.id(a.number).cmp(self.books.id(b.number));
            b.sum.cmp(&a.sum).then(by_id)
        });
        let told = parts.iter().take(TOLD).map(|part| {
            let id = self.books.id(part.number);
            match measure {
                // What a month sums to grows with every round.
                Measure::Hours => id.to_owned(),
                Measure::Gpus | Measure::Tpp => {
                    let (whole, tenth) = tenths(part.sum, SPAN_MS);
                    format!("{id} {whole}.{tenth}")
                }
            }
        });
        let told: Vec<String> = told.collect();
        let more = match parts.len().saturating_sub(TOLD) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let members = parts.iter().map(|part| self.books.id(part.number));
        let mut episode = Episode::new(indices, span, self.clock_ms, 1).of(members);
        for link in &group.links {
            episode.say(&format!("linked: {link}"));
        }
        episode.say(&format!(
            "together {} ({}{more}); cap of tenant {whose}, {}",
            total_in_words(total),
            told.join(", "),
            ceiling.words(measure, pack.label())
        ));
        Some(Seen {
            key: key(Rule::Structuring, Subject::Linked(head.to_owned())),
            episode,
            together: parts.iter().map(|part| part.number).collect(),
        })
    }
}

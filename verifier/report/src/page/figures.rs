//! Figures as tables with small bars.

use std::fmt::{self, Write};

use affiant_judge::{Amount, accounting::TenantUse};

use super::{MAX_ROWS, Text, more, severity};
use crate::{
    calendar::{length, utc},
    document::Document,
    words,
};

/// Thousandths of the width of a bar that `part` of `whole` fills.
fn permille(part: u128, whole: u128) -> u128 {
    part.saturating_mul(1_000)
        .checked_div(whole)
        .unwrap_or(0)
        .min(1_000)
}

/// A piece of a bar.
fn piece(kind: &str, part: u128, whole: u128) -> String {
    let share = permille(part, whole);
    if share == 0 {
        return String::new();
    }
    format!(
        "<i class=\"{kind}\" style=\"width:{}.{}%\"></i>",
        share / 10,
        share % 10
    )
}

/// Spells a share of a whole: `12.5 %`.
fn percent(part: u128, whole: u128) -> String {
    let share = permille(part, whole);
    format!("{}.{} %", share / 10, share % 10)
}

/// Spells energy in a fitting unit.
fn energy(mj: u128) -> String {
    let joules = mj / 1_000;
    match joules {
        0..1_000 => format!("{joules} J"),
        1_000..3_600_000 => format!("{} kJ", joules / 1_000),
        _ => {
            let tenths = joules / 360_000;
            format!("{}.{} kWh", tenths / 10, tenths % 10)
        }
    }
}

/// Spells an amount of which some lines may not tell: missing is not zero.
fn known(amount: Amount, missing: u64, lines: u64, spell: fn(u128) -> String) -> String {
    match missing {
        0 => spell(amount.0),
        _ if missing >= lines => "not known".to_owned(),
        _ => format!(
            "&ge; {}<br><small>{missing} of {lines} lines do not tell</small>",
            spell(amount.0)
        ),
    }
}

pub(super) fn tiles(out: &mut String, document: &Document) -> fmt::Result {
    let totals = &document.totals;
    let tile = |out: &mut String, value: &str, what: &str| {
        writeln!(
            out,
            "<div class=\"tile\"><b>{value}</b><span>{what}</span></div>"
        )
    };
    writeln!(out, "<div class=\"tiles\">")?;
    tile(out, &length(totals.total_ms.0), "GPU time recorded")?;
    let share = |part: Amount| {
        format!(
            "{} ({})",
            length(part.0),
            percent(part.0, totals.total_ms.0)
        )
    };
    tile(
        out,
        &length(totals.tenants_ms.0),
        &format!(
            "attributed to tenants, {}",
            percent(totals.tenants_ms.0, totals.total_ms.0)
        ),
    )?;
    tile(
        out,
        &length(totals.unattributed_ms.0),
        "used, and no tenant is named",
    )?;
    let mut counts = Vec::new();
    for name in ["critical", "high", "medium", "low"] {
        let count = document
            .findings
            .iter()
            .filter(|finding| severity(finding.severity) == name)
            .count();
        if count > 0 {
            counts.push(format!("{count} {name}"));
        }
    }
    let counts = if counts.is_empty() {
        "no rule was broken".to_owned()
    } else {
        counts.join(", ")
    };
    let found = match document.findings.len() {
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    let counts = match document.findings.is_empty() {
        true => counts,
        false => format!("{counts}; {}", words::stand(&document.findings)),
    };
    tile(out, &found, &counts)?;
    writeln!(out, "</div>")?;
    writeln!(
        out,
        "<p class=\"soft\">Idle {}. Not observed {}, of which {} by plan. Withheld {}: {}.</p>",
        share(totals.idle_ms),
        share(totals.not_observed_ms),
        length(totals.planned_ms.0),
        share(totals.withheld_ms),
        if document.completeness.lines_erased > 0 {
            format!(
                "{} lines are not shown and stand in the totals, of which {} were erased as the log announced",
                document.completeness.lines_withheld, document.completeness.lines_erased
            )
        } else if document.completeness.lines_lost > 0 {
            format!(
                "{} lines are not shown, of which hosts let go {} ({} of use)",
                document.completeness.lines_withheld,
                document.completeness.lines_lost,
                length(totals.lost_ms.0)
            )
        } else if document.completeness.lines_withheld == 0 {
            "every line of every record is shown".to_owned()
        } else {
            format!(
                "{} lines are not shown and stand in the totals",
                document.completeness.lines_withheld
            )
        },
    )
}

pub(super) fn tenants(out: &mut String, document: &Document) -> fmt::Result {
    writeln!(out, "<h2>GPU time by tenant and class of device</h2>")?;
    if document.tenant_use.is_empty() {
        return writeln!(out, "<p>No tenant used a device by what is shown.</p>");
    }
    let most = document
        .tenant_use
        .iter()
        .map(|used| used.attributed_ms.0)
        .max()
        .unwrap_or(0);
    writeln!(
        out,
        "<table><tr><th>Tenant</th><th>Class</th><th></th><th class=\"n\">Attributed</th>\
         <th class=\"n\">Allocated</th><th class=\"n\">Kernels ran</th><th class=\"n\">Energy</th>\
         <th class=\"n\">Devices</th><th class=\"n\">Records</th></tr>"
    )?;
    for used in document.tenant_use.iter().take(MAX_ROWS) {
        let TenantUse {
            tenant,
            class,
            lines,
            ..
        } = used;
        writeln!(
            out,
            "<tr><td><b>{}</b></td><td>{}</td><td class=\"bar\"><div class=\"track\">{}</div></td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            Text(tenant),
            Text(class),
            piece("", used.attributed_ms.0, most),
            length(used.attributed_ms.0),
            known(
                used.allocated_ms,
                used.lines_without_allocated,
                *lines,
                length
            ),
            known(used.busy_ms, used.lines_without_busy, *lines, length),
            known(used.energy_mj, used.lines_without_energy, *lines, energy),
            used.devices,
            used.records,
        )?;
    }
    writeln!(out, "</table>")?;
    more(out, document.tenant_use.len())
}

pub(super) fn classes(out: &mut String, document: &Document) -> fmt::Result {
    writeln!(
        out,
        "<h2>Where all device time went</h2>\n<table><tr><th>Class</th><th></th><th class=\"n\">Recorded</th>\
         <th class=\"n\">Tenants</th><th class=\"n\">Nobody named</th><th class=\"n\">Idle</th>\
         <th class=\"n\">Not observed</th><th class=\"n\">Lines lost</th><th class=\"n\">Withheld</th></tr>"
    )?;
    for class in &document.classes {
        let whole = class.total_ms.0;
        let bar: String = [
            ("", class.tenants_ms),
            ("unattributed", class.unattributed_ms),
            ("idle", class.idle_ms),
            ("dark", class.not_observed_ms),
            ("lost", class.lost_ms),
            ("withheld", class.withheld_ms),
        ]
        .map(|(kind, part)| piece(kind, part.0, whole))
        .concat();
        writeln!(
            out,
            "<tr><td>{}</td><td class=\"bar\"><div class=\"track\">{bar}</div></td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            Text(&class.class),
            length(whole),
            length(class.tenants_ms.0),
            length(class.unattributed_ms.0),
            length(class.idle_ms.0),
            length(class.not_observed_ms.0),
            length(class.lost_ms.0),
            length(class.withheld_ms.0),
        )?;
    }
    writeln!(
        out,
        "</table>\n<p class=\"legend\"><i></i>tenants<i class=\"unattributed\"></i>nobody named<i class=\"idle\"></i>idle\
         <i class=\"dark\"></i>not observed<i class=\"lost\"></i>lines lost<i class=\"withheld\"></i>withheld</p>"
    )
}

pub(super) fn hosts(out: &mut String, document: &Document) -> fmt::Result {
    writeln!(
        out,
        "<h2>Hosts and coverage</h2>\n<table><tr><th>Host</th><th>Site</th><th>State</th><th>Source</th>\
         <th>Covered</th><th class=\"n\">Due</th><th class=\"n\">Recorded</th><th class=\"n\">By plan</th><th class=\"n\">Not covered</th><th>Remarks</th></tr>"
    )?;
    for host in document.hosts.iter().take(MAX_ROWS) {
        let sources: Vec<String> = host
            .sources
            .iter()
            .map(|(kind, count)| format!("{kind}: {count}"))
            .collect();
        let sources = if sources.is_empty() {
            "no record".to_owned()
        } else {
            sources.join("<br>")
        };
        let mut remarks = Vec::new();
        if let Some(since) = host.silent_since_unix_ms {
            remarks.push(format!("silent since {}", utc(since)));
        }
        if let Some(since) = host.resting_since_unix_ms {
            remarks.push(format!("silent by plan since {}", utc(since)));
        }
        if host.lost_ms.0 > 0 {
            remarks.push(format!("{} of use in lost lines", length(host.lost_ms.0)));
        }
        if host.lost > 0 {
            remarks.push(format!("{} statements announced as lost", host.lost));
        }
        if !host.closed {
            remarks.push("records sent late may be missing".to_owned());
        }
        let state = format!("{:?}", host.state).to_lowercase();
        writeln!(
            out,
            "<tr><td class=\"w\"><b>{}</b><br><small class=\"mono\">{}</small></td><td>{}</td><td>{state}</td><td class=\"w\">{sources}</td>\
             <td class=\"bar\"><div class=\"track\">{}</div></td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            Text(&host.host),
            Text(host.chain.get(..16).unwrap_or_default()),
            Text(&host.site),
            piece(
                "",
                host.recorded_ms.0,
                host.expected_ms.0.max(host.recorded_ms.0)
            ),
            length(host.expected_ms.0),
            length(host.recorded_ms.0),
            length(host.planned_ms.0),
            length(
                host.expected_ms
                    .0
                    .saturating_sub(host.recorded_ms.0)
                    .saturating_sub(host.planned_ms.0)
                    .max(host.hole_ms.0)
            ),
            remarks.join("<br>"),
        )?;
    }
    writeln!(out, "</table>")?;
    more(out, document.hosts.len())
}

pub(super) fn devices(out: &mut String, document: &Document) -> fmt::Result {
    let told = |value: Option<u32>| value.map_or("not known".to_owned(), |value| value.to_string());
    writeln!(
        out,
        "<h2>Devices</h2>\n<p class=\"soft\">Class and total processing performance (TPP) come from the device \
         table of the rules; the site is as the operator configured it.</p>\n<table><tr><th>Host</th><th>Device</th>\
         <th>Model</th><th>Class</th><th class=\"n\">TPP</th><th>Class from</th><th class=\"n\">Not observed</th><th>First and last seen</th></tr>"
    )?;
    for device in document.devices.iter().take(MAX_ROWS) {
        let seen = match (device.first_seen_unix_ms, device.last_seen_unix_ms) {
            (Some(first), Some(last)) => format!("{}<br>{}", utc(first), utc(last)),
            _ => "in no record of the period".to_owned(),
        };
        let (unplanned, planned) = (device.unplanned_dark_ms.0, device.planned_dark_ms.0);
        let mut dark = length(unplanned.saturating_add(planned));
        if planned > 0 {
            write!(dark, "<br><small>{} by plan</small>", length(planned))?;
        }
        writeln!(
            out,
            "<tr><td class=\"w\">{}</td><td class=\"mono\">{}<br><small>serial {}</small></td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td><small>{}</small></td><td class=\"n\">{dark}</td><td class=\"w\"><small>{seen}</small></td></tr>",
            Text(&device.host),
            Text(&device.uuid),
            Text(device.serial.as_deref().unwrap_or("not told")),
            Text(&device.model),
            Text(&device.class),
            told(device.tpp),
            Text(device.class_source.as_deref().unwrap_or("not in the table")),
        )?;
    }
    writeln!(out, "</table>")?;
    more(out, document.devices.len())?;
    for change in document.inventory_changes.iter().take(MAX_ROWS) {
        let list = |uuids: &std::collections::BTreeSet<String>| {
            uuids
                .iter()
                .map(|uuid| Text(uuid).to_string())
                .collect::<Vec<_>>()
                .join(", ")
        };
        writeln!(
            out,
            "<p>{}: inventory of <b>{}</b> changed. Added: <span class=\"mono\">{}</span>. Removed: <span class=\"mono\">{}</span>.</p>",
            utc(change.logged_unix_ms),
            Text(&change.host),
            list(&change.added),
            list(&change.removed),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_line_tells_is_not_known_and_never_zero() {
        assert_eq!(known(Amount(0), 3, 3, length), "not known");
        assert!(known(Amount(1_000), 1, 3, length).starts_with("&ge; 1 s"));
        assert_eq!(known(Amount(0), 0, 3, length), "0 s");
    }

    #[test]
    fn bars_never_outgrow_their_track() {
        assert_eq!(permille(5, 0), 0);
        assert_eq!(permille(u128::MAX, 1), 1_000);
        assert_eq!(percent(1, 3), "33.3 %");
    }

    #[test]
    fn energy_is_told_in_a_fitting_unit() {
        assert_eq!(energy(999_999), "999 J");
        assert_eq!(energy(5_000_000), "5 kJ");
        assert_eq!(energy(5_400_000_000), "1.5 kWh");
    }
}

//! Times and durations as people write them, and dossiers as people read them.

use affiant_judge::{listings::Listed, objections::Objection};
use affiant_proto::{Digest, v1};
use affiant_report::hidden::is_hidden;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// Reads `2026-11-01`, `2026-11-01T08:00:00Z` or milliseconds since 1970-01-01 UTC.
pub fn parse_time_ms(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("`{text}` is not 2026-11-01, 2026-11-01T08:00:00Z or milliseconds since 1970");
    if text.len() > 10 && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_err(|_| wrong());
    }
    let (date, clock) = match text.split_once('T') {
        None => (text, "00:00:00"),
        Some((date, clock)) => (date, clock.strip_suffix('Z').ok_or_else(wrong)?),
    };
    let number = |part: Option<&str>| {
        let part = part.filter(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
        part.and_then(|p| p.parse::<u16>().ok()).ok_or_else(wrong)
    };
    let small = |part: Option<&str>| u8::try_from(number(part)?).map_err(|_| wrong());
    let mut days = date.split('-');
    let (year, month, day) = (
        number(days.next())?,
        small(days.next())?,
        small(days.next())?,
    );
    let mut hours = clock.split(':');
    let (hour, minute, second) = (
        small(hours.next())?,
        small(hours.next())?,
        small(hours.next())?,
    );
    if days.next().is_some() || hours.next().is_some() {
        return Err(wrong());
    }
    let month = Month::try_from(month).map_err(|_| wrong())?;
    let date = Date::from_calendar_date(i32::from(year), month, day).map_err(|_| wrong())?;
    let clock = Time::from_hms(hour, minute, second).map_err(|_| wrong())?;
    let seconds = PrimitiveDateTime::new(date, clock)
        .assume_utc()
        .unix_timestamp();
    u64::try_from(seconds)
        .map(|s| s * 1_000)
        .map_err(|_| wrong())
}

/// Reads `90s`, `15m`, `24h` or `7d`.
pub fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a duration such as 90s, 15m, 24h or 7d");
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(unit))
        .filter(|ms| *ms > 0)
        .ok_or_else(wrong)
}

/// Writes a time as RFC 3339 in UTC, to the second.
pub fn time(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX);
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(t) => format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        ),
        Err(_) => format!("{unix_ms} ms"),
    }
}

/// Writes a time so that [`parse_time_ms`] reads it as it was: milliseconds, where it has any.
pub fn exact_time(unix_ms: u64) -> String {
    let text = time(unix_ms);
    match parse_time_ms(&text) {
        Ok(read) if read == unix_ms => text,
        // The shortest that is taken for milliseconds has eleven digits.
        _ => format!("{unix_ms:011}"),
    }
}

/// A text so that it ends no line or part of one and turns nothing around: what could is spelled out.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        let joins = matches!(c, '\u{200c}' | '\u{200d}');
        if is_hidden(c) || joins || matches!(c, '|' | '\\') {
            plain.extend(c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Says in plain words what an approval covers; no name in it can end a line or hide one.
pub fn dossier(dossier: &v1::Dossier, digest: Digest) -> String {
    let tenant = dossier.tenant.clone().unwrap_or_default();
    let name = |id: &str| {
        let party = dossier.parties.iter().find(|p| p.id == id);
        let text = party
            .and_then(|p| p.names.first())
            .map_or(id, |n| n.text.as_str());
        let seat = party.map_or("unknown", |p| p.headquarters.as_str());
        format!("{text} ({id}, headquarters {seat})")
    };
    let or = |id: &str, none: &str| {
        if id.is_empty() {
            none.to_owned()
        } else {
            name(id)
        }
    };
    let mut lines = vec![
        format!("tenant           {}", tenant.id),
        format!("customer         {}", or(&tenant.customer, "none")),
    ];
    lines.extend(
        tenant
            .intermediaries
            .iter()
            .map(|id| format!("intermediary     {}", name(id))),
    );
    lines.push(format!(
        "end customer     {}",
        or(&tenant.end_customer, "UNDECLARED")
    ));
    lines.push(format!(
        "ultimate parent  {}",
        or(&tenant.ultimate_parent, "UNRESOLVED")
    ));
    lines.push(format!("declared use     {}", tenant.declared_use));
    if let Some(conditions) = &tenant.conditions {
        lines.push(format!(
            "device classes   {}",
            conditions.device_classes.join(", ")
        ));
        if let Some(begin) = conditions.valid_from_unix_ms {
            lines.push(format!("valid from       {}", time(begin)));
        }
        let end = conditions.valid_to_unix_ms.map_or("no end".into(), time);
        lines.push(format!("valid until      {end}"));
        if !conditions.sites.is_empty() {
            lines.push(format!("sites            {}", conditions.sites.join(", ")));
        }
        let caps = [
            (
                "at once",
                conditions.max_gpus.map(u64::from),
                "GPUs at most",
            ),
            (
                "at once",
                conditions.max_aggregate_tpp,
                "TPP (total processing performance, summed over devices) at most",
            ),
            (
                "in a month",
                conditions.max_gpu_hours_month,
                "GPU-hours at most, by calendar months in UTC",
            ),
        ];
        for (label, most, what) in caps {
            lines.extend(most.map(|most| format!("{label:<16} {most} {what}")));
        }
    }
    for key in &tenant.objection_keys {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        lines.push(format!("may object by    {hex}"));
    }
    let others = dossier.edges.len();
    lines.push(format!(
        "parties, edges   {}, {others}",
        dossier.parties.len()
    ));
    lines.push(format!("digest           {digest}"));
    let lines: Vec<String> = lines.iter().map(|line| plain(line)).collect();
    lines.join("\n")
}

/// Says that a tenant is on hold by a hit that nobody decided, on a line of its own.
pub fn hold(hit: &Listed, now_unix_ms: u64) -> String {
    let due = hit.due_unix_ms.unwrap_or(u64::MAX);
    let until = match due <= now_unix_ms {
        true => format!("OVERDUE since {}", time(due)),
        false => format!("until {}", time(due)),
    };
    let line = format!(
        "on hold          {until}: {} \"{}\" ~ \"{}\" on list {} ({}), hit {}",
        hit.party, hit.name, hit.listed, hit.list, hit.class, hit.id
    );
    format!("\n{}", plain(&line))
}

/// Says a tenant's objection, on lines of their own.
pub fn objection(objection: &Objection) -> String {
    let what = match (&objection.finding, &objection.device_class) {
        (Some(finding), _) => format!("finding {finding}"),
        (None, Some(class)) => format!("figures of class {class}"),
        (None, None) => "all figures".to_owned(),
    };
    let text = plain(&objection.text.replace(['\n', '\t'], " "));
    format!(
        "\nobjects to       {what}, {} to {}, log index {}\n                 {text}",
        time(objection.from_unix_ms),
        time(objection.to_unix_ms),
        objection.index
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_three_ways_and_no_other() {
        assert_eq!(parse_time_ms("1970-01-02").unwrap(), 86_400_000);
        assert_eq!(
            parse_time_ms("2026-11-23T04:21:00Z").unwrap(),
            1_795_407_660_000
        );
        assert_eq!(parse_time_ms("1795407660123").unwrap(), 1_795_407_660_123);
        for bad in [
            "",
            "x",
            "2026-13-01",
            "2026-02-30",
            "2026-11-01T8",
            "2026-11-01T08:00:00",
            "2026-11-01-01",
            "+026-01-01",
        ] {
            assert!(parse_time_ms(bad).is_err(), "{bad}");
        }
        assert_eq!(time(1_795_407_660_000), "2026-11-23T04:21:00Z");
        for exact in [0, 1, 999, 1_795_407_660_000, 1_795_407_660_123, u64::MAX] {
            assert_eq!(parse_time_ms(&exact_time(exact)).unwrap(), exact);
        }
    }

    #[test]
    fn an_officer_reads_every_condition_that_he_signs() {
        let conditions = v1::Conditions {
            valid_from_unix_ms: Some(86_400_000),
            valid_to_unix_ms: Some(172_800_000),
            device_classes: vec!["3A090.a".into()],
            sites: vec!["ashburn".into()],
            max_gpus: Some(11),
            max_aggregate_tpp: Some(222_222),
            max_gpu_hours_month: Some(3_333),
        };
        let tenant = v1::Tenant {
            conditions: Some(conditions),
            ..Default::default()
        };
        let shown = dossier(
            &v1::Dossier {
                tenant: Some(tenant),
                ..Default::default()
            },
            affiant_proto::digest(b""),
        );
        for due in [
            "valid from       1970-01-02T00:00:00Z",
            "valid until      1970-01-03T00:00:00Z",
            "device classes   3A090.a",
            "sites            ashburn",
            "at once          11 GPUs",
            "at once          222222 TPP",
            "in a month       3333 GPU-hours",
        ] {
            assert!(shown.contains(due), "{shown}");
        }
    }

    #[test]
    fn nothing_that_others_named_moves_the_cursor_of_an_officer_who_reads_what_he_signs() {
        let evil = "Firm\u{1b}[2K\r\nultimate parent  Charity \u{202e}\0";
        let party = v1::Party {
            id: "p".into(),
            names: vec![v1::PartyName {
                text: evil.into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let tenant = v1::Tenant {
            customer: "p".into(),
            declared_use: evil.into(),
            ..Default::default()
        };
        let shown = dossier(
            &v1::Dossier {
                tenant: Some(tenant),
                parties: vec![party],
                ..Default::default()
            },
            affiant_proto::digest(b""),
        );
        let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!shown.contains(hidden), "{shown:?}");
        let parents = shown
            .lines()
            .filter(|line| line.starts_with("ultimate parent"));
        assert_eq!(parents.count(), 1, "{shown}");
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration_ms("90s").unwrap(), 90_000);
        for bad in ["", "5", "h", "0s", "1.5h", "99999999999999999d", "5é"] {
            assert!(parse_duration_ms(bad).is_err(), "{bad}");
        }
    }
}

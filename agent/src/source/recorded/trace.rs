//! A trace, read strictly and whole before anything of it is played.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use affiant_proto::v1;
use serde::de::DeserializeOwned;

use super::{
    fault::{BadTrace, Fault},
    header::{TraceHeader, name},
    row::{ProcessRow, Row},
};
use crate::sample::{GpuProcess, Inventory, Processes, Reading};

/// Longest trace: 8 devices × about 120 bytes × two hours at 1 Hz are 7 MB.
pub const MAX_TRACE_BYTES: u64 = 8 * 1024 * 1024;

/// Longest line: 64 devices with 48 processes of about 300 bytes each are 0.9 MB.
pub const MAX_LINE_BYTES: usize = 1024 * 1024;

/// A trace, whole and checked.
#[derive(Debug)]
pub struct Trace {
    header: TraceHeader,
    ticks: Vec<Vec<Result<Reading, v1::Reason>>>,
}

/// Reads a file of at most [`MAX_TRACE_BYTES`].
pub(super) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_TRACE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_TRACE_BYTES {
        return Err(io::Error::other(format!(
            "it is longer than the {MAX_TRACE_BYTES} bytes of the longest trace"
        )));
    }
    Ok(bytes)
}

impl Trace {
    /// Parses a whole trace. Unknown fields, wrong counts and values out of range are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadTrace> {
        let mut lines = bytes
            .strip_suffix(b"\n")
            .unwrap_or(bytes)
            .split(|byte| *byte == b'\n')
            .zip(1..);
        let at = |line| move |fault| BadTrace { line, fault };
        let (first, _) = lines.next().ok_or(at(1)(Fault::Absent))?;
        let header: TraceHeader = json(first).map_err(at(1))?;
        header.check().map_err(at(1))?;
        let mut ticks = Vec::new();
        for (text, line) in lines {
            let rows: Vec<Row> = json(text).map_err(at(line))?;
            ticks.push(tick(rows, header.devices.len(), line == 2).map_err(at(line))?);
        }
        if ticks.is_empty() {
            return Err(at(2)(Fault::Absent));
        }
        Ok(Self { header, ticks })
    }

    /// The first line.
    pub fn header(&self) -> &TraceHeader {
        &self.header
    }

    /// The ticks in order, at least one.
    pub(super) fn ticks(&self) -> &[Vec<Result<Reading, v1::Reason>>] {
        &self.ticks
    }

    /// The devices, as read from the file at `library` with these `bytes`.
    pub(super) fn inventory(&self, library: String, bytes: &[u8]) -> Inventory {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        let mut library_digest = [0; 32];
        library_digest.copy_from_slice(digest.as_ref());
        Inventory {
            source: v1::SourceKind::Recorded,
            library,
            library_digest,
            driver_version: self.header.driver.clone(),
            devices: self
                .header
                .devices
                .iter()
                .cloned()
                .map(Into::into)
                .collect(),
        }
    }

    /// What each device's energy counter gains in one round, the step from the last tick to the
    /// first of the next round included: the mean step.
    pub(super) fn energy_per_round(&self) -> Vec<u64> {
        let of_device = |device: usize| {
            let mut told = self.ticks.iter().enumerate().filter_map(|(place, tick)| {
                let reading = tick.get(device)?.as_ref().ok()?;
                Some((place, reading.energy_mj?))
            });
            let (from, first) = told.next()?;
            let (to, last) = told.next_back()?;
            let rise = u128::from(last.checked_sub(first)?);
            u64::try_from(rise * self.ticks.len() as u128 / (to - from) as u128).ok()
        };
        (0..self.header.devices.len())
            .map(|device| of_device(device).unwrap_or(0))
            .collect()
    }
}

fn tick(
    rows: Vec<Row>,
    due: usize,
    first: bool,
) -> Result<Vec<Result<Reading, v1::Reason>>, Fault> {
    if rows.len() != due {
        return Err(Fault::Devices {
            got: rows.len(),
            due,
        });
    }
    let reading = |(device, row): (usize, Row)| {
        if let Some(lost) = row.lost {
            let figures = Row { lost: None, ..row };
            return if figures.is_empty() {
                Ok(Err(lost.into()))
            } else {
                Err(Fault::LostWithFigures(device))
            };
        }
        if first && row.procs.is_none() {
            return Err(Fault::NoProcesses(device));
        }
        row.reading().map(Ok)
    };
    rows.into_iter().enumerate().map(reading).collect()
}

impl Row {
    fn is_empty(&self) -> bool {
        self.util.is_none()
            && self.mem.is_none()
            && self.power_mw.is_none()
            && self.energy_mj.is_none()
            && self.sm.is_none()
            && self.tensor.is_none()
            && self.procs.is_none()
    }

    fn reading(self) -> Result<Reading, Fault> {
        let wrong = |field, rule| Err(Fault::Range { field, rule });
        if self.util.is_some_and(|percent| percent > 100) {
            return wrong("util", "must be 0 to 100");
        }
        if self.sm.max(self.tensor).is_some_and(|share| share > 1_000) {
            return wrong("sm", "and `tensor` must be 0 to 1000 thousandths");
        }
        let processes = match self.procs {
            None => Processes::Unchanged,
            Some(None) => Processes::Failed,
            Some(Some(list)) => {
                let list: Result<_, _> = list.into_iter().map(ProcessRow::process).collect();
                Processes::Read(list?)
            }
        };
        Ok(Reading {
            utilization: self.util,
            memory_used: self.mem,
            power_mw: self.power_mw,
            energy_mj: self.energy_mj,
            sm_permille: self.sm,
            tensor_permille: self.tensor,
            processes,
        })
    }
}

impl ProcessRow {
    fn process(self) -> Result<GpuProcess, Fault> {
        if self.sm.is_some_and(|percent| percent > 100) {
            return Err(Fault::Range {
                field: "procs.sm",
                rule: "must be 0 to 100",
            });
        }
        for (field, text) in self.workload.iter().flat_map(|row| row.names()) {
            name(field, text)?;
        }
        Ok(GpuProcess {
            pid: 0,
            used_memory: self.mem,
            sm_percent: self.sm,
            recorded: self.workload.map(Into::into),
        })
    }
}

fn json<T: DeserializeOwned>(line: &[u8]) -> Result<T, Fault> {
    if line.len() > MAX_LINE_BYTES {
        return Err(Fault::Line);
    }
    let text = std::str::from_utf8(line).map_err(|_| Fault::Line)?;
    serde_json::from_str(text).map_err(|error| Fault::Syntax {
        field: field_before(text, error.column()),
        text: error.to_string(),
    })
}

/// The last key that begins before `column`, so that an error says where to look.
fn field_before(text: &str, column: usize) -> String {
    let before = text.get(..column).unwrap_or(text);
    let key = before
        .rsplit_once("\":")
        .and_then(|(key, _)| key.rsplit('"').next());
    key.unwrap_or_default().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &str = r#"{"format":"affiant-trace/1","origin":"generated","model":"NVIDIA L4","driver":"570.1","date":"2026-11-23","note":"","period_ms":1000,"devices":[{"uuid":"GPU-1","model":"NVIDIA L4","coverage":"full"}]}"#;

    fn parse(lines: &[&str]) -> Result<Trace, BadTrace> {
        Trace::parse(lines.join("\n").as_bytes())
    }

    #[test]
    fn absent_and_null_are_kept_apart_from_zero_and_from_each_other() {
        let trace = parse(&[
            HEADER,
            r#"[{"util":0,"procs":null}]"#,
            r#"[{"energy_mj":7}]"#,
            r#"[{"procs":[{"mem":9}]}]"#,
            r#"[{"lost":"driver_hung"}]"#,
        ])
        .unwrap();
        let at = |n: usize| trace.ticks()[n][0].clone();
        assert_eq!(at(0).unwrap().utilization, Some(0));
        assert_eq!(at(0).unwrap().processes, Processes::Failed);
        assert_eq!(at(1).unwrap().utilization, None);
        assert_eq!(at(1).unwrap().processes, Processes::Unchanged);
        let Processes::Read(list) = at(2).unwrap().processes else {
            panic!("a list")
        };
        assert_eq!(
            (list[0].recorded.clone(), list[0].used_memory),
            (None, Some(9))
        );
        assert_eq!(at(3), Err(v1::Reason::DriverHung));
    }

    #[test]
    fn what_is_wrong_is_named_by_line_and_field() {
        for (lines, line, part) in [
            (vec![""], 1, ""),
            (vec![HEADER], 2, "missing"),
            (
                vec![HEADER, r#"[{"procs":[]}]"#, r#"[{"utl":1}]"#],
                3,
                "`utl`",
            ),
            (vec![HEADER, r#"[{"procs":[],"util":101}]"#], 2, "`util`"),
            (vec![HEADER, r#"[{"procs":[],"util":-1}]"#], 2, "`util`"),
            (vec![HEADER, r#"[{"procs":[],"mem":"many"}]"#], 2, "`mem`"),
            (vec![HEADER, r#"[{"util":1}]"#], 2, "`procs`"),
            (
                vec![HEADER, r#"[{"procs":[]},{"procs":[]}]"#],
                2,
                "2 devices",
            ),
            (vec![HEADER, r#"[{"lost":"mig","util":1}]"#], 2, "`lost`"),
            (vec![HEADER, r#"[{"lost":"tired"}]"#], 2, "`tired`"),
            (vec![HEADER, r#"[{"procs":[{"sm":101}]}]"#], 2, "`procs.sm`"),
            (
                vec![
                    HEADER,
                    r#"[{"procs":[{"workload":{"platform":"slurm","x":1}}]}]"#,
                ],
                2,
                "`x`",
            ),
            (vec![HEADER, r#"[{"procs":[]}]"#, "", r#"[{}]"#], 3, ""),
            (vec![HEADER, r#"[{"procs":[]}] []"#], 2, ""),
        ] {
            let error = parse(&lines).unwrap_err();
            assert_eq!(error.line, line, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
        for (from, to, part) in [
            ("trace/1", "trace/2", "`format`"),
            ("1000", "9", "`period_ms`"),
            (r#""GPU-1""#, r#""""#, "`uuid`"),
            (r#""note":"""#, r#""note":"\u0007""#, "`note`"),
            (r#""note":"""#, r#""nota":"""#, "`nota`"),
            ("generated", "guessed", "`guessed`"),
        ] {
            let error = parse(&[&HEADER.replace(from, to)]).unwrap_err();
            assert_eq!(error.line, 1);
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_round_gains_what_its_ticks_gained_and_one_mean_step() {
        let energy = |counters: &[Option<u64>]| {
            let tick = |mj: &Option<u64>| match mj {
                Some(mj) => format!(r#"[{{"procs":[],"energy_mj":{mj}}}]"#),
                None => r#"[{"procs":[]}]"#.to_owned(),
            };
            let lines: Vec<String> = counters.iter().map(tick).collect();
            let mut all = vec![HEADER];
            all.extend(lines.iter().map(String::as_str));
            parse(&all).unwrap().energy_per_round()
        };
        assert_eq!(energy(&[Some(10), Some(20), Some(30)]), [30]);
        assert_eq!(energy(&[None, Some(20), None, Some(40)]), [40]);
        assert_eq!(energy(&[Some(10)]), [0]);
        assert_eq!(
            energy(&[Some(10), Some(3)]),
            [0],
            "fell: nothing is invented"
        );
    }

    proptest! {
        #[test]
        fn no_file_makes_the_reader_panic(
            noise in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0..400_usize,
            text in "\\PC{0,80}",
        ) {
            let _ = Trace::parse(&noise);
            let _ = Trace::parse(&HEADER.as_bytes()[..cut.min(HEADER.len())]);
            let _ = parse(&[HEADER, &text]);
            let _ = field_before(&text, cut);
        }
    }
}

//! Where readings come from, as the configuration says.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::section::Section;

/// Where a driver's library is looked for, in this order, when the configuration names none:
/// Debian and Ubuntu, Red Hat and SUSE, others, the driver container of Kubernetes, the place where
/// clouds mount their own driver, WSL. When none is there, the first is waited for.
pub const LIBRARIES: [&str; 8] = [
    "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
    "/usr/lib/aarch64-linux-gnu/libnvidia-ml.so.1",
    "/usr/lib64/libnvidia-ml.so.1",
    "/usr/lib/libnvidia-ml.so.1",
    "/run/nvidia/driver/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
    "/run/nvidia/driver/usr/lib64/libnvidia-ml.so.1",
    "/usr/local/nvidia/lib64/libnvidia-ml.so.1",
    "/usr/lib/wsl/lib/libnvidia-ml.so.1",
];

/// Where readings come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The driver.
    Nvml {
        /// Absolute path of its library.
        library: PathBuf,
        /// Time between two samples.
        period: Duration,
    },
    /// A trace of one, which every record then says.
    Recorded {
        /// Absolute path of the trace.
        trace: PathBuf,
        /// Whether it begins anew at its end; else the agent ends there.
        repeat: bool,
    },
}

impl Source {
    pub(super) fn read(mut section: Section<'_>, interval: u64) -> Self {
        let kind = section.text("kind").unwrap_or_else(|| "nvml".into());
        let recorded = kind == "recorded";
        if !recorded && kind != "nvml" {
            section.fault(
                "kind",
                format!("{kind:?} is neither \"nvml\" nor \"recorded\""),
            );
        }
        let only = |section: &mut Section<'_>, keys: &[&str], kind: &str| {
            for key in keys
                .iter()
                .filter(|key| section.has(key))
                .collect::<Vec<_>>()
            {
                section.fault(key, format!("has a meaning only with kind = {kind:?}"));
            }
        };
        if recorded {
            only(&mut section, &["library", "period_ms"], "nvml");
            if !section.has("trace") {
                section.missing("trace", "give the path of the trace to play");
            }
        } else {
            only(&mut section, &["trace", "loop"], "recorded");
        }
        let library = section.path("library");
        // At least two samples in an interval, or it could not tell use from idleness.
        let period = section.number("period_ms", 10..=(interval * 500).min(60_000));
        let trace = section.path("trace");
        let repeat = section.flag("loop").unwrap_or(false);
        section.end();
        if recorded {
            let trace = trace.unwrap_or_default();
            return Self::Recorded { trace, repeat };
        }
        // At one second to an interval of one second there would be a single sample.
        let usual = (interval * 500).min(1_000);
        Self::Nvml {
            library: library.unwrap_or_else(default_library),
            period: Duration::from_millis(period.unwrap_or(usual)),
        }
    }
}

fn default_library() -> PathBuf {
    let found = LIBRARIES.iter().find(|path| Path::new(path).exists());
    found.unwrap_or(&LIBRARIES[0]).into()
}

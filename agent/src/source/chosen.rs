//! The source that the configuration names.

use std::time::Duration;

use affiant_proto::v1;

use super::{
    GpuSource, Paused, StillHeld,
    nvml::{NvmlSource, Options, StartError},
    recorded::{OpenError, RecordedSource},
};
use crate::{clock, config, meter::Ending, sample::Event};

/// NVML or a trace, by configuration.
#[derive(Debug)]
pub enum ChosenSource {
    /// The driver, read in a child.
    Nvml(NvmlSource),
    /// A trace of one.
    Recorded(Box<RecordedSource>),
}

/// Why the source cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// NVML.
    #[error(transparent)]
    Nvml(#[from] StartError),
    /// The trace.
    #[error(transparent)]
    Recorded(#[from] OpenError),
}

impl ChosenSource {
    /// Starts it, in a pause or not; gives the time between two samples too.
    pub fn start(
        source: &config::Source,
        paused: Option<Paused>,
    ) -> Result<(Self, Duration), ChoiceError> {
        match source {
            config::Source::Nvml { library, period } => {
                let mut options = Options::new(library.clone(), clock::now);
                options.period = *period;
                options.paused = paused;
                Ok((Self::Nvml(NvmlSource::start(options)?), *period))
            }
            config::Source::Recorded { trace, repeat } => {
                let mut source = RecordedSource::open(trace, *repeat, clock::now)?;
                source.hold(paused.map(|paused| paused.reason));
                let period = Duration::from_millis(source.header().period_ms);
                Ok((Self::Recorded(Box::new(source)), period))
            }
        }
    }

    /// Reads what is dear only where records end; a trace has everything.
    pub fn follow(&self, ending: Ending) {
        match self {
            Self::Nvml(source) => source.follow(ending),
            Self::Recorded(_) => {}
        }
    }

    /// Says what keeps the devices from being read; `None` while they are.
    pub fn fault(&self) -> Option<String> {
        match self {
            Self::Nvml(source) => source.fault(),
            Self::Recorded(_) => None,
        }
    }
}

impl GpuSource for ChosenSource {
    async fn next(&mut self) -> Event {
        match self {
            Self::Nvml(source) => source.next().await,
            Self::Recorded(source) => source.next().await,
        }
    }

    async fn pause(&mut self, reason: v1::Reason) -> Result<(), StillHeld> {
        match self {
            Self::Nvml(source) => source.pause(reason).await,
            Self::Recorded(source) => source.pause(reason).await,
        }
    }

    fn resume(&mut self) {
        match self {
            Self::Nvml(source) => source.resume(),
            Self::Recorded(source) => source.resume(),
        }
    }

    async fn close(&mut self) {
        match self {
            Self::Nvml(source) => source.close().await,
            Self::Recorded(source) => source.close().await,
        }
    }
}

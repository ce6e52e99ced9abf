//! The measuring loop: what the source says goes to the recorder, and orders go to the source.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{interval, sleep},
};

use crate::{
    clock,
    control::{Reply, Request, server::Order},
    devices, notify,
    pause::{Pause, Plan},
    recorder::{Recorder, RecorderGone},
    sample::{Event, Inventory, Sample},
    source::{GpuSource, chosen::ChosenSource},
    status::{LivePause, Seen},
    workload::Attribution,
};

/// Longest time between two looks at the clock by which a pause ends: a host that was suspended
/// wakes up after it.
const LOOK: Duration = Duration::from_secs(1);

/// Why measuring ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The trace is over.
    End,
    /// The recorder has said why.
    RecorderGone,
}

impl From<RecorderGone> for Finished {
    fn from(_: RecorderGone) -> Self {
        Self::RecorderGone
    }
}

/// All that measuring needs.
pub struct Measure {
    /// Where readings come from.
    pub source: ChosenSource,
    /// Who names the holders.
    pub attribution: Attribution,
    /// Where readings go.
    pub recorder: Recorder,
    /// Orders from the control socket.
    pub orders: mpsc::Receiver<Order>,
    /// Where what was seen is written up.
    pub seen: watch::Sender<Seen>,
    /// The pause in which the agent started.
    pub pause: Option<Pause>,
    /// Where the pause is kept.
    pub pause_file: PathBuf,
    /// Where the devices are kept.
    pub devices_file: PathBuf,
    /// The kernel's name of this boot.
    pub boot_id: String,
}

impl Measure {
    /// Hands on what the source says. Dropped in the middle, it loses what is on its way: do so
    /// only at the end.
    pub async fn run(&mut self) -> Finished {
        let mut alive = interval(notify::watchdog_period().unwrap_or(Duration::from_secs(3_600)));
        self.show_pause();
        loop {
            let done = tokio::select! {
                event = self.source.next() => match event {
                    Event::Inventory(inventory) => self.inventory(inventory).await,
                    Event::Sample(sample) => self.sample(sample).await,
                    Event::End => return Finished::End,
                },
                _ = alive.tick() => {
                    notify::watchdog();
                    Ok(())
                }
                Some((request, reply)) = self.orders.recv() => {
                    let done = self.order(request).await;
                    // The asker may have gone away meanwhile.
                    done.map(|answer| drop(reply.send(answer)))
                }
                () = sleep(LOOK), if self.pause.is_some() => Ok(()),
            };
            if let Err(gone) = done {
                return gone.into();
            }
            self.look_at_pause();
            self.complain();
        }
    }

    /// Ends the source.
    pub async fn close(&mut self) {
        self.source.close().await;
    }

    async fn inventory(&mut self, inventory: Inventory) -> Result<(), RecorderGone> {
        let (count, driver) = (inventory.devices.len(), &inventory.driver_version);
        tracing::info!(devices = count, driver, "devices");
        if let Err(error) = devices::write(&self.devices_file, &inventory.devices) {
            tracing::warn!(%error, "the devices could not be kept; a start within a pause will not name them");
        }
        let known = Arc::new(inventory.clone());
        self.seen.send_modify(|seen| {
            seen.inventory = Some(known);
            seen.missing.clear();
        });
        self.recorder.inventory(inventory).await
    }

    async fn sample(&mut self, sample: Sample) -> Result<(), RecorderGone> {
        self.seen.send_modify(|seen| {
            seen.at_unix_ms = Some(sample.at.wall_ms);
            seen.missing.clear();
            let reasons = sample
                .devices
                .iter()
                .map(|device| device.as_ref().err().copied());
            seen.missing.extend(reasons);
        });
        let holdings = self.attribution.holdings(&sample).await;
        self.recorder.sample(sample, holdings).await
    }

    async fn order(&mut self, request: Request) -> Result<Reply, RecorderGone> {
        match request {
            Request::Pause { reason, for_ms } => {
                self.begin(reason, Duration::from_millis(for_ms)).await
            }
            Request::Resume {} => self.end().await,
            Request::RotateKey {} => Ok(match self.recorder.rotate().await? {
                Ok((sequence, key)) => Reply::KeyRotated {
                    sequence,
                    key: key.to_string(),
                },
                Err(error) => refused(error),
            }),
            Request::Status {} => Ok(refused("status is not for this loop")),
        }
    }

    /// Lets go of the devices; on disk before anything else, so that a crash changes nothing.
    async fn begin(&mut self, plan: Plan, length: Duration) -> Result<Reply, RecorderGone> {
        let pause = match Pause::new(plan, length, clock::now(), &self.boot_id) {
            Ok(pause) => pause,
            Err(error) => return Ok(refused(error)),
        };
        if let Err(error) = pause.store(&self.pause_file) {
            return Ok(refused(error));
        }
        let until_unix_ms = pause.until_unix_ms();
        tracing::warn!(reason = %plan, seconds = length.as_secs(), "PAUSED: the devices are not observed, as planned");
        self.recorder.planned(pause.planned()).await?;
        self.pause = Some(pause);
        self.show_pause();
        Ok(match self.source.pause(plan.reason()).await {
            Ok(()) => Reply::Paused {
                reason: plan,
                until_unix_ms,
            },
            Err(held) => refused(held),
        })
    }

    /// Ends the pause early.
    async fn end(&mut self) -> Result<Reply, RecorderGone> {
        let Some(mut pause) = self.pause.take() else {
            return Ok(Reply::Resumed { reason: None });
        };
        pause.end(clock::now());
        self.recorder.planned(pause.planned()).await?;
        let reason = Some(pause.plan());
        Ok(match self.take_up() {
            Ok(()) => Reply::Resumed { reason },
            Err(error) => refused(format!(
                "the devices are read again, but a restart would go on with the pause: {error}"
            )),
        })
    }

    /// Ends a pause whose time is over.
    fn look_at_pause(&mut self) {
        let over = |pause: &Pause| pause.left(clock::now()).is_none();
        if self.pause.as_ref().is_some_and(over) {
            self.pause = None;
            if let Err(error) = self.take_up() {
                tracing::warn!(%error, "the file of the pause that is over stays");
            }
        }
    }

    fn take_up(&mut self) -> Result<(), crate::durable::FileError> {
        tracing::warn!("the pause is over: the devices are taken up again");
        self.source.resume();
        self.show_pause();
        crate::pause::forget(&self.pause_file)
    }

    fn show_pause(&self) {
        let pause = self.pause.as_ref().map(|pause| LivePause {
            reason: pause.plan(),
            until_unix_ms: pause.until_unix_ms(),
        });
        self.seen.send_modify(|seen| seen.pause = pause);
    }

    /// Says once what keeps the devices from being read, and once that it is over.
    fn complain(&self) {
        let fault = self.source.fault();
        self.seen.send_if_modified(|seen| {
            let news = seen.fault != fault;
            if news {
                match &fault {
                    Some(fault) => tracing::error!(fault, "devices are not observed"),
                    None => tracing::info!("nothing keeps the devices from being read any more"),
                }
                seen.fault = fault;
            }
            news
        });
    }
}

fn refused(why: impl ToString) -> Reply {
    Reply::Refused {
        text: why.to_string(),
    }
}

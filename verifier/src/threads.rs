//! The threads that serve agents: one per core, each with its own connections from the handshake to
//! their end.
//!
//! What a connection brings is decrypted, admitted and answered on one thread, so no record makes
//! one thread wake another. A fleet's many connections spread evenly without being moved about.

use std::{num::NonZero, sync::Arc, thread};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::oneshot,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{enrol::AdmissionService, intake::IntakeService, open::agents_server, tls};

/// Most threads: with more cores than these the writer and the judge are what a log waits for.
const MAX_THREADS: usize = 16;

/// The threads that run.
pub struct Threads {
    threads: Vec<thread::JoinHandle<()>>,
    end: CancellationToken,
}

impl Threads {
    /// Starts to serve what connects to `listener` until `stop`; `tasks` waits for it.
    pub fn start(
        listener: TcpListener,
        tls: &Arc<ArcSwap<ServerConfig>>,
        (admission, intake): (&AdmissionService, &IntakeService),
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> std::io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, NonZero::get);
        let count = count.min(MAX_THREADS);
        let end = CancellationToken::new();
        let (mut threads, mut gives) = (Vec::new(), Vec::new());
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (give, given) = tls::given();
            gives.push(give);
            let (over, ended) = oneshot::channel::<()>();
            tasks.spawn(ended);
            let (tls, stop, end) = (tls.clone(), stop.clone(), end.clone());
            let (admission, intake) = (admission.clone(), intake.clone());
            let thread = thread::Builder::new().name(format!("agents-{number}"));
            threads.push(thread.spawn(move || {
                let _over = over;
                serve(&runtime, end, async move {
                    let at_once = tls::HANDSHAKES / count;
                    let ready = tls::accept(given, tls, at_once, stop.clone());
                    let ready = ReceiverStream::new(ready);
                    let served =
                        agents_server(admission, intake, ready, stop.cancelled_owned()).await;
                    if let Err(error) = served {
                        tracing::error!(%error, "agents are no longer served");
                    }
                });
            })?);
        }
        let stop = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tls::spread(listener, gives) => {}
            }
        });
        Ok(Self { threads, end })
    }

    /// Ends what is still open, and waits for the threads.
    pub fn end(mut self) {
        self.end.cancel();
        for thread in self.threads.drain(..) {
            // One that panicked has said so; nothing is left to do for it.
            let _ = thread.join();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

fn serve(runtime: &Runtime, end: CancellationToken, serving: impl Future<Output = ()>) {
    runtime.block_on(async {
        tokio::select! {
            () = end.cancelled() => {}
            () = serving => {}
        }
    });
}

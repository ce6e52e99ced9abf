//! The verifier: the judge plus a socket and a disk.
//!
//! ```text
//! tls ─ intake, enrol ─ judge's admission ─ writer ─ ledger ─▶ published checkpoint ─▶ INCLUDED
//!                                             └─▶ live judge ─▶ findings, registry, reports
//! admin socket ◀─ every other command
//! ```

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod admin;
pub mod api;
mod attached;
pub mod backup;
pub mod behind;
pub mod bell;
pub mod cli;
pub mod client;
pub mod clock;
pub mod command;
pub mod config;
pub mod credentials;
pub mod data;
pub mod declaration;
pub mod deliver;
pub mod dossier_file;
pub mod enrol;
mod entries;
mod form;
pub mod gate;
pub mod growth;
pub mod happened;
pub mod hosts;
pub mod http;
pub mod import;
pub mod init;
pub mod intake;
pub mod keyfile;
mod lapse;
pub mod ledger;
pub mod lineage;
pub mod lines;
pub mod live;
pub mod office;
pub mod open;
pub mod opening;
pub mod outgoing;
mod overlap;
mod ownership;
pub mod pki;
pub mod presence;
pub mod registry;
pub mod relay;
pub mod repacking;
pub mod replay;
pub mod report;
pub mod restore;
pub mod retention;
pub mod review;
pub mod rotation;
pub mod serve;
pub mod status;
pub mod succession;
pub mod target;
pub mod threads;
pub mod tls;
pub mod token;
pub mod told;
pub mod trail;
pub mod trial;
mod unstated;
pub mod window;
pub mod witness;
pub mod wording;
pub mod writer;

/// gRPC stubs as the `.proto` files give them.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod rpc {
    include!("gen/affiant.v1.rs");

    /// The admin socket.
    pub mod admin {
        include!("gen/affiant.v1.admin.rs");
    }
}

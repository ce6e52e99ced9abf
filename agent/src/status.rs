//! `status`: how this host stands, from its files and from the agent that runs, if one does.

mod board;

pub use board::{Board, Live, LiveDevice, LivePause, Seen};

//! Making a ledger.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
};

use affiant_proto::{
    Signer,
    tlog::{NoteSigner, Origin},
};
use affiant_report::{
    edge::Edge,
    head::Head,
    segment::{Builder, Entry, fields::stored_size},
};

use super::{
    disk::{self, Access},
    hold::Hold,
    recovery::{self, Store},
    refusal::{OpenError, at},
    wal::Wal,
    writer::{Ledger, LogKey},
};

impl Ledger {
    /// Makes a ledger in a directory that is empty or does not exist, with its first entries
    /// included; see [`Ledger::create_in`].
    pub fn create(
        directory: &Path,
        origin: Origin,
        signer: Box<dyn Signer>,
        entries: &[Entry],
        clock: u64,
    ) -> Result<Self, OpenError> {
        Self::create_in(Store::local(directory), origin, signer, entries, clock)
    }

    /// Makes a ledger: first segment, then lock, then all that opening makes.
    ///
    /// `clock` is the writer's time in milliseconds since 1970 UTC. A crash before the lock leaves
    /// a directory that holds no ledger; the remedy is to delete it.
    pub fn create_in(
        mut store: Store,
        origin: Origin,
        signer: Box<dyn Signer>,
        entries: &[Entry],
        clock: u64,
    ) -> Result<Self, OpenError> {
        let places = store.places.clone();
        let directory = places.directory().to_owned();
        // A key that cannot sign for the origin is found out before anything is written.
        let signer = NoteSigner::new(origin.key_name(), LogKey(signer))?;
        if entries.is_empty() {
            return Err(OpenError::NoGenesis);
        }
        store
            .disk
            .make_directories(&directory, Access::Private)
            .map_err(at(&directory))?;
        let mut found = fs::read_dir(&directory).map_err(at(&directory))?;
        if found.next().is_some() {
            return Err(OpenError::Exists(directory));
        }
        let private = Permissions::from_mode(0o700);
        fs::set_permissions(&directory, private).map_err(at(&directory))?;
        let hold = Hold::take(&places.holder())?;
        for private in [places.segments(), places.swept()] {
            store
                .disk
                .make_directories(&private, Access::Private)
                .map_err(at(&private))?;
        }
        let wal = places.wal();
        Wal::start(&wal, Arc::clone(&store.disk), &[]).map_err(at(&wal))?;

        let segments = places.segments();
        let mut builder = Builder::new(0, clock).map_err(at(&segments))?;
        let bytes = entries.iter().map(stored_size).sum();
        if !builder.has_room(entries.len(), bytes) {
            return Err(OpenError::TooManyGenesis(entries.len()));
        }
        let mut edge = Edge::default();
        for entry in entries {
            builder.push(entry).map_err(at(&segments))?;
            edge.push(entry.digest(), |_| {});
        }
        let (name, file) = builder.finish(0).map_err(at(&segments))?;
        let path = segments.join(name.to_string());
        store.disk.create(&path, &file).map_err(at(&path))?;
        store.lock.create(&Head {
            origin,
            epoch: 0,
            size: name.end(),
            root: edge.root(),
            segment: name,
        })?;
        let above = disk::parent(&directory);
        store.disk.sync_directory(above).map_err(at(above))?;
        Ok(recovery::open(store, hold, signer)?.0)
    }
}

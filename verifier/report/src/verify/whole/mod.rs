//! Verifying a whole log: every entry, in its order, by the code that admitted it.
//!
//! Whoever has the files gives entries from the genesis on; how they are stored, and whether a
//! signature was verified on another thread before, makes no difference here.

mod conclusion;
mod dated;
mod past;
mod views;

pub use past::Unheld;

use affiant_judge::{
    Docket, Judge,
    admission::{Admitted, Sources},
};
use affiant_proto::{Authorities, Body, Digest, Opened, Statement, statement::Place, tlog::Note};

use crate::{
    edge::{Edge, Made},
    reading::{Lags, Unsound, source},
    trust::Trust,
};
use past::Past;
use views::Views;

/// A log as far as it was read: the tree over it, whom it names, and what the judge makes of it.
pub struct WholeLog<'a> {
    trust: Option<&'a Trust>,
    docket: Docket,
    edge: Edge,
    past: Past<'a>,
    views: Views,
    /// The newest clock, and where one did not advance on the one before.
    clock: Option<u64>,
    backwards: Option<u64>,
    /// How far the clock is behind the cosignatures that are logged.
    lags: Lags,
    /// Records by other sources than the driver.
    others: u64,
    /// Name and opening key of every officer, in the order of the log.
    officers: Vec<(String, Vec<u8>)>,
}

impl<'a> WholeLog<'a> {
    /// Begins with the genesis.
    ///
    /// `leaves` gives the stored bytes of a full tile of level 0, which are checked before they are
    /// used: only for a host that saw the log at a size at which it was not closed.
    pub fn open(
        genesis: impl Into<Opened>,
        trust: Option<&'a Trust>,
        leaves: impl Fn(u64) -> Option<Vec<u8>> + 'a,
    ) -> Result<Self, Unsound> {
        let statement = genesis.into().into_parts().0;
        if !matches!(statement.body(), Body::Genesis(_)) {
            return Err(Unsound::NoGenesis);
        }
        let parameters = trust.map(|trust| trust.parameters().clone());
        let judge = Judge::new(parameters.unwrap_or_default());
        // What is believed of a source is the reader's to say; here it is counted.
        let sources = Sources {
            accept_recorded: true,
        };
        let leaf = statement.digest();
        let opened = Docket::open(0, statement, sources, judge);
        let (docket, _) = opened.map_err(|source| Unsound::Refused {
            index: 0,
            place: "genesis".to_owned(),
            source,
        })?;
        let mut edge = Edge::default();
        edge.push(&leaf, |_| {});
        Ok(Self {
            trust,
            docket,
            edge,
            past: Past::new(leaves),
            views: Views::default(),
            clock: None,
            backwards: None,
            lags: Lags::default(),
            others: 0,
            officers: Vec::new(),
        })
    }

    /// Takes an exhibit, before the entry that names it.
    pub fn exhibit(&mut self, bytes: Vec<u8>) {
        self.docket.exhibit(bytes);
    }

    /// Admits and judges the next entry; `full` gets each tile and bundle that it fills.
    pub fn take(
        &mut self,
        entry: impl Into<Opened>,
        mut full: impl FnMut(&Made),
    ) -> Result<(), Unsound> {
        let index = self.edge.size();
        let entry = entry.into();
        let leaf = entry.statement().digest();
        let place = entry.statement().header().place();
        let taken = self.docket.take_whole(index, entry);
        let admitted = taken.map_err(|source| {
            let place = self.spell(place);
            Unsound::Refused {
                index,
                place,
                source,
            }
        })?;
        self.see(index, &admitted);
        let past = &mut self.past;
        self.edge.push(&leaf, |made| {
            past.keep(&made);
            full(&made);
        });
        Ok(())
    }

    /// Notes that the log was closed here: the states of it that were signed are among these.
    pub fn closes(&mut self) {
        self.past.ends(self.edge.size(), self.edge.root());
    }

    /// How many entries were taken.
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// The right edge of the tree.
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// What the judge holds.
    pub fn judge(&self) -> &Judge {
        self.docket.judge()
    }

    /// Whose keys speak.
    pub fn authorities(&self) -> &Authorities {
        self.docket.authorities()
    }

    /// Names a chain as people know it.
    pub fn name(&self, chain: &Digest) -> String {
        let spelled = chain.to_string();
        if *chain == self.authorities().genesis() {
            return "the operator".to_owned();
        }
        let mut hosts = self.judge().hosts().into_iter();
        let host = hosts.find(|host| host.chain == spelled);
        let key = self.authorities().opened_by(chain);
        let officer = self.officers.iter().find(|(_, opened)| {
            let key = key.map(|key| key.as_bytes());
            key == Some(opened.as_slice())
        });
        let officer = officer.map(|(name, _)| format!("officer {name}"));
        let host = host.map(|it| format!("host {}", it.host));
        host.or(officer)
            .unwrap_or_else(|| "a chain that nothing opened".to_owned())
    }

    fn spell(&self, place: Place) -> String {
        match place {
            Place::Opening => "opening a chain".to_owned(),
            Place::Link {
                chain, sequence, ..
            } => {
                let name = self.name(&chain);
                format!("{name}, chain {chain}, statement {sequence}")
            }
        }
    }

    /// Learns what is checked once all was read.
    fn see(&mut self, index: u64, admitted: &Admitted) {
        let statement = admitted.verified().statement();
        self.advance(index, statement);
        let lineage = self.docket.authorities().lineage();
        let tree = (&self.edge, &self.past);
        self.views.take(index, statement, lineage, tree, self.trust);
        match statement.body() {
            Body::Officer(body) => self.officers.push((body.name.clone(), body.key.clone())),
            Body::Cosigned(body) => {
                if let (Some(clock), Ok(note)) = (self.clock, Note::parse(&body.note)) {
                    self.lags.take(index, clock, &note);
                }
            }
            Body::Usage(body) if source(body.source) != "nvml" => self.others += 1,
            _ => {}
        }
    }

    fn advance(&mut self, index: u64, statement: &Statement) {
        if !matches!(statement.body(), Body::Clock(_)) {
            return;
        }
        let time = statement.header().time().unix_ms;
        if self.clock.is_some_and(|last| time <= last) {
            self.backwards.get_or_insert(index);
        }
        self.clock = Some(time);
    }
}

//! A relay that speaks the protocol by itself, so that tests can make it err.

use std::{path::Path, time::Duration};

use affiant_proto::{
    Digest, Ed25519Signer, Signer as _, Statement, digest,
    statement::Place,
    v1::{self, relay_reply::Body as Reply, relay_request::Body as Request},
};
use rcgen::{KeyPair, PublicKeyData as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Identity};

use crate::{
    host::now,
    rpc::{admission_client::AdmissionClient, intake_client::IntakeClient},
    tls,
};

/// Longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// One relay with its keys.
pub struct Relay {
    signer: Ed25519Signer,
    tls: KeyPair,
    certificates: Vec<Vec<u8>>,
    chain: Digest,
}

/// An open stream of one.
pub struct Carrier {
    send: mpsc::Sender<v1::RelayRequest>,
    inbound: Streaming<v1::RelayReply>,
}

impl Relay {
    /// Enrols with a token; gives the verifier's refusal when there is one.
    pub async fn enrol(
        (name, site): (&str, &str),
        address: &str,
        ca: &Path,
        token: &str,
    ) -> Result<Self, Status> {
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).unwrap();
        let signer = Ed25519Signer::from_seed(&random).unwrap();
        let key = KeyPair::generate().unwrap();
        let channel = tls::connect(address, ca, None).await;
        let mut admission = AdmissionClient::new(channel.unwrap());
        let known = admission.describe(v1::DescribeRequest {}).await?;
        let body = v1::RelayEnrolment {
            header: None,
            genesis: digest(&known.into_inner().genesis).as_bytes().to_vec(),
            relay: name.into(),
            relay_key: signer.public_key().as_bytes().to_vec(),
            site: site.into(),
            identity_key: digest(&key.subject_public_key_info()).as_bytes().to_vec(),
            token: digest(token.as_bytes()).as_bytes().to_vec(),
        };
        let made = Statement::seal(body.into(), Place::Opening, now(0), None, &signer).unwrap();
        let asked = v1::EnrolRequest {
            token: token.into(),
            enrolment: made.as_bytes().to_vec(),
            csr: tls::request(&key),
        };
        let reply = admission.enrol(asked).await?.into_inner();
        Ok(Self {
            signer,
            tls: key,
            certificates: reply.certificates,
            chain: made.digest(),
        })
    }

    /// Asks for a fresh certificate.
    pub async fn renew(&mut self, address: &str, ca: &Path) -> Result<(), Status> {
        let csr = tls::request(&self.tls);
        let body = v1::Request {
            header: None,
            csr: digest(&csr).as_bytes().to_vec(),
        };
        let place = Place::Link {
            chain: self.chain,
            sequence: 1,
            previous: self.chain,
        };
        let request = Statement::seal(body.into(), place, now(0), None, &self.signer).unwrap();
        let asked = v1::RenewRequest {
            request: request.as_bytes().to_vec(),
            csr,
        };
        let channel = tls::connect(address, ca, None).await.unwrap();
        let reply = AdmissionClient::new(channel).renew(asked).await?;
        self.certificates = reply.into_inner().certificates;
        Ok(())
    }

    /// Its certificates.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// The key of those.
    pub fn tls_key(&self) -> KeyPair {
        KeyPair::from_pem(&self.tls.serialize_pem()).unwrap()
    }

    /// Names its key as revocations do.
    pub fn key_id(&self) -> String {
        self.signer.public_key().id().to_string()
    }

    /// Its chain.
    pub fn chain(&self) -> Digest {
        self.chain
    }

    fn identity(&self) -> Option<Identity> {
        tls::identity(&self.certificates, &self.tls)
    }

    /// Opens a stream.
    pub async fn open(&self, address: &str, ca: &Path) -> Result<Carrier, String> {
        Carrier::open(self.identity(), self.chain, address, ca).await
    }
}

impl Carrier {
    /// Opens a stream as whoever these certificates name.
    pub async fn open(
        identity: Option<Identity>,
        chain: Digest,
        address: &str,
        ca: &Path,
    ) -> Result<Self, String> {
        let channel = tls::connect(address, ca, identity).await;
        let channel = channel.map_err(|error| error.to_string())?;
        let (send, outbound) = mpsc::channel(64);
        let hello = v1::RelayHello {
            chain: chain.as_bytes().to_vec(),
            version: "test".into(),
        };
        let hello = v1::RelayRequest {
            body: Some(Request::Hello(hello)),
        };
        send.try_send(hello).unwrap();
        let mut intake = IntakeClient::new(channel);
        let opened = intake.relay(ReceiverStream::new(outbound)).await;
        let inbound = opened.map_err(|status| status.message().to_owned())?;
        Ok(Self {
            send,
            inbound: inbound.into_inner(),
        })
    }

    /// Sends a request; tells whether the stream still takes any.
    pub async fn ask(&self, body: Request) -> bool {
        let asked = v1::RelayRequest { body: Some(body) };
        self.send.send(asked).await.is_ok()
    }

    /// Asks to carry hosts.
    pub async fn ask_to_join(&self, chains: &[Digest]) {
        let chains = chains.iter().map(|chain| chain.as_bytes().to_vec());
        let join = v1::RelayJoin {
            chains: chains.collect(),
        };
        self.ask(Request::Join(join)).await;
    }

    /// Begins to carry hosts.
    pub async fn join(&mut self, chains: &[Digest]) -> v1::RelayJoined {
        self.ask_to_join(chains).await;
        match self.next().await {
            Ok(Reply::Joined(joined)) => joined,
            other => panic!("{other:?}"),
        }
    }

    /// Sends a statement of the host at a place.
    pub async fn carry(&self, place: u32, envelope: v1::Envelope) -> bool {
        let envelope = Some(envelope);
        let record = v1::RelayRecord { place, envelope };
        self.ask(Request::Record(record)).await
    }

    /// The next reply, or why the stream ended.
    pub async fn next(&mut self) -> Result<Reply, String> {
        let reply = tokio::time::timeout(PATIENCE, self.inbound.message()).await;
        match reply.expect("a reply in time") {
            Ok(Some(reply)) => Ok(reply.body.unwrap()),
            Ok(None) => Err("closed".into()),
            Err(status) => Err(status.message().to_owned()),
        }
    }

    /// Waits until the host at a place is INCLUDED up to `sequence`; gives its index. Nothing else
    /// than receipts may come meanwhile.
    pub async fn included(&mut self, place: u32, sequence: u64) -> u64 {
        loop {
            let Reply::Included(included) = self.next().await.unwrap() else {
                panic!("a receipt is due");
            };
            let mark = included.marks.iter().find(|mark| mark.place == place);
            if let Some(mark) = mark.filter(|mark| mark.sequence >= sequence) {
                assert_eq!(mark.sequence, sequence);
                return mark.index;
            }
        }
    }

    /// Waits until a place is refused; gives why. Receipts may come meanwhile.
    pub async fn refused(&mut self, place: u32) -> v1::Refused {
        loop {
            match self.next().await.unwrap() {
                Reply::Included(_) => {}
                Reply::Refused(refused) => {
                    assert_eq!(refused.place, place);
                    return refused.refused.unwrap();
                }
                Reply::Joined(_) => panic!("nobody joins"),
            }
        }
    }

    /// Waits until the stream ends; gives why.
    pub async fn ended(mut self) -> String {
        loop {
            if let Err(why) = self.next().await {
                return why;
            }
        }
    }
}

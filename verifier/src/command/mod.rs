//! The commands beside `serve`: clients of the running server.

#[macro_use]
mod say;

mod admission;
mod applying;
mod asking;
mod backups;
mod bindings;
mod bulk;
mod deciding;
mod history;
mod holds;
mod imported;
mod inventory;
mod keys;
mod listing;
mod lists;
mod objecting;
mod packs;
mod persons;
mod policy;
mod reports;
mod screen;
mod screening;
mod succession;
mod tokens;
mod trial;

use std::{fmt, process::ExitCode};

use affiant_proto::v1;
use affiant_report::plain_file::NotRead;
use serde_json::Value;

use crate::{
    cli::{
        Binding, Cli, Command, FindingAct, Host, HostChange, ListOnly, Lists, Officer, Succession,
        Tenant, TenantChange,
    },
    client::{Client, ClientError, Silence},
    clock::Clock,
    config::Config,
    data::DataDir,
    deliver::Receiver,
    init,
    keyfile::{KeyFileError, OfficerKey},
    rpc::admin::{self as rpc, list_request::What},
    wording,
};

/// What a command needs to know.
pub struct Context {
    data: DataDir,
    clock: Clock,
    silence: Silence,
}

/// Why a command ends with an error, with the exit code that says which.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    text: String,
    /// What is added to the cause.
    more: String,
}

impl Failure {
    /// Misuse, or a configuration that cannot be.
    pub const USAGE: u8 = 64;
    /// Input or output.
    pub const IO: u8 = 74;

    /// Misuse.
    pub fn usage(error: impl fmt::Display) -> Self {
        Self {
            code: Self::USAGE,
            text: error.to_string(),
            more: String::new(),
        }
    }

    /// Input or output.
    pub fn io(error: impl fmt::Display) -> Self {
        Self {
            code: Self::IO,
            text: error.to_string(),
            more: String::new(),
        }
    }

    /// The same with more words.
    fn with(self, text: impl fmt::Display) -> Self {
        Self {
            more: format!("{}{text}", self.more),
            ..self
        }
    }

    /// The same for another cause.
    fn because(self, error: ClientError) -> Self {
        Self {
            more: self.more,
            ..Self::from(error)
        }
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, self.more)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(status) => Self::from(*status),
            ClientError::Unfit(_) | ClientError::Seal(_) => Self::usage(error),
            ClientError::NoServer(_) | ClientError::Silent(_) | ClientError::Answer(_) => {
                Self::io(error)
            }
        }
    }
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        Self::io(error)
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        match status.code() {
            // What a rule refuses is refused again, however often it is tried.
            tonic::Code::InvalidArgument
            | tonic::Code::NotFound
            | tonic::Code::FailedPrecondition => Self::usage(status.message()),
            _ => Self::io(status.message()),
        }
    }
}

impl Context {
    /// Of the server on a data directory.
    pub fn of(data: &std::path::Path) -> Self {
        Self {
            data: DataDir::at(data),
            clock: Clock::system(),
            silence: Silence::default(),
        }
    }

    async fn client(&self) -> Result<Client, Failure> {
        Ok(Client::connect(&self.data.socket(), &self.silence).await?)
    }
}

/// Runs the commands that need neither a configuration nor a server.
pub fn without_config(cli: &Cli) -> Option<Result<ExitCode, Failure>> {
    match &cli.command {
        Command::Init(options) => Some(make(options, cli)),
        Command::Officer(Officer::New { name, out }) => Some(admission::new(name, out)),
        Command::CheckConfig => Some(check_config(cli)),
        Command::Policy(command) => policy::alone(command),
        Command::Lists(Lists::Pairs(options)) => Some(lists::pairs(options)),
        Command::Lists(Lists::Screen(options)) => Some(lists::screen(options)),
        Command::Succession(Succession::Approve(options)) => Some(succession::approve(options)),
        _ => None,
    }
}

fn make(options: &crate::cli::Init, cli: &Cli) -> Result<ExitCode, Failure> {
    // The same place that `serve` will look in.
    let data = match (&cli.data, &cli.config) {
        (Some(data), _) => data.clone(),
        (None, Some(config)) => Config::data_of(Some(config)).map_err(Failure::usage)?,
        (None, None) => crate::config::DEFAULT_DATA.into(),
    };
    let said = init::init(options, &data, &Clock::system()).map_err(|error| match error {
        init::InitError::Usage(_) => Failure::usage(error),
        _ => Failure::io(error),
    })?;
    say!("{said}")?;
    Ok(ExitCode::SUCCESS)
}

fn check_config(cli: &Cli) -> Result<ExitCode, Failure> {
    let config = Config::load(cli.config.as_deref()).map_err(Failure::usage)?;
    say!(
        "data       {}\nlisten     {}\nhttp       {}\napi        {}\napi, TLS   {}\nnames      {}\nwitnesses  {}\nreaders    {}\ndeliver    {}\nhost certificates last {} h",
        config.data.display(),
        config.listen,
        config.http.map_or("none".to_owned(), |at| at.to_string()),
        config.api.map_or("none".to_owned(), |at| at.to_string()),
        config
            .secured_at()
            .map_or("none".to_owned(), |at| at.to_string()),
        config.names.join(", "),
        config.witnesses.len(),
        config.readers.len(),
        receivers(&config.deliver),
        config.certificate_life.as_secs() / 3_600,
    )?;
    Ok(ExitCode::SUCCESS)
}

fn receivers(all: &[Receiver]) -> String {
    let all: Vec<String> = all
        .iter()
        .map(|it| format!("{} {} {}", it.name, it.place, it.least.as_str()))
        .collect();
    match all.is_empty() {
        true => "none".into(),
        false => all.join(", "),
    }
}

/// Runs one command against the running server.
pub async fn run(command: Command, context: Context) -> Result<ExitCode, Failure> {
    let done = dispatch(command, &context).await;
    // What broke is the connection, and why is not for the call to know.
    done.map_err(|failure| match context.silence.is_told() {
        true => failure.because(ClientError::Silent(context.data.socket())),
        false => failure,
    })
}

async fn dispatch(command: Command, context: &Context) -> Result<ExitCode, Failure> {
    match command {
        Command::Status(options) => screen::status(context, options.json).await,
        Command::Key(command) => keys::run(context, command).await,
        Command::Relay(ListOnly::List(options)) => {
            listing::list(context, What::Relays, options.json).await
        }
        Command::Token(options) => tokens::issue(context, &options).await,
        Command::Host(Host::List(options)) => {
            listing::list(context, What::Hosts, options.json).await
        }
        Command::Host(Host::Declare {
            site, file, key, ..
        }) => inventory::declare(context, &site, file.as_deref(), &key).await,
        Command::Host(Host::Declared(options)) => {
            listing::list(context, What::Declared, options.json).await
        }
        Command::Host(Host::Approve(change)) => {
            host(context, change, v1::HostEventKind::Approve).await
        }
        Command::Host(Host::Evict(change)) => host(context, change, v1::HostEventKind::Evict).await,
        Command::Host(Host::Ban(change)) => host(context, change, v1::HostEventKind::Ban).await,
        Command::Host(Host::Retire(change)) => {
            host(context, change, v1::HostEventKind::Retire).await
        }
        Command::Host(Host::Transfer(change)) => {
            host(context, change, v1::HostEventKind::Transfer).await
        }
        Command::Host(Host::Maintenance { change, until }) => {
            let until = until.map(|text| ends(&text, &context.clock)).transpose()?;
            change_host(context, change, v1::HostEventKind::Maintenance, until).await
        }
        Command::Officer(command) => admission::run(context, command).await,
        Command::Tenant(command) => tenant(context, command).await,
        Command::Hold(command) => holds::run(context, command).await,
        Command::Party(ListOnly::List(options)) => {
            listing::list(context, What::Parties, options.json).await
        }
        Command::Binding(Binding::List(options)) => {
            listing::list(context, What::Bindings, options.json).await
        }
        Command::Binding(Binding::Withdraw { binding, key }) => {
            bindings::withdraw(context, &binding, &key).await
        }
        Command::Policy(command) => policy::run(context, command).await,
        Command::Lists(command) => screening::run(context, command).await,
        Command::Check(options) => {
            let (tenant, class, site) = (&options.tenant, &options.device_class, &options.site);
            asking::check(context, tenant, class, site, options.json).await
        }
        Command::Findings(mut options) => match options.act.take() {
            None => listing::findings(context, &options).await,
            Some(act) => {
                let (verdict, on) = match act {
                    FindingAct::Acknowledge(on) => (v1::Verdict::Acknowledge, on),
                    FindingAct::Resolve(on) => (v1::Verdict::Resolve, on),
                    FindingAct::Withdraw(on) => (v1::Verdict::Withdraw, on),
                };
                asking::handle(context, &on.id, verdict, &on.reason, &on.key).await
            }
        },
        Command::Report(options) => reports::write(context, &options).await,
        Command::Rebuild => listing::rebuild(context).await,
        Command::Backup(options) => backups::make(context, &options),
        Command::Export(options) => backups::export(context, &options),
        Command::Restore(options) => backups::restore(context, &options),
        Command::Succession(command) => succession::run(context, &command),
        // Dispatched before a client is made.
        Command::Init(_) | Command::Serve(_) | Command::CheckConfig => {
            Err(Failure::usage("this command runs without a server"))
        }
    }
}

async fn tenant(context: &Context, command: Tenant) -> Result<ExitCode, Failure> {
    use deciding::Act;
    match command {
        Tenant::Apply { file, key } => applying::apply(context, &file, &key).await,
        Tenant::Import {
            file,
            key,
            effective,
        } => bulk::import(context, &file, key.as_deref(), effective).await,
        Tenant::Export { out } => bulk::export(context, out.as_deref()).await,
        Tenant::Review { state, out } => bulk::review(context, &state, &out).await,
        Tenant::Approve(approve) => match (approve.tenant, approve.reviewed, approve.digest) {
            (Some(tenant), None, _) => {
                let change = TenantChange {
                    tenant,
                    key: approve.key,
                    reason: approve.reason,
                    effective: approve.effective,
                };
                deciding::decide(context, change, Act::Approve(approve.dossier)).await
            }
            (None, Some(list), Some(digest)) => {
                let approval = bulk::Approval {
                    list,
                    digest,
                    key: approve.key,
                    reason: approve.reason,
                    effective: approve.effective,
                };
                bulk::approve(context, approval).await
            }
            // The command line allows no other.
            _ => Err(Failure::usage("give a tenant, or --reviewed with --digest")),
        },
        Tenant::Reject(change) => deciding::decide(context, change, Act::Reject).await,
        Tenant::Suspend(change) => {
            deciding::decide(context, change, Act::State(v1::TenantState::Suspended)).await
        }
        Tenant::Close(change) => {
            deciding::decide(context, change, Act::State(v1::TenantState::Closed)).await
        }
        Tenant::Show {
            tenant,
            at: None,
            known: None,
            json: false,
        } => deciding::show(context, &tenant).await,
        Tenant::Show {
            tenant,
            at,
            known,
            json,
        } => history::show(context, &tenant, at, known, json).await,
        Tenant::History { tenant, json } => history::events(context, &tenant, json).await,
        Tenant::Object(options) => objecting::run(context, options).await,
        Tenant::List(options) => listing::list(context, What::Tenants, options.json).await,
    }
}

async fn host(
    context: &Context,
    change: HostChange,
    kind: v1::HostEventKind,
) -> Result<ExitCode, Failure> {
    change_host(context, change, kind, None).await
}

/// Reads a duration from now, or a time.
fn ends(text: &str, clock: &Clock) -> Result<u64, Failure> {
    match wording::parse_duration_ms(text) {
        Ok(ms) => Ok(clock.now_ms().saturating_add(ms)),
        Err(_) => wording::parse_time_ms(text).map_err(Failure::usage),
    }
}

async fn change_host(
    context: &Context,
    change: HostChange,
    kind: v1::HostEventKind,
    until_unix_ms: Option<u64>,
) -> Result<ExitCode, Failure> {
    let request = rpc::ChangeHostRequest {
        host: change.host,
        kind: kind.into(),
        reason: change.reason,
        until_unix_ms,
    };
    let logged = context
        .client()
        .await?
        .calls()
        .change_host(request)
        .await?
        .into_inner();
    say!("logged at {}", indices(&logged.indices))?;
    Ok(ExitCode::SUCCESS)
}

fn indices(indices: &[u64]) -> String {
    indices
        .iter()
        .map(u64::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

/// Reads a file that somebody names; what is no plain file, or too long, is misuse.
fn given(path: &std::path::Path, most: u64) -> Result<Vec<u8>, Failure> {
    crate::keyfile::read_bounded(path, most).map_err(|error| match error {
        KeyFileError::Unfit(NotRead::NotPlain(_) | NotRead::Long { .. }) => Failure::usage(error),
        _ => Failure::io(error),
    })
}

/// Reads an officer's private key and the `.pub` beside it, which has the name.
fn officer(key: &std::path::Path) -> Result<(OfficerKey, affiant_proto::Ed25519Signer), Failure> {
    use affiant_proto::Signer as _;
    let signer = crate::keyfile::read_signer(key)?;
    let public = OfficerKey::read(&key.with_extension("pub"))?;
    if &public.key != signer.public_key() {
        return Err(Failure::usage(format!(
            "{}: the .pub beside it holds another key",
            key.display()
        )));
    }
    Ok((public, signer))
}

//! `policy`: packs as directories, read, checked and shown without a server.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{Read as _, Write as _},
    path::Path,
    process::ExitCode,
};

use affiant_judge::policy::{
    self, MAX_FILE_BYTES, MAX_FILES, Mode, Pack, PackFiles, Report, Status,
};
use affiant_proto::{Signer as _, v1};
use serde_json::{Value, json};

use super::{Context, Failure};
use crate::{
    attached,
    cli::{CheckPack, Policy},
    rpc::admin as rpc,
};

/// Most bytes of a line beneath a policy.
const WIDTH: usize = 92;

/// Runs a command that needs no server; `None` for one that does.
pub(super) fn alone(command: &Policy) -> Option<Result<ExitCode, Failure>> {
    match command {
        Policy::Check(options) => Some(check(options)),
        Policy::New { dir } => Some(new(dir)),
        Policy::Activate { .. } | Policy::Diff(_) | Policy::Show(_) => None,
    }
}

/// Runs a command against the running server.
pub(super) async fn run(context: &Context, command: Policy) -> Result<ExitCode, Failure> {
    match command {
        Policy::Activate { dir, key } => activate(context, &dir, &key).await,
        Policy::Show(options) => super::packs::show(context, options.json).await,
        Policy::Diff(options) => super::trial::run(context, &options).await,
        Policy::Check(_) | Policy::New { .. } => {
            Err(Failure::usage("this command runs without a server"))
        }
    }
}

fn check(options: &CheckPack) -> Result<ExitCode, Failure> {
    let pack = parse(&options.dir, &read(&options.dir)?)?;
    let report = pack.check();
    if options.json {
        say!("{}", as_json(&pack, &report))?;
    } else {
        put!("{}", as_text(&pack, &report))?;
    }
    Ok(ExitCode::from(u8::from(!report.is_good())))
}

fn new(dir: &Path) -> Result<ExitCode, Failure> {
    write(dir)?;
    say!("wrote  {}", dir.display())?;
    say!("check  affiant-verifier policy check {}", dir.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Signs that a pack is to judge from now on: gives its files to the server first. A pack whose own examples
/// fail is not signed.
async fn activate(context: &Context, dir: &Path, key: &Path) -> Result<ExitCode, Failure> {
    let (name, signer) = super::officer(key)?;
    let files = read(dir)?;
    let pack = parse(dir, &files)?;
    let report = pack.check();
    put!("{}", as_text(&pack, &report))?;
    if !report.is_good() {
        return Err(Failure::usage(format!(
            "{}: examples of the pack fail: nothing was signed",
            dir.display()
        )));
    }
    let mut client = context.client().await?;
    let before = super::packs::Before::of(&mut client, &pack).await?;
    if let Some(why) = before.refusal() {
        let dir = dir.display();
        return Err(Failure::usage(format!("{dir}: {why}; nothing was signed")));
    }
    let put = rpc::PutExhibitRequest {
        content: files.to_bytes(),
    };
    let put = client.calls().put_exhibit(put).await?.into_inner();
    if put.digest != files.digest().as_bytes() {
        return Err(Failure::io("the server kept other files than were given"));
    }
    let body = v1::PolicyPack {
        header: None,
        pack: pack.name().to_owned(),
        version: pack.version().to_owned(),
        digest: put.digest,
    };
    let logged = client
        .sign_and_submit(&name, &signer, vec![body.into()], &context.clock)
        .await?;
    let stands = before.stands(&mut client, signer.public_key()).await?;
    say!(
        "{} signed that {} is to judge, logged at {}; {stands}\ndigest   {}\npolicies {}",
        name.name,
        pack.label(),
        super::indices(&logged),
        pack.digest(),
        modes(&pack)
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a pack from its directory. Names with a dot in front are an editor's, and none of a pack.
pub(super) fn read(dir: &Path) -> Result<PackFiles, Failure> {
    let io = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| Failure::io(format!("{path}: {error}"))
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(io(dir))? {
        let path = entry.map_err(io(dir))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if !path.is_file() {
            let what = path.display();
            return Err(Failure::usage(format!(
                "{what}: is no file of a pack: no plain file"
            )));
        }
        let mut content = Vec::new();
        let file = fs::File::open(&path).map_err(io(&path))?;
        // One byte more than may be, so that the pack sees that it is too much.
        let mut file = file.take(MAX_FILE_BYTES as u64 + 1);
        file.read_to_end(&mut content).map_err(io(&path))?;
        files.push((name.into_owned(), content));
        if files.len() > MAX_FILES {
            break;
        }
    }
    files.sort();
    PackFiles::new(files).map_err(|bad| refused(dir, &bad))
}

/// Reads a pack of its files; one that is to come has no codes of countries that nobody assigned.
pub(super) fn parse(dir: &Path, files: &PackFiles) -> Result<Pack, Failure> {
    let pack = Pack::read(files).map_err(|bad| refused(dir, &bad))?;
    match attached::codes(&pack) {
        None => Ok(pack),
        Some(codes) => Err(refused(dir, &codes)),
    }
}

/// How many policies of a pack count, and how many are tried.
pub(super) fn modes(pack: &Pack) -> String {
    let shadow = pack.policies().iter();
    let shadow = shadow.filter(|policy| policy.mode() == Mode::Shadow);
    let shadow = shadow.count();
    let enforced = pack.policies().len() - shadow;
    format!("{enforced} enforced, {shadow} in shadow")
}

fn refused(dir: &Path, bad: &impl std::fmt::Display) -> Failure {
    Failure::usage(format!(
        "{}: no pack that can be used\n{bad}",
        dir.display()
    ))
}

fn write(dir: &Path) -> Result<(), Failure> {
    let io = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| Failure::io(format!("{path}: {error}"))
    };
    if dir.exists() && fs::read_dir(dir).map_err(io(dir))?.next().is_some() {
        let said = format!("{}: is not empty; name a new directory", dir.display());
        return Err(Failure::usage(said));
    }
    fs::create_dir_all(dir).map_err(io(dir))?;
    for (name, text) in policy::shipped_files().map_err(Failure::usage)?.iter() {
        let path = dir.join(name);
        let mut new = OpenOptions::new();
        let file = new.write(true).create_new(true).open(&path);
        let mut file = file.map_err(io(&path))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(io(&path))?;
    }
    Ok(())
}

fn as_json(pack: &Pack, report: &Report) -> Value {
    let policies = pack.policies().iter().map(|policy| {
        json!({
            "id": policy.id().as_ref(),
            "finding": policy.rule(),
            "severity": policy.severity(),
            "mode": policy.mode().as_str(),
            "status": policy.status().as_str(),
            "since": policy.since().to_string(),
            "until": policy.until().map(|day| day.to_string()),
            "citation": policy.citation(),
            "says": policy.says(),
        })
    });
    let failed = report
        .failed
        .iter()
        .map(|failed| json!({"name": failed.name, "line": failed.line, "said": failed.said}));
    json!({
        "name": pack.name(),
        "version": pack.version(),
        "title": pack.title(),
        "notice": pack.notice(),
        "digest": pack.digest().to_string(),
        "undecided": if pack.undecided().is_some() { Mode::Shadow } else { Mode::Enforce }.as_str(),
        "parameters": {
            "groups": pack.parameters().groups(),
            "classes": pack.parameters().classes(),
            "limits": pack.parameters().limits(),
        },
        "policies": policies.collect::<Vec<_>>(),
        "examples": report.examples,
        "failed": failed.collect::<Vec<_>>(),
    })
}

fn as_text(pack: &Pack, report: &Report) -> String {
    let mut out = String::new();
    // Writing into a text cannot fail.
    let _ = render(&mut out, pack, report);
    out
}

fn render(out: &mut String, pack: &Pack, report: &Report) -> std::fmt::Result {
    writeln!(out, "pack     {} {}", pack.name(), pack.version())?;
    writeln!(out, "title    {}", pack.title())?;
    writeln!(out, "digest   {}", pack.digest())?;
    for (name, countries) in pack.parameters().groups() {
        writeln!(out, "group    {name}: {} countries", countries.len())?;
    }
    for (name, classes) in pack.parameters().classes() {
        let classes: Vec<&str> = classes.iter().map(|class| class.as_str()).collect();
        writeln!(out, "classes  {name}: {}", classes.join(", "))?;
    }
    for (name, limit) in pack.parameters().limits() {
        writeln!(out, "limit    {name}: {limit}")?;
    }
    if pack.undecided().is_some() {
        writeln!(
            out,
            "vetting  tenants on whom nobody decided yet are tried in shadow"
        )?;
    }
    if let Some(devices) = pack.devices() {
        writeln!(out, "devices  {} rows of its own", devices.rows().len())?;
    }
    let rows: Vec<[String; 6]> = pack.policies().iter().map(|policy| row(policy)).collect();
    let head = ["policy", "finding", "severity", "mode", "law", "applies"];
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let cells = cells.map(|cell| cell.len());
        cells.chain(head.get(column).map(|head| head.len())).max()
    };
    let widths: Vec<usize> = (0..head.len()).map(|n| width(n).unwrap_or(0)).collect();
    let line = |cells: &[&str]| {
        let cells = cells.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    writeln!(out, "\n{}", line(&head))?;
    for (row, policy) in rows.iter().zip(pack.policies()) {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        writeln!(out, "{}", line(&cells))?;
        for part in wrapped(policy.citation(), WIDTH - 4) {
            writeln!(out, "    {part}")?;
        }
    }
    writeln!(out)?;
    for failed in &report.failed {
        let place = failed
            .line
            .map(|line| format!("examples.toml, line {line}: "));
        let place = place.unwrap_or_default();
        writeln!(out, "failed   {place}{}: {}", failed.name, failed.said)?;
    }
    let examples = match report.failed.len() {
        0 => "all come out as they say".to_owned(),
        failed => format!("{failed} failed"),
    };
    writeln!(out, "policies {}", modes(pack))?;
    writeln!(out, "examples {}: {examples}", report.examples)?;
    for (number, part) in wrapped(pack.notice(), WIDTH - 9).iter().enumerate() {
        let head = if number == 0 { "\nnotice " } else { "       " };
        writeln!(out, "{head}  {part}")?;
    }
    Ok(())
}

fn row(policy: &policy::Policy) -> [String; 6] {
    let law = match policy.status() {
        Status::InForce => "in force",
        other => other.as_str(),
    };
    let applies = match policy.until() {
        None => format!("since {}", policy.since()),
        Some(until) => format!("{} to {until}", policy.since()),
    };
    [
        policy.id().to_string(),
        policy.rule().as_str().to_owned(),
        policy.severity().as_str().to_owned(),
        policy.mode().as_str().to_owned(),
        law.to_owned(),
        applies,
    ]
}

/// Breaks a text at its spaces into lines of at most `width` characters, a longer word apart.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_new_pack_is_the_default_one_byte_for_byte_and_checks_well() {
        let dir = tempfile::tempdir().unwrap();
        let pack = dir.path().join("ours");
        write(&pack).unwrap();
        let read = Pack::read(&read(&pack).unwrap()).unwrap();
        assert_eq!(read.digest(), policy::shipped().digest());
        let text = as_text(&read, &read.check());
        assert!(text.contains("all come out as they say"), "{text}");
        assert!(text.contains("Not legal advice"), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 132),
            "{text}"
        );
        let again = write(&pack).unwrap_err();
        assert_eq!(again.exit_code(), Failure::USAGE);
    }

    #[test]
    fn every_policy_stands_in_the_table_and_in_the_json_with_its_citation() {
        let pack = policy::shipped();
        let report = pack.check();
        let (text, json) = (as_text(&pack, &report), as_json(&pack, &report));
        let listed = json.get("policies").and_then(Value::as_array).unwrap();
        assert_eq!(listed.len(), pack.policies().len());
        for (policy, listed) in pack.policies().iter().zip(listed) {
            assert!(text.contains(policy.id().as_ref()), "{text}");
            let cited = listed.get("citation").and_then(Value::as_str);
            assert_eq!(cited, Some(policy.citation()));
        }
    }

    #[test]
    fn a_group_with_a_code_that_is_no_country_is_refused_with_the_one_that_is_meant() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        parse(dir.path(), &read(dir.path()).unwrap()).unwrap();
        let manifest = dir.path().join("pack.toml");
        let text = fs::read_to_string(&manifest).unwrap();
        let group = "[parameters.groups]\nodd = [\"UK\", \"ZZ\", \"DE\"]\n";
        fs::write(&manifest, text.replacen("[parameters.groups]\n", group, 1)).unwrap();
        let files = read(dir.path()).unwrap();
        let failure = parse(dir.path(), &files).unwrap_err();
        assert_eq!(failure.exit_code(), Failure::USAGE);
        let said = failure.to_string();
        assert!(
            said.contains("groups.odd has UK, no assigned code of ISO 3166-1; write GB?")
                && said.contains("groups.odd has ZZ, no assigned code")
                && !said.contains("has DE"),
            "{said}"
        );
        // One that is in force already is read as before.
        Pack::read(&files).unwrap();
    }

    #[test]
    fn a_directory_with_something_else_in_it_is_refused_and_hidden_files_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        fs::write(dir.path().join(".policies.cedar.swp"), "x").unwrap();
        read(dir.path()).unwrap();
        fs::create_dir(dir.path().join("old")).unwrap();
        let failure = read(dir.path()).unwrap_err();
        assert_eq!(failure.exit_code(), Failure::USAGE);
        assert!(failure.to_string().contains("old: is no file of a pack"));
        let gone = read(&dir.path().join("nowhere")).unwrap_err();
        assert_eq!(gone.exit_code(), Failure::IO);
    }
}

//! The first days of a fleet that has tenants already: three thousand are imported, a pack is tried in
//! shadow, lists are imported, one session approves, and then the pack is enforced. At each step what is left
//! open is something that people can work off.
//!
//! `AFFIANT_LISTS=DIR` has the walk import the JSON lists of a directory beside its own.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use affiant_tests::{Deployment, Host, Outcome};
use serde_json::Value;

const TENANTS: usize = 3_000;
/// Tenants in one record: ten milliseconds of its interval each.
const TOGETHER: usize = 1_000;

/// What two officers can look into in some days: every tenant that is not as it should be, twice.
const WORKABLE: usize = 100;
/// Alerts of a thousand names without any reason.
const ALERTS: usize = 50;

/// Draws the same numbers each time.
struct Draw(u64);

impl Draw {
    fn of(&mut self, many: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % many
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.of(of.len())]
    }

    /// A name that nobody has, of two to four syllables.
    fn coined(&mut self) -> String {
        const SYLLABLES: [&str; 40] = [
            "ka", "rin", "vel", "mo", "tas", "lu", "per", "don", "shi", "ra", "bel", "gor", "nim",
            "ost", "fa", "quen", "ril", "zu", "har", "tem", "io", "sal", "vik", "bro", "nel", "ay",
            "cor", "dus", "eth", "lam", "pra", "und", "wes", "yor", "mei", "gan", "tol", "ser",
            "ix", "ban",
        ];
        let many = 2 + self.of(3);
        let name: String = (0..many).map(|_| self.one(&SYLLABLES)).collect();
        let (first, rest) = name.split_at(1);
        format!("{}{rest}", first.to_uppercase())
    }

    fn firm(&mut self) -> String {
        const TRADES: [&str; 16] = [
            "Robotics",
            "Biotech",
            "Logistics",
            "Media",
            "Analytics",
            "Materials",
            "Energy",
            "Software",
            "Imaging",
            "Foods",
            "Marine",
            "Insurance",
            "Learning Systems",
            "Genomics",
            "Weather",
            "Design",
        ];
        const FORMS: [&str; 8] = [
            "GmbH",
            "Inc.",
            "Ltd",
            "B.V.",
            "S.A.S.",
            "Pte. Ltd.",
            "AB",
            "LLC",
        ];
        format!(
            "{} {} {}",
            self.coined(),
            self.one(&TRADES),
            self.one(&FORMS)
        )
    }
}

/// Why a tenant is not as it should be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// Its parent is headquartered where the pack says.
    Seat,
    /// Nobody knows its parent.
    Parent,
    /// A reseller stands between, and who uses it is not declared.
    Reseller,
    /// It is on the list.
    Listed,
}

fn fault(tenant: usize) -> Option<Fault> {
    match tenant % 300 {
        7 => Some(Fault::Seat),
        77 => Some(Fault::Parent),
        177 => Some(Fault::Reseller),
        277 if tenant % 600 == 277 => Some(Fault::Listed),
        _ => None,
    }
}

/// The tenants as JSON lines, and a list of five hundred names.
fn world() -> (String, String) {
    let mut draw = Draw(2_026);
    let (mut tenants, mut list) = (String::new(), "name,aliases,country\n".to_owned());
    for n in 0..TENANTS {
        let (name, fault) = (draw.firm(), fault(n));
        let seat = draw.one(&["DE", "US", "SG", "JP", "FR", "NL"]);
        let parent_seat = if fault == Some(Fault::Seat) {
            "CN"
        } else {
            seat
        };
        if fault == Some(Fault::Listed) {
            writeln!(list, "\"{name}\",,{seat}").unwrap();
        }
        let named = match fault {
            Some(Fault::Parent) => r#""end_customer": "firm", "ultimate_parent": """#,
            Some(Fault::Reseller) => {
                r#""intermediaries": ["owner"], "end_customer": "", "ultimate_parent": "owner""#
            }
            _ => r#""end_customer": "firm", "ultimate_parent": "owner""#,
        };
        let named = named
            .replace("firm", &format!("firm-{n}"))
            .replace("\"owner", &format!("\"owner-{n}"));
        let owner = draw.firm();
        write!(
            tenants,
            r#"{{"party": {{"id": "firm-{n}", "names": ["{name}"], "incorporation": "{seat}", "headquarters": "{seat}"}}}}
{{"party": {{"id": "owner-{n}", "names": ["{owner}"], "incorporation": "{parent_seat}", "headquarters": "{parent_seat}"}}}}
{{"edge": {{"from": "owner-{n}", "to": "firm-{n}", "kind": "owns", "share_min_percent": 100, "source": "register"}}}}
{{"tenant": {{"id": "t-{n}", "customer": "firm-{n}", {named}}}}}
{{"binding": {{"id": "b-{n}", "tenant": "t-{n}", "user": "u-{n}"}}}}
"#
        )
        .unwrap();
    }
    for _ in 0..500 {
        let name = format!(
            "{} {}",
            draw.coined(),
            draw.one(&[
                "Research Institute",
                "University of Technology",
                "Electronics Co., Ltd."
            ])
        );
        writeln!(list, "\"{name}\",,CN").unwrap();
    }
    (tenants, list)
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A pack of one's own, of this version; tried in shadow or enforced.
fn pack(deployment: &Deployment, version: &str, mode: &str) -> PathBuf {
    let dir = deployment.path(&format!("pack-{version}"));
    deployment.succeed(&["policy", "new", text(&dir)]);
    let manifest = fs::read_to_string(dir.join("pack.toml")).unwrap();
    let lines = manifest
        .lines()
        .map(|line| match line.split('=').next().map(str::trim) {
            Some("name") => "name = \"ours\"".to_owned(),
            Some("version") => format!("version = \"{version}\""),
            Some("undecided") => format!("undecided = \"{mode}\""),
            _ => line.to_owned(),
        });
    fs::write(dir.join("pack.toml"), lines.collect::<Vec<_>>().join("\n")).unwrap();
    if mode == "shadow" {
        let policies = fs::read_to_string(dir.join("policies.cedar")).unwrap();
        fs::write(
            dir.join("policies.cedar"),
            policies.replace("@mode(\"enforce\")", "@mode(\"shadow\")"),
        )
        .unwrap();
    }
    dir
}

fn activate(deployment: &Deployment, pack: &Path) {
    for officer in ["alice", "bob"] {
        let key = deployment.key(officer);
        deployment.succeed(&["policy", "activate", text(pack), "--key", text(&key)]);
    }
}

/// How many findings of each rule are left to be dealt with, or are only tried.
fn count(deployment: &Deployment, shadow: bool) -> BTreeMap<String, usize> {
    let more: &[&str] = if shadow { &["--shadow"] } else { &[] };
    let output = deployment.run(&[&["findings", "--json"], more].concat());
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut count = BTreeMap::new();
    for finding in findings.as_array().unwrap() {
        *count
            .entry(finding["rule"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    count
}

fn step(deployment: &Deployment, name: &str) -> BTreeMap<String, usize> {
    let (open, tried) = (count(deployment, false), count(deployment, true));
    let sum = |of: &BTreeMap<String, usize>| of.values().sum::<usize>();
    println!(
        "{name:<44} {:>5} open {:>6} in shadow   {open:?}",
        sum(&open),
        sum(&tried)
    );
    assert!(sum(&open) <= WORKABLE, "{name}: {open:?}");
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_with_three_thousand_tenants_comes_under_a_pack_in_steps_that_people_can_work_off()
{
    let deployment = Deployment::judged_by("");
    let (address, ca) = (deployment.address(), deployment.ca());
    let token = deployment.token("gpu-1", "1h");
    let mut host = Host::enrol("gpu-1", &address, &ca, &token).await.unwrap();
    let users: Vec<String> = (0..TENANTS).map(|n| format!("u-{n}")).collect();
    let run = async |host: &mut Host| {
        // What was decided by now works for what is used from now on.
        host.set_wall(now_ms().max(host.wall()));
        for some in users.chunks(TOGETHER) {
            host.seal_uses(some);
        }
        assert_eq!(host.send(&address, &ca).await, Outcome::Included);
    };
    run(&mut host).await;
    step(&deployment, "hosts report, nobody is known");

    activate(&deployment, &pack(&deployment, "1", "shadow"));
    let (tenants, list) = world();
    let file = deployment.path("tenants.jsonl");
    fs::write(&file, tenants).unwrap();
    let (alice, bob) = (deployment.key("alice"), deployment.key("bob"));
    deployment.succeed(&["tenant", "import", text(&file), "--key", text(&alice)]);
    run(&mut host).await;
    let open = step(&deployment, "tenants imported, the pack in shadow");
    assert!(!open.contains_key("USE_UNVETTED"), "{open:?}");
    assert_eq!(count(&deployment, true)["USE_UNVETTED"], TENANTS);

    let file = deployment.path("list.csv");
    fs::write(&file, list).unwrap();
    let import = |file: &Path, name: &str, format: &str| {
        deployment.succeed(&[
            "lists",
            "import",
            text(file),
            "--list",
            name,
            "--version",
            "1",
            "--format",
            format,
            "--key",
            text(&alice),
        ])
    };
    import(&file, "ours", "operator");
    for file in std::env::var_os("AFFIANT_LISTS")
        .map(|dir| fs::read_dir(dir).unwrap())
        .into_iter()
        .flatten()
    {
        let path = file.unwrap().path();
        let name = path
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .replace('_', "-");
        if path.extension().is_some_and(|it| it == "json") && name != "lists" {
            import(&path, &name, "json");
        }
    }
    run(&mut host).await;
    step(&deployment, "lists imported");
    let hits = deployment.json(&["lists", "hits", "--json"]);
    let hits = hits["hits"].as_array().unwrap();
    println!("hits on {} names: {}", 2 * TENANTS, hits.len());
    assert!(hits.len() <= 2 * TENANTS * ALERTS / 1_000, "{}", hits.len());

    // The session. Hits first: what is listed is confirmed, all else is another.
    for hit in hits {
        let listed = hit["list"] == "ours" && hit["class"] == "exact";
        let act = if listed { "confirm" } else { "clear" };
        for key in [&alice, &bob] {
            let id = hit["id"].as_str().unwrap();
            deployment.succeed(&[
                "lists",
                act,
                id,
                "--reason",
                "looked at the register",
                "--key",
                text(key),
            ]);
        }
    }
    // Then the list, without the lines of those whom nobody would approve.
    let list = deployment.path("review.txt");
    deployment.succeed(&["tenant", "review", "--out", text(&list)]);
    let lines = fs::read_to_string(&list).unwrap();
    let stays = |line: &&str| {
        let tenant = line
            .strip_prefix("t-")
            .and_then(|line| line.split_whitespace().next());
        tenant.is_none_or(|n| fault(n.parse().unwrap()).is_none())
    };
    let lines: String = lines
        .lines()
        .filter(stays)
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&list, &lines).unwrap();
    let digest = affiant_proto::digest(lines.as_bytes()).to_string();
    for key in [&alice, &bob] {
        deployment.succeed(&[
            "tenant",
            "approve",
            "--reviewed",
            text(&list),
            "--digest",
            &digest,
            "--key",
            text(key),
        ]);
    }
    let approved = now_ms().max(host.wall());
    run(&mut host).await;
    step(&deployment, "one session: hits decided, tenants approved");
    let faulty = (0..TENANTS).filter(|n| fault(*n).is_some()).count();

    // What enforcing would have found of the time since; then it is enforced.
    let enforced = pack(&deployment, "2", "enforce");
    let (from, to) = (approved.to_string(), (approved + 3_600_000).to_string());
    let diff = ["policy", "diff", text(&enforced), "--json"];
    let output = deployment.run(&[&diff[..], &["--from", &from, "--to", &to]].concat());
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let difference = &said["difference"];
    let many = |sort: &str| difference[sort].as_array().unwrap().len();
    println!("enforcing would change {}", many("changed"));
    assert_eq!((many("gone"), many("new")), (0, 0));
    assert!(
        (faulty..=WORKABLE).contains(&many("changed")),
        "{}",
        many("changed")
    );
    activate(&deployment, &enforced);
    run(&mut host).await;
    let open = step(&deployment, "the pack is enforced");
    assert_eq!(open["USE_UNVETTED"], faulty, "{open:?}");
    for rule in ["RESTRICTED_HQ", "PARENT_UNKNOWN", "END_CUSTOMER_UNDECLARED"] {
        assert_eq!(open[rule], 10, "{rule}: {open:?}");
    }
    assert_eq!(open["LISTED_PARTY"], 5, "{open:?}");
}

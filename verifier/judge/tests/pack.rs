//! Policy packs: what is refused and with what words, and what a pack decides.
#![allow(missing_docs, clippy::unwrap_used)]

use affiant_judge::{
    Class, Country, Rule, Severity,
    policy::{self, BadPack, Day, DeviceFacts, Facts, Mode, Pack, PackFiles, TenantFacts},
};
use affiant_proto::v1;
use prost::Message;

const MANIFEST: &str = "name = \"own\"\nversion = \"1\"\ntitle = \"Own\"\n";

/// A policy with its annotations on lines 1 to 7 and the rest from line 8 on.
fn stated(id: &str, rest: &str) -> String {
    format!(
        "@id(\"{id}\")\n@severity(\"high\")\n@citation(\"none\")\n@status(\"in_force\")\n\
         @since(\"2020-01-01\")\n@mode(\"enforce\")\n@says(\"It is so.\")\n{rest}\n"
    )
}

fn when(id: &str, condition: &str) -> String {
    let head = "forbid (principal, action == Action::\"use\", resource)";
    stated(id, &format!("{head}\nwhen {{ {condition} }};"))
}

fn files(manifest: &str, policies: &str, examples: &str) -> Vec<(String, Vec<u8>)> {
    [
        ("pack.toml", manifest),
        ("policies.cedar", policies),
        ("examples.toml", examples),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .to_vec()
}

fn read(manifest: &str, policies: &str, examples: &str) -> Result<Pack, BadPack> {
    Pack::read(&PackFiles::new(files(manifest, policies, examples))?)
}

fn pack(policies: &str) -> Pack {
    read(MANIFEST, policies, "").unwrap()
}

/// What is said of policies that are refused.
fn refused(policies: &str) -> String {
    read(MANIFEST, policies, "").unwrap_err().to_string()
}

fn at(day: &str) -> u64 {
    Day::parse(day).unwrap().begins_unix_ms()
}

fn countries(codes: &[&str]) -> std::collections::BTreeSet<Country> {
    codes
        .iter()
        .map(|code| Country::parse(code).unwrap())
        .collect()
}

/// A tenant of whom all is known and nothing speaks against.
fn clear() -> Facts {
    Facts {
        tenant: TenantFacts {
            state: "approved".into(),
            headquarters: countries(&["DE"]),
            headquarters_unknown: false,
            parent_known: true,
            parent_headquarters: countries(&["DE"]),
            end_customer_declared: true,
            resellers_unvetted: Some(false),
            screened: true,
            screening_age_days: Some(1),
            listed_ownership_min: Some(0),
            listed_ownership_max: Some(0),
            declared_use: "weather".into(),
            ..TenantFacts::default()
        },
        device: DeviceFacts {
            class: Class::A,
            ..DeviceFacts::default()
        },
    }
}

fn broken(pack: &Pack, facts: &Facts, day: &str) -> Vec<String> {
    let decision = pack.decide(facts, at(day));
    let broken = decision.broken().iter();
    broken
        .map(|broken| broken.policy.id().to_string())
        .collect()
}

// ---- the default pack ----

#[test]
fn the_default_pack_reads_and_all_its_examples_come_out_as_they_say() {
    let pack = policy::shipped();
    let report = pack.check();
    assert!(report.is_good(), "{:#?}", report.failed);
    assert!(report.examples >= 2 * 12);
    assert!(pack.notice().contains("Not legal advice"));
}

#[test]
fn the_default_pack_has_a_policy_for_every_rule_that_policies_file_under() {
    let pack = policy::shipped();
    for rule in Rule::OF_POLICIES {
        let policy = pack.policies().iter().find(|policy| policy.rule() == rule);
        let policy = policy.unwrap_or_else(|| panic!("no policy for {}", rule.as_str()));
        assert!(rule == Rule::Policy || policy.severity() == rule.severity());
    }
}

#[test]
fn a_tenant_of_whom_nothing_is_known_is_not_allowed_and_never_called_listed() {
    let pack = policy::shipped();
    let decision = pack.decide(&Facts::default(), at("2026-11-20"));
    assert!(!decision.is_allowed());
    let rules: Vec<Rule> = decision
        .broken()
        .iter()
        .map(|one| one.policy.rule())
        .collect();
    assert!(rules.contains(&Rule::ParentUnknown), "{rules:?}");
    assert!(rules.contains(&Rule::ScreeningStale), "{rules:?}");
    assert!(!rules.contains(&Rule::ListedParty), "{rules:?}");
    assert!(pack.decide(&clear(), at("2026-11-20")).is_allowed());
}

#[test]
fn a_hit_of_a_tenant_that_was_not_screened_is_not_there() {
    let mut facts = clear();
    facts.tenant.listed = [affiant_judge::screening::Class::Exact].into();
    let pack = policy::shipped();
    assert!(broken(&pack, &facts, "2026-11-20").contains(&"listed-party".to_owned()));
    facts.tenant.screened = false;
    assert!(!broken(&pack, &facts, "2026-11-20").contains(&"listed-party".to_owned()));
}

// ---- deciding ----

#[test]
fn what_no_policy_forbids_is_allowed_and_what_one_in_shadow_forbids_is_too() {
    let text = when("a", "principal.intermediaries > 0").replace("enforce", "shadow");
    let pack = pack(&text);
    assert!(pack.decide(&clear(), 0).broken().is_empty());
    let mut facts = clear();
    facts.tenant.intermediaries = 1;
    let decision = pack.decide(&facts, at("2026-01-01"));
    assert!(decision.is_allowed());
    let [broken] = decision.broken() else {
        panic!("{decision:?}");
    };
    assert_eq!(broken.policy.mode(), Mode::Shadow);
    assert_eq!(broken.policy.severity(), Severity::High);
    assert_eq!(broken.policy.rule(), Rule::Policy);
}

#[test]
fn a_policy_that_gives_no_answer_is_broken_and_says_why() {
    let text = when("a", "principal.intermediaries * 9223372036854775807 < 0");
    let pack = pack(&text);
    let mut facts = clear();
    facts.tenant.intermediaries = 1;
    assert!(pack.decide(&facts, at("2026-01-01")).is_allowed());
    facts.tenant.intermediaries = 2;
    let decision = pack.decide(&facts, at("2026-01-01"));
    assert!(!decision.is_allowed());
    let [broken] = decision.broken() else {
        panic!("{decision:?}");
    };
    assert!(
        broken.error.as_ref().unwrap().contains("overflow"),
        "{broken:?}"
    );
    assert_eq!(decision.errors().count(), 1);
}

#[test]
fn broken_policies_stand_in_the_order_of_the_file_however_many_there_are() {
    let names: Vec<String> = (0..24).map(|n| format!("p{}", (n * 7) % 24)).collect();
    let text: String = names
        .iter()
        .map(|id| when(id, "resource.class == \"3A090.a\""))
        .collect();
    assert_eq!(broken(&pack(&text), &clear(), "2026-01-01"), names);
}

#[test]
fn a_policy_applies_from_its_first_day_to_the_end_of_its_last() {
    let text = when("a", "resource.class == \"3A090.a\"")
        .replace("@mode", "@until(\"2020-01-02\")\n@mode");
    let pack = pack(&text);
    let first = at("2020-01-01");
    let end = at("2020-01-03");
    let allowed = |ms| pack.decide(&clear(), ms).is_allowed();
    assert!(allowed(first - 1) && !allowed(first) && !allowed(end - 1) && allowed(end));
    assert_eq!(
        pack.instants().iter().copied().collect::<Vec<_>>(),
        [first, end]
    );
}

#[test]
fn policies_read_the_groups_classes_and_limits_of_their_pack_by_any_name() {
    let manifest = format!(
        "{MANIFEST}[parameters.groups]\nnear = [\"de\", \"FR\"]\n\
         [parameters.classes]\nold = [\"3A090.b\"]\n[parameters.limits]\ndays = 7\n"
    );
    let text = when(
        "a",
        "principal.headquarters.containsAny(context.groups.near) && \
         !context.classes.old.contains(resource.class) && \
         principal has screening_age_days && principal.screening_age_days > context.limits.days",
    );
    let pack = read(&manifest, &text, "").unwrap();
    let mut facts = clear();
    assert!(pack.decide(&facts, at("2026-01-01")).is_allowed());
    facts.tenant.screening_age_days = Some(8);
    assert!(!pack.decide(&facts, at("2026-01-01")).is_allowed());
    facts.device.class = Class::B;
    assert!(pack.decide(&facts, at("2026-01-01")).is_allowed());
}

#[test]
fn a_policy_as_long_and_as_deep_as_may_be_is_read_and_gives_an_answer() {
    let chain = vec!["true"; 135].join(" && ");
    let deep = format!("{}{chain}{}", "(".repeat(20), ")".repeat(20));
    // Not true by itself, or it would be refused as a policy without a question.
    let text = when("a", &format!("{deep} && resource.class == \"3A090.a\""));
    let decision = pack(&text).decide(&clear(), at("2026-01-01"));
    assert_eq!(decision.broken().len(), 1);
    assert_eq!(decision.errors().count(), 0, "{decision:?}");
}

// ---- what is refused ----

#[test]
fn a_misspelt_attribute_is_named_by_place_with_what_was_meant() {
    let said = refused(&when("a", "principal.headquarter.contains(\"CN\")"));
    assert!(
        said.starts_with("policies.cedar, line 9, column 8: "),
        "{said}"
    );
    assert!(said.contains("did you mean `headquarters`?"), "{said}");
    assert!(
        said.contains("principal has state, ") && !said.contains("resource has"),
        "{said}"
    );
    for (condition, may) in [
        ("resource.colour == 1", "resource has class, "),
        ("context.limits.dayz == 1", "context.limits has "),
        (
            "context.lists.x == 1",
            "context has groups, classes and limits",
        ),
    ] {
        let said = refused(&when("a", condition));
        assert!(said.contains(may), "{condition}: {said}");
    }
}

#[test]
fn a_fact_that_may_be_absent_is_asked_for_first() {
    let said = refused(&when("a", "principal.screening_age_days > 3"));
    assert!(
        said.contains("line 9") && said.contains("ask `has` first"),
        "{said}"
    );
}

#[test]
fn what_is_no_cedar_is_named_by_place() {
    let said = refused(&stated("a", "forbd (principal, action, resource);"));
    assert!(
        said.starts_with("policies.cedar, line 8, column 1: "),
        "{said}"
    );
    assert!(said.contains("forbd") && said.contains("forbid"), "{said}");
}

#[test]
fn types_that_do_not_fit_and_conditions_that_never_hold_are_refused() {
    for condition in [
        "principal.headquarters == \"CN\"",
        "principal.screened > 3",
        "principal.screened && !principal.screened && false",
        "User::\"x\" == principal",
        "context.limits.days > 3",
    ] {
        let said = refused(&when("a", condition));
        assert!(
            said.starts_with("policies.cedar, line "),
            "{condition}: {said}"
        );
    }
}

#[test]
fn every_annotation_is_due_and_each_word_of_it_is_one_that_is_known() {
    let good = when("a", "resource.class == \"3A090.a\"");
    assert!(read(MANIFEST, &good, "").is_ok());
    for (from, to, said, remedy) in [
        (
            "@severity(\"high\")",
            "",
            "no @severity",
            "low, medium, high, critical",
        ),
        (
            "\"high\"",
            "\"hihg\"",
            "@severity \"hihg\" is not known",
            "low, medium, high, critical",
        ),
        (
            "\"in_force\"",
            "\"law\"",
            "@status \"law\" is not known",
            "in_force, proposed",
        ),
        (
            "\"enforce\"",
            "\"on\"",
            "@mode \"on\" is not known",
            "shadow, enforce",
        ),
        ("@since(\"2020-01-01\")", "", "no @since", "2026-11-10"),
        (
            "2020-01-01",
            "2020-02-30",
            "@since \"2020-02-30\" is no day",
            "2026-11-10",
        ),
        (
            "@mode",
            "@until(\"2019-01-01\")\n@mode",
            "@until lies before @since",
            "last day",
        ),
        (
            "@mode",
            "@author(\"me\")\n@mode",
            "@author is no annotation",
            "@finding, @until",
        ),
        (
            "@mode",
            "@finding(\"USAGE_GAP\")\n@mode",
            "@finding \"USAGE_GAP\"",
            "RESTRICTED_HQ",
        ),
        (
            "@id(\"a\")",
            "@id(\"A B\")",
            "@id is no plain word",
            "small letters",
        ),
        ("@id(\"a\")", "", "no @id", "small letters"),
        (
            "It is so.",
            "It is\\nso.",
            "@says is no plain sentence",
            "one line",
        ),
        (
            "@citation(\"none\")",
            "@citation(\" \")",
            "@citation is no plain",
            "plain text",
        ),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        let found = refused(&text);
        assert!(found.starts_with("policies.cedar, line "), "{found}");
        assert!(
            found.contains(said) && found.contains(remedy),
            "{from}: {found}"
        );
    }
}

#[test]
fn permits_templates_and_twins_are_refused() {
    let permit = stated("a", "permit (principal, action, resource);");
    assert!(refused(&permit).contains("no permit policies"));
    let template = stated("a", "forbid (principal == ?principal, action, resource);");
    assert!(refused(&template).contains("template"));
    let twins = when("a", "principal.screened").repeat(2);
    let said = refused(&twins);
    assert!(
        said.contains("line 10") && said.contains("stands above too"),
        "{said}"
    );
    assert!(refused("// nothing").contains("has no policy"));
}

#[test]
fn all_faults_are_said_at_once_in_the_order_of_the_file() {
    let text = when("a", "principal.x") + &when("b", "principal.y").replace("high", "low!");
    let said = refused(&text);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines.first().unwrap().contains("line 9"), "{said}");
    assert!(lines.last().unwrap().contains("line 18"), "{said}");
}

#[test]
fn a_policy_beyond_any_stack_is_refused_unread() {
    let deep = when(
        "a",
        &format!("{}true{}", "(".repeat(100_000), ")".repeat(100_000)),
    );
    assert!(refused(&deep).contains("brackets in one another"));
    let long = when("a", &vec!["true"; 40_000].join("&&"));
    assert!(refused(&long).contains("tokens"), "{}", refused(&long));
    let many = when("a", "true").repeat(300);
    assert!(refused(&many).contains("more than 256 policies"));
}

#[test]
fn a_manifest_names_what_it_cannot_use() {
    let policies = when("a", "principal.intermediaries > context.limits.depth");
    let limits = "[parameters.limits]\ndepth = 3\n";
    assert!(read(&format!("{MANIFEST}{limits}"), &policies, "").is_ok());
    for (added, place, said) in [
        (
            "depht = 3\n",
            "pack.toml",
            "parameters.limits.depht is read by no policy",
        ),
        ("Depth = 3\n", "line 6", "no name that a policy can read"),
        ("deep = -3\n", "line 6", "-3"),
        (
            "[parameters.groups]\nx = [\"China\"]\n",
            "line 7",
            "country codes",
        ),
        (
            "[parameters.groups]\nx = \"x.csv\"\n",
            "line 7",
            "no list of countries",
        ),
        (
            "[parameters.classes]\nx = [\"3A090.c\"]\n",
            "line 7",
            "3A090.c",
        ),
        ("[parameters.caps]\nx = 1\n", "line 6", "caps"),
        (
            "[parameters.classes]\nx = [\"not shown\"]\n",
            "line 7",
            "none of 3A090.a, 3A090.b, uncontrolled, unknown",
        ),
        (
            "[parameters.classes]\nx = [\"3A090.A\"]\n",
            "line 7",
            "write `3A090.a`?",
        ),
    ] {
        let manifest = format!("{MANIFEST}{limits}{added}");
        let found = read(&manifest, &policies, "").unwrap_err().to_string();
        assert!(
            found.contains(place) && found.contains(said),
            "{added}: {found}"
        );
    }
    let manifest = format!("{MANIFEST}{limits}").replace("\"own\"", "\"my own\"");
    let found = read(&manifest, &policies, "").unwrap_err().to_string();
    assert!(
        found.contains("line 1") && found.contains("no plain word"),
        "{found}"
    );
    let found = read("name = ", &policies, "").unwrap_err().to_string();
    assert!(found.contains("pack.toml, line 1"), "{found}");
}

#[test]
fn a_limit_that_cannot_be_meant_is_told_with_its_line_and_what_may_stand_there() {
    let files = policy::shipped_files().unwrap();
    let with = |line: &str| {
        let name = line.split(' ').next().unwrap();
        let files = files.iter().map(|(file, text)| {
            let stands = format!("\n{name} =");
            let text = match file {
                "pack.toml" => {
                    let start = text.find(&stands).unwrap() + 1;
                    let end = start + text[start..].find('\n').unwrap();
                    format!("{}{line}{}", &text[..start], &text[end..])
                }
                _ => text.to_owned(),
            };
            (file.to_owned(), text.into_bytes())
        });
        Pack::read(&PackFiles::new(files).unwrap())
    };
    for (line, range) in [
        ("affiliate_share = 50000", "1 to 10000"),
        ("affiliate_share = 0", "1 to 10000"),
        ("hit_days = 0", "1 to 3650"),
        ("screening_days = 0", "1 to 3650"),
        ("new_tenant_days = 0", "1 to 3650"),
        ("new_tenant_gpus = 0", "1 to"),
        ("mismatch_days = 32", "1 to 31"),
        ("mismatch_gpus = 0", "1 to"),
        ("mismatch_busy_percent = 101", "1 to 100"),
        ("report_operations_1e20 = 0", "1 to"),
        ("report_months = 13", "1 to 12"),
        ("operation_bits = 0", "1 to 64"),
        ("operation_percent = 0", "1 to 100"),
        ("correlated_percent = 200", "1 to 100"),
        ("correlated_gpus = 0", "1 to"),
    ] {
        let said = with(line).unwrap_err().to_string();
        assert!(
            said.starts_with("pack.toml, line ") && said.contains(&format!("write {range}")),
            "{line}: {said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    for line in [
        "affiliate_share = 1",
        "affiliate_share = 10000",
        "hit_days = 1",
        "mismatch_days = 31",
        "report_months = 12",
        "operation_bits = 64",
    ] {
        with(line).unwrap();
    }
}

#[test]
fn a_list_of_countries_is_read_line_by_line_and_one_that_nobody_names_is_refused() {
    let manifest = format!("{MANIFEST}[parameters.groups]\nfar = \"far.csv\"\n");
    let policies = when(
        "a",
        "principal.headquarters.containsAny(context.groups.far)",
    );
    let with = |manifest: &str, name: &str, list: &str| {
        let mut files = files(manifest, &policies, "");
        files.push((name.to_owned(), list.as_bytes().to_vec()));
        Pack::read(&PackFiles::new(files)?)
    };
    let pack = with(&manifest, "far.csv", "# code,name\nCN,China\n\nru\n").unwrap();
    assert_eq!(
        pack.parameters().groups().get("far"),
        Some(&countries(&["CN", "RU"]))
    );
    let said = with(&manifest, "far.csv", "CN\nChina\n")
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("far.csv, line 2, column 1: \"China\""),
        "{said}"
    );
    let said = with(&manifest, "far.csv", "CN\nCN\n")
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("line 2") && said.contains("earlier line"),
        "{said}"
    );
    let inline = format!("{MANIFEST}[parameters.groups]\nfar = [\"CN\"]\n");
    let said = with(&inline, "far.csv", "CN\n").unwrap_err().to_string();
    assert!(
        said.contains("no group of pack.toml names this file"),
        "{said}"
    );
}

#[test]
fn a_packs_own_device_table_is_read_and_named_in_its_faults() {
    let with = |table: &str| {
        let mut files = files(MANIFEST, &when("a", "principal.screened"), "");
        files.push(("devices.csv".to_owned(), table.as_bytes().to_vec()));
        Pack::read(&PackFiles::new(files)?)
    };
    let head = "pci_device_id,names,class,tpp,pd,mem_bw,source,as_of\n";
    let pack = with(&format!("{head},X1,3A090.b,,,,s,2026-11-22\n")).unwrap();
    assert_eq!(pack.devices().unwrap().rows().len(), 1);
    let said = with(&format!("{head},X1,3A090.c,,,,s,d\n"))
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("devices.csv") && said.contains("line 2"),
        "{said}"
    );
}

#[test]
fn what_is_no_file_of_a_pack_is_refused_by_name() {
    for name in ["notes.md", "../pack.toml", "a/b.csv", ".csv", "A.csv", ""] {
        let mut files = files(MANIFEST, "", "");
        files.push((name.to_owned(), Vec::new()));
        let said = PackFiles::new(files).unwrap_err().to_string();
        assert!(said.contains("no file of a pack"), "{name}: {said}");
    }
    let without = files(MANIFEST, "", "").into_iter().skip(1);
    assert_eq!(PackFiles::new(without), Err(BadPack::Missing("pack.toml")));
    let broken = [("pack.toml".to_owned(), vec![b'a', 0xff])];
    let said = PackFiles::new(broken).unwrap_err().to_string();
    assert!(said.contains("not UTF-8 at byte 1"), "{said}");
    let large = [(
        "pack.toml".to_owned(),
        vec![b' '; policy::MAX_FILE_BYTES + 1],
    )];
    assert!(matches!(
        PackFiles::new(large),
        Err(BadPack::TooLarge { .. })
    ));
}

// ---- one spelling ----

#[test]
fn a_pack_has_one_spelling_and_one_digest_whatever_order_its_files_came_in() {
    let mut given = files(MANIFEST, &when("a", "principal.screened"), "");
    let one = PackFiles::new(given.clone()).unwrap();
    given.reverse();
    let other = PackFiles::new(given).unwrap();
    assert_eq!(one.to_bytes(), other.to_bytes());
    let pack = Pack::parse(&one.to_bytes()).unwrap();
    assert_eq!(pack.digest(), one.digest());
    assert_eq!(PackFiles::parse(&one.to_bytes()).unwrap(), one);
}

#[test]
fn bytes_in_another_spelling_are_no_pack() {
    let good = PackFiles::new(files(MANIFEST, "", "")).unwrap().to_bytes();
    let mut message = v1::PackContent::decode(good.as_slice()).unwrap();
    message.files.reverse();
    let unordered = message.encode_to_vec();
    message.files.reverse();
    message.files.push(message.files.first().unwrap().clone());
    let twice = message.encode_to_vec();
    let mut trailing = good.clone();
    trailing.extend([0x10, 0x01]);
    let cut = good.get(..good.len() - 1).unwrap().to_vec();
    for bytes in [unordered, twice, trailing, cut] {
        assert!(matches!(
            PackFiles::parse(&bytes),
            Err(BadPack::NotAPack(_))
        ));
    }
    assert!(matches!(PackFiles::parse(&[]), Err(BadPack::Missing(_))));
}

// ---- examples ----

fn checked(examples: &str) -> Vec<(String, String)> {
    let policies = when("deep", "principal.intermediaries > 2");
    let pack = read(MANIFEST, &policies, examples).unwrap();
    let failed = pack.check().failed.into_iter();
    failed.map(|failed| (failed.name, failed.said)).collect()
}

const GOOD: &str = "[base.tenant]\nintermediaries = 3\n\
     [[example]]\nname = \"three\"\nat = \"2026-01-01\"\nbreaks = [\"deep\"]\n\
     [[example]]\nname = \"two\"\nat = \"2026-01-01\"\nbreaks = []\ntenant = { intermediaries = 2 }\n";

#[test]
fn an_example_that_comes_out_otherwise_fails_with_what_was_due_and_what_came() {
    assert_eq!(checked(GOOD), []);
    let failed = checked(&GOOD.replace("= 2 }", "= 4 }"));
    assert_eq!(failed.len(), 2, "{failed:?}");
    let first = failed.first().unwrap();
    assert_eq!(first.0, "two");
    assert_eq!(first.1, "breaks deep, due is none");
}

#[test]
fn a_policy_that_no_example_breaks_or_none_keeps_fails() {
    let none = checked("");
    assert_eq!(none.len(), 1);
    assert!(none.first().unwrap().1.contains("no example breaks it"));
    let only = GOOD.split("[[example]]\nname = \"two\"").next().unwrap();
    assert!(
        checked(only)
            .first()
            .unwrap()
            .1
            .contains("no example keeps it")
    );
}

#[test]
fn a_fact_that_is_misspelt_in_an_example_is_named() {
    let policies = when("deep", "principal.intermediaries > 2");
    for (from, to, said) in [
        (
            "tenant = { intermediaries",
            "tenant = { intermediary",
            "intermediary",
        ),
        (
            "[\"deep\"]",
            "[\"deap\"]",
            "no policy of the pack; there are deep",
        ),
        ("name = \"two\"", "name = \"three\"", "stands above too"),
        (
            "at = \"2026-01-01\"\nbreaks = []",
            "at = \"soon\"\nbreaks = []",
            "no day",
        ),
        ("breaks = []", "brakes = []", "brakes"),
    ] {
        let examples = GOOD.replacen(from, to, 1);
        assert_ne!(examples, GOOD, "{from}");
        let found = read(MANIFEST, &policies, &examples)
            .unwrap_err()
            .to_string();
        assert!(found.contains("examples.toml, line "), "{found}");
        assert!(found.contains(said), "{from}: {found}");
    }
}

#[test]
fn an_empty_group_holds_nobody_and_a_pack_needs_no_parameters() {
    let manifest = format!("{MANIFEST}[parameters.groups]\nfar = []\n");
    let text = when(
        "a",
        "principal.headquarters.containsAny(context.groups.far)",
    );
    let pack = read(&manifest, &text, "").unwrap();
    assert!(pack.decide(&clear(), at("2026-01-01")).broken().is_empty());
    let text = when("a", "resource.country == \"unknown\"");
    let pack = read(MANIFEST, &text, "").unwrap();
    assert_eq!(pack.decide(&clear(), at("2026-01-01")).broken().len(), 1);
}

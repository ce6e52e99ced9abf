//! Lists in the log: what they name is a finding when it is used, then and later, until officers decide.
//!
//! The names are those of the article and of entries near to them; the lists are this test's own.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use affiant_judge::{Known, Rule, dispositions::Disposition, screening::Class, timeline::Moment};
use affiant_proto::{digest, v1};
use log::{ANN, BO, Log, owns};

const MODELS: [&str; 1] = ["NVIDIA H100 80GB HBM3"];

const ENTITIES: &str = "\
name,aliases,country,address
Sichuan University,Chuanda,CN,\"No. 24 South Section 1, Yihuan Road, Chengdu\"
Zhangjiang Laboratory,Zhangjiang Lab; ZJLab,CN,\"No. 99 Haike Road, Pudong, Shanghai\"
Yuxin Technology,,CN,
\"Suzhou Keda Technology Co., Ltd.\",,CN,
";

const LABORATORIES: &str = "\
name,country
ATR Defense Science and Technology Key Laboratory at Shenzhen University,CN
";

/// Logs a version of an operator's list, in effect from `effective_unix_ms`.
fn import(log: &mut Log, list: &str, text: &str, effective_unix_ms: u64) -> u64 {
    let import = v1::ListImport {
        list: list.into(),
        version: text.len().to_string(),
        rows: text.lines().count() as u64 - 1,
        digest: digest(text.as_bytes()).as_bytes().to_vec(),
        format: "operator".into(),
        effective_unix_ms,
        ..Default::default()
    };
    let index = log.next();
    log.judge.list_import(index, ANN, &import);
    index
}

/// The same with the file at hand.
fn given(log: &mut Log, list: &str, text: &str, effective_unix_ms: u64) {
    log.judge.exhibit(text.as_bytes().to_vec());
    import(log, list, text, effective_unix_ms);
}

fn lists(log: &mut Log) {
    let now = log.now;
    given(log, "el", ENTITIES, now);
    given(log, "1286", LABORATORIES, now);
}

/// A tenant of one party under the namespace of the log's first workload.
fn tenant(log: &mut Log, id: &str, name: &str, headquarters: &str) {
    log.party(id, name, headquarters);
    log.tenant(v1::Tenant {
        id: id.into(),
        customer: id.into(),
        end_customer: id.into(),
        ultimate_parent: id.into(),
        declared_use: "research".into(),
        ..Default::default()
    });
    log.bind(id, id, "szu");
    log.approve(id);
}

fn case(name: &str, headquarters: &str) -> Log {
    let mut log = Log::new(&MODELS);
    lists(&mut log);
    tenant(&mut log, "t", name, headquarters);
    log.work(0);
    log
}

fn listed(log: &Log) -> Vec<Rule> {
    let of_lists = [Rule::ListedParty, Rule::PossibleListed, Rule::ListedContext];
    let rules = log.rules().into_iter();
    rules.filter(|rule| of_lists.contains(rule)).collect()
}

#[test]
fn the_article_on_its_lists() {
    // The university behind its intermediary: hidden it is undeclared, declared it is where it is, and a
    // laboratory within it is listed. The intermediary is near to two names and is neither.
    let through = |end_customer: &str| {
        let mut log = Log::new(&MODELS);
        lists(&mut log);
        log.party("szu", "Shenzhen University", "CN");
        log.party("yunda", "Yunda Technology", "SG");
        log.tenant(v1::Tenant {
            id: "t".into(),
            customer: "yunda".into(),
            intermediaries: vec!["yunda".into()],
            end_customer: end_customer.into(),
            ultimate_parent: "yunda".into(),
            declared_use: "research".into(),
            ..Default::default()
        });
        log.bind("b", "t", "szu");
        log.approve("t");
        log.work(0);
        log
    };
    assert_eq!(through("").rules(), [Rule::EndCustomerUndeclared]);
    let declared = through("szu");
    assert_eq!(declared.rules(), [Rule::RestrictedHq, Rule::ListedContext]);
    let context = declared
        .findings()
        .into_iter()
        .find(|it| it.rule == Rule::ListedContext);
    let detail = context.unwrap().details.join("; ");
    assert!(
        detail.contains("party szu") && detail.contains("on list 1286"),
        "{detail}"
    );

    assert_eq!(
        listed(&case("Sichuan University", "CN")),
        [Rule::ListedParty]
    );
    assert_eq!(listed(&case("四川大学", "CN")), [Rule::ListedParty]);
    assert_eq!(listed(&case("Zhejiang Lab", "CN")), [Rule::PossibleListed]);
    for clear in [
        "Tsinghua University",
        "China Coal Research Institute",
        "Yunda Technology",
    ] {
        assert_eq!(listed(&case(clear, "CN")), [], "{clear}");
    }
}

#[test]
fn a_near_name_is_a_finding_until_an_officer_clears_it_and_stays_one_for_what_was() {
    let mut log = case("Zhejiang Lab", "SG");
    let before = log.findings();
    assert_eq!(listed(&log), [Rule::PossibleListed]);
    log.decide_hit(ANN, v1::Verdict::Clear);
    log.work(0);
    log.work(0);
    let after = log.findings();
    let evidence = |findings: &[affiant_judge::Finding]| {
        let found = findings.iter().find(|it| it.rule == Rule::PossibleListed);
        found.map(|it| it.evidence.count)
    };
    assert_eq!((evidence(&before), evidence(&after)), (Some(1), Some(1)));
}

#[test]
fn a_grave_hit_takes_two_officers_and_one_that_is_confirmed_is_listed() {
    let mut log = case("Sichuan University", "SG");
    let hits = |log: &Log| {
        log.judge
            .registry()
            .screened(Moment::as_known_now(u64::MAX, log.now))
            .hits
    };
    assert!(hits(&log).first().unwrap().class >= Class::Strong);
    log.decide_hit(ANN, v1::Verdict::Clear);
    assert_eq!(
        hits(&log).first().unwrap().disposition,
        Disposition::Undecided
    );
    log.decide_hit(BO, v1::Verdict::Clear);
    assert_eq!(
        hits(&log).first().unwrap().disposition,
        Disposition::Cleared
    );

    let mut log = case("Zhejiang Lab", "SG");
    log.decide_hit(ANN, v1::Verdict::Confirm);
    log.work(0);
    assert_eq!(listed(&log), [Rule::ListedParty, Rule::PossibleListed]);
}

#[test]
fn a_list_that_took_effect_before_it_was_imported_is_known_later() {
    let mut log = Log::new(&MODELS);
    tenant(&mut log, "t", "Sichuan University", "SG");
    let start = log.now;
    log.work(0);
    log.work(0);
    assert_eq!(listed(&log), []);
    given(&mut log, "el", ENTITIES, start);
    let findings = log.findings();
    let found = findings
        .iter()
        .find(|it| it.rule == Rule::ListedParty)
        .unwrap();
    assert_eq!((found.known, found.evidence.count), (Known::Later, 2));
    // A version that no longer names it clears nothing that was.
    let shorter: Vec<&str> = ENTITIES
        .lines()
        .filter(|line| !line.contains("Sichuan"))
        .collect();
    let now = log.now;
    given(&mut log, "el", &(shorter.join("\n") + "\n"), now);
    assert_eq!(listed(&log), [Rule::ListedParty]);
    log.work(0);
    let later = log.findings();
    let found = later
        .iter()
        .find(|it| it.rule == Rule::ListedParty)
        .unwrap();
    assert_eq!(found.evidence.count, 2, "and is no finding from then on");
}

#[test]
fn a_list_whose_file_is_not_at_hand_is_not_judged_and_never_clear() {
    let mut log = Log::new(&MODELS);
    let now = log.now;
    import(&mut log, "el", ENTITIES, now);
    tenant(&mut log, "t", "Sichuan University", "SG");
    log.work(0);
    let figures = log.judge.figures();
    assert_eq!(figures.not_judged.get("list-import.v1"), Some(&1));
    let told = figures
        .notes
        .iter()
        .any(|note| note.contains("not screened against a version of list el"));
    assert!(told, "{:?}", figures.notes);
    // The file comes, and another one with as many entries as are claimed does not pass for it.
    log.judge.exhibit(b"name\nA\nB\nC\nD\n".to_vec());
    import(&mut log, "el", ENTITIES, now);
    assert_eq!(
        log.judge.figures().not_judged.get("list-import.v1"),
        Some(&2)
    );
}

#[test]
fn an_owner_on_a_list_who_holds_half_is_an_affiliate_and_one_of_unknown_share_may_be() {
    let mut log = Log::new(&MODELS);
    // On the day on which the pack's rule applies again.
    log.tick(1_794_268_800_000 - log.now);
    lists(&mut log);
    log.party("owner", "Sichuan University", "SG");
    tenant(&mut log, "t", "Harbour Analytics", "SG");
    log.say(owns("owner", "t"));
    log.approve("t");
    log.work(0);
    assert!(
        log.rules().contains(&Rule::Affiliate50Unresolved),
        "{:?}",
        log.rules()
    );
    assert!(!log.rules().contains(&Rule::Affiliate50));
    let v1::tenant_event::Body::Edge(edge) = owns("owner", "t") else {
        return;
    };
    log.say(v1::tenant_event::Body::Edge(v1::Edge {
        share_min_bp: Some(6_000),
        share_max_bp: Some(7_000),
        ..edge
    }));
    log.approve("t");
    log.work(0);
    let found = log
        .findings()
        .into_iter()
        .find(|it| it.rule == Rule::Affiliate50)
        .unwrap();
    assert!(
        found
            .details
            .iter()
            .any(|it| it.contains("hold 60.00 to 100.00 %")
                || it.contains("hold 100.00")
                || it.contains("hold 60.00 to 70.00 %")),
        "{:?}",
        found.details
    );
}

/// A person who bears the keys of these officers.
fn person(id: &str, officers: &[[u8; 32]]) -> v1::tenant_event::Body {
    let hex = |chain: &[u8; 32]| {
        chain
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let identifiers = officers.iter().map(|officer| v1::Identifier {
        scheme: "officer".into(),
        value: hex(officer),
        ..Default::default()
    });
    v1::tenant_event::Body::Party(v1::Party {
        id: id.into(),
        kind: v1::PartyKind::Person.into(),
        names: vec![v1::PartyName {
            text: "Ann Lee".into(),
            ..Default::default()
        }],
        identifiers: identifiers.collect(),
        headquarters: "SG".into(),
        ..Default::default()
    })
}

#[test]
fn two_keys_of_one_person_do_not_clear_a_grave_hit_and_no_officer_clears_his_own() {
    let disposition = |log: &Log| {
        let screened = log
            .judge
            .registry()
            .screened(Moment::as_known_now(u64::MAX, log.now));
        let hit = screened.hits.into_iter().find(|hit| hit.party == "t");
        hit.unwrap().disposition
    };
    let mut log = case("Sichuan University", "SG");
    log.say(person("ann-lee", &[ANN, BO]));
    log.decide_hit(ANN, v1::Verdict::Clear);
    log.decide_hit(BO, v1::Verdict::Clear);
    assert_eq!(disposition(&log), Disposition::Undecided);
    let noted = |log: &Log, what: &str| {
        log.judge
            .figures()
            .notes
            .iter()
            .any(|note| note.contains(what))
    };
    assert!(
        noted(&log, "another has to clear it"),
        "{:?}",
        log.judge.figures().notes
    );

    let mut log = case("Zhejiang Lab", "SG");
    log.say(person("ann-lee", &[ANN]));
    log.say(v1::tenant_event::Body::Edge(v1::Edge {
        from: "ann-lee".into(),
        to: "t".into(),
        kind: v1::EdgeKind::ActsFor.into(),
        ..Default::default()
    }));
    log.decide_hit(ANN, v1::Verdict::Clear);
    assert_eq!(disposition(&log), Disposition::Undecided);
    log.decide_hit(BO, v1::Verdict::Clear);
    assert_eq!(disposition(&log), Disposition::Cleared);
}

/// Whether a hit on a party stands open.
fn is_open(log: &Log, party: &str) -> bool {
    let at = Moment::as_known_now(u64::MAX, log.now);
    let screened = log.judge.registry().screened(at);
    let mut hits = screened.hits.iter();
    hits.any(|hit| hit.party == party && hit.is_open())
}

#[test]
fn nobody_clears_a_hit_on_himself_before_he_is_a_customer() {
    let mut log = Log::new(&MODELS);
    lists(&mut log);
    let v1::tenant_event::Body::Party(mut himself) = person("x", &[ANN]) else {
        unreachable!()
    };
    himself.names[0].text = "Sichuan University".into();
    log.say(v1::tenant_event::Body::Party(himself));
    log.decide_hit(ANN, v1::Verdict::Clear);
    log.decide_hit(BO, v1::Verdict::Clear);
    assert!(is_open(&log, "x"));
    log.decide_hit([3; 32], v1::Verdict::Clear);
    assert!(!is_open(&log, "x"), "two others may");
}

#[test]
fn what_one_person_cleared_with_two_keys_is_open_again_once_that_is_known() {
    let mut log = case("Sichuan University", "SG");
    log.decide_hit(ANN, v1::Verdict::Clear);
    log.decide_hit(BO, v1::Verdict::Clear);
    assert!(!is_open(&log, "t"));
    log.say(person("ann-lee", &[ANN, BO]));
    assert!(is_open(&log, "t"));
    log.decide_hit([3; 32], v1::Verdict::Clear);
    assert!(!is_open(&log, "t"), "with another person's");
}

#[test]
fn what_an_officer_cleared_for_whom_he_acts_is_open_again_once_that_is_known() {
    let mut log = case("Zhejiang Lab", "SG");
    log.say(person("ann-lee", &[ANN]));
    log.decide_hit(ANN, v1::Verdict::Clear);
    assert!(!is_open(&log, "t"));
    log.say_since(
        0,
        v1::tenant_event::Body::Edge(v1::Edge {
            from: "ann-lee".into(),
            to: "t".into(),
            kind: v1::EdgeKind::ActsFor.into(),
            ..Default::default()
        }),
    );
    assert!(is_open(&log, "t"));
}

#[test]
fn a_version_that_cannot_be_read_replaces_none_and_aliases_no_list() {
    let mut log = case("Sichuan University", "SG");
    assert!(is_open(&log, "t"));
    let now = log.now;
    import(&mut log, "el", "name\nSomebody else\n", now);
    assert!(is_open(&log, "t"), "its file is not at hand");
    log.work(0);
    let notes = log.judge.figures().notes;
    let told = notes
        .iter()
        .any(|note| note.contains("a version of list el whose file"));
    assert!(told, "{notes:?}");

    let aliases = "Sichuan University,SCU\n";
    log.judge.exhibit(aliases.as_bytes().to_vec());
    let import = v1::ListImport {
        list: "el".into(),
        version: "a".into(),
        rows: 1,
        digest: digest(aliases.as_bytes()).as_bytes().to_vec(),
        format: "aliases".into(),
        effective_unix_ms: log.now,
        ..Default::default()
    };
    let index = log.next();
    log.judge.list_import(index, ANN, &import);
    assert!(is_open(&log, "t"), "{:?}", log.judge.figures().notes);
}

#[test]
fn one_file_that_is_imported_as_two_lists_is_two_lists_to_every_judge() {
    let hits = |log: &Log| {
        let at = Moment::as_known_now(u64::MAX, log.now);
        let hits = log.judge.registry().screened(at).hits;
        hits.into_iter().map(|hit| hit.list).collect::<Vec<_>>()
    };
    let mut log = Log::new(&MODELS);
    tenant(&mut log, "t", "Sichuan University", "SG");
    let now = log.now;
    given(&mut log, "a", ENTITIES, now);
    assert_eq!(hits(&log), ["a"]);
    given(&mut log, "a", "name,country\nSomebody else,US\n", now);
    given(&mut log, "b", ENTITIES, now);
    assert_eq!(hits(&log), ["b"]);
}

#[test]
fn uses_that_grew_together_are_judged_by_what_was_known_at_their_end() {
    let mut log = Log::new(&MODELS);
    tenant(&mut log, "t", "Sichuan University", "SG");
    log.work(0);
    lists(&mut log);
    log.decide_hit(ANN, v1::Verdict::Clear);
    log.decide_hit(BO, v1::Verdict::Clear);
    log.tick(1_000);
    for _ in 0..1_100 {
        log.party("z", "Another", "US");
        log.work(0);
    }
    log.say_since(0, log::party("y", "Back-dated", "US"));
    let later = log
        .findings()
        .into_iter()
        .filter(|it| it.known == Known::Later);
    assert_eq!(later.collect::<Vec<_>>(), []);
}

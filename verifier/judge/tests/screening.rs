//! Promises of screening, over a list of a few lines.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use affiant_judge::screening::{
    Agreement, Aliases, Class, Hit, Judged, List, Name, Score, Screener, Subject, compare,
    import::{self, Fault, Kind, MAX_ROWS},
    read_pairs,
};
use proptest::prelude::*;

/// A list as an operator writes it: what the traps of the facts need, and not more.
const LIST: &str = "\
name,aliases,country,address,identifiers
Sichuan University,,CN,\"No. 24 South Section 1, First Ring Road, Chengdu\",
University of Science and Technology of China,USTC,CN,\"96 Jinzhai Road, Hefei, Anhui\",
Beijing Academy of Artificial Intelligence,BAAI; Zhiyuan Research Institute,CN,\"150 Chengfu Road, Haidian District, Beijing\",
Zhangjiang Laboratory,Zhangjiang Lab; ZJLab,CN,\"99 Haike Road, Pudong, Shanghai\",
ATR Key Laboratory of Intelligent Information Processing at Shenzhen University,,CN,,
Beihang University Shenzhen Research Institute,,CN,\"Yuexing Third Road, Shenzhen\",
Yuxin Technology,,CN,,
\"Suzhou Keda Technology Co., Ltd.\",,CN,\"131 Jinshan Road, Suzhou\",91320500758983348X
China Ship Research and Development Academy,,CN,,
China Electronics Technology Group Corporation 54th Research Institute,CETC 54,CN,,
Inspur Group Co. Ltd,,CN,,
";

fn screener() -> Screener {
    let list = import::read("fixture", LIST.as_bytes()).unwrap();
    Screener::over([Arc::new(list)], Aliases::shipped())
}

fn named(name: &str) -> Subject {
    Subject {
        names: vec![name.to_owned()],
        ..Subject::default()
    }
}

fn hits(name: &str) -> Vec<Hit> {
    screener().screen(&named(name))
}

/// The nearest class, and the entry that has it.
fn nearest(name: &str) -> Option<(Class, String)> {
    hits(name)
        .into_iter()
        .next()
        .map(|it| (it.class, it.listed))
}

#[test]
fn the_traps_of_the_facts_have_their_classes() {
    for (name, due) in [
        ("四川大学", Some((Class::Exact, "Sichuan University"))),
        (
            "Zhejiang Lab",
            Some((Class::Possible, "Zhangjiang Laboratory")),
        ),
        ("ZJLab", Some((Class::Exact, "Zhangjiang Laboratory"))),
        ("Yunda Technology", None),
        ("成都運達科技", None),
        ("Tsinghua University", None),
        ("清华大学", None),
        ("China Coal Research Institute", None),
        (
            "Shenzhen University",
            Some((
                Class::Context,
                "ATR Key Laboratory of Intelligent Information Processing at Shenzhen University",
            )),
        ),
        (
            "Beijing Academy of AI",
            Some((Class::Exact, "Beijing Academy of Artificial Intelligence")),
        ),
        (
            "BAAI",
            Some((Class::Exact, "Beijing Academy of Artificial Intelligence")),
        ),
        (
            "Suzhou Institute for Advanced Research, University of Science and Technology of China",
            Some((
                Class::Context,
                "University of Science and Technology of China",
            )),
        ),
        ("Southern University of Science and Technology", None),
        (
            "中国电子科技集团公司第五十四研究所",
            Some((
                Class::Exact,
                "China Electronics Technology Group Corporation 54th Research Institute",
            )),
        ),
        (
            "China Electronics Technology Group Corporation 55th Research Institute",
            None,
        ),
        ("Inspur", Some((Class::Strong, "Inspur Group Co. Ltd"))),
    ] {
        let found = nearest(name);
        let found = found
            .as_ref()
            .map(|(class, listed)| (*class, listed.as_str()));
        assert_eq!(found, due, "{name}");
    }
    let only = hits("Shenzhen University");
    assert_eq!(
        only.len(),
        1,
        "an institute that has all its words is another matter: {only:?}"
    );
}

#[test]
fn a_hit_shows_which_words_stand_for_which() {
    let found = hits("Zhejiang Lab");
    let pairs: Vec<(&str, &str)> = found[0]
        .tokens
        .iter()
        .map(|it| (it.asked.as_str(), it.listed.as_str()))
        .collect();
    assert_eq!(pairs, [("zhejiang", "zj"), ("laboratory", "laboratory")]);
    assert_eq!(found[0].matched_name, "ZJLab");
}

#[test]
fn addresses_countries_and_numbers_move_a_class_and_never_hide_a_hit() {
    let asked = |name: &str, country: &str, address: &str, number: &str| {
        let some = |it: &str| {
            [it].iter()
                .filter(|it| !it.is_empty())
                .map(|it| (*it).to_owned())
                .collect()
        };
        let subject = Subject {
            names: vec![name.to_owned()],
            countries: some(country),
            addresses: some(address),
            identifiers: some(number),
        };
        screener().screen(&subject).into_iter().next().unwrap()
    };
    let lab = asked(
        "Zhejiang Lab",
        "China",
        "Kechuang Avenue, Hangzhou, Zhejiang",
        "",
    );
    assert_eq!(lab.class, Class::Possible);
    assert_eq!(lab.corroboration.country, Agreement::Agrees);
    assert_eq!(lab.corroboration.address, Agreement::Contradicts);
    let same = asked("Keda Technology", "CN", "No. 131 Jinshan Rd, Suzhou", "");
    assert_eq!(
        (same.class, same.corroboration.address),
        (Class::Possible, Agreement::Unknown)
    );
    let there = asked("Zhiyuan Institute", "CN", "150 Chengfu Road, Haidian", "");
    assert!(there.class >= Class::Context);
    let abroad = asked("Sichuan University", "Peru", "Lima", "");
    assert_eq!(
        (abroad.class, abroad.corroboration.country),
        (Class::Strong, Agreement::Contradicts)
    );
    let abroad = asked("Inspur", "Peru", "", "");
    assert_eq!(abroad.class, Class::Possible);
    let renamed = asked("Quite Another Name", "", "", "9132 0500 7589 8334 8X");
    assert_eq!(
        (renamed.class, renamed.listed.as_str()),
        (Class::Strong, "Suzhou Keda Technology Co., Ltd.")
    );
    assert_eq!(renamed.corroboration.identifier, Agreement::Agrees);
}

#[test]
fn the_order_of_lists_and_names_does_not_matter() {
    let lines: Vec<&str> = LIST.lines().collect();
    let (head, rows) = lines.split_first().unwrap();
    let list = |id: &str, rows: &[&str]| {
        let text = format!("{head}\n{}\n", rows.join("\n"));
        Arc::new(import::read(id, text.as_bytes()).unwrap())
    };
    let (a, b) = (list("a", &rows[..5]), list("b", &rows[5..]));
    let one = Screener::over([a.clone(), b.clone()], &Aliases::none());
    let other = Screener::over([b, a], &Aliases::none());
    for name in [
        "Shenzhen University",
        "四川大学",
        "CETC 54",
        "Keda Technology",
        "Technology",
    ] {
        assert_eq!(
            one.screen(&named(name)),
            other.screen(&named(name)),
            "{name}"
        );
    }
}

#[test]
fn an_operators_aliases_lead_to_listed_names() {
    let list = Arc::new(import::read("fixture", LIST.as_bytes()).unwrap());
    assert_eq!(
        Screener::over([list.clone()], &Aliases::none()).screen(&named("Old Brand")),
        []
    );
    let aliases = Aliases::parse(b"Old Brand,Yuxin Technology\n").unwrap();
    let found = Screener::over([list], &aliases).screen(&named("Old Brand"));
    assert_eq!(
        (found[0].class, found[0].asked.as_str()),
        (Class::Exact, "Yuxin Technology")
    );
}

#[test]
fn chinese_names_are_found_in_known_variants_and_others_are_not() {
    let file = include_bytes!("data/chinese_organisations.csv");
    let judged: Vec<Judged> = read_pairs(file)
        .unwrap()
        .into_iter()
        .map(Judged::of)
        .collect();
    assert!(judged.len() >= 300);
    let score = Score::of(&judged);
    let wrong: Vec<String> = judged
        .iter()
        .filter(|it| it.is_match() != it.pair.is_match)
        .map(|it| format!("{} | {}", it.pair.name1, it.pair.name2))
        .collect();
    assert!(score.recall().unwrap() >= 0.95, "{score:?} {wrong:#?}");
    assert!(score.precision().unwrap() >= 0.95, "{score:?} {wrong:#?}");
    // The fourth column says which class is due, where the reason tells.
    let text = std::str::from_utf8(file).unwrap();
    let mut other = Vec::new();
    for (it, line) in judged.iter().zip(text.lines().skip(1)) {
        let classes = ["exact", "strong", "possible", "context"];
        let due = classes
            .into_iter()
            .find(|it| line.contains(&format!(",{it},")));
        let found = it.class.map(Class::as_str);
        if due.is_some() && due != found {
            other.push(format!("{}: {line}", found.unwrap_or("none")));
        }
    }
    assert!(other.is_empty(), "{other:#?}");
}

#[test]
fn a_column_that_is_missing_twice_or_unknown_is_refused_with_its_name() {
    for (text, message) in [
        (
            "",
            "operator's list (CSV), line 1: neither JSON nor a CSV header with a column for names; give the file as its source publishes it, with its header",
        ),
        (
            "country,program\nCN,x\n",
            "operator's list (CSV), line 1: there is no column `name`; give the file as its source publishes it, with its header",
        ),
        (
            "name,Name\na,b\n",
            "operator's list (CSV), line 1: the header has the column `name` twice; leave one of the columns out",
        ),
        (
            "name,nmae\na,b\n",
            "operator's list (CSV), line 1: the column `nmae` is not known; name columns name, aliases, country, address, identifiers and program",
        ),
        (
            "name,country\nExample,CN\n\"Exa,CN\n",
            "operator's list (CSV), line 3, column 1: the quotation mark is never closed; quote fields that contain commas, and double quotation marks inside them",
        ),
        (
            "name,country\nExample,CN\nExample\n",
            "operator's list (CSV), line 3: the row has 1 columns, the header 2; load the file again from its source, or complete the row",
        ),
        (
            "name\n",
            "operator's list (CSV), the file: nobody is on it; check the download: an empty list would clear everybody",
        ),
        (
            "name,country\n ,CN\n",
            "operator's list (CSV), line 2, column name: the name is empty or has no letter or digit; give the row a name or leave it out",
        ),
        (
            "source,country\nEL,CN\n",
            "consolidated screening list (CSV), line 1: there is no column `name`; give the file as its source publishes it, with its header",
        ),
        (
            "{\"list_id\": \"x\"}",
            "list (JSON), line 1, column 16: not the JSON of a list: missing field `entities` at line 1 column 16; give an object with list_id and entities, each with a name",
        ),
        (
            "{\"list_id\":\"x\",\"entities\":[{\"name\":\"a b\"},\n{\"name\":\"\"}]}",
            "list (JSON), line 2, column entities[1].name: the name is empty or has no letter or digit; give the row a name or leave it out",
        ),
    ] {
        let found = import::read("x", text.as_bytes());
        let found = found
            .map(|it| it.entries().len())
            .map_err(|it| it.to_string());
        assert_eq!(found, Err(message.to_owned()), "{text}");
    }
    let broken = import::read("x", b"name,country\nExample,CN\nExa\xffmple,CN\n").unwrap_err();
    assert_eq!((broken.kind(), broken.place().line), (Kind::Operator, 3));
    assert_eq!(broken.fault(), &Fault::NotUtf8 { byte: 27 });
}

#[test]
fn a_file_of_a_million_rows_is_refused_and_the_bound_is_named() {
    let text = format!("name\n{}", "Example Works\n".repeat(1_000_000));
    let error = import::read("x", text.as_bytes()).unwrap_err();
    assert_eq!(error.fault(), &Fault::TooManyRows);
    assert!(error.to_string().contains(&MAX_ROWS.to_string()), "{error}");
}

#[test]
fn layouts_of_the_consolidated_list_are_told_by_their_columns() {
    let layouts: [(&str, usize); 4] = [
        (
            "source,entity_number,type,programs,name,title,addresses,federal_register_notice,alt_names,ids\nEntity List (EL),7,Entity,,Example Works,,\"1 Road, City, CN; 2 Road, City, CN\",,\"EW; Example Factory\",\"CN, 911100001234567890, Registration ID\"\nUnverified List,,,,Other Works,,,,,\n",
            2,
        ),
        (
            "Source List,Entity Number,SDN Type,Programs,Name,Address,City,Country,Alternate Name,,,\nEL,,,,Example Works,1 Road,City,China,EW\nEL,,,,Example Works,2 Road,City,China,EW\nEL,,,,Example Works,2 Road,City,China,Example Factory\n",
            1,
        ),
        (
            "Source List,Programs,Name,Alternative Names,Country,Federal Register Notice\nISN,X,Example Works,EW; Example Factory,China,\n,,,,,\n",
            1,
        ),
        (
            "COUNTRY,NAME,ADDRESS,,,,,\nChina,Example Works,\"1 Road, City\",,,,,\nChina,Example Works,\"2 Road, City\"\n",
            1,
        ),
    ];
    for (text, entries) in layouts {
        let list = import::read("csl", text.as_bytes()).unwrap();
        assert_eq!(list.entries().len(), entries, "{text}");
        let first = &list.entries()[0];
        assert_eq!(first.name(), "Example Works");
        assert!(
            first
                .countries()
                .iter()
                .any(|it| it == "China" || it == "CN"),
            "{first:?}"
        );
        let aliases = first.names().len();
        assert!(
            aliases == 3 || text.starts_with("COUNTRY") && aliases == 1,
            "{first:?}"
        );
    }
    // The Unverified List alone was published in another encoding; any other file is UTF-8.
    let old = b"COUNTRY,NAME,ADDRESS\nChina,Example Works,\"53\x9659 Road\"\n";
    assert_eq!(
        import::read("uvl", old).unwrap().entries()[0].addresses(),
        ["53–59 Road"]
    );
}

#[test]
fn clauses_in_names_aliases_and_addresses_are_names() {
    let text = "name,aliases,address\n\"Example Works, a.k.a., the following two aliases: —EWK; —Example Factory\",formerly Old Works,\"a.k.a. Beta Works; Road, City\"\n";
    let list = import::read("x", text.as_bytes()).unwrap();
    let names = list.entries()[0].names();
    for name in [
        "Example Works",
        "EWK",
        "Example Factory",
        "Old Works",
        "Beta Works",
    ] {
        assert!(names.iter().any(|it| it == name), "{name} in {names:?}");
    }
}

fn class(a: &str, b: &str) -> Option<Class> {
    compare(a, b).map(|it| it.0)
}

fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "Example",
        "University",
        "of",
        "Technology",
        "四川",
        "大学",
        "OOO",
        "Газпром",
        "Co., Ltd.",
        "(ABC)",
        "No. 5",
        "XI",
        "a.k.a.",
        "/",
        "Beijing",
        "研究院",
        "第五十四",
        "'s",
        "&",
        "Huaxin",
        "GmbH",
        "é",
        "السلام",
        "カ",
        "—",
        ".",
        "AI",
    ]);
    prop::collection::vec(word, 0..8).prop_map(|it| it.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_name_is_exactly_itself_and_exact_has_no_direction(a in words(), b in words()) {
        if Name::read(&a).is_some() && compare(&a, &a).is_some() {
            prop_assert_eq!(class(&a, &a), Some(Class::Exact));
        }
        let exact = |it: Option<Class>| it == Some(Class::Exact);
        prop_assert_eq!(exact(class(&a, &b)), exact(class(&b, &a)), "{} | {}", a, b);
    }

    #[test]
    fn any_bytes_are_a_list_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(list) = import::read("x", &bytes) {
            prop_assert!(!list.entries().is_empty());
        }
    }
}

#[test]
fn one_list_is_a_whole_list() {
    let list: List = import::read("fixture", LIST.as_bytes()).unwrap();
    assert_eq!(
        (list.id(), list.rows(), list.entries().len()),
        ("fixture", 11, 11)
    );
    assert_eq!(screener().names(), list.names());
}

//! Screening over real lists, which are not part of this repository: `../shared/lists`.
//!
//! Without that folder these tests count as ignored, and it is said why.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use affiant_judge::screening::{
    Aliases, Class, Hit, Judged, List, Score, Screener, Subject, import, read_pairs,
};
use libtest_mimic::{Arguments, Failed, Trial};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn shared() -> PathBuf {
    root().join("../shared/lists")
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let ignored = !shared().is_dir();
    if ignored {
        eprintln!("ignored: there is no folder {}", shared().display());
    }
    type Test = fn() -> Result<(), Failed>;
    let tests: [(&str, Test); 6] = [
        ("every_layout_of_every_list_is_read", layouts),
        (
            "labelled_pairs_are_told_apart_better_than_by_any_peer",
            labelled,
        ),
        (
            "the_traps_of_the_facts_have_their_classes_over_the_real_lists",
            traps,
        ),
        ("clean_names_raise_few_alerts", clean),
        (
            "listed_names_are_found_in_the_variants_people_write",
            variants,
        ),
        ("a_list_that_lost_a_byte_is_not_half_a_list", broken),
    ];
    let trial = |(name, test): (&str, Test)| Trial::test(name, test).with_ignored_flag(ignored);
    libtest_mimic::run(&arguments, tests.map(trial).into()).exit_code()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(shared().join(folder)).unwrap();
    let mut files: Vec<PathBuf> = all.map(|it| it.unwrap().path()).collect();
    // Metadata of the lists, and no list.
    files.retain(|it| !it.ends_with("lists.json"));
    files.sort();
    files
}

fn lists() -> Vec<Arc<List>> {
    let read = |path: PathBuf| Arc::new(import::read("x", &fs::read(path).unwrap()).unwrap());
    files("us-lists-2026-07-09").into_iter().map(read).collect()
}

fn screener() -> Screener {
    Screener::over(lists(), Aliases::shipped())
}

fn ask(screener: &Screener, name: &str) -> Vec<Hit> {
    screener.screen(&Subject {
        names: vec![name.to_owned()],
        ..Subject::default()
    })
}

fn layouts() -> Result<(), Failed> {
    for path in files("csl-format") {
        let list = import::read("csl", &fs::read(&path)?)?;
        assert!(!list.entries().is_empty(), "{}", path.display());
    }
    let entries: usize = lists().iter().map(|it| it.entries().len()).sum();
    assert_eq!(entries, 3_409 + 70 + 80 + 134 + 68 + 528 + 15);
    Ok(())
}

fn labelled() -> Result<(), Failed> {
    let file = fs::read(shared().join("name-pairs/organisation_pairs_dev.csv"))?;
    let judged: Vec<Judged> = read_pairs(&file)?.into_iter().map(Judged::of).collect();
    let score = Score::of(&judged);
    assert!(
        score.f1() > Some(0.92) && score.recall() > Some(0.95),
        "{score:?}"
    );
    Ok(())
}

fn traps() -> Result<(), Failed> {
    let screener = screener();
    for (name, class, listed) in [
        ("四川大学", Some(Class::Exact), "Sichuan University"),
        (
            "Zhejiang Lab",
            Some(Class::Possible),
            "Zhangjiang Laboratory",
        ),
        ("ZJLab", Some(Class::Exact), "Zhangjiang Laboratory"),
        ("Yunda Technology", None, ""),
        ("成都運達科技", None, ""),
        ("Southern University of Science and Technology", None, ""),
        ("China Coal Research Institute", None, ""),
        ("CNKI", None, ""),
        ("Chongqing Changan Automobile", None, ""),
        (
            "Beijing Academy of AI",
            Some(Class::Exact),
            "Beijing Academy of Artificial Intelligence",
        ),
        (
            "BAAI",
            Some(Class::Exact),
            "Beijing Academy of Artificial Intelligence",
        ),
        (
            "中国科学技术大学苏州高等研究院",
            Some(Class::Context),
            "University of Science and Technology of China",
        ),
    ] {
        let hits = ask(&screener, name);
        let nearest = hits.first().map(|it| (it.class, it.listed.as_str()));
        assert_eq!(nearest, class.map(|it| (it, listed)), "{name}: {hits:#?}");
    }
    for name in ["Shenzhen University", "Tsinghua University"] {
        let hits = ask(&screener, name);
        assert!(
            hits.iter().all(|it| it.class == Class::Context),
            "{name}: {hits:#?}"
        );
        assert!(
            hits.len() == 1 && hits[0].listed.contains(name),
            "{name}: {hits:#?}"
        );
    }
    Ok(())
}

fn clean() -> Result<(), Failed> {
    let screener = screener();
    let file =
        fs::read_to_string(root().join("verifier/judge/tests/data/clean_organisations.txt"))?;
    let names: Vec<&str> = file.lines().filter(|it| !it.starts_with('#')).collect();
    assert!(names.len() >= 1_000);
    let alert = |name: &&&str| ask(&screener, name).iter().any(|it| it.class.is_match());
    let alerts: Vec<&&str> = names.iter().filter(alert).collect();
    assert!(
        alerts.len() * 1_000 <= names.len() * 50,
        "{} of {}: {alerts:?}",
        alerts.len(),
        names.len()
    );
    Ok(())
}

/// One way in which people write a name otherwise; `None` where there is nothing to write so.
type Variant = fn(&str) -> Option<String>;

const VARIANTS: [Variant; 6] = [
    // Capitals, and no marks.
    |name| Some(name.to_uppercase().replace([',', '.', '-', '\''], " ")),
    // Another legal form.
    |name| {
        let bare = name
            .strip_suffix("Co., Ltd.")
            .or_else(|| name.strip_suffix("LLC"))?;
        Some(format!(
            "{} Company Limited",
            bare.trim_end_matches([' ', ','])
        ))
    },
    // Usual abbreviations.
    |name| {
        let words = [
            ("Technology", "Tech."),
            ("Technologies", "Tech"),
            ("University", "Univ."),
            ("Institute", "Inst."),
            ("International", "Int'l"),
            ("Research", "Res."),
            ("Academy", "Acad."),
            ("Laboratory", "Lab"),
            ("Group", "Grp"),
            ("Corporation", "Corp."),
        ];
        let short = words.iter().fold(name.to_owned(), |name, (long, short)| {
            name.replace(long, short)
        });
        (short != name).then_some(short)
    },
    // Two letters of the longest word change places.
    |name| {
        let word = name.split(' ').max_by_key(|it| it.len())?;
        let letters: Vec<char> = word.chars().collect();
        if letters.len() < 8 || !letters.iter().all(char::is_ascii_alphabetic) {
            return None;
        }
        let mut slipped = letters.clone();
        slipped.swap(4, 5);
        Some(name.replace(word, &slipped.into_iter().collect::<String>()))
    },
    |name| name.contains(" and ").then(|| name.replace(" and ", " & ")),
    |name| Some(format!("The {name}")),
];

fn variants() -> Result<(), Failed> {
    let screener = screener();
    let (mut asked, mut missed) = (0, Vec::new());
    for list in screener.lists() {
        // Every seventh entry: some 600 entries, of all lists and countries.
        for (at, entry) in list.entries().iter().enumerate().step_by(7) {
            if entry.name().split(' ').count() < 2 {
                continue;
            }
            for variant in VARIANTS.iter().filter_map(|it| it(entry.name())) {
                asked += 1;
                let hits = ask(&screener, &variant);
                let found =
                    |it: &Hit| it.list == list.id() && it.entry == at && it.class.is_match();
                if !hits.iter().any(found) {
                    missed.push(format!("{variant} for {}", entry.name()));
                }
            }
        }
    }
    println!("{asked} variants, {} missed", missed.len());
    assert!(asked > 1_500);
    assert!(
        missed.len() * 100 <= asked * 5,
        "{} of {asked}: {missed:#?}",
        missed.len()
    );
    Ok(())
}

fn broken() -> Result<(), Failed> {
    for path in files("us-lists-2026-07-09")
        .into_iter()
        .chain(files("csl-format"))
    {
        let mut bytes = fs::read(&path)?;
        let old = path.ends_with("govwizely_uvl.csv");
        let middle = bytes.len() / 2;
        bytes[middle] = 0xff;
        let error = import::read("x", &bytes);
        assert!(
            old || error.as_ref().is_err_and(|it| it.place().line > 0),
            "{}: {error:?}",
            path.display()
        );
    }
    Ok(())
}

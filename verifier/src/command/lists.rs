//! `lists`: names against files, without the server.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use affiant_judge::screening::{
    Aliases, Hit, Judged, List, SCREENING_VERSION, Score, Screener, Subject,
    import::{self, MAX_BYTES},
    read_pairs,
};
use serde_json::json;

use super::{Failure, given};
use crate::cli::{Pairs, ScreenNames};

/// Something was found, as `findings` says it.
const FOUND: u8 = 1;

/// Reads a file of at most what importers take.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    given(path, MAX_BYTES as u64)
}

fn misuse(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()))
}

pub(super) fn pairs(options: &Pairs) -> Result<ExitCode, Failure> {
    let bytes = read(&options.file)?;
    let pairs = read_pairs(&bytes).map_err(|error| misuse(&options.file, error))?;
    let judged: Vec<Judged> = pairs.into_iter().map(Judged::of).collect();
    let score = Score::of(&judged);
    if options.json {
        let text = json!({
            "screening_version": SCREENING_VERSION,
            "pairs": judged,
            "counts": score,
            "precision": score.precision(),
            "recall": score.recall(),
            "f1": score.f1(),
        });
        say!("{text}")?;
        return Ok(ExitCode::SUCCESS);
    }
    for it in &judged {
        let mark = if it.is_match() == it.pair.is_match {
            " "
        } else {
            "!"
        };
        let class = it.class.map_or("none", |class| class.as_str());
        say!("{mark} {class:<9}{}  |  {}", it.pair.name1, it.pair.name2)?;
    }
    let figure = |it: Option<f64>| it.map_or_else(|| "none".to_owned(), |it| format!("{it:.4}"));
    say!(
        "\npairs      {}\nprecision  {}\nrecall     {}\nF1         {}",
        judged.len(),
        figure(score.precision()),
        figure(score.recall()),
        figure(score.f1()),
    )?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn screen(options: &ScreenNames) -> Result<ExitCode, Failure> {
    let lists: Vec<Arc<List>> = options
        .lists
        .iter()
        .map(|path| list(path))
        .collect::<Result<_, _>>()?;
    let aliases = aliases(options.aliases.as_ref())?;
    let screener = Screener::over(lists, &aliases);
    let mut found = false;
    let mut answers = Vec::new();
    for name in &options.names {
        let hits = screener.screen(&Subject {
            names: vec![name.clone()],
            countries: options.countries.clone(),
            addresses: options.addresses.clone(),
            identifiers: options.identifiers.clone(),
        });
        found |= hits.iter().any(|it| it.class.is_match());
        if options.json {
            answers.push(json!({ "name": name, "hits": hits }));
        } else {
            put!("{}", words(name, &hits))?;
        }
    }
    if options.json {
        let lists: Vec<_> = screener
            .lists()
            .iter()
            .map(|it| json!({ "id": it.id(), "rows": it.rows(), "entries": it.entries().len(), "names": it.names() }))
            .collect();
        let text =
            json!({ "screening_version": SCREENING_VERSION, "lists": lists, "names": answers });
        say!("{text}")?;
    }
    Ok(ExitCode::from(if found { FOUND } else { 0 }))
}

fn list(path: &Path) -> Result<Arc<List>, Failure> {
    let bytes = read(path)?;
    // A list that does not name itself is called as its file is.
    let id = path
        .file_stem()
        .map_or_else(String::new, |it| it.to_string_lossy().into_owned());
    let list = import::read(&id, &bytes).map_err(|error| misuse(path, error))?;
    Ok(Arc::new(list))
}

fn aliases(path: Option<&PathBuf>) -> Result<Aliases, Failure> {
    let Some(path) = path else {
        return Ok(Aliases::shipped().clone());
    };
    let own = Aliases::parse(&read(path)?).map_err(|error| misuse(path, error))?;
    Ok(own.with(Aliases::shipped()))
}

/// What was found for a name, as a person reads it.
fn words(name: &str, hits: &[Hit]) -> String {
    use std::fmt::Write as _;
    let mut text = format!("{name}\n");
    if hits.is_empty() {
        text.push_str("  none\n");
    }
    for hit in hits {
        let other = if hit.matched_name == hit.listed {
            String::new()
        } else {
            format!(", listed as {}", hit.listed)
        };
        let _ = writeln!(
            text,
            "  {:<9}{}{other}  [{} entry {}]",
            hit.class, hit.matched_name, hit.list, hit.entry
        );
        for pair in &hit.tokens {
            let _ = writeln!(
                text,
                "           {} = {}  alike {}, weight {}",
                pair.asked, pair.listed, pair.alike, pair.weight
            );
        }
    }
    text
}

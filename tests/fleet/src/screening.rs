//! How long it takes to screen all tenants again, as each new list version does.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use affiant_judge::screening::{
    Aliases, Hit, List, Screener, Subject,
    import::{self, ImportError},
};
use serde::Serialize;

use crate::random::Random;

/// Syllables and words that names are made of.
const SYLLABLES: [&str; 24] = [
    "hua", "xin", "tong", "da", "rui", "kai", "zhong", "ming", "lan", "bor", "vel", "tek", "nor",
    "sil", "gra", "pol", "mar", "dex", "alt", "ion", "ber", "sun", "qi", "yun",
];
const TRADES: [&str; 12] = [
    "Technology",
    "Electronics",
    "Research Institute",
    "University",
    "Aviation",
    "Trading",
    "Semiconductor",
    "Software",
    "Logistics",
    "Energy",
    "Instruments",
    "Information Systems",
];
const PLACES: [&str; 10] = [
    "Beijing",
    "Shanghai",
    "Shenzhen",
    "Moscow",
    "Berlin",
    "Istanbul",
    "Dubai",
    "Singapore",
    "",
    "",
];
const FORMS: [&str; 8] = ["Co., Ltd.", "LLC", "JSC", "GmbH", "Inc.", "", "", "Limited"];

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Screened {
    /// Tenants that were screened, each by one name.
    pub tenants: u64,
    /// Names on the lists, aliases among them.
    pub listed_names: usize,
    /// Threads that shared one index.
    pub threads: usize,
    /// Seconds to index the lists.
    pub index_seconds: f64,
    /// Seconds to screen all tenants.
    pub screening_seconds: f64,
    /// Tenants with a hit of class exact, strong or possible.
    pub alerts: usize,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum NotScreened {
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file is no list.
    #[error("{}: {error}", path.display())]
    Import {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: ImportError,
    },
}

/// Screens generated tenants against list files, or against a generated list of `listed` names where
/// none is given. Every tenth tenant has a name that a list has.
///
/// # Errors
/// A list that cannot be read.
pub fn screen(
    tenants: u64,
    threads: usize,
    listed: u64,
    paths: &[PathBuf],
) -> Result<Screened, NotScreened> {
    let lists = if paths.is_empty() {
        vec![generated(listed)]
    } else {
        paths
            .iter()
            .map(|path| read(path))
            .collect::<Result<_, _>>()?
    };
    let begun = Instant::now();
    let screener = Screener::over(lists, Aliases::shipped());
    let index_seconds = begun.elapsed().as_secs_f64();
    let subjects = subjects(tenants, &screener);
    let begun = Instant::now();
    let share = subjects.len().div_ceil(threads.max(1)).max(1);
    let alerts = std::thread::scope(|scope| {
        let screen = |part: &[Subject]| {
            let alert = |hits: Vec<Hit>| hits.iter().any(|it| it.class.is_match());
            part.iter().filter(|it| alert(screener.screen(it))).count()
        };
        let running: Vec<_> = subjects
            .chunks(share)
            .map(|part| scope.spawn(move || screen(part)))
            .collect();
        running
            .into_iter()
            .map(|it| it.join().unwrap_or_default())
            .sum()
    });
    Ok(Screened {
        tenants,
        listed_names: screener.names(),
        threads,
        index_seconds,
        screening_seconds: begun.elapsed().as_secs_f64(),
        alerts,
    })
}

fn read(path: &Path) -> Result<Arc<List>, NotScreened> {
    let bytes = fs::read(path).map_err(|error| NotScreened::Read {
        path: path.to_owned(),
        error,
    })?;
    let id = path.display().to_string();
    import::read(&id, &bytes)
        .map(Arc::new)
        .map_err(|error| NotScreened::Import {
            path: path.to_owned(),
            error,
        })
}

fn generated(listed: u64) -> Arc<List> {
    let mut random = Random::new(1, 1);
    let mut text = String::from("name\n");
    for _ in 0..listed.max(1) {
        text.push('"');
        text.push_str(&name(&mut random));
        text.push_str("\"\n");
    }
    // Names are letters, spaces and the marks of legal forms.
    Arc::new(
        import::read_operator("generated", text.as_bytes())
            .unwrap_or_else(|error| unreachable!("{error}")),
    )
}

fn subjects(tenants: u64, screener: &Screener) -> Vec<Subject> {
    let mut random = Random::new(2, 2);
    let entries: Vec<_> = screener
        .lists()
        .iter()
        .flat_map(|it| it.entries())
        .collect();
    let subject = |at| {
        let drawn = usize::try_from(random.bits()).unwrap_or(0) % entries.len().max(1);
        let listed = entries
            .get(drawn)
            .filter(|_| at % 10 == 0)
            .map(|it| it.name().to_owned());
        Subject {
            names: vec![listed.unwrap_or_else(|| name(&mut random))],
            countries: vec!["CN".to_owned()],
            ..Subject::default()
        }
    };
    (0..tenants).map(subject).collect()
}

fn name(random: &mut Random) -> String {
    let mut pick = |from: &[&'static str]| {
        let at = usize::try_from(random.bits() >> 8).unwrap_or(0) % from.len();
        from.get(at).copied().unwrap_or_default()
    };
    let own = format!(
        "{}{}{}",
        pick(&SYLLABLES),
        pick(&SYLLABLES),
        pick(&SYLLABLES)
    );
    let parts = [pick(&PLACES), own.as_str(), pick(&TRADES), pick(&FORMS)];
    let parts: Vec<&str> = parts.into_iter().filter(|it| !it.is_empty()).collect();
    parts.join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tenants_that_a_list_names_raise_alerts_on_any_number_of_threads() {
        let one = screen(200, 1, 300, &[]).unwrap();
        let two = screen(200, 2, 300, &[]).unwrap();
        assert!(one.alerts >= 20, "{one:?}");
        assert_eq!(
            (one.alerts, one.listed_names),
            (two.alerts, two.listed_names)
        );
    }

    #[test]
    fn a_file_that_is_no_list_is_named() {
        let error = screen(1, 1, 1, &[PathBuf::from("/nonexistent/list.csv")]).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/list.csv: "));
    }
}

//! `VERIFY.md`: how to verify a bundle, for people.

use affiant_proto::Digest;

use crate::{calendar::utc, document::Document, page::Anchored};

/// Writes the guide of a bundle.
pub fn render(document: &Document, report: Digest, anchored: &Anchored) -> String {
    let operator = one_line(&document.operator.name);
    let (from, to) = (utc(document.period.from()), utc(document.period.to()));
    let Anchored {
        origin,
        size,
        root,
        signers,
    } = anchored;
    let signers = signers
        .iter()
        .map(|name| format!("- `{}`\n", one_line(name)))
        .collect::<String>();
    let genesis = &document.operator.genesis;
    let ca = &document.operator.ca;
    let officers = document.officers.iter().map(|officer| {
        format!(
            "| officer {} | `{}` |\n",
            one_line(&officer.name),
            officer.key
        )
    });
    let officers: String = officers.collect();
    format!(
        "# How to verify this report\n\
         \n\
         Report of **{operator}**, {from} to {to}.\n\
         SHA-256 of `report.json`: `{report}`\n\
         \n\
         ## With the tool\n\
         \n\
         Take `affiant-audit` from somewhere else than from the operator. It needs no network.\n\
         \n\
         ```\n\
         affiant-audit verify DIR --trust trust.toml --since checkpoint-you-kept\n\
         ```\n\
         \n\
         `trust.toml` holds what *you* trust: the log's key, the genesis, the authority, the\n\
         officers and the witnesses. Get it, or compare it, by another channel than this bundle.\n\
         Keep the file `checkpoint` of this bundle: with `--since` it proves of the next report\n\
         that the log only grew.\n\
         \n\
         Exit codes: 0 clean, 1 findings, 2 evidence broken, 3 incomplete, 64 usage, 74 input or\n\
         output.\n\
         \n\
         ## Fingerprints to compare by another channel\n\
         \n\
         | what | value |\n\
         |---|---|\n\
         | log | `{origin}` |\n\
         | genesis | `{genesis}` |\n\
         | certificate authority | `{ca}` |\n\
         {officers}\
         \n\
         ## Anchor\n\
         \n\
         Checkpoint: size {size}, root `{root}`, with signatures under these names:\n\
         \n\
         {signers}\
         \n\
         A name proves nothing; the tool checks the signatures of those whom you list.\n\
         \n\
         ## What is in this folder\n\
         \n\
         | file | what |\n\
         |---|---|\n\
         | `report.json` | figures and findings |\n\
         | `report.cose` | the signed, logged statement that this report was issued |\n\
         | `report.html` | the same report for people |\n\
         | `checkpoint` | the log's signed state, with the witnesses' cosignatures |\n\
         | `consistency` | proofs that the log only grew since earlier states |\n\
         | `evidence.bin` | every signed statement behind the figures, with Merkle proofs |\n\
         \n\
         ## Without the tool\n\
         \n\
         All formats are specified in the project's `proto/FORMAT.md`; a second implementation\n\
         can be written from it alone. In short: check the signature of `checkpoint`; read\n\
         `evidence.bin`; check each signature, each chain and each shown leaf; check that all\n\
         entries are in the tree of the checkpoint; add up the lines; compare with `report.json`;\n\
         check that `report.cose` names its SHA-256.\n"
    )
}

/// Keeps a name that others chose within its line and out of the markup.
fn one_line(text: &str) -> String {
    let plain = |c: char| {
        if c.is_control() || "`|<>*_[]#\\".contains(c) {
            ' '
        } else {
            c
        }
    };
    text.chars().take(200).map(plain).collect()
}

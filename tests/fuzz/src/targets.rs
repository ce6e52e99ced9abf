//! Every target by its name, for the fuzz package and for the test that runs them all.

use crate::{files, raw, structured, structured_log};

/// A function over any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 29] = [
    ("add_checkpoint", raw::add_checkpoint),
    ("block", files::block),
    ("checkpoint", raw::checkpoint),
    ("consistency", raw::consistency),
    ("devices", files::devices),
    ("envelope", raw::envelope),
    ("evidence", raw::evidence),
    ("keys", raw::keys),
    ("lock", files::lock),
    ("note", raw::note),
    ("offline_proof", files::offline_proof),
    ("pack", files::pack),
    ("policy", raw::policy),
    ("report", files::report),
    ("screening_list", files::screening_list),
    ("screening_name", files::screening_name),
    ("segment", files::segment),
    ("statement", raw::statement),
    ("structured_authority", structured_log::authority),
    ("structured_disclosure", structured::disclosure),
    ("structured_envelope", structured_log::envelope),
    ("structured_evidence", structured_log::evidence),
    ("structured_note", structured::note),
    ("structured_record", structured::record),
    ("structured_segment", structured_log::segment),
    ("structured_statement", structured::statement),
    ("tile", files::tile),
    ("trust", files::trust),
    ("usage_leaves", raw::usage_leaves),
];

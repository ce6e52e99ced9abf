//! What operator and officers may say, FORMAT.md section 5.

use crate::Body;

/// Tells whether the operator may say this.
pub(super) fn operators(body: &Body) -> bool {
    matches!(
        body,
        Body::Clock(_)
            | Body::Cosigned(_)
            | Body::RollCall(_)
            | Body::Fork(_)
            | Body::HostEvent(_)
            | Body::Hold(_)
            | Body::Erasure(_)
            | Body::Succession(_)
            | Body::Revocation(_)
            | Body::ReportIssued(_)
            | Body::Observation(_)
            | Body::Key(_)
            | Body::Unknown(_)
    )
}

/// Tells whether an officer may.
pub(super) fn officers(body: &Body) -> bool {
    matches!(
        body,
        Body::TenantEvent(_)
            | Body::BindingEvent(_)
            | Body::Decision(_)
            | Body::InventoryDeclaration(_)
            | Body::Lease(_)
            | Body::PolicyPack(_)
            | Body::ListImport(_)
            | Body::Revocation(_)
            | Body::Hold(_)
            | Body::Key(_)
            | Body::Unknown(_)
    )
}

//! Whose approval counts, for what, and who needs none?

use greenlight_api::{Approval, BlueGreen, RevisionRecord};

use crate::world::Run;

/// The approvals that count. Where it takes several people, somebody without a name is not one of them.
pub fn counted<'a>(blue_green: &BlueGreen, record: &'a RevisionRecord) -> Vec<&'a Approval> {
    let alone = blue_green.required_approvals() < 2;
    record.approvals.iter().filter(|approval| alone || !approval.by.is_empty()).collect()
}

/// How many people want it promoted past its analyses.
pub fn in_full(blue_green: &BlueGreen, record: &RevisionRecord) -> usize {
    counted(blue_green, record).into_iter().filter(|approval| approval.full).count()
}

/// Whether these are as many as it takes: one of two does not overrule them.
pub fn skip_analyses(blue_green: &BlueGreen, record: &RevisionRecord) -> bool {
    in_full(blue_green, record) >= blue_green.required_approvals().max(1)
}

/// How many people have asked for the promotion since an analysis came to no conclusion: who asked before relied on it.
pub fn given_since(blue_green: &BlueGreen, record: &RevisionRecord, run: &Run) -> usize {
    counted(blue_green, record).into_iter().filter(|approval| approval.heard_at > run.completed_at).count()
}

/// Whether these are as many as it takes.
pub fn accept_analysis(blue_green: &BlueGreen, record: &RevisionRecord, run: &Run) -> bool {
    given_since(blue_green, record, run) >= blue_green.required_approvals().max(1)
}

/// It served before, and goes live again without a gate and without an analysis. What came back while the spec asked nobody is a candidate like
/// any other as soon as it asks people.
pub fn needs_none(blue_green: &BlueGreen, record: &RevisionRecord) -> bool {
    record.returned && !(record.returned_unasked && blue_green.awaits_people())
}

//! What the record learns from the ReplicaSets that there are.

use greenlight_api::{Decisions, RevisionRecord};

use super::record::{LARGEST_NUMBER, Source, digest_of, newest, start_over};
use crate::analysis::name::attempts;
use crate::world::{ReplicaSet, World};

/// Each ReplicaSet has an entry, and each template only one. A ReplicaSet that was made anew is another one: nothing that was
/// decided about the old one counts for it, except that its template is rejected, and except for what production lost.
pub(super) fn enter(world: &World, decisions: &mut Decisions, source: Source) {
    let mut existing: Vec<&ReplicaSet> = world.existing().collect();
    existing.sort_by_key(|rs| (rs.shown_number(), rs.created));
    for rs in existing {
        let newest = newest(decisions);
        let serving = decisions.serving.clone();
        if let Some(known) = decisions.revision_mut(&rs.hash) {
            if known.uid == rs.uid {
                continue;
            }
            let first = known.uid.is_empty();
            known.uid.clone_from(&rs.uid);
            if serving == rs.hash && known.served_at.is_some() && known.rejection.is_none() {
                // What production lost is made anew; it counts as having served when it does, provably.
                known.returned = true;
                known.served_at = None;
                known.approvals.clear();
            } else if !first {
                start_over_unless_rejected(known);
            }
            continue;
        }
        let digest = digest_of(world, rs);
        let left_behind = |revision: &&mut RevisionRecord| {
            let gone = world.replica_set(&revision.hash).is_none() && revision.hash != serving;
            gone && revision.digest == digest && !digest.is_empty()
        };
        if let Some(known) = decisions.revisions.iter_mut().find(left_behind) {
            known.hash.clone_from(&rs.hash);
            known.uid.clone_from(&rs.uid);
            start_over_unless_rejected(known);
            continue;
        }
        let shown = rs.shown_number();
        decisions.revisions.push(RevisionRecord {
            hash: rs.hash.clone(),
            digest,
            number: if (1..LARGEST_NUMBER).contains(&shown) { shown } else { newest + 1 },
            uid: rs.uid.clone(),
            rejection: rs.mirrored_rejection().filter(|_| source == Source::Nothing),
            claim: rs.claimed_at().filter(|_| rs.hash == serving),
            // Nobody knows any more what the runs were for that are there: new ones are made.
            attempt: if source == Source::Nothing { attempts(world, rs) } else { 0 },
            ..RevisionRecord::default()
        });
    }
}

fn start_over_unless_rejected(revision: &mut RevisionRecord) {
    let rejection = revision.rejection.take();
    start_over(revision);
    revision.rejection = rejection;
}

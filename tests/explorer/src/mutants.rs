//! Planted faults: the explorer is as good as what it catches. Each is a text in the core and what takes its place; among them
//! the root of every story that the issue tells.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};

use crate::predicate::Predicate;

/// What says in the environment which fault is planted: its number, from 1.
pub const PLANTED: &str = "GREENLIGHT_PLANTED_FAULT";

/// A planted fault.
pub struct Mutant {
    /// Its name.
    pub name: &'static str,
    /// The file, from `crates/core/src`.
    pub file: &'static str,
    /// What stands there, once.
    pub find: &'static str,
    /// What takes its place.
    pub replace: &'static str,
    /// The predicates of which one is to catch it; the one that speaks of it first.
    pub expected: &'static [Predicate],
}

use Predicate as P;

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "story 1: a rejection is forgotten with its ReplicaSet",
        file: "decisions/mod.rs",
        find: "            || revision.digest == asked_for\n            || revision.rejection.is_some() && revision.number > oldest",
        replace: "            || revision.digest == asked_for && revision.number < oldest.min(0)",
        expected: &[P::RejectedStays, P::UndoArrives],
    },
    Mutant {
        name: "story 1: a rejected template gets a ReplicaSet again, and a record without its rejection",
        file: "decisions/record.rs",
        find: "revision.rejection = Some(rejection);",
        replace: "drop(rejection);",
        expected: &[P::UndoArrives, P::RejectedStays, P::AnswerTrue],
    },
    Mutant {
        name: "a rejection that a move carries is not told by what has gone since",
        file: "decisions/services.rs",
        find: "None => leads_there || missing_rejection(decisions, service).is_some(),",
        replace: "None => leads_there,",
        expected: &[P::RejectedStays],
    },
    Mutant {
        name: "a rejection that a move carries is not entered in the record",
        file: "decisions/services.rs",
        find: "if let Some(carried) = missing_rejection(decisions, service) {",
        replace: "if let Some(carried) = missing_rejection(decisions, service).filter(|it| it.by.is_empty()) {",
        expected: &[P::RejectedStays, P::Arrives, P::UndoArrives],
    },
    Mutant {
        name: "a lost status is rebuilt without what the last move carries",
        file: "decisions/replica_sets.rs",
        find: "source == Source::Nothing { carried(world, decisions).cloned() }",
        replace: "source == Source::OlderVersion { carried(world, decisions).cloned() }",
        expected: &[P::RejectedStays, P::LossOpensNothing],
    },
    Mutant {
        name: "an overlap begins before the controllers of Kubernetes have seen its label",
        file: "overlap.rs",
        find: "rs.ready > 0 && !rs.are_labels_seen()",
        replace: "rs.ready > 0 && !rs.settled",
        expected: &[P::NothingLost, P::NotEmptied],
    },
    Mutant {
        name: "pods are changed before the controller of ReplicaSets has seen their template",
        file: "metadata.rs",
        find: "if is_under_way(rs) && !rs.settled {",
        replace: "if is_under_way(rs) && rs.replicas < 0 {",
        expected: &[P::Arrives, P::ReasonTrue, P::SaysWhy, P::NothingLost],
    },
    Mutant {
        name: "a rollout that goes believes what it has heard of its ReplicaSets",
        file: "plan/mod.rs",
        find: "if let Some(doubt) = finalize::doubt(world, now) {",
        replace: "if world.live && let Some(doubt) = finalize::doubt(world, now) {",
        expected: &[P::LettingGo],
    },
    Mutant {
        name: "what is forged on what production leads to stays",
        file: "retire.rs",
        find: "if is_forged && situation",
        replace: "if is_forged && situation.world.services.is_empty() && situation",
        expected: &[P::Unmarked],
    },
    Mutant {
        name: "what takes the place of production that is deleted slowly is only another candidate",
        file: "decisions/replica_sets.rs",
        find: "                decisions.serving.clone_from(&rs.hash);",
        replace: "                decisions.held_template.clear();",
        expected: &[P::Arrives, P::GateHolds, P::ProofTrue],
    },
    Mutant {
        name: "who may only edit the template goes back by it, although people are asked",
        file: "decisions/spec.rs",
        find: "(is_up && !asks_people || in_window)",
        replace: "(is_up || in_window)",
        expected: &[P::GateHolds, P::ServesPermitted, P::AnalysisHolds],
    },
    Mutant {
        name: "an overlap waits for pods that no Service can lead to",
        file: "overlap.rs",
        find: "if is_under_way(situation) && !is_labelled(situation, home) {",
        replace: "if is_under_way(situation) && home.deleting {",
        expected: &[P::Arrives, P::UndoArrives, P::Rests],
    },
    Mutant {
        name: "a claim that served one move serves the next",
        file: "switch.rs",
        find: "if situation.decisions.serving != rs.hash && known.is_some() && known == rs.claimed_at() {",
        replace: "if situation.decisions.serving != rs.hash && known.is_some() && known > rs.claimed_at() {",
        expected: &[P::GateHolds, P::LeavesForReason, P::BackToServed, P::Rests],
    },
    Mutant {
        name: "what failed its analysis after production left it is something to go back to",
        file: "plan/decide.rs",
        find: "    reject_what_served(&Situation::new(world, &read.now, now), &mut decisions);\n",
        replace: "",
        expected: &[P::HistoryServed, P::UndoArrives, P::GateHolds],
    },
    Mutant {
        name: "story 2: what serves stays home although it is rejected",
        file: "roles.rs",
        find: "        && rejection.is_none()\n        && !serving.deleting",
        replace: "        && !serving.deleting",
        expected: &[P::UndoArrives],
    },
    Mutant {
        name: "story 2: a waiting candidate switches the post-promotion analysis off",
        file: "plan/decide.rs",
        find: "    if situation.fallback().is_none() {",
        replace: "    if situation.fallback().is_none() || situation.roles.candidate.is_some() {",
        expected: &[P::UndoArrives],
    },
    Mutant {
        name: "story 3 and 4: a change of scale alone is not production's",
        file: "decisions/spec.rs",
        find: "|| serves_updated || scaled_alone {",
        replace: "|| serves_updated && scaled_alone == scaled_alone {",
        expected: &[P::HomeSize],
    },
    Mutant {
        name: "story 5: a Service goes where its own selector selects nothing",
        file: "stall.rs",
        find: "(!missing.is_empty()).then(||",
        replace: "(!missing.is_empty() && service.name.is_empty()).then(||",
        expected: &[P::ActiveLabels, P::NotEmptied],
    },
    Mutant {
        name: "story 5: what is wrong with the preview Service keeps production from going home",
        file: "plan/steps.rs",
        find: "    let size = situation.roles.home().map(|home| scale::home_size(situation, home));\n    size.map",
        replace: "    if stall::services(situation).is_some() {\n        return Vec::new();\n    }\n    let size = situation.roles.home().map(|home| scale::home_size(situation, home));\n    size.map",
        expected: &[P::UndoArrives, P::Arrives],
    },
    Mutant {
        name: "story 6: history does not know what served",
        file: "history.rs",
        find: "(situation.may_serve_again(rs), situation.number(rs))",
        replace: "situation.number(rs)",
        expected: &[P::HistoryServed],
    },
    Mutant {
        name: "story 6: the last that served is pruned",
        file: "history.rs",
        find: "any(|kept| kept.name == rs.name)",
        replace: "any(|kept| kept.name == rs.name && roles.is_home(rs))",
        expected: &[P::HistoryServed],
    },
    Mutant {
        name: "story 7: scaled to 0 is an outage",
        file: "rollback.rs",
        find: "home.available == 0 && situation.decisions.replicas > 0",
        replace: "home.available == 0",
        expected: &[P::RejectsForCause, P::GateHolds, P::LeavesForReason],
    },
    Mutant {
        name: "a longer minReadySeconds is an outage",
        file: "rollback.rs",
        find: "had_pods && is_out(situation).is_some()",
        replace: "had_pods",
        expected: &[P::RejectsForCause, P::LeavesForReason],
    },
    Mutant {
        name: "story 8: a retry keeps approvals and verdicts",
        file: "request.rs",
        find: "                decisions::try_again(revision);",
        replace: "                revision.rejection = None;",
        expected: &[P::GateHolds, P::AnalysisHolds],
    },
    Mutant {
        name: "story 9: what serves is started over when the spec comes back to it",
        file: "decisions/spec.rs",
        find: "    if serves {\n        return true;",
        replace: "    if serves && revision.rejection.is_some() {\n        return true;",
        expected: &[P::AnalysedOnce, P::UndoNotRefused],
    },
    Mutant {
        name: "what production goes back to after a revert in Git is analysed again",
        file: "decisions/record.rs",
        find: "std::mem::take(&mut serving.was_good) && goes_back {",
        replace: "std::mem::take(&mut serving.was_good) && goes_back && hash.is_empty() {",
        expected: &[P::AnalysedOnce],
    },
    Mutant {
        name: "what a revert in Git asks for loses the pods of a way back inside its delay",
        file: "scale.rs",
        find: "    let is_kept = is_inside_its_delay || retire::waits_for_verdict(situation, candidate);",
        replace: "    let is_kept = is_inside_its_delay && retire::waits_for_verdict(situation, candidate);",
        expected: &[P::DelayKept],
    },
    Mutant {
        name: "what waits hides the person who is asked about what serves",
        file: "status.rs",
        find: "        Some(Outcome::Inconclusive(run)) => Some(no_conclusion(situation, home, run)),",
        replace: "        Some(Outcome::Inconclusive(run)) if run.name.is_empty() => Some(no_conclusion(situation, home, run)),",
        expected: &[P::SaysWhy],
    },
    Mutant {
        name: "story 10: a move by hand decides nothing",
        file: "decisions/services.rs",
        find: "    if !able || is_barred {",
        replace: "    if !able || is_barred || !by.is_empty() {",
        expected: &[P::HandIsDecision, P::GateHolds, P::LeavesForReason],
    },
    Mutant {
        name: "story 11: a claim counts as service",
        file: "roles.rs",
        find: "revision.hash != instead_of && revision.may_serve_again()",
        replace: "revision.hash != instead_of && (revision.may_serve_again() || revision.rejection.is_none() \
                  && world.replica_set(&revision.hash).is_some_and(|rs| rs.claimed_at().is_some()))",
        expected: &[P::BackToServed, P::GateHolds, P::LeavesForReason],
    },
    Mutant {
        name: "story 12: an overtaken promotion is answered as carried out",
        file: "request.rs",
        find: "        if roles.candidate.is_none_or(|candidate| candidate.hash != *hash) {",
        replace: "        if roles.candidate.is_none_or(|candidate| candidate.hash != *hash && hash.is_empty()) {",
        expected: &[P::AnswerTrue],
    },
    Mutant {
        name: "an undo that is typed is of what serves when it is heard",
        file: "request.rs",
        find: "if decisions.revision(looked_at).is_some() {",
        replace: "if decisions.revision(looked_at).is_none() {",
        expected: &[P::BareVerb],
    },
    Mutant {
        name: "a Service that lost its hash leads to what nobody promoted",
        file: "switch.rs",
        find: "let shut = lost && !is_promoted && lets_others_in(situation, service, home);",
        replace: "let shut = lost && is_promoted && lets_others_in(situation, service, home);",
        expected: &[P::ServesPermitted],
    },
    Mutant {
        name: "story 12: what was refused is carried out after the status is lost",
        file: "request.rs",
        find: "    if read.source == Source::Nothing {",
        replace: "    if read.source == Source::Nothing && value.is_empty() {",
        expected: &[P::AnswerOnce, P::LossOpensNothing],
    },
    Mutant {
        name: "story 13: an analysis is blamed that nobody asks for",
        file: "plan/mod.rs",
        find: "round.findings(next.refused.first().copied())",
        replace: "round.findings(world.refused_writes.first())",
        expected: &[P::StatusCurrent],
    },
    Mutant {
        name: "story 14: a Service that carried production is let go while it would show a preview",
        file: "switch.rs",
        find: "roles.at_home().is_some() && !leads_on()",
        replace: "(roles.at_home().is_some() && !leads_on() || service.hash().is_some())",
        expected: &[P::LettingGo],
    },
    Mutant {
        name: "story 14: a Service that carried production shows the preview",
        file: "switch.rs",
        find: "service.deleting || service.production.is_some() || stall",
        replace: "service.deleting || stall",
        expected: &[P::GateHolds, P::ServesPermitted],
    },
    Mutant {
        name: "story 15: an orphaning rollout takes its hash out of production",
        file: "finalize.rs",
        find: "    if has(ORPHAN) {",
        replace: "    if has(ORPHAN) && has(FOREGROUND) {",
        expected: &[P::LettingGo],
    },
    Mutant {
        name: "story 15: another rollout's Service is ours",
        file: "world.rs",
        find: "        rivals().find(|rival| marked == Some(&rival.name)).or_else(|| {",
        replace: "        rivals().find(|rival| marked == Some(&rival.name) && rival.name.is_empty()).or_else(|| {",
        expected: &[P::Foreign],
    },
    Mutant {
        name: "story 16: half of the pods are enough",
        file: "switch.rs",
        find: "    if !cannot_follow && ours.len() < enough {",
        replace: "    if !cannot_follow && ours.len() * 2 < enough {",
        expected: &[P::ProofTrue],
    },
    Mutant {
        name: "endpoints of other pods prove nothing, and do not matter",
        file: "switch.rs",
        find: "    if !others.is_empty() {",
        replace: "    if !others.is_empty() && ours.is_empty() {",
        expected: &[P::ProofTrue, P::RetiredUnreached],
    },
    Mutant {
        name: "what served is retired without a proof",
        file: "retire.rs",
        find: "(situation.roles.home().is_some() || may_get_traffic(situation, rs)) && !proven",
        replace: "situation.roles.home().is_none() && may_get_traffic(situation, rs) && !proven",
        expected: &[P::RetiredUnreached],
    },
    Mutant {
        name: "the scale-down controller does not ask the Services",
        file: "retire.rs",
        find: "        Selected::By(_) => ScaleDown::Nothing,\n        Selected::Unverified => ScaleDown::CheckServices,\n        Selected::No => {",
        replace: "        Selected::By(_) | Selected::Unverified | Selected::No => {",
        expected: &[P::ScaledUnreached],
    },
    Mutant {
        name: "what is wanted again keeps the mark of what goes",
        file: "retire.rs",
        find: "    change.remove_annotation(rs, names::RETIRED_REPLICAS);\n    if rs.has_scale_down_finalizer() {\n        change.finalizers",
        replace: "    change.remove_annotation(rs, names::RETIRED_REPLICAS);\n    if rs.has_scale_down_finalizer() && rs.name.is_empty() {\n        change.finalizers",
        expected: &[P::Unmarked, P::NoRepeat, P::NoWaste, P::Quiet, P::ScaledUnreached],
    },
    Mutant {
        name: "the candidate is promoted before its pods are there",
        file: "plan/steps.rs",
        find: "        || !candidate.is_ready\n        || !is_recorded(",
        replace: "        || !is_recorded(",
        expected: &[P::ActiveFull, P::NotEmptied],
    },
    Mutant {
        name: "production goes home before the pods are there",
        file: "switch.rs",
        find: "full || rescued || leads_here(service) || shut || some && has_lost_it(world, service, home, mixed)",
        replace: "full || rescued || leads_here(service) || some || mixed || home.name != service.name",
        expected: &[P::ActiveFull, P::NotEmptied],
    },
    Mutant {
        name: "one approval is enough for all",
        file: "gate.rs",
        find: "    let approved = approvals.len() >= needed;",
        replace: "    let approved = !approvals.is_empty() && needed > 0;",
        expected: &[P::GateHolds],
    },
    Mutant {
        name: "nobody is asked",
        file: "gate.rs",
        find: "    if blue_green.auto_promotion_enabled() && needed < 2 {",
        replace: "    if needed < 2 {",
        expected: &[P::GateHolds],
    },
    Mutant {
        name: "paused holds nothing",
        file: "gate.rs",
        find: "    if spec.paused == Some(true) {",
        replace: "    if spec.paused == Some(true) && candidate.name.is_empty() {",
        expected: &[P::GateHolds],
    },
    Mutant {
        name: "what nobody has analysed goes on",
        file: "gate.rs",
        find: "            let waits_for = format!(\"is to be analysed{}\", in_brackets(&lacks));\n            Some(closed(conditions::REASON_PRE_PROMOTION_ANALYSIS, waits_for, None))",
        replace: "            drop(lacks);\n            None",
        expected: &[P::AnalysisHolds],
    },
    Mutant {
        name: "the status speaks of a spec before",
        file: "status.rs",
        find: "        observed_generation: world.rollout.generation,",
        replace: "        observed_generation: before.observed_generation.max(1),",
        expected: &[P::StatusCurrent],
    },
    Mutant {
        name: "going back leads to what is rejected",
        file: "roles.rs",
        find: "revision.hash != instead_of && revision.may_serve_again()",
        replace: "revision.hash != instead_of && revision.served_at.is_some()",
        expected: &[P::RejectedStays, P::UndoArrives, P::LeavesForReason, P::GateHolds],
    },
    Mutant {
        name: "ready is as good as available",
        file: "world.rs",
        find: "self.settled && self.replicas >= wanted && self.available >= wanted",
        replace: "self.settled && self.replicas >= wanted && self.ready >= wanted",
        expected: &[P::ActiveFull],
    },
    Mutant {
        name: "a Deployment goes before the switch away from it is proven",
        file: "workload.rs",
        find: "home.replicas > 0) && proven && roles",
        replace: "home.replicas > 0) && (proven || !proven) && roles",
        expected: &[P::WorkloadStays],
    },
    Mutant {
        name: "a Deployment goes by steps, and nothing stands in for it",
        file: "workload.rs",
        find: "let ours = roles.candidate.map_or(0, |rs| rs.available);",
        replace: "let ours = roles.candidate.map_or(0, |rs| rs.replicas);",
        expected: &[P::WorkloadStays],
    },
    Mutant {
        name: "a Deployment that was taken over from stays",
        file: "workload.rs",
        find: "WorkloadScaleDown::Onsuccess | WorkloadScaleDown::Progressively if taken_over => 0,",
        replace: "WorkloadScaleDown::Onsuccess if taken_over => 0,",
        expected: &[P::WorkloadGoes],
    },
    Mutant {
        name: "a restart has no additional pod",
        file: "restart.rs",
        find: "Some(_) if self.old().next().is_some() => 1,",
        replace: "Some(_) if self.old().next().is_some() => 0,",
        expected: &[P::RestartFull],
    },
    Mutant {
        name: "a restart ends before the successor of the last pod is made",
        file: "restart.rs",
        find: "Some(_) if self.lacks_successor() => additional,",
        replace: "Some(_) if self.lacks_successor() => 0,",
        expected: &[P::RestartFull],
    },
    Mutant {
        name: "a restart that is not asked for any more takes its additional pod away at once",
        file: "restart.rs",
        find: "        if at.is_none() && rs.annotation(names::EVICTING).is_none() {",
        replace: "        if at.is_none() {",
        expected: &[P::RestartFull],
    },
    Mutant {
        name: "a restart does not begin",
        file: "restart.rs",
        find: "    is_new.then_some(at)",
        replace: "    (is_new && rs.name.is_empty()).then_some(at)",
        expected: &[P::Restarted],
    },
    Mutant {
        name: "a refused write is tried again at once",
        file: "world.rs",
        find: "refused.target == target && now < refused.retry_at",
        replace: "refused.target == target && now > refused.retry_at",
        expected: &[P::Rests],
    },
    Mutant {
        name: "no progress is not told",
        file: "status.rs",
        find: "        return Some(if now >= progress::deadline(world, progress) {",
        replace: "        return Some(if now >= progress::deadline(world, progress) && rs.name.is_empty() {",
        expected: &[P::DeadlineTold],
    },
    Mutant {
        name: "a proof that does not come is not told",
        file: "status.rs",
        find: "findings.proving.as_ref().is_some_and(is_late)",
        replace: "findings.proving.as_ref().is_some_and(is_late) && reason.is_empty()",
        expected: &[P::DeadlineTold],
    },
    Mutant {
        name: "a Service that is called active right after it showed a preview counts as proven",
        file: "switch.rs",
        find: "if same && leading_here.all(is_counted) {",
        replace: "if same && (leading_here.all(is_counted) || home.replicas >= 0) {",
        expected: &[P::RetiredUnreached],
    },
    Mutant {
        name: "before anything has served, a scale that comes with another template is everybody's",
        file: "decisions/spec.rs",
        find: "decisions.serving.is_empty() && decisions.revisions.iter().all(|revision| revision.digest == digest);",
        replace: "decisions.serving.is_empty();",
        expected: &[P::HomeSize],
    },
    Mutant {
        name: "nothing is pruned",
        file: "history.rs",
        find: "old.into_iter().skip(limit)",
        replace: "old.into_iter().skip(limit + 3)",
        expected: &[P::HistoryBound],
    },
    Mutant {
        name: "with the status the rejection of what is being deleted is lost",
        file: "decisions/replica_sets.rs",
        find: "|rs: &&ReplicaSet| !rs.deleting || rs.hash == decisions.serving || is_all_that_tells(rs);",
        replace: "|rs: &&ReplicaSet| !rs.deleting || rs.hash == decisions.serving || rs.name.is_empty() && is_all_that_tells(rs);",
        expected: &[P::RejectedStays],
    },
    Mutant {
        name: "before the first deployment nothing is pruned",
        file: "plan/steps.rs",
        find: "    if is_production_unknown(&round.situation) { Vec::new() } else { history::prune(&round.situation) }",
        replace: "    if round.situation.roles.home().is_none() { Vec::new() } else { history::prune(&round.situation) }",
        expected: &[P::HistoryBound],
    },
    Mutant {
        name: "an overlap that nothing tells the begin of begins again at every moment",
        file: "overlap.rs",
        find: "    if told.is_empty() {",
        replace: "    if told.is_empty() && home.deleting {",
        expected: &[P::Arrives, P::UndoArrives, P::Rests],
    },
    Mutant {
        name: "what was moved with a claim that another operator has not seen is moved back",
        file: "fence.rs",
        find: ".is_some_and(is_elsewhere);",
        replace: ".is_some_and(|service| service.name.is_empty() && is_elsewhere(service));",
        expected: &[P::GateHolds, P::LeavesForReason],
    },
    Mutant {
        name: "what another operator moved, and a Service lost since, is not looked for",
        file: "fence.rs",
        find: "is_marked || matches!(",
        replace: "is_marked && service.name.is_empty() || matches!(",
        expected: &[P::GateHolds],
    },
    Mutant {
        name: "a Service that the spec named until now does not tell that another operator moved it",
        file: "fence.rs",
        find: "world.production_services().all(",
        replace: "world.active_services().all(",
        expected: &[P::GateHolds],
    },
    Mutant {
        name: "a second undo that names nothing sends production elsewhere than the first one",
        file: "request.rs",
        find: "let is_left = serving != hash || to.is_none() && roles.going_back();",
        replace: "let is_left = serving != hash;",
        expected: &[P::UndoNamed],
    },
    Mutant {
        name: "an undo goes to what served last, whatever it names",
        file: "roles.rs",
        find: "let is_named = Some(revision.hash.as_str()) == named;",
        replace: "let is_named = named == Some(\"\");",
        expected: &[P::UndoNamed],
    },
    Mutant {
        name: "a retry is told, and nothing comes of it",
        file: "request.rs",
        find: "                decisions::try_again(revision);\n",
        replace: "                revision.approvals.clear();\n",
        expected: &[P::RetryStays],
    },
    Mutant {
        name: "a promotion does not wait for the ReplicaSet that is made next",
        file: "request.rs",
        find: "of_candidate && world.live && is_made_next(",
        replace: "of_candidate && !of_candidate && is_made_next(",
        expected: &[P::NotRefused, P::Arrives, P::AnswerTrue],
    },
    Mutant {
        name: "a scale is acted upon before it is on record",
        file: "decisions/mod.rs",
        find: "after.revisions.iter().any(changed) || scaled || moved_by_others",
        replace: "after.revisions.iter().any(changed) || moved_by_others",
        expected: &[P::HomeSize],
    },
    Mutant {
        name: "a deleted rollout lets production lead to what was left behind in preview",
        file: "finalize.rs",
        find: "    if !unclear && !left_behind {",
        replace: "    if !unclear {",
        expected: &[P::LettingGo],
    },
    Mutant {
        name: "what is made in the place of what goes comes first where its number is lower",
        file: "decisions/replica_sets.rs",
        find: "(!rs.deleting, rs.shown_number(), rs.created)",
        replace: "(rs.shown_number(), rs.created)",
        expected: &[P::Arrives],
    },
    Mutant {
        name: "a restart believes an old picture of the pods",
        file: "restart.rs",
        find: "            others >= self.rs.available",
        replace: "            others >= 0",
        expected: &[P::RestartFull],
    },
    Mutant {
        name: "a bad analysis is not needed any more once there is nothing to go back to",
        file: "analysis/mod.rs",
        find: "run.filter(|run| is_told && is_bad(run))",
        replace: "run.filter(|run| is_told && is_bad(run) && rs.name.is_empty())",
        expected: &[P::UndoArrives],
    },
    Mutant {
        name: "a Service is forgotten with the ReplicaSet that it led to",
        file: "decisions/mod.rs",
        find: "|| is_shown(&revision.hash)",
        replace: "|| is_shown(&revision.hash) && serving.is_empty()",
        expected: &[P::GateHolds],
    },
    Mutant {
        name: "where there is a limit of old revisions anybody ends a delay",
        file: "retire.rs",
        find: "if may_be_cut(rollout, rs, now) { deadline }",
        replace: "if rollout.spec.blue_green().scale_down_delay_revision_limit.is_some() { deadline }",
        expected: &[P::DelayKept],
    },
    Mutant {
        name: "an older rollout's Service is ours",
        file: "world.rs",
        find: "rivals().filter(|rival| unmarked && (",
        replace: "rivals().filter(|rival| unmarked && rival.name.is_empty() && (",
        expected: &[P::Foreign],
    },
    Mutant {
        name: "an undo waits for pods that have no room",
        file: "switch.rs",
        find: "least.map_or(all, |least| with_room.max(least).min(all))",
        replace: "least.map_or(all, |least| with_room.max(least).max(all))",
        expected: &[P::UndoArrives, P::Arrives],
    },
    Mutant {
        name: "an undo arrives with fewer pods than it served with",
        file: "switch.rs",
        find: "least.map_or(all, |least| with_room.max(least).min(all))",
        replace: "least.map_or(all, |least| with_room.min(least).min(all))",
        expected: &[P::ActiveFull, P::ProofTrue],
    },
    Mutant {
        name: "a preview that was superseded keeps the room of the next one",
        file: "switch.rs",
        find: "!is_its_own && (pods::are_over_quota(candidate) || pods::fit_on_no_node(world, candidate) && is_late())",
        replace: "!is_its_own && pods::are_over_quota(candidate) && pods::fit_on_no_node(world, candidate) && is_late()",
        expected: &[P::GivesWay],
    },
    Mutant {
        name: "what was aborted keeps the room of what an undo goes to",
        file: "retire.rs",
        find: "if waits && !is_out_of_reach(situation, rs) {",
        replace: "if waits && !(is_out_of_reach(situation, rs) && rs.name.is_empty()) {",
        expected: &[P::GivesWay],
    },
    Mutant {
        name: "an undo waits for pods that a quota has no room for",
        file: "pods.rs",
        find: "let lacks_room = are_over_quota(rs) || without_node > 0;",
        replace: "let lacks_room = are_over_quota(rs) && without_node > 0;",
        expected: &[P::UndoArrives, P::Arrives],
    },
    Mutant {
        name: "no room is seen only where all of production's Services lead to it",
        file: "plan/wake.rs",
        find: "let home = roles.staying().filter(",
        replace: "let home = roles.at_home().filter(",
        expected: &[P::AllFollow],
    },
    Mutant {
        name: "whoever writes a deadline ends a delay",
        file: "retire.rs",
        find: "deadline.max(promised_until(rollout, rs, now))",
        replace: "deadline.min(promised_until(rollout, rs, now).max(deadline))",
        expected: &[P::DelayKept],
    },
    Mutant {
        name: "a status from a backup takes a move by hand back",
        file: "switch.rs",
        find: "roles.going_back() || !late.is_empty() || by_hand)",
        replace: "roles.going_back() || !late.is_empty() || by_hand && home.name.is_empty())",
        expected: &[P::RejectedStays, P::HandIsDecision, P::LeavesForReason],
    },
    Mutant {
        name: "a status from a backup rejects what was left for a promotion",
        file: "decisions/services.rs",
        find: "    left.served_at.and(decisions.revision(given)?.served_at)?;\n",
        replace: "    left.served_at?;\n",
        expected: &[P::UndoNotRefused, P::RejectsForCause],
    },
    Mutant {
        name: "what was made anew since production left is rejected",
        file: "decisions/services.rs",
        find: "    left.served_at.and(decisions.revision(given)?.served_at)?;\n",
        replace: "    decisions.revision(given)?.served_at?;\n",
        expected: &[P::RejectsForCause],
    },
    Mutant {
        name: "what production goes back to waits for the minReadySeconds of a newer spec",
        file: "plan/steps.rs",
        find: "let min_ready_seconds = if goes_back { spec.min(rs.min_ready_seconds) } else { spec };",
        replace: "let min_ready_seconds = if goes_back { spec.max(rs.min_ready_seconds) } else { spec };",
        expected: &[P::BackAtOnce],
    },
    Mutant {
        name: "an analysis of another attempt counts",
        file: "analysis/name.rs",
        find: "format!(\"-{}-{}-{suffix}\", record.number, record.attempt)",
        replace: "format!(\"-{}-{}-{suffix}\", record.number, record.attempt.min(0))",
        expected: &[P::AnalysisHolds],
    },
    Mutant {
        name: "what came back while nobody was asked goes live although people are asked by now",
        file: "approvals.rs",
        find: "!(record.returned_unasked && blue_green.awaits_people())",
        replace: "!(record.returned_unasked && blue_green.awaits_people() && record.hash.is_empty())",
        expected: &[P::GateHolds],
    },
    Mutant {
        name: "after a lost status a promotion opens nothing",
        file: "gate.rs",
        find: "    if approved {",
        replace: "    if approved && decisions.held_template != record.digest {",
        expected: &[P::ReasonTrue],
    },
    Mutant {
        name: "whoever promotes after an analysis without a conclusion is not heard",
        file: "analysis/mod.rs",
        find: "AnalysisPhase::Inconclusive if accepted => Outcome::Good,",
        replace: "AnalysisPhase::Inconclusive if accepted && rs.name.is_empty() => Outcome::Good,",
        expected: &[P::ReasonTrue],
    },
    Mutant {
        name: "what the preview Service showed before is measured",
        file: "analysis/mod.rs",
        find: "situation.is_shown(rs) && situation.preview_lacks(rs).is_none()",
        replace: "situation.is_shown(rs)",
        expected: &[P::AnalysisHolds],
    },
    Mutant {
        name: "what is scaled to nothing is measured",
        file: "analysis/mod.rs",
        find: "decisions.replicas > 0 && (serving.available > 0",
        replace: "decisions.replicas >= 0 && (serving.available >= 0",
        expected: &[P::AnalysisHolds],
    },
];

/// The text of a file of the core with all faults that are planted in it. A function that has some gets a body for each, and its own for
/// everything else, so that one build has them all. It rests on rustfmt: a function ends at the first brace below it that stands where
/// its own line begins.
pub fn plant(file: &str, text: &str) -> Result<String> {
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let mut bodies: BTreeMap<(usize, usize), String> = BTreeMap::new();
    for (number, mutant) in (1..).zip(MUTANTS).filter(|(_, mutant)| mutant.file == file) {
        let Mutant { name, find, replace, .. } = mutant;
        ensure!(
            text.matches(find).count() == 1,
            "{name}: {find:?} stands {} times in {file}",
            text.matches(find).count()
        );
        let (first, last) = body(&lines, text, find).with_context(|| format!("{name}: {find:?} is in no function"))?;
        let planted = lines[first..last].join("\n").replacen(find, replace, 1);
        write!(bodies.entry((first, last)).or_default(), "{number} => {{\n{planted}\n}}\n")?;
    }
    for ((first, last), planted) in &bodies {
        lines[*first].insert_str(0, &format!("match crate::planted_fault() {{\n{planted}_ => {{\n"));
        lines[*last].insert_str(0, "}\n}\n");
    }
    let mut planted = lines.join("\n");
    if file == "lib.rs" {
        write!(planted, "{}", CHOICE.replace("PLANTED", PLANTED))?;
    }
    Ok(planted)
}

/// The lines between the braces of the function that a text stands in.
fn body(lines: &[String], text: &str, find: &str) -> Option<(usize, usize)> {
    let at = text.find(find)?;
    let line_of = |at: usize| text[..at].matches('\n').count();
    let is_function = |line: &&String| {
        let words = line.trim_start().split(' ').skip_while(|word| word.starts_with("pub"));
        words.take(1).eq(["fn"])
    };
    let head = lines[..=line_of(at)].iter().rposition(|line| is_function(&line))?;
    let first = head + lines[head..].iter().position(|line| line.ends_with('{'))? + 1;
    let indent = lines[head].len() - lines[head].trim_start().len();
    let brace = format!("{}}}", " ".repeat(indent));
    let last = first + lines[first..].iter().position(|line| *line == brace)?;
    (first <= line_of(at) && line_of(at + find.len()) <= last).then_some((first, last))
}

/// Goes into the copy of the core.
const CHOICE: &str = r#"
/// The number of the fault that is planted.
pub(crate) fn planted_fault() -> usize {
    static FAULT: std::sync::LazyLock<usize> = std::sync::LazyLock::new(|| {
        std::env::var("PLANTED").ok().and_then(|number| number.parse().ok()).unwrap_or(0)
    });
    *FAULT
}
"#;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{MUTANTS, plant};

    #[test]
    fn each_fault_can_still_be_planted() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/core/src");
        for mutant in MUTANTS {
            let text = std::fs::read_to_string(source.join(mutant.file)).unwrap_or_default();
            let planted = plant(mutant.file, &text).unwrap_or_else(|error| panic!("{error:#}"));
            assert!(planted.contains(mutant.replace), "{}", mutant.name);
            assert!(planted.contains(mutant.find), "{}: the function as it is has to be there, too", mutant.name);
        }
    }
}

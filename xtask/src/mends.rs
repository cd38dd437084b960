//! Takes mends out of a copy, one at a time, and sees that the test that stands for each fails. A test that
//! passes without its mend sees nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, root};

/// How long a test may take, in seconds: one that takes longer waits for something that never comes.
const LONGEST: u32 = 600;
/// By this `timeout` says that it ended what took too long.
const TIMED_OUT: i32 = 124;

/// A fault that once was.
struct Mend {
    /// What was wrong.
    fault: &'static str,
    /// In this file.
    file: &'static str,
    /// What mends it. It stands there once.
    find: &'static str,
    /// What brings the fault back.
    replace: &'static str,
    /// Which test sees it.
    of: Tests,
    test: &'static str,
}

/// Where a test is.
#[derive(Clone, Copy)]
enum Tests {
    /// A suite of the end-to-end tests.
    Suite(&'static str),
    /// Those of a package.
    Package(&'static str),
}
use Tests::{Package, Suite};

const MENDS: &[Mend] = &[
    Mend {
        fault: "a CRD that is older than the operator keeps every status from being written",
        file: "crates/operator/src/controllers/rollouts/execute.rs",
        find: "if older_crd::take_out(&mut known, &refused.message) {",
        replace: "if false && older_crd::take_out(&mut known, &refused.message) {",
        of: Suite("servers"),
        test: "a_status_that_an_older_crd_cuts_is_not_written_again_and_again",
    },
    Mend {
        fault: "an API server without streaming lists is never listed",
        file: "crates/operator/src/cluster/watch.rs",
        find: "Some(Err(error)) if !self.paged && is_refusal(&error) => {",
        replace: "Some(Err(error)) if false && is_refusal(&error) => {",
        of: Suite("servers"),
        test: "releases_go_through_with_streaming_lists_and_without",
    },
    Mend {
        fault: "one object that cannot be read hides the others of its list",
        file: "crates/operator/src/cluster/arrived.rs",
        find: "Ok(Err(error)) => at_its_place::<V>(json).unwrap_or_else(|| error.to_string()),",
        replace: "Ok(Err(error)) => return Err(error),",
        of: Suite("promises"),
        test: "an_analysis_run_that_is_nested_too_deep_is_told_so_and_stops_nobody",
    },
    Mend {
        fault: "one rollout that cannot be read stops the others",
        file: "crates/operator/src/cluster/arrived.rs",
        find: "Ok(Err(error)) => at_its_place::<V>(json).unwrap_or_else(|| error.to_string()),",
        replace: "Ok(Err(error)) => return Err(error),",
        of: Suite("servers"),
        test: "a_rollout_that_cannot_be_read_is_told_so_and_stops_nobody",
    },
    Mend {
        fault: "one object of any kind that cannot be read hides the others of its list",
        file: "crates/operator/src/cluster/arrived.rs",
        find: "Ok(Err(error)) => at_its_place::<V>(json).unwrap_or_else(|| error.to_string()),",
        replace: "Ok(Err(error)) => return Err(error),",
        of: Package("greenlight-operator"),
        test: "one_of_any_kind_that_cannot_be_read_hides_no_other_of_its_list",
    },
    Mend {
        fault: "a write that is denied is made again as soon as anything changes",
        file: "crates/operator/src/controllers/rollouts/execute.rs",
        find: "memory.note_refused(target, message, refused_for)",
        replace: "memory.note_refused(target, message, |_| Duration::ZERO)",
        of: Suite("promises"),
        test: "a_write_that_is_denied_is_told_and_heals_and_holds_up_nothing_else",
    },
    Mend {
        fault: "a standby keeps every event",
        file: "crates/operator/src/controllers/schedule.rs",
        find: "if state.open {",
        replace: "if true {",
        of: Package("greenlight-operator"),
        test: "a_standby_keeps_nothing_of_what_it_sees",
    },
    Mend {
        fault: "a leader whose queue is full keeps every event",
        file: "crates/operator/src/controllers/schedule.rs",
        find: "state.look_at(key, Instant::now());\n            self.0",
        replace: "let (waiting, arrivals) = (state.waiting, state.arrivals);\n            let name = if waiting < 9 { key.name.clone() } else { arrivals.to_string() };\n            state.look_at(Key { name, ..key }, Instant::now());\n            self.0",
        of: Package("greenlight-operator"),
        test: "however_many_events_there_are_while_all_are_busy_each_object_waits_once",
    },
    Mend {
        fault: "looks count as turns, so every third piece of work goes by age and not by urgency",
        file: "crates/operator/src/controllers/schedule.rs",
        find: "if !worked {",
        replace: "if false {",
        of: Package("greenlight-operator"),
        test: "looks_bring_the_turn_by_age_nearer_by_little",
    },
    Mend {
        fault: "all objects of a kind are packed by what they have in common with the first, which has no status yet",
        file: "crates/operator/src/cluster/cache.rs",
        find: "json.len() > longest + longest / 2 {",
        replace: "longest == 0 {",
        of: Package("greenlight-operator"),
        test: "how_little_is_kept_of_the_others_does_not_depend_on_what_was_seen_first",
    },
    Mend {
        fault: "each of those that wait for an event to write has the room that a request takes",
        file: "crates/operator/src/telemetry/lines.rs",
        find: "Box::pin(carrier.deliver(&lines, first)).await;",
        replace: "carrier.deliver(&lines, first).await;",
        of: Package("greenlight-operator"),
        test: "who_waits_for_a_message_has_no_room_yet_for_delivering_it",
    },
    Mend {
        fault: "a first deployment gives way between its finalizer and its ReplicaSet, and reads its template once more",
        file: "crates/operator/src/controllers/rollouts/mod.rs",
        find: "creates_replica_set(&plan.actions) && is_of(whole, &world.rollout);",
        replace: "creates_replica_set(&[]) && is_of(whole, &world.rollout);",
        of: Package("greenlight-operator"),
        test: "nobody_comes_between_the_finalizer_of_a_first_deployment_and_its_replica_set",
    },
    Mend {
        fault: "what cannot be read is looked for every so often, although there is none",
        file: "crates/operator/src/controllers/unreadable.rs",
        find: "() = teller.caches.until_unreadable(), if is_over => {}",
        replace: "() = tokio::time::sleep(PAUSE), if is_over => {}",
        of: Package("greenlight-operator"),
        test: "what_cannot_be_read_is_told_at_once_after_a_time_without_any",
    },
    Mend {
        fault: "what moves traffic waits for what others begin",
        file: "crates/operator/src/controllers/schedule.rs",
        find: "let others_come_first = !self.by_age",
        replace: "let others_come_first = self.by_age",
        of: Suite("promises"),
        test: "an_undo_waits_for_nothing_that_others_begin",
    },
    Mend {
        fault: "a leader that cannot renew goes on",
        file: "crates/operator/src/manager/election.rs",
        find: "const TERM: Duration = Duration::from_secs(10);",
        replace: "const TERM: Duration = Duration::from_secs(1000);",
        of: Suite("promises"),
        test: "who_cannot_renew_stops_before_another_begins",
    },
    Mend {
        fault: "who sleeps beyond its term writes when it wakes up",
        file: "crates/operator/src/api_server/leadership.rs",
        find: "        if !shard.may_write() {",
        replace: "        if false && !shard.may_write() {",
        of: Package("greenlight-operator"),
        test: "who_sleeps_beyond_its_term_begins_no_write",
    },
    Mend {
        fault: "a write that is under way when the term ends goes on",
        file: "crates/operator/src/api_server/leadership.rs",
        find: "() = shard.ended() => Err(NotLeading),",
        replace: "() = std::future::pending() => Err(NotLeading),",
        of: Package("greenlight-operator"),
        test: "a_write_that_is_under_way_when_the_term_ends_is_given_up",
    },
    Mend {
        fault: "shards: work is begun in one that is given away",
        file: "crates/operator/src/api_server/leadership.rs",
        find: "shard.may_write() && !matches!(*shard.term.borrow(), Term::Ending(_))",
        replace: "shard.may_write()",
        of: Package("greenlight-operator"),
        test: "a_shard_that_is_given_away_finishes_what_is_under_way_and_begins_nothing_and_others_go_on",
    },
    Mend {
        fault: "shards: another number of them is in force while somebody has one of the old ones",
        file: "crates/operator/src/manager/election.rs",
        find: "            if is_held {",
        replace: "            if false && is_held {",
        of: Suite("shards"),
        test: "from_one_to_several_and_back_nobody_begins_before_the_others_have_ended",
    },
    Mend {
        fault: "shards: who asks for the lease of one that is dead keeps it alive",
        file: "crates/operator/src/manager/election.rs",
        find: "filter(|(seen, _)| seen.spec == lease.spec)",
        replace: "filter(|(seen, _)| seen.metadata.resource_version == lease.metadata.resource_version)",
        of: Suite("shards"),
        test: "a_lease_counts_by_the_clock_of_who_looks_and_one_that_is_forged_or_deleted_ends_its_holder",
    },
    Mend {
        fault: "a read that is refused stands in no status",
        file: "crates/operator/src/controllers/rollouts/mod.rs",
        find: "        if result.is_err() {",
        replace: "        if false && result.is_err() {",
        of: Package("greenlight-operator"),
        test: "a_read_that_is_refused_or_conflicts_for_ever_is_told_in_the_status_and_heals",
    },
    Mend {
        fault: "a webhook that is away for a moment ends a pipeline",
        file: "crates/cli/src/patience.rs",
        find: "let may_pass = end == Some(Exit::Refused)",
        replace: "let may_pass = false && end == Some(Exit::Refused)",
        of: Package("greenlight-cli"),
        test: "a_refused_write_is_waited_for_and_nothing_else_that_somebody_has_to_mend",
    },
    Mend {
        fault: "that the API server was out is told when it is back",
        file: "crates/operator/src/controllers/rollouts/mod.rs",
        find: "    if never_ended {",
        replace: "    if never_ended || generation > 0 {",
        of: Package("greenlight-operator"),
        test: "what_is_over_by_the_time_that_it_can_be_told_is_not_told_but_for_what_hung",
    },
    Mend {
        fault: "what is put off again and again is never told of a changed spec",
        file: "crates/operator/src/controllers/rollouts/memory.rs",
        find: "            if self.put_off_on == generation {",
        replace: "            if self.put_off_on > i64::MAX - generation {",
        of: Package("greenlight-operator"),
        test: "a_read_that_is_refused_or_conflicts_for_ever_is_told_in_the_status_and_heals",
    },
    Mend {
        fault: "who keeps to what an answer says of when to come back is told of after a minute",
        file: "crates/operator/src/controllers/queue.rs",
        find: ".map_or(1, |seconds| 1 + seconds)",
        replace: ".map_or(1, |seconds| 1 + seconds.min(0))",
        of: Package("greenlight-operator"),
        test: "that_a_write_is_put_off_is_told_no_later_where_the_answer_says_when_to_come_back",
    },
    Mend {
        fault: "trouble is told of a spec that nothing has failed on yet, which may be what mends it",
        file: "crates/core/src/status.rs",
        find: "failed_on.max(told_of.unwrap_or(before.observed_generation))",
        replace: "failed_on.max(told_of.unwrap_or(before.observed_generation)).max(rollout.generation)",
        of: Package("greenlight-core"),
        test: "trouble_is_told_of_the_spec_on_which_work_failed_and_nothing_else_of_it_is_new",
    },
    Mend {
        fault: "a run that is to keep many measurements becomes too large to be read",
        file: "crates/core/src/analysis/run.rs",
        find: "    while taken > LARGEST_RECORD {",
        replace: "    while taken > LARGEST_RECORD * 100 {",
        of: Package("greenlight-core"),
        test: "however_many_measurements_are_to_be_kept_their_run_can_be_read",
    },
    Mend {
        fault: "an object whose field serde_json takes for its own is kept, cannot be unpacked, and ends the operator",
        file: "crates/operator/src/cluster/arrived.rs",
        find: "if json.contains(READ_AS_JSON) {",
        replace: "if json.is_empty() && json.contains(READ_AS_JSON) {",
        of: Package("greenlight-operator"),
        test: "a_field_that_would_be_read_as_something_else_is_not_read",
    },
    Mend {
        fault: "an answer is taken that is nested deeper than whoever evaluates it has room for",
        file: "crates/operator/src/controllers/analysis/evaluation.rs",
        find: "if serde_json::from_str::<Value>(&text).is_err() {",
        replace: "if text.is_empty() {",
        of: Package("greenlight-operator"),
        test: "a_result_is_no_deeper_than_json_that_is_read_at_once",
    },
    Mend {
        fault: "a changed spec that cannot be read either is not told of",
        file: "crates/operator/src/controllers/unreadable.rs",
        find: " && condition.observed_generation == Some(rollout.generation)",
        replace: "",
        of: Package("greenlight-operator"),
        test: "a_spec_that_was_changed_and_cannot_be_read_either_is_told_of",
    },
    Mend {
        fault: "a sink that may be asked again in 0 seconds is asked without a pause",
        file: "crates/operator/src/telemetry/notify/mod.rs",
        find: "Again::Later | Again::After(Duration::ZERO) => Some(own),",
        replace: "Again::Later => Some(own),",
        of: Package("greenlight-operator"),
        test: "a_sink_that_can_be_asked_again_at_once_is_asked_less_and_less_often_all_the_same",
    },
    Mend {
        fault: "whoever lets others go first begins to count its failures anew",
        file: "crates/operator/src/controllers/queue.rs",
        find: "Ok(Outcome::Yields(urgency, again)) => schedule.yielded(key, urgency, instant(again)),",
        replace: "Ok(Outcome::Yields(urgency, again)) => {\n                                    forget(&mut failures, trouble.as_ref(), &key);\n                                    schedule.yielded(key, urgency, instant(again));\n                                }",
        of: Package("greenlight-operator"),
        test: "whoever_lets_others_go_first_has_failed_as_often_as_before",
    },
    Mend {
        fault: "pods that a webhook holds up in one namespace have all streams",
        file: "crates/operator/src/controllers/rollouts/execute.rs",
        find: "try_for_each_concurrent(1 + beside.len(),",
        replace: "try_for_each_concurrent(1 + others,",
        of: Package("greenlight-operator"),
        test: "however_many_pods_a_webhook_holds_up_there_are_streams_left_for_other_namespaces",
    },
    Mend {
        fault: "whoever is told to come back later asks again at once",
        file: "crates/operator/src/api_server/client.rs",
        find: "tokio::time::sleep_until(until).await;",
        replace: "let _ = until;",
        of: Package("greenlight-operator"),
        test: "whoever_is_told_to_come_back_later_asks_nothing_before_and_no_later_than_that",
    },
    Mend {
        fault: "a watch that does not begin is waited for while pings are answered",
        file: "crates/operator/src/api_server/client.rs",
        find: "if self == Kind::List { LIST } else { REQUEST }",
        replace: "match self {\n            Kind::List => LIST,\n            Kind::Watch => REQUEST * 1000,\n            Kind::Read | Kind::Write => REQUEST,\n        }",
        of: Package("greenlight-operator"),
        test: "a_watch_that_does_not_begin_is_given_up_and_one_that_has_begun_goes_on",
    },
    Mend {
        fault: "what a key wrote itself has it tried again at once",
        file: "crates/operator/src/controllers/queue.rs",
        find: "                            resting.spawn(async move {\n                                tokio::time::sleep(delay).await;\n                                key\n                            });",
        replace: "                            schedule.done(key, Some(Instant::now() + delay));",
        of: Package("greenlight-operator"),
        test: "what_it_wrote_itself_before_it_failed_does_not_have_a_key_tried_again_at_once",
    },
    Mend {
        fault: "a watch task that breaks is nobody's business",
        file: "crates/operator/src/controllers/triggers.rs",
        find: "supervise::forever(&failed, ",
        replace: "supervise::forever(&CancellationToken::new(), ",
        of: Package("greenlight-operator"),
        test: "a_watch_task_that_breaks_is_the_end_of_everything",
    },
    Mend {
        fault: "the process goes on without a task that has broken",
        file: "crates/operator/src/manager/mod.rs",
        find: "() = self.failed.cancelled() => Err(broken()),",
        replace: "() = self.failed.cancelled() => std::future::pending().await,",
        of: Package("greenlight-operator"),
        test: "a_task_that_breaks_ends_the_process_and_so_does_a_restored_backup_and_both_are_errors",
    },
    Mend {
        fault: "work that has no end is told by no probe",
        file: "crates/operator/src/controllers/queue.rs",
        find: "lanes.oldest().map(|started| started + limits.deadline)",
        replace: "lanes.oldest().map(|started| started + limits.deadline * 1_000_000)",
        of: Package("greenlight-operator"),
        test: "a_queue_tells_when_work_has_no_end_and_when_it_stands_still_itself",
    },
    Mend {
        fault: "a queue that stands still is told by no probe",
        file: "crates/operator/src/telemetry/health.rs",
        find: "now.duration_since(beat.at) > NO_BEAT",
        replace: "now.duration_since(beat.at) > NO_BEAT * 1_000_000",
        of: Package("greenlight-operator"),
        test: "a_queue_beats_as_long_as_it_gets_on_and_no_longer",
    },
    Mend {
        fault: "a probe says that all is well whatever the workers do",
        file: "crates/operator/src/telemetry/server.rs",
        find: "answer(alive.alive())",
        replace: "answer(alive.alive().or(Ok(())))",
        of: Package("greenlight-operator"),
        test: "a_probe_fails_when_a_queue_stands_still",
    },
    Mend {
        fault: "what was scraped is kept for ever",
        file: "crates/operator/src/telemetry/server.rs",
        find: "*last = None;",
        replace: "drop(last);",
        of: Package("greenlight-operator"),
        test: "what_was_scraped_is_not_kept_until_somebody_scrapes_again",
    },
    Mend {
        fault: "a ReplicaSet is called a rollout in the log",
        file: "crates/operator/src/manager/mod.rs",
        find: "replica_set = %key",
        replace: "rollout = %key",
        of: Package("greenlight-operator"),
        test: "each_line_about_work_says_what_it_is_about_by_its_kind",
    },
    Mend {
        fault: "work is logged without what it is about",
        file: "crates/operator/src/controllers/queue.rs",
        find: "work(key.clone(), turn).instrument((limits.span)(&key));",
        replace: "work(key.clone(), turn).instrument(tracing::Span::none());",
        of: Package("greenlight-operator"),
        test: "each_line_about_work_says_what_it_is_about_by_its_kind",
    },
    Mend {
        fault: "an overlap that began by a clock that is an hour ahead is an hour longer",
        file: "crates/core/src/switch.rs",
        find: "if is_late { situation.now } else { before.switched_at }",
        replace: "before.switched_at",
        of: Package("greenlight-core"),
        test: "an_overlap_that_began_by_a_clock_ahead_is_not_an_hour_longer",
    },
    Mend {
        fault: "what was good is measured again when production goes back to it after a revert in Git",
        file: "crates/core/src/decisions/record.rs",
        find: "std::mem::take(&mut serving.was_good) && goes_back {",
        replace: "std::mem::take(&mut serving.was_good) && goes_back && hash.is_empty() {",
        of: Package("greenlight-core"),
        test: "what_was_good_is_not_measured_again_when_production_goes_back_after_a_revert_in_git",
    },
    Mend {
        fault: "a revert in Git takes the pods of a way back while what serves is being analysed",
        file: "crates/core/src/scale.rs",
        find: "let is_kept = is_inside_its_delay || retire::waits_for_verdict(situation, candidate);",
        replace: "let is_kept = is_inside_its_delay;",
        of: Package("greenlight-core"),
        test: "what_git_asks_for_keeps_the_pods_of_a_way_back_until_what_serves_was_found_good",
    },
    Mend {
        fault: "a restart of what is kept for a way back adds a pod in each plan",
        file: "crates/core/src/scale.rs",
        find: "let size = Size::of(situation, candidate, asked_for.max(kept.min(1)), spec.replicas());",
        replace: "let size = Size::of(situation, candidate, asked_for.max(kept), spec.replicas());",
        of: Package("greenlight-core"),
        test: "a_restart_of_what_is_kept_for_a_way_back_adds_no_pods_that_stay",
    },
    Mend {
        fault: "a refused template is told as refused after it was aborted",
        file: "crates/core/src/plan/round.rs",
        find: "let template = || if is_to_be_made { stall::template(world) } else { None };",
        replace: "let template = || if is_to_be_made || situation.roles.updated.is_none() { stall::template(world) } else { None };",
        of: Package("greenlight-core"),
        test: "a_refused_template_is_not_told_of_any_more_when_it_was_aborted",
    },
    Mend {
        fault: "what an aborted template lacks is told as long as the spec asks for it",
        file: "crates/core/src/stall.rs",
        find: "if missing.is_empty() || is_rejected {",
        replace: "if missing.is_empty() || is_rejected && missing.is_empty() {",
        of: Package("greenlight-core"),
        test: "what_an_aborted_template_lacks_is_not_told_of_any_more",
    },
    Mend {
        fault: "what an earlier rollout left behind is said to be down",
        file: "crates/core/src/status.rs",
        find: "None => format!(\"{}; \", findings.situation.where_nowhere()),",
        replace: "None => \"production is down; \".to_owned(),",
        of: Package("greenlight-core"),
        test: "what_an_earlier_rollout_left_behind_is_not_said_to_be_down",
    },
    Mend {
        fault: "a question about what serves is told as a preview",
        file: "crates/core/src/events.rs",
        find: "decisions.serving == after.updated_revision);",
        replace: "decisions.serving == after.updated_revision && decisions.serving.is_empty());",
        of: Package("greenlight-core"),
        test: "an_analysis_of_what_serves_without_a_conclusion_is_not_told_as_a_preview",
    },
    Mend {
        fault: "going back since a ReplicaSet was deleted is told as a promotion",
        file: "crates/core/src/events.rs",
        find: "has_served && !switch.from.is_empty()",
        replace: "has_served && switch.from.is_empty()",
        of: Package("greenlight-core"),
        test: "going_back_since_a_replica_set_was_deleted_is_not_told_as_a_promotion",
    },
    Mend {
        fault: "production that goes back while a ReplicaSet is being deleted is told as a promotion",
        file: "crates/core/src/events.rs",
        find: "!is_there(&switch.from) && is_way_back(",
        replace: "!is_there(&switch.from) && after.decisions.as_ref().is_some_and(|it| it.revision(&switch.from).is_none()) && is_way_back(",
        of: Package("greenlight-core"),
        test: "nor_is_it_while_the_replica_set_is_still_being_deleted",
    },
    Mend {
        fault: "whoever promotes in full what serves is not heard",
        file: "crates/core/src/request.rs",
        find: "if is_reported && self.request.action == Verb::PromoteFull =>",
        replace: "if !is_reported && self.request.action == Verb::PromoteFull =>",
        of: Package("greenlight-core"),
        test: "whoever_promotes_what_serves_in_full_keeps_it_without_its_analysis",
    },
    Mend {
        fault: "who names a revision by its number is told that another one serves",
        file: "crates/core/src/request.rs",
        find: "if let Some(why) = hearing.named_by_number() {",
        replace: "if let Some(why) = hearing.named_by_number().filter(String::is_empty) {",
        of: Package("greenlight-core"),
        test: "who_names_a_revision_by_its_number_is_told_its_hash",
    },
    Mend {
        fault: "what waits hides that what serves is being analysed",
        file: "crates/core/src/status.rs",
        find: "Some(Outcome::Running(_)) => Some(",
        replace: "Some(Outcome::Running(_)) if situation.decisions.serving.is_empty() => Some(",
        of: Package("greenlight-core"),
        test: "what_waits_does_not_hide_that_what_serves_is_being_analysed",
    },
    Mend {
        fault: "a stall hides that what waits was aborted",
        file: "crates/core/src/status.rs",
        find: "match rejection_of_updated(situation).or_else(|| rejection_of_what_is_left(situation)) {",
        replace: "match rejection_of_what_is_left(situation) {",
        of: Package("greenlight-core"),
        test: "a_stall_does_not_hide_that_what_waits_was_aborted",
    },
    Mend {
        fault: "a move by hand that does not count is taken back in silence",
        file: "crates/core/src/switch.rs",
        find: "let event = taken_back(situation, service, home);",
        replace: "let event = taken_back(situation, service, home).filter(|event| event.note.is_empty());",
        of: Package("greenlight-core"),
        test: "a_move_by_hand_to_nothing_is_put_back_and_told",
    },
    Mend {
        fault: "production is said to come back from what was aborted",
        file: "crates/core/src/status.rs",
        find: "Some(waiting) => waiting.message,",
        replace: "Some(waiting) => format!(\"on the way back to {serving}: {}\", waiting.message),",
        of: Package("greenlight-core"),
        test: "production_is_not_said_to_come_back_from_what_was_aborted",
    },
    Mend {
        fault: "who is told to retry what production is still leaving is refused",
        file: "crates/core/src/status.rs",
        find: "let is_left = roles.going_back() && decisions.serving == hash;",
        replace: "let is_left = roles.going_back() && decisions.serving == hash && hash.is_empty();",
        of: Package("greenlight-core"),
        test: "nobody_is_told_to_retry_what_production_is_still_leaving",
    },
    Mend {
        fault: "the way out of an outage is given up at the progress deadline",
        file: "crates/core/src/plan/decide.rs",
        find: "rs.ready > 0 || decided.replicas == 0",
        replace: "rs.ready >= 0 || decided.replicas == 0",
        of: Package("greenlight-core"),
        test: "no_progress_within_the_deadline_rejects_nothing_while_nothing_serves",
    },
    Mend {
        fault: "nobody is told that a preview Service with the mark of a rollout that is gone shows no preview",
        file: "crates/core/src/stall.rs",
        find: "world.services.get(name)?.production.as_ref()?;",
        replace: "world.services.get(name).filter(|it| it.is_marked_for(&world.rollout.name))?.production.as_ref()?;",
        of: Package("greenlight-core"),
        test: "a_service_that_carried_production_of_a_rollout_that_is_gone_shows_no_preview_and_that_is_told",
    },
    Mend {
        fault: "what waits hides that production has come back from what was rejected",
        file: "crates/core/src/status.rs",
        find: "if is_told || roles.is_updated(home) {",
        replace: "if is_told || roles.is_updated(home) || home.ready >= 0 {",
        of: Package("greenlight-core"),
        test: "what_waits_does_not_hide_that_production_has_come_back_from_what_was_rejected",
    },
    Mend {
        fault: "a deadline that began by a clock that is an hour ahead is an hour longer",
        file: "crates/core/src/progress.rs",
        find: "|at| at.max(before.since)).min(now)",
        replace: "|at| at.max(before.since))",
        of: Package("greenlight-core"),
        test: "a_deadline_that_began_by_a_clock_ahead_is_not_an_hour_longer",
    },
    Mend {
        fault: "namespaces whose servers hang have all places of large analyses",
        file: "crates/operator/src/controllers/analysis/large.rs",
        find: "MOST_SLOW.saturating_sub(",
        replace: "MOST_LARGE.saturating_sub(",
        of: Package("greenlight-operator"),
        test: "large_runs_that_hang_in_many_namespaces_leave_places_to_others_and_take_turns",
    },
    Mend {
        fault: "a large analysis keeps its place until all that is due has timed out",
        file: "crates/operator/src/controllers/analysis/mod.rs",
        find: "if place.is_some() { PARALLEL } else { usize::MAX }",
        replace: "usize::MAX",
        of: Package("greenlight-operator"),
        test: "of_a_large_run_so_much_is_measured_in_a_turn_as_is_measured_at_a_time",
    },
    Mend {
        fault: "a patch of a pod that is late takes back what another operator has settled",
        file: "crates/operator/src/controllers/rollouts/execute.rs",
        find: "metadata[\"resourceVersion\"] = version.into();",
        replace: "let _ = version;",
        of: Package("greenlight-operator"),
        test: "pods_are_changed_only_as_they_were_read_and_one_that_has_changed_holds_up_no_other",
    },
    Mend {
        fault: "of many pods that are refused their labels the first ones hold up all others",
        file: "crates/operator/src/controllers/rollouts/execute.rs",
        find: "to_change.rotate_left(usize::try_from(chance()).unwrap_or(0) % count.max(1));",
        replace: "let _ = chance();",
        of: Package("greenlight-operator"),
        test: "many_pods_that_are_refused_hold_up_no_other_for_long",
    },
    Mend {
        fault: "whoever labels pods rests when one of them has changed",
        file: "crates/operator/src/controllers/rollouts/execute.rs",
        find: "refusals.is_empty() && (1..count).contains(&conflicts.len())",
        replace: "refusals.is_empty() && count > 0 && false",
        of: Package("greenlight-operator"),
        test: "a_pod_that_has_changed_is_looked_at_again_at_once_unless_there_is_no_other",
    },
    Mend {
        fault: "the end of a Job is not seen before somebody looks",
        file: "crates/operator/src/controllers/triggers.rs",
        find: "caches.jobs.listen(move |job| job.groups().into_iter().for_each(|run| runs.now(run)));",
        replace: "caches.jobs.listen(move |job| job.groups().into_iter().take(0).for_each(|run| runs.now(run)));",
        of: Package("greenlight-operator"),
        test: "the_end_of_a_job_wakes_its_run_at_once",
    },
    Mend {
        fault: "an overlap is over at once when the clock is set back",
        file: "crates/core/src/overlap.rs",
        find: "if switched.is_some_and(|at| at > *now) {",
        replace: "if false && switched.is_some_and(|at| at > *now) {",
        of: Package("greenlight-core"),
        test: "an_overlap_is_not_cut_short_when_the_clock_is_set_back",
    },
    Mend {
        fault: "who does not lead asks others' servers to change something",
        file: "crates/operator/src/web/client.rs",
        find: "self.leadership.guard(&self.namespace, answer).await.map_err(|error| error.to_string())?",
        replace: "answer.await",
        of: Package("greenlight-operator"),
        test: "what_may_change_something_is_asked_by_who_leads_and_nobody_else",
    },
    Mend {
        fault: "a pod is evicted whatever became of it since it was seen",
        file: "crates/operator/src/controllers/rollouts/execute.rs",
        find: "\"deleteOptions\": {\"preconditions\": as_seen},",
        replace: "\"delete_options\": {\"preconditions\": as_seen},",
        of: Package("greenlight-operator"),
        test: "a_pod_is_evicted_only_as_it_was_seen",
    },
    Mend {
        fault: "a restart takes a pod although the ReplicaSet has changed since it was seen",
        file: "crates/core/src/restart.rs",
        find: "is_noted(pod) && self.rs.fresh {",
        replace: "is_noted(pod) {",
        of: Package("greenlight-core"),
        test: "a_restart_takes_no_pod_while_another_is_down_that_the_operator_has_not_heard_of",
    },
    Mend {
        fault: "a pod that may not be evicted holds up all others of its restart",
        file: "crates/core/src/restart.rs",
        find: "|pod| (refusal(world, pod).is_some(), !is_noted(pod), in_turn(pod))",
        replace: "|pod| (!is_noted(pod), in_turn(pod))",
        of: Package("greenlight-core"),
        test: "a_pod_that_may_not_be_evicted_holds_up_no_other_of_its_restart",
    },
    Mend {
        fault: "a deletion that is refused is read live at each look",
        file: "crates/core/src/finalize.rs",
        find: "leads_to_ours(world, service) && world.refused_write(&release, now).is_none()",
        replace: "leads_to_ours(world, service) && !release.is_empty()",
        of: Package("greenlight-core"),
        test: "a_deletion_that_is_held_up_reads_the_api_server_when_it_tries_again_and_not_before",
    },
    Mend {
        fault: "a stop that is late stops another run of the same name",
        file: "crates/operator/src/controllers/analysis/start.rs",
        find: "json!({\"metadata\": {\"resourceVersion\": version}, \"spec\": {\"terminate\": true}})",
        replace: "json!({\"metadata\": {\"resourceVersion\": version.filter(|_| false)}, \"spec\": {\"terminate\": true}})",
        of: Package("greenlight-operator"),
        test: "a_run_is_stopped_only_as_it_was_read",
    },
    Mend {
        fault: "trouble with what has no rollout any more is told nowhere",
        file: "crates/operator/src/manager/mod.rs",
        find: "Some(of_rollout(caches, &owned.owner).unwrap_or_else(itself))",
        replace: "of_rollout(caches, &owned.owner)",
        of: Package("greenlight-operator"),
        test: "trouble_is_told_on_the_rollout_or_on_what_is_nobodys",
    },
    Mend {
        fault: "a request that is never answered keeps a worker for ever",
        file: "crates/operator/src/api_server/client.rs",
        find: "const REQUEST: Duration = Duration::from_secs(35);",
        replace: "const REQUEST: Duration = Duration::from_secs(3500);",
        of: Suite("promises"),
        test: "a_write_that_is_never_answered_is_made_again",
    },
    Mend {
        fault: "work that hangs keeps a worker for ever",
        file: "crates/operator/src/controllers/queue.rs",
        find: "tokio::time::timeout(deadline, AssertUnwindSafe(work).catch_unwind())",
        replace: "tokio::time::timeout(deadline * 1000, AssertUnwindSafe(work).catch_unwind())",
        of: Package("greenlight-operator"),
        test: "work_that_hangs_is_given_up_and_tried_again",
    },
    Mend {
        fault: "whoever is asked to end waits for what hangs before it gives the lease away",
        file: "crates/operator/src/manager/mod.rs",
        find: "const LAST_WORK: Duration = Duration::from_secs(5);",
        replace: "const LAST_WORK: Duration = Duration::from_secs(500);",
        of: Suite("promises"),
        test: "who_is_asked_to_end_gives_the_lease_away_even_if_a_write_hangs",
    },
    Mend {
        fault: "a switch waits for its proof until others are done",
        file: "crates/operator/src/cluster/on_demand/shared.rs",
        find: "inner.until(|state| state.topics.is_empty() || state.somebody_waits(&asked)).await;",
        replace: "inner.until(|state| state.topics.is_empty()).await;",
        of: Suite("promises"),
        test: "a_hundred_switches_at_once_are_proven_by_a_handful_of_watches",
    },
    Mend {
        fault: "runs that are over are kept whole",
        file: "crates/operator/src/cluster/objects/analysis_run.rs",
        find: "Some(status) if status.phase.is_completed() =>",
        replace: "Some(status) if false && status.phase.is_completed() =>",
        of: Package("greenlight-operator"),
        test: "ten_thousand_rollouts_with_their_analyses_fit_into_a_hundred_megabytes",
    },
    Mend {
        fault: "a watch that has broken leaves a frozen cache",
        file: "crates/operator/src/cluster/supervise.rs",
        find: "        failed.cancel();\n    })",
        replace: "        let _ = failed;\n    })",
        of: Package("greenlight-operator"),
        test: "a_panic_is_everybodys_business_and_an_abort_is_not",
    },
    Mend {
        fault: "who hears nothing of the API server is ready",
        file: "crates/operator/src/telemetry/health.rs",
        find: "watching.failing_since.get_or_insert_with(Instant::now);",
        replace: "let _ = watching;",
        of: Suite("promises"),
        test: "watches_that_fail_are_told_by_readyz_and_go_on_by_themselves",
    },
    Mend {
        fault: "conflict after conflict is silent",
        file: "crates/operator/src/controllers/queue.rs",
        find: "} else if self.conflicts.is_multiple_of(MANY_CONFLICTS) {",
        replace: "} else if self.conflicts.is_multiple_of(MANY_CONFLICTS * 1000) {",
        of: Suite("promises"),
        test: "conflict_after_conflict_is_a_warning",
    },
    Mend {
        fault: "proxy-url is not respected",
        file: "crates/operator/src/api_server/client.rs",
        find: "let Some(proxy) = &config.proxy_url else",
        replace: "let Some(proxy) = &config.proxy_url.clone().filter(|_| false) else",
        of: Suite("promises"),
        test: "it_goes_through_a_proxy_and_checks_the_name_that_it_is_told_to",
    },
    Mend {
        fault: "tls-server-name is not respected",
        file: "crates/operator/src/api_server/client.rs",
        find: "if let Some(name) = &config.tls_server_name {",
        replace: "if let Some(name) = &config.tls_server_name.clone().filter(|_| false) {",
        of: Suite("promises"),
        test: "it_goes_through_a_proxy_and_checks_the_name_that_it_is_told_to",
    },
    Mend {
        fault: "a Job is looked at now and then, and its end wakes nobody",
        file: "crates/operator/src/controllers/triggers.rs",
        find: "caches.jobs.listen(move |job| job.groups().into_iter().for_each(|run| runs.now(run)));",
        replace: "caches.jobs.listen(move |job| job.groups().into_iter().for_each(|_| drop(runs.clone())));",
        of: Suite("promises"),
        test: "a_real_job_gates_the_promotion_and_a_dead_operator_changes_nothing",
    },
    Mend {
        fault: "a sink's Retry-After is not respected",
        file: "crates/operator/src/telemetry/notify/mod.rs",
        find: "Some(wait) => Again::After(wait),",
        replace: "Some(_) => Again::Later,",
        of: Suite("promises"),
        test: "a_sink_that_has_too_much_to_do_loses_nothing",
    },
    Mend {
        fault: "events are cut by characters",
        file: "crates/operator/src/telemetry/recorder.rs",
        find: "use greenlight_core::words::beginning;",
        replace: "fn beginning(text: &str, most: usize) -> &str {\n    &text[..text.char_indices().nth(most).map_or(text.len(), |(end, _)| end)]\n}",
        of: Package("greenlight-operator"),
        test: "a_note_is_cut_by_bytes_and_between_characters",
    },
    Mend {
        fault: "what is gone is remembered for ever",
        file: "crates/operator/src/cluster/cache.rs",
        find: "while self.gone_since.front().is_some_and(is_old) {",
        replace: "while false && self.gone_since.front().is_some_and(is_old) {",
        of: Package("greenlight-operator"),
        test: "what_went_long_ago_is_forgotten_one_by_one",
    },
    Mend {
        fault: "two namespaces whose webhooks hang have all workers",
        file: "crates/operator/src/controllers/lanes.rs",
        find: "if work.lane == Lane::Quick && work.since + SLOW <= now {",
        replace: "if false && work.since + SLOW <= now {",
        of: Package("greenlight-operator"),
        test: "two_namespaces_whose_work_hangs_hold_up_nobody_for_long",
    },
    Mend {
        fault: "analysis runs are kept however large they are",
        file: "crates/operator/src/cluster/objects/analysis_run.rs",
        find: "State::UnderWay(Some(Box::new(run)).filter(|run| is_kept(run)))",
        replace: "State::UnderWay(Some(Box::new(run)).filter(|run| is_kept(run) || true))",
        of: Package("greenlight-operator"),
        test: "what_is_kept_of_a_run_is_bounded_however_large_it_is",
    },
    Mend {
        fault: "a deletion that may not see endpoints waits without a word",
        file: "crates/core/src/plan/mod.rs",
        find: ".or_else(|| stall::trouble(world))",
        replace: ".or_else(|| stall::trouble(world).filter(|_| false))",
        of: Package("greenlight-core"),
        test: "a_deletion_that_may_not_see_where_services_lead_says_so_and_goes_on_when_it_may",
    },
    Mend {
        fault: "whoever may not watch on demand is told nothing",
        file: "crates/operator/src/cluster/on_demand/shared.rs",
        find: "self.trouble = Some(trouble);",
        replace: "",
        of: Package("greenlight-operator"),
        test: "what_may_not_be_seen_is_told_to_whoever_waits_until_it_may",
    },
    Mend {
        fault: "statuses that webhooks hold up in many namespaces hold up what is told in others",
        file: "crates/operator/src/controllers/unreadable.rs",
        find: "        lanes.look(now);\n",
        replace: "",
        of: Package("greenlight-operator"),
        test: "statuses_that_a_webhook_holds_up_in_many_namespaces_hold_up_none_in_another",
    },
    Mend {
        fault: "all that cannot be read is looked through for each few that are told",
        file: "crates/operator/src/controllers/unreadable.rs",
        find: "if look_at <= now {",
        replace: "if true {",
        of: Package("greenlight-operator"),
        test: "telling_of_eight_times_as_many_takes_about_eight_times_as_much",
    },
    Mend {
        fault: "whoever knew an etcd of before a restore goes on",
        file: "crates/operator/src/manager/election.rs",
        find: "self.went_back.cancel();",
        replace: "",
        of: Package("greenlight-operator"),
        test: "a_lease_that_goes_back_tells_that_a_backup_was_restored",
    },
    Mend {
        fault: "each scrape makes its own text",
        file: "crates/operator/src/telemetry/server.rs",
        find: "made_at.elapsed() < SAME_TEXT",
        replace: "made_at.elapsed() < SAME_TEXT && false",
        of: Package("greenlight-operator"),
        test: "scrapes_at_the_same_time_share_their_text_and_too_many_are_sent_away",
    },
    Mend {
        fault: "whoever is asked to end waits for what it measures",
        file: "crates/operator/src/manager/mod.rs",
        find: "    analyses.abort();\n",
        replace: "    drop(analyses);\n",
        of: Suite("promises"),
        test: "a_measurement_that_hangs_does_not_hold_up_a_handover",
    },
    Mend {
        fault: "a clock that is set back by an hour puts off for an hour what was refused",
        file: "crates/operator/src/controllers/rollouts/memory.rs",
        find: "now.saturating_add(until)",
        replace: "now.max(Timestamp::now()).saturating_add(until)",
        of: Package("greenlight-operator"),
        test: "a_clock_that_is_set_back_or_forth_puts_nothing_off_and_nothing_forward",
    },
    Mend {
        fault: "two processes of the same host name and number take each other for themselves",
        file: "crates/operator/src/manager/options.rs",
        find: "chance())\n",
        replace: "std::process::id())\n",
        of: Package("greenlight-operator"),
        test: "two_processes_of_the_same_host_name_and_number_do_not_lead_together",
    },
    Mend {
        fault: "whoever still holds the way to the sinks holds up the end",
        file: "crates/operator/src/telemetry/notify/mod.rs",
        find: "        self.lines.iter().for_each(|(_, lines)| lines.close());\n",
        replace: "",
        of: Package("greenlight-operator"),
        test: "whoever_still_holds_the_way_to_the_sinks_does_not_hold_up_the_end_and_what_it_tells_then_is_counted",
    },
    Mend {
        fault: "one namespace has all the room that there is for notifications",
        file: "crates/operator/src/telemetry/lines.rs",
        find: "longest.len() > own + 1",
        replace: "longest.len() > own + 1 + MOST",
        of: Package("greenlight-operator"),
        test: "a_namespace_that_tells_without_end_loses_its_own_and_keeps_no_other_waiting",
    },
    Mend {
        fault: "a notification that a sink does not take holds up all others",
        file: "crates/operator/src/telemetry/lines.rs",
        find: "filter_map(|(namespace, line)| Some((namespace, line, line.next(now)?)))",
        replace: "filter_map(|(namespace, line)| Some((namespace, line, line.next(now)?))).filter(|_| self.lines.values().all(|line| line.again_at.is_none_or(|at| at <= now)))",
        of: Package("greenlight-operator"),
        test: "what_a_sink_does_not_take_holds_up_its_own_line_only",
    },
    Mend {
        fault: "a measurement that ended in the future holds up the next one until then",
        file: "crates/core/src/analysis/run.rs",
        find: "*finished_at = now.min(*finished_at);",
        replace: "",
        of: Package("greenlight-core"),
        test: "a_time_in_the_future_holds_up_a_measurement_for_one_interval_and_no_longer",
    },
    Mend {
        fault: "a server that takes nothing any more keeps the connection of each question for ever",
        file: "crates/operator/src/web/client.rs",
        find: "tasks.lock().expect(\"no panic while locked\").spawn(async { drop(work.await) });",
        replace: "drop(tasks);\n            tokio::spawn(async { drop(work.await) });",
        of: Package("greenlight-operator"),
        test: "nothing_is_left_of_a_question_to_a_server_that_takes_nothing_any_more",
    },
    Mend {
        fault: "whoever makes hundreds of large ReplicaSets has the operator read them all at once",
        file: "crates/operator/src/api_server/pages.rs",
        find: "params.limit(PAGE)",
        replace: "params",
        of: Package("greenlight-operator"),
        test: "however_many_replica_sets_somebody_makes_a_page_of_them_is_read_at_a_time",
    },
    Mend {
        fault: "a run that is over deletes whatever has the name of its Job",
        file: "crates/operator/src/controllers/analysis/job.rs",
        find: "preconditions: Some(preconditions),",
        replace: "preconditions: Some(preconditions).filter(|_| false),",
        of: Package("greenlight-operator"),
        test: "a_run_that_is_over_ends_the_jobs_that_it_made_and_no_others_of_their_names",
    },
    Mend {
        fault: "writes that hang keep watches from beginning",
        file: "crates/operator/src/api_server/connections.rs",
        find: "Ok(Connections {\n            watches: connect(leadership)?,\n            rollouts: connect(leadership)?,",
        replace: "let shared = connect(leadership)?;\n        Ok(Connections {\n            watches: shared.clone(),\n            rollouts: shared,",
        of: Package("greenlight-operator"),
        test: "however_many_requests_of_one_purpose_hang_the_others_go_through",
    },
    Mend {
        fault: "events that hang in some namespaces hold up those of others",
        file: "crates/operator/src/telemetry/recorder.rs",
        find: "const BESIDE: usize = 8;",
        replace: "const BESIDE: usize = 8 + AT_ONCE;",
        of: Package("greenlight-operator"),
        test: "events_that_hang_in_many_namespaces_hold_up_none_in_another_and_nobody_who_records",
    },
    Mend {
        fault: "lists of one namespace keep all others from reading",
        file: "crates/operator/src/api_server/pages.rs",
        find: "Shares::new(AT_ONCE / 2)",
        replace: "Shares::new(2 * AT_ONCE)",
        of: Package("greenlight-operator"),
        test: "a_namespace_whose_lists_take_their_time_keeps_no_other_from_reading",
    },
    Mend {
        fault: "what is told of a rollout wakes all that name its Service",
        file: "crates/operator/src/controllers/triggers.rs",
        find: "before.map(claim) != after.map(claim)",
        replace: "before.is_some() || before.map(claim) != after.map(claim)",
        of: Package("greenlight-operator"),
        test: "what_is_told_of_a_rollout_wakes_none_that_names_its_service_and_one_that_leaves_it_does",
    },
    Mend {
        fault: "all that is wrong with a template is read, however much it is",
        file: "crates/operator/src/api_server/client.rs",
        find: "Reading::Until(deadline) if is_refusal(status) =>",
        replace: "Reading::Until(deadline) if is_refusal(status) && false =>",
        of: Package("greenlight-operator"),
        test: "of_all_that_is_wrong_with_a_template_no_more_is_read_than_somebody_would_read",
    },
    Mend {
        fault: "a refusal is not told if something else went wrong before it",
        file: "crates/operator/src/controllers/queue.rs",
        find: "(0, self.lasting.saturating_add(1))",
        replace: "(0, self.in_a_row)",
        of: Package("greenlight-operator"),
        test: "what_will_not_change_by_itself_is_told_whatever_went_wrong_before_it",
    },
    Mend {
        fault: "events of objects with long names are lost",
        file: "crates/operator/src/telemetry/recorder.rs",
        find: "MAX_NAME - when.len()",
        replace: "MAX_NAME",
        of: Package("greenlight-operator"),
        test: "events_of_an_object_with_the_longest_name_are_written_and_one_that_is_refused_is_counted",
    },
    Mend {
        fault: "an API server that restarts loses what happens meanwhile",
        file: "crates/operator/src/telemetry/recorder.rs",
        find: "if may_pass(&error) && first",
        replace: "if false && may_pass(&error) && first",
        of: Package("greenlight-operator"),
        test: "events_wait_for_an_api_server_that_is_away_and_keep_their_order",
    },
    Mend {
        fault: "a value of an argument has a secret sent where it goes itself",
        file: "crates/operator/src/controllers/analysis/start.rs",
        find: "if !arguments::stay_in_their_places(",
        replace: "if false && !arguments::stay_in_their_places(",
        of: Package("greenlight-operator"),
        test: "no_value_of_an_argument_puts_a_secret_where_the_template_has_none",
    },
    Mend {
        fault: "gate: who may edit may open it",
        file: "charts/greenlight/templates/request-policy.yaml",
        find: "['previewReplicaCount', 'antiAffinity']",
        replace: "['previewReplicaCount', 'antiAffinity', 'autoPromotionEnabled']",
        of: Suite("promises"),
        test: "every_field_is_open_to_who_may_edit_or_takes_promote_and_a_new_one_takes_promote",
    },
    Mend {
        fault: "gate: a ReplicaSet that says that it is ours is believed",
        file: "crates/operator/src/controllers/rollouts/adopt.rs",
        find: "pods(found) == pods(wanted) && ",
        replace: "pods(found) == pods(found) && ",
        of: Suite("promises"),
        test: "nobody_goes_around_the_gate_whatever_the_role_and_the_door",
    },
    Mend {
        fault: "gate: a Job that somebody made under the expected name is believed",
        file: "crates/operator/src/controllers/analysis/job.rs",
        find: "|| measured_by(&found) != measured_by(",
        replace: "|| false && measured_by(&found) != measured_by(",
        of: Package("greenlight-operator"),
        test: "a_job_under_the_expected_name_counts_only_if_it_does_what_the_metric_asks_for",
    },
    Mend {
        fault: "gate: a Job that somebody made before there was anything to measure is believed",
        file: "crates/operator/src/controllers/analysis/job.rs",
        find: "if !is_ours || ",
        replace: "if false && !is_ours || ",
        of: Package("greenlight-operator"),
        test: "a_job_that_was_there_before_its_run_is_no_measurement_whatever_it_does",
    },
    Mend {
        fault: "the Job of a run that was deleted is an error of the one that takes its place",
        file: "crates/operator/src/controllers/analysis/job.rs",
        find: "if !is_ours && has_just_begun && ",
        replace: "if false && has_just_begun && ",
        of: Package("greenlight-operator"),
        test: "what_is_left_of_a_run_that_was_deleted_is_waited_for_and_is_no_error",
    },
    Mend {
        fault: "a histogram counts as no number, which a condition may take for good",
        file: "crates/operator/src/controllers/analysis/prometheus.rs",
        find: "let Some(text) = sample[1].as_str() else {",
        replace: "let Some(text) = sample[1].as_str().or(Some(\"NaN\")) else {",
        of: Package("greenlight-operator"),
        test: "a_result_is_numbers_and_words_for_what_is_none_and_nothing_else",
    },
    Mend {
        fault: "an uninstall without the CRDs fails, and leaves finalizers on ReplicaSets",
        file: "crates/operator/src/commands/remove_finalizers.rs",
        find: "Err(error) if is_gone(&error) => ",
        replace: "Err(error) if false && is_gone(&error) => ",
        of: Package("greenlight-operator"),
        test: "without_the_crds_there_are_no_rollouts_and_without_replica_sets_it_is_no_cluster",
    },
    Mend {
        fault: "an operator that works on nothing at a time stands still, and nobody is told",
        file: "crates/operator/src/manager/options.rs",
        find: "(1..=most).contains(number)",
        replace: "(0..=most).contains(number)",
        of: Package("greenlight-operator"),
        test: "as_many_may_be_worked_on_at_a_time_as_a_connection_has_room_for_and_not_none",
    },
    Mend {
        fault: "a standby whose API server has another authority by now stands by for ever",
        file: "crates/operator/src/telemetry/health.rs",
        find: "!inner.watches.is_empty() && inner.watches.values().all(is_deaf)",
        replace: "false && inner.watches.values().all(is_deaf)",
        of: Package("greenlight-operator"),
        test: "whoever_hears_nothing_at_all_for_long_starts_anew_and_whoever_hears_something_does_not",
    },
    Mend {
        fault: "a rollout that cannot be read cannot be deleted, nor can its namespace",
        file: "crates/operator/src/controllers/rollouts/observe.rs",
        find: "if is_of_now && outline.is_deleting() {",
        replace: "if false && is_of_now && outline.is_deleting() {",
        of: Package("greenlight-operator"),
        test: "a_rollout_that_cannot_be_read_is_let_go_when_it_is_deleted_and_left_alone_before",
    },
    Mend {
        fault: "a ReplicaSet is made for another rollout that has the name by now",
        file: "crates/operator/src/controllers/rollouts/execute.rs",
        find: "if !is_that || ",
        replace: "if false && !is_that || ",
        of: Package("greenlight-operator"),
        test: "no_replica_set_is_made_for_another_rollout_that_has_the_name_by_now",
    },
    Mend {
        fault: "an operator that starts before the name server lets analyses ask the API server for good",
        file: "crates/operator/src/manager/mod.rs",
        find: "        if !has_a_name {\n",
        replace: "        if has_a_name || !has_a_name {\n",
        of: Package("greenlight-operator"),
        test: "nobody_is_asked_before_it_is_known_where_the_api_server_is_unless_a_proxy_finds_it",
    },
    Mend {
        fault: "a release waits for a Job that somebody has suspended, and nobody says so",
        file: "crates/operator/src/controllers/analysis/job.rs",
        find: "None if job.suspended => ",
        replace: "None if false && job.suspended => ",
        of: Package("greenlight-operator"),
        test: "a_job_that_somebody_has_suspended_is_told_until_it_goes_on",
    },
    Mend {
        fault: "a field of a Job with a typo is left out, and nobody is told",
        file: "crates/operator/src/controllers/analysis/job.rs",
        find: "&fieldValidation=Strict\", request.uri());",
        replace: "&fieldValidation=Ignore\", request.uri());",
        of: Package("greenlight-operator"),
        test: "a_field_that_jobs_do_not_have_is_for_the_api_server_to_refuse_and_is_not_left_out",
    },
    Mend {
        fault: "a Job is gone before anybody sees how it ended",
        file: "crates/operator/src/controllers/analysis/job.rs",
        find: "seconds.max(SHORTEST_TTL)",
        replace: "seconds.max(0)",
        of: Package("greenlight-operator"),
        test: "a_job_stays_for_ten_minutes_after_its_end_or_longer_so_that_the_end_is_seen",
    },
    Mend {
        fault: "a Job that is not to stay has its place in a quota for ten minutes",
        file: "crates/operator/src/controllers/analysis/job.rs",
        find: "is_over && ttl == Some(0)",
        replace: "is_over && ttl == Some(-1)",
        of: Package("greenlight-operator"),
        test: "a_job_that_is_not_to_stay_is_deleted_as_soon_as_its_end_is_on_record_and_no_other_is",
    },
    Mend {
        fault: "a Job that cannot be made has all other metrics of its run measured again and again",
        file: "crates/operator/src/controllers/analysis/mod.rs",
        find: "Err(error) => {\n                held_up = Some(error);",
        replace: "Err(error) => {\n                return Err(error);",
        of: Package("greenlight-operator"),
        test: "what_was_measured_is_written_also_if_the_job_of_another_metric_cannot_be_made",
    },
    Mend {
        fault: "how a Job ended is not looked at while another one of its run cannot be made",
        file: "crates/operator/src/controllers/analysis/mod.rs",
        find: "under_way.sort_by_key(|(_, last)| !last.metadata.contains_key(JOB_UID));",
        replace: "let _ = JOB_UID;",
        of: Package("greenlight-operator"),
        test: "how_a_job_ended_does_not_wait_for_another_one_that_cannot_be_made",
    },
    Mend {
        fault: "gate: a Job that somebody put in the place of the one that was made is believed",
        file: "crates/operator/src/controllers/analysis/job.rs",
        find: "Some(job) if job.uid == *uid => match job.outcome {",
        replace: "Some(job) if true || job.uid == *uid => match job.outcome {",
        of: Package("greenlight-operator"),
        test: "a_job_that_was_replaced_is_no_measurement_although_it_is_complete",
    },
    Mend {
        fault: "gate: pods of another rollout with the same hash are evicted",
        file: "crates/operator/src/controllers/rollouts/observe.rs",
        find: "of_hash().any(|rs| rs.uid == pod.owner)",
        replace: "of_hash().any(|rs| rs.uid == pod.owner || true)",
        of: Package("greenlight-operator"),
        test: "a_pod_that_another_rollout_made_is_not_its_own_to_evict_although_the_hash_is_the_same",
    },
    Mend {
        fault: "gate: pods of another rollout with the same hash get labels",
        file: "crates/operator/src/controllers/rollouts/execute.rs",
        find: "if own(&pod) && lacks(&pod) {",
        replace: "if (own(&pod) || true) && lacks(&pod) {",
        of: Package("greenlight-operator"),
        test: "a_pod_that_another_rollout_made_gets_no_labels_although_the_hash_is_the_same",
    },
    Mend {
        fault: "gate: a rollout whose Service is missing takes a Deployment's pods",
        file: "crates/core/src/plan/steps.rs",
        find: "the Deployment may be all that serves.\n    if round.stall.is_some() {",
        replace: "the Deployment may be all that serves.\n    if false && round.stall.is_some() {",
        of: Package("greenlight-core"),
        test: "the_deployment_keeps_its_pods_while_the_rollout_is_stalled",
    },
    Mend {
        fault: "gate: a rollout that is to have no pods takes a Deployment's",
        file: "crates/core/src/workload.rs",
        find: "roles.at_home().is_some_and(|home| home.replicas > 0) && proven && roles.candidate.is_none();\n    let may_begin =\n        roles.home().is_none() && world.rollout.spec.replicas() > 0 &&",
        replace: "roles.at_home().is_some() && proven && roles.candidate.is_none();\n    let may_begin =\n        roles.home().is_none() &&",
        of: Package("greenlight-core"),
        test: "the_deployment_keeps_its_pods_when_the_rollout_is_to_have_none",
    },
    Mend {
        fault: "gate: who may not patch a Service has it moved",
        file: "charts/greenlight/templates/request-policy.yaml",
        find: ".name(variables.activeService).check('patch').allowed()",
        replace: ".name(variables.activeService).check('patch').allowed() || true",
        of: Suite("promises"),
        test: "nobody_goes_around_the_gate_whatever_the_role_and_the_door",
    },
    Mend {
        fault: "gate: who may not patch a Deployment has it scaled",
        file: "charts/greenlight/templates/request-policy.yaml",
        find: ".name(variables.workload).check('patch').allowed()",
        replace: ".name(variables.workload).check('patch').allowed() || true",
        of: Suite("promises"),
        test: "nobody_goes_around_the_gate_whatever_the_role_and_the_door",
    },
    Mend {
        fault: "gate: who may not make Jobs has one made by an AnalysisRun",
        file: "charts/greenlight/templates/request-policy.yaml",
        find: "variables.jobs.all(m, m in variables.before)",
        replace: "true || variables.jobs.all(m, m in variables.before)",
        of: Suite("promises"),
        test: "nobody_goes_around_the_gate_whatever_the_role_and_the_door",
    },
    Mend {
        fault: "gate: the value of a secret argument stands in messages",
        file: "crates/operator/src/controllers/analysis/arguments.rs",
        find: "if text.contains(secret.as_str()) { text",
        replace: "if false && text.contains(secret.as_str()) { text",
        of: Package("greenlight-operator"),
        test: "secrets_do_not_stand_in_messages",
    },
    Mend {
        fault: "gate: an answer is told although it was asked for with a secret",
        file: "crates/operator/src/controllers/analysis/mod.rs",
        find: "Ok((secrets.shown(value).to_string(), phase))",
        replace: "Ok((value.to_string(), phase))",
        of: Suite("promises"),
        test: "the_value_of_a_secret_is_nowhere_but_in_the_secret",
    },
    Mend {
        fault: "gate: a metric is measured as often as it says",
        file: "crates/core/src/analysis/run.rs",
        find: "pause.max(SHORTEST_INTERVAL)",
        replace: "pause",
        of: Package("greenlight-core"),
        test: "nothing_is_measured_more_often_than_once_a_second",
    },
    Mend {
        fault: "gate: a metric waits for an answer as long as it says",
        file: "crates/operator/src/web/client.rs",
        find: "question.timeout.min(LONGEST_WAIT)",
        replace: "question.timeout",
        of: Package("greenlight-operator"),
        test: "nobody_waits_longer_than_a_minute_for_an_answer",
    },
    Mend {
        fault: "gate: a run of an earlier rollout of this name counts for a new revision",
        file: "crates/core/src/analysis/name.rs",
        find: "all || run.created.is_some_and(",
        replace: "all || false && run.completed_at.is_some_and(",
        of: Package("greenlight-core"),
        test: "a_run_that_an_earlier_rollout_of_this_name_had_is_no_analysis_of_a_new_revision",
    },
    Mend {
        fault: "gate: an overlap leads to another rollout's pods",
        file: "crates/core/src/overlap.rs",
        find: "selected.unwrap_or_else(|| world.rollout.uid.clone())",
        replace: "selected.unwrap_or_else(|| \"true\".to_owned())",
        of: Package("greenlight-core"),
        test: "an_overlap_selects_by_a_label_that_pods_of_no_other_rollout_carry",
    },
    Mend {
        fault: "gate: two rollouts with the same template have pods of one hash",
        file: "crates/core/src/hash.rs",
        find: "short(&format!(\"{}/{rollout}/{collision}\", self.0))",
        replace: "short(&format!(\"{}/{}/{collision}\", self.0, &rollout[..0]))",
        of: Suite("promises"),
        test: "a_service_leads_to_no_pods_of_another_rollout_with_the_same_template",
    },
    Mend {
        fault: "gate: a template with the hash of another rollout's gets pods",
        file: "crates/operator/src/controllers/rollouts/execute.rs",
        find: "if let Some(other) = self.caches.sets.other_template_of(self.rollout, hash, digest) {",
        replace: "if let Some(other) = self.caches.sets.other_template_of(self.rollout, hash, digest).filter(|_| false) {",
        of: Suite("promises"),
        test: "a_template_with_the_hash_of_what_serves_gets_no_pods_in_another_rollout",
    },
    Mend {
        fault: "what an older version made last is made once more",
        file: "crates/operator/src/controllers/rollouts/execute.rs",
        find: "let made_before_an_upgrade = self.made_before_an_upgrade(digest);",
        replace: "let made_before_an_upgrade = self.made_before_an_upgrade(digest).filter(|_| false);",
        of: Suite("promises"),
        test: "a_replica_set_that_an_older_version_made_last_is_taken_over",
    },
    Mend {
        fault: "gate: a condition that nests is evaluated at once",
        file: "crates/core/src/analysis/expression.rs",
        find: "if depth > DEEPEST_PLAIN || nesting > MOST_NESTING {",
        replace: "if depth > DEEPEST_PLAIN * 100 || nesting > MOST_NESTING * 100 {",
        of: Package("greenlight-core"),
        test: "what_nests_loops_or_doubles_is_not_evaluated_at_once",
    },
    Mend {
        fault: "gate: a condition that nests within what looks like a text is evaluated at once",
        file: "crates/core/src/analysis/expression.rs",
        find: ".iter().any(|other| condition.contains(other)) {",
        replace: ".iter().any(|other| condition.contains(other) && false) {",
        of: Package("greenlight-core"),
        test: "what_is_dressed_as_a_text_or_a_comment_is_not_evaluated_at_once",
    },
    Mend {
        fault: "gate: a count of 0 is a success without a measurement",
        file: "crates/core/src/analysis/run.rs",
        find: "count @ 1.. => count,",
        replace: "count @ 0.. => count,",
        of: Package("greenlight-core"),
        test: "a_count_of_nothing_passes_nothing_that_was_not_measured",
    },
    Mend {
        fault: "gate: a few errors of many are none, since their quotient is rounded down",
        file: "crates/core/src/analysis/expression.rs",
        find: "if is([operators::DIVIDE, operators::MULTIPLY])",
        replace: "if is([operators::MULTIPLY, operators::MULTIPLY])",
        of: Package("greenlight-core"),
        test: "argos_usual_expressions_mean_the_same",
    },
    Mend {
        fault: "half of the length of a list is no place in it, so that an analysis ends with an error",
        file: "crates/core/src/analysis/expression.rs",
        find: "if is([operators::INDEX, operators::MODULO]) {",
        replace: "if is([operators::MODULO, operators::MODULO]) {",
        of: Package("greenlight-core"),
        test: "argos_usual_expressions_mean_the_same",
    },
    Mend {
        fault: "gate: an argument that is no number lets a metric fail as often as it likes",
        file: "crates/operator/src/controllers/analysis/start.rs",
        find: "if number.is_none_or(|number| number < 0) {",
        replace: "if number == Some(i32::MIN) {",
        of: Package("greenlight-operator"),
        test: "a_limit_that_is_no_number_is_refused_before_anything_is_measured",
    },
    Mend {
        fault: "gate: a path that picks everything twice is followed at once",
        file: "crates/operator/src/controllers/analysis/web.rs",
        find: "['?', '(', ',']",
        replace: "['?', '(']",
        of: Package("greenlight-operator"),
        test: "what_is_picked_at_once_is_never_more_than_the_answer",
    },
    Mend {
        fault: "gate: a Service that another rollout left behind belongs to a new one of its name",
        file: "crates/core/src/world.rs",
        find: "service.is_marked_for(&self.name) && (leads_to_ours",
        replace: "service.is_marked_for(&self.name) && (true || leads_to_ours",
        of: Package("greenlight-core"),
        test: "a_service_that_an_earlier_rollout_of_this_name_left_behind_is_not_moved_for_one_that_does_not_name_it",
    },
    Mend {
        fault: "gate: an address within another leads back inside",
        file: "crates/operator/src/web/reach.rs",
        find: "if open && !is_closed(address) && !embedded(address).is_some_and(is_closed) {",
        replace: "if open && !is_closed(address) {",
        of: Package("greenlight-operator"),
        test: "an_analysis_does_not_lead_back_into_the_operator_its_node_or_the_cloud_around_it",
    },
    Mend {
        fault: "gate: an analysis leads back into the operator's own pod",
        file: "crates/operator/src/manager/mod.rs",
        find: "let pod = variable(\"POD_IPS\").unwrap_or_default();",
        replace: "let pod = String::new();",
        of: Package("greenlight-operator"),
        test: "analyses_are_kept_from_the_api_server_and_from_the_operators_own_pod",
    },
    Mend {
        fault: "gate: a Secret that nobody named or labelled is read",
        file: "crates/operator/src/controllers/analysis/arguments.rs",
        find: "|| (self.labelled && is_labelled) {",
        replace: "|| self.labelled {",
        of: Package("greenlight-operator"),
        test: "a_secret_is_read_by_its_label_or_its_name_and_no_other",
    },
    Mend {
        fault: "gate: a result may have any size",
        file: "crates/operator/src/controllers/analysis/evaluation.rs",
        find: "if text.len() > LARGEST_RESULT {",
        replace: "if text.len() > LARGEST_RESULT * 1000 {",
        of: Package("greenlight-operator"),
        test: "a_result_of_more_than_64_kib_is_not_taken",
    },
    Mend {
        fault: "gate: roles that are only safe with the policy are there without it",
        file: "charts/greenlight/templates/roles.yaml",
        find: "{{- if .Values.requestPolicy.enabled }}",
        replace: "{{- if true }}",
        of: Suite("promises"),
        test: "roles_that_are_only_safe_with_the_policy_are_not_there_without_it",
    },
    Mend {
        fault: "gate: the operator's token changes what a revision runs",
        file: "charts/greenlight/templates/operator-policy.yaml",
        find: "\n        && object.spec.template.spec == oldObject.spec.template.spec)",
        replace: ")",
        of: Suite("promises"),
        test: "whoever_holds_the_operators_token_can_do_no_more_than_the_operator_does",
    },
    Mend {
        fault: "gate: what others wrote moves a terminal's cursor",
        file: "crates/api/src/text.rs",
        find: "letter if letter.is_control() || is_invisible(letter) => REPLACEMENT,",
        replace: "letter if is_invisible(letter) => REPLACEMENT,",
        of: Package("greenlight-api"),
        test: "what_a_terminal_would_obey_is_not_shown_and_the_rest_is_as_it_was",
    },
    Mend {
        fault: "gate: what others wrote reaches an event as they wrote it",
        file: "crates/operator/src/telemetry/recorder.rs",
        find: "let (note, by) = (one_line(&event.note).into_owned(),",
        replace: "let (note, by) = (one_line(\"\").into_owned() + &event.note,",
        of: Package("greenlight-operator"),
        test: "what_others_wrote_moves_no_cursor_and_begins_no_line_in_an_event",
    },
    Mend {
        fault: "gate: the name of an image reaches a notification as somebody wrote it",
        file: "crates/operator/src/telemetry/notify/message.rs",
        find: "\"image\": one_line(&rollout.template.image),",
        replace: "\"image\": one_line(\"\").into_owned() + &rollout.template.image,",
        of: Package("greenlight-operator"),
        test: "an_image_moves_no_cursor_in_a_notification",
    },
    Mend {
        fault: "gate: one refused write keeps the uninstall hook from all others",
        file: "crates/operator/src/commands/remove_finalizers.rs",
        find: "Err(error) => swept.refused.push(format!(\"{} {namespace}/{name}: {error}\", K::kind(&()))),",
        replace: "Err(error) => return Err(error.into()),",
        of: Suite("promises"),
        test: "an_uninstall_hook_that_fails_leaves_nothing_of_itself_and_can_be_run_again",
    },
    Mend {
        fault: "gate: what waits is another image than what was looked at",
        file: "charts/greenlight/templates/request-policy.yaml",
        find: "- expression: \"object.spec.template.spec == oldObject.spec.template.spec\"",
        replace: "- expression: \"true\"",
        of: Suite("promises"),
        test: "nobody_goes_around_the_gate_whatever_the_role_and_the_door",
    },
    Mend {
        fault: "gate: managed fields that are nested too deep make a rollout one that nobody may roll back",
        file: "crates/operator/src/cluster/objects/rollout.rs",
        find: "    #[serde(deserialize_with = \"narrow_metadata\")]\n    metadata: ObjectMeta,\n    spec: BlueGreenRolloutSpec,",
        replace: "    metadata: ObjectMeta,\n    spec: BlueGreenRolloutSpec,",
        of: Package("greenlight-operator"),
        test: "what_is_said_of_who_manages_which_field_keeps_no_object_from_being_read",
    },
    Mend {
        fault: "gate: the name of an image makes a rollout one that nobody may roll back",
        file: "crates/core/src/world.rs",
        find: "image: brief(template.title())",
        replace: "image: template.title()",
        of: Package("greenlight-operator"),
        test: "no_template_makes_a_rollout_too_large",
    },
    Mend {
        fault: "gate: two installs of one name share their roles",
        file: "charts/greenlight/templates/_helpers.tpl",
        find: "{{- else -}}\n{{ include \"greenlight.policy\" . }}",
        replace: "{{- else -}}\n{{ include \"greenlight.name\" . }}",
        of: Suite("promises"),
        test: "the_policies_and_roles_of_two_installs_do_not_meet",
    },
    Mend {
        fault: "gate: a text of nothing but braces keeps a worker for a minute",
        file: "crates/operator/src/controllers/analysis/arguments.rs",
        find: "    while let Some(close) = rest.find(\"}}\") {",
        replace: "    for (open, _) in text.match_indices(\"{{\") {\n        let _ = std::hint::black_box(text[open..].find(\"}}\"));\n    }\n    while let Some(close) = rest.find(\"}}\") {",
        of: Package("greenlight-operator"),
        test: "no_text_takes_long_to_be_filled",
    },
    Mend {
        fault: "gate: an AnalysisRun that is nested too deep hides the others from the plugin and the dashboard",
        file: "crates/overview/src/whole.rs",
        find: "            Err(error) => brief(error.to_string()),",
        replace: "            Err(error) if true => return Err(D::Error::custom(error)),\n            Err(error) => brief(error.to_string()),",
        of: Package("greenlight-overview"),
        test: "a_run_that_is_nested_too_deep_hides_no_other_and_is_told",
    },
    Mend {
        fault: "gate: the policy on the operator keeps it from a rollout with a long name",
        file: "charts/greenlight/templates/operator-policy.yaml",
        find: "(size(variables.rollout) > 46 ? variables.rollout.substring(0, 46) : variables.rollout).find('^.*[^-.]') + '-'",
        replace: "variables.rollout + '-'",
        of: Suite("promises"),
        test: "a_rollout_whose_name_is_too_long_for_a_replica_set_is_released_under_the_policy",
    },
    Mend {
        fault: "gate: the operator's token writes a request out in somebody's name",
        file: "charts/greenlight/templates/operator-policy.yaml",
        find: "variables.request.contains('\"by\":\"\"') && ",
        replace: "",
        of: Suite("promises"),
        test: "whoever_holds_the_operators_token_can_do_no_more_than_the_operator_does",
    },
    Mend {
        fault: "a retry is taken back by a move that was seen after it",
        file: "crates/core/src/decisions/services.rs",
        find: "let is_silent = left.rejection.is_none() && left.turn > 0;",
        replace: "let is_silent = left.rejection.is_none();",
        of: Package("greenlight-core"),
        test: "who_retries_what_was_undone_is_heard_also_if_the_move_was_not_seen_yet",
    },
    Mend {
        fault: "what was moved with a claim that another operator has not seen is moved back",
        file: "crates/core/src/fence.rs",
        find: ".is_some_and(is_elsewhere);",
        replace: ".is_some_and(|service| service.name.is_empty() && is_elsewhere(service));",
        of: Package("greenlight-core"),
        test: "who_has_not_seen_the_claim_of_a_promotion_does_not_take_it_back",
    },
    Mend {
        fault: "a move by hand to pods that were not seen yet is taken back",
        file: "crates/core/src/fence.rs",
        find: ".is_some_and(is_elsewhere);",
        replace: ".is_some_and(|service| service.name.is_empty() && is_elsewhere(service));",
        of: Package("greenlight-core"),
        test: "a_move_by_hand_to_pods_that_were_not_seen_yet_is_not_taken_back",
    },
    Mend {
        fault: "what is retried serves again where its undo was not seen yet",
        file: "crates/core/src/fence.rs",
        find: ".is_some_and(is_elsewhere);",
        replace: ".is_some_and(|service| service.name.is_empty() && is_elsewhere(service));",
        of: Package("greenlight-core"),
        test: "what_is_retried_while_its_undo_was_not_seen_yet_does_not_serve_again",
    },
    Mend {
        fault: "what was moved with a claim that was not seen is moved back where the Service lost its hash since",
        file: "crates/core/src/fence.rs",
        find: "is_marked || matches!(",
        replace: "is_marked && service.name.is_empty() || matches!(",
        of: Package("greenlight-core"),
        test: "a_promotion_whose_claim_was_not_seen_is_not_taken_back_where_the_service_lost_its_hash_since",
    },
    Mend {
        fault: "what was moved with a claim that was not seen is moved back where the spec names no Service since",
        file: "crates/core/src/fence.rs",
        find: "world.production_services().all(",
        replace: "world.active_services().all(",
        of: Package("greenlight-core"),
        test: "a_promotion_whose_claim_was_not_seen_is_not_taken_back_where_the_spec_names_no_service_since",
    },
    Mend {
        fault: "a move by hand back from a promotion whose claim was not seen is taken for none",
        file: "crates/core/src/fence.rs",
        find: "is_marked || matches!(",
        replace: "is_marked && service.name.is_empty() || matches!(",
        of: Package("greenlight-core"),
        test: "a_move_by_hand_back_from_a_promotion_whose_claim_was_not_seen_is_a_decision",
    },
    Mend {
        fault: "who promotes in full, and then once more, has the analysis asked for again",
        file: "crates/core/src/request.rs",
        find: "let full = full || revision.approvals[position].full;",
        replace: "",
        of: Package("greenlight-core"),
        test: "who_promotes_in_full_and_then_once_more_has_no_analysis_asked_for_again",
    },
    Mend {
        fault: "a second undo sends production elsewhere than the first one, in its own name",
        file: "crates/core/src/request.rs",
        find: "let is_left = serving != hash || to.is_none() && roles.going_back();",
        replace: "let is_left = serving != hash;",
        of: Package("greenlight-core"),
        test: "a_second_undo_goes_where_the_first_one_goes_and_leaves_its_name",
    },
    Mend {
        fault: "a promotion out of what was undone is in the name of whoever undid it",
        file: "crates/core/src/switch.rs",
        find: "filter(|rejection| is_back && rejection.by",
        replace: "filter(|rejection| (is_back || !rejection.by.is_empty()) && rejection.by",
        of: Package("greenlight-core"),
        test: "who_promotes_while_an_undo_cannot_arrive_is_named_and_nothing_is_told_to_be_back",
    },
    Mend {
        fault: "a promotion out of what was undone is told as a way back",
        file: "crates/core/src/events.rs",
        find: "            && is_back\n",
        replace: "            && (is_back || rejection.at <= switch.switched_at)\n",
        of: Package("greenlight-core"),
        test: "who_promotes_while_an_undo_cannot_arrive_is_named_and_nothing_is_told_to_be_back",
    },
    Mend {
        fault: "that a revision was rejected is told in the words of another one that serves",
        file: "crates/core/src/events.rs",
        find: "let is_told = after.message.contains(&how);",
        replace: "let is_told = !how.is_empty();",
        of: Package("greenlight-core"),
        test: "it_is_told_which_revision_was_rejected_also_while_another_one_serves",
    },
    Mend {
        fault: "gate: whoever moves a Service by hand has the name that they gave to their tool",
        file: "crates/core/src/world.rs",
        find: "format!(\"field manager {manager:?}\")",
        replace: "manager.to_string()",
        of: Package("greenlight-core"),
        test: "a_move_by_hand_while_the_operator_is_down_is_a_decision",
    },
    Mend {
        fault: "gate: whoever approved of a revision is said to have moved a Service there by hand",
        file: "crates/core/src/switch.rs",
        find: "moved_by_hand(situation, home).map(",
        replace: "moved_by_hand(situation, home).filter(|_| false).map(",
        of: Package("greenlight-core"),
        test: "a_promotion_by_hand_is_by_nobody_who_approved_before",
    },
    Mend {
        fault: "gate: whoever writes a rejection on a ReplicaSet rolls back in the name of another",
        file: "crates/core/src/decisions/services.rs",
        find: "by: as_it_says(&mirrored.by), ..mirrored",
        replace: "by: mirrored.by.clone(), ..mirrored",
        of: Package("greenlight-core"),
        test: "a_way_back_that_somebody_feigned_is_in_nobody_elses_name",
    },
    Mend {
        fault: "gate: two annotations have the operator move production",
        file: "crates/core/src/decisions/services.rs",
        find: "if service.moved_by.is_none() && service.hash()",
        replace: "if false && service.moved_by.is_none() && service.hash()",
        of: Package("greenlight-core"),
        test: "a_mark_and_a_claim_that_somebody_else_wrote_move_nothing",
    },
    Mend {
        fault: "gate: the policy on the operator keeps a rollout from being deleted, if a Service has no selector any more",
        file: "charts/greenlight/templates/operator-policy.yaml",
        find: "(has(oldObject.spec.selector) || !has(object.spec.selector))",
        replace: "has(oldObject.spec.selector) && has(object.spec.selector)",
        of: Suite("promises"),
        test: "a_deletion_is_not_held_up_by_services_that_select_nothing_by_themselves",
    },
    Mend {
        fault: "gate: the policy on requests is bound to no namespace, if that is called null",
        file: "charts/greenlight/templates/request-policy.yaml",
        find: "  policyName: {{ $name }}\n  validationActions: [Deny]\n  {{- with .Values.watchNamespace }}\n  matchResources:\n    namespaceSelector:\n      matchLabels:\n        kubernetes.io/metadata.name: {{ . | quote }}",
        replace: "  policyName: {{ $name }}\n  validationActions: [Deny]\n  {{- with .Values.watchNamespace }}\n  matchResources:\n    namespaceSelector:\n      matchLabels:\n        kubernetes.io/metadata.name: {{ . }}",
        of: Suite("promises"),
        test: "a_namespace_with_the_name_of_a_number_or_of_nothing_is_guarded_like_any_other",
    },
    Mend {
        fault: "a lease whose number of holders is the last there is is never taken again",
        file: "crates/operator/src/manager/election.rs",
        find: "map_or(0, |number| number.saturating_add(1))",
        replace: "map_or(0, |number| number.wrapping_add(1))",
        of: Package("greenlight-operator"),
        test: "whatever_somebody_writes_into_a_lease_by_hand_it_is_taken_when_its_holder_is_dead",
    },
    Mend {
        fault: "what nobody can read of a lease keeps all from leading",
        file: "crates/operator/src/manager/lease.rs",
        find: "#[serde(deserialize_with = \"narrow_metadata\")]",
        replace: "",
        of: Package("greenlight-operator"),
        test: "a_lease_can_be_read_whatever_somebody_has_written_by_hand",
    },
    Mend {
        fault: "a write that a proxy puts off for ever is told nowhere",
        file: "crates/operator/src/controllers/trouble.rs",
        find: "failures == MANY_DELAYS && error.is_answer()",
        replace: "false && failures == MANY_DELAYS && error.is_answer()",
        of: Package("greenlight-operator"),
        test: "a_write_that_is_put_off_again_and_again_is_told_within_seconds_and_one_that_nobody_answers_is_not",
    },
    Mend {
        fault: "a sink gets a message again and again, since its answer has no end",
        file: "crates/operator/src/telemetry/notify/mod.rs",
        find: "reads: false,",
        replace: "reads: true,",
        of: Package("greenlight-operator"),
        test: "a_sink_that_takes_a_message_and_does_not_come_to_the_end_of_its_answer_has_taken_it",
    },
    Mend {
        fault: "one Secret of a megabyte is in memory fifty times for each metric that asks for it",
        file: "crates/operator/src/controllers/analysis/arguments.rs",
        find: "if size > LARGEST_SECRETS {",
        replace: "if size > usize::MAX - LARGEST_SECRETS {",
        of: Package("greenlight-operator"),
        test: "no_more_is_read_of_secrets_than_a_metric_may_have",
    },
    Mend {
        fault: "all metrics of all namespaces read their Secrets at the same time, of a megabyte each",
        file: "crates/operator/src/controllers/analysis/arguments.rs",
        find: "let _place = PLACES.acquire().await.expect(\"it is never closed\");",
        replace: "let _place = &PLACES;",
        of: Package("greenlight-operator"),
        test: "however_many_metrics_ask_for_secrets_few_of_these_are_read_at_a_time",
    },
    Mend {
        fault: "Services of a megabyte each are kept, so that a few hundred end the operator for everybody",
        file: "crates/operator/src/cluster/cache.rs",
        find: "const LARGEST: usize = 64 << 10;",
        replace: "const LARGEST: usize = usize::MAX;",
        of: Package("greenlight-operator"),
        test: "of_what_somebody_has_written_a_megabyte_on_none_is_kept_whatever_its_kind",
    },
    Mend {
        fault: "a long annotation hides a ReplicaSet that serves from its rollout",
        file: "crates/operator/src/cluster/objects/replica_set.rs",
        find: "names::ON_REPLICA_SETS.contains(&key.as_str())",
        replace: "names::ON_REPLICA_SETS.len() < key.len()",
        of: Package("greenlight-operator"),
        test: "of_what_somebody_has_written_a_megabyte_on_none_is_kept_whatever_its_kind",
    },
    Mend {
        fault: "a claim that somebody wrote at length is withdrawn in the same words, again and again",
        file: "crates/core/src/fence.rs",
        find: "rs.hash, rs.claimed_at()?)",
        replace: "rs.hash, rs.claimed_at().and(rs.annotation(names::PROMOTED_AT))?)",
        of: Package("greenlight-core"),
        test: "a_claim_that_somebody_writes_at_length_is_withdrawn_in_no_more_words_than_others",
    },
    Mend {
        fault: "characters that JSON escapes hide a ReplicaSet that serves from its rollout",
        file: "crates/core/src/words.rs",
        find: "control if control < ' ' => 6,",
        replace: "control if control < ' ' => 1,",
        of: Package("greenlight-operator"),
        test: "nothing_that_has_to_be_escaped_hides_a_replica_set",
    },
    Mend {
        fault: "who may annotate a Service hides it by claims that were never made, and nobody can move it",
        file: "crates/core/src/from_api.rs",
        find: ".map(|claims| beginning_in_json(&claims, LONGEST_CLAIMS).to_owned())",
        replace: ".map(|claims| beginning_in_json(&claims, LONGEST_CLAIMS << 10).to_owned())",
        of: Package("greenlight-operator"),
        test: "a_name_that_is_longer_than_any_hides_no_service",
    },
    Mend {
        fault: "a watch that was broken long ago is told to whoever asks next",
        file: "crates/operator/src/cluster/on_demand/shared.rs",
        find: "if self.by_rollout.is_empty() {",
        replace: "if self.topics.len() > self.places {",
        of: Package("greenlight-operator"),
        test: "what_failed_when_the_last_asker_had_left_is_not_told_to_the_next_one",
    },
    Mend {
        fault: "long metadata of a role is not known to be noted, and pods are changed again and again",
        file: "crates/operator/src/cluster/objects/replica_set.rs",
        find: "const LARGEST: usize = 128 << 10;",
        replace: "const LARGEST: usize = 64 << 10;",
        of: Package("greenlight-operator"),
        test: "what_pods_carry_for_their_role_is_known_however_long_it_is_and_whatever_else_stands_there",
    },
    Mend {
        fault: "pages of large objects of several kinds are more than the chart gives the operator",
        file: "crates/operator/src/cluster/watch.rs",
        find: "const PAGE: u32 = 10;",
        replace: "const PAGE: u32 = 40;",
        of: Package("greenlight-operator"),
        test: "pages_of_the_largest_objects_of_all_kinds_fit_into_memory",
    },
    Mend {
        fault: "the hook of helm uninstall reads all rollouts at once, and has no memory for ten thousand",
        file: "crates/operator/src/commands/remove_finalizers.rs",
        find: "by_pages(\"\", which.clone(), list, take).await?;",
        replace: "list(which.clone()).await?.items.into_iter().for_each(take);",
        of: Package("greenlight-operator"),
        test: "however_many_there_are_a_page_of_them_is_read_at_a_time_and_none_is_left_out",
    },
    Mend {
        fault: "what the API server says of when to try one write again is not heard",
        file: "crates/operator/src/controllers/queue.rs",
        find: ".max(error.respite())",
        replace: "",
        of: Package("greenlight-operator"),
        test: "whoever_is_told_when_to_come_back_does_not_come_before_and_others_come_meanwhile",
    },
    Mend {
        fault: "gate: a status that only tells why a rollout cannot be read has ReplicaSets believed as an older version's",
        file: "crates/core/src/decisions/mod.rs",
        find: "&& tells_of_revisions(status)",
        replace: "&& (true || tells_of_revisions(status))",
        of: Package("greenlight-core"),
        test: "a_status_that_only_tells_why_a_rollout_cannot_be_read_opens_no_more_than_none",
    },
    Mend {
        fault: "what serves is told as promoted after a status that only told why the rollout could not be read",
        file: "crates/core/src/events.rs",
        find: "(before.decisions.is_none() || before.active_revision == to)",
        replace: "before.active_revision == to",
        of: Package("greenlight-core"),
        test: "what_serves_is_not_told_as_promoted_after_a_status_that_only_told_why_the_rollout_could_not_be_read",
    },
    Mend {
        fault: "a lost status is not made anew while endpoints cannot be read",
        file: "crates/core/src/status.rs",
        find: "|| world.blind)",
        replace: "|| world.blind && now < Timestamp::MIN)",
        of: Package("greenlight-core"),
        test: "a_lost_status_is_made_anew_also_while_endpoints_cannot_be_read",
    },
    Mend {
        fault: "a ReplicaSet with a long annotation keeps its finalizer, and its namespace cannot be deleted",
        file: "crates/operator/src/controllers/scale_down.rs",
        find: "let Some(owned) = caches.sets.outline(&key)",
        replace: "let Some(owned) = caches.sets.get(&key)",
        of: Package("greenlight-operator"),
        test: "what_is_only_too_large_to_be_kept_holds_up_no_namespace_and_what_cannot_be_read_is_left_alone",
    },
    Mend {
        fault: "a rollout whose status is a newer version's cannot be deleted, nor can its namespace",
        file: "crates/operator/src/cluster/objects/rollout.rs",
        find: "if with_decisions.is_none() && outline.metadata.deletion_timestamp.is_some() {",
        replace: "if false && outline.metadata.deletion_timestamp.is_some() {",
        of: Package("greenlight-operator"),
        test: "one_that_is_being_deleted_has_an_outline_whatever_its_decisions_are",
    },
    Mend {
        fault: "a watch on demand that a proxy never lets begin is told nowhere",
        file: "crates/operator/src/cluster/on_demand/shared.rs",
        find: "(failures >= MANY_FAILURES).then(",
        replace: "(failures >= u32::MAX - MANY_FAILURES).then(",
        of: Package("greenlight-operator"),
        test: "a_watch_that_fails_again_and_again_is_told_within_seconds_and_until_it_begins",
    },
    Mend {
        fault: "a header that says when to try one write again is not heard",
        file: "crates/operator/src/api_server/client.rs",
        find: "http_body::Frame::data(with_respite(words, again))",
        replace: "http_body::Frame::data(with_respite(words, again.filter(|_| false)))",
        of: Package("greenlight-operator"),
        test: "when_to_ask_again_is_heard_of_a_header_too_and_what_is_no_status_is_left_as_it_is",
    },
    Mend {
        fault: "what serves and waits for a person is measured as a preview that waits",
        file: "crates/operator/src/telemetry/metrics/rollouts.rs",
        find: "if status.phase != Phase::Paused || serves {",
        replace: "if status.phase != Phase::Paused || false && serves {",
        of: Package("greenlight-operator"),
        test: "what_serves_and_waits_for_a_person_is_no_preview_that_waits",
    },
    Mend {
        fault: "who keeps what serves is shown to have promoted it",
        file: "crates/dashboard/src/pages/rollout.rs",
        find: "record.approvals.iter().map(asked).rfind(is_before)",
        replace: "record.approvals.iter().map(asked).rfind(|at| is_before(at) || true)",
        of: Package("greenlight-dashboard"),
        test: "who_keeps_what_serves_has_not_promoted_it_after_the_move",
    },
    Mend {
        fault: "the processes of a machine are moved where that does not help",
        file: "tests/cluster/src/node.rs",
        find: "Err(error) if error.kind() == ErrorKind::ResourceBusy => {}",
        replace: "Err(error) if error.kind() != ErrorKind::NotFound => {}",
        of: Package("greenlight-test-cluster"),
        test: "no_process_is_moved_where_the_kernel_refuses_for_another_reason",
    },
    Mend {
        fault: "what pods are to carry is told as a lack of pods until its controller has seen it",
        file: "crates/core/src/metadata.rs",
        find: "let is_known = rs.settled || is_under_way(rs);",
        replace: "let is_known = rs.settled;",
        of: Package("greenlight-core"),
        test: "pods_that_are_to_carry_something_else_are_no_news",
    },
    Mend {
        fault: "production is called unavailable whenever it is scaled down",
        file: "crates/core/src/status.rs",
        find: "serving.is_some_and(|rs| rs.available >= needed(rs))",
        replace: "serving.is_some_and(|rs| rs.settled && rs.available >= needed(rs))",
        of: Package("greenlight-core"),
        test: "production_is_available_while_it_is_scaled_down",
    },
    Mend {
        fault: "a candidate is given up for a template that its controller has not seen",
        file: "crates/core/src/metadata.rs",
        find: "let is_known = rs.settled || is_under_way(rs);",
        replace: "let is_known = rs.settled;",
        of: Package("greenlight-core"),
        test: "a_candidate_is_not_given_up_for_a_template_that_is_not_seen",
    },
    Mend {
        fault: "a simulated change of pods that is taken back on its way is done at once",
        file: "crates/core/src/metadata.rs",
        find: "noted(rs) == underway(from, to) && template == rs.pod_labels",
        replace: "noted(rs) == underway(from, to) || false && template == rs.pod_labels",
        of: Package("greenlight-core"),
        test: "a_change_of_pods_that_is_taken_back_on_its_way_begins_with_the_template",
    },
    Mend {
        fault: "a Service that is added in an overlap loses pods whose label is not seen",
        file: "crates/core/src/switch.rs",
        find: "let loses_nothing = !overlap::would_lose_pods(situation, service, home);",
        replace: "let loses_nothing = true || !overlap::would_lose_pods(situation, service, home);",
        of: Package("greenlight-core"),
        test: "a_service_that_is_added_in_an_overlap_loses_no_pods_whose_label_is_not_seen",
    },
    Mend {
        fault: "a ReplicaSet that is being deleted keeps the label, and serves in a later overlap",
        file: "crates/core/src/overlap.rs",
        find: "others.filter(|rs| !rs.deleting || rs.current > 0)",
        replace: "others.filter(|rs| !rs.deleting)",
        of: Package("greenlight-core"),
        test: "what_is_being_deleted_and_keeps_its_pods_for_its_delay_is_in_no_later_overlap",
    },
    Mend {
        fault: "what comes back by way of an overlap is claimed long before it moves",
        file: "crates/core/src/plan/steps.rs",
        find: "&& overlap::prepare(situation, candidate.rs).is_none();",
        replace: "&& overlap::prepare(situation, candidate.rs).is_none_or(|_| true);",
        of: Package("greenlight-core"),
        test: "what_comes_back_by_way_of_an_overlap_is_claimed_once_its_pods_carry_the_label",
    },
    Mend {
        fault: "an overlap that waits for a template to be seen says that all pods have it",
        file: "crates/core/src/status.rs",
        find: "if !rs.settled {",
        replace: "if false && !rs.settled {",
        of: Package("greenlight-core"),
        test: "an_overlap_that_waits_for_kubernetes_says_so",
    },
    Mend {
        fault: "pods are changed while others are made of the template before",
        file: "crates/operator/src/controllers/rollouts/execute.rs",
        find: "if !view.is_settled() {",
        replace: "if false && !view.is_settled() {",
        of: Package("greenlight-operator"),
        test: "pods_are_changed_only_once_the_controller_of_replica_sets_has_seen_their_template",
    },
];

/// Which of them.
#[derive(clap::Args)]
pub(crate) struct MendsOptions {
    /// Only those whose fault has one of these in it, which commas separate
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// Takes each mend out and looks whether its test fails.
pub(crate) fn run(options: &MendsOptions) -> Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let copy = Copy { folder: target.join("mends/workspace"), target: target.join("mends/target") };
    copy.make()?;
    let chosen = |mend: &&Mend| options.only.is_empty() || options.only.iter().any(|words| mend.fault.contains(words));
    let mut unseen = Vec::new();
    println!("{:<80} what its test says without the mend", "fault");
    for mend in MENDS.iter().filter(chosen) {
        let said = copy.without(mend)?;
        println!("{:<80} {}: {}", mend.fault, mend.test, said.as_deref().unwrap_or("NOTHING"));
        if said.is_none() {
            unseen.push(mend.fault);
        }
    }
    if !unseen.is_empty() {
        bail!("no test fails without the mend of: {}", unseen.join("; "));
    }
    Ok(())
}

/// A copy of the workspace.
struct Copy {
    folder: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn make(&self) -> Result<()> {
        let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output()?;
        let listed = String::from_utf8(listed.stdout)?;
        let files: BTreeSet<&Path> =
            listed.split_terminator('\0').map(Path::new).filter(|file| root().join(file).is_file()).collect();
        for file in &files {
            write_if_changed(&self.folder.join(file), &fs::read(root().join(file))?)?;
        }
        remove_others(&self.folder, Path::new(""), &files)?;
        // What passes without a mend must pass with it, too.
        self.build()
    }

    fn build(&self) -> Result<()> {
        let built = self.cargo(&["build", "--quiet", "--workspace", "--bins"]).output()?;
        if !built.status.success() {
            bail!("the copy does not build:\n{}", String::from_utf8_lossy(&built.stderr));
        }
        Ok(())
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo();
        command.current_dir(&self.folder).env("CARGO_TARGET_DIR", &self.target).env("RUST_BACKTRACE", "0");
        command.args(arguments);
        command
    }

    /// What the test says without this mend; nothing if it passes.
    fn without(&self, mend: &Mend) -> Result<Option<String>> {
        let file = self.folder.join(mend.file);
        let text = fs::read_to_string(&file)?;
        let count = text.matches(mend.find).count();
        if count != 1 {
            bail!("{:?} stands {count} times in {}", mend.find, mend.file);
        }
        fs::write(&file, text.replacen(mend.find, mend.replace, 1))?;
        let said = self.test(mend);
        fs::write(&file, text)?;
        said
    }

    fn test(&self, mend: &Mend) -> Result<Option<String>> {
        self.build()?;
        let mut arguments = match mend.of {
            Suite(suite) => vec!["test", "--quiet", "--package", "greenlight-e2e", "--test", suite],
            Package(package) => vec!["test", "--quiet", "--package", package],
        };
        arguments.push(mend.test);
        let output = within(LONGEST, &self.cargo(&arguments)).output().context("timeout of coreutils")?;
        if output.status.code() == Some(TIMED_OUT) {
            return Ok(Some("it does not end".to_owned()));
        }
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        // A package has several programs of tests, and most have none of this name.
        let of_tests = |line: &&str| line.starts_with("test result") && !line.contains("0 passed; 0 failed");
        if !said.lines().any(|line| of_tests(&line)) {
            bail!("{} did not run:\n{said}{}", mend.test, String::from_utf8_lossy(&output.stderr));
        }
        if output.status.success() {
            return Ok(None);
        }
        // The last one: a test may have others panic, and look what comes of it.
        let panicked = said.rsplit_once("panicked at ").map(|(_, panicked)| panicked);
        let words = panicked.map(|panicked| panicked.lines().take(2).collect::<Vec<_>>().join(" "));
        Ok(Some(words.unwrap_or_else(|| "it fails".to_owned())))
    }
}

/// The same command, which is ended after this many seconds with all that it started.
fn within(seconds: u32, command: &Command) -> Command {
    let mut within = Command::new("timeout");
    within.arg(seconds.to_string()).arg(command.get_program()).args(command.get_args());
    within.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    within.current_dir(command.get_current_dir().unwrap_or(Path::new(".")));
    within
}

/// Removes what an earlier copy had and this one has not: a module that has moved would stand there twice.
fn remove_others(folder: &Path, within: &Path, files: &BTreeSet<&Path>) -> Result<()> {
    for entry in fs::read_dir(folder.join(within))? {
        let entry = entry?;
        let path = within.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            remove_others(folder, &path, files)?;
        } else if !files.contains(path.as_path()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn write_if_changed(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|before| before == content) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().context("a folder")?)?;
    fs::write(path, content).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mend_can_still_be_taken_out() {
        for mend in MENDS {
            let text = fs::read_to_string(root().join(mend.file)).expect("the file");
            assert_eq!(text.matches(mend.find).count(), 1, "{}: {}", mend.file, mend.find);
        }
    }
}

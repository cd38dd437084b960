//! What an attack is.

use std::fmt;

use serde_json::Value;

/// Who attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The chart's `viewer`.
    Viewer,
    /// The chart's `editor`; and lists of rollouts, to delete.
    Editor,
    /// The chart's `operator`: who is on call.
    OnCall,
    /// The chart's `promoter`.
    Promoter,
    /// Kubernetes' `edit`, with the chart's editor in it; and lists of rollouts, to delete.
    Edit,
    /// Kubernetes' `admin` of the namespace, with all of the chart's roles in it.
    Admin,
    /// Kubernetes' `admin` of another namespace.
    Tenant,
    /// A ServiceAccount with no role at all.
    Nobody,
}

impl Role {
    /// All of them.
    pub(super) const ALL: [Role; 8] =
        [Role::Viewer, Role::Editor, Role::OnCall, Role::Promoter, Role::Edit, Role::Admin, Role::Tenant, Role::Nobody];

    /// The user who has it.
    pub(super) fn user(self) -> &'static str {
        match self {
            Role::Viewer => "vera",
            Role::Editor => "ed",
            Role::OnCall => "olga",
            Role::Promoter => "paula",
            Role::Edit => "bill",
            Role::Admin => "adam",
            Role::Tenant => "tom",
            Role::Nobody => "system:serviceaccount:elsewhere:default",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Viewer => "viewer",
            Role::Editor => "editor",
            Role::OnCall => "on-call",
            Role::Promoter => "promoter",
            Role::Edit => "edit",
            Role::Admin => "admin",
            Role::Tenant => "tenant",
            Role::Nobody => "nobody",
        })
    }
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Merge,
    /// As the built-in kinds merge lists.
    Strategic,
    Json,
    Apply,
    Create,
    /// The object as it is, with this merged into it.
    Replace,
    Delete,
    /// No change: a look at it.
    Read,
    /// No request: time for the operator to take up the one before.
    Wait,
    /// No request: the two behind it are made at the same moment.
    Together,
}

/// One request. In paths and bodies, `{name}` is the rollout, `{ns}` its namespace, `{uid}` its UID, `{v1}` the hash that serves, `{v2}`
/// the hash that waits (or that serves, if it was promoted before the attack), `{v3}` the hash that a template with the image `app:v3` would have, `{run}` its AnalysisRun, `{pod1}` a pod of what serves.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) how: How,
    /// `services/{name}-active`, with a query if need be; in another namespace with `namespace:` before it.
    pub(super) path: String,
    pub(super) body: Value,
    /// Whatever is answered, go on.
    pub(super) may_fail: bool,
    /// Who makes it, if not whoever attacks.
    pub(super) by: Option<Role>,
}

/// What has to come of an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// The API server says no: by a policy of the chart, or because no role allows it. If it is anybody else, or nobody because a path is wrong, the
    /// attack has to say in which words ([`Attack::told`]).
    Refused,
    /// Production stays, whether the API server says no or not. If it does, the same holds as for what has to be refused.
    Holds,
    /// It is no attack, or one that cannot be stopped: production goes where it is to ([`Attack::to`]), and that shows that the range is alive.
    Moves,
}

/// An attack.
#[derive(Clone, Debug)]
pub(super) struct Attack {
    /// Which of the groups of the table it is in.
    pub(super) group: &'static str,
    pub(super) role: Role,
    pub(super) what: &'static str,
    pub(super) steps: Vec<Step>,
    pub(super) expected: Expected,
    /// Merged into the spec of the rollout that it is tried on.
    pub(super) spec: Value,
    /// Whether the candidate was promoted before: then production is `{v2}`, and `{v1}` is still up, to be gone back to.
    pub(super) promoted: bool,
    /// What the refusal, or else the status or an event of the rollout, has to say of it, in these words; nothing in particular if there are none.
    pub(super) told: &'static str,
    /// Whether Kubernetes itself lets who has this role take all pods of production away. Whose pods the Service leads to counts all the same.
    pub(super) may_be_empty: bool,
    /// The hash to which production goes if this role may move it, without any other on the way; anywhere if it is empty.
    pub(super) to: &'static str,
    /// Whether production has pods of the attacker's then, or else must have none. It counts where `to` is a hash.
    pub(super) is_evil: bool,
}

impl Attack {
    /// One that the API server has to refuse.
    pub(super) fn refused(role: Role, what: &'static str, steps: impl IntoIterator<Item = Step>) -> Attack {
        let steps = steps.into_iter().collect();
        let spec = Value::Object(Default::default());
        Attack {
            group: "",
            role,
            what,
            steps,
            expected: Expected::Refused,
            spec,
            promoted: false,
            told: "",
            may_be_empty: false,
            to: "",
            is_evil: false,
        }
    }

    /// One that may be let through, and must be without effect.
    pub(super) fn holds(role: Role, what: &'static str, steps: impl IntoIterator<Item = Step>) -> Attack {
        Attack { expected: Expected::Holds, ..Attack::refused(role, what, steps) }
    }

    /// What this role may do. Production goes to what waits.
    pub(super) fn moves(role: Role, what: &'static str, steps: impl IntoIterator<Item = Step>) -> Attack {
        Attack { expected: Expected::Moves, to: "{v2}", ..Attack::refused(role, what, steps) }
    }

    /// Production goes to this revision, and has pods of the attacker's there.
    pub(super) fn with_evil(self, hash: &'static str) -> Attack {
        Attack { to: hash, is_evil: true, ..self }
    }

    /// Production may go anywhere.
    pub(super) fn anywhere(self) -> Attack {
        Attack { to: "", ..self }
    }

    /// In this group.
    pub(super) fn of(self, group: &'static str) -> Attack {
        Attack { group, ..self }
    }

    /// On a rollout with this in its spec.
    pub(super) fn on(mut self, spec: Value) -> Attack {
        self.spec = spec;
        self
    }

    /// Whoever is refused has to be told so in words that have these in them; what is let through, whoever looks at the rollout.
    pub(super) fn told(self, told: &'static str) -> Attack {
        Attack { told, ..self }
    }

    /// Whether both can be tried on one rollout: each is one request that the API server has to refuse, and what is refused leaves it as it was.
    pub(super) fn may_share_with(&self, other: &Attack) -> bool {
        let changes_nothing = |attack: &Attack| {
            attack.expected == Expected::Refused
                && attack.steps.len() == 1
                && !attack.steps[0].may_fail
                && attack.told.is_empty()
        };
        changes_nothing(self) && changes_nothing(other) && (&self.spec, self.promoted) == (&other.spec, other.promoted)
    }

    /// What serves before it.
    pub(super) fn serving(&self) -> &'static str {
        if self.promoted { "{v2}" } else { "{v1}" }
    }

    /// Right after the candidate was promoted. What may move goes back.
    pub(super) fn promoted(self) -> Attack {
        Attack { promoted: true, to: "{v1}", ..self }
    }

    /// Production may have no pods meanwhile, or any more.
    pub(super) fn may_empty(self) -> Attack {
        Attack { may_be_empty: true, ..self }
    }

    /// The doors that it tries.
    pub(super) fn door(&self) -> String {
        let mut doors = Vec::new();
        for step in &self.steps {
            let verb = match step.how {
                How::Merge | How::Strategic | How::Json | How::Apply => "patch",
                How::Create => "create",
                How::Replace => "update",
                How::Delete => "delete",
                How::Read => "get",
                How::Wait | How::Together => continue,
            };
            let path = step.path.split_once(':').map_or(step.path.as_str(), |(_, path)| path);
            let parts: Vec<&str> = path.split('?').next().unwrap_or_default().split('/').collect();
            let resource = match parts.as_slice() {
                [resource, _, sub] => format!("{resource}/{sub}"),
                [resource, ..] => (*resource).to_owned(),
                [] => String::new(),
            };
            let door = format!("{verb} {}", resource.replace("bluegreenrollouts", "bgr"));
            if !doors.contains(&door) {
                doors.push(door);
            }
        }
        doors.join(", ")
    }
}

/// Who said no, by the words of it; none if it is neither a policy nor the roles.
pub(super) fn refused_by(words: &str) -> Option<&'static str> {
    if words.contains("ValidatingAdmissionPolicy 'attacks.guard-") {
        Some("policy")
    } else if words.contains(" is forbidden: User ") || words.contains("RBAC permissions not currently held") {
        Some("roles")
    } else {
        None
    }
}

/// What came of an attack.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// The API server said no, in these words.
    Refused(String),
    /// It was let through, and production stayed.
    WithoutEffect,
    /// The same, but nobody is told what should be: what they are told instead.
    Untold(String),
    /// Production moved: how.
    Moved(String),
    /// Production was to move, and did not go where it was to, or not to the pods that it was to: what was seen.
    Astray(String),
}

impl Verdict {
    /// The words behind it.
    pub(super) fn details(&self) -> &str {
        match self {
            Verdict::Refused(why) | Verdict::Untold(why) | Verdict::Moved(why) | Verdict::Astray(why) => why,
            Verdict::WithoutEffect => "",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Refused(why) => match refused_by(why) {
                Some("policy") => "refused by policy",
                Some(_) => "refused by role",
                None => "refused",
            },
            Verdict::WithoutEffect => "without effect",
            Verdict::Untold(_) => "NOT TOLD",
            Verdict::Moved(_) => "MOVED",
            Verdict::Astray(_) => "ASTRAY",
        })
    }
}

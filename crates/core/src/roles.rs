//! Which revision serves, which one should, and which one waits. Two questions, and neither looks at the other's answer:
//!
//! - **Is production at home?** *Home* is the revision that serves, unless that one is rejected or gone; then the last one that
//!   served, provably, and is not rejected. Whatever moves production back (an undo, an automatic rollback, a failed analysis, a lost
//!   selector) is an answer to this question. The spec's template, the preview Service and the candidate have no say in it.
//! - **May the candidate take over?** The *candidate* is the revision of the spec's template, unless it serves or is rejected.
//!
//! | production | the spec asks for | home | candidate |
//! |---|---|---|---|
//! | serves 1 | 1 | 1 | none |
//! | serves 1 | 2 | 1 | 2 |
//! | serves 2, which is rejected | 2 | 1 | none |
//! | serves 2, which is rejected | 3 | 1 | 3 |
//! | has lost the hash of 1 | 2 | 1 | 2 |
//! | has never served | 1 | none | 1 |

use greenlight_api::Decisions;

use crate::world::{ReplicaSet, Selection, Service, World};

/// Where production is, and where it should be.
#[derive(Clone, Copy, Debug)]
pub enum Production<'a> {
    /// Nothing serves, and there is nothing to go back to.
    Nowhere,
    /// Every active Service selects this revision, which is the one that should serve.
    AtHome(&'a ReplicaSet),
    /// Some active Service does not select the revision that should serve.
    Away {
        /// The revision that should serve.
        home: &'a ReplicaSet,
        /// The one that serves meanwhile, as far as it exists. The same as `home` if that only lost a Service.
        serving: Option<&'a ReplicaSet>,
    },
}

/// The roles of the moment.
#[derive(Clone, Copy, Debug)]
pub struct Roles<'a> {
    /// Where production is, and where it should be.
    pub production: Production<'a>,
    /// The revision of the spec's template, if it has a ReplicaSet.
    pub updated: Option<&'a ReplicaSet>,
    /// The revision that may take over.
    pub candidate: Option<&'a ReplicaSet>,
}

impl<'a> Roles<'a> {
    /// Reads the roles off the world, as far as it was decided.
    pub fn read(world: &'a World, decisions: &Decisions) -> Roles<'a> {
        let updated = updated(world, decisions);
        let production = production(world, decisions);
        let candidate = updated.filter(|rs| {
            let serves = rs.hash == decisions.serving || production.home().is_some_and(|home| home.hash == rs.hash);
            !serves && decisions.rejection_of_template(asked_for(world, decisions)).is_none()
        });
        Roles { production, updated, candidate }
    }

    /// The revision that should carry production.
    pub fn home(&self) -> Option<&'a ReplicaSet> {
        self.production.home()
    }

    /// The revision that should carry production, if every active Service selects it.
    pub fn at_home(&self) -> Option<&'a ReplicaSet> {
        match self.production {
            Production::AtHome(home) => Some(home),
            _ => None,
        }
    }

    /// The revision that carries production now.
    pub fn serving(&self) -> Option<&'a ReplicaSet> {
        match self.production {
            Production::Nowhere => None,
            Production::AtHome(home) => Some(home),
            Production::Away { serving, .. } => serving,
        }
    }

    /// The revision that should carry production and does, even if some active Service does not lead to it.
    pub fn staying(&self) -> Option<&'a ReplicaSet> {
        if self.going_back() { None } else { self.home() }
    }

    /// Production is to go to another revision than the one that serves.
    pub fn going_back(&self) -> bool {
        match self.production {
            Production::Away { home, serving } => serving.is_none_or(|serving| serving.name != home.name),
            _ => false,
        }
    }

    /// What production goes to, some pods of which are ready, while what it leaves has none: then any pod is better than none. Pods of a
    /// ReplicaSet that is gone may have been left behind.
    pub fn rescue(&self) -> Option<&'a ReplicaSet> {
        let bereft = self.serving().is_some_and(|serving| serving.ready == 0 && serving.available == 0);
        self.home().filter(|home| self.going_back() && bereft && home.ready > 0)
    }

    /// Whether this ReplicaSet should carry production.
    pub fn is_home(&self, rs: &ReplicaSet) -> bool {
        is(self.home(), rs)
    }

    /// Whether this ReplicaSet carries production now.
    pub fn is_serving(&self, rs: &ReplicaSet) -> bool {
        is(self.serving(), rs)
    }

    /// Whether this ReplicaSet may take over.
    pub fn is_candidate(&self, rs: &ReplicaSet) -> bool {
        is(self.candidate, rs)
    }

    /// Whether the spec asks for this ReplicaSet.
    pub fn is_updated(&self, rs: &ReplicaSet) -> bool {
        is(self.updated, rs)
    }
}

impl<'a> Production<'a> {
    fn home(self) -> Option<&'a ReplicaSet> {
        match self {
            Production::Nowhere => None,
            Production::AtHome(home) | Production::Away { home, .. } => Some(home),
        }
    }
}

fn is(role: Option<&ReplicaSet>, rs: &ReplicaSet) -> bool {
    role.is_some_and(|of_role| of_role.name == rs.name)
}

/// The ReplicaSet of the spec's template. Found by the whole digest, as it was recorded, so that a collision of hashes cannot
/// confuse it. While the template is unknown, the last one stands.
fn updated<'a>(world: &'a World, decisions: &Decisions) -> Option<&'a ReplicaSet> {
    let digest = asked_for(world, decisions);
    // Of one that is not known nobody can say that it is asked for.
    let of_digest = decisions.revisions.iter().filter(|revision| revision.digest == digest && !digest.is_empty());
    of_digest.filter_map(|revision| world.replica_set(&revision.hash)).next()
}

/// Digest of the template that the spec asks for; the last one that was known, if it is that of a workload that is missing.
pub fn asked_for<'a>(world: &'a World, decisions: &'a Decisions) -> &'a str {
    if world.template_is_unknown() { &decisions.template } else { world.rollout.template.digest.as_str() }
}

fn production<'a>(world: &'a World, decisions: &Decisions) -> Production<'a> {
    let by_hash = |rs: &&ReplicaSet| rs.hash == decisions.serving;
    let serving = world.replica_sets.iter().find(by_hash);
    let Some(home) = home(world, decisions, serving) else { return Production::Nowhere };
    let is_marked = |service: &Service| service.production.as_deref() == Some(&home.hash);
    let selects_home = |service: &Service| match service.selection() {
        // One that was brought here by hand, before it counted, is still to be moved by us: or nobody would see that production left.
        Selection::Revision(hash) => hash == home.hash && (decisions.serving == hash || is_marked(service)),
        Selection::Both(_) => is_marked(service),
        Selection::Nothing | Selection::Unmanaged => false,
    };
    let mut names = world.rollout.spec.blue_green().active_services();
    let at_home = match names.next() {
        None => serving.is_some_and(|serving| serving.name == home.name),
        Some(first) => {
            let is_there = |service: &Service| selects_home(service) || stands_aside(world, service, home);
            world.services.contains_key(first) && world.active_services().all(is_there)
        }
    };
    if at_home { Production::AtHome(home) } else { Production::Away { home, serving } }
}

/// This Service cannot follow production, since it is another rollout's or selects what these pods do not carry; and it leads to no other
/// pods of this rollout's. That is told, and nothing waits for it. The first one does not stand aside: it is what production is.
pub fn stands_aside(world: &World, service: &Service, home: &ReplicaSet) -> bool {
    let is_first = world.rollout.spec.blue_green().active_service.as_ref() == Some(&service.name);
    let has_labels = service.own_selector().next().is_some();
    let cannot_follow = world.is_anothers(service) || !has_labels || !service.missing_labels(home).is_empty();
    !is_first && cannot_follow && !world.leads_to_others(service, Some(&home.hash))
}

fn home<'a>(world: &'a World, decisions: &Decisions, serving: Option<&'a ReplicaSet>) -> Option<&'a ReplicaSet> {
    let rejection = decisions.rejection(&decisions.serving);
    if let Some(serving) = serving
        && rejection.is_none()
        && !serving.deleting
    {
        return Some(serving);
    }
    let named = rejection.and_then(|rejection| rejection.to.as_deref());
    let back_to = fallback(world, decisions, &decisions.serving, named);
    // What is gone and can be made anew comes back by itself; until then, only what is up is a help.
    let comes_back = rejection.is_none()
        && world.template_can_be_made()
        && decisions.revision(&decisions.serving).is_some_and(|lost| lost.digest == asked_for(world, decisions));
    back_to.filter(|rs| !comes_back || rs.available > 0).or(serving)
}

/// The active Services that have a say in where production goes from this ReplicaSet: those that are this rollout's, and select its pods.
pub fn telling<'a>(world: &'a World, left: Option<&'a ReplicaSet>) -> impl Iterator<Item = &'a Service> {
    let fits = move |service: &&Service| left.is_none_or(|left| service.missing_labels(left).is_empty());
    world.active_services().filter(|service| !world.is_anothers(service)).filter(fits)
}

/// What to serve instead of the revision with this hash: the named one, else the one that served last. Only a revision that
/// served, provably, in the ReplicaSet that still exists, and that is not rejected, is something to go back to. Its pods must be what the
/// first active Service selects; one that all of them select comes before one that some do not, and both before one of which an attempt
/// has failed since. A Service that does not select what it
/// should go back from either has no say.
pub fn fallback<'a>(
    world: &'a World,
    decisions: &Decisions,
    instead_of: &str,
    named: Option<&str>,
) -> Option<&'a ReplicaSet> {
    let left = world.replica_sets.iter().find(|rs| rs.hash == instead_of);
    let fits = |service: &Service, rs: &ReplicaSet| service.missing_labels(rs).is_empty();
    let mut served: Vec<_> = decisions
        .revisions
        .iter()
        .filter(|revision| revision.hash != instead_of && revision.may_serve_again())
        .filter_map(|revision| {
            let rs = world.replica_set(&revision.hash).filter(|rs| rs.uid == revision.uid)?;
            if telling(world, left).next().is_some_and(|first| !fits(first, rs)) {
                return None;
            }
            let fits_all = telling(world, left).all(|service| fits(service, rs));
            let is_named = Some(revision.hash.as_str()) == named;
            Some(((is_named, revision.rejection.is_none(), fits_all, revision.served_order()), rs))
        })
        .collect();
    served.sort_by_key(|(rank, _)| *rank);
    served.pop().map(|(_, rs)| rs)
}

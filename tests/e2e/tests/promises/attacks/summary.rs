//! What keeps the attacks of each group from production, as a table of docs/security.md has it. The test of the attacks compares it, so that what
//! is said there is what was seen.

use std::fmt::{self, Display, Formatter};

use super::attack::{Attack, Expected, Verdict, refused_by};

/// How many attacks of a group were stopped by what.
#[derive(Default)]
pub(super) struct Row {
    group: &'static str,
    attacks: usize,
    /// Refused by a policy of the chart.
    policies: usize,
    /// Refused because the role does not have the right.
    roles: usize,
    /// Refused by the schema, or another rule of the API server.
    schema: usize,
    /// Let through, at least in part, and to no effect.
    operator: usize,
    /// No attacks, or none that can be stopped: what may be done.
    allowed: usize,
    /// Those that are no longer stopped where there are no policies; none if that was not tried.
    moved_without: Option<usize>,
}

/// A row for each group, in the order of the attacks, and one for all.
pub(super) fn rows(attacks: &[Attack], with: &[Verdict], without: Option<&[Verdict]>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut all = Row { group: "all", ..Row::default() };
    for (number, attack) in attacks.iter().enumerate() {
        if rows.last().is_none_or(|row| row.group != attack.group) {
            rows.push(Row { group: attack.group, ..Row::default() });
        }
        let without = without.map(|without| &without[number]);
        rows.last_mut().into_iter().chain([&mut all]).for_each(|row| row.count(attack, &with[number], without));
    }
    rows.push(all);
    rows
}

impl Row {
    fn count(&mut self, attack: &Attack, with: &Verdict, without: Option<&Verdict>) {
        self.attacks += 1;
        let stopped = match (attack.expected, with) {
            (Expected::Moves, _) => &mut self.allowed,
            (_, Verdict::Refused(why)) => match refused_by(why) {
                Some("policy") => &mut self.policies,
                Some(_) => &mut self.roles,
                None => &mut self.schema,
            },
            _ => &mut self.operator,
        };
        *stopped += 1;
        if let Some(without) = without {
            let is_moved = attack.expected != Expected::Moves && matches!(without, Verdict::Moved(_));
            *self.moved_without.get_or_insert_default() += usize::from(is_moved);
        }
    }

    /// Whether a document has this row; its last cell counts only if that was tried.
    pub(super) fn is_in(&self, document: &str) -> bool {
        let row = self.to_string();
        document.lines().any(|line| if self.moved_without.is_some() { line == row } else { line.starts_with(&row) })
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Row { group, attacks, policies, roles, schema, operator, allowed, moved_without } = self;
        write!(f, "| {group} | {attacks} | {policies} | {roles} | {schema} | {operator} | {allowed} |")?;
        moved_without.map_or(Ok(()), |moved| write!(f, " {moved} |"))
    }
}

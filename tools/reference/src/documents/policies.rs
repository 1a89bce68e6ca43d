//! What the tables of the engines say.

use std::collections::BTreeSet;

use hcs_container::policy::{CONTAINER, LATER, Line, PROCESS, Treatment, treatment};
use hcs_machine::policy::MACHINE;
use hcs_schema::{Member, Shape};

use super::{shape, within};

/// A table, who it is for, and the types that it decides about.
struct Policy {
    whose: &'static str,
    table: &'static [Line],
    decides: BTreeSet<&'static str>,
}

/// All of them.
pub struct Policies(Vec<Policy>);

/// What is read of a change of a machine, held against the machine's table.
const SETTINGS: &[&str] = &["ProcessorLimits", "IdleProcessorsRequest", "CpuGroup"];

impl Policies {
    /// Asks the engines.
    pub fn new() -> Policies {
        let machine: Vec<&str> = ["ComputeSystem"].iter().chain(SETTINGS).copied().collect();
        Policies(vec![
            Policy::new("containers", CONTAINER, &["ComputeSystem"]),
            Policy::new("machines", MACHINE, &machine),
            Policy::new("processes", PROCESS, &["ProcessParameters"]),
        ])
    }

    /// What becomes of a member; none if no table decides about its type.
    pub fn of(&self, shape: &Shape, member: &Member) -> Option<String> {
        let mut said: Vec<(&str, String)> = Vec::new();
        for policy in self.0.iter().filter(|policy| policy.decides.contains(shape.name)) {
            let told = match treatment(policy.table, shape.name, member.name) {
                Some(Treatment::Honoured) => "honoured".to_owned(),
                Some(Treatment::Inert(why)) => format!("accepted without effect: {why}"),
                Some(Treatment::Refused(why)) => format!("refused: {why}"),
                None => format!("refused: {LATER}"),
            };
            said.push((policy.whose, told));
        }
        match &said[..] {
            [] => None,
            [(_, one)] => Some(one.clone()),
            [(_, one), rest @ ..] if rest.iter().all(|(_, other)| other == one) => Some(one.clone()),
            several => {
                let told = several.iter().map(|(whose, told)| format!("{whose}: {told}"));
                Some(told.collect::<Vec<_>>().join("; "))
            }
        }
    }

    /// Whether documents of this type are looked at through the member by any table, or no table decides about it.
    pub fn leads_on(&self, shape: &Shape, member: &Member) -> bool {
        let mut tables = self.0.iter().filter(|policy| policy.decides.contains(shape.name)).peekable();
        tables.peek().is_none()
            || tables
                .any(|policy| treatment(policy.table, shape.name, member.name) == Some(Treatment::Honoured))
    }
}

impl Policy {
    fn new(whose: &'static str, table: &'static [Line], roots: &[&'static str]) -> Policy {
        let mut decides = BTreeSet::new();
        let mut open: Vec<&'static Shape> = roots.iter().map(|name| shape(name)).collect();
        while let Some(next) = open.pop() {
            if !decides.insert(next.name) {
                continue;
            }
            let honoured = next
                .members
                .iter()
                .filter(|member| treatment(table, next.name, member.name) == Some(Treatment::Honoured));
            open.extend(honoured.flat_map(|member| within((member.kind)())));
        }
        Policy { whose, table, decides }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(owner: &str, name: &str) -> Option<String> {
        let owner = shape(owner);
        Policies::new().of(owner, owner.member(name).unwrap())
    }

    #[test]
    fn tables_are_told_together_where_they_agree_and_by_name_where_not() {
        assert_eq!(told("Container", "Storage").as_deref(), Some("honoured"));
        assert_eq!(told("Version", "Major").as_deref(), Some("honoured"));
        assert!(told("ComputeSystem", "VirtualMachine").unwrap().contains("; machines: honoured"));
        assert_eq!(told("Properties", "Id"), None);
    }
}

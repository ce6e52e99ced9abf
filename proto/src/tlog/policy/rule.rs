//! The quorum: k of n members, each a witness or a group of them.

/// A rule over witnesses that are named by their place in a list.
///
/// A group names only groups before it, and each witness and group is a member of one group at
/// most. So walking the groups in their order meets every member once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) groups: Vec<Group>,
    pub(super) quorum: Member,
}

/// What may count towards a group or be the quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// Place in the list of witnesses.
    Witness(usize),
    /// Place in the list of groups.
    Group(usize),
}

/// At least `threshold` of `members`: 1 to all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) threshold: usize,
    pub(super) members: Vec<Member>,
}

impl Rule {
    /// Asks for `quorum` of `witnesses` witnesses.
    pub(super) fn count(witnesses: usize, quorum: usize) -> Self {
        Self {
            groups: vec![Group {
                threshold: quorum,
                members: (0..witnesses).map(Member::Witness).collect(),
            }],
            quorum: Member::Group(0),
        }
    }

    /// Tells how many of all `witnesses` it asks for, where it is no more than that.
    pub(super) fn counts(&self, witnesses: usize) -> Option<usize> {
        match self.quorum {
            Member::Witness(_) => (witnesses == 1).then_some(1),
            Member::Group(at) => {
                let group = self.groups.get(at)?;
                let plain = group
                    .members
                    .iter()
                    .all(|m| matches!(m, Member::Witness(_)));
                (plain && group.members.len() == witnesses).then_some(group.threshold)
            }
        }
    }

    /// Tells since when it is satisfied, given when each witness cosigned; none while it is not.
    pub(super) fn since(&self, times: &[Option<u64>]) -> Option<u64> {
        let witness = |at: usize| times.get(at).copied().flatten();
        let mut groups: Vec<Option<u64>> = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let members = group.members.iter().filter_map(|member| match *member {
                Member::Witness(at) => witness(at),
                Member::Group(at) => groups.get(at).copied().flatten(),
            });
            let mut members: Vec<u64> = members.collect();
            members.sort_unstable();
            // With k members the group cosigned when the k-th of them did.
            let last = group.threshold.checked_sub(1);
            groups.push(last.and_then(|last| members.get(last)).copied());
        }
        match self.quorum {
            Member::Witness(at) => witness(at),
            Member::Group(at) => groups.get(at).copied().flatten(),
        }
    }

    /// Says it in words, the witnesses by these names.
    pub(super) fn words(&self, names: &[&str]) -> String {
        let witness = |at: usize| names.get(at).copied().unwrap_or_default().to_owned();
        let mut groups: Vec<String> = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let members = group.members.iter().map(|member| match *member {
                Member::Witness(at) => witness(at),
                Member::Group(at) => {
                    format!("({})", groups.get(at).cloned().unwrap_or_default())
                }
            });
            let members: Vec<String> = members.collect();
            let listed = members.join(", ");
            groups.push(match (group.threshold, members.len()) {
                (1, 1) => listed,
                (all, of) if all == of => format!("all of {listed}"),
                (some, _) => format!("{some} of {listed}"),
            });
        }
        match self.quorum {
            Member::Witness(at) => witness(at),
            Member::Group(at) => groups.get(at).cloned().unwrap_or_default(),
        }
    }
}

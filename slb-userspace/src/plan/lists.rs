//! Numbers of access lists. A list is never changed: another one gets another number, services are
//! brought to it by one write each, and the former one goes when it has rested.

use std::collections::BTreeMap;

use crate::{config::model::AccessList, maps::operation::Operation};

/// Lists in the kernel, and those that are to come.
pub(super) struct Lists<'a> {
    applied: &'a BTreeMap<u32, AccessList>,
    new: BTreeMap<u32, AccessList>,
    last: u32,
}

impl<'a> Lists<'a> {
    pub(super) fn new(applied: &'a BTreeMap<u32, AccessList>) -> Self {
        let last = applied.keys().next_back().copied().unwrap_or(0);
        Self { applied, new: BTreeMap::new(), last }
    }

    /// The number of a list: the one that it has, or a free one; 0 is no list.
    pub(super) fn number(&mut self, list: Option<&AccessList>) -> u32 {
        let Some(list) = list else { return 0 };
        let known = self.applied.iter().chain(&self.new).find(|(_, known)| *known == list);
        if let Some((number, _)) = known {
            return *number;
        }
        loop {
            self.last = self.last.wrapping_add(1);
            let taken = self.applied.contains_key(&self.last) || self.new.contains_key(&self.last);
            if self.last != 0 && !taken {
                break;
            }
        }
        self.new.insert(self.last, list.clone());
        self.last
    }

    /// The writes, before any service needs them.
    pub(super) fn filled(self) -> impl Iterator<Item = Operation> {
        self.new.into_iter().map(|(number, list)| Operation::FillList { number, list })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(networks: &[&str]) -> AccessList {
        networks.iter().map(|network| network.parse().unwrap()).collect()
    }

    #[test]
    fn the_same_list_has_one_number_and_another_a_free_one() {
        let applied = [(7, list(&["10.0.0.0/8"])), (u32::MAX, list(&["fd00::/8"]))].into();
        let mut lists = Lists::new(&applied);
        assert_eq!(lists.number(None), 0);
        assert_eq!(lists.number(Some(&list(&["10.0.0.0/8"]))), 7);
        let other = list(&["10.0.0.0/9"]);
        assert_eq!([1, 1], [(); 2].map(|()| lists.number(Some(&other))), "0 is no list");
        assert_eq!(lists.number(Some(&list(&[]))), 2);
        let filled: Vec<Operation> = lists.filled().collect();
        assert_eq!(filled[0], Operation::FillList { number: 1, list: other });
        assert_eq!(filled.len(), 2);
    }
}

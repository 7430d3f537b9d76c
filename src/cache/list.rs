//! Doubly linked lists of slot numbers. The links stand in an array beside the slots, so moving a
//! slot within a list allocates nothing.

/// No slot.
const NONE: u32 = u32::MAX;

/// The neighbours of one slot in its list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links {
    prev: u32,
    next: u32,
}

impl Links {
    /// In no list.
    pub(super) const NONE: Links = Links {
        prev: NONE,
        next: NONE,
    };

    /// The slot behind, in the list.
    pub(super) fn next(self) -> Option<u32> {
        (self.next != NONE).then_some(self.next)
    }
}

/// The ends of one list.
#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    front: u32,
    back: u32,
}

impl List {
    pub(super) const EMPTY: List = List {
        front: NONE,
        back: NONE,
    };

    pub(super) fn front(self) -> Option<u32> {
        (self.front != NONE).then_some(self.front)
    }

    pub(super) fn back(self) -> Option<u32> {
        (self.back != NONE).then_some(self.back)
    }

    /// Puts `slot`, which is in no list of `links`, in front of all others.
    pub(super) fn push_front(&mut self, links: &mut [Links], slot: u32) {
        links[slot as usize] = Links {
            prev: NONE,
            next: self.front,
        };
        match self.front {
            NONE => self.back = slot,
            old => links[old as usize].prev = slot,
        }
        self.front = slot;
    }

    /// Takes `slot`, which is in this list, out of it.
    pub(super) fn remove(&mut self, links: &mut [Links], slot: u32) {
        let Links { prev, next } = links[slot as usize];
        match prev {
            NONE => self.front = next,
            prev => links[prev as usize].next = next,
        }
        match next {
            NONE => self.back = prev,
            next => links[next as usize].prev = prev,
        }
    }

    /// Puts `slot`, which is in this list, in front of all others.
    pub(super) fn move_to_front(&mut self, links: &mut [Links], slot: u32) {
        if self.front != slot {
            self.remove(links, slot);
            self.push_front(links, slot);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Links, List, NONE};

    /// Front to back, after checking that the way back is the same.
    pub(in super::super) fn slots(list: List, links: &[Links]) -> Vec<u32> {
        let walk = |from: u32, step: fn(Links) -> u32| {
            let next = move |&at: &u32| Some(step(links[at as usize])).filter(|&to| to != NONE);
            std::iter::successors(Some(from).filter(|&at| at != NONE), next).collect::<Vec<_>>()
        };
        let forward = walk(list.front, |links| links.next);
        let mut backward = walk(list.back, |links| links.prev);
        backward.reverse();
        assert_eq!(forward, backward);
        forward
    }

    #[test]
    fn slots_are_added_moved_and_removed_at_any_place() {
        let mut links = vec![Links::NONE; 4];
        let mut list = List::EMPTY;
        assert_eq!(list.front(), None);
        for slot in 0..4 {
            list.push_front(&mut links, slot);
        }
        assert_eq!(slots(list, &links), [3, 2, 1, 0]);
        list.move_to_front(&mut links, 3);
        list.move_to_front(&mut links, 0);
        list.move_to_front(&mut links, 2);
        assert_eq!(slots(list, &links), [2, 0, 3, 1]);
        assert_eq!((list.front(), list.back()), (Some(2), Some(1)));
        for slot in [0, 1, 2] {
            list.remove(&mut links, slot);
        }
        assert_eq!(slots(list, &links), [3]);
        list.remove(&mut links, 3);
        assert_eq!((list.front(), list.back()), (None, None));
    }
}

//! A set of page numbers, one bit a page: what is known of a memory stays small however large and scattered its difference is.

use std::ops::Range;

pub struct PageSet {
    words: Vec<u64>,
}

impl PageSet {
    /// An empty set of numbers below `pages`.
    pub fn new(pages: u64) -> PageSet {
        PageSet { words: vec![0; pages.div_ceil(64) as usize] }
    }

    pub fn contains(&self, page: u64) -> bool {
        self.words[(page / 64) as usize] >> (page % 64) & 1 == 1
    }

    pub fn insert(&mut self, page: u64) {
        self.words[(page / 64) as usize] |= 1 << (page % 64);
    }

    pub fn insert_all(&mut self, pages: Range<u64>) {
        for page in pages {
            self.insert(page);
        }
    }

    pub fn remove_all(&mut self, other: &PageSet) {
        for (word, theirs) in self.words.iter_mut().zip(&other.words) {
            *word &= !theirs;
        }
    }

    pub fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// How many of a range are in the set.
    pub fn count_in(&self, pages: Range<u64>) -> u64 {
        self.runs(pages).map(|run| run.end - run.start).sum()
    }

    /// Numbers in a range, in pieces without gaps.
    pub fn runs(&self, within: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let mut at = within.start;
        std::iter::from_fn(move || {
            let start = self.next(at, within.end, true)?;
            at = self.next(start, within.end, false).unwrap_or(within.end);
            Some(start..at)
        })
    }

    /// The first number from `from` on that is in the set, or is not.
    fn next(&self, from: u64, end: u64, present: bool) -> Option<u64> {
        let mut at = from;
        while at < end {
            let word = self.words[(at / 64) as usize];
            let rest = (if present { word } else { !word }) >> (at % 64);
            if rest != 0 {
                let found = at + u64::from(rest.trailing_zeros());
                return (found < end).then_some(found);
            }
            at = (at / 64 + 1) * 64;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::PageSet;

    #[test]
    fn runs_cross_words_and_stop_at_the_end() {
        let mut set = PageSet::new(300);
        for pages in [0..1, 60..70, 127..128, 190..260, 299..300] {
            set.insert_all(pages);
        }
        let all: Vec<_> = set.runs(0..300).collect();
        assert_eq!(all, [0..1, 60..70, 127..128, 190..260, 299..300]);
        assert_eq!(set.runs(64..200).collect::<Vec<_>>(), [64..70, 127..128, 190..200]);
        assert_eq!((set.count(), set.count_in(64..192)), (83, 9));
        let mut other = PageSet::new(300);
        other.insert_all(65..250);
        set.remove_all(&other);
        assert_eq!(set.runs(0..300).collect::<Vec<_>>(), [0..1, 60..65, 250..260, 299..300]);
    }
}

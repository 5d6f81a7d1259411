//! What a context writes while no cell runs, kept within bounds for the next one.

use std::collections::VecDeque;

use super::stream::Output;

/// Kept of it; the oldest goes first.
const BYTES_MAX: usize = 64 << 10;

#[derive(Debug, Default)]
pub(super) struct Leftovers {
    pieces: VecDeque<(Output, String)>,
    bytes: usize,
    dropped: usize,
}

impl Leftovers {
    pub(super) fn push(&mut self, output: Output, text: &str) {
        self.bytes += text.len();
        match self.pieces.back_mut() {
            // One piece for many small writes, but none that must be dropped as a whole.
            Some((last, before))
                if *last == output && before.len() + text.len() <= BYTES_MAX / 16 =>
            {
                before.push_str(text);
            }
            _ => self.pieces.push_back((output, text.to_owned())),
        }
        while self.bytes > BYTES_MAX
            && let Some((_, oldest)) = self.pieces.pop_front()
        {
            self.bytes -= oldest.len();
            self.dropped += oldest.len();
        }
    }

    /// All of it, once. A gap says how much is missing.
    pub(super) fn take(&mut self) -> Vec<(Output, String)> {
        let all = self.all();
        *self = Self::default();
        all
    }

    pub(super) fn all(&self) -> Vec<(Output, String)> {
        let gap = (self.dropped > 0).then(|| {
            let note = format!(
                "[... {} bytes written between cells left out ...]\n",
                self.dropped
            );
            (Output::Stderr, note)
        });
        gap.into_iter().chain(self.pieces.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_kept_in_order() {
        let mut leftovers = Leftovers::default();
        leftovers.push(Output::Stdout, "a");
        leftovers.push(Output::Stdout, "b\n");
        leftovers.push(Output::Stderr, "c\n");
        let expected = [
            (Output::Stdout, "ab\n".to_owned()),
            (Output::Stderr, "c\n".to_owned()),
        ];
        assert_eq!(leftovers.take(), expected);
        assert!(leftovers.take().is_empty());
    }

    #[test]
    fn of_a_flood_the_end_is_kept_and_the_gap_is_told() {
        let mut leftovers = Leftovers::default();
        for number in 0..100_000 {
            leftovers.push(Output::Stdout, &format!("{number}\n"));
        }
        let taken = leftovers.take();
        assert!(taken[0].1.contains("bytes written between cells left out"));
        assert!(taken.last().unwrap().1.ends_with("99999\n"));
        let kept: usize = taken[1..].iter().map(|(_, text)| text.len()).sum();
        assert!(kept <= BYTES_MAX && kept > BYTES_MAX / 2, "{kept}");
    }
}

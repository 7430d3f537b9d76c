//! Patterns in the reads of one inode. Pure: no clock, no lock, no input or output.

use std::collections::VecDeque;
use std::ops::Range;

/// Reads remembered. A run is recognised though its reads arrive in another order (several
/// threads serve them), as long as a read is overtaken by fewer than that many.
pub(super) const REMEMBERED: usize = 8;

/// Reads that make a run.
const RUN_LENGTH: usize = 3;

/// Reads in a row that do not advance a run before it is given up.
const PATIENCE: u32 = 4;

/// The smallest window, in bytes: a page.
const MIN_WINDOW: u64 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Each read begins where an earlier one ended.
    Forward,
    /// Each read ends where an earlier one began.
    Backward,
    /// Each read begins this many bytes after the one before, with a gap in between.
    Strided(i64),
}

/// What a read told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Observation {
    /// All its bytes had been hinted.
    pub(super) hit: bool,
    /// It made a run recognisable.
    pub(super) started: Option<Pattern>,
    /// What should be fetched now.
    pub(super) hint: Option<Range<u64>>,
}

/// Follows the reads of one inode.
#[derive(Debug)]
pub(super) struct Detector {
    max_window: u64,
    /// The newest last.
    recent: VecDeque<Range<u64>>,
    run: Option<Run>,
}

#[derive(Debug)]
struct Run {
    pattern: Pattern,
    /// Where the run has come to: the end of what was read when going forward, the beginning when
    /// going backward, the offset of the last read when striding.
    frontier: u64,
    /// The bytes hinted last, without gaps; empty before the first hint.
    hinted: Range<u64>,
    window: u64,
    /// Reads since the last that advanced the run.
    idle: u32,
}

impl Detector {
    /// A detector whose hints have at most `max_window` bytes.
    pub(super) fn new(max_window: u64) -> Detector {
        Detector {
            max_window,
            recent: VecDeque::with_capacity(REMEMBERED),
            run: None,
        }
    }

    /// Takes note of a read of `len` > 0 bytes. Hints end at `file_size`.
    pub(super) fn observe(&mut self, offset: u64, len: u64, file_size: u64) -> Observation {
        let read = offset..offset.saturating_add(len);
        let mut seen = Observation::default();
        if read.is_empty() {
            // At the end of the range of offsets: it touches itself, and so continues every run for ever.
            return seen;
        }
        if let Some(run) = &mut self.run {
            seen.hit = run.has_hinted(&read);
            run.follow(&read);
            if run.idle > PATIENCE {
                self.run = None;
            }
        }
        if self.run.is_none()
            && let Some((pattern, frontier)) = self.recognise(&read)
        {
            seen.started = Some(pattern);
            self.run = Some(Run::new(pattern, frontier, len, self.max_window));
        }
        self.remember(read);
        // A hint could not cover the next read, and a read that large needs none.
        if let Some(run) = &mut self.run
            && len <= self.max_window
            && run.idle == 0
        {
            seen.hint = run.next_hint(len, file_size, self.max_window);
        }
        seen
    }

    fn remember(&mut self, read: Range<u64>) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(read);
    }

    /// The pattern that `read` completes with those before it, and how far it has come.
    fn recognise(&self, read: &Range<u64>) -> Option<(Pattern, u64)> {
        self.contiguous(read).or_else(|| self.strided(read))
    }

    fn contiguous(&self, read: &Range<u64>) -> Option<(Pattern, u64)> {
        let mut all = read.clone();
        let mut oldest = self.recent.len();
        let mut count = 1;
        let index = |matching: &dyn Fn(&Range<u64>) -> bool| self.recent.iter().position(matching);
        while let Some(i) = index(&|earlier| earlier.end == all.start) {
            all.start = self.recent[i].start;
            oldest = oldest.min(i);
            count += 1;
        }
        while let Some(i) = index(&|earlier| earlier.start == all.end) {
            all.end = self.recent[i].end;
            oldest = oldest.min(i);
            count += 1;
        }
        if count < RUN_LENGTH {
            return None;
        }
        if self.recent[oldest].start < read.start {
            Some((Pattern::Forward, all.end))
        } else {
            Some((Pattern::Backward, all.start))
        }
    }

    fn strided(&self, read: &Range<u64>) -> Option<(Pattern, u64)> {
        let mut earlier = self.recent.iter().rev();
        let (second, first) = (earlier.next()?, earlier.next()?);
        let stride = step(second.start, read.start)?;
        let gap = stride.unsigned_abs() > length(read);
        let regular = step(first.start, second.start)? == stride
            && length(first) == length(second)
            && length(second) == length(read);
        (gap && regular).then_some((Pattern::Strided(stride), read.start))
    }
}

impl Run {
    fn new(pattern: Pattern, frontier: u64, len: u64, max_window: u64) -> Run {
        Run {
            pattern,
            frontier,
            hinted: frontier..frontier,
            window: len.saturating_mul(2).max(MIN_WINDOW).min(max_window),
            idle: 0,
        }
    }

    fn has_hinted(&self, read: &Range<u64>) -> bool {
        self.hinted.start <= read.start && read.end <= self.hinted.end
    }

    /// Advances the run, or counts a read that does not.
    fn follow(&mut self, read: &Range<u64>) {
        let len = length(read);
        // As far as the other reads under way can reach.
        let reach = len.saturating_mul(REMEMBERED as u64);
        let (advances, near) = match self.pattern {
            Pattern::Forward => (
                read.end > self.frontier && read.start <= self.frontier.saturating_add(reach),
                read.end <= self.frontier && read.end.saturating_add(reach) > self.frontier,
            ),
            Pattern::Backward => (
                read.start < self.frontier && read.end.saturating_add(reach) >= self.frontier,
                read.start >= self.frontier && read.start < self.frontier.saturating_add(reach),
            ),
            Pattern::Strided(stride) => (step(self.frontier, read.start) == Some(stride), false),
        };
        if advances {
            self.frontier = match self.pattern {
                Pattern::Forward => read.end,
                Pattern::Backward | Pattern::Strided(_) => read.start,
            };
            self.idle = 0;
            return;
        }
        self.idle += 1;
        if !near {
            self.window = (self.window / 2).max(MIN_WINDOW.min(self.window));
        }
    }

    /// What to fetch now, beyond all that was hinted before; `None` while enough is.
    fn next_hint(&mut self, len: u64, file_size: u64, max_window: u64) -> Option<Range<u64>> {
        let hint = match self.pattern {
            Pattern::Forward => self.ahead(),
            Pattern::Backward => self.behind(),
            Pattern::Strided(stride) => self.next_stride(stride, len),
        }?;
        let hint = hint.start..hint.end.min(file_size);
        if hint.is_empty() {
            return None;
        }
        let joined = match self.pattern {
            Pattern::Forward if hint.start == self.hinted.end => self.hinted.start..hint.end,
            Pattern::Backward if hint.end == self.hinted.start => hint.start..self.hinted.end,
            _ => hint.clone(),
        };
        self.hinted = joined;
        self.window = self.window.saturating_mul(2).min(max_window);
        Some(hint)
    }

    fn ahead(&self) -> Option<Range<u64>> {
        let start = self.hinted.end.max(self.frontier);
        let ready = start - self.frontier;
        (ready <= self.window / 2).then(|| start..start.saturating_add(self.window))
    }

    fn behind(&self) -> Option<Range<u64>> {
        let end = self.hinted.start.min(self.frontier);
        let ready = self.frontier - end;
        (ready <= self.window / 2).then(|| end.saturating_sub(self.window)..end)
    }

    fn next_stride(&self, stride: i64, len: u64) -> Option<Range<u64>> {
        let start = self.frontier.checked_add_signed(stride)?;
        let end = start.checked_add(len)?;
        let unhinted = if self.hinted.is_empty() {
            start..end
        } else if stride > 0 {
            start.max(self.hinted.end)..end
        } else {
            start..end.min(self.hinted.start)
        };
        Some(unhinted)
    }
}

fn length(range: &Range<u64>) -> u64 {
    range.end - range.start
}

/// The signed distance between offsets; `None` where it does not fit.
fn step(from: u64, to: u64) -> Option<i64> {
    i64::try_from(i128::from(to) - i128::from(from)).ok()
}

//! The line in front of the node: whether a submission that comes now would wait too long, decided before its body is
//! read, and once more when it has been read and counted.
//!
//! A place is taken only then: whoever announces a batch and sends it slowly, or never, keeps nobody out. By Little's
//! law a newcomer waits for as long as the node needs for those before it: their number, over how many a second it
//! answers when it is busy. That rate is measured all the time, so a faster machine has a longer line and the same
//! wait. Time is a parameter; the only clock is [`Admission`]'s.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whoever would wait longer is turned away. Well below the quarter of a second in which an accepted transition is
/// answered, because the wait is an estimate, a batch has its own length, and the fsync comes on top.
const WAIT_MAX: Duration = Duration::from_millis(60);
/// So many may always wait: enough to fill one group commit, so that a wrong estimate cannot starve the node.
const LINE_MIN: usize = 64;
/// A node is busy in a window in which never fewer than these were in line; only then its pace is all that it can do.
const BUSY_MIN: usize = 16;
/// How long the pace is measured before it is believed.
const WINDOW: Duration = Duration::from_millis(100);
/// How much of a new measurement goes into the pace.
const WEIGHT: f64 = 0.25;

/// Submissions between the door and their answer.
#[derive(Debug)]
struct Line {
    inside: usize,
    /// Answered since the window began, and the fewest that were inside.
    answered: usize,
    fewest: usize,
    since: Instant,
    /// Submissions a second that the node is known to answer.
    pace: Option<f64>,
}

impl Line {
    fn new(now: Instant) -> Line {
        Line { inside: 0, answered: 0, fewest: 0, since: now, pace: None }
    }

    /// Whether a newcomer's first submission is answered soon enough; those that come with it are not counted, or the
    /// longest batches would never find a place.
    fn check(&mut self, now: Instant) -> Result<(), Duration> {
        self.measure(now);
        if self.inside >= LINE_MIN
            && let Some(pace) = self.pace
        {
            let wait = Duration::try_from_secs_f64(self.inside as f64 / pace).unwrap_or(Duration::MAX);
            if wait > WAIT_MAX {
                return Err(wait.min(Duration::from_secs(1)));
            }
        }
        Ok(())
    }

    fn enter(&mut self, now: Instant, submissions: usize) -> Result<(), Duration> {
        self.check(now)?;
        self.inside += submissions;
        Ok(())
    }

    fn leave(&mut self, submissions: usize) {
        self.inside -= submissions;
        self.answered += submissions;
        self.fewest = self.fewest.min(self.inside);
    }

    fn measure(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed < WINDOW {
            return;
        }
        let measured = self.answered as f64 / elapsed.as_secs_f64();
        self.pace = match self.pace {
            Some(pace) if self.fewest >= BUSY_MIN => Some(pace + WEIGHT * (measured - pace)),
            // Whoever has little to do shows only that it can do at least so much.
            Some(pace) => Some(pace.max(measured)),
            None => (self.fewest >= BUSY_MIN).then_some(measured),
        };
        (self.answered, self.fewest, self.since) = (0, self.inside, now);
    }
}

/// The line. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Admission(Arc<Mutex<Line>>);

impl Admission {
    pub(super) fn new() -> Admission {
        Admission(Arc::new(Mutex::new(Line::new(Instant::now()))))
    }

    /// Whether there would be a place, or how long the wait would be.
    pub(super) fn check(&self) -> Result<(), Duration> {
        self.0.lock().check(Instant::now())
    }

    /// A place in line for so many, or how long the wait would be.
    pub(super) fn enter(&self, submissions: usize) -> Result<Place, Duration> {
        self.0.lock().enter(Instant::now(), submissions)?;
        Ok(Place { admission: self.clone(), submissions })
    }
}

/// A place in line for one submission or several, until it is dropped.
#[derive(Debug)]
pub struct Place {
    admission: Admission,
    submissions: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.0.lock().leave(self.submissions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As [`run_batches`], one by one.
    fn run(line: &mut Line, start: Instant, seconds: u64, offered: usize, pace: usize) -> (usize, usize) {
        run_batches(line, start, seconds, offered, pace, 1)
    }

    /// A node that answers `pace` a second is offered `offered` a second, `batch` at once; the longest line, and how many
    /// were turned away. Steps of a millisecond.
    fn run_batches(
        line: &mut Line,
        start: Instant,
        seconds: u64,
        offered: usize,
        pace: usize,
        batch: usize,
    ) -> (usize, usize) {
        let (mut longest, mut refused, mut work, mut due) = (0, 0, 0, 0);
        for step in 0..seconds * 1000 {
            let now = start + Duration::from_millis(step);
            due += offered;
            while due >= batch * 1000 {
                due -= batch * 1000;
                refused += if line.enter(now, batch).is_err() { batch } else { 0 };
            }
            longest = longest.max(line.inside);
            work += pace;
            while work >= 1000 && line.inside > 0 {
                line.leave(1);
                work -= 1000;
            }
            work = work.min(1000);
        }
        (longest, refused)
    }

    #[test]
    fn the_line_is_as_long_as_the_node_is_fast() {
        for (pace, offered, batch) in [
            (20_000, 100_000, 1),
            (5_000, 25_000, 1),
            (1_000, 5_000, 1),
            (20_000, 100_000, 64),
            (5_000, 25_000, 500),
        ] {
            let start = Instant::now();
            let mut line = Line::new(start);
            // The first window has no pace yet; then the line settles.
            run_batches(&mut line, start, 2, offered, pace, batch);
            let (longest, refused) =
                run_batches(&mut line, start + Duration::from_secs(2), 10, offered, pace, batch);
            let wait = longest.saturating_sub(batch) as f64 / pace as f64;
            assert!(wait <= 0.1, "at {pace} a second the last of {longest} waits {wait} s");
            let taken = offered * 10 - refused;
            assert!(taken * 100 >= pace * 10 * 95, "{taken} of {} that it can do", pace * 10);
        }
    }

    #[test]
    fn a_burst_after_a_quiet_time_is_taken_and_a_stall_ends() {
        let start = Instant::now();
        let mut line = Line::new(start);
        run(&mut line, start, 2, 10_000, 8_000);
        let at = |s| start + Duration::from_secs(s);
        // Those in line are answered, and nobody comes.
        run(&mut line, at(2), 2, 0, 8_000);
        assert_eq!(run(&mut line, at(4), 5, 1_000, 8_000).1, 0, "nobody waits while there is little to do");
        // The disk stands still for three seconds.
        run(&mut line, at(9), 3, 10_000, 0);
        run(&mut line, at(12), 2, 4_000, 8_000);
        assert_eq!(run(&mut line, at(14), 5, 4_000, 8_000).1, 0, "it has recovered");
    }
}

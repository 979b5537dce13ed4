//! The queue in front of Python's threads, and which of them are woken for it.
//!
//! To wake a thread costs more than a small app does, and two threads that compute take the interpreter
//! from each other. So the thread that was last at work is woken first, for all that the server has
//! pushed in one go, and left alone with it while it gets on. Another one comes to help when it does
//! not: at once where calls are known to wait for something, and otherwise after a look
//! ([`Queue::look_after`]).

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Tasks for threads, which have numbers.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    /// By which each thread is woken.
    bells: Box<[Condvar]>,
    ended: Condvar,
    /// How many tasks may wait that no thread is free for.
    capacity: usize,
}

struct State<T> {
    tasks: VecDeque<T>,
    /// Threads that sleep; the one that was last at work is the last.
    asleep: Vec<usize>,
    /// Threads at all.
    alive: usize,
    /// How many tasks were taken, ever, and when somebody last looked.
    taken: u64,
    taken_before: u64,
    /// Somebody will ring for what was pushed.
    is_to_be_rung: bool,
    /// Somebody will look whether the threads that are awake get on.
    is_watched: bool,
    is_closed: bool,
    habit: Habit,
}

impl<T> State<T> {
    /// Threads that are at work, or on their way to it.
    fn awake(&self) -> usize {
        self.alive - self.asleep.len()
    }
}

impl<T> Queue<T> {
    /// A queue for so many threads. `is_free`: they do not share an interpreter's lock, so that nothing
    /// is gained by waiting for one of them.
    pub(crate) fn new(threads: usize, capacity: usize, is_free: bool) -> Self {
        let state = State {
            tasks: VecDeque::new(),
            asleep: Vec::with_capacity(threads),
            alive: threads,
            taken: 0,
            taken_before: 0,
            is_to_be_rung: false,
            is_watched: false,
            is_closed: false,
            habit: Habit {
                is_fixed: is_free,
                ..Habit::default()
            },
        };
        Self {
            state: Mutex::new(state),
            bells: (0..threads).map(|_| Condvar::new()).collect(),
            ended: Condvar::new(),
            capacity,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task behind the others, unless there are too many that no thread is free for: it is given
    /// back then. True when somebody has to [`ring`](Self::ring) for it, soon.
    pub(crate) fn push(&self, task: T) -> Result<bool, T> {
        let mut state = self.lock();
        let is_full = state.tasks.len() >= self.capacity + state.asleep.len();
        if is_full || state.is_closed {
            return Err(task);
        }
        state.tasks.push_back(task);
        Ok(!std::mem::replace(&mut state.is_to_be_rung, true))
    }

    /// Adds what has to be done whatever else waits.
    pub(crate) fn push_first(&self, task: T) {
        let mut state = self.lock();
        state.tasks.push_front(task);
        self.wake(state, 1);
    }

    /// Wakes threads for what was pushed. True when somebody has to [`look_after`](Self::look_after)
    /// them.
    pub(crate) fn ring(&self) -> bool {
        let mut state = self.lock();
        state.is_to_be_rung = false;
        let waiting = state.tasks.len();
        let count = match state.habit.waits() {
            true => waiting,
            false => waiting.min(1_usize.saturating_sub(state.awake())),
        };
        // What is left to threads that are at work may need help.
        let is_news = waiting > count && !state.is_watched;
        if is_news {
            state.is_watched = true;
            state.taken_before = state.taken;
        }
        self.wake(state, count);
        is_news
    }

    /// Wakes a thread to help when none of those that are awake has taken a task since the last look.
    /// False when nobody has to look any more.
    pub(crate) fn look_after(&self) -> bool {
        let mut state = self.lock();
        let stands_still = state.taken == state.taken_before;
        state.taken_before = state.taken;
        state.is_watched = !state.tasks.is_empty();
        let goes_on = state.is_watched;
        self.wake(state, usize::from(goes_on && stands_still));
        goes_on
    }

    /// Whether there is more to do, and somebody will look at that soon.
    pub(crate) fn is_looked_after(&self) -> bool {
        let state = self.lock();
        state.is_watched && !state.tasks.is_empty()
    }

    /// Wakes so many threads, or as many as there are.
    fn wake(&self, mut state: MutexGuard<'_, State<T>>, count: usize) {
        let rest = state.asleep.len().saturating_sub(count);
        match state.asleep.len() - rest {
            0 => {}
            1 => {
                let last = state.asleep.pop();
                drop(state);
                last.into_iter().for_each(|it| self.bells[it].notify_one());
            }
            _ => {
                let called = state.asleep.split_off(rest);
                drop(state);
                called.iter().for_each(|it| self.bells[*it].notify_one());
            }
        }
    }

    /// A call was measured: whether it has waited for something other than the interpreter.
    pub(crate) fn learn(&self, has_waited: bool) {
        let mut state = self.lock();
        // Beside another thread it may have waited for the interpreter.
        if state.awake() == 1 {
            state.habit.learn(has_waited);
        }
    }

    pub(crate) fn try_take(&self) -> Option<T> {
        let mut state = self.lock();
        let task = state.tasks.pop_front();
        state.taken += u64::from(task.is_some());
        task
    }

    /// Waits until there is something to do for a thread; false when there will not be. It takes
    /// nothing: whoever has the interpreter first does that.
    pub(crate) fn wait(&self, number: usize) -> bool {
        let mut state = self.lock();
        while state.tasks.is_empty() {
            if state.is_closed {
                return false;
            }
            state.asleep.push(number);
            while state.asleep.contains(&number) {
                state = self.bells[number]
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().tasks.len()
    }

    /// Takes no more tasks; threads end when the queue is empty.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        self.wake(state, usize::MAX);
    }

    /// A thread has ended, or could not begin.
    pub(crate) fn leave(&self) {
        self.lock().alive -= 1;
        self.ended.notify_all();
    }

    /// Waits until all threads have ended; false when they have not in time.
    pub(crate) fn join(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut state = self.lock();
        while state.alive > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .ended
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

/// Whether calls wait for something, a database or a disk: then it is worth it to have several at a
/// time. Those that only compute take longer when they are.
#[derive(Debug, Default)]
struct Habit {
    /// It is so, always.
    is_fixed: bool,
    score: u8,
    /// Calls count as such that wait until then; it is measured only while they do not.
    until: Option<Instant>,
}

impl Habit {
    fn waits(&mut self) -> bool {
        if self.until.is_some_and(|until| until <= Instant::now()) {
            self.until = None;
        }
        self.is_fixed || self.until.is_some()
    }

    fn learn(&mut self, has_waited: bool) {
        self.score = match has_waited {
            true => self.score + 2,
            false => self.score.saturating_sub(1),
        };
        if self.score >= 4 {
            self.score = 0;
            self.until = Some(Instant::now() + MEMORY);
        }
    }
}

/// How long it is remembered that calls wait.
const MEMORY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    /// Threads that sleep, in the order in which they have begun to.
    fn asleep(queue: &Arc<Queue<u32>>, numbers: &[usize]) -> Vec<thread::JoinHandle<bool>> {
        let begin = |(at, number): (usize, &usize)| {
            let (queue, number) = (queue.clone(), *number);
            let sleeper = thread::spawn({
                let queue = queue.clone();
                move || queue.wait(number)
            });
            while queue.lock().asleep.len() <= at {
                thread::yield_now();
            }
            sleeper
        };
        numbers.iter().enumerate().map(begin).collect()
    }

    fn still_asleep(queue: &Queue<u32>) -> Vec<usize> {
        queue.lock().asleep.clone()
    }

    fn queue(is_free: bool) -> (Arc<Queue<u32>>, Vec<thread::JoinHandle<bool>>) {
        let queue = Arc::new(Queue::new(3, 2, is_free));
        let threads = asleep(&queue, &[2, 0, 1]);
        (queue, threads)
    }

    fn end(queue: &Queue<u32>, threads: Vec<thread::JoinHandle<bool>>) {
        while queue.try_take().is_some() {}
        queue.close();
        threads.into_iter().for_each(|it| drop(it.join()));
    }

    #[test]
    fn the_last_to_sleep_is_woken_alone_and_gets_help_when_it_stands_still() {
        let (queue, threads) = queue(false);
        assert_eq!(queue.push(1), Ok(true));
        assert_eq!(queue.push(2), Ok(false), "it is to be rung already");
        assert!(queue.ring(), "two tasks for one thread are looked after");
        assert_eq!(still_asleep(&queue), [2, 0]);
        assert!(queue.is_looked_after());

        queue.push(3).unwrap();
        assert!(!queue.ring(), "somebody looks already");
        assert_eq!(queue.try_take(), Some(1));
        assert!(queue.look_after());
        assert_eq!(still_asleep(&queue), [2, 0], "it gets on");
        assert!(queue.look_after());
        assert_eq!(still_asleep(&queue), [2], "it does not");

        while queue.try_take().is_some() {}
        assert!(!queue.look_after() && !queue.is_looked_after());
        end(&queue, threads);
    }

    #[test]
    fn one_task_is_not_looked_after() {
        let (queue, threads) = queue(false);
        queue.push(1).unwrap();
        assert!(!queue.ring());
        end(&queue, threads);
    }

    #[test]
    fn threads_that_share_no_lock_come_all() {
        let (queue, threads) = queue(true);
        queue.push(1).unwrap();
        queue.push(2).unwrap();
        assert!(!queue.ring());
        assert_eq!(still_asleep(&queue), [2]);
        end(&queue, threads);
    }

    #[test]
    fn more_than_the_capacity_is_given_back() {
        let queue = Queue::new(1, 2, false);
        queue.push(1).unwrap();
        queue.push(2).unwrap();
        assert_eq!(queue.push(3), Err(3));
        queue.push_first(0);
        assert_eq!((queue.try_take(), queue.len()), (Some(0), 2));
        queue.close();
        assert_eq!(queue.push(4), Err(4));
    }

    #[test]
    fn habits() {
        let mut habit = Habit::default();
        for (has_waited, is_habit) in [
            (false, false),
            (true, false),
            (false, false),
            (true, false),
            (true, true),
        ] {
            habit.learn(has_waited);
            assert_eq!(habit.waits(), is_habit);
        }
        habit.until = Some(Instant::now());
        assert!(!habit.waits(), "it is forgotten");
    }
}

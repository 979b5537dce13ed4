//! Who else opens the log file. A program that copies it and truncates it then would lose the lines that
//! are written in between; so lines wait while it is at work.

use std::path::Path;
use std::time::Duration;

/// Tells when another program opens and closes the file.
#[derive(Debug)]
pub(super) struct Watch {
    #[cfg(target_os = "linux")]
    events: std::os::fd::OwnedFd,
}

#[cfg(not(target_os = "linux"))]
impl Watch {
    /// Elsewhere nobody tells.
    pub(super) fn new(_: &Path) -> Option<Self> {
        None
    }

    pub(super) fn wait_for_others(&mut self, _: Duration) {}
}

#[cfg(target_os = "linux")]
impl Watch {
    /// Watches the file that `path` is now; `None` when the system has no watch to spare.
    pub(super) fn new(path: &Path) -> Option<Self> {
        use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let flags = WatchFlags::OPEN | WatchFlags::CLOSE;
        inotify::add_watch(&events, path, flags).ok()?;
        Some(Self { events })
    }

    /// When another has opened the file since the last time, waits until one closes it, at most for
    /// `limit`: whoever reads along, as `tail -f` does, keeps it open.
    pub(super) fn wait_for_others(&mut self, limit: Duration) {
        let deadline = std::time::Instant::now() + limit;
        let mut is_open = self.last_event(false);
        while is_open {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() || !self.has_more_within(left) {
                return;
            }
            is_open = self.last_event(is_open);
        }
    }

    /// Whether the last of the events that wait is an opening; `before` when none waits.
    fn last_event(&self, before: bool) -> bool {
        use rustix::fs::inotify::{ReadFlags, Reader};

        let mut room = [std::mem::MaybeUninit::uninit(); 1024];
        let mut reader = Reader::new(&self.events, &mut room);
        let mut last = before;
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::OPEN) {
                last = true;
            } else if event
                .events()
                .intersects(ReadFlags::CLOSE_WRITE | ReadFlags::CLOSE_NOWRITE)
            {
                last = false;
            }
        }
        last
    }

    fn has_more_within(&self, limit: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};

        let mut sources = [PollFd::new(&self.events, PollFlags::IN)];
        let limit = Timespec::try_from(limit).ok();
        poll(&mut sources, limit.as_ref()).is_ok_and(|ready| ready > 0)
    }
}

//! A thread of another process that is made to stand still, as one that waits for a lock for ever.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// A thread that stands still until this is dropped.
pub struct Stuck {
    let_go: Option<mpsc::Sender<()>>,
    tracer: Option<JoinHandle<()>>,
}

impl Stuck {
    /// Stops the thread of this name in a process that this one has started.
    pub fn new(pid: u32, name: &str) -> Self {
        let id = thread_of(pid, name);
        let (stopped, is_stopped) = mpsc::channel();
        let (let_go, is_let_go) = mpsc::channel();
        // Only the thread that has stopped another can let it go.
        let tracer = thread::spawn(move || {
            ptrace::seize(id, ptrace::Options::empty()).expect("a child may be traced");
            ptrace::interrupt(id).unwrap();
            waitpid(id, Some(WaitPidFlag::__WALL)).unwrap();
            stopped.send(()).unwrap();
            let _: Result<(), _> = is_let_go.recv();
            // It may have ended with its process.
            let _ = ptrace::detach(id, None);
        });
        is_stopped.recv().expect("the thread stops");
        Self { let_go: Some(let_go), tracer: Some(tracer) }
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        drop(self.let_go.take());
        if let Some(tracer) = self.tracer.take() {
            let _ = tracer.join();
        }
    }
}

fn thread_of(pid: u32, name: &str) -> Pid {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut threads = threads.map(|thread| thread.unwrap().path());
    let is_named = |path: &std::path::PathBuf| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let path = threads.find(is_named).unwrap_or_else(|| panic!("there is no thread {name}"));
    Pid::from_raw(path.file_name().unwrap().to_str().unwrap().parse().unwrap())
}

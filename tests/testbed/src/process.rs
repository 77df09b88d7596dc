//! Running programs: commands with a time limit, and daemons that never outlive the test process.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::error::{Error, Result};

/// What a command that succeeded has written.
#[derive(Debug, Clone)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// What a command reads from standard input.
pub enum Input<'a> {
    /// It ends at once.
    Nothing,
    /// These bytes.
    Bytes(&'a [u8]),
    /// A file from its current position.
    File(File),
}

/// Runs a command to its end. It gets a process group of its own, which is killed at the limit.
///
/// # Errors
/// [`Error::Command`] when it fails, [`Error::Timeout`] at the limit.
pub fn run(command: &mut Command, input: Input<'_>, limit: Duration) -> Result<Output> {
    let line = command_line(command);
    let (stdin, bytes) = match input {
        Input::Nothing => (Stdio::null(), None),
        Input::Bytes(bytes) => (Stdio::piped(), Some(bytes)),
        Input::File(file) => (Stdio::from(file), None),
    };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(Error::io(format!("run `{line}`")))?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let (stdin, stdout, stderr) = pipes;
        if let (Some(mut stdin), Some(bytes)) = (stdin, bytes) {
            // A program that ends without reading all of its input is judged by its exit status alone.
            scope.spawn(move || _ = stdin.write_all(bytes));
        }
        let stdout = scope.spawn(move || read_all(stdout));
        let stderr = scope.spawn(move || read_all(stderr));
        let status = wait_with_limit(&mut child, limit).map_err(Error::io(format!("wait for `{line}`")))?;
        if status.is_none() {
            kill_group(&mut child);
        }
        let output = Output { stdout: stdout.join().unwrap_or_default(), stderr: stderr.join().unwrap_or_default() };
        match status {
            Some(status) if status.success() => Ok(output),
            Some(status) => {
                let stderr = if output.stderr.trim().is_empty() { output.stdout } else { output.stderr };
                Err(Error::Command { command: line, status, stderr })
            }
            None => Err(Error::Timeout { what: format!("`{line}` to end"), limit, last: output.stderr }),
        }
    })
}

fn read_all(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What was read before an error is still worth showing.
        _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn wait_with_limit(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() >= limit {
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn kill_group(child: &mut Child) {
    // The child is not reaped yet, so its id cannot be anybody else's. An error here means that it is dead already.
    _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    _ = child.wait();
}

/// The command as a person would type it, for messages.
pub(crate) fn command_line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The last lines of a log; empty when there is none.
pub(crate) fn tail(log: &Path) -> String {
    const LINES: usize = 20;
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// A long-lived program whose output goes to a log file. It is killed when this is dropped, and also when the process
/// that started it dies in any way, `kill -9` included: a watchdog shell waits for the end of a pipe that only that
/// process holds open. (`PR_SET_PDEATHSIG` would not do: it fires when the starting *thread* ends, and a test harness
/// runs each test in a thread of its own.)
pub struct Daemon {
    name: String,
    log: PathBuf,
    child: Child,
    watchdog: Child,
}

impl Daemon {
    /// Starts `command`, appending its output to `log`.
    ///
    /// # Errors
    /// When the program or the log cannot be opened.
    pub fn start(name: impl Into<String>, mut command: Command, log: &Path) -> Result<Self> {
        let name = name.into();
        let action = || format!("start {name} with its log in {}", log.display());
        let out = File::options().create(true).append(true).open(log).map_err(Error::io(action()))?;
        let err = out.try_clone().map_err(Error::io(action()))?;
        // A group of its own: Ctrl-C in a terminal must end the test process first, not its daemons.
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let mut child = command.spawn().map_err(Error::io(action()))?;
        match watchdog(child.id()) {
            Ok(watchdog) => Ok(Self { name, log: log.to_owned(), child, watchdog }),
            Err(error) => {
                kill_group(&mut child);
                Err(error)
            }
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails with the end of the log if the program has ended.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub fn check(&mut self) -> Result<()> {
        let status = self.child.try_wait().map_err(Error::io(format!("look after {}", self.name)))?;
        status.map_or(Ok(()), |status| {
            let (process, log) = (self.name.clone(), self.log.clone());
            Err(Error::Ended { process, status, tail: tail(&log), log })
        })
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .map_err(|errno| Error::io(format!("signal {}", self.name))(errno.into()))
    }

    /// Asks the program to end, and kills it when it has not after ten seconds.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        wait_with_limit(&mut self.child, Duration::from_secs(10)).map_err(Error::io(format!("stop {}", self.name)))?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The watchdog first: it knows the daemon by a number that is free for others once the daemon is reaped.
        _ = self.watchdog.kill();
        _ = self.watchdog.wait();
        kill_group(&mut self.child);
    }
}

fn watchdog(pid: u32) -> Result<Child> {
    Command::new("sh")
        .args(["-c", "read -r _; kill -9 \"$1\"", "watchdog", &pid.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(Error::io("start the watchdog shell `sh`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_command_reads_its_input_and_returns_both_outputs() {
        let output = run(&mut sh("cat; echo oops >&2"), Input::Bytes(b"in"), Duration::from_secs(10)).unwrap();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("in", "oops\n"));
    }

    #[test]
    fn a_failing_command_says_what_it_wrote() {
        let error = run(&mut sh("echo broken >&2; exit 3"), Input::Nothing, Duration::from_secs(10)).unwrap_err();
        assert!(error.to_string().ends_with("failed (exit status: 3): broken"), "{error}");
    }

    #[test]
    fn a_command_and_its_children_end_at_the_limit() {
        let start = Instant::now();
        let error = run(&mut sh("sleep 60 & sleep 60"), Input::Nothing, Duration::from_millis(100)).unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_daemon_that_ends_is_reported_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut daemon = Daemon::start("d", sh("echo last words; exit 1"), &dir.path().join("log")).unwrap();
        let error = crate::wait::until("end", Duration::from_secs(10), || match daemon.check() {
            Ok(()) => Ok(crate::wait::Seen::NotYet(String::new())),
            Err(error) => Ok(crate::wait::Seen::Ready(error)),
        });
        assert!(error.unwrap().to_string().ends_with("last words"));
    }

    #[test]
    fn a_daemon_dies_with_the_pipe_of_its_watchdog() {
        let dir = tempfile::tempdir().unwrap();
        let mut daemon = Daemon::start("d", sh("exec sleep 60"), &dir.path().join("log")).unwrap();
        drop(daemon.watchdog.stdin.take());
        crate::wait::until_true("the daemon to die", Duration::from_secs(10), || Ok(daemon.check().is_err())).unwrap();
    }
}

//! A child process that cannot outlive its owner.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A running program. It is killed when this is dropped, and also when the owning process dies in any way: it runs under a
/// shell that waits on a pipe from the owner and kills it when the pipe closes.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    pid_file: PathBuf,
    guard: Child,
}

/// The guard: start the program, note its pid, wait until the owner closes the pipe or is gone, kill it. A second reader
/// ends the guard when the program ends by itself. A signal to the whole group (`timeout`, Ctrl-C) ends the program, too: without its
/// guard nobody would.
const GUARD: &str = r#"
pid_file=$1; shift
exec 3<&0
"$@" </dev/null 3<&- &
pid=$!
trap 'kill -KILL $pid 2>/dev/null' TERM INT HUP
echo $pid > "$pid_file.new" && mv "$pid_file.new" "$pid_file"
( read -r _ <&3; kill -KILL $pid 2>/dev/null ) &
wait $pid
code=$?
kill $! 2>/dev/null
exit $code
"#;

impl Process {
    /// Starts `program` with `args`; its output goes to `<dir>/<name>.log`.
    pub fn start(dir: &Path, name: &str, program: &Path, args: &[String], env: &[(&str, &str)]) -> Result<Process> {
        let log = dir.join(format!("{name}.log"));
        let pid_file = dir.join(format!("{name}.pid"));
        let output = File::options().create(true).append(true).open(&log)?;
        let _ = std::fs::remove_file(&pid_file);
        let guard = Command::new("sh")
            .arg("-c")
            .arg(GUARD)
            .arg("guard")
            .arg(&pid_file)
            .arg(program)
            .args(args)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Process { name: name.to_owned(), log, pid_file, guard })
    }

    /// The name under which it was started.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The program's process id.
    pub fn pid(&self) -> Result<u32> {
        for _ in 0..500 {
            if let Ok(text) = std::fs::read_to_string(&self.pid_file) {
                return Ok(text.trim().parse()?);
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        anyhow::bail!("{} did not start", self.name)
    }

    /// Whether this is the identity of the program on a lease.
    pub fn is_holder(&self, identity: &str) -> bool {
        self.pid().is_ok_and(|pid| identity.contains(&format!("_{pid}_")))
    }

    /// The exit code, once it has ended by itself; 128 + n if signal n ended it.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.guard.try_wait().ok().flatten().and_then(|status| status.code())
    }

    /// Sends SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }

    /// Lets it fall asleep (SIGSTOP), or wakes it up (SIGCONT).
    ///
    /// # Errors
    /// It has not started.
    pub fn put_to_sleep(&self, asleep: bool) -> Result<()> {
        let signal = if asleep { "-STOP" } else { "-CONT" };
        Command::new("kill").args([signal, &self.pid()?.to_string()]).status()?;
        Ok(())
    }

    /// Sends SIGTERM and waits for its exit code.
    pub fn terminate(&mut self) -> Result<i32> {
        let pid = self.pid()?;
        Command::new("kill").arg("-TERM").arg(pid.to_string()).status()?;
        // Not `wait`: that closes the pipe, which is the order to kill.
        for _ in 0..400 {
            if let Some(code) = self.exit_code() {
                return Ok(code);
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        anyhow::bail!("{} did not end within 20 s of SIGTERM", self.name)
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of what it printed, for error messages.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("--- {} ---\n{}", self.log.display(), lines[lines.len().saturating_sub(25)..].join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

//! A gateway process: started from an example or from a test's own YAML, asked, signalled, stopped.
//!
//! It runs in a folder of its own and is given the variables the examples name (`LISTEN`, `UPSTREAM`,
//! `AUDIT_LOG`, `ADMIN`). Whatever happens, the process ends with the value.

use std::env;
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::places::{binary, free_address, workspace};
use crate::{Client, Message, Record, Upstream};

/// A debug build that compiles the whole CRS needs some seconds.
const START: Duration = Duration::from_secs(90);

/// What [`Gateway::routing`] puts before a test's own keys.
pub const LISTENER: &str = "\
listeners: [{ address: \"${LISTEN}\" }]
admin: { address: \"${ADMIN}\" }
audit: { output: \"${AUDIT_LOG}\" }
";

/// A running gateway.
pub struct Gateway {
    /// Where it listens.
    pub address: String,
    /// Its admin listener.
    pub admin: String,
    process: Child,
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// A gateway about to be started.
pub struct Plan {
    config: String,
    folder: TempDir,
    upstream: String,
    variables: Vec<(String, String)>,
}

impl Gateway {
    /// A gateway with one of `deploy/examples/NAME.yaml`.
    #[must_use]
    pub fn example(name: &str) -> Plan {
        let path = workspace().join(format!("deploy/examples/{name}.yaml"));
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::configured(&text)
    }

    /// A gateway with this configuration; it may use the same variables as the examples.
    #[must_use]
    pub fn configured(yaml: &str) -> Plan {
        Plan {
            config: yaml.to_owned(),
            folder: TempDir::new().expect("a temporary folder can be made"),
            upstream: "http://127.0.0.1:9".to_owned(),
            variables: Vec::new(),
        }
    }

    /// A gateway with these routes, upstreams and profiles, on one plain listener.
    #[must_use]
    pub fn routing(yaml: &str) -> Plan {
        Self::configured(&format!("{LISTENER}{yaml}"))
    }

    /// The folder it runs in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("palisade.yaml")
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Where its decision records go.
    #[must_use]
    pub fn record_file(&self) -> PathBuf {
        self.folder.path().join("decisions.jsonl")
    }

    /// Every decision record written so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        Record::read(&self.record_file())
    }

    /// The first record that answers the question; waits for it.
    #[must_use]
    pub fn record(&self, question: impl Fn(&Record) -> bool) -> Record {
        eventually("the decision record", || {
            self.records().into_iter().find(|record| question(record))
        })
    }

    /// The record of the exchange with that request target; waits for it.
    #[must_use]
    pub fn record_of(&self, target: &str) -> Record {
        self.record(|record| record.text("/request/target") == target)
    }

    /// What the admin listener says on a path.
    #[must_use]
    pub fn admin(&self, path: &str) -> Message {
        // By address: the admin listener refuses names it was not told.
        Client::request(&self.admin, "GET", path, &[("Host", &self.admin)], b"")
    }

    /// The value of a metric whose line starts so, label set included; 0 if there is none.
    #[must_use]
    pub fn metric(&self, line_start: &str) -> f64 {
        let text = self.admin("/metrics").text();
        text.lines()
            .filter(|line| line.starts_with(line_start))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Sends a signal by name, such as `HUP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.process.id())])
            .status()
            .expect("a shell runs");
        assert!(status.success(), "the gateway is gone:\n{}", self.log());
    }

    /// Replaces the configuration file; the gateway is told with [`Gateway::signal`].
    pub fn write_config(&self, yaml: &str) {
        // Written aside and renamed, as an editor does: nobody may see half a file.
        let aside = self.folder.path().join("palisade.yaml.new");
        fs::write(&aside, yaml).unwrap();
        fs::rename(&aside, self.config()).unwrap();
    }

    /// Resident memory in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(path).expect("the gateway runs");
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").trim().parse().ok())
            .expect("Linux tells the resident size")
    }

    /// Time the process spent on processors, in milliseconds.
    #[must_use]
    pub fn processor_millis(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = fs::read_to_string(path).expect("the gateway runs");
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        // User and system time, in the kernel's ticks of 10 ms.
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
        (ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)) * 10
    }

    /// Waits for the process to end by itself.
    #[must_use]
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the end of the process", || {
            self.process.try_wait().unwrap()
        })
    }

    /// True while the process lives.
    #[must_use]
    pub fn runs(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            println!("--- the gateway's log\n{}", tail(&self.log()));
        }
    }
}

impl Plan {
    /// The gateway stands before this upstream.
    #[must_use]
    pub fn before(mut self, upstream: &Upstream) -> Self {
        self.upstream = upstream.url();
        self
    }

    /// Sets a variable the configuration uses.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Puts a file beside the configuration.
    #[must_use]
    pub fn file(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).unwrap();
        }
        fs::write(path, text).unwrap();
        self
    }

    /// Starts the process and waits until it is ready.
    #[must_use]
    pub fn start(self) -> Gateway {
        let mut gateway = self.spawn();
        gateway.wait_until_ready();
        gateway
    }

    fn spawn(self) -> Gateway {
        let (address, admin) = (free_address(), free_address());
        let folder = self.folder.path();
        fs::write(folder.join("palisade.yaml"), &self.config).unwrap();
        let records = folder.join("decisions.jsonl");
        let mut environment = vec![
            ("LISTEN".to_owned(), address.clone()),
            ("ADMIN".to_owned(), admin.clone()),
            ("UPSTREAM".to_owned(), self.upstream),
            ("AUDIT_LOG".to_owned(), records.display().to_string()),
        ];
        environment.extend(self.variables);
        Gateway {
            address,
            admin,
            process: run(folder, &environment),
            folder: self.folder,
            environment,
        }
    }
}

/// Starts a gateway with the configuration in `folder`.
fn run(folder: &Path, environment: &[(String, String)]) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    Command::new(binary())
        .arg("run")
        .arg("--config")
        .arg(folder.join("palisade.yaml"))
        .current_dir(folder)
        .env_clear()
        .envs(env::vars().filter(|(name, _)| name == "PATH" || name == "RUST_LOG"))
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the gateway starts")
}

impl Gateway {
    /// Starts another process with the same configuration and waits for this one to end in its favour.
    pub fn upgrade(&mut self) -> ExitStatus {
        let new = run(self.folder.path(), &self.environment);
        let old = std::mem::replace(&mut self.process, new);
        let mut old = Ending(old);
        let deadline = Instant::now() + START;
        loop {
            if let Some(status) = old.0.try_wait().unwrap() {
                return status;
            }
            assert!(self.runs(), "the new one ended:\n{}", tail(&self.log()));
            assert!(
                Instant::now() < deadline,
                "no upgrade:\n{}",
                tail(&self.log())
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A process that ends with the value.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Gateway {
    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START;
        loop {
            assert!(self.runs(), "the gateway ended:\n{}", tail(&self.log()));
            if TcpStream::connect(&self.admin).is_ok() && self.admin("/readyz").status == 200 {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "not ready:\n{}",
                tail(&self.log())
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Asks until there is an answer, for ten seconds.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::sleep(Duration::from_millis(10));
    }
}

/// What a finished `palisade` command said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a `palisade` command to its end with these variables and this on standard input.
#[must_use]
pub fn palisade(arguments: &[&str], variables: &[(&str, &str)], input: &[u8]) -> Said {
    use std::io::Write as _;
    let mut child = Command::new(binary())
        .args(arguments)
        .current_dir(workspace())
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("palisade starts");
    let mut stdin = child.stdin.take().unwrap();
    // A command that does not read its input may close it.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn tail(log: &str) -> &str {
    let start = log.len().saturating_sub(6000);
    let start = (start..log.len())
        .find(|&at| log.is_char_boundary(at))
        .unwrap_or(0);
    &log[start..]
}

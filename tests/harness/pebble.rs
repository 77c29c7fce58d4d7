//! A certificate authority: Pebble, the test server of Let's Encrypt, with its DNS.
//!
//! `PEBBLE` names another `pebble` (with `pebble-challtestsrv` beside it), for what Debian's lacks. Every
//! name points to loopback; the authority looks for proofs at [`Pebble::http`] and [`Pebble::tls`],
//! refuses one nonce in twenty, and does not sleep.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::Client;
use crate::places::{free_address, skipped};

/// A running authority.
pub struct Pebble {
    /// Its ACME directory.
    pub directory: String,
    /// Where it looks for proofs by HTTP-01.
    pub http: String,
    /// Where it looks for proofs by TLS-ALPN-01.
    pub tls: String,
    /// The name server it asks.
    pub dns: String,
    manage: String,
    program: PathBuf,
    folder: TempDir,
    pebble: Option<Child>,
    names: Option<Child>,
}

/// How an authority is to be.
#[derive(Debug, Clone)]
pub struct Authority {
    /// How long certificates live, in seconds.
    pub lifetime: u64,
    /// Accounts have to be bound to this key: its name, and itself in base64url.
    pub external: Option<(&'static str, &'static str)>,
    /// Ask this name server in place of its own.
    pub dns: Option<String>,
    /// Profiles, for a Pebble that knows them.
    pub profiles: bool,
}

impl Default for Authority {
    fn default() -> Self {
        Self {
            lifetime: 90 * 24 * 3600,
            external: None,
            dns: None,
            profiles: false,
        }
    }
}

impl Authority {
    /// Starts it; `None`, said aloud, if there is no Pebble on this machine.
    #[must_use]
    pub fn start(self, suite: &str) -> Option<Pebble> {
        let program = found("pebble", suite)?;
        let servers = found("pebble-challtestsrv", suite)?;
        let folder = TempDir::new().unwrap();
        let listen = free_address();
        let (http, tls) = (free_address(), free_address());
        let (dns, manage) = (free_address(), free_address());
        certify(folder.path());
        let mut settings = json!({
            "listenAddress": listen,
            "managementListenAddress": free_address(),
            "certificate": folder.path().join("ca.pem"),
            "privateKey": folder.path().join("ca.key"),
            "httpPort": port(&http),
            "tlsPort": port(&tls),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": self.external.is_some(),
            "certificateValidityPeriod": self.lifetime,
        });
        if let Some((name, key)) = self.external {
            settings["externalAccountMACKeys"] = json!({ name: key });
        }
        if self.profiles {
            settings["profiles"] = json!({
                "default": { "description": "as usual", "validityPeriod": self.lifetime },
                "shortlived": { "description": "an hour", "validityPeriod": 3600 },
            });
        }
        let settings = json!({ "pebble": settings });
        fs::write(folder.path().join("pebble.json"), settings.to_string()).unwrap();
        // Newer ones call it otherwise, and answer over HTTPS unless told not to.
        let help = Command::new(&servers).arg("-h").output().unwrap();
        let newer = String::from_utf8_lossy(&help.stderr).contains("-dnsserver");
        let names = Command::new(servers)
            .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
            .args([if newer { "-dnsserver" } else { "-dns01" }, &dns])
            .args(["-management", &manage])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(if self.profiles {
                &["-doh", ""][..]
            } else {
                &[]
            })
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pebble-challtestsrv starts");
        await_port(&manage);
        let mut pebble = Pebble {
            directory: format!("https://localhost:{}/dir", port(&listen)),
            http,
            tls,
            dns: self.dns.unwrap_or(dns),
            manage,
            program,
            folder,
            pebble: None,
            names: Some(names),
        };
        pebble.run();
        Some(pebble)
    }
}

impl Pebble {
    /// The certificate its directory is verified with.
    #[must_use]
    pub fn ca(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    /// A folder for whatever a test needs beside it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the authority, again after [`Pebble::stop`]: it has forgotten everything then.
    pub fn run(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let child = Command::new(&self.program)
            .arg("-config")
            .arg(self.folder.path().join("pebble.json"))
            .args(["-dnsserver", &self.dns])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "5")
            // Every order is proven anew.
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("pebble starts");
        self.pebble = Some(child);
        let listen = self.directory.replace("https://localhost", "127.0.0.1");
        await_port(listen.trim_end_matches("/dir"));
    }

    /// Stops the authority; its name server goes on.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.pebble.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// How many certificates it has issued.
    #[must_use]
    pub fn issued(&self) -> usize {
        self.log().matches("Issued certificate serial").count()
    }

    /// A script for hooks that keeps records at the authority's name server.
    #[must_use]
    pub fn hook(&self) -> String {
        let path = self.folder.path().join("hook.sh");
        let script = format!(
            "#!/bin/sh\n\
             echo \"$1 $2 $3\" >> {folder}/hook.log\n\
             env >> {folder}/hook.env\n\
             case $1 in\n\
             present) curl -sf -d \"{{\\\"host\\\":\\\"$3.\\\",\\\"value\\\":\\\"$4\\\"}}\" http://{manage}/set-txt ;;\n\
             esac\n",
            folder = self.folder.path().display(),
            manage = self.manage,
        );
        fs::write(&path, script).unwrap();
        let status = Command::new("chmod").arg("755").arg(&path).status();
        assert!(status.is_ok_and(|status| status.success()));
        path.display().to_string()
    }

    /// Shows a TXT record.
    pub fn set_txt(&self, record: &str, value: &str) {
        let body = json!({ "host": format!("{record}."), "value": value }).to_string();
        let answer = Client::post(
            &self.manage,
            "/set-txt",
            "application/json",
            body.as_bytes(),
        );
        assert_eq!(answer.status, 200);
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let start = log.len().saturating_sub(4000);
            println!("--- pebble's log\n{}", log.get(start..).unwrap_or(&log));
        }
        for mut child in [self.pebble.take(), self.names.take()]
            .into_iter()
            .flatten()
        {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A certificate for the authority's own listener, which trusts itself.
pub fn certify(folder: &Path) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    fs::write(folder.join("ca.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("ca.key"), made.signing_key.serialize_pem()).unwrap();
}

fn found(name: &str, suite: &str) -> Option<PathBuf> {
    let beside = std::env::var_os("PEBBLE")
        .map(PathBuf::from)
        .and_then(|pebble| Some(pebble.parent()?.join(name)));
    let program = beside.or_else(|| on_path(name));
    if program.is_none() {
        skipped(
            suite,
            &format!("{name} is not installed: apt install pebble"),
        );
    }
    program
}

/// A program on `PATH`, or where servers lie.
#[must_use]
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

fn port(address: &str) -> u16 {
    address.rsplit(':').next().unwrap().parse().unwrap()
}

/// Waits until somebody listens.
pub fn await_port(address: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "nobody listens on {address}");
        thread::sleep(Duration::from_millis(20));
    }
    let _ = std::io::stdout().flush();
}

//! Our audit log beside libmodsecurity's: the same rules, the same requests, the same lines.
//!
//! Needs nginx with its ModSecurity module (Debian: `nginx`, `libnginx-mod-http-modsecurity`); without
//! them it is skipped aloud.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::gateway::{LISTENER, eventually};
use harness::places::free_address;
use harness::{Client, Gateway, Upstream, skipped};
use tempfile::TempDir;

const RULES: &str = r#"SecRuleEngine On
SecRequestBodyAccess On
SecAuditEngine RelevantOnly
SecAuditLogRelevantStatus "^5"
SecAuditLogParts ABHZ
SecAuditLog AUDIT
SecDefaultAction "phase:2,log,auditlog,pass"
SecRule ARGS:a "@rx (at+ack)" "id:1,phase:2,pass,capture,t:none,t:lowercase,t:urlDecodeUni,msg:'An %{MATCHED_VAR_NAME}',logdata:'Matched Data: %{TX.0} found within %{MATCHED_VAR_NAME}: %{MATCHED_VAR}',severity:'CRITICAL',ver:'v/1',rev:'2',maturity:'5',accuracy:'6',tag:'one',tag:'two %{REQUEST_METHOD}'"
SecRule ARGS:b "@beginsWith ab" "id:2,phase:2,pass"
SecRule ARGS:b "@contains bc" "id:3,phase:2,pass"
SecRule ARGS:b "@endsWith cd" "id:4,phase:2,pass"
SecRule ARGS:b "@within xabcdx" "id:5,phase:2,pass"
SecRule ARGS:b "!@streq q" "id:6,phase:2,pass"
SecRule ARGS:b "@pm xy bc" "id:7,phase:2,pass"
SecRule ARGS:x "@detectXSS" "id:8,phase:2,pass"
SecRule ARGS:s "@detectSQLi" "id:9,phase:2,pass"
SecRule ARGS:u "@validateByteRange 32-126" "id:10,phase:2,pass"
SecRule ARGS:b "@streq abcd" "id:11,phase:2,pass,msg:'chained',tag:'t',logdata:'d',chain"
SecRule ARGS:n "@eq 5" "t:lowercase,chain"
SecRule &ARGS "@gt 0" "t:none"
SecRule REQUEST_HEADERS:X-Two "@rx ^v" "id:12,phase:1,pass,t:trim"
SecRule REQUEST_COOKIES:ck "@streq v1" "id:13,phase:1,pass"
SecRule REQUEST_LINE|REQUEST_URI_RAW|QUERY_STRING "@contains path" "id:14,phase:1,pass"
SecRule REQUEST_METHOD "@streq POST" "id:15,phase:1,pass"
SecRule REQUEST_PROTOCOL "@contains 1.1" "id:16,phase:1,pass"
SecRule REQUEST_BASENAME "@streq f.php" "id:17,phase:1,pass"
SecRule ARGS_POST:p "@streq 1" "id:18,phase:2,pass"
SecRule ARGS_NAMES "@streq long" "id:19,phase:2,pass"
SecRule ARGS:long "@rx x" "id:20,phase:2,pass,nolog,auditlog"
SecRule ARGS:long "@rx x" "id:21,phase:2,pass,noauditlog"
SecRule ARGS:long "@rx x+" "id:22,phase:2,pass"
SecAction "id:23,phase:2,pass,msg:'an action'"
SecRule TX:none "@eq 1" "id:24,phase:2,pass"
SecRule ARGS:deny "@streq 1" "id:25,phase:2,deny,status:406,msg:'denied'"
SecRule ARGS:drop "@streq 1" "id:26,phase:2,drop,msg:'dropped'"
SecRule ARGS:last "@streq 1" "id:27,phase:5,pass,msg:'at the end'"
"#;

const SITE: &str = "upstreams: { app: { servers: [\"${UPSTREAM}\"] } }\n\
    routes: [{ name: app, upstream: app }]\n\
    profiles: { default: { waf: { rules: [], files: [rules.conf] } } }\n";

/// What must agree in every line: all but the names of this exchange.
const OWN: [&str; 3] = ["file", "hostname", "unique_id"];

#[test]
fn the_lines_are_those_of_libmodsecurity() {
    let Some(module) = MODULES.iter().find(|path| Path::new(path).exists()) else {
        return skipped(
            "audit lines beside libmodsecurity",
            "nginx has no ModSecurity module",
        );
    };
    let upstream = Upstream::echo();
    let peer = Nginx::start(module, &upstream.address());
    let directives = RULES.replace("AUDIT", "audit.log");
    // Hidden values are ours alone.
    let told = "audit: { redact: { headers: [], cookies: false, parameters: [] },";
    let site = format!("{}{SITE}", LISTENER.replace("audit: {", told));
    let gateway = Gateway::configured(&site)
        .before(&upstream)
        .file("rules.conf", &directives)
        .start();
    let long = format!("/path?long={}", "x".repeat(150));
    let requests: [(&str, &str, &[u8]); 8] = [
        ("GET", "/path?q=1&a=AT%54ack", b""),
        (
            "GET",
            "/d/f.php?b=abcd&n=5&x=%3Cscript%3Ealert(1)%3C/script%3E",
            b"",
        ),
        (
            "POST",
            "/path/f.php?s=1%27%20OR%201=1--%20&u=%01%ff",
            b"p=1&c=d",
        ),
        ("GET", &long, b""),
        ("GET", "/path?deny=1", b""),
        ("GET", "/path?drop=1", b""),
        ("GET", "/a%20b?last=1&b=a%5c%22%5d", b""),
        ("POST", "/path", b"p=1&a=attack%0d%0a%5bid"),
    ];
    for (method, target, body) in requests {
        let headers = [
            ("Host", "shop.example"),
            ("X-Two", "v2"),
            ("Cookie", "ck=v1; d=e"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        for address in [&gateway.address, &peer.address] {
            let mut client = Client::connect(address);
            client.send(&harness::client::request(method, target, &headers, body));
            let _ = client.try_answer(method);
        }
    }
    let read = |path: &Path| {
        eventually("the audit entries", || {
            let log = fs::read_to_string(path).unwrap_or_default();
            (log.matches("---Z--\n").count() >= requests.len()).then(|| entries(&log))
        })
    };
    let theirs = read(&peer.folder.path().join("audit.log"));
    let ours = read(&gateway.folder().join("audit.log"));
    assert_eq!(
        theirs.keys().collect::<Vec<_>>(),
        ours.keys().collect::<Vec<_>>()
    );
    let mut differences = Vec::new();
    for (target, lines) in &theirs {
        for (their, our) in lines.iter().zip(&ours[target]) {
            if their != our && !explained(their, our) {
                differences.push(format!("{target}\n  theirs {their}\n  ours   {our}"));
            }
        }
        assert_eq!(
            lines.len(),
            ours[target].len(),
            "{target}: {:#?}",
            ours[target]
        );
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let lines: usize = ours.values().map(Vec::len).sum();
    println!("audit lines beside libmodsecurity: {lines} compared");
    assert!(lines > 60, "{lines}");
}

/// The differences that docs/audit-log.md names: a backslash and a double quote in a value are escaped.
fn explained(their: &str, our: &str) -> bool {
    let plain = |line: &str| line.replace(r"\x5c", "\\").replace(r"\x22", "\"");
    our.contains(r"\x5c") && plain(their) == plain(our)
}

/// The lines of part H by request line, sorted, without what names the exchange.
fn entries(log: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for entry in log.split("---A--\n").skip(1) {
        let request = entry.lines().nth(2).unwrap_or_default().to_owned();
        let lines = entry
            .lines()
            .filter(|line| line.starts_with("ModSecurity:"));
        let mut lines: Vec<String> = lines.map(without_own).collect();
        // libmodsecurity evaluates members in the order of a hash table.
        lines.sort();
        found.insert(request, lines);
    }
    found
}

fn without_own(line: &str) -> String {
    OWN.iter().fold(line.to_owned(), |line, name| {
        let start = format!(" [{name} \"");
        let Some((before, rest)) = line.split_once(&start) else {
            return line;
        };
        let after = rest.split_once("\"]").map_or("", |(_, after)| after);
        format!("{before}{after}")
    })
}

/// A private nginx with the same rules.
struct Nginx {
    address: String,
    process: Child,
    folder: TempDir,
}

impl Nginx {
    fn start(module: &str, upstream: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().display();
        let address = free_address();
        let rules = RULES.replace("AUDIT", &format!("{path}/audit.log"));
        fs::write(folder.path().join("rules.conf"), rules).unwrap();
        let load = [NDK, module]
            .into_iter()
            .filter(|path| Path::new(path).exists());
        let load: String = load.map(|path| format!("load_module {path};\n")).collect();
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {path}/{name};\n"))
            .concat();
        let configuration = format!(
            "{load}user {};\ndaemon off;\nworker_processes 1;\npid {path}/pid;\n\
            error_log {path}/error.log crit;\nevents {{}}\nhttp {{ access_log off;\n{temporary}\
            server {{ listen {address}; modsecurity on; modsecurity_rules_file {path}/rules.conf;\n\
            location / {{ proxy_pass http://{upstream}; proxy_http_version 1.1; }} }} }}\n",
            user.trim()
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration).unwrap();
        let process = Command::new("nginx")
            .args(["-p", &path.to_string(), "-c", file.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let nginx = Self {
            address,
            process,
            folder,
        };
        eventually("nginx", || TcpStream::connect(&nginx.address).ok());
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its worker; killing it would leave the worker behind.
        let _ = Command::new("sh")
            .args(["-c", &format!("kill -TERM {}", self.process.id())])
            .status();
        let _ = self.process.wait();
    }
}

/// Where distributions put nginx's ModSecurity module.
const MODULES: [&str; 2] = [
    "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so",
    "/usr/lib64/nginx/modules/ngx_http_modsecurity_module.so",
];
/// What Debian's module needs besides.
const NDK: &str = "/usr/lib/nginx/modules/ndk_http_module.so";

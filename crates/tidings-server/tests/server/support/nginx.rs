//! A real nginx before the server, as Debian has it, on a free loopback port; ended with the test.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{Server, until};

/// Where Debian has it, which is not on every user's path.
const NGINX: &str = "/usr/sbin/nginx";

/// Where the process has its files.
const PROCESS: &str = "daemon off;
error_log {folder}/error.log notice;
pid {folder}/nginx.pid;
";
/// Where it has those that come and go, which are the system's unless it is told.
const TEMPORARY: &str = "client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;";

/// A running nginx. Dropping it ends it.
pub struct Nginx {
    child: Child,
    folder: tempfile::TempDir,
    pub url: String,
}

impl Nginx {
    /// In front of a server, with these lines for its location and those for its upstream.
    pub fn start(server: &Server, upstream: &str, location: &str) -> Self {
        let location = format!("location / {{ proxy_pass http://tidings; {location} }}");
        Self::start_with(&server.address, "", upstream, &location)
    }

    /// In front of an address, with lines for `http`, for the upstream and for the server.
    /// `{folder}` in them is a folder of its own, and `{port}` the port where it has its own `listen`.
    pub fn start_with(address: &str, http: &str, upstream: &str, site: &str) -> Self {
        let scheme = if site.contains("ssl_certificate ") { "https" } else { "http" };
        Self::start_from(&config(address, http, upstream, site), scheme)
    }

    /// As `deploy/nginx.conf` has it, in front of these three addresses.
    pub fn start_deployed(addresses: &[&str; 3]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/nginx.conf");
        let mut config = std::fs::read_to_string(path).unwrap();
        // What is the test's own: addresses, and where files are.
        let mut put = |there: &str, instead: &str| {
            assert_eq!(config.matches(there).count(), 1, "{there} in nginx.conf");
            config = config.replace(there, instead);
        };
        for (number, address) in (1..).zip(addresses) {
            put(&format!("server node{number}:4000 "), &format!("server {address} "));
        }
        put("listen 80;", "listen 127.0.0.1:{port};");
        put("/dev/stdout", "{folder}/access.log");
        put("http {", &format!("http {{ {TEMPORARY}"));
        Self::start_from(&format!("{PROCESS}{config}"), "http")
    }

    /// What it has logged of requests, where it does.
    pub fn access_log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("access.log")).unwrap()
    }

    fn start_from(config: &str, scheme: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config.replace("{folder}", &folder.path().display().to_string());
        // nginx cannot say which port it took; another process could take this one before it does,
        // so it is tried again.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = config.replace("{port}", &port.to_string());
            std::fs::write(folder.path().join("nginx.conf"), config).unwrap();
            let mut child = command(folder.path())
                .spawn()
                .expect("the tests need nginx; install it: sudo apt-get install nginx-light");
            let pid = folder.path().join("nginx.pid");
            until("nginx runs or has given up", || {
                pid.exists() || child.try_wait().unwrap().is_some()
            });
            if child.try_wait().unwrap().is_none() {
                let host = if scheme == "https" { "localhost" } else { "127.0.0.1" };
                return Self { child, folder, url: format!("{scheme}://{host}:{port}") };
            }
        }
        let log = std::fs::read_to_string(folder.path().join("error.log")).unwrap_or_default();
        panic!("nginx does not start: {log}");
    }

    pub fn reload(&self) {
        let status = command(self.folder.path()).args(["-s", "reload"]).status();
        assert!(status.unwrap().success());
        until("the old worker is on its way out", || {
            let log = std::fs::read_to_string(self.folder.path().join("error.log")).unwrap();
            log.contains("gracefully shutting down")
        });
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM: the master ends its workers, old ones too, and then itself.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").arg(pid).status();
        let _ = self.child.wait();
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(NGINX);
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
    command.arg("-e").arg(folder.join("error.log"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn config(address: &str, http: &str, upstream: &str, site: &str) -> String {
    let listen = if site.contains("listen ") { "" } else { "listen 127.0.0.1:{port};" };
    format!(
        "{PROCESS}
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    access_log off;
    {TEMPORARY}
    gzip on;
    {http}
    upstream tidings {{ server {address}; {upstream} }}
    server {{
        {listen}
        {site}
    }}
}}
"
    )
}

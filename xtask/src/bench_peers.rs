//! `cargo xtask bench-peers`: measures Tidings, nginx with nchan and better-sse one after the other,
//! each in turn with the floor, and writes one JSON document of all. It installs what it measures;
//! how each is spoken to is here and in `xtask/peers`, and nothing else knows of them.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, ensure};

use crate::needs;
use crate::workspace;

const BETTER_SSE_VERSION: &str = "0.16.1";
const NCHAN_MODULES: &str = "/usr/lib/nginx/modules";
const NCHAN_CONF: &str = include_str!("../peers/nchan.conf");
const BETTER_SSE_APP: &str = include_str!("../peers/better-sse.mjs");

/// One server, ready to be started.
struct Peer {
    name: &'static str,
    version: String,
    /// How it is started and spoken to.
    options: Vec<String>,
    scenarios: &'static [&'static str],
}

const EVERYTHING: &[&str] = &[
    "fanout --listeners=1000,10000 --waiting=1,16",
    "latency --listeners=1000 --rate=20",
    "idle --connections=17000",
    "idle --connections=17000 --own-topics",
    "connect --connections=10000",
    "publish --batch-events=500 --publishers=4",
    "storm --listeners=10000 --missed=20",
    "replay --events=10000 --bytes=256",
];
/// What a server that keeps no events can be asked for.
const NO_HISTORY: &[&str] = EVERYTHING.split_at(6).0;

/// `arguments` go to every run of the load generator: `--rounds=5`, `--seconds=3`, `--pin=0,1`.
pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let folder = folder()?;
    let generator = build()?;
    let output = workspace::root().join("docs/benchmarks.json");
    let mut results = Vec::new();
    for peer in [tidings(), nchan(&folder)?, better_sse(&folder)?] {
        println!("== {} {}", peer.name, peer.version);
        for scenario in peer.scenarios {
            let document = measure(&generator, &peer, scenario, arguments)
                .with_context(|| format!("{}: {scenario}", peer.name))?;
            results.push(format!(
                "{{ \"peer\": {:?}, \"version\": {:?}, \"run\": {document} }}",
                peer.name,
                peer.version.as_str()
            ));
        }
    }
    fs::write(&output, format!("[\n{}\n]\n", results.join(",\n")))
        .with_context(|| format!("cannot write {}", output.display()))?;
    println!("wrote {}; draw it: node docs/benchmarks.mjs", output.display());
    Ok(ExitCode::SUCCESS)
}

fn build() -> Result<PathBuf> {
    let packages = ["--package", "tidings-server", "--package", "tidings-bench"];
    let status = workspace::cargo()
        .args(["build", "--release", "--bins", "--features", "tidings-server/jemalloc"])
        .args(packages)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "the release build failed; its own message is above");
    Ok(workspace::tidings("release")?.with_file_name("tidings-bench"))
}

/// Where peers are installed and keep their files.
fn folder() -> Result<PathBuf> {
    let folder = workspace::tidings("release")?.with_file_name("bench-peers");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn measure(generator: &Path, peer: &Peer, scenario: &str, arguments: &[&str]) -> Result<String> {
    let output = workspace::command(generator)
        .args(scenario.split(' '))
        .args(["--floor", "--json"])
        .args(&peer.options)
        .args(arguments)
        .env_remove("TIDINGS_URL")
        .env_remove("TIDINGS_TOKEN")
        .env_remove("TIDINGS_API_KEY")
        .env_remove("TIDINGS_TOKEN_SECRET")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the load generator")?;
    ensure!(output.status.success(), "the run failed ({}); see above", output.status);
    String::from_utf8(output.stdout).context("the load generator's JSON is not UTF-8")
}

fn tidings() -> Peer {
    Peer {
        name: "tidings",
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // The generator starts the one that was built beside it.
        options: Vec::new(),
        scenarios: EVERYTHING,
    }
}

fn nchan(folder: &Path) -> Result<Peer> {
    let module = Path::new(NCHAN_MODULES).join("ngx_nchan_module.so");
    for (package, file) in
        [("nginx", Path::new("/usr/sbin/nginx")), ("libnginx-mod-nchan", &module)]
    {
        if !file.exists() {
            needs::apt_install(package, &|| file.exists())?;
        }
    }
    let address = free_address()?;
    let conf = folder.join("nchan.conf");
    let text = NCHAN_CONF
        .replace("{listen}", &address.to_string())
        .replace("{folder}", &folder.display().to_string())
        .replace("{modules}", NCHAN_MODULES);
    fs::write(&conf, text).with_context(|| format!("cannot write {}", conf.display()))?;
    let start =
        format!("/usr/sbin/nginx -e {0}/error.log -c {1}", folder.display(), conf.display());
    Ok(Peer {
        name: "nchan",
        version: version("dpkg-query", &["-W", "-f=${Version}", "libnginx-mod-nchan"]),
        options: foreign(address, &start, "text/plain"),
        scenarios: EVERYTHING,
    })
}

fn better_sse(folder: &Path) -> Result<Peer> {
    let app = folder.join("better-sse.mjs");
    fs::write(&app, BETTER_SSE_APP).with_context(|| format!("cannot write {}", app.display()))?;
    let package = format!("better-sse@{BETTER_SSE_VERSION}");
    let status = workspace::command("npm")
        .args(["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"])
        .arg("--prefix")
        .arg(folder)
        .arg(&package)
        .stdin(Stdio::null())
        .status()
        .context("cannot start npm; install Node.js 20 or newer with npm")?;
    ensure!(status.success(), "`npm install {package}` failed ({status})");
    let address = free_address()?;
    let node = version("node", &["--version"]);
    Ok(Peer {
        name: "better-sse",
        version: format!("{BETTER_SSE_VERSION} on Node {node}"),
        options: foreign(address, &format!("node {} {address}", app.display()), "application/json"),
        scenarios: NO_HISTORY,
    })
}

/// A server whose topic is in the path, and whose publish body is the event itself.
fn foreign(address: SocketAddr, start: &str, publish_type: &str) -> Vec<String> {
    vec![
        format!("--url=http://{address}"),
        format!("--spawn={start}"),
        "--subscribe-path=/streams/{topic}".to_owned(),
        "--publish-path=/publish/{topic}".to_owned(),
        format!("--publish-type={publish_type}"),
        "--publish-body={payload}".to_owned(),
        "--batch=pipeline".to_owned(),
    ]
}

fn version(program: &str, arguments: &[&str]) -> String {
    let output = workspace::command(program).args(arguments).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("there is no free port")?;
    listener.local_addr().context("a bound socket has no address")
}

//! What the steps need beyond Rust, and how to get it: npm packages by `npm ci`, programs by
//! apt-get where that is allowed (root on Debian). What cannot be installed is named in the error,
//! with the command to type; it is never a reason to leave a test out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace;

/// Something a step cannot run without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A rustup component, and the cargo command it brings.
    CargoComponent(&'static str, &'static str),
    /// `node_modules` as `package-lock.json` says.
    NodeModules,
    /// A Chromium or Chrome to drive.
    Chromium,
    /// The `curl` program.
    Curl,
    /// nginx where Debian has it, which the tests start.
    Nginx,
    /// Redis with its own client, which the tests start.
    Redis,
}

const NGINX: &str = "/usr/sbin/nginx";

const NODE_MAJOR_MIN: u32 = 20;

/// Debian's name first; the others are what people have elsewhere.
const CHROMIUM_NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome", "chrome"];

impl Need {
    /// Makes sure that it is there, installing it if need be.
    pub(crate) fn meet(self) -> Result<()> {
        match self {
            Self::CargoComponent(component, command) => cargo_component(component, command),
            Self::NodeModules => node_modules(),
            Self::Chromium => match chromium() {
                Some(_) => Ok(()),
                None => apt_install("chromium", &|| chromium().is_some()),
            },
            Self::Curl => match on_path("curl") {
                Some(_) => Ok(()),
                None => apt_install("curl", &|| on_path("curl").is_some()),
            },
            Self::Nginx if Path::new(NGINX).is_file() => Ok(()),
            Self::Nginx => apt_install("nginx-light", &|| Path::new(NGINX).is_file()),
            Self::Redis if has_redis() => Ok(()),
            Self::Redis => apt_install("redis-server", &has_redis),
        }
    }
}

/// The browser that the tests drive: the one named by `TIDINGS_CHROMIUM`, or else on the path.
pub(crate) fn chromium() -> Option<PathBuf> {
    match std::env::var_os("TIDINGS_CHROMIUM") {
        Some(named) => Some(named.into()),
        None => CHROMIUM_NAMES.iter().find_map(|name| on_path(name)),
    }
}

fn has_redis() -> bool {
    on_path("redis-server").is_some() && on_path("redis-cli").is_some()
}

fn cargo_component(component: &str, command: &str) -> Result<()> {
    if succeeds(workspace::cargo().args([command, "--version"])) {
        return Ok(());
    }
    println!("installing {component}");
    ensure!(
        succeeds(workspace::command("rustup").args(["component", "add", component])),
        "cargo has no `{command}` command; install it: rustup component add {component}"
    );
    Ok(())
}

/// Runs `npm ci` unless the lock file that was last installed is the one that is there now.
fn node_modules() -> Result<()> {
    node_is_new_enough()?;
    let lock = workspace::root().join("package-lock.json");
    let wanted = std::fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let installed = workspace::root().join("node_modules/.installed-package-lock.json");
    if std::fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!("installing npm packages");
    let status = workspace::command("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .stdin(Stdio::null())
        .status()
        .context("cannot start npm; install npm 11")?;
    ensure!(status.success(), "`npm ci` failed ({status}); its own message is above");
    std::fs::write(&installed, wanted)
        .with_context(|| format!("cannot write {}", installed.display()))
}

fn node_is_new_enough() -> Result<()> {
    let install =
        format!("install Node.js {NODE_MAJOR_MIN} or newer (https://nodejs.org) with npm");
    let Ok(output) = Command::new("node").arg("--version").output() else {
        bail!("the browser tests need Node.js and there is no `node`; {install}");
    };
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().unwrap_or_default();
    ensure!(
        major.parse::<u32>().is_ok_and(|major| major >= NODE_MAJOR_MIN),
        "Node.js {version:?} is too old for the browser tests; {install}"
    );
    Ok(())
}

/// Installs a Debian package, as root on Debian; elsewhere says what to type.
pub(crate) fn apt_install(package: &str, present: &dyn Fn() -> bool) -> Result<()> {
    let may = rustix::process::geteuid().is_root()
        && Path::new("/etc/debian_version").exists()
        && on_path("apt-get").is_some();
    ensure!(
        may,
        "the tests need {package}, and installing it takes root on Debian; \
         install it: sudo apt-get install {package} (or your system's way)"
    );
    println!("installing {package} with apt-get");
    for arguments in
        [&["update", "-qq"][..], &["install", "-y", "-qq", "--no-install-recommends", package]]
    {
        let status = workspace::command("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .context("cannot start apt-get")?;
        ensure!(status.success(), "`apt-get {}` failed ({status})", arguments.join(" "));
    }
    ensure!(present(), "apt-get installed {package}, and still there is none on the path");
    Ok(())
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

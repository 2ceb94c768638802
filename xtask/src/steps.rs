//! What `cargo xtask test` does, as one table in the order it is done: cheap checks first, so that
//! a slip shows in seconds. Knows what to run, not how; `test` runs it.

use crate::count::Runner;
use crate::needs::Need;

/// The parts of the table that can be asked for alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Lint,
    Rust,
    Web,
}

impl Group {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "lint" => Self::Lint,
            "rust" => Self::Rust,
            "web" => Self::Web,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lint => "lint",
            Self::Rust => "rust",
            Self::Web => "web",
        }
    }
}

/// Where a step's program comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    /// The cargo that runs this task.
    Cargo,
    /// A program that `npm ci` put into `node_modules`.
    Npm(&'static str),
}

/// One command; it must exit with 0.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) groups: &'static [Group],
    pub(crate) needs: &'static [Need],
    pub(crate) program: Program,
    pub(crate) arguments: &'static [&'static str],
    pub(crate) environment: &'static [(&'static str, &'static str)],
    /// Set where the step runs tests: their number is read from its output, and none is a failure.
    pub(crate) counts: Option<Runner>,
}

const BLANK: Step = Step {
    name: "",
    groups: &[],
    needs: &[],
    program: Program::Cargo,
    arguments: &[],
    environment: &[],
    counts: None,
};

pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "rustfmt",
        groups: &[Group::Lint],
        needs: &[Need::CargoComponent("rustfmt", "fmt")],
        arguments: &["fmt", "--all", "--check"],
        ..BLANK
    },
    Step {
        name: "biome",
        groups: &[Group::Lint],
        needs: &[Need::NodeModules],
        program: Program::Npm("biome"),
        arguments: &["ci", "--error-on-warnings", "--colors=off"],
        ..BLANK
    },
    Step {
        name: "tsc",
        groups: &[Group::Lint],
        needs: &[Need::NodeModules],
        program: Program::Npm("tsc"),
        arguments: &["--project", "e2e"],
        ..BLANK
    },
    Step {
        name: "tsc package",
        groups: &[Group::Lint],
        needs: &[Need::NodeModules],
        program: Program::Npm("tsc"),
        arguments: &["--project", "packages/tidings"],
        ..BLANK
    },
    Step {
        name: "tsc dashboard",
        groups: &[Group::Lint],
        needs: &[Need::NodeModules],
        program: Program::Npm("tsc"),
        arguments: &["--project", "dashboard"],
        ..BLANK
    },
    Step {
        name: "clippy",
        groups: &[Group::Lint],
        needs: &[Need::CargoComponent("clippy", "clippy")],
        arguments: &["clippy", "--workspace", "--all-targets", "--locked", "--", "-Dwarnings"],
        ..BLANK
    },
    Step {
        name: "rustdoc",
        groups: &[Group::Lint],
        arguments: &["doc", "--workspace", "--no-deps", "--locked"],
        environment: &[("RUSTDOCFLAGS", "-Dwarnings")],
        ..BLANK
    },
    Step {
        // First, because the server embeds it.
        name: "dashboard",
        groups: &[Group::Web],
        needs: &[Need::NodeModules],
        program: Program::Npm("vite"),
        arguments: &["build", "dashboard"],
        ..BLANK
    },
    Step {
        name: "build",
        groups: &[Group::Rust, Group::Web],
        arguments: &["build", "--workspace", "--locked"],
        ..BLANK
    },
    Step {
        name: "cargo test",
        groups: &[Group::Rust],
        needs: &[Need::Nginx, Need::Strace],
        arguments: &["test", "--workspace", "--locked", "--no-fail-fast"],
        counts: Some(Runner::Cargo),
        ..BLANK
    },
    Step {
        // What a user can notice is the same when the HTTP library has the streams' sockets. With the
        // whole workspace, as before: one package alone has other features, and builds all anew.
        name: "on hyper",
        groups: &[Group::Rust],
        arguments: &[
            "test",
            "--workspace",
            "--locked",
            "--no-fail-fast",
            "--test",
            "server",
            "--",
            "race::",
            "streaming::",
            "polling::",
            "lifecycle::",
            "protocols::",
            "revocations::",
            "rates::",
        ],
        environment: &[("TEST_OWN_SOCKETS", "false")],
        counts: Some(Runner::Cargo),
        ..BLANK
    },
    Step {
        // Builds the package too, and holds it to its size.
        name: "package",
        groups: &[Group::Web],
        needs: &[Need::NodeModules],
        program: Program::Npm("vitest"),
        arguments: &["run", "--root", "packages/tidings"],
        counts: Some(Runner::Vitest),
        ..BLANK
    },
    Step {
        name: "dashboard's rules",
        groups: &[Group::Web],
        needs: &[Need::NodeModules],
        program: Program::Npm("vitest"),
        arguments: &["run", "--root", "dashboard"],
        counts: Some(Runner::Vitest),
        ..BLANK
    },
    Step {
        name: "e2e",
        groups: &[Group::Web],
        needs: &[Need::NodeModules, Need::Chromium, Need::Curl],
        program: Program::Npm("vitest"),
        arguments: &["run", "--root", "e2e"],
        counts: Some(Runner::Vitest),
        ..BLANK
    },
];

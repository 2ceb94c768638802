//! What `cargo xtask test` does, as one table in the order it is done: cheap checks first, so that
//! a slip shows in seconds. Knows what to run, not how; `test` runs it.
//!
//! Tests turn on features of a few dependencies (tokio, libc), and what is built without these shares
//! next to nothing with what is built with them, the C of the cryptography included. Cargo turns them on
//! for examples too, so every step that builds asks for `--examples`, though there are none.

use crate::count::Runner;
use crate::needs::Need;

/// The parts of the table that can be asked for alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Lint,
    Rust,
    Web,
    /// The feature `otlp`: minutes of compiling that few changes need.
    Traces,
}

impl Group {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "lint" => Self::Lint,
            "rust" => Self::Rust,
            "web" => Self::Web,
            "traces" => Self::Traces,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lint => "lint",
            Self::Rust => "rust",
            Self::Web => "web",
            Self::Traces => "traces",
        }
    }

    /// Whether it is also run when no group is asked for.
    pub(crate) fn is_in_every_run(self) -> bool {
        match self {
            Self::Lint | Self::Rust | Self::Web => true,
            Self::Traces => false,
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
        // The libraries and the programs of another name than theirs, as without a choice.
        arguments: &[
            "doc",
            "--workspace",
            "--no-deps",
            "--locked",
            "--lib",
            "--bin=tidings",
            "--bin=xtask",
            "--examples",
        ],
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
        arguments: &["build", "--workspace", "--locked", "--lib", "--bins", "--examples"],
        ..BLANK
    },
    Step {
        name: "cargo test",
        groups: &[Group::Rust],
        needs: &[Need::Nginx, Need::Redis],
        arguments: &["test", "--workspace", "--locked", "--no-fail-fast"],
        counts: Some(Runner::Cargo),
        ..BLANK
    },
    Step {
        // What a user can notice is the same when the HTTP library has the streams' sockets. Asked of
        // the workspace, as above: one package alone could come to have other features.
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
    Step {
        name: "clippy traces",
        groups: &[Group::Traces],
        needs: &[Need::CargoComponent("clippy", "clippy")],
        arguments: &[
            "clippy",
            "-p",
            "tidings-server",
            "--features",
            "otlp",
            "--all-targets",
            "--locked",
            "--",
            "-Dwarnings",
        ],
        ..BLANK
    },
    Step {
        name: "traces",
        groups: &[Group::Traces],
        arguments: &[
            "test",
            "-p",
            "tidings-server",
            "--features",
            "otlp",
            "--locked",
            "--no-fail-fast",
            "--lib",
            "--test",
            "server",
            "--",
            "traces",
        ],
        counts: Some(Runner::Cargo),
        ..BLANK
    },
];

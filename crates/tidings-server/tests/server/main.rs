//! All tests of the running server, as one program: it is built and linked once. Each module is one
//! thing a user can notice, and is run alone by its name, as in `--test server admin::`; `support` is
//! what they share.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![allow(clippy::print_stdout, reason = "a failed test shows what it printed")]
#![allow(unreachable_pub, reason = "what the tests share is public in its file")]

mod addresses;
mod admin;
mod alerts;
mod bad_requests;
mod command_line;
mod credentials;
mod doctor;
mod grants;
mod lifecycle;
mod limits;
mod metrics;
mod nats;
mod nginx;
mod origins;
mod overload;
mod polling;
mod protocols;
mod publishing;
mod race;
mod rates;
mod redis;
mod revocations;
mod secrets;
mod sessions;
mod streaming;
mod support;
#[cfg(feature = "otlp")]
mod traces;

//! All tests of the client from outside, as one program: it is built and linked once. A module is run
//! alone by its name, as in `--test client subscribe::`; `support` is the hub they talk to.

#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod publish;
mod subscribe;
mod support;
mod vectors;

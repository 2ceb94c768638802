//! All tests of the core from outside, as one program: it is built and linked once. A module is run
//! alone by its name, as in `--test hub model::`; `naive` is what some of them compare with.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a failed test shows its seed")]

mod cost;
mod injection;
mod lifetimes;
mod listing;
mod model;
mod naive;
mod patterns;
mod vectors;

//! What holds where several nodes share a Redis, and what it survives: always a real one.

mod faults;
mod load;
mod places;
mod shared_state;
mod sharing;

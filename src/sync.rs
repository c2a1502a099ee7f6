//! Which locks and atomics does the crate use? Those of the standard library. In tests with
//! `RUSTFLAGS="--cfg shuttle"` those of [shuttle](https://docs.rs/shuttle), which runs threads
//! in many different orders: `cargo test --lib shuttle`.

#[cfg(all(test, shuttle, feature = "memory"))]
pub(crate) use shuttle::sync::MutexGuard;
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::{Mutex, atomic::AtomicBool};
#[cfg(all(not(all(test, shuttle)), feature = "memory"))]
pub(crate) use std::sync::MutexGuard;
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::{Mutex, atomic::AtomicBool};

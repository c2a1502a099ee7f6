//! For how long a response may be kept, and what caches make of it.

mod caches;
mod responses;

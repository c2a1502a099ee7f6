//! What the RFCs ask of a server, and what other servers of static files promise.

mod differential;
mod oracle;
mod peers;

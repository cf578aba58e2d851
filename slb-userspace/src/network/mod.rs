//! The daemon's view of the host's network: interfaces, the next hop of every backend, and the
//! VIPs that it puts on the host.
//!
//! Everything here is about the network namespace of the thread that starts it. What is decided
//! (`resolve`, the plan of `vips`, the tables of `links` and `neighbours`) is pure; `follow`
//! and [`vips::sync`] speak with the kernel.

pub mod addresses;
mod follow;
pub mod links;
pub mod neighbours;
mod news;
mod next_hops;
pub mod own;
mod resolve;
mod routes;
pub mod vips;

pub use self::{
    next_hops::{ClientHopChange, HopChange, Resolver},
    resolve::Unresolved,
};

/// Why the kernel could not be asked or did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An interface that the configuration names is not there.
    #[error("no interface is called `{name}`")]
    NoInterface {
        /// What was written.
        name: String,
    },
    /// No interface to put VIPs on.
    #[error("no dataplane interface is given, so there is none to put VIPs on")]
    NoDataplaneInterface,
    /// The kernel refused a request, or the socket failed.
    #[error("could not {action}: {source}")]
    Netlink {
        /// What was asked, as a verb phrase.
        action: String,
        /// What the kernel answered.
        source: rtnetlink::Error,
    },
    /// No netlink socket could be opened.
    #[error("could not open a netlink socket: {0}")]
    Socket(#[from] std::io::Error),
}

impl Error {
    fn of(action: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Self {
        let action = action.into();
        |source| Self::Netlink { action, source }
    }
}

/// Opens a netlink connection for requests; it ends with its last handle.
pub fn connect() -> Result<rtnetlink::Handle, Error> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    Ok(handle)
}

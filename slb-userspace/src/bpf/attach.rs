//! XDP on interfaces, by links that are pinned and replaced atomically.

use aya::programs::{
    Xdp,
    links::{FdLink, PinnedLink},
    xdp::{XdpLink, XdpMode as Mode},
};

use super::{Error, pins::Pins};
use crate::config::model::XdpMode;

/// Attaches a program to an interface, or lets the link that an earlier daemon left run it.
///
/// # Errors
/// No such interface, another XDP program on it, or the driver refuses.
pub fn attach(program: &mut Xdp, interface: &str, mode: XdpMode, pins: &Pins) -> Result<(), Error> {
    let pin = pins.link(interface);
    if pin.exists() {
        if let Ok(link) = PinnedLink::from_pin(&pin)
            && let Ok(link) = XdpLink::try_from(FdLink::from(link))
            && program.attach_to_link(link).is_ok()
        {
            return Ok(());
        }
        // The interface went away and came back: the old link belongs to nobody.
        pins.remove(&pin)?;
    }
    let order: &[Mode] = match mode {
        XdpMode::Native => &[Mode::Driver],
        XdpMode::Generic => &[Mode::Skb],
        XdpMode::Auto => &[Mode::Driver, Mode::Skb],
    };
    let mut refused = String::new();
    for mode in order {
        let link = match program.attach(interface, *mode) {
            Ok(id) => {
                program.take_link(id).map_err(|error| failed(interface, error.to_string()))?
            }
            Err(error) => {
                refused = words(&error);
                continue;
            }
        };
        let link = FdLink::try_from(link).map_err(|error| failed(interface, error.to_string()))?;
        link.pin(&pin).map_err(|error| failed(interface, error.to_string()))?;
        return Ok(());
    }
    Err(failed(interface, refused))
}

/// An error with everything that caused it.
fn words(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", words(source)),
        None => error.to_string(),
    }
}

fn failed(interface: &str, error: String) -> Error {
    let hint = if error.contains("busy") || error.contains("EBUSY") {
        "another XDP program is attached: `ip link show` names it, `ip link set dev IF xdp off` \
         removes it"
    } else if error.contains("unknown network interface") {
        "`ip link` lists the interfaces; dataplane.interfaces names those that slbd attaches to"
    } else {
        "`xdp_mode = \"generic\"` runs on any interface, slowly; `slbd --preflight` says what the \
         driver can"
    };
    Error::Attach { interface: interface.to_owned(), error, hint }
}

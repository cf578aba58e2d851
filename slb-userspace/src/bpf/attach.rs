//! XDP on interfaces, by links that are pinned and replaced atomically.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use aya::programs::{
    Xdp,
    links::{FdLink, PinnedLink},
    xdp::{XdpLink, XdpMode as Mode},
};

use super::{Error, pins::Pins};
use crate::config::model::XdpMode;

/// How long the kernel may take to end a link whose pin is gone.
pub const LINK_ENDS: Duration = Duration::from_secs(2);

/// An interface as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its index; absent if there is none of that name.
    pub index: Option<u32>,
    /// How XDP runs on it; absent if none does.
    pub running: Option<XdpMode>,
}

/// Attaches a program to an interface, or lets the link that an earlier daemon left run it, if
/// that is on this very interface and in the wanted mode.
///
/// # Errors
/// No such interface, another XDP program on it, or the driver refuses.
pub fn attach(
    program: &mut Xdp,
    interface: Interface<'_>,
    mode: XdpMode,
    pins: &Pins,
) -> Result<(), Error> {
    let pin = pins.link(interface.name);
    if pin.exists() {
        if let Some(link) = adoptable(&pin, interface, mode)
            && program.attach_to_link(link).is_ok()
        {
            return Ok(());
        }
        // The link is of an interface that went away, or in a mode that is not wanted any more.
        pins.remove(&pin)?;
        return attach_once_free(program, interface.name, mode, &pin);
    }
    attach_anew(program, interface.name, mode, &pin)
}

/// Attaches where a link has just been removed: the kernel ends it a moment after its pin.
fn attach_once_free(
    program: &mut Xdp,
    interface: &str,
    mode: XdpMode,
    pin: &Path,
) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        let outcome = attach_anew(program, interface, mode, pin);
        if outcome.is_ok() || begun.elapsed() > LINK_ENDS {
            return outcome;
        }
        thread::sleep(LINK_ENDS / 100);
    }
}

/// The pinned link, if the program may run by it.
fn adoptable(pin: &Path, interface: Interface<'_>, mode: XdpMode) -> Option<XdpLink> {
    let link = FdLink::from(PinnedLink::from_pin(pin).ok()?);
    let index = index_of(link.info().ok()?.id())?;
    (fits(interface, index, mode)).then(|| XdpLink::try_from(link).ok()).flatten()
}

/// True if a link on the interface `index` is what is wanted.
fn fits(interface: Interface<'_>, index: u32, mode: XdpMode) -> bool {
    // A mode that was chosen automatically stays: to try for another would cost packets.
    interface.index == Some(index) && (mode == XdpMode::Auto || interface.running == Some(mode))
}

/// The interface of a link that this process has open; 0 if the interface is gone.
fn index_of(link: u32) -> Option<u32> {
    let open = fs::read_dir("/proc/self/fdinfo").ok()?.filter_map(Result::ok);
    let mut told = open.filter_map(|file| fs::read_to_string(file.path()).ok());
    told.find_map(|text| index_told(&text, link))
}

/// What the kernel tells of an open file, if that is this link: its interface.
fn index_told(text: &str, link: u32) -> Option<u32> {
    let number = |name: &str| -> Option<u32> {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        values.next()?.trim().parse().ok()
    };
    if number("link_id") == Some(link) { number("ifindex") } else { None }
}

fn attach_anew(program: &mut Xdp, interface: &str, mode: XdpMode, pin: &Path) -> Result<(), Error> {
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
        link.pin(pin).map_err(|error| failed(interface, error.to_string()))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const ETH0: Interface<'static> =
        Interface { name: "eth0", index: Some(7), running: Some(XdpMode::Native) };

    #[test]
    fn a_link_of_an_interface_that_went_away_does_not_fit_the_one_that_has_its_name_now() {
        assert!(fits(ETH0, 7, XdpMode::Native));
        assert!(!fits(ETH0, 0, XdpMode::Native) && !fits(ETH0, 8, XdpMode::Auto));
        assert!(!fits(Interface { index: None, ..ETH0 }, 0, XdpMode::Auto));
    }

    #[test]
    fn a_link_in_another_mode_than_the_configured_does_not_fit() {
        assert!(!fits(ETH0, 7, XdpMode::Generic));
        assert!(fits(ETH0, 7, XdpMode::Auto));
    }

    #[test]
    fn the_interface_of_a_link_is_read_from_what_the_kernel_tells_of_it() {
        let text = "pos:\t0\nflags:\t02\nlink_type:\txdp\nlink_id:\t31\nprog_tag:\t5f\n\
                    prog_id:\t88\nifindex:\t7\n";
        assert_eq!(index_told(text, 31), Some(7));
        assert_eq!(index_told(text, 3), None);
        assert_eq!(index_told("pos:\t0\nflags:\t02\n", 31), None);
    }
}

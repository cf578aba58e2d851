//! What a listener wants of its packets, as numbers: forwarding mode, MSS, timestamps.

use slb_common::service::{SERVICE_STRIP_TIMESTAMPS, mode};

use super::desired::DesiredBackend;
use crate::config::model::{Family, ForwardingMode, Listener, MssClamp, Protocol, TcpTimestamps};

/// The number of a forwarding mode.
pub(super) const fn mode(mode: ForwardingMode) -> u8 {
    match mode {
        ForwardingMode::Nat => mode::NAT,
        ForwardingMode::Dr => mode::DIRECT,
        ForwardingMode::Tunnel => mode::TUNNEL,
        ForwardingMode::FullNat => mode::FULL_NAT,
    }
}

/// Bits of what happens to timestamps.
pub(super) fn flags(listener: &Listener) -> u32 {
    let strip = match listener.tcp_timestamps {
        TcpTimestamps::Keep => false,
        TcpTimestamps::Strip => true,
        TcpTimestamps::Auto => listener.mode == ForwardingMode::FullNat,
    };
    if strip && listener.protocol == Protocol::Tcp { SERVICE_STRIP_TIMESTAMPS } else { 0 }
}

/// The greatest MSS that SYNs may announce; 0: any. In a tunnel it is what fits the narrowest
/// known way to a backend, the outer header included.
pub(super) fn mss(listener: &Listener, family: Family, backends: &[DesiredBackend]) -> u16 {
    match listener.mss_clamp {
        MssClamp::Off => 0,
        MssClamp::Value(value) => value,
        MssClamp::Auto => {
            let room = backends.iter().filter_map(|backend| {
                let mtu = backend.hop.map(|hop| hop.mtu).filter(|mtu| *mtu != 0)?;
                let outer = network_header(Family::of(backend.endpoint.ip()));
                mtu.checked_sub(outer + network_header(family) + TCP_HEADER)
            });
            room.min().unwrap_or(0)
        }
    }
}

const TCP_HEADER: u16 = 20;

const fn network_header(family: Family) -> u16 {
    match family {
        Family::V4 => 20,
        Family::V6 => 40,
    }
}

#[cfg(test)]
mod tests {
    use slb_common::next_hop::NextHop;

    use super::*;
    use crate::health::Health;

    fn listener(settings: &str) -> Listener {
        let text = format!(
            "[dataplane]\ninterfaces = [\"eth0\"]\nlocal_addresses = [\"100.64.0.0/28\"]\n\
             [[instance]]\nname = \"a\"\nvips = [\"192.0.2.1\"]\n\
             [[instance.listener]]\nprotocol = \"tcp\"\nport = 80\n{settings}\n\
             backends = [{{ address = \"10.0.0.1\", port = 80 }}]\n"
        );
        let config = crate::config::load_str("test.toml", &text).expect("sound").config;
        config.instances[0].listeners[0].clone()
    }

    #[test]
    fn timestamps_are_stripped_in_fullnat_alone_unless_the_listener_says_so() {
        for (settings, stripped) in [
            ("mode = \"fullnat\"", true),
            ("mode = \"nat\"", false),
            ("mode = \"fullnat\"\ntcp_timestamps = \"keep\"", false),
            ("mode = \"nat\"\ntcp_timestamps = \"strip\"", true),
        ] {
            assert_eq!(flags(&listener(settings)) != 0, stripped, "{settings}");
        }
    }

    #[test]
    fn a_tunnels_mss_fits_the_narrowest_known_way() {
        let backend = |address: &str, mtu| DesiredBackend {
            endpoint: address.parse().unwrap(),
            maps_ports: false,
            weight: 1,
            usable: true,
            health: Health::Healthy,
            hop: Some(NextHop { mtu, ..NextHop::default() }),
            server_id: None,
            limits: slb_common::service::Limits::default(),
            share: 1,
        };
        let tunnel = listener("mode = \"tunnel\"");
        let of = |backends: &[DesiredBackend]| mss(&tunnel, Family::V4, backends);
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[backend("10.0.0.1:80", 0)]), 0);
        assert_eq!(of(&[backend("10.0.0.1:80", 1500), backend("10.0.0.2:80", 0)]), 1440);
        assert_eq!(of(&[backend("10.0.0.1:80", 1500), backend("[fd00::1]:80", 1500)]), 1420);
        let fixed = listener("mode = \"nat\"\nmss_clamp = 1300");
        assert_eq!(mss(&fixed, Family::V4, &[backend("10.0.0.1:80", 1500)]), 1300);
    }
}

//! Where outer headers of tunnels come from, as `SETTINGS` says it.

use slb_common::vip::{Settings, TunnelSource};

use super::kernel::Kernel;

impl Kernel {
    /// Says where outer headers of tunnels come from, IPv4 and IPv6.
    pub fn set_tunnel_sources(&mut self, [v4, v6]: [TunnelSource; 2]) {
        let settings = self.settings.get(0);
        let wanted = Settings { tunnel_v4: v4, tunnel_v6: v6, ..settings };
        if settings != wanted {
            self.settings.set(0, &wanted);
        }
    }
}

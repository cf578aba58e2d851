//! What a listener does with packets that it has no connection or no backend for.

use slb_common::service::{SERVICE_ADOPT, SERVICE_SILENT};

use crate::config::model::{Listener, NoBackend, Protocol};

/// The bits of its service.
pub(super) fn flags(listener: &Listener) -> u32 {
    let silent = match listener.no_backend {
        NoBackend::Reset => 0,
        NoBackend::Drop => SERVICE_SILENT,
    };
    // A datagram opens its flow anyway.
    let adopts = listener.adopt && listener.protocol == Protocol::Tcp;
    let adopt = if adopts { SERVICE_ADOPT } else { 0 };
    silent | adopt
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags_of(keys: &str) -> u32 {
        let text = format!(
            "[dataplane]\ninterfaces = [\"eth0\"]\n[[instance]]\nname = \"a\"\nvips = \
             [\"192.0.2.1\"]\n[[instance.listener]]\nprotocol = \"tcp\"\nport = 80\n{keys}\n\
             backends = [{{ address = \"10.0.0.1\", port = 80 }}]\n"
        );
        let config = crate::config::load_str("test.toml", &text).expect("sound").config;
        flags(&config.instances[0].listeners[0])
    }

    #[test]
    fn no_backend_and_adopt_become_flags() {
        assert_eq!(flags_of("no_backend = \"reset\""), 0);
        assert_eq!(flags_of("no_backend = \"drop\""), SERVICE_SILENT);
        assert_eq!(flags_of("adopt = true"), SERVICE_ADOPT);
        assert_eq!(flags_of("scheduler = \"sh\""), SERVICE_ADOPT);
        assert_eq!(flags_of("scheduler = \"sh\"\nadopt = false"), 0);
    }
}

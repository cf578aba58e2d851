//! Settings of several values as an operator says them.

mod layer4;

use std::fmt;

use super::{CheckKind, HealthCheck, Timeouts};

/// Classes of HTTP status: `2xx`, `2xx or 3xx`, `2xx, 3xx or 4xx`.
pub fn status_classes(classes: &[u16]) -> String {
    let classes: Vec<String> = classes.iter().map(|class| format!("{class}xx")).collect();
    match classes.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
    }
}

impl fmt::Display for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            CheckKind::Tcp => f.write_str("TCP handshake")?,
            CheckKind::Http(http) => {
                write!(f, "HTTP {} {}", http.method, http.path)?;
                if !http.domain.is_empty() {
                    write!(f, " of {}", http.domain)?;
                }
            }
        }
        if let Some(port) = self.port {
            write!(f, " on port {port}")?;
        }
        let (interval, timeout) = (self.interval.as_secs_f64(), self.timeout.as_secs_f64());
        let (healthy, unhealthy) = (self.healthy, self.unhealthy);
        write!(f, " every {interval} s, time-out {timeout} s, {healthy} up / {unhealthy} down")?;
        match &self.kind {
            CheckKind::Tcp => Ok(()),
            CheckKind::Http(http) => write!(f, ", wants {}", status_classes(&http.codes)),
        }
    }
}

impl fmt::Display for Timeouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [established, syn, fin, time_wait] =
            [self.established, self.syn, self.fin, self.time_wait].map(|time| time.as_secs_f64());
        write!(f, "established {established} s, SYN {syn} s, FIN {fin} s, TIME-WAIT {time_wait} s")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::model::{HttpCheck, HttpMethod};

    fn tcp() -> HealthCheck {
        HealthCheck {
            kind: CheckKind::Tcp,
            interval: Duration::from_secs(2),
            timeout: Duration::from_millis(1500),
            healthy: 3,
            unhealthy: 4,
            port: None,
        }
    }

    #[test]
    fn a_health_check_is_said_in_words() {
        assert_eq!(tcp().to_string(), "TCP handshake every 2 s, time-out 1.5 s, 3 up / 4 down");
        let kind = CheckKind::Http(HttpCheck {
            method: HttpMethod::Head,
            path: "/healthz".to_owned(),
            domain: "shop.example".to_owned(),
            codes: vec![2, 3],
        });
        assert_eq!(
            HealthCheck { kind, port: Some(9000), ..tcp() }.to_string(),
            "HTTP HEAD /healthz of shop.example on port 9000 every 2 s, time-out 1.5 s, \
             3 up / 4 down, wants 2xx or 3xx"
        );
    }

    #[test]
    fn timeouts_are_said_by_state() {
        let [established, syn, fin, time_wait] = [900, 30, 60, 61].map(Duration::from_secs);
        assert_eq!(
            Timeouts { established, syn, fin, time_wait }.to_string(),
            "established 900 s, SYN 30 s, FIN 60 s, TIME-WAIT 61 s"
        );
    }
}

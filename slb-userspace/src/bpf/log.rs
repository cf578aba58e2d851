//! The XDP program's own log: a line for every packet that is not forwarded. It exists in debug
//! builds only, and is off unless `SLB_LOG` asks for `ebpf=debug`.

use std::time::Duration;

use aya_log::EbpfLogger;

use super::load::Object;

/// How often its ring buffer is read.
const INTERVAL: Duration = Duration::from_millis(200);

/// How much the program shall log: nothing, or all that it has to say.
pub(super) fn level() -> u8 {
    if wanted() { aya_log::Level::Debug as u8 } else { 0 }
}

fn wanted() -> bool {
    cfg!(debug_assertions) && tracing::enabled!(target: "ebpf", tracing::Level::DEBUG)
}

/// Passes the program's lines on to the daemon's log, as long as the runtime lives.
pub fn follow(object: &mut Object) {
    if !wanted() {
        return;
    }
    match EbpfLogger::init(object.ebpf()) {
        Ok(mut logger) => drop(tokio::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                logger.flush();
            }
        })),
        Err(error) => tracing::warn!("the XDP program's log cannot be read: {error}"),
    }
}

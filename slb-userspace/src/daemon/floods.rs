//! SYN floods: the keys of cookies, and telling of VIPs that are under one.

use std::{
    collections::BTreeSet,
    time::{SystemTime, UNIX_EPOCH},
};

use super::state::State;
use crate::{
    bpf,
    config::model::Config,
    cookies::{Error, Secret},
    maps::Kernel,
};

/// The secret that keys are made of: the file's, else that of an earlier daemon, else a new one.
pub(super) fn secret(config: &Config, kernel: &Kernel) -> anyhow::Result<Secret> {
    if let Some(file) = &config.dataplane.cookie_key_file {
        return Secret::read(file).map_err(|error| {
            let (file, hint) = (file.display(), Error::HINT);
            anyhow::anyhow!("dataplane.cookie_key_file {file} {error}\nhint: {hint}")
        });
    }
    let former = kernel.cookie_keys().secret;
    if former != [0; 2] {
        return Ok(Secret(former));
    }
    Ok(Secret(bpf::pins::random()?))
}

/// Gives the program the keys of this time.
pub(super) fn renew_keys(secret: &Secret, kernel: &Kernel) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let keys = secret.keys(now.as_secs());
    if kernel.cookie_keys() != keys {
        kernel.set_cookie_keys(&keys);
    }
}

impl State {
    /// The same, every second.
    pub(super) fn renew_cookie_keys(&self) {
        renew_keys(&self.secret, self.reconciler.kernel());
    }

    /// Tells of VIPs whose defence has begun or ended.
    pub(super) fn look_for_floods(&mut self) {
        let kernel = self.reconciler.kernel();
        let mut flooded = BTreeSet::new();
        for instance in &self.config.instances {
            for (vip, half_open) in kernel.flooded(&instance.vips) {
                flooded.insert(vip);
                if !self.flooded.contains(&vip) {
                    let instance = &instance.name;
                    tracing::warn!(%vip, instance, half_open, "SYN flood: SYNs are answered by cookies");
                }
            }
        }
        for vip in self.flooded.difference(&flooded) {
            tracing::info!(%vip, "the SYN flood is over");
        }
        self.flooded = flooded;
    }
}

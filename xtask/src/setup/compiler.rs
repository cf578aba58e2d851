//! The compiler of the eBPF object: Debian's where root can install it, rustup's nightly elsewhere.

use super::packages;
use super::step::{self, Outcome};
use crate::toolchain;

const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Makes sure of one.
pub(crate) fn ensure() -> Outcome {
    if !toolchain::compilers().is_empty() {
        return Outcome::There;
    }
    let mut advice = Vec::new();
    if packages::are_installable() {
        // Debian's releases have carried older ones, which install but cannot compile this.
        if !has_new_enough_candidate() && packages::update().is_ok() && !has_new_enough_candidate()
        {
            advice.push(format!(
                "Debian's rustc-web here is older than {}.{}",
                toolchain::OLDEST_RUST.0,
                toolchain::OLDEST_RUST.1
            ));
        } else if let Outcome::Failed(reason) = packages::install(&DEBIAN_PACKAGES) {
            advice.push(reason);
        }
    }
    if toolchain::compilers().is_empty() && packages::is_on_path("rustup") {
        let mut install = step::limited("rustup", 300);
        install.args(["toolchain", "install", "nightly", "--profile", "minimal"]);
        if let Outcome::Failed(reason) = step::install(install.args(["--component", "rust-src"])) {
            advice.push(reason);
        }
    }
    if !toolchain::compilers().is_empty() {
        return Outcome::Installed;
    }
    Outcome::Failed(by_hand(&advice))
}

fn has_new_enough_candidate() -> bool {
    packages::candidate("rustc-web").is_some_and(|version| version >= toolchain::OLDEST_RUST)
}

fn by_hand(tried: &[String]) -> String {
    let mut advice = format!(
        "`rustup toolchain install nightly --component rust-src`, or on Debian as root \
         `apt-get install --no-install-recommends {}`",
        DEBIAN_PACKAGES.join(" ")
    );
    for reason in tried {
        advice.push_str("\n    tried: ");
        advice.push_str(reason);
    }
    advice
}

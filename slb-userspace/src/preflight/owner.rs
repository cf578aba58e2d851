//! Whose an attached XDP program is.

use std::path::Path;

use aya::programs::loaded_programs;

use crate::bpf::pins::Pins;

/// The data plane's program, as the kernel knows it.
const NAME: &str = "slb";

/// Who attached a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A daemon with this configuration.
    Slb,
    /// Something else.
    Another,
    /// The kernel does not tell this process.
    Unknown,
}

/// The owner of the program of that id on an interface.
pub(super) fn of(program: u32, interface: &str, pin_dir: &Path) -> Owner {
    let pinned = Pins::new(pin_dir).link(interface).exists();
    let mut name = None;
    for loaded in loaded_programs() {
        match loaded {
            Ok(loaded) if loaded.id() == program => {
                name = loaded.name_as_str().map(str::to_owned);
            }
            Ok(_) => {}
            Err(_) => return Owner::Unknown,
        }
    }
    decide(name.as_deref(), pinned)
}

/// Ours has our name, and its link is pinned.
fn decide(name: Option<&str>, pinned: bool) -> Owner {
    match name {
        None => Owner::Unknown,
        Some(NAME) if pinned => Owner::Slb,
        Some(_) => Owner::Another,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_ours_only_by_its_name_and_the_pin_of_its_link() {
        assert_eq!(decide(Some("slb"), true), Owner::Slb);
        assert_eq!(decide(Some("slb"), false), Owner::Another);
        assert_eq!(decide(Some("xdp_pass"), true), Owner::Another);
        assert_eq!(decide(None, true), Owner::Unknown);
    }
}

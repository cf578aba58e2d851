//! Which offloads of an interface are on.

use std::{collections::HashSet, io};

use rtnetlink::packet_core::{DefaultNla, Emitable, NLA_F_NESTED};

use super::netlink::{Family, attribute, each};

/// Names of the offloads that are on, in the kernel's words: `rx-lro`, `rx-vlan-hw-parse`.
pub(super) fn offloads(interface: &str) -> io::Result<HashSet<String>> {
    const FEATURES_GET: u8 = 11;
    const HEADER: u16 = 1;
    const HEADER_NAME: u16 = 2;
    const ACTIVE: u16 = 4;
    let name = [interface.as_bytes(), b"\0"].concat();
    let name = [DefaultNla::new(HEADER_NAME, name)];
    let mut header = vec![0; name.as_slice().buffer_len()];
    name.as_slice().emit(&mut header);
    let header = DefaultNla::new(HEADER | NLA_F_NESTED, header);
    let answer = Family::open("ethtool")?.ask(FEATURES_GET, &[header])?;
    let active = attribute(&answer, ACTIVE);
    Ok(names(&active.ok_or_else(|| io::Error::other("the answer has no active features"))?))
}

/// The names in a bit set of which only the set bits are told.
fn names(bit_set: &[u8]) -> HashSet<String> {
    const BITS: u16 = 3;
    const BIT: u16 = 1;
    const BIT_NAME: u16 = 2;
    let bits = attribute(bit_set, BITS).unwrap_or_default();
    let name = |bit: Vec<u8>| {
        let name = attribute(&bit, BIT_NAME)?;
        String::from_utf8(name).ok().map(|name| name.trim_end_matches('\0').to_string())
    };
    each(&bits).filter(|(kind, _)| *kind == BIT).filter_map(|(_, bit)| name(bit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_set_bits_are_read() {
        // As the kernel sends it for an interface: no mask, 64 bits, two of them set.
        let bit_set = [
            &[4, 0, 1, 0, 8, 0, 2, 0, 64, 0, 0, 0, 64, 0, 3, 0x80, 36, 0, 1, 0x80][..],
            &[8, 0, 1, 0, 0, 0, 0, 0, 22, 0, 2, 0],
            b"tx-scatter-gather\0\0\0",
            &[24, 0, 1, 0x80, 8, 0, 1, 0, 15, 0, 0, 0, 11, 0, 2, 0],
            b"rx-lro\0\0",
        ]
        .concat();
        let wanted = ["tx-scatter-gather", "rx-lro"].map(String::from);
        assert_eq!(names(&bit_set), wanted.into());
        assert!(names(&[]).is_empty());
    }
}

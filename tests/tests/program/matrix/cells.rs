//! The cells: every mode, family and protocol, and everything that may come of a connection.

use std::fmt;

use slb_userspace::config::model::{Family, Protocol};

use crate::cases::{CASES, Case};

/// How packets get to a backend. Tunnels carry each family in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Nat,
    Direct,
    /// In packets of this family.
    Tunnel(Family),
    FullNat,
}

impl Mode {
    pub(crate) const ALL: [Self; 5] = [
        Self::Nat,
        Self::Direct,
        Self::Tunnel(Family::V4),
        Self::Tunnel(Family::V6),
        Self::FullNat,
    ];
}

/// What comes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    FirstPacket,
    Established,
    Fin,
    Rst,
    /// About a reply, from a router before the client to the VIP.
    IcmpToVip,
    /// About a request, from the backend or a router before it.
    IcmpToClient,
    Fragments,
    OneTag,
    TwoTags,
    /// IPv4 options, IPv6 extension headers.
    Options,
}

impl Column {
    pub(super) const ALL: [Self; 10] = [
        Self::FirstPacket,
        Self::Established,
        Self::Fin,
        Self::Rst,
        Self::IcmpToVip,
        Self::IcmpToClient,
        Self::Fragments,
        Self::OneTag,
        Self::TwoTags,
        Self::Options,
    ];

    /// False where the protocol has no such thing.
    fn applies(self, protocol: Protocol) -> bool {
        protocol == Protocol::Tcp || !matches!(self, Self::Fin | Self::Rst)
    }
}

/// A mode, a family and a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) mode: Mode,
    pub(crate) case: Case,
}

/// A row and what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) row: Row,
    pub(super) column: Column,
}

impl fmt::Display for Cell {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { mode, case } = self.row;
        write!(to, "{mode:?} × {:?} × {:?} × {:?}", case.family, case.protocol, self.column)
    }
}

/// Every family and protocol in some modes.
pub(crate) fn rows_of(modes: &[Mode]) -> impl Iterator<Item = Row> {
    modes.iter().flat_map(|mode| CASES.map(|case| Row { mode: *mode, case }))
}

/// Every cell of some modes.
pub(super) fn cells_of(modes: &[Mode]) -> impl Iterator<Item = Cell> {
    rows_of(modes)
        .flat_map(|row| Column::ALL.map(|column| Cell { row, column }))
        .filter(|cell| cell.column.applies(cell.row.case.protocol))
}

//! What programs need to know whose replies they see where no entry says it: those of backends to
//! datagrams that were scheduled one by one.

use std::collections::BTreeMap;

use slb_common::one_packet::{Reply, ReplyKey};
use zerocopy::transmute;

use super::{contents, kernel::Kernel};
use crate::bpf::Error;

impl Kernel {
    /// Says which backends' replies belong to datagrams without entry. Programs look at the slot,
    /// too: no order of writes matters.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_replies(&mut self, wanted: &BTreeMap<ReplyKey, Reply>) -> Result<(), Error> {
        let wanted = wanted.iter().map(|(key, reply)| (transmute!(*key), transmute!(*reply)));
        contents::bring("ONE_PACKET_REPLIES", &mut self.replies, &wanted.collect())
    }
}

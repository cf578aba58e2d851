//! The sweep: ends entries whose time is over and lowers what searches need to look at. It reads
//! the tables through the mapping and changes them only by the program `table_batch`.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use aya::programs::TestRunOptions;
use slb_common::{
    connection::{
        BUCKETS_ALWAYS, BUCKETS_PER_CLIENT, Control, Seen, WAYS,
        batch::{CUT, EXPIRE, HEADER, LENGTH, LOWER_REACH, Operation},
        expired,
    },
    hash::{Hash, Seed},
    service::Timeouts,
};
use zerocopy::IntoBytes;

use crate::{
    bpf::{Error, load::Object},
    config::model::Family,
    maps::{Kernel, table::tick},
};

/// From the start of one sweep to the start of the next.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Live entries that were met.
    pub live: u64,
    /// Entries that it ended.
    pub ended: u64,
}

/// Ends every expired entry of a family; the next hops to clients of all that it meets go into
/// `client_hops`.
///
/// # Errors
/// The kernel refused a batch.
pub fn sweep(
    object: &mut Object,
    kernel: &Kernel,
    family: Family,
    client_hops: &mut HashSet<u16>,
) -> Result<Swept, Error> {
    let now = tick();
    let (mut swept, mut operations) = (Swept::default(), Vec::new());
    // Services are few and lines many: each service is read once.
    let mut timeouts = HashMap::new();
    kernel.table.scan(family, |line| {
        swept.live += 1;
        client_hops.insert(line.client_hop);
        let timeouts = timeouts.entry(line.service).or_insert_with(|| {
            let service = kernel.service(line.service);
            (service.flags & slb_common::service::SERVICE_PRESENT != 0).then_some(service.timeouts)
        });
        let over = |timeouts: Timeouts| expired(line.seen, now, timeouts.of(line.control.state()));
        if timeouts.is_none_or(over) {
            operations.push(operation(family, line.slot, line.control, EXPIRE));
        }
    });
    swept.ended = run(object, &operations)?;
    Ok(swept)
}

/// Ends entries that `doomed` names, live as they may be.
///
/// # Errors
/// The kernel refused a batch.
pub fn cut(
    object: &mut Object,
    kernel: &Kernel,
    family: Family,
    doomed: impl Fn(Seen, u16) -> bool,
) -> Result<u64, Error> {
    let mut operations = Vec::new();
    kernel.table.scan(family, |line| {
        if doomed(line.seen, line.service) {
            operations.push(operation(family, line.slot, line.control, CUT));
        }
    });
    run(object, &operations)
}

/// Lowers the reach of buckets whose further entries are gone. The bucket words are read before
/// the scan: a version that is still the same proves that nobody inserted since.
///
/// # Errors
/// The kernel refused a batch.
pub fn lower_reach(
    object: &mut Object,
    kernel: &Kernel,
    family: Family,
    seed: &Seed,
) -> Result<u64, Error> {
    let buckets = kernel.table.buckets(family);
    let reaching: Vec<_> = (0..buckets)
        .map(|bucket| (bucket, kernel.table.bucket_word(family, bucket)))
        .filter(|(_, word)| word.reach() > 0 && !word.locked())
        .collect();
    if reaching.is_empty() {
        return Ok(0);
    }
    let mut needed = HashMap::<u32, u32>::new();
    for line in kernel.table.lines(family) {
        let hash = client_hash(seed, &line);
        let number = number_of(hash, line.slot / WAYS, buckets - 1);
        let reach = (number + 1).saturating_sub(BUCKETS_ALWAYS);
        let entry = needed.entry(hash.bucket(0, buckets - 1)).or_default();
        *entry = reach.max(*entry);
    }
    let operations: Vec<Operation> = reaching
        .into_iter()
        .map(|(bucket, word)| (bucket, word, needed.get(&bucket).copied().unwrap_or(0)))
        .filter(|(_, word, needed)| *needed < word.reach())
        .map(|(bucket, word, needed)| Operation {
            slot: bucket,
            family: number(family),
            kind: LOWER_REACH,
            expected: word.0,
            value: u64::from(needed),
        })
        .collect();
    run(object, &operations)
}

/// Which of its client's buckets an entry lies in.
fn number_of(hash: Hash, bucket: u32, mask: u32) -> u32 {
    // The last one that fits: buckets of one client may coincide, and none may be forgotten.
    (0..BUCKETS_PER_CLIENT).rev().find(|number| hash.bucket(*number, mask) == bucket).unwrap_or(0)
}

fn client_hash(seed: &Seed, line: &crate::maps::table::Line) -> Hash {
    use slb_common::connection::endpoint;
    let (address, port) = (crate::maps::words::words(line.client.ip()), line.client.port());
    let (port, protocol) = (port.to_be_bytes(), u16::from(line.protocol));
    match line.family {
        Family::V4 => seed.hash(&endpoint::<1>(address, port, protocol)),
        Family::V6 => seed.hash(&endpoint::<3>(address, port, protocol)),
    }
}

const fn number(family: Family) -> u16 {
    match family {
        Family::V4 => 4,
        Family::V6 => 6,
    }
}

const fn operation(family: Family, slot: u32, control: Control, kind: u16) -> Operation {
    Operation { slot, family: number(family), kind, expected: control.0, value: 0 }
}

/// Runs operations in batches; returns how many were done.
fn run(object: &mut Object, operations: &[Operation]) -> Result<u64, Error> {
    let mut done = 0;
    for batch in operations.chunks(LENGTH) {
        let mut request = vec![0; HEADER];
        request.extend_from_slice(batch.as_bytes());
        // Past the operations the frame is zero: family 0, slot 0, expecting nothing.
        request.resize(HEADER + LENGTH * size_of::<Operation>(), 0);
        let mut options = TestRunOptions::new();
        options.data_in = Some(&request);
        done += u64::from(object.run("table_batch", options)?.return_value);
    }
    Ok(done)
}

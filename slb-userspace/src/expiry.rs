//! The sweep: ends entries whose time is over and lowers what searches need to look at. It reads
//! the tables through the mapping and changes them only by the program `table_batch`. Both ends of
//! a connection that ends so are told by resets.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use aya::programs::TestRunOptions;
use slb_common::{
    connection::{
        BUCKETS_ALWAYS, BUCKETS_PER_CLIENT, Control, WAYS,
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
    maps::{
        Kernel,
        table::{Glance, tick},
    },
    resets::{self, End, Frame},
};

/// From the start of one sweep to the start of the next.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// What a sweep or a cut did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Live entries that were met.
    pub live: u64,
    /// Entries that it ended.
    pub ended: u64,
    /// What tells the ends of the connections among them.
    pub resets: Vec<Frame>,
    /// Persistence templates that it deleted.
    pub templates: u64,
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
    end_all(object, kernel, &operations, End::Expired, &mut swept)?;
    Ok(swept)
}

/// Ends the entries that `doomed` names, live as they may be.
///
/// # Errors
/// The kernel refused a batch.
pub fn cut(
    object: &mut Object,
    kernel: &Kernel,
    family: Family,
    doomed: impl Fn(&Glance) -> bool,
) -> Result<Swept, Error> {
    let (mut swept, mut operations) = (Swept::default(), Vec::new());
    kernel.table.scan(family, |line| {
        swept.live += 1;
        if doomed(line) {
            operations.push(operation(family, line.slot, line.control, CUT));
        }
    });
    end_all(object, kernel, &operations, End::Cut, &mut swept)?;
    Ok(swept)
}

/// Ends entries and notes how their ends are told. What that takes is read before they end, and
/// thrown away where one has not ended: a packet has come in between.
fn end_all(
    object: &mut Object,
    kernel: &Kernel,
    operations: &[Operation],
    why: End,
    swept: &mut Swept,
) -> Result<(), Error> {
    for batch in operations.chunks(LENGTH) {
        let frames: Vec<Vec<Frame>> =
            batch.iter().map(|operation| frames(kernel, operation, why)).collect();
        let done = run(object, batch)?;
        swept.ended += u64::from(done.count_ones());
        for (number, frames) in frames.into_iter().enumerate() {
            if done >> number & 1 != 0 {
                swept.resets.extend(frames);
            }
        }
    }
    Ok(())
}

/// The resets of the entry that an operation would end.
fn frames(kernel: &Kernel, operation: &Operation, why: End) -> Vec<Frame> {
    let control = Control(operation.expected);
    if !resets::told(why, control) {
        return Vec::new();
    }
    let family = if operation.family == 4 { Family::V4 } else { Family::V6 };
    let line = kernel.table.line(family, operation.slot);
    line.filter(|line| line.control == control)
        .map_or_else(Vec::new, |line| resets::frames(kernel, &line))
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
            family: u16::from(family.number()),
            kind: LOWER_REACH,
            expected: word.0,
            value: u64::from(needed),
        })
        .collect();
    operations
        .chunks(LENGTH)
        .try_fold(0, |sum, batch| Ok(sum + u64::from(run(object, batch)?.count_ones())))
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

fn operation(family: Family, slot: u32, control: Control, kind: u16) -> Operation {
    Operation { slot, family: u16::from(family.number()), kind, expected: control.0, value: 0 }
}

/// Runs one batch; returns a bit for each operation that was done.
fn run(object: &mut Object, batch: &[Operation]) -> Result<u32, Error> {
    let mut request = vec![0; HEADER];
    request.extend_from_slice(batch.as_bytes());
    // Past the operations the frame is zero: family 0, slot 0, expecting nothing.
    request.resize(HEADER + LENGTH * size_of::<Operation>(), 0);
    let mut options = TestRunOptions::new();
    options.data_in = Some(&request);
    Ok(object.run("table_batch", options)?.return_value)
}

//! The sweep of persistence templates, and flushing them. The maps are read many elements at a
//! time; what changes them is the program `template_batch`.

use aya::programs::TestRunOptions;
use slb_common::template::{EXPIRE, FLUSH, HEADER, LENGTH, Life, Operation, Target};
use zerocopy::IntoBytes;

use crate::{
    bpf::{Error, load::Object},
    config::model::Family,
    maps::{Kernel, table::tick, templates::Found},
};

/// Calls for elements in one sweep of a family: the others' turn comes with the next sweeps.
const PARTS: usize = 16;

/// Where the sweep of each family goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    v4: Option<u32>,
    v6: Option<u32>,
}

impl Sweep {
    /// Deletes templates whose time is over; returns how many.
    ///
    /// # Errors
    /// The kernel's.
    pub fn go_on(&mut self, object: &mut Object, kernel: &Kernel) -> Result<u64, Error> {
        Ok(part(&mut self.v4, object, kernel, Family::V4)?
            + part(&mut self.v6, object, kernel, Family::V6)?)
    }
}

fn part(
    place: &mut Option<u32>,
    object: &mut Object,
    kernel: &Kernel,
    family: Family,
) -> Result<u64, Error> {
    let now = tick();
    let mut over = Vec::new();
    for _ in 0..PARTS {
        let (found, next) = kernel.templates.part(family, *place)?;
        over.extend(found.iter().filter(|one| is_over(one, now)).map(|one| operation(one, EXPIRE)));
        *place = next;
        if next.is_none() {
            break;
        }
    }
    run(object, &over)
}

/// True if a template may go: the program looks again.
fn is_over(template: &Found, now: u32) -> bool {
    let Found { life, target, .. } = template;
    let forgotten = life.connections() == 0 && target.slot() == Target::NOBODY;
    forgotten || life.connections() == Life::CLAIMED || life.expired(now, target.timeout())
}

/// Makes templates name no backend any more; returns how many did.
///
/// # Errors
/// The kernel's.
pub fn flush<'f>(
    object: &mut Object,
    templates: impl IntoIterator<Item = &'f Found>,
) -> Result<u64, Error> {
    let operations: Vec<_> = templates.into_iter().map(|one| operation(one, FLUSH)).collect();
    run(object, &operations)
}

fn operation(template: &Found, kind: u16) -> Operation {
    Operation { key: template.key, family: u16::from(template.family.number()), kind, reserved: 0 }
}

/// Runs operations in batches; returns how many changed something.
fn run(object: &mut Object, operations: &[Operation]) -> Result<u64, Error> {
    let mut done = 0;
    for batch in operations.chunks(LENGTH) {
        let mut request = vec![0; HEADER];
        request.extend_from_slice(batch.as_bytes());
        // Past the operations the frame is zero: family 0, no operation.
        request.resize(HEADER + LENGTH * size_of::<Operation>(), 0);
        let mut options = TestRunOptions::new();
        options.data_in = Some(&request);
        done += u64::from(object.run("template_batch", options)?.return_value);
    }
    Ok(done)
}

//! What everybody does who uses the benchmarks' object: its programs, its maps, and frames that are
//! really sent.

use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use aya::{
    Ebpf,
    maps::Map,
    programs::{TestRunAttrs, Xdp},
};
use slb_userspace::bpf::mapping::{Access, Mapping};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Frames that the kernel runs a program on at once, where it sends them.
const BATCH: u32 = 64;

/// A program of the object, loaded.
///
/// # Errors
/// No such program, or the verifier's words.
pub fn program<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut Xdp> {
    let program = ebpf.program_mut(name).with_context(|| format!("no program {name}"))?;
    let program: &mut Xdp = program.try_into()?;
    if program.fd().is_err() {
        program.load().with_context(|| format!("program {name}"))?;
    }
    Ok(program)
}

/// An array of the object, of so many values.
///
/// # Errors
/// There is no such array, or the kernel's.
pub fn mapping<T>(ebpf: &Ebpf, name: &str, length: u32) -> Result<Mapping<T>>
where
    T: FromBytes + IntoBytes + Immutable,
{
    match ebpf.map(name) {
        Some(Map::Array(map)) => Ok(Mapping::new(map.fd().as_fd(), length, Access::Write)?),
        _ => bail!("{name} is no array of the object"),
    }
}

/// The context of a frame of so many bytes that an interface has received.
pub fn received(bytes: usize, interface: u32) -> Vec<u8> {
    // struct xdp_md: data, data_end, data_meta, ingress and queue, egress.
    let context = [0, bytes as u32, 0, interface, 0, 0];
    context.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// A run whose frames the kernel does with as the program says: it sends them.
pub fn live() -> TestRunAttrs {
    TestRunAttrs::new().xdp_live_frames(BATCH)
}

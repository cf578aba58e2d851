//! Elements of a hash map, many for each system call (`BPF_MAP_LOOKUP_BATCH`): the library asks for
//! each key and each value by itself, which for a full map takes a second.

use std::os::fd::{AsRawFd, BorrowedFd};

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `BPF_MAP_LOOKUP_BATCH` of `linux/bpf.h`.
const LOOKUP_BATCH: libc::c_int = 24;
/// Elements of one call; a bucket with more would be refused.
pub const BATCH: usize = 4096;

/// `batch` of `union bpf_attr`.
#[repr(C)]
struct Request {
    from: u64,
    next: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Some elements, and where to go on; the place is the kernel's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<K, V> {
    /// The elements.
    pub elements: Vec<(K, V)>,
    /// `None`: these were the last.
    pub next: Option<u32>,
}

/// Reads up to [`BATCH`] elements from a place on; `None`: from the first.
///
/// # Errors
/// The kernel's.
pub fn read<K, V>(map: BorrowedFd<'_>, from: Option<u32>) -> std::io::Result<Part<K, V>>
where
    K: FromBytes + IntoBytes + Immutable + Copy,
    V: FromBytes + IntoBytes + Immutable + Copy,
{
    let (mut keys, mut values) = (vec![K::new_zeroed(); BATCH], vec![V::new_zeroed(); BATCH]);
    let mut next = 0_u32;
    let mut request = Request {
        from: from.as_ref().map_or(0, |from| std::ptr::from_ref(from) as u64),
        next: &raw mut next as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: BATCH as u32,
        map: map.as_raw_fd().cast_unsigned(),
        element_flags: 0,
        flags: 0,
    };
    // SAFETY: the kernel writes at most `count` keys and values of the map's sizes, which are those
    // of K and V by the shape of the map, and the next place.
    let outcome = unsafe {
        libc::syscall(libc::SYS_bpf, LOOKUP_BATCH, &raw mut request, size_of::<Request>())
    };
    let next = match outcome {
        0 => Some(next),
        _ => match std::io::Error::last_os_error() {
            // The end; what was found on the way there counts.
            error if error.raw_os_error() == Some(libc::ENOENT) => None,
            error => return Err(error),
        },
    };
    let elements = keys.into_iter().zip(values).take(request.count as usize).collect();
    Ok(Part { elements, next })
}

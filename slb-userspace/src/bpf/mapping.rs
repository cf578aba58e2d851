//! Array maps in the daemon's own memory (`BPF_F_MMAPABLE`): read without a system call, written
//! word by word, so that a packet meets the old or the new of each word.

use std::{
    marker::PhantomData,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU64, Ordering},
};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::Error;

/// What may be done with a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only looked at; the kernel enforces it.
    Read,
    /// Looked at and written.
    Write,
}

/// An array map of `T`, mapped.
#[derive(Debug)]
pub struct Mapping<T> {
    start: NonNull<u8>,
    bytes: usize,
    access: Access,
    length: u32,
    element: PhantomData<T>,
}

// SAFETY: the mapping is memory of the process; all access to it is by atomic words.
unsafe impl<T> Send for Mapping<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Mapping<T> {}

impl<T: FromBytes + IntoBytes + Immutable> Mapping<T> {
    /// Bytes from one element to the next: the kernel rounds up to words.
    const STRIDE: usize = size_of::<T>().next_multiple_of(8);

    /// Maps the first `length` elements of an array map.
    ///
    /// # Errors
    /// The kernel's, for instance because the map is smaller or not mappable.
    pub fn new(map: BorrowedFd<'_>, length: u32, access: Access) -> Result<Self, Error> {
        let bytes = length as usize * Self::STRIDE;
        let protection = match access {
            Access::Read => libc::PROT_READ,
            Access::Write => libc::PROT_READ | libc::PROT_WRITE,
        };
        // SAFETY: a new mapping chosen by the kernel; the result is checked.
        let start = unsafe {
            libc::mmap(ptr::null_mut(), bytes, protection, libc::MAP_SHARED, map.as_raw_fd(), 0)
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => {
                Ok(Self { start, bytes, access, length, element: PhantomData })
            }
            _ => Err(Error::System {
                call: "mmap of a BPF array",
                error: std::io::Error::last_os_error(),
            }),
        }
    }

    /// Elements.
    pub const fn len(&self) -> u32 {
        self.length
    }

    /// True if there is none.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The words of element `index`.
    ///
    /// # Panics
    /// If there is no such element.
    pub fn words(&self, index: u32) -> &[AtomicU64] {
        assert!(index < self.length, "element {index} of {}", self.length);
        // SAFETY: the element lies in the mapping, which is page aligned and lives as long as
        // `self`; the kernel writes it too, which is what atomics are for.
        unsafe {
            let first = self.start.as_ptr().add(index as usize * Self::STRIDE);
            std::slice::from_raw_parts(first.cast(), Self::STRIDE / 8)
        }
    }

    /// A copy of an element, each word read once.
    ///
    /// # Panics
    /// If there is no such element.
    pub fn get(&self, index: u32) -> T {
        let words: Vec<u64> =
            self.words(index).iter().map(|word| word.load(Ordering::Acquire)).collect();
        // As many words as the element's stride: the prefix is always there.
        T::read_from_prefix(words.as_bytes())
            .map_or_else(|_| T::new_zeroed(), |(element, _)| element)
    }

    /// Writes an element, word by word from the last to the first: what the first word guards
    /// is there before it.
    ///
    /// # Panics
    /// If there is no such element or the mapping is read-only.
    pub fn set(&self, index: u32, element: &T) {
        assert_eq!(self.access, Access::Write, "a read-only mapping");
        let bytes = element.as_bytes();
        for (number, word) in self.words(index).iter().enumerate().rev() {
            let mut value = [0; 8];
            let rest = bytes.get(number * 8..).unwrap_or_default();
            let count = rest.len().min(8);
            value[..count].copy_from_slice(&rest[..count]);
            let value = u64::from_ne_bytes(value);
            if word.load(Ordering::Relaxed) != value {
                word.store(value, Ordering::Release);
            }
        }
    }
}

impl Mapping<u32> {
    /// Writes places of the ring arena, which are half words.
    ///
    /// # Panics
    /// If they do not all lie in the mapping, or the mapping is read-only.
    pub fn set_places(&self, offset: u32, places: &[u32]) {
        assert_eq!(self.access, Access::Write, "a read-only mapping");
        for (place, index) in places.iter().zip(offset..) {
            self.words(index)[0].store(u64::from(*place), Ordering::Release);
        }
    }
}

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: the very mapping that `new` made; nothing borrows from it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

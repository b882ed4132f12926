//! The wasm32 side: exports' bodies, host imports, a bump allocator, and panics as traps.
//!
//! The host makes a fresh instance for every call, so nothing is ever freed and one cursor is the allocator.

use crate::abi::{Description, limit};
use crate::run::{Policy, evaluate, view};
use crate::wire::{self, fault};
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::marker::PhantomData;

const PAGE_BYTES: usize = 64 * 1024;

unsafe extern "C" {
    /// The first byte after stack and data; the linker places it.
    static __heap_base: u8;
}

#[link(wasm_import_module = "dsm1")]
unsafe extern "C" {
    fn state_get(key: *const u8, key_len: usize, out: *mut u8, out_cap: usize) -> i32;
    fn state_scan(
        prefix: *const u8,
        prefix_len: usize,
        after: *const u8,
        after_len: usize,
        limit: u32,
        out: *mut u8,
        out_cap: usize,
    ) -> i32;
    fn foreign_get(read: u32, key: *const u8, key_len: usize, out: *mut u8, out_cap: usize) -> i32;
    fn hash(alg: u32, input: *const u8, input_len: usize, out: *mut u8);
    fn verify(
        alg: u32,
        key: *const u8,
        key_len: usize,
        message: *const u8,
        message_len: usize,
        signature: *const u8,
        signature_len: usize,
    ) -> i32;
    fn note(code: u32, text: *const u8, text_len: usize);
}

/// Host functions; the lifetime is that of the native counterpart.
#[derive(Clone, Copy)]
pub struct Imports<'a>(PhantomData<&'a ()>);

impl Imports<'_> {
    pub(crate) fn get(self, key: &[u8]) -> Option<Vec<u8>> {
        read(limit::STATE_VALUE_BYTES_MAX, |out, cap| {
            // SAFETY: both ranges lie in this module's memory and live through the call.
            unsafe { state_get(key.as_ptr(), key.len(), out, cap) }
        })
    }

    pub(crate) fn scan(self, prefix: &[u8], after: &[u8], entries_max: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(bytes) = read(SCAN_BYTES_MAX, |out, cap| {
            // SAFETY: the three ranges lie in this module's memory and live through the call.
            unsafe {
                state_scan(prefix.as_ptr(), prefix.len(), after.as_ptr(), after.len(), entries_max, out, cap)
            }
        }) else {
            fault("a scan always has a length")
        };
        wire::read(&bytes)
    }

    pub(crate) fn foreign_get(self, position: u8, key: &[u8]) -> Option<Vec<u8>> {
        read(limit::STATE_VALUE_BYTES_MAX, |out, cap| {
            // SAFETY: both ranges lie in this module's memory and live through the call.
            unsafe { foreign_get(position.into(), key.as_ptr(), key.len(), out, cap) }
        })
    }

    pub(crate) fn hash(self, algorithm: u32, bytes: &[u8]) -> [u8; 32] {
        let mut digest = [0; 32];
        // SAFETY: the input range and the 32 bytes of output lie in this module's memory.
        unsafe { hash(algorithm, bytes.as_ptr(), bytes.len(), digest.as_mut_ptr()) };
        digest
    }

    pub(crate) fn verify(self, algorithm: u32, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        // SAFETY: the three ranges lie in this module's memory and live through the call.
        let verified = unsafe {
            verify(
                algorithm,
                key.as_ptr(),
                key.len(),
                message.as_ptr(),
                message.len(),
                signature.as_ptr(),
                signature.len(),
            )
        };
        verified == 1
    }

    pub(crate) fn note(self, code: u32, text: &str) {
        // SAFETY: the range lies in this module's memory.
        unsafe { note(code, text.as_ptr(), text.len()) }
    }
}

/// The most that one scan can return: 64 entries of the longest key and value with their lengths.
const SCAN_BYTES_MAX: usize =
    4 + limit::STATE_READS_MAX as usize * (8 + limit::STATE_KEY_BYTES_MAX + limit::STATE_VALUE_BYTES_MAX);

/// Lets `call` write at the end of the heap and keeps only what it wrote.
fn read(cap: usize, call: impl FnOnce(*mut u8, usize) -> i32) -> Option<Vec<u8>> {
    let mut bytes = Vec::<u8>::with_capacity(cap);
    let start = bytes.as_mut_ptr();
    let written = usize::try_from(call(start, cap)).ok()?;
    if written > cap {
        fault("the host writes within the capacity");
    }
    // SAFETY: the host initialised exactly `written` bytes, checked to be within the capacity.
    unsafe { bytes.set_len(written) };
    bytes.shrink_to_fit();
    Some(bytes)
}

/// A cursor over everything above `__heap_base`.
struct Bump {
    next: Cell<usize>,
    input: Cell<(usize, usize)>,
}

// SAFETY: wasm32v1-none has no threads.
unsafe impl Sync for Bump {}

#[global_allocator]
static HEAP: Bump = Bump { next: Cell::new(0), input: Cell::new((0, 0)) };

impl Bump {
    fn start(&self) -> usize {
        match self.next.get() {
            0 => (&raw const __heap_base).addr(),
            next => next,
        }
    }

    /// Moves the cursor to `end`, growing memory; false if the host's limit is reached.
    fn move_to(&self, end: usize) -> bool {
        let have = core::arch::wasm32::memory_size(0) * PAGE_BYTES;
        if end > have {
            let pages = (end - have).div_ceil(PAGE_BYTES);
            if core::arch::wasm32::memory_grow(0, pages) == usize::MAX {
                return false;
            }
        }
        self.next.set(end);
        true
    }
}

// SAFETY: blocks are disjoint because the cursor only moves up past each, or down over the last one itself.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = self.start().next_multiple_of(layout.align());
        match block.checked_add(layout.size()) {
            Some(end) if self.move_to(end) => core::ptr::with_exposed_provenance_mut(block),
            _ => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _block: *mut u8, _layout: Layout) {}

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // The last block grows and shrinks in place.
        if block.addr() + layout.size() == self.next.get() {
            return match block.addr().checked_add(bytes) {
                Some(end) if self.move_to(end) => block,
                _ => core::ptr::null_mut(),
            };
        }
        if bytes <= layout.size() {
            return block;
        }
        // SAFETY: the caller gave a valid layout, and the new block does not overlap the old one.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(bytes, layout.align()));
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(block, new, layout.size());
            }
            new
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// A buffer for `len` bytes of input, or 0 if no input may be so long.
pub fn buf(len: i32) -> i32 {
    let Some(len) = usize::try_from(len).ok().filter(|len| *len <= limit::INPUT_BYTES_MAX) else {
        return 0;
    };
    let mut buffer = Vec::<u8>::with_capacity(len.max(1));
    let start = buffer.as_mut_ptr().expose_provenance();
    core::mem::forget(buffer);
    HEAP.input.set((start, len));
    start as i32
}

/// The input that the host wrote into the buffer.
fn input(len: i32) -> &'static [u8] {
    let (start, reserved) = HEAP.input.get();
    let len = len as usize;
    if start == 0 || len > reserved {
        fault("the host asks for a buffer first");
    }
    // SAFETY: `buf` reserved these bytes, nothing else points there, and fresh memory reads as zero.
    unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(start), len) }
}

/// Pointer and length of a result that lives as long as the instance.
fn output(bytes: Vec<u8>) -> i64 {
    let packed = (bytes.as_ptr().addr() as i64) << 32 | bytes.len() as i64;
    core::mem::forget(bytes);
    packed
}

/// The body of `dsm_evaluate`.
pub fn evaluate_export<P: Policy>(len: i32) -> i64 {
    output(evaluate::<P>(input(len), Imports(PhantomData)))
}

/// The body of `dsm_view`.
pub fn view_export<P: Policy>(len: i32) -> i64 {
    output(view::<P>(input(len), Imports(PhantomData)))
}

/// The body of `dsm_describe`.
pub fn describe_export(description: &Description) -> i64 {
    output(wire::write(description))
}

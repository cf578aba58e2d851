//! What every object has: its licence, without which the kernel refuses most helpers, and what a
//! panic would come to. A file of each binary, because one of them does without the library, whose
//! maps would come with it.

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // The verifier proves that nothing reaches this.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

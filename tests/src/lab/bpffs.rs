//! The BPF file system, and a program that passes everything, for the far ends of veth pairs.
//!
//! A frame that XDP sends back out of a veth (`XDP_TX`) is lost without a word unless the far end
//! has an XDP program of its own: only then does the kernel wake the far end's receiver.

use std::{
    ffi::CString,
    fs, io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::Path,
};

use anyhow::{Context, Result};
use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use super::Namespace;

/// Where the BPF file system is mounted.
pub const MOUNT_POINT: &str = "/sys/fs/bpf";

/// Mounts the BPF file system if nobody has yet.
pub fn ensure_mounted() -> Result<()> {
    let mounted = statfs(MOUNT_POINT).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC);
    if mounted {
        return Ok(());
    }
    mount(Some("bpf"), MOUNT_POINT, Some("bpf"), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("mount the BPF file system at {MOUNT_POINT} (are you root?)"))
}

/// Attaches a program that passes every frame to `interface`, native. It stays until the
/// interface goes, also when this process has ended.
pub fn attach_pass_program(namespace: &Namespace, interface: &str) -> Result<()> {
    ensure_mounted()?;
    // `ip` attaches without a bpf_link, so nothing but the interface holds the program; it takes
    // the program by a pin, which is not needed afterwards.
    let pin = format!("{MOUNT_POINT}/{}-pass", namespace.name());
    pin_pass_program(Path::new(&pin)).context("load a program that passes everything")?;
    let attached = namespace.ip_batch(&format!("link set dev {interface} xdpdrv pinned {pin}"));
    fs::remove_file(&pin)?;
    attached.with_context(|| format!("attach XDP to {interface}"))
}

fn pin_pass_program(path: &Path) -> io::Result<()> {
    /// `union bpf_attr` of BPF_PROG_LOAD up to `log_buf`, from linux/bpf.h.
    #[repr(C)]
    struct ProgLoad {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
    }
    /// `union bpf_attr` of BPF_OBJ_PIN.
    #[repr(C)]
    struct ObjPin {
        pathname: u64,
        bpf_fd: u32,
        file_flags: u32,
    }
    const BPF_PROG_LOAD: libc::c_long = 5;
    const BPF_OBJ_PIN: libc::c_long = 6;
    const BPF_PROG_TYPE_XDP: u32 = 6;
    // r0 = 2 (XDP_PASS); exit
    let instructions: [u64; 2] = [0x0000_0002_0000_00b7, 0x0000_0000_0000_0095];

    let load = ProgLoad {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_cnt: instructions.len() as u32,
        insns: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
    };
    // SAFETY: the attribute is as long as said, and its pointers live until the call returns.
    let fd =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size_of_val(&load)) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor, and nothing else owns it.
    let program = unsafe { OwnedFd::from_raw_fd(fd as i32) };

    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    let pin = ObjPin {
        pathname: path.as_ptr() as u64,
        bpf_fd: program.as_raw_fd() as u32,
        file_flags: 0,
    };
    // SAFETY: as above; the path is terminated by a zero byte.
    let pinned =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_OBJ_PIN, &raw const pin, size_of_val(&pin)) };
    if pinned < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

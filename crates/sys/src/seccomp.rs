//! Installs a system call filter on this thread and all it will start.
//!
//! Must not: know which calls are allowed; the runner's table does.

use std::io;

/// One instruction of classic BPF.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub jump_true: u8,
    pub jump_false: u8,
    pub operand: u32,
}

/// Makes `program` decide every later system call of this process. Needs `no_new_privs`.
pub fn install(program: &[Instruction]) -> io::Result<()> {
    let length =
        u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let header = Program {
        length,
        instructions: program.as_ptr(),
    };
    // SAFETY: `header` names `length` valid instructions with the kernel's layout; the kernel
    // checks and copies them during the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            std::ptr::from_ref(&header),
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

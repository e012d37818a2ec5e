//! The registers from which a walk of the stack starts. Where processors differ is all in here.

use framehop::UnwindRegsNative;

/// Where a thread is, and how to find its caller.
pub(crate) struct Registers {
    pub(crate) program_counter: u64,
    pub(crate) unwind: UnwindRegsNative,
}

impl Registers {
    /// Those of the function into which this is inlined.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    #[expect(unsafe_code, reason = "registers are read by assembly")]
    pub(crate) fn here() -> Self {
        let (program_counter, stack, frame): (u64, u64, u64);
        // SAFETY: three registers are copied; no memory is touched and no register that is not named.
        unsafe {
            std::arch::asm!(
                "lea {}, [rip]", "mov {}, rsp", "mov {}, rbp",
                out(reg) program_counter, out(reg) stack, out(reg) frame,
                options(nomem, nostack, preserves_flags),
            );
        }
        Self { program_counter, unwind: UnwindRegsNative::new(program_counter, stack, frame) }
    }

    /// Those of the function into which this is inlined.
    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    #[expect(unsafe_code, reason = "registers are read by assembly")]
    pub(crate) fn here() -> Self {
        let (program_counter, stack, frame, link): (u64, u64, u64, u64);
        // SAFETY: four registers are copied; no memory is touched and no register that is not named.
        unsafe {
            std::arch::asm!(
                "adr {}, .", "mov {}, sp", "mov {}, x29", "mov {}, x30",
                out(reg) program_counter, out(reg) stack, out(reg) frame, out(reg) link,
                options(nomem, nostack, preserves_flags),
            );
        }
        Self { program_counter, unwind: UnwindRegsNative::new(link, stack, frame) }
    }

    /// Those of a thread that a signal interrupted.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn of_interrupted(context: &libc::ucontext_t) -> Self {
        let register = |index: libc::c_int| {
            let value = usize::try_from(index).ok().and_then(|index| context.uc_mcontext.gregs.get(index));
            value.map_or(0, |value| value.cast_unsigned())
        };
        let program_counter = register(libc::REG_RIP);
        let unwind = UnwindRegsNative::new(program_counter, register(libc::REG_RSP), register(libc::REG_RBP));
        Self { program_counter, unwind }
    }

    /// Those of a thread that a signal interrupted.
    #[cfg(target_arch = "aarch64")]
    pub(crate) fn of_interrupted(context: &libc::ucontext_t) -> Self {
        let machine = &context.uc_mcontext;
        let unwind = UnwindRegsNative::new(machine.regs[30], machine.sp, machine.regs[29]);
        Self { program_counter: machine.pc, unwind }
    }
}

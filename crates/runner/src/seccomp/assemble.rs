//! Turns ranges of system call numbers into a decision tree of classic BPF.
//!
//! A tree of comparisons takes seven steps for any call, where a list takes as many as it has
//! entries; every call of a sandbox pays for it, and so does every start.
//!
//! Must not: know which calls are good or bad.

use sebring_sys::seccomp::Instruction;

use super::libc_errno::{EAFNOSUPPORT, EPERM, EPROTONOSUPPORT};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    /// Fails with this error number.
    Refuse(u16),
    /// Depends on its arguments.
    Check(Check),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    CloneFlags,
    Personality,
    Socket,
    SocketPair,
    Ioctl,
}

/// All numbers from `start` to the next range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) action: Action,
}

/// Ranges are sorted, and the first starts at zero.
pub(super) fn assemble(ranges: &[Range]) -> Vec<Instruction> {
    let mut program = vec![
        load(ARCHITECTURE_OFFSET),
        jump(JUMP_EQUAL, NATIVE, 1, 0),
        answer(KILL_PROCESS),
        load(NUMBER_OFFSET),
    ];
    program.extend(tree(ranges));
    program
}

/// Left half or right half, down to one range. Numbers above 2^30 (the x32 flavour) fall into
/// the last range by themselves.
fn tree(ranges: &[Range]) -> Vec<Instruction> {
    if let [only] = ranges {
        return leaf(only.action);
    }
    let (left, right) = ranges.split_at(ranges.len() / 2);
    let mut code = tree(left);
    let pivot = right.first().map_or(0, |range| range.start);
    match u8::try_from(code.len()) {
        Ok(distance) => code.insert(0, jump(JUMP_GREATER_EQUAL, pivot, distance, 0)),
        Err(_) => {
            // Too far for a conditional jump: hop over an unconditional one.
            let distance = u32::try_from(code.len()).unwrap_or(u32::MAX);
            code.insert(0, jump(JUMP_ALWAYS, distance, 0, 0));
            code.insert(0, jump(JUMP_GREATER_EQUAL, pivot, 0, 1));
        }
    }
    code.extend(tree(right));
    code
}

fn leaf(action: Action) -> Vec<Instruction> {
    match action {
        Action::Allow => vec![answer(ALLOW)],
        Action::Refuse(errno) => vec![answer(refusal(errno))],
        Action::Check(Check::CloneFlags) => vec![
            load(argument(0)),
            jump(JUMP_ANY_BIT, NAMESPACE_FLAGS, 0, 1),
            answer(refusal(EPERM)),
            answer(ALLOW),
        ],
        Action::Check(Check::Personality) => one_of(0, &PERSONALITIES, refusal(EPERM)),
        Action::Check(Check::Socket) => socket(),
        Action::Check(Check::SocketPair) => one_of(0, &[AF_UNIX], refusal(EAFNOSUPPORT)),
        Action::Check(Check::Ioctl) => vec![
            load(argument(1)),
            jump(JUMP_EQUAL, TIOCSTI, 2, 0),
            jump(JUMP_EQUAL, TIOCSETD, 1, 0),
            jump(JUMP_EQUAL, TIOCLINUX, 0, 1),
            answer(refusal(EPERM)),
            answer(ALLOW),
        ],
    }
}

/// Families by the first argument; protocols of netlink and the Internet by the third.
fn socket() -> Vec<Instruction> {
    let mut code = vec![
        load(argument(0)),
        jump(JUMP_EQUAL, AF_UNIX, 4, 0),
        jump(JUMP_EQUAL, AF_INET, 8, 0),
        jump(JUMP_EQUAL, AF_INET6, 7, 0),
        jump(JUMP_EQUAL, AF_NETLINK, 2, 0),
        answer(refusal(EAFNOSUPPORT)),
        answer(ALLOW),
    ];
    code.extend(one_of(2, &[NETLINK_ROUTE], refusal(EAFNOSUPPORT)));
    code.extend(one_of(2, &PROTOCOLS, refusal(EPROTONOSUPPORT)));
    code
}

/// Allows the argument `number` to be one of `values`.
fn one_of(number: u32, values: &[u32], otherwise: u32) -> Vec<Instruction> {
    let mut code = vec![load(argument(number))];
    for (position, value) in values.iter().enumerate() {
        let to_allow = u8::try_from(values.len() - position).unwrap_or(u8::MAX);
        code.push(jump(JUMP_EQUAL, *value, to_allow, 0));
    }
    code.push(answer(otherwise));
    code.push(answer(ALLOW));
    code
}

const fn load(offset: u32) -> Instruction {
    Instruction {
        code: 0x20,
        jump_true: 0,
        jump_false: 0,
        operand: offset,
    }
}

const fn jump(code: u16, operand: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction {
        code,
        jump_true,
        jump_false,
        operand,
    }
}

const fn answer(value: u32) -> Instruction {
    Instruction {
        code: 0x06,
        jump_true: 0,
        jump_false: 0,
        operand: value,
    }
}

const fn refusal(errno: u16) -> u32 {
    0x0005_0000 | errno as u32
}

/// Offset of the low half of an argument: the kernel's own code looks at no more for those we
/// check.
const fn argument(number: u32) -> u32 {
    16 + number * 8
}

const NUMBER_OFFSET: u32 = 0;
const ARCHITECTURE_OFFSET: u32 = 4;
const JUMP_ALWAYS: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER_EQUAL: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const ALLOW: u32 = 0x7fff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

/// NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. NEWTIME shares its bit with the
/// exit signal and is refused by `clone` itself.
const NAMESPACE_FLAGS: u32 = 0x7e02_0000;
/// Linux, 32-bit Linux, each also with an old release number, and asking for the present one.
const PERSONALITIES: [u32; 5] = [0, 8, 0x2_0000, 0x2_0008, u32::MAX];
const AF_UNIX: u32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const AF_NETLINK: u32 = 16;
const NETLINK_ROUTE: u32 = 0;
/// Whichever the type implies, ICMP, TCP, UDP, ICMPv6. What else there is (SCTP, DCCP, L2TP,
/// UDP-Lite, multipath TCP) is loaded on demand, rarely used, and has a long list of holes.
const PROTOCOLS: [u32; 5] = [0, 1, 6, 17, 58];
const TIOCSTI: u32 = 0x5412;
const TIOCSETD: u32 = 0x5423;
const TIOCLINUX: u32 = 0x541c;

#[cfg(test)]
pub(super) use interpreter::{Data, Verdict, run, steps};

#[cfg(test)]
mod interpreter {
    //! A reader of these programs for tests: the kernel's would kill the test.

    use super::{
        ALLOW, ARCHITECTURE_OFFSET, Instruction, JUMP_ALWAYS, JUMP_ANY_BIT, JUMP_EQUAL,
        JUMP_GREATER_EQUAL, KILL_PROCESS, NATIVE,
    };

    #[derive(Debug, PartialEq, Eq)]
    pub(in super::super) enum Verdict {
        Allow,
        Errno(u16),
        Kill,
    }

    pub(in super::super) struct Data {
        number: u32,
        pub(in super::super) architecture: u32,
        arguments: [u64; 6],
    }

    impl Data {
        pub(in super::super) fn native(number: u32, arguments: [u64; 6]) -> Self {
            Self {
                number,
                architecture: NATIVE,
                arguments,
            }
        }

        fn word(&self, offset: u32) -> u32 {
            match offset {
                0 => self.number,
                ARCHITECTURE_OFFSET => self.architecture,
                _ => {
                    let argument = self.arguments[(offset as usize - 16) / 8];
                    u32::try_from(argument & u64::from(u32::MAX)).unwrap()
                }
            }
        }
    }

    pub(in super::super) fn run(program: &[Instruction], data: &Data) -> Verdict {
        walk(program, data).0
    }

    pub(in super::super) fn steps(program: &[Instruction], data: &Data) -> usize {
        walk(program, data).1
    }

    fn walk(program: &[Instruction], data: &Data) -> (Verdict, usize) {
        let (mut at, mut accumulator) = (0, 0);
        for step in 1..=program.len() {
            let instruction = program[at];
            at += 1;
            let taken = match instruction.code {
                0x20 => {
                    accumulator = data.word(instruction.operand);
                    continue;
                }
                0x06 => return (verdict(instruction.operand), step),
                JUMP_ALWAYS => {
                    at += instruction.operand as usize;
                    continue;
                }
                JUMP_EQUAL => accumulator == instruction.operand,
                JUMP_GREATER_EQUAL => accumulator >= instruction.operand,
                JUMP_ANY_BIT => accumulator & instruction.operand != 0,
                other => panic!("unknown instruction {other:#x}"),
            };
            let distance = if taken {
                instruction.jump_true
            } else {
                instruction.jump_false
            };
            at += usize::from(distance);
        }
        panic!("the program does not end");
    }

    fn verdict(value: u32) -> Verdict {
        match value {
            ALLOW => Verdict::Allow,
            KILL_PROCESS => Verdict::Kill,
            refused => Verdict::Errno(u16::try_from(refused & 0xffff).unwrap()),
        }
    }
}

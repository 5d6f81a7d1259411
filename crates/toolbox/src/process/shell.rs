//! Which shell runs a command, and how a script reaches it.
//!
//! The script is an argument, never standard input: a program in it that reads standard input
//! would otherwise swallow the rest of the script.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::Path;

/// Bash first: what people write is bash more often than they think.
const SHELLS: [(&str, &str); 6] = [
    ("/bin/bash", "bash"),
    ("/usr/bin/bash", "bash"),
    ("/usr/local/bin/bash", "bash"),
    ("/bin/sh", "sh"),
    ("/usr/bin/sh", "sh"),
    ("/bin/dash", "sh"),
];

/// The kernel refuses single arguments of 128 KiB; longer scripts take another way.
pub(crate) const ARGUMENT_BYTES_MAX: usize = 100 << 10;

/// Reads a long script from descriptor 0, then runs it with nothing there.
const FROM_STDIN: &str = "eval \"$(cat)\" < /dev/null";

/// A shell of this image. Looked up each time: installing bash takes effect at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shell {
    path: &'static str,
    name: &'static str,
}

/// How to start a shell that runs a script.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) program: CString,
    pub(crate) argv: Vec<CString>,
    pub(crate) stdin: File,
    /// The script comes that way.
    pub(crate) reads_stdin: bool,
}

/// How to start a shell that a person speaks to.
#[derive(Debug)]
pub(crate) struct Interactive {
    pub(crate) program: CString,
    pub(crate) argv: Vec<CString>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("this image has no shell: none of /bin/bash, /bin/sh")]
    Absent,
    #[error("the command contains a NUL byte")]
    Nul,
    #[error("prepare the script")]
    Script(#[source] io::Error),
}

impl Shell {
    pub(crate) fn find() -> Result<Self, Error> {
        SHELLS
            .iter()
            .find(|(path, _)| Path::new(path).exists())
            .map(|(path, name)| Self { path, name })
            .ok_or(Error::Absent)
    }

    pub(crate) fn is_bash(self) -> bool {
        self.name == "bash"
    }

    /// For a person at a terminal; standard input is that.
    pub(crate) fn interactive(self) -> Result<Interactive, Error> {
        let c_string = |text: &str| CString::new(text).map_err(|_| Error::Nul);
        Ok(Interactive {
            program: c_string(self.path)?,
            argv: [self.name, "-i", "-l"]
                .into_iter()
                .map(c_string)
                .collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn script(self, script: &str) -> Result<Invocation, Error> {
        if script.contains('\0') {
            return Err(Error::Nul);
        }
        let reads_stdin = script.len() > ARGUMENT_BYTES_MAX;
        let (stdin, script) = if reads_stdin {
            (
                sebring_sys::fs::memory_file("script", script.as_bytes()),
                FROM_STDIN,
            )
        } else {
            (File::open("/dev/null"), script)
        };
        let mut argv = vec![self.name, "-c"];
        if script.starts_with(['-', '+']) {
            argv.push("--");
        }
        argv.push(script);
        let c_string = |text: &str| CString::new(text).map_err(|_| Error::Nul);
        Ok(Invocation {
            program: c_string(self.path)?,
            argv: argv.into_iter().map(c_string).collect::<Result<_, _>>()?,
            stdin: stdin.map_err(Error::Script)?,
            reads_stdin,
        })
    }
}

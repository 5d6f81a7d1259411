//! The process that the sandbox was configured to run from its start.
//!
//! Its end ends nothing else. Its log is kept, and shown as the session `entrypoint`.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::process::durable::{self, Output, Plan, Stdin};
use crate::process::log::Stream;
use crate::process::record::{End, Kind, Process};
use crate::process::session::ENTRYPOINT_COMMAND;
use crate::process::{Error, Exit, code_run};
use crate::toolbox::Toolbox;

/// How a shell reports a command that it cannot start.
const CANNOT_START: i32 = 127;

/// Starts the entrypoint, unless it only waits: the toolbox itself keeps the sandbox alive, and
/// a process that does nothing would be most of what an idle sandbox costs.
pub(crate) fn start(toolbox: &Arc<Toolbox>, argv: &[String]) {
    let command = quoted(argv);
    let process = if only_waits(argv) {
        Arc::new(process(command))
    } else {
        // A failure is the image's affair and must not keep the sandbox from being used.
        run(toolbox, argv, command.clone()).unwrap_or_else(|error| {
            let process = process(command);
            let words = format!("{}\n", error.to_text());
            process.log.push(Stream::Error, words.as_bytes());
            process.finish(End::now(Exit::Code(CANNOT_START)));
            Arc::new(process)
        })
    };
    // Started once.
    let _first = toolbox.processes.entrypoint.set(process);
}

fn process(command: String) -> Process {
    Process::new(Kind::Entrypoint, ENTRYPOINT_COMMAND.to_owned(), command)
}

fn only_waits(argv: &[String]) -> bool {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    matches!(
        words.as_slice(),
        [] | ["sleep" | "/bin/sleep" | "/usr/bin/sleep", "infinity"]
    )
}

fn run(toolbox: &Arc<Toolbox>, argv: &[String], command: String) -> Result<Arc<Process>, Error> {
    let env = toolbox.environment.get();
    let first = argv.first().map_or("", String::as_str);
    let words = argv.iter().map(|word| CString::new(word.as_str()));
    let words = words.collect::<Result<Vec<_>, _>>();
    let plan = Plan {
        kind: Kind::Entrypoint,
        id: ENTRYPOINT_COMMAND.to_owned(),
        command,
        programs: code_run::programs(first, &env),
        argv: words.map_err(|error| Error::Start(io::Error::other(error)))?,
        env: &env,
        cwd: &toolbox.work_dir,
        stdin: Stdin::File(File::open("/dev/null").map_err(Error::Start)?),
        output: Output::Split,
        timeout: None,
    };
    durable::start(toolbox, plan)
}

/// The words as a shell would need them.
fn quoted(argv: &[String]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./=:@%+,".contains(&byte);
    let words = argv.iter().map(|word| {
        if !word.is_empty() && word.bytes().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_split_or_expand_them() {
        let argv = ["sh", "-c", "echo 'a' $B", ""].map(str::to_owned);
        assert_eq!(quoted(&argv), r"sh -c 'echo '\''a'\'' $B' ''");
    }
}

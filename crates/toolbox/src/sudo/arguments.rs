//! The command line of `sudo`, as far as people use it where no password is ever asked.

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Run(Run),
    /// `-v`, `-k`, `-K`: there are no credentials to keep or forget.
    Nothing,
    /// `-l`
    List,
    /// `-V`
    Version,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) user: Option<String>,
    pub(super) command: Vec<String>,
    pub(super) shell: Shell,
    pub(super) keep_environment: bool,
    /// Variables kept although the environment is not.
    pub(super) keep: Vec<String>,
    /// `NAME=value` before the command.
    pub(super) set: Vec<(String, String)>,
    pub(super) directory: Option<String>,
}

/// Whether the command goes through the target user's shell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shell {
    #[default]
    None,
    /// `-s`
    Plain,
    /// `-i`
    Login,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("option {0} requires an argument")]
    MissingValue(String),
    #[error("unknown option {0}")]
    UnknownOption(String),
    #[error("usage: sudo [-EHins] [-u user] [VAR=value] [-i | -s | command [argument ...]]")]
    NoCommand,
}

pub(super) fn parse(args: impl IntoIterator<Item = String>) -> Result<Asked, Error> {
    let mut args = args.into_iter().peekable();
    let mut run = Run::default();
    let mut other = None;
    while let Some(arg) = args.next_if(|arg| arg.starts_with('-') && arg.len() > 1) {
        if arg == "--" {
            break;
        }
        if let Some(long) = arg.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let mut value = || value.clone().or_else(|| args.next());
            other = long_option(&mut run, name, &arg, &mut value)?.or(other);
            continue;
        }
        let mut letters = arg.chars().skip(1);
        while let Some(letter) = letters.next() {
            // The rest of the word is the value, or else the next word.
            let mut value = || {
                let rest: String = letters.by_ref().collect();
                if rest.is_empty() {
                    args.next()
                } else {
                    Some(rest)
                }
            };
            other = short_option(&mut run, letter, &mut value)?.or(other);
        }
    }
    while let Some((name, value)) = args.peek().and_then(|arg| assignment(arg)) {
        run.set.push((name, value));
        args.next();
    }
    run.command = args.collect();
    match other {
        Some(other) if run.command.is_empty() => Ok(other),
        _ if run.command.is_empty() && run.shell == Shell::None => Err(Error::NoCommand),
        _ => Ok(Asked::Run(run)),
    }
}

fn short_option(
    run: &mut Run,
    letter: char,
    value: &mut dyn FnMut() -> Option<String>,
) -> Result<Option<Asked>, Error> {
    let mut required = || value().ok_or_else(|| Error::MissingValue(format!("-{letter}")));
    match letter {
        'E' => run.keep_environment = true,
        'i' => run.shell = Shell::Login,
        's' => run.shell = Shell::Plain,
        'u' => run.user = Some(required()?),
        'D' => run.directory = Some(required()?),
        // Mean nothing here: groups, prompts, descriptors, roles, types, timeouts, hosts.
        'g' | 'p' | 'C' | 'r' | 't' | 'T' | 'R' | 'U' => drop(required()?),
        'n' | 'H' | 'S' | 'A' | 'b' | 'B' | 'P' | 'N' => {}
        'v' | 'k' | 'K' => return Ok(Some(Asked::Nothing)),
        'l' => return Ok(Some(Asked::List)),
        'V' => return Ok(Some(Asked::Version)),
        _ => return Err(Error::UnknownOption(format!("-{letter}"))),
    }
    Ok(None)
}

fn long_option(
    run: &mut Run,
    name: &str,
    arg: &str,
    value: &mut dyn FnMut() -> Option<String>,
) -> Result<Option<Asked>, Error> {
    let letter = match name {
        "preserve-env" => {
            match arg.split_once('=') {
                Some((_, names)) => run.keep.extend(names.split(',').map(str::to_owned)),
                None => run.keep_environment = true,
            }
            return Ok(None);
        }
        "login" => 'i',
        "shell" => 's',
        "user" => 'u',
        "chdir" => 'D',
        "group" => 'g',
        "prompt" => 'p',
        "non-interactive" | "set-home" | "stdin" | "askpass" | "background" | "bell"
        | "preserve-groups" | "no-update" => 'n',
        "validate" | "reset-timestamp" | "remove-timestamp" => 'v',
        "list" => 'l',
        "version" => 'V',
        _ => return Err(Error::UnknownOption(arg.to_owned())),
    };
    short_option(run, letter, value)
}

fn assignment(arg: &str) -> Option<(String, String)> {
    let (name, value) = arg.split_once('=')?;
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Run {
        match parse(line.split(' ').map(str::to_owned)) {
            Ok(Asked::Run(run)) => run,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn options_may_be_joined_separate_or_long() {
        for line in [
            "-nEu bob id -u",
            "-n -E -ubob id -u",
            "--preserve-env --user=bob -- id -u",
        ] {
            let run = run(line);
            assert_eq!(run.user.as_deref(), Some("bob"), "{line}");
            assert!(run.keep_environment, "{line}");
            assert_eq!(run.command, ["id", "-u"], "{line}");
        }
    }

    #[test]
    fn assignments_come_before_the_command_only() {
        let run = run("A=1 B=x=y env C=2");
        assert_eq!(
            run.set,
            [("A".into(), "1".into()), ("B".into(), "x=y".into())]
        );
        assert_eq!(run.command, ["env", "C=2"]);
    }

    #[test]
    fn a_shell_needs_no_command() {
        assert_eq!(run("-i").shell, Shell::Login);
        assert_eq!(run("-s").shell, Shell::Plain);
        assert_eq!(parse([]), Err(Error::NoCommand));
        assert_eq!(parse(["-v".to_owned()]), Ok(Asked::Nothing));
        assert_eq!(parse(["-nl".to_owned()]), Ok(Asked::List));
        assert_eq!(
            parse(["-u".to_owned()]),
            Err(Error::MissingValue("-u".into()))
        );
    }
}

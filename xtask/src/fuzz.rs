//! Coverage-guided fuzzing: building the targets of `fuzz/`, running each for a while, and saying
//! what was found in a form that can be kept.
//!
//! Ordinary tests replay what was kept; this looks for more. It works with the stable compiler,
//! which takes the flags of sanitizers when it is told that it builds itself.
//! Must not: be part of what a change must pass, since what it finds depends on time and luck.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::tally::Tally;
use crate::{packages, run};

const SECONDS_DEFAULT: u64 = 60;
/// Parsers of frames take more only by their limits, which have tests of their own.
const INPUT_BYTES_MAX: &str = "4096";
/// For one input; slower is a finding.
const INPUT_SECONDS_MAX: &str = "10";
const MEMORY_MIB_MAX: &str = "2048";
/// A cold build of every target on two cores, and the look at what was found before.
const BUILD_TIME_MAX: Duration = Duration::from_secs(60 * 60);
const SLACK: Duration = Duration::from_secs(10 * 60);
/// What a target said last, shown when it failed.
const LAST_WORDS: usize = 60;
/// Of an input that is worth keeping.
const KEPT_BYTES_MAX: u64 = 512;
/// Inputs that one run adds.
const KEPT_AT_ONCE_MAX: usize = 20;
const TOOLS: [packages::Need; 2] = [("cc", "gcc"), ("c++", "g++")];

#[derive(Debug)]
pub(crate) struct Choice {
    seconds: u64,
    keep: bool,
    target: Option<String>,
}

impl Choice {
    pub(crate) fn parse(args: &[String]) -> anyhow::Result<Self> {
        let mut choice = Self {
            seconds: SECONDS_DEFAULT,
            keep: false,
            target: None,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--seconds" => {
                    let text = args.next().context("--seconds: a number must follow")?;
                    choice.seconds = text.parse().context("--seconds: must be a number")?;
                }
                "--keep" => choice.keep = true,
                flag if flag.starts_with('-') => bail!("no option {flag}"),
                name if choice.target.is_none() => choice.target = Some(name.to_owned()),
                _ => bail!("one target, or none for all of them"),
            }
        }
        Ok(choice)
    }
}

/// Runs the chosen targets; a target that fails counts as a failed test.
pub(crate) fn run(choice: &Choice) -> anyhow::Result<Tally> {
    let all = targets()?;
    let chosen: Vec<&String> = all
        .iter()
        .filter(|name| choice.target.as_ref().is_none_or(|wanted| wanted == *name))
        .collect();
    if chosen.is_empty() {
        bail!("no such target; there are {}", all.join(", "));
    }
    packages::ensure_these(&TOOLS)?;
    ensure_cargo_fuzz()?;
    let mut tally = Tally::default();
    let mut summary = Vec::new();
    for target in chosen {
        let found = run::step(&format!("fuzz {target}"), || fuzz(target, choice))?;
        summary.push(format!("{target}: {found}"));
        tally.passed += u64::from(found.failure.is_none());
        tally.failed += u64::from(found.failure.is_some());
    }
    for line in summary {
        run::line(&line);
    }
    Ok(tally)
}

/// Every target, by its file.
fn targets() -> anyhow::Result<Vec<String>> {
    let folder = run::root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).context("list fuzz/fuzz_targets")? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        names.push(stem.context("a target's name is text")?.to_owned());
    }
    names.sort();
    Ok(names)
}

fn ensure_cargo_fuzz() -> anyhow::Result<()> {
    let mut asked = run::cargo();
    asked.args(["fuzz", "--version"]);
    asked.stdout(Stdio::null()).stderr(Stdio::null());
    if asked.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    run::note("installing cargo-fuzz");
    run::check(run::cargo().args(["install", "cargo-fuzz", "--locked"]))
}

/// `cargo fuzz`, with the compiler at hand.
fn cargo_fuzz(verb: &str, target: &str) -> Command {
    let mut cargo = run::cargo();
    cargo.args(["fuzz", verb, target]);
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo
}

/// What a run came to.
#[derive(Debug, Default)]
struct Found {
    executions: u64,
    /// Edges of the program that were reached.
    coverage: u64,
    failure: Option<PathBuf>,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            executions,
            coverage,
            ..
        } = self;
        write!(f, "{executions} executions, {coverage} edges")?;
        match &self.failure {
            Some(input) => write!(f, ", FAILED on {}", input.display()),
            None => Ok(()),
        }
    }
}

fn fuzz(target: &str, choice: &Choice) -> anyhow::Result<Found> {
    run::check(&mut cargo_fuzz("build", target))?;
    let working = run::root().join(".cache/fuzz").join(target);
    let kept = kept(target);
    let artifacts = run::root().join("fuzz/artifacts").join(target);
    for folder in [&working, &kept, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    let before = files(&artifacts)?;
    let mut fuzz = cargo_fuzz("run", target);
    fuzz.args([&working, &kept]).args(["--"]).args([
        &format!("-max_total_time={}", choice.seconds),
        &format!("-max_len={INPUT_BYTES_MAX}"),
        &format!("-timeout={INPUT_SECONDS_MAX}"),
        &format!("-rss_limit_mb={MEMORY_MIB_MAX}"),
        "-print_final_stats=1",
    ]);
    let limit = BUILD_TIME_MAX + SLACK + Duration::from_secs(choice.seconds);
    let (success, mut found, last_words) = listen(&mut fuzz, limit)?;
    if !success {
        for line in last_words {
            run::line(&line);
        }
        let failed = files(&artifacts)?
            .into_iter()
            .find(|file| !before.contains(file));
        let input = failed.with_context(|| format!("{target} ended without an input"))?;
        tell(target, &input)?;
        found.failure = Some(input);
    } else if choice.keep {
        keep(target, &working)?;
    }
    Ok(found)
}

/// Runs it and reads what libFuzzer says about itself.
fn listen(
    command: &mut Command,
    limit: Duration,
) -> anyhow::Result<(bool, Found, VecDeque<String>)> {
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .context("start cargo fuzz")?;
    let lines = run::lines(child.stderr.take().expect("standard error was asked for"));
    let deadline = Instant::now() + limit;
    let (mut found, mut last_words) = (Found::default(), VecDeque::new());
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                found.hear(&line);
                last_words.push_back(line);
                if last_words.len() > LAST_WORDS {
                    last_words.pop_front();
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                child.kill().context("end cargo fuzz")?;
                bail!("still running after {limit:?}");
            }
        }
    }
    let success = child.wait().context("wait for cargo fuzz")?.success();
    Ok((success, found, last_words))
}

impl Found {
    /// `#8  NEW    cov: 42 ft: 50 …` or `stat::number_of_executed_units: 99`.
    fn hear(&mut self, line: &str) {
        let after = |name: &str| {
            let (_, rest) = line.split_once(name)?;
            rest.split_whitespace().next()?.parse().ok()
        };
        if let Some(status) = line.strip_prefix('#') {
            self.coverage = after(" cov: ").unwrap_or(self.coverage);
            let number = status.split_whitespace().next();
            let number = number.and_then(|text| text.parse().ok());
            self.executions = number.unwrap_or(self.executions);
        }
        self.executions = after("number_of_executed_units:").unwrap_or(self.executions);
    }
}

/// Where the inputs are that ordinary tests replay.
fn kept(target: &str) -> PathBuf {
    run::root().join("fuzz/corpus").join(target)
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    let paths: Result<Vec<_>, _> = entries
        .map(|entry| entry.map(|found| found.path()))
        .collect();
    let mut paths = paths?;
    paths.sort();
    Ok(paths)
}

/// Prints an input so that whoever reads it, on whichever machine, can keep it.
fn tell(target: &str, input: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(input).with_context(|| format!("read {}", input.display()))?;
    let octal: String = bytes.iter().map(|byte| format!("\\{byte:03o}")).collect();
    run::line(&format!(
        "{target} fails on {:?}",
        String::from_utf8_lossy(&bytes)
    ));
    run::line("keep the input, under a name that says what is wrong, and mend what fails on it:");
    run::line(&format!("  printf '{octal}' > fuzz/corpus/{target}/NAME"));
    Ok(())
}

/// Keeps some of the inputs that reach what none of those kept before does: the longest, which
/// reach most. Thousands would be possible, and would slow down every test run for little.
fn keep(target: &str, working: &Path) -> anyhow::Result<()> {
    let small = working.with_extension("small");
    let chosen = working.with_extension("chosen");
    for folder in [&small, &chosen] {
        drop(fs::remove_dir_all(folder));
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    for (from, to) in [(working, &small), (&kept(target), &chosen)] {
        for file in files(from)? {
            if to == &chosen || file.metadata()?.len() <= KEPT_BYTES_MAX {
                fs::copy(&file, to.join(file.file_name().unwrap_or_default()))?;
            }
        }
    }
    let mut merge = cargo_fuzz("run", target);
    merge.args([&chosen, &small]);
    merge.args(["--", "-set_cover_merge=1"]);
    run::check(merge.stderr(Stdio::null()))?;
    let mut found = Vec::new();
    for file in files(&chosen)? {
        let name = file.file_name().unwrap_or_default();
        if !kept(target).join(name).exists() {
            found.push((file.metadata()?.len(), file));
        }
    }
    found.sort();
    for (_, file) in found.iter().rev().take(KEPT_AT_ONCE_MAX) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let short = name.get(..12).unwrap_or(&name);
        fs::copy(file, kept(target).join(format!("found-{short}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_counted() {
        let mut found = Found::default();
        found.hear("#2048\tpulse  cov: 310 ft: 421 corp: 30/2Kb lim: 43 exec/s: 1024 rss: 50Mb");
        assert_eq!((found.executions, found.coverage), (2048, 310));
        found.hear("stat::number_of_executed_units: 4096");
        assert_eq!((found.executions, found.coverage), (4096, 310));
    }

    #[test]
    fn every_target_is_built_replayed_and_has_inputs() {
        let read = |path: &str| fs::read_to_string(run::root().join(path)).unwrap();
        let manifest = read("fuzz/Cargo.toml");
        let targets = targets().unwrap();
        for target in &targets {
            let program = read(&format!("fuzz/fuzz_targets/{target}.rs"));
            let (_, rest) = program.split_once("sebring_").expect("a crate of ours");
            let (owner, rest) = rest.split_once("::fuzzing::").expect("its module");
            assert!(
                rest.starts_with(&format!("{target}(")),
                "{target} runs another"
            );
            let list = read(&format!("crates/{owner}/src/fuzzing.rs"));
            let (_, list) = list.split_once("targets![").expect("a list");
            let (list, _) = list.split_once(']').expect("an end");
            let is_listed = list.split(',').any(|name| name.trim() == target);
            assert!(is_listed, "tests of {owner} do not replay {target}");
            assert!(
                manifest.contains(&format!("name = \"{target}\"")),
                "{target}"
            );
            assert!(!files(&kept(target)).unwrap().is_empty(), "{target}");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
        let folders = files(&run::root().join("fuzz/corpus")).unwrap();
        assert_eq!(folders.len(), targets.len(), "inputs without a target");
    }

    #[test]
    fn kept_inputs_are_few_and_small() {
        let mut total = 0;
        for target in targets().unwrap() {
            let inputs = files(&kept(&target)).unwrap();
            total += inputs
                .iter()
                .map(|file| file.metadata().unwrap().len())
                .sum::<u64>();
        }
        assert!(total < 300 << 10, "{total} bytes");
    }
}

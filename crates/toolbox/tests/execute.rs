//! `POST /process/execute` and `/process/code-run` against the real executable.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;

use std::io::Write;
use std::time::{Duration, Instant};

use common::{Settings, Toolbox, alive, eventually};
use serde_json::json;

#[test]
fn output_is_merged_in_order_and_the_exit_code_is_the_commands() {
    let toolbox = Toolbox::start();
    let (code, output) = toolbox.execute("echo one; echo two >&2; echo three; exit 42");
    assert_eq!((code, output.as_str()), (42, "one\ntwo\nthree\n"));
    assert_eq!(
        toolbox.execute("printf 'no newline'"),
        (0, "no newline".into())
    );
    assert_eq!(toolbox.execute("nonsense-command").0, 127);
    assert_eq!(toolbox.execute("kill -9 $$").0, 137);
    assert_eq!(toolbox.execute("printf '\\377'"), (0, "\u{fffd}".into()));
}

#[test]
fn a_command_runs_as_the_user_in_the_working_directory_with_the_environment() {
    let toolbox = Toolbox::start();
    let (_, output) = toolbox.execute("id -un; pwd; echo $GREETING $HOME; umask");
    let home = toolbox.home();
    assert_eq!(
        output,
        format!("nobody\n{}\nhello /nonexistent\n0022\n", home.display())
    );
    std::fs::create_dir(home.join("sub")).unwrap();
    let request = json!({"command": "pwd; echo $A", "cwd": "sub", "envs": {"A": "b c"}});
    let (_, output) = toolbox.execute_with(&request);
    assert_eq!(output, format!("{}/sub\nb c\n", home.display()));
}

#[test]
fn a_program_that_reads_standard_input_sees_its_end_and_not_the_script() {
    let toolbox = Toolbox::start();
    let (code, output) = toolbox.execute("cat\ncat <<EOF\ninside\nEOF\necho after");
    assert_eq!((code, output.as_str()), (0, "inside\nafter\n"));
}

#[test]
fn a_script_longer_than_an_argument_may_be_still_runs() {
    let toolbox = Toolbox::start();
    let script = format!("true '{}'\necho ran; cat; exit 5", "x".repeat(300_000));
    assert_eq!(toolbox.execute(&script), (5, "ran\n".into()));
}

#[test]
fn what_cannot_start_is_a_result_with_the_systems_words() {
    let toolbox = Toolbox::start();
    let (code, output) = toolbox.execute_with(&json!({"command": "true", "cwd": "/no/where"}));
    assert_eq!(
        (code, output.as_str()),
        (-1, "chdir /no/where: No such file or directory")
    );
}

#[test]
fn bad_requests_name_the_field() {
    let toolbox = Toolbox::start();
    for (request, expected) in [
        (json!({"command": " \n"}), "command"),
        (json!({}), "command"),
        (json!({"command": 7}), "command"),
        (json!({"command": "true", "timeout": -1}), "timeout"),
        (json!({"command": "true", "timeout": "10"}), "timeout"),
        (json!({"command": "true", "envs": {"A-B": "x"}}), "A-B"),
        (json!({"command": "true", "envs": {"A": 1}}), "envs.A"),
    ] {
        let reply = toolbox.post("/process/execute", &request);
        assert_eq!(reply.status, 400, "{request}");
        let body = reply.json();
        assert!(
            body["message"].as_str().unwrap().contains(expected),
            "{request}: {body}"
        );
        assert_eq!(body["source"], "DAYTONA_DAEMON");
        assert_eq!(body["path"], "/process/execute");
        assert_eq!(body["statusCode"], 400);
    }
    let reply = toolbox.send("POST", "/process/execute", &[], b"{not json");
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["code"], "INVALID_REQUEST_BODY");
}

#[test]
fn an_oversized_body_is_refused_before_it_is_read() {
    let toolbox = Toolbox::start();
    let mut stream = toolbox.connect();
    write!(
        stream,
        "POST /process/execute HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 99999999\r\n\r\n"
    )
    .unwrap();
    assert_eq!(common::receive(&mut stream).status, 413);
}

fn timeout_ends_the_tree(settings: Settings) {
    let toolbox = Toolbox::start_with(settings);
    let began = Instant::now();
    let command =
        "echo begun; sleep 1000 & echo $! > pids; (setsid sleep 1001 & echo $! >> pids; wait)";
    let request = json!({"command": command, "timeout": 1});
    let reply = toolbox.post("/process/execute", &request);
    assert_eq!(reply.status, 408);
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    let body = reply.json();
    assert_eq!(body["code"], "PROCESS_EXECUTION_TIMEOUT");
    assert_eq!(body["result"], "begun\n");
    assert!(body["message"].as_str().unwrap().contains("timeout"));
    let pids = std::fs::read_to_string(toolbox.home().join("pids")).unwrap();
    assert_eq!(pids.lines().count(), 2);
    for pid in pids.lines() {
        eventually("the tree is gone", || !alive(pid));
    }
}

#[test]
fn a_timeout_ends_the_whole_tree_and_keeps_the_output() {
    timeout_ends_the_tree(Settings::default());
}

#[test]
fn a_timeout_ends_the_whole_tree_also_without_cgroups() {
    timeout_ends_the_tree(Settings {
        cgroup: false,
        ..Settings::default()
    });
}

#[test]
fn commands_after_a_timeout_are_not_harmed_by_it() {
    let toolbox = Toolbox::start();
    for _ in 0..3 {
        let request = json!({"command": "sleep 100", "timeout": 0.05});
        assert_eq!(toolbox.post("/process/execute", &request).status, 408);
        for _ in 0..10 {
            assert_eq!(toolbox.execute("echo fine"), (0, "fine\n".into()));
        }
    }
}

#[test]
fn with_cgroups_even_a_daemon_that_left_its_session_and_parent_is_ended() {
    let toolbox = Toolbox::start();
    if toolbox.cgroup.is_none() {
        eprintln!("skipped: this host has no cgroup v2");
        return;
    }
    let command = "(setsid sh -c 'echo $$ > daemon; exec sleep 1000' &) ; sleep 1000";
    let reply = toolbox.post(
        "/process/execute",
        &json!({"command": command, "timeout": 1}),
    );
    assert_eq!(reply.status, 408);
    let pid = std::fs::read_to_string(toolbox.home().join("daemon")).unwrap();
    eventually("the daemon is gone", || !alive(&pid));
}

#[test]
fn a_background_process_that_holds_the_pipe_delays_nothing_and_lives_on() {
    let toolbox = Toolbox::start();
    let began = Instant::now();
    let (code, output) = toolbox.execute("sh -c 'while sleep 0.05; do echo tick; done' & echo $!");
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(code, 0);
    let pid = output.lines().next().unwrap().to_owned();
    // It writes to output nobody reads any more, and must not be killed by that.
    let later = Instant::now() + Duration::from_millis(300);
    eventually("some ticks have passed", || Instant::now() > later);
    assert!(alive(&pid));
    toolbox.execute(&format!("kill {pid}"));
}

#[test]
fn a_client_that_leaves_takes_its_command_with_it() {
    for cgroup in [true, false] {
        let toolbox = Toolbox::start_with(Settings {
            cgroup,
            ..Settings::default()
        });
        let mut stream = toolbox.connect();
        let body = json!({"command": "sleep 1000 & echo $! > pid; wait"}).to_string();
        write!(
            stream,
            "POST /process/execute HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let file = toolbox.home().join("pid");
        let read = || std::fs::read_to_string(&file).unwrap_or_default();
        eventually("the command runs", || read().ends_with('\n'));
        drop(stream);
        eventually("the command is gone", || !alive(&read()));
    }
}

#[test]
fn a_flood_of_output_is_bounded_and_says_so() {
    let toolbox = Toolbox::start();
    let command = "echo first; head -c 50000000 /dev/zero | tr '\\0' 'x'; echo; echo last";
    let reply = toolbox.post("/process/execute", &json!({"command": command}));
    let body = reply.json();
    let result = body["result"].as_str().unwrap();
    assert!(result.len() < 17 << 20);
    assert!(result.starts_with("first\nxxx") && result.ends_with("xxx\nlast\n"));
    assert!(body["truncated"]["droppedBytes"].as_u64().unwrap() > 30_000_000);
    // Old Go clients fail on fields they do not know.
    let headers = [
        ("Content-Type", "application/json"),
        ("X-Daytona-Source", "sdk-go"),
        ("X-Daytona-SDK-Version", "v0.173.0"),
    ];
    let request = json!({"command": command}).to_string();
    let reply = toolbox.send("POST", "/process/execute", &headers, request.as_bytes());
    assert_eq!(reply.json().get("truncated"), None);
    assert_eq!(reply.json()["exitCode"], 0);
    let reply = toolbox.post("/process/execute", &json!({"command": "yes", "timeout": 1}));
    assert_eq!(reply.status, 408);
}

#[test]
fn twenty_thousand_orphans_leave_no_zombie() {
    let toolbox = Toolbox::start();
    // Each subshell starts a child and ends before it: the child is an orphan when it ends.
    let command = "for i in $(seq 20000); do (: & ) ; done";
    assert_eq!(toolbox.execute(command).0, 0);
    let children = || {
        let path = format!("/proc/{0}/task/{0}/children", toolbox.pid());
        std::fs::read_to_string(path).unwrap()
    };
    eventually("all are collected", || children().trim().is_empty());
    assert_eq!(
        toolbox.execute("echo still here"),
        (0, "still here\n".into())
    );
}

#[test]
fn a_hundred_commands_at_once_all_succeed() {
    let toolbox = Toolbox::start();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..100)
            .map(|i| {
                scope.spawn({
                    let toolbox = &toolbox;
                    move || toolbox.execute(&format!("sleep 0.2; echo {i}"))
                })
            })
            .collect();
        for (i, done) in running.into_iter().enumerate() {
            assert_eq!(done.join().unwrap(), (0, format!("{i}\n")));
        }
    });
}

#[test]
fn stopping_is_graceful_and_ends_early() {
    let mut toolbox = Toolbox::start();
    let file = toolbox.home().join("trap");
    let command = "(trap 'echo asked > trap; exit' TERM; echo > ready; while :; do sleep 0.02; done) > /dev/null 2>&1 &";
    toolbox.execute(command);
    eventually("the trap is set", || toolbox.home().join("ready").exists());
    let took = toolbox.stop();
    assert_eq!(std::fs::read_to_string(file).unwrap(), "asked\n");
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[test]
fn stopping_insists_when_asking_does_not_help() {
    let mut toolbox = Toolbox::start();
    let (_, pid) = toolbox.execute(
        "(trap '' TERM; echo > ready; while :; do sleep 1; done) > /dev/null 2>&1 & echo $!",
    );
    eventually("the trap is set", || toolbox.home().join("ready").exists());
    let took = toolbox.stop();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(!alive(&pid));
}

fn code(toolbox: &Toolbox, language: &str, code: &str, argv: &[&str]) -> (i64, String) {
    let request = json!({"code": code, "language": language, "argv": argv, "timeout": 60.0});
    let reply = toolbox.post("/process/code-run", &request);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    (
        answer["exitCode"].as_i64().unwrap(),
        answer["result"].as_str().unwrap().to_owned(),
    )
}

#[test]
fn python_gets_its_arguments_unharmed_and_tells_where_it_failed() {
    let toolbox = Toolbox::start_with(Settings {
        user: "root",
        ..Settings::default()
    });
    let (exit, output) = code(
        &toolbox,
        "python",
        "import sys\nprint(sys.argv[1:])",
        &["a b", "$HOME", "*"],
    );
    assert_eq!((exit, output.as_str()), (0, "['a b', '$HOME', '*']\n"));
    let (exit, output) = code(&toolbox, "python", "print('x'", &[]);
    assert_eq!(exit, 1);
    assert!(output.contains("SyntaxError"), "{output}");
    let (exit, output) = code(
        &toolbox,
        "python",
        "import sys; sys.exit(int(bool(sys.stdin.read())) + 3)",
        &[],
    );
    assert_eq!((exit, output.as_str()), (3, ""));
}

#[test]
fn javascript_gets_its_arguments_where_programs_look_for_them() {
    let toolbox = Toolbox::start_with(Settings {
        user: "root",
        ..Settings::default()
    });
    let source = "console.log(process.argv.slice(1)); process.exit(2)";
    let (exit, output) = code(&toolbox, "javascript", source, &["a b"]);
    assert_eq!((exit, output.as_str()), (2, "[ 'a b' ]\n"));
}

#[test]
fn other_languages_are_refused_by_name() {
    let toolbox = Toolbox::start();
    let reply = toolbox.post(
        "/process/code-run",
        &json!({"code": "x", "language": "cobol"}),
    );
    assert_eq!(reply.status, 400);
    assert!(reply.json()["message"].as_str().unwrap().contains("cobol"));
}

const CHARTS: &str = r#"
import matplotlib.pyplot as plt
import datetime
print("before", end="")
plt.plot([1, 2, 3], [1, 4, float("nan")], label="squares"); plt.title("T"); plt.xlabel("X"); plt.grid(); plt.show()
plt.bar(["a", "b"], [1.5, 2]); plt.show()
plt.scatter([1, 2], [3, 4]); plt.yscale("log"); plt.show()
plt.pie([1, 3], labels=["q", "r"]); plt.show()
plt.boxplot([[1, 2, 3, 4, 50]]); plt.show()
plt.plot([datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)], [1, 2]); plt.show()
fig, axes = plt.subplots(1, 2); axes[0].plot([1, 2]); axes[1].bar([1], [2]); fig.suptitle("S"); plt.show()
print("after")
raise ValueError("in the end")
"#;

#[test]
fn charts_that_python_shows_come_back_as_data() {
    let toolbox = Toolbox::start_with(Settings {
        user: "root",
        ..Settings::default()
    });
    if toolbox.execute("python3 -c 'import matplotlib, numpy'").0 != 0 {
        eprintln!("skipped: matplotlib is not installed here");
        return;
    }
    let request = json!({"code": CHARTS, "language": "python", "timeout": 120});
    let body = toolbox.post("/process/code-run", &request).json();
    let result = body["result"].as_str().unwrap();
    assert!(result.starts_with("beforeafter\nTraceback"), "{result}");
    assert!(
        result.contains("File \"<stdin>\", line 13, in <module>\nValueError: in the end"),
        "{result}"
    );
    assert!(!result.contains("_run"), "{result}");
    assert_eq!(body["exitCode"], 1);
    let charts = body["artifacts"]["charts"].as_array().unwrap();
    let kinds: Vec<&str> = charts
        .iter()
        .map(|chart| chart["type"].as_str().unwrap())
        .collect();
    let all = [
        "line",
        "bar",
        "scatter",
        "pie",
        "box_and_whisker",
        "line",
        "composite_chart",
    ];
    assert_eq!(kinds, all);
    assert!(
        charts
            .iter()
            .all(|chart| chart["png"].as_str().unwrap().starts_with("iVBOR"))
    );
    let line = &charts[0];
    assert_eq!(
        (line["title"].as_str(), line["x_label"].as_str()),
        (Some("T"), Some("X"))
    );
    let points = json!([{"label": "squares", "points": [[1.0, 1.0], [2.0, 4.0]]}]);
    assert_eq!(line["elements"], points);
    assert_eq!(
        charts[1]["elements"][0],
        json!({"label": "a", "group": "", "value": "1.5"})
    );
    assert_eq!(charts[1]["x_scale"], "categorical");
    assert_eq!(charts[2]["y_scale"], "log");
    assert_eq!(charts[3]["elements"][1]["label"], "r");
    assert_eq!(charts[4]["elements"][0]["outliers"], json!([50.0]));
    assert_eq!(charts[5]["x_scale"], "datetime");
    assert_eq!(charts[5]["elements"][0]["points"][0][0], 1_704_067_200.0);
    assert_eq!(charts[6]["elements"][1]["type"], "bar");
}

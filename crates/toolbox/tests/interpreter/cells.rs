//! What a cell sees and what is told of it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Cell, contexts, output, run, run_with};
use crate::common::Toolbox;

#[test]
fn state_lasts_from_cell_to_cell() {
    let toolbox = Toolbox::start();
    assert_eq!(
        output(&toolbox, "import math\nx = 6\ndef f(y): return x * y"),
        ""
    );
    assert_eq!(output(&toolbox, "print(f(7), math.floor(2.5))"), "42 2\n");
    assert_eq!(
        output(&toolbox, "print(__name__, 'os' in globals())"),
        "__main__ False\n"
    );
    assert!(
        contexts(&toolbox).is_empty(),
        "the default context is not listed"
    );
}

#[test]
fn an_exception_has_its_name_its_text_and_where_it_happened() {
    let toolbox = Toolbox::start();
    run(&toolbox, "def broken():\n    return {}['key']");
    let answer = run(&toolbox, "print('before')\nbroken()");
    let error = answer.of("error");
    assert_eq!(
        (&error["name"], &error["value"]),
        (&json!("KeyError"), &json!("'key'"))
    );
    let traceback = error["traceback"].as_str().unwrap();
    assert!(
        traceback.starts_with("Traceback (most recent call last):\n  File \"<cell 2>\", line 2")
    );
    assert!(
        traceback.contains("return {}['key']"),
        "the line of an earlier cell: {traceback}"
    );
    assert!(!traceback.contains("<interpreter>"), "{traceback}");
    assert_eq!(
        (answer.code, &*answer.text_of("control")),
        (1000, "completed")
    );
    let answer = run(&toolbox, "def (:");
    assert_eq!(answer.of("error")["name"], "SyntaxError");
    // What cannot even be told does no harm.
    let hostile = "class E(Exception):\n  def __str__(self): raise ValueError\nraise E";
    assert_eq!(run(&toolbox, hostile).of("error")["name"], "E");
    assert_eq!(output(&toolbox, "print('alive')"), "alive\n");
}

#[test]
fn leaving_with_sys_exit_is_a_good_end_and_keeps_the_state() {
    let toolbox = Toolbox::start();
    run(&toolbox, "x = 1");
    assert_eq!(
        output(&toolbox, "print('a')\nimport sys\nsys.exit(3)"),
        "a\n"
    );
    assert_eq!(output(&toolbox, "quit()"), "");
    assert_eq!(output(&toolbox, "print(x)"), "1\n");
}

#[test]
fn output_of_c_code_and_of_processes_comes_in_the_order_in_which_it_was_written() {
    let toolbox = Toolbox::start();
    let code = r#"
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None)
for i in range(50):
    print("p", i)
    print("e", i, file=sys.stderr)
    libc.printf(b"c %d\n", i)
    sys.stderr.write("w\n")
    print("partial ", end="")
    libc.puts(b"line")
for i in range(3):
    subprocess.run(["echo", "s"])
    os.system("echo t >&2")
    subprocess.run(["echo", "u"])
    display(i)
print("end")
"#;
    let mut expected = String::new();
    for i in 0..50 {
        expected.push_str(&format!("1p {i}\n2e {i}\n1c {i}\n2w\n1partial line\n"));
    }
    expected.push_str(&"1s\n2t\n1u\nd|".repeat(3));
    expected.push_str("1end\n");
    // The last line of one round and the first of the next are on the same stream.
    let expected = expected.replace("line\n1", "line\n");
    assert_eq!(run(&toolbox, code).interleaved(), expected);
}

#[test]
fn standard_input_is_at_its_end_and_the_protocol_out_of_reach() {
    let toolbox = Toolbox::start();
    assert_eq!(run(&toolbox, "input('? ')").of("error")["name"], "EOFError");
    let code = "import subprocess\nprint(subprocess.run(['cat'], capture_output=True).stdout)";
    assert_eq!(output(&toolbox, code), "b''\n");
    let code = "print(subprocess.run('ls /proc/self/fd', shell=True, capture_output=True).stdout)";
    assert_eq!(output(&toolbox, code), "b'0\\n1\\n2\\n3\\n'\n");
    // Nor does a child that comes back from a fork use it.
    let code = "import os\npid = os.fork()\nprint('one of two')\nif pid: os.waitpid(pid, 0)";
    assert_eq!(output(&toolbox, code), "one of two\none of two\n");
    assert_eq!(output(&toolbox, "print('one')"), "one\n");
}

#[test]
fn a_client_that_answers_questions_is_asked() {
    let toolbox = Toolbox::start();
    let code = "name = input('name? ')\nprint('hello', name)\ninput()";
    let mut cell = Cell::start(&toolbox, &json!({"code": code, "allowInput": true}));
    assert_eq!(cell.wait_for("input")["prompt"], "name? ");
    cell.send(&json!({"type": "input", "text": "žofie"}));
    cell.wait_for("input");
    cell.send(&json!({"type": "input"}));
    let answer = cell.finish();
    assert_eq!(answer.of("error")["name"], "EOFError");
    assert_eq!(output(&toolbox, "print(name)"), "žofie\n");
}

#[test]
fn input_that_the_cell_did_not_ask_for_is_passed_over() {
    let toolbox = Toolbox::start();
    for allow in [true, false] {
        let code = "x = 1\nprint('on')\nwhile True: pass";
        let request = json!({"code": code, "allowInput": allow, "timeout": 1});
        let mut cell = Cell::start(&toolbox, &request);
        cell.wait_for("stdout");
        let began = Instant::now();
        // More than waits anywhere on the way.
        cell.send(&json!({"type": "input", "text": "x".repeat(900_000)}));
        let answer = cell.finish();
        assert_eq!(answer.code, 4008, "{answer:?}");
        assert!(answer.reason.ends_with("interrupted"), "{answer:?}");
        assert!(began.elapsed() < Duration::from_secs(20));
    }
    assert_eq!(output(&toolbox, "print(x)"), "1\n");
}

#[test]
fn input_that_the_cell_does_not_read_ends_with_its_time() {
    let toolbox = Toolbox::start();
    let code = "import signal\ndef ring(*_): raise ValueError\nsignal.signal(signal.SIGALRM, ring)\n\
                signal.setitimer(signal.ITIMER_REAL, 0.1)\ntry: input()\n\
                except ValueError: print('on')\nwhile True: pass";
    let request = json!({"code": code, "allowInput": true, "timeout": 1});
    let mut cell = Cell::start(&toolbox, &request);
    cell.wait_for("stdout");
    let began = Instant::now();
    cell.send(&json!({"type": "input", "text": "x".repeat(900_000)}));
    assert_eq!(cell.finish().code, 4008);
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(output(&toolbox, "print('again')"), "again\n");
}

#[test]
fn nothing_that_a_cell_leaves_behind_or_fails_with_ends_the_context() {
    let toolbox = Toolbox::start();
    run(&toolbox, "x = 0");
    for code in [
        "import sys\nsys.stdin = None",
        "import sys\ndel sys.stdin",
        "import sys\nsys.stdin = object()",
        "import sys\ndel sys.stdout, sys.stderr",
        "import sys\nsys.stderr = object()\nsys.exit('a reason')",
        "raise type('E' * 4_000_000, (Exception,), {})",
        "class M(type): __name__ = property(lambda self: 1 / 0)\n\
         class E(Exception, metaclass=M): pass\nraise E",
        "class E(SystemExit): code = property(lambda self: 1 / 0)\nraise E",
        "class E(Exception):\n  def __str__(self): raise SystemExit\nraise E",
        "import os\nos.environ = None",
    ] {
        let answer = run(&toolbox, code);
        assert_eq!(answer.code, 1000, "{code}: {}", answer.reason);
        let check = "import sys\nsys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__\n\
                     x += 1\nprint('alive')";
        let answer = run_with(&toolbox, &json!({"code": check, "envs": {"A": "b"}}));
        assert_eq!(answer.stdout(), "alive\n", "{code}: {answer:?}");
    }
    assert_eq!(output(&toolbox, "print(x)"), "10\n");
}

#[test]
fn what_is_displayed_and_the_last_value_come_in_all_their_forms() {
    let toolbox = Toolbox::start();
    assert_eq!(
        run(&toolbox, "1 + 1").of("result")["data"],
        json!({"text/plain": "2"})
    );
    let code = "class Shown:\n  def __repr__(self): return 'plain'\n  def _repr_html_(self): return '<b>'\n  \
                def _repr_png_(self): return b'\\x89PNG'\n  def _repr_svg_(self): raise ValueError\n\
                display(Shown(), [1])";
    let answer = run(&toolbox, code);
    let expected = json!({"text/plain": "plain", "text/html": "<b>", "image/png": "iVBORw=="});
    assert_eq!(answer.of("display")["data"], expected);
    assert!(answer.frames.iter().all(|frame| frame["type"] != "result"));
    let answer = run(
        &toolbox,
        "class Bad:\n  def __repr__(self): raise ValueError\nBad()",
    );
    assert!(
        answer.of("result")["data"]["text/plain"]
            .as_str()
            .unwrap()
            .contains("Bad without text")
    );
    let long = run(&toolbox, "'x' * 50_000_000");
    assert!(
        long.of("result")["data"]["text/plain"]
            .as_str()
            .unwrap()
            .len()
            < 200_000
    );
}

#[test]
fn variables_of_one_cell_are_taken_back_after_it() {
    let toolbox = Toolbox::start();
    let code =
        "import os\nprint(os.environ['GREETING'], os.environ.get('A'))\nos.system('echo $A')";
    let answer = run_with(
        &toolbox,
        &json!({"code": code, "envs": {"A": "b c", "GREETING": "ahoj"}}),
    );
    assert_eq!(answer.stdout(), "ahoj b c\nb c\n");
    assert_eq!(
        output(
            &toolbox,
            "print(os.environ['GREETING'], os.environ.get('A'))"
        ),
        "hello None\n"
    );
}

#[test]
fn bytes_that_are_no_text_and_long_lines_arrive() {
    let toolbox = Toolbox::start();
    let code = "import sys\nsys.stdout.buffer.write(b'\\xff\\xc5')\nsys.stdout.buffer.write(b'\\xbe\\xe2\\x82')";
    assert_eq!(output(&toolbox, code), "\u{fffd}\u{17e}\u{fffd}");
    assert_eq!(output(&toolbox, "print('ž\\ud800')"), "ž\\ud800\n");
    let long = output(&toolbox, "print('é' * 5_000_000)");
    assert_eq!(long.len(), 10_000_001);
}

#[test]
fn a_value_with_too_many_forms_loses_some_and_nothing_else() {
    let toolbox = Toolbox::start();
    let code = "class Many:\n  def __repr__(self): return 'many'\n  \
                def _repr_mimebundle_(self): return {f'x/{i}': 'y' * 500_000 for i in range(1000)}\nMany()";
    let answer = run(&toolbox, code);
    let data = answer.of("result")["data"].as_object().unwrap();
    assert_eq!(data["text/plain"], "many");
    assert!((2..24).contains(&data.len()), "{}", data.len());
}

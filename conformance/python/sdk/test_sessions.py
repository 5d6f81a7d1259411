"""Sessions: shells that remember, their commands, input and logs."""

import concurrent.futures
import time

import daytona
import pytest

from support.follow import follow
from support.wait import until


class Session:
    def __init__(self, process, name):
        self.process, self.name = process, name
        process.create_session(name)

    def run(self, command):
        request = daytona.SessionExecuteRequest(command=command)
        return self.process.execute_session_command(self.name, request)

    def start(self, command, **options):
        request = daytona.SessionExecuteRequest(command=command, run_async=True, **options)
        return self.process.execute_session_command(self.name, request).cmd_id

    def exit_code(self, command):
        return self.process.get_session_command(self.name, command).exit_code

    def ended(self, command, seconds=20):
        until(lambda: self.exit_code(command) is not None, "the command has ended", seconds)
        return self.exit_code(command)

    def logs(self, command):
        return self.process.get_session_command_logs(self.name, command)

    def follow(self, command):
        return follow(self.process.get_session_command_logs_async, self.name, command)


@pytest.fixture
def session(sandbox, unique):
    made = Session(sandbox.process, unique("session"))
    yield made
    if made.name in [each.session_id for each in sandbox.process.list_sessions()]:
        sandbox.process.delete_session(made.name)


def test_directory_variables_and_functions_last(session):
    session.run("cd /usr/lib; export EXPORTED=1; plain=2; greet() { echo \"hello $1\"; }")
    assert session.run("pwd; echo $EXPORTED $plain; greet you").stdout == "/usr/lib\n1 2\nhello you\n"


def test_a_background_command_changes_the_session_as_well(session):
    session.ended(session.start("cd /tmp; later=yes"))
    assert session.run("pwd; echo $later").stdout == "/tmp\nyes\n"


def test_streams_come_apart_with_the_exit_code(session):
    answer = session.run("echo out; echo err >&2; (exit 42)")
    assert (answer.stdout, answer.stderr, answer.exit_code) == ("out\n", "err\n", 42)
    assert "out" in answer.output and "err" in answer.output


@pytest.mark.parametrize(
    ("command", "stdout"),
    [
        ("cat <<END\nhere $((1 + 1))\nEND\necho after", "here 2\nafter\n"),
        ("printf 'no newline'", "no newline"),
        (r"printf 'a\0b'", "a\0b"),
        ("head -c 200000 /dev/zero | tr '\\0' x", "x" * 200_000),
        ("printf 'żółw 🐢'", "żółw 🐢"),
        ("cat\nread line\necho \"[$line]\"", "[]\n"),
    ],
    ids=["a here document", "a prompt", "a NUL byte", "a long line", "unicode", "a reader of its own script"],
)
def test_output_is_to_the_byte(session, command, stdout):
    answer = session.run(command)
    assert (answer.stdout, answer.exit_code) == (stdout, 0)
    assert session.logs(answer.cmd_id).stdout == stdout


def test_a_command_can_be_looked_at_while_it_runs(session):
    command = session.start("printf 'name? '; sleep 1000")
    until(lambda: session.logs(command).stdout == "name? ", "a prompt without a newline is there")
    assert session.exit_code(command) is None


def test_exit_ends_the_session_with_its_code(session):
    answer = session.run("echo last; exit 7")
    assert (answer.stdout, answer.exit_code) == ("last\n", 7)
    with pytest.raises(daytona.DaytonaError, match="ended"):
        session.run("echo more")
    assert session.logs(answer.cmd_id).stdout == "last\n"


def test_exec_puts_another_program_in_the_place_of_the_shell(session):
    assert session.run("exec sh -c 'echo other; exit 5'").exit_code == 5


def test_a_killed_shell_is_the_end_of_its_command(session):
    assert session.run("kill -9 $$").exit_code == 137


def test_commands_of_a_session_wait_for_each_other_and_those_of_another_do_not(sandbox, session, unique):
    stuck = session.start("sleep 1000")
    waiting = session.start("echo never")
    other = Session(sandbox.process, unique("other"))
    assert other.run("echo free").stdout == "free\n"
    assert session.exit_code(stuck) is None and session.exit_code(waiting) is None
    sandbox.process.delete_session(other.name)


def test_a_background_child_that_keeps_the_pipe_delays_nothing(session):
    began = time.monotonic()
    answer = session.run("sleep 1000 & echo started")
    assert (answer.stdout, answer.exit_code) == ("started\n", 0)
    assert time.monotonic() - began < 5
    assert session.run("kill %1 && echo known").stdout == "known\n"


def test_nohup_lives_on(session, folder):
    session.run(f"nohup sh -c 'sleep 0.5; echo done > {folder}/late' > /dev/null 2>&1 &")
    until(lambda: session.run(f"cat {folder}/late").stdout == "done\n", "it has lived on")


@pytest.mark.needs("Process.send_session_command_input")
def test_input_reaches_a_running_command(session):
    command = session.start("read first; echo \"got $first\"; cat")
    session.process.send_session_command_input(session.name, command, "one")
    until(lambda: "got one\n" in session.logs(command).stdout, "it has read the line")
    session.process.send_session_command_input(session.name, command, "two\n")
    # Once as its echo, once from the command.
    until(lambda: session.logs(command).stdout == "one\ngot one\ntwo\ntwo\n", "both lines are shown")


@pytest.mark.needs("Process.send_session_command_input")
def test_an_echo_can_be_left_out_and_an_ended_command_takes_no_input(session):
    command = session.start("read line; echo \"got $line\"", suppress_input_echo=True)
    session.process.send_session_command_input(session.name, command, "secret")
    assert session.ended(command) == 0
    assert session.logs(command).stdout == "got secret\n"
    with pytest.raises(daytona.DaytonaError, match="ended"):
        session.process.send_session_command_input(session.name, command, "late")


def test_following_gives_all_of_both_streams_and_ends_with_the_command(session):
    command = session.start("echo before; sleep 0.5; for i in $(seq 500); do echo $i; echo e$i >&2; done; sleep 0.5; echo end")
    out, err = session.follow(command)
    numbers = [str(number) for number in range(1, 501)]
    assert out.split() == ["before", *numbers, "end"]
    assert err.split() == [f"e{number}" for number in numbers]


def test_following_an_ended_command_replays_it(session):
    answer = session.run("echo out; echo err >&2")
    assert session.follow(answer.cmd_id) == ("out\n", "err\n")


def test_megabytes_are_followed_complete(session):
    out, err = session.follow(session.start("seq 1 500000"))
    assert err == ""
    assert out == "".join(f"{number}\n" for number in range(1, 500001))


def test_several_follow_the_same_command(session):
    command = session.start("for i in $(seq 20); do echo $i; sleep 0.05; done")
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        heard = list(pool.map(lambda _: session.follow(command), range(5)))
    assert heard == [("".join(f"{number}\n" for number in range(1, 21)), "")] * 5


def test_a_session_lists_its_commands_in_order(session):
    first = session.run("echo one").cmd_id
    second = session.start("sleep 1000")
    seen = session.process.get_session(session.name)
    assert [(each.id, each.command, each.exit_code) for each in seen.commands] == [
        (first, "echo one", 0),
        (second, "sleep 1000", None),
    ]
    assert session.name in [each.session_id for each in session.process.list_sessions()]


def test_a_name_is_taken_once_and_free_after_deleting(session):
    with pytest.raises(daytona.DaytonaError):
        session.process.create_session(session.name)
    session.process.delete_session(session.name)
    with pytest.raises(daytona.DaytonaError):
        session.process.get_session(session.name)
    session.process.create_session(session.name)


def test_deleting_ends_what_has_left_the_shell(sandbox, session):
    session.run("(setsid sleep 7531 &) ; (nohup sh -c 'trap \"\" TERM; sleep 7531; sleep 7531' > /dev/null 2>&1 &)")
    count = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -o 'sleep 753[1]' | wc -l"
    until(lambda: sandbox.process.exec(count).result.strip() != "0", "they run")
    session.process.delete_session(session.name)
    assert sandbox.process.exec(count).result.strip() == "0"


@pytest.mark.needs("Process.get_entrypoint_session")
def test_the_entrypoint_is_a_session_to_look_at(sandbox):
    seen = sandbox.process.get_entrypoint_session()
    assert seen.session_id == "entrypoint" and len(seen.commands) == 1
    logs = sandbox.process.get_entrypoint_logs()
    assert (logs.stdout, logs.stderr) == ("", "")
    with pytest.raises(daytona.DaytonaError):
        sandbox.process.create_session("entrypoint")

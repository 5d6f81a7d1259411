"""Terminals: what a person at one would expect, over connections that come and go."""

import daytona
import pytest
from daytona.common.pty import PtySize

from support.sdk import NotFound, terminals
from support.terminal import Terminal
from support.wait import until


@pytest.fixture
def open_terminal(sandbox, sdk, unique):
    made = []

    def create(name=None, **options):
        name = name or unique("pty")
        made.append(name)
        return Terminal(sandbox.process.create_pty_session, sdk.mode, id=name, **options)

    create.connect = lambda name: Terminal(sandbox.process.connect_pty_session, sdk.mode, name)
    yield create
    present = {each.id for each in terminals(sandbox.process)}
    for name in present.intersection(made):
        sandbox.process.kill_pty_session(name)


def test_what_is_typed_is_answered(open_terminal):
    terminal = open_terminal()
    assert terminal.handle.is_connected()
    terminal.type("echo sum $((40 + 2)); tty\n")
    terminal.until_shown("sum 42\r\n")
    terminal.until_shown("/dev/pts/")


@pytest.mark.parametrize("code", [0, 3])
def test_the_end_of_the_shell_is_told_with_its_code(open_terminal, sandbox, unique, code):
    name = unique("pty")
    terminal = open_terminal(name)
    terminal.type(f"echo go''ing; exit {code}\n")
    assert terminal.wait().exit_code == code
    assert "going\r\n" in terminal.shown
    with pytest.raises(NotFound):
        sandbox.process.get_pty_session_info(name)


def test_directory_environment_and_size_are_those_asked_for(open_terminal):
    terminal = open_terminal(cwd="/usr/lib", envs={"WHO": "it's \"me\"", "TERM": "vt100"}, pty_size=PtySize(rows=30, cols=111))
    terminal.type("pwd; echo \"[$WHO] [$TERM]\"; stty size\n")
    terminal.until_shown("/usr/lib\r\n")
    terminal.until_shown("[it's \"me\"] [vt100]\r\n")
    terminal.until_shown("30 111\r\n")


def test_a_usual_terminal_is_80_by_24_and_in_colour(open_terminal):
    terminal = open_terminal()
    terminal.type("stty size; echo $TERM\n")
    terminal.until_shown("24 80\r\n")
    terminal.until_shown("xterm-256color\r\n")


def test_a_resize_is_seen_by_the_program_and_in_the_answer(open_terminal):
    terminal = open_terminal()
    terminal.type("trap 'stty size' WINCH; echo re''ady\n")
    terminal.until_shown("ready\r\n")
    info = terminal.handle.resize(PtySize(rows=44, cols=123))
    assert (info.rows, info.cols) == (44, 123)
    terminal.until_shown("44 123\r\n")


def test_control_c_interrupts_the_program_and_not_the_shell(open_terminal):
    terminal = open_terminal()
    # In the foreground before it says so.
    terminal.type("sh -c 'echo re\"\"ady; exec sleep 1000'\n")
    terminal.until_shown("ready\r\n")
    terminal.type("\x03")
    terminal.type("echo code $?\n")
    terminal.until_shown("code 130\r\n")


def test_killing_is_told_as_137_and_takes_everything(open_terminal, sandbox):
    terminal = open_terminal()
    terminal.type("setsid sleep 7642 & echo be''gun\n")
    terminal.until_shown("begun\r\n")
    terminal.handle.kill()
    assert terminal.wait().exit_code == 137
    count = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -o 'sleep 764[2]' | wc -l"
    until(lambda: sandbox.process.exec(count).result.strip() == "0", "nothing of it is left")


def test_a_terminal_outlives_its_connection_and_shows_what_was_missed(open_terminal, unique):
    name = unique("pty")
    first = open_terminal(name)
    first.type("kept=here; echo be''fore\n")
    first.until_shown("before\r\n")
    first.type("sleep 0.5; echo mis''sed\n")
    first.leave()
    second = open_terminal.connect(name)
    second.until_shown("before\r\n")
    second.until_shown("missed\r\n")
    second.type("echo $kept a''gain\n")
    second.until_shown("here again\r\n")


def test_two_connections_share_a_terminal(open_terminal, unique):
    name = unique("pty")
    first = open_terminal(name)
    second = open_terminal.connect(name)
    second.type("echo from the sec''ond\n")
    first.until_shown("from the second\r\n")
    first.type("exit 4\n")
    assert [first.wait().exit_code, second.wait().exit_code] == [4, 4]


def test_a_flood_arrives_complete_and_before_the_end(open_terminal):
    terminal = open_terminal()
    terminal.type("echo be''gun; seq 1 100000; echo en''ded; exit\n")
    assert terminal.wait().exit_code == 0
    flood = terminal.shown.partition("begun\r\n")[2].partition("ended\r\n")[0]
    assert flood == "".join(f"{number}\r\n" for number in range(1, 100001))


def test_much_input_is_taken(open_terminal):
    """More than a terminal's own buffer holds, in one message."""
    terminal = open_terminal()
    terminal.type("stty -echo; echo re''ady; wc -l\n")
    terminal.until_shown("ready\r\n")
    terminal.type("a line of input\n" * 10_000 + "\x04")
    terminal.until_shown("10000\r\n", seconds=20)


def test_terminals_are_listed_described_and_named_once(open_terminal, sandbox, unique):
    name = unique("pty")
    open_terminal(name, cwd="/tmp", pty_size=PtySize(rows=31, cols=99))
    info = sandbox.process.get_pty_session_info(name)
    assert (info.id, info.cwd, info.rows, info.cols, info.active) == (name, "/tmp", 31, 99, True)
    assert name in [each.id for each in terminals(sandbox.process)]
    with pytest.raises(daytona.DaytonaError):
        open_terminal(name)
    resized = sandbox.process.resize_pty_session(name, PtySize(rows=20, cols=40))
    assert (resized.rows, resized.cols) == (20, 40)


@pytest.mark.needs("DaytonaConflictError")
def test_a_name_in_use_is_a_conflict(open_terminal, unique):
    name = unique("pty")
    open_terminal(name)
    with pytest.raises(daytona.DaytonaConflictError):
        open_terminal(name)


def test_a_terminal_that_is_not_there_cannot_be_connected_to(open_terminal):
    with pytest.raises(daytona.DaytonaError):
        open_terminal.connect("no-such-terminal")

"""What programs do to a session, each with what a person would expect of it.

Every function is given a fresh session and says by `assert` what went wrong. None depends on
another, so they can be drawn at random. Must not: leave anything behind on the disk.
"""

import time
from collections.abc import Callable

from support.wait import until

from rig.session import Session

MIB = 1 << 20
Torment = Callable[[Session], None]


def exit_in_the_middle(session: Session) -> None:
    answer = session.run("echo last; exit 3; echo never")
    assert (answer["exitCode"], answer["stdout"]) == (3, "last\n")
    assert session.try_run("echo more").status_code == 410


def exec_of_another_program(session: Session) -> None:
    answer = session.run("exec sh -c 'echo other; exit 5'")
    assert (answer["exitCode"], answer["stdout"]) == (5, "other\n")


def here_documents(session: Session) -> None:
    first = "cat <<'A'; cat <<B\n$HOME `x` \\\nA\nsum $((1 + 1))\nB\n"
    script = first + "bash <<C\necho inner\nread line\nC\necho after"
    assert session.stdout(script) == "$HOME `x` \\\nsum 2\ninner\nafter\n"


def bytes_that_are_no_text(session: Session) -> None:
    assert session.stdout(r"printf 'a\0b\377c\001\001\001d'") == "a\0b\ufffdc\1\1\1d"


def a_prompt_that_is_answered(session: Session) -> None:
    command = session.start("printf 'name? '; read name; echo \"hello $name\"")
    until(lambda: session.logs(command)["stdout"] == "name? ", "the prompt is there")
    session.input(command, "you")
    assert session.wait(command) == 0
    assert session.logs(command)["stdout"] == "name? you\nhello you\n"


def a_line_of_200_kb(session: Session) -> None:
    assert session.stdout("head -c 200000 /dev/zero | tr '\\0' x; echo") == "x" * 200_000 + "\n"


def a_script_that_reads_standard_input(session: Session) -> None:
    assert session.stdout("cat\nread line\necho \"[$line]\"\ncat > /dev/null; echo after") == "[]\nafter\n"


def a_child_that_keeps_the_pipe(session: Session) -> None:
    began = time.monotonic()
    assert session.stdout("(sleep 1000; echo never) & echo started") == "started\n"
    assert session.stdout("kill %1; echo next") == "next\n"
    assert time.monotonic() - began < 10


def nohup(session: Session) -> None:
    session.run("nohup sh -c 'sleep 0.3; echo done; sleep 1000' > /tmp/nohup 2>&1 &")
    until(lambda: session.run("cat /tmp/nohup")["stdout"] == "done\n", "it has lived on")
    session.run("rm /tmp/nohup")


def thousands_of_short_children(session: Session) -> None:
    script = "n=0; while [ $n -lt 2000 ]; do (: & :); n=$((n+1)); done; wait; echo $n"
    assert session.stdout(script) == "2000\n"


def a_spoilt_environment(session: Session) -> None:
    session.run("PATH=/nowhere; IFS=x; set -f; unset HOME; cd /; exec 2> /dev/null")
    assert session.stdout("echo still; set -u; echo here") == "still\nhere\n"


def emptied_tmp(session: Session) -> None:
    # Never what others of this sandbox need: they have folders of their own for what must last.
    session.run("rm -rf /tmp/* /tmp/.[!.]* 2> /dev/null")
    assert session.stdout("echo still") == "still\n"


def a_signal_to_the_first_process(session: Session) -> None:
    session.run("kill -9 1; kill -TERM 1; kill -STOP 1")
    session.run("sudo -n kill -9 1; sudo -n kill -STOP 1; sudo -n kill -SEGV 1")
    assert session.stdout("echo still") == "still\n"


def a_signal_to_everybody(session: Session) -> None:
    # From a process of its own: the kernel spares whoever asks.
    answer = session.run("sh -c 'kill -9 -1'; echo never")
    assert answer["exitCode"] == 137
    assert session.try_run("echo more").status_code == 410


def all_descriptors_taken(session: Session) -> None:
    script = "python3 -c 'import os\nwhile True: os.dup(0)' 2> /dev/null; echo $?"
    assert session.stdout(script) == "1\n"


def a_memory_bomb(session: Session) -> None:
    answer = session.run("python3 -c 'x = []\nwhile True: x.append(bytearray(1 << 24))'")
    assert answer["exitCode"] == 137, answer
    assert session.stdout("echo still") == "still\n"


def a_flood(session: Session) -> None:
    command = session.start("yes 'a line of a flood' | head -c 300000000; echo end")
    assert session.wait(command) == 0
    kept = session.logs(command)["stdout"]
    assert kept.endswith("end\n"), kept[-100:]
    assert 8 * MIB < len(kept) <= 16 * MIB


def a_stuck_command_that_is_deleted(session: Session) -> None:
    command = session.start("trap '' TERM INT HUP; echo stuck; while :; do sleep 1000; done")
    until(lambda: session.logs(command)["stdout"] == "stuck\n", "it ignores being asked")
    session.start("echo never")


ALL: list[Torment] = [
    exit_in_the_middle,
    exec_of_another_program,
    here_documents,
    bytes_that_are_no_text,
    a_prompt_that_is_answered,
    a_line_of_200_kb,
    a_script_that_reads_standard_input,
    a_child_that_keeps_the_pipe,
    nohup,
    thousands_of_short_children,
    a_spoilt_environment,
    emptied_tmp,
    a_signal_to_the_first_process,
    a_signal_to_everybody,
    all_descriptors_taken,
    a_memory_bomb,
    a_flood,
    a_stuck_command_that_is_deleted,
]

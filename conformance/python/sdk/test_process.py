"""Commands: output, exit codes, environment, time limits."""

import concurrent.futures
import time

import daytona
import pytest

from support.wait import until


def test_output_is_returned_as_printed(sandbox):
    answer = sandbox.process.exec("echo hello; printf 'no newline'")
    assert answer.exit_code == 0
    assert answer.result.rstrip("\n") == "hello\nno newline"
    assert answer.artifacts.stdout == answer.result


def test_stderr_and_stdout_come_in_order_in_one_text(sandbox):
    answer = sandbox.process.exec("echo one; echo two >&2; echo three; echo four >&2")
    assert answer.result.split() == ["one", "two", "three", "four"]


@pytest.mark.parametrize("code", [0, 1, 2, 42, 127, 255])
def test_the_exit_code_is_the_command_s(sandbox, code):
    assert sandbox.process.exec(f"exit {code}").exit_code == code


def test_an_unknown_command_is_127_and_says_so(sandbox):
    answer = sandbox.process.exec("no-such-command-here")
    assert answer.exit_code == 127
    assert "not found" in answer.result


def test_a_pipeline_and_a_here_document_work(sandbox):
    answer = sandbox.process.exec("cat <<'END' | tr a-z A-Z | sort\nb\na\nEND")
    assert answer.result.split() == ["A", "B"]


def test_quotes_dollars_and_unicode_arrive_untouched(sandbox):
    answer = sandbox.process.exec("""printf '%s\\n' "it's" '$HOME' 'a  b' 'żółw 🐢' 'back\\slash' """)
    assert answer.result.splitlines() == ["it's", "$HOME", "a  b", "żółw 🐢", "back\\slash"]


def test_a_working_directory_can_be_given(sandbox):
    assert sandbox.process.exec("pwd", cwd="/usr/lib").result.strip() == "/usr/lib"


def test_the_default_working_directory_is_the_work_dir(sandbox):
    assert sandbox.process.exec("pwd").result.strip() == sandbox.get_work_dir()


def test_a_missing_working_directory_is_told_in_the_result(sandbox):
    answer = sandbox.process.exec("pwd", cwd="/no/such/place")
    assert answer.exit_code == -1
    assert answer.result


def test_environment_of_a_call_overrides_the_sandbox_s(sandboxes):
    sandbox = sandboxes.create(env_vars={"WHO": "sandbox", "STAYS": "yes"})
    answer = sandbox.process.exec('echo "$WHO $STAYS $MORE"', env={"WHO": "call", "MORE": "more"})
    assert answer.result.strip() == "call yes more"
    assert sandbox.process.exec('echo "$WHO"').result.strip() == "sandbox", "the next call is not affected"


@pytest.mark.needs("DaytonaConflictError")
def test_environment_values_are_not_read_by_a_shell(sandbox):
    """Older releases export them in a shell line of their own, which loses quotes."""
    value = "a 'b' \"c\" $d `e`\nsecond line"
    assert sandbox.process.exec('printf %s "$MORE"', env={"MORE": value}).result == value


@pytest.mark.needs("DaytonaTimeoutError")
def test_a_command_over_its_time_limit_is_a_timeout_error(sandbox):
    began = time.monotonic()
    with pytest.raises(daytona.DaytonaTimeoutError) as caught:
        sandbox.process.exec("sleep 60", timeout=1)
    assert time.monotonic() - began < 6
    assert "timeout" in str(caught.value).lower()


@pytest.mark.needs("DaytonaProcessExecutionTimeoutError")
def test_a_timeout_is_told_apart_from_a_slow_connection(sandbox):
    with pytest.raises(daytona.DaytonaProcessExecutionTimeoutError):
        sandbox.process.exec("sleep 60", timeout=1)


def test_a_timeout_kills_the_whole_tree(sandbox):
    with pytest.raises(daytona.DaytonaError, match="(?i)timeout"):
        sandbox.process.exec("(sleep 7777 & sleep 7777) & setsid sleep 7777 & sleep 7777", timeout=1)
    count = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -o 'sleep 777[7]' | wc -l"
    until(lambda: sandbox.process.exec(count).result.strip() == "0", "nothing of the tree is left")


def test_a_command_within_its_time_limit_is_not_disturbed(sandbox):
    assert sandbox.process.exec("sleep 0.2; echo done", timeout=30).result.strip() == "done"


def test_a_redirected_background_process_does_not_hold_the_answer(sandbox):
    began = time.monotonic()
    assert sandbox.process.exec("sleep 100 > /dev/null 2>&1 & echo started").result.strip() == "started"
    assert time.monotonic() - began < 10


def test_megabytes_of_output_arrive_complete(sandbox):
    answer = sandbox.process.exec("seq 1 300000")
    lines = answer.result.split()
    assert (len(lines), lines[0], lines[-1]) == (300000, "1", "300000")


def test_output_that_is_not_text_does_not_fail(sandbox):
    answer = sandbox.process.exec(r"printf 'a\377\376b'")
    assert answer.exit_code == 0
    assert answer.result.startswith("a") and answer.result.endswith("b")


def test_many_commands_run_at_the_same_time(sandbox):
    def run(number: int) -> str:
        return sandbox.process.exec(f"sleep 0.3; echo {number}").result.strip()

    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert list(pool.map(run, range(16))) == [str(number) for number in range(16)]
    assert time.monotonic() - began < 16 * 0.3, "commands wait for each other"


def test_stdin_is_at_its_end(sandbox):
    assert sandbox.process.exec("cat; echo after", timeout=10).result.strip() == "after"


def test_short_lived_children_leave_no_zombies(sandbox):
    sandbox.process.exec("for i in $(seq 200); do (true &) ; done")
    count = "grep -h '^State:' /proc/[0-9]*/status 2>/dev/null | grep -c Z"
    until(lambda: sandbox.process.exec(count).result.strip() == "0", "every child is reaped")

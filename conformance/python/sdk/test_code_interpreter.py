"""Python that remembers: `code_interpreter` and its contexts."""

import time

import daytona
import pytest

# Marks the whole file: older releases have no interpreter.
pytestmark = pytest.mark.needs("ExecutionResult")


@pytest.fixture(scope="module")
def speak(sandbox):
    return sandbox.code_interpreter.run_code


@pytest.fixture
def context(sandbox):
    made = sandbox.code_interpreter.create_context()
    yield made
    if made.id in [each.id for each in sandbox.code_interpreter.list_contexts()]:
        sandbox.code_interpreter.delete_context(made)


def test_variables_imports_and_functions_last(speak):
    speak("import math\nnumber = 6\ndef times(other): return number * other")
    answer = speak("print(times(7), math.floor(2.5))")
    assert (answer.stdout, answer.stderr, answer.error) == ("42 2\n", "", None)


def test_output_comes_by_callbacks_in_order_and_in_the_result(speak):
    heard = []
    answer = speak(
        "import sys\nprint('one')\nprint('two', file=sys.stderr)\nprint('three')",
        on_stdout=lambda message: heard.append(("out", message.output)),
        on_stderr=lambda message: heard.append(("err", message.output)),
    )
    assert (answer.stdout, answer.stderr) == ("one\nthree\n", "two\n")
    assert heard == [("out", "one\n"), ("err", "two\n"), ("out", "three\n")]


def test_output_of_child_processes_and_c_code_is_heard_in_order(speak):
    code = (
        "import ctypes, os, subprocess\nprint('python')\nsubprocess.run(['echo', 'child'])\n"
        "os.system('echo shell')\nctypes.CDLL(None).puts(b'c')\nprint('end')"
    )
    assert speak(code).stdout == "python\nchild\nshell\nc\nend\n"


def test_output_is_heard_while_the_code_runs(speak):
    times = []
    speak(
        "import time\nprint('first', flush=True)\ntime.sleep(1)\nprint('second')",
        on_stdout=lambda _: times.append(time.monotonic()),
    )
    assert len(times) == 2 and times[1] - times[0] > 0.5


def test_an_exception_has_name_value_and_traceback(speak):
    heard = []
    answer = speak("def broken():\n    return 1 / 0\nbroken()", on_error=heard.append)
    assert (answer.error.name, answer.error.value) == ("ZeroDivisionError", "division by zero")
    assert "return 1 / 0" in answer.error.traceback
    assert heard == [answer.error]
    assert speak("print('still here')").stdout == "still here\n"


def test_a_syntax_error_is_an_answer(speak):
    assert speak("def broken(:").error.name == "SyntaxError"


def test_leaving_with_sys_exit_is_no_error(speak):
    answer = speak("print('before')\nimport sys\nsys.exit(3)")
    assert (answer.stdout, answer.error) == ("before\n", None)


def test_nobody_answers_input_so_it_is_at_its_end(speak):
    assert speak("input('name? ')").error.name == "EOFError"


def test_a_timeout_is_an_error_and_the_state_survives(speak):
    speak("kept = 1")
    began = time.monotonic()
    with pytest.raises(daytona.DaytonaTimeoutError):
        speak("while True: pass", timeout=1)
    assert time.monotonic() - began < 10
    assert speak("print(kept)").stdout == "1\n"


def test_variables_of_the_environment_are_for_one_call(speak):
    code = "import os; print(os.environ.get('GREETING'))"
    assert speak(code, envs={"GREETING": "ahoj 'světe' $HOME"}).stdout == "ahoj 'světe' $HOME\n"
    assert speak(code).stdout == "None\n"


def test_a_crash_is_told_and_the_next_call_works(speak):
    with pytest.raises(daytona.DaytonaError, match="exited with code 7"):
        speak("import os; os._exit(7)")
    assert speak("print('again')").stdout == "again\n"


def test_running_out_of_memory_is_told(speak):
    with pytest.raises(daytona.DaytonaError, match="out of memory"):
        speak("hog = [bytearray(100 << 20) for _ in range(100)]", timeout=60)
    assert speak("print('again')").stdout == "again\n"


def test_large_and_unusual_output_arrives_whole(speak):
    answer = speak("print('ž' * 2_000_000)\nprint('\\x00\\x1b[0m', end='')")
    assert answer.stdout == "ž" * 2_000_000 + "\n\x00\x1b[0m"


def test_numpy_and_pandas_are_there(speak):
    code = "import numpy, pandas; print(pandas.DataFrame({'a': numpy.arange(3)})['a'].sum())"
    assert speak(code).stdout == "3\n"


def test_contexts_are_isolated(speak, context):
    speak("where = 'default'")
    assert speak("print('where' in globals())", context=context).stdout == "False\n"
    speak("where = 'own'", context=context)
    assert speak("print(where)").stdout == "default\n"


def test_a_context_is_listed_with_what_it_was_made_with(sandbox, context):
    listed = {each.id: each for each in sandbox.code_interpreter.list_contexts()}
    assert listed[context.id] == context
    assert (context.language, context.active) == ("python", True)
    assert context.cwd == "/home/daytona"
    assert "default" not in listed


def test_a_context_has_its_directory(sandbox, folder):
    made = sandbox.code_interpreter.create_context(cwd=folder)
    answer = sandbox.code_interpreter.run_code("import os; print(os.getcwd())", context=made)
    assert answer.stdout.strip() == made.cwd == folder
    sandbox.code_interpreter.delete_context(made)


def test_a_deleted_context_is_gone(sandbox, context):
    sandbox.code_interpreter.delete_context(context)
    assert context.id not in [each.id for each in sandbox.code_interpreter.list_contexts()]
    with pytest.raises(daytona.DaytonaNotFoundError):
        sandbox.code_interpreter.delete_context(context)
    with pytest.raises(daytona.DaytonaError, match="1008"):
        sandbox.code_interpreter.run_code("print(1)", context=context)


def test_a_context_in_a_missing_directory_is_refused(sandbox):
    with pytest.raises(daytona.DaytonaError, match="/no/where"):
        sandbox.code_interpreter.create_context(cwd="/no/where")

"""Code in three languages through `code_run`."""

import daytona
import pytest

# Older releases build a shell pipeline themselves, which loses exit codes and quotes.
CODE_RUN = pytest.mark.needs("DaytonaConflictError")

HELLO = {
    "python": "print('hello from', 'python')",
    "javascript": "console.log('hello from', 'javascript')",
    "typescript": "const word: string = 'typescript'; console.log('hello from', word)",
}


@pytest.fixture(scope="module")
def speakers(client, api):
    """One sandbox per language; releases choose the language when a sandbox is made."""
    made = {language: client.create(daytona.CreateSandboxFromSnapshotParams(language=language)) for language in HELLO}
    yield made
    for sandbox in made.values():
        api("DELETE", f"/sandbox/{sandbox.id}")


@pytest.mark.parametrize("language", HELLO)
def test_code_runs_in_the_language_of_the_sandbox(speakers, language):
    answer = speakers[language].process.code_run(HELLO[language])
    assert (answer.exit_code, answer.result.strip()) == (0, f"hello from {language}")


FAILING = {
    "python": ("raise ValueError('broken on purpose')", "ValueError"),
    "javascript": ("throw new TypeError('broken on purpose')", "TypeError"),
    "typescript": ("const fail = (): never => { throw new RangeError('broken on purpose') }; fail()", "RangeError"),
}


@pytest.mark.parametrize("language", FAILING)
def test_an_exception_is_told_with_its_text(speakers, language):
    code, name = FAILING[language]
    answer = speakers[language].process.code_run(code)
    assert name in answer.result and "broken on purpose" in answer.result


@CODE_RUN
@pytest.mark.parametrize("language", FAILING)
def test_an_exception_is_exit_code_one(speakers, language):
    code, _ = FAILING[language]
    assert speakers[language].process.code_run(code).exit_code == 1


def test_a_syntax_error_is_an_answer(speakers):
    answer = speakers["python"].process.code_run("def broken(:")
    assert answer.exit_code == 1
    assert "SyntaxError" in answer.result


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "import sys; print(sys.argv[1:])"),
        ("javascript", "console.log(process.argv.slice(1))"),
    ],
)
def test_arguments_and_environment_reach_the_program(speakers, language, code):
    environment = {
        "python": "import os; print(os.environ['GREETING'])",
        "javascript": "console.log(process.env.GREETING)",
    }
    params = daytona.CodeRunParams(argv=["first", "second"], env={"GREETING": "ahoj"})
    shown = speakers[language].process.code_run(code, params).result
    assert "first" in shown and "second" in shown
    assert speakers[language].process.code_run(environment[language], params).result.strip() == "ahoj"


@CODE_RUN
def test_environment_values_are_not_read_by_a_shell(speakers):
    params = daytona.CodeRunParams(env={"GREETING": "ahoj 'světe' $HOME"})
    code = "import os; print(os.environ['GREETING'])"
    assert speakers["python"].process.code_run(code, params).result.strip() == "ahoj 'světe' $HOME"


def test_exit_codes_of_programs_are_kept(speakers):
    assert speakers["python"].process.code_run("import sys; sys.exit(7)").exit_code == 7


@CODE_RUN
def test_exit_codes_of_javascript_are_kept(speakers):
    assert speakers["javascript"].process.code_run("process.exit(8)").exit_code == 8


def test_code_over_its_time_limit_is_an_error_that_says_timeout(speakers):
    # Some releases do not wrap this error, so only the text is compared.
    with pytest.raises(Exception, match="(?i)timeout"):
        speakers["python"].process.code_run("while True: pass", timeout=1)


def test_multi_line_code_with_quotes_and_unicode(speakers):
    code = "\n".join(
        ["text = '''it's \"quoted\" $HOME `x`'''", "for word in ('žluťoučký', 'kůň'):", "    print(word, text)"]
    )
    lines = speakers["python"].process.code_run(code).result.splitlines()
    assert lines == ['žluťoučký it\'s "quoted" $HOME `x`', 'kůň it\'s "quoted" $HOME `x`']


def test_the_standard_tools_are_there(speakers):
    for tool in ("python3", "python", "pip", "node", "npm", "git", "curl", "rg"):
        answer = speakers["python"].process.exec(f"command -v {tool}")
        assert answer.exit_code == 0, f"the default snapshot has {tool}"

"""Completions and symbols: `create_lsp_server` for each language."""

import daytona
import pytest

PYTHON = """class Greeter:
    def greet(self, name):
        return name.upper()

greeter = Greeter()
greeter.
"""
TYPESCRIPT = """export class Greeter {
  greet(name: string): string { return name.toUpperCase() }
}
const greeter = new Greeter()
greeter.
"""
FILES = {"python": ("main.py", PYTHON), "typescript": ("main.ts", TYPESCRIPT), "javascript": ("main.js", None)}


def project_with(sandbox, language, root):
    """A project with one unfinished file; relative, as people write it."""
    name, text = FILES[language]
    text = text or TYPESCRIPT.replace("(name: string): string", "(name)")
    sandbox.fs.create_folder(root, "755")
    sandbox.fs.upload_file(text.encode(), f"{root}/{name}")
    return f"{root}/{name}", text.splitlines().index("greeter.")


@pytest.fixture(scope="module", params=list(FILES))
def opened(sandbox, request):
    """A running server, the path of its open file, and the line that ends in a point."""
    root = f"{request.param}-project"
    path, line = project_with(sandbox, request.param, root)
    server = sandbox.create_lsp_server(request.param, root)
    server.start()
    server.did_open(path)
    yield server, path, line
    server.stop()
    sandbox.fs.delete_file(root, True)


def test_completions_know_the_members(opened):
    server, path, line = opened
    found = server.completions(path, daytona.LspCompletionPosition(line=line, character=len("greeter.")))
    labels = [item.label for item in found.items]
    assert any(label.startswith("greet") for label in labels), labels[:50]


def test_document_symbols_have_names_and_places(opened):
    server, path, _ = opened
    found = {symbol.name: symbol for symbol in server.document_symbols(path)}
    assert {"Greeter", "greet"} <= found.keys()
    assert found["Greeter"].location.uri == f"file:///home/daytona/{path}"
    assert found["Greeter"].location.range.start.line == 0
    assert found["greet"].location.range.start.line == 1


def test_symbols_are_found_in_the_whole_project(opened):
    server, path, _ = opened
    found = server.sandbox_symbols("Greeter")
    assert "Greeter" in [symbol.name for symbol in found]
    assert any(symbol.location.uri.endswith(path) for symbol in found)
    assert server.sandbox_symbols("NobodyHasThisName") == []


def test_a_change_on_disk_is_seen_at_once(sandbox, opened):
    server, path, _ = opened
    sandbox.fs.upload_file(b"class Changed { }\n" if not path.endswith(".py") else b"class Changed: pass\n", path)
    assert [symbol.name for symbol in server.document_symbols(path)] == ["Changed"]


def test_a_closed_file_can_still_be_asked_about(opened):
    server, path, _ = opened
    server.did_close(path)
    assert isinstance(server.document_symbols(path), list)


def running(sandbox):
    return set(sandbox.process.exec("pgrep -f '[p]ylsp' || true").result.split())


def test_stop_really_ends_the_server_and_start_is_idempotent(sandbox):
    path, _ = project_with(sandbox, "python", "stopped")
    server = sandbox.create_lsp_server("python", "/home/daytona/stopped")
    before = running(sandbox)
    server.start()
    server.start()
    assert len(running(sandbox) - before) == 1
    server.stop()
    assert running(sandbox) == before
    with pytest.raises(daytona.DaytonaError, match="start"):
        server.document_symbols(path)


def test_a_server_that_was_not_started_says_so(sandbox):
    server = sandbox.create_lsp_server("typescript", "/tmp")
    with pytest.raises(daytona.DaytonaError, match="start"):
        server.sandbox_symbols("x")


def test_a_server_that_crashed_says_so_and_starts_again(sandbox):
    path, _ = project_with(sandbox, "python", "crashed")
    server = sandbox.create_lsp_server("python", "crashed")
    before = running(sandbox)
    server.start()
    (started,) = running(sandbox) - before
    sandbox.process.exec(f"kill -9 {started}")
    with pytest.raises(daytona.DaytonaError, match="signal 9"):
        server.document_symbols(path)
    server.start()
    assert "Greeter" in [symbol.name for symbol in server.document_symbols(path)]
    server.stop()


def test_a_missing_file_is_not_found(opened):
    server, _, _ = opened
    with pytest.raises(daytona.DaytonaError, match="no-such-file"):
        server.did_open("no-such-file.py")

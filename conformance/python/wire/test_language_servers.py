"""Language servers below the SDK: exact statuses and codes."""

import pytest

SERVER = {"languageId": "python", "pathToProject": "/tmp"}


@pytest.mark.parametrize("what", ["stop", "did-open", "did-close", "completions"])
def test_nothing_is_asked_of_a_server_that_was_not_started(toolbox, what):
    body = {**SERVER, "uri": "file:///tmp/a.py", "position": {"line": 0, "character": 0}}
    answer = toolbox.post(f"/lsp/{what}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "LSP_SERVER_NOT_INITIALIZED")


@pytest.mark.parametrize("what", ["document-symbols", "workspacesymbols"])
def test_no_symbols_come_from_a_server_that_was_not_started(toolbox, what):
    answer = toolbox.get(f"/lsp/{what}", params={**SERVER, "uri": "file://a.py", "query": "x"})
    assert (answer.status_code, answer.json()["code"]) == (400, "LSP_SERVER_NOT_INITIALIZED")


@pytest.mark.parametrize(
    "body",
    [{}, {"languageId": "cobol", "pathToProject": "/tmp"}, {"languageId": "python"},
     {"languageId": "python", "pathToProject": "/no/such/project"}],
)  # fmt: skip
def test_a_bad_start_is_400(toolbox, body):
    answer = toolbox.post("/lsp/start", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["source"] == "DAYTONA_DAEMON"


def test_start_and_stop_have_empty_bodies(toolbox):
    for what in ("start", "start", "stop"):
        answer = toolbox.post(f"/lsp/{what}", json=SERVER)
        assert (answer.status_code, answer.content) == (200, b""), answer.text

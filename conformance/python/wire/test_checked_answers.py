"""Answers of file calls as a client needs them that fails on a missing key or a wrong content type.

Written from the contract alone: passing says nothing about a particular SDK. Must not: repeat what
`test_toolbox.py` says of statuses and bytes.
"""

import re

import pytest

from support.shapes import check

FILE_INFO = {
    "name": str, "path": str, "isDir": bool, "size": int, "mode": str, "permissions": str,
    "modTime": str, "modifiedAt": str, "owner": str, "group": str,
}  # fmt: skip
UPLOADED = {"name": str, "path": str, "type": str}
MATCH = {"file": str, "line": int, "content": str}


@pytest.fixture
def folder(toolbox, unique):
    path = f"/tmp/{unique('checked')}"
    toolbox.post("/files/folder", params={"path": path, "mode": "755"}).raise_for_status()
    yield path
    toolbox.delete("/files", params={"path": path, "recursive": "true"}).raise_for_status()


def as_json(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    return answer.json()


def put(toolbox, path: str, content: bytes) -> None:
    toolbox.post("/files/upload-v2", params={"path": path}, content=content).raise_for_status()


def test_an_upload_as_a_form_makes_its_folders_and_tells_what_it_stored(toolbox, folder):
    path = f"{folder}/new/deeper/f.txt"
    form = {"file": ("another-name.bin", b"\x00form\r\n")}
    stored = as_json(toolbox.post("/files/upload-v2", params={"path": path}, files=form))
    check(stored, UPLOADED)
    assert (stored["name"], stored["path"]) == ("f.txt", path)
    assert toolbox.get("/files/download", params={"path": path}).content == b"\x00form\r\n"


def test_an_upload_replaces_all_of_a_longer_file(toolbox, folder):
    path = f"{folder}/f"
    put(toolbox, path, b"longer than the next")
    check(as_json(toolbox.post("/files/upload-v2", params={"path": path}, content=b"short")), UPLOADED)
    assert toolbox.get("/files/download", params={"path": path}).content == b"short"


def test_a_form_without_the_file_is_400_and_stores_nothing(toolbox, folder):
    path = f"{folder}/f"
    form = {"document": ("f", b"content")}
    answer = toolbox.post("/files/upload-v2", params={"path": path}, files=form)
    assert answer.status_code == 400
    check(answer.json(), {"statusCode": int, "message": str, "timestamp": str, "path": str})
    assert toolbox.get("/files/info", params={"path": path}).status_code == 404


def test_a_failed_download_is_a_json_error_that_repeats_its_status(toolbox, folder):
    """The body's status overrides that of HTTP in one client, so the two must agree."""
    for path, status in [(f"{folder}/missing", 404), (folder, 400)]:
        answer = toolbox.get("/files/download", params={"path": path})
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"].startswith("application/json")
        body = answer.json()
        check(body, {"statusCode": int, "message": str, "code": str, "timestamp": str, "path": str})
        assert body["statusCode"] == status and body["message"]


def test_a_file_and_a_folder_have_every_key(toolbox, folder):
    put(toolbox, f"{folder}/f", b"12345")
    toolbox.post("/files/permissions", params={"path": f"{folder}/f", "mode": "640"}).raise_for_status()
    file = as_json(toolbox.get("/files/info", params={"path": f"{folder}/f"}))
    check(file, FILE_INFO)
    assert [file[key] for key in ("name", "isDir", "size")] == ["f", False, 5]
    assert [file["mode"], file["permissions"]] == ["-rw-r-----", "0640"]
    above = as_json(toolbox.get("/files/info", params={"path": folder}))
    check(above, FILE_INFO)
    assert [above["isDir"], above["mode"], above["permissions"]] == [True, "drwxr-xr-x", "0755"]


def test_every_entry_of_a_list_has_every_key(toolbox, folder):
    put(toolbox, f"{folder}/inner/f", b"x")
    entries = as_json(toolbox.get("/files", params={"path": folder, "depth": "2"}))
    for entry in entries:
        check(entry, FILE_INFO)
    assert sorted(entry["path"] for entry in entries) == [f"{folder}/inner", f"{folder}/inner/f"]


def test_times_of_a_file_have_their_two_spellings(toolbox, folder):
    info = as_json(toolbox.get("/files/info", params={"path": folder}))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", info["modifiedAt"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,9})? \+0000 UTC", info["modTime"])


def test_searches_have_every_key_and_an_empty_list_for_nothing(toolbox, folder):
    put(toolbox, f"{folder}/f.txt", b"one\nneedle two\n")
    found = as_json(toolbox.get("/files/find", params={"path": folder, "pattern": "needle"}))
    assert len(found) == 1
    check(found[0], MATCH)
    assert (found[0]["file"], found[0]["line"]) == (f"{folder}/f.txt", 2)
    assert as_json(toolbox.get("/files/find", params={"path": folder, "pattern": "absent"})) == []
    named = as_json(toolbox.get("/files/search", params={"path": folder, "pattern": "*.txt"}))
    assert named == {"files": [f"{folder}/f.txt"]}
    none = as_json(toolbox.get("/files/search", params={"path": folder, "pattern": "*.none"}))
    assert none == {"files": []}

"""The toolbox below the SDK: exact statuses, multipart bytes, the legacy routes."""

import re
import time
from urllib.parse import unquote

import pytest


def execute(toolbox, command: str, **fields) -> dict:
    answer = toolbox.post("/process/execute", json={"command": command, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_execute_answers_integers_and_text(toolbox):
    answer = execute(toolbox, "echo out; exit 3")
    assert (answer["result"], answer["exitCode"]) == ("out\n", 3)
    assert type(answer["exitCode"]) is int


@pytest.mark.parametrize("timeout", [10, 10.0])
def test_a_time_limit_may_be_a_whole_float(toolbox, timeout):
    assert execute(toolbox, "true", timeout=timeout)["exitCode"] == 0


def test_over_the_time_limit_is_408_in_time(toolbox):
    began = time.monotonic()
    answer = toolbox.post("/process/execute", json={"command": "echo partial; sleep 30", "timeout": 1})
    assert answer.status_code == 408
    assert answer.json()["code"] == "PROCESS_EXECUTION_TIMEOUT"
    assert "timeout" in answer.json()["message"]
    assert time.monotonic() - began < 5


def test_a_command_killed_for_memory_says_so(toolbox):
    hog = "python3 -c 'x = [bytearray(100 << 20) for _ in range(100)]'"
    answer = execute(toolbox, hog, timeout=60)
    assert answer["exitCode"] == 137
    assert answer["oomKilled"] is True
    assert answer["result"].splitlines()[-1].startswith("killed: out of memory (the sandbox's limit is ")
    assert "oomKilled" not in execute(toolbox, "kill -9 $$")


@pytest.mark.parametrize("path", ["/_sebring/limits", "/%5Fsebring/tcp/80", "//_sebring/limits"])
def test_internal_routes_are_not_for_clients(toolbox, path):
    assert toolbox.put(path, json={}).status_code == 404


@pytest.mark.parametrize(
    "body",
    [{}, {"command": ""}, {"command": " \n"}, {"command": 7}, {"command": "true", "envs": {"A B": "x"}},
     {"command": "true", "timeout": -1}, {"command": "true", "timeout": "soon"}],
)  # fmt: skip
def test_a_bad_command_is_400(toolbox, body):
    answer = toolbox.post("/process/execute", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["source"] == "DAYTONA_DAEMON"


def test_killed_by_a_signal_is_not_zero(toolbox):
    assert execute(toolbox, "kill -9 $$")["exitCode"] != 0
    assert execute(toolbox, "sh -c 'kill -9 $$'; echo $?")["result"].strip().endswith("137")


def test_code_run_takes_the_language_per_call(toolbox):
    for language, code in [("python", "print(6 * 7)"), ("javascript", "console.log(6 * 7)"),
                           ("typescript", "const n: number = 42; console.log(n)")]:  # fmt: skip
        answer = toolbox.post("/process/code-run", json={"code": code, "language": language})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["result"].strip(), answer.json()["exitCode"]) == ("42", 0)
    assert toolbox.post("/process/code-run", json={"code": "1", "language": "cobol"}).status_code == 400


@pytest.mark.parametrize("path", ["/files", "/files/"])
def test_a_list_is_never_null(toolbox, path):
    execute(toolbox, "mkdir -p /tmp/hollow")
    answer = toolbox.get(path, params={"path": "/tmp/hollow"}, follow_redirects=True)
    assert (answer.status_code, answer.json()) == (200, [])


def test_statuses_of_file_calls(toolbox):
    steps = [
        ("POST", "/files/folder", {"path": "/tmp/s", "mode": "755"}, 201),
        ("POST", "/files/folder", {"path": "/tmp/s"}, 201),
        ("POST", "/files/upload-v2", {"path": "/tmp/s/f"}, 200),
        ("POST", "/files/permissions", {"path": "/tmp/s/f", "mode": "600"}, 200),
        ("POST", "/files/permissions", {"path": "/tmp/s/f", "mode": "9z"}, 400),
        ("GET", "/files/info", {"path": "/tmp/s/f"}, 200),
        ("GET", "/files/info", {}, 400),
        ("POST", "/files/move", {"source": "/tmp/s/f", "destination": "/tmp/s/g"}, 200),
        ("POST", "/files/move", {"source": "/tmp/s/f", "destination": "/tmp/s/h"}, 404),
        ("GET", "/files/search", {"path": "/tmp/s", "pattern": "*"}, 200),
        ("GET", "/files/find", {"path": "/tmp/s", "pattern": "x"}, 200),
        ("DELETE", "/files", {"path": "/tmp/s"}, 400),
        ("DELETE", "/files", {"path": "/tmp/s", "recursive": "true"}, 204),
        ("DELETE", "/files", {"path": "/tmp/s", "recursive": "true"}, 404),
    ]
    for method, path, params, status in steps:
        answer = toolbox.request(method, path, params=params)
        assert answer.status_code == status, f"{method} {path} {params}: {answer.status_code} {answer.text}"
        if status in (201, 204):
            assert answer.content == b""


def test_a_plus_and_a_percent_20_in_a_query_are_both_spaces(toolbox):
    toolbox.post("/files/upload-v2?path=/tmp/a+b", content=b"spaced")
    assert toolbox.get("/files/download?path=/tmp/a%20b").content == b"spaced"


def test_a_download_has_its_headers_and_ranges(toolbox):
    toolbox.post("/files/upload-v2", params={"path": "/tmp/ü.bin"}, content=b"0123456789")
    whole = toolbox.get("/files/download", params={"path": "/tmp/ü.bin"})
    assert whole.headers["content-type"] == "application/octet-stream"
    assert whole.headers["content-length"] == "10"
    assert "attachment" in whole.headers["content-disposition"]
    assert exact_name(whole.headers["content-disposition"]) == "ü.bin"
    part = toolbox.get("/files/download", params={"path": "/tmp/ü.bin"}, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")


def test_bulk_download_is_multipart_in_the_order_of_the_request(toolbox):
    toolbox.post("/files/upload-v2", params={"path": "/tmp/first"}, content=b"1\r\n--x\r\n")
    toolbox.post("/files/upload-v2", params={"path": "/tmp/žluť"}, content=b"")
    wanted = ["/tmp/first", "/tmp/missing", "/tmp/žluť"]
    answer = toolbox.post("/files/bulk-download", json={"paths": wanted})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("multipart/form-data; boundary=")
    parts = multipart(answer)
    dispositions = [headers["content-disposition"] for headers, _ in parts]
    kinds = [disposition.split(";")[1].strip() for disposition in dispositions]
    assert kinds == ['name="file"', 'name="error"', 'name="file"']
    assert [exact_name(disposition) for disposition in dispositions] == wanted
    for disposition, name in zip(dispositions, wanted, strict=True):
        assert f' filename="{name}"' in disposition, "the release of November 2025 reads only the plain form"
    assert [headers.get("content-length") for headers, _ in parts[::2]] == ["8", "0"]
    assert [content for _, content in parts[::2]] == [b"1\r\n--x\r\n", b""]


def test_bulk_download_of_nothing_is_400(toolbox):
    assert toolbox.post("/files/bulk-download", json={"paths": []}).status_code == 400
    assert toolbox.post("/files/bulk-download", json={}).status_code == 400


def test_bulk_upload_keeps_the_good_files_when_one_is_bad(toolbox):
    fields = {"files[0].path": "/tmp/good", "files[1].path": "/tmp"}
    files = {"files[0].file": ("ignored", b"good"), "files[1].file": ("ignored", b"bad")}
    answer = toolbox.post("/files/bulk-upload", data=fields, files=files)
    assert answer.status_code == 400
    assert len(answer.json()["errors"]) == 1
    assert toolbox.get("/files/download", params={"path": "/tmp/good"}).content == b"good"


def test_the_legacy_upload_still_works(toolbox):
    answer = toolbox.post("/files/upload", params={"path": "/tmp/legacy"}, files={"file": ("f", b"legacy")})
    assert answer.status_code == 200
    assert toolbox.get("/files/download", params={"path": "/tmp/legacy"}).content == b"legacy"


def test_directories_and_version_are_told(toolbox):
    assert toolbox.get("/user-home-dir").json() == {"dir": "/home/daytona"}
    assert toolbox.get("/work-dir").json() == {"dir": "/home/daytona"}
    assert toolbox.get("/version").json()["version"]


def test_an_unknown_route_is_404(toolbox):
    assert toolbox.get("/no/such/route").status_code == 404


def test_the_legacy_path_on_the_api_host_reaches_the_toolbox(api, shared):
    answer = api("GET", f"/toolbox/{shared['id']}/toolbox/version")
    assert answer.status_code == 200, answer.text


def exact_name(disposition: str) -> str:
    """The name in its extended form, which is the one that can carry any text."""
    found = re.search(r"filename\*=utf-8''([^;]*)", disposition, re.IGNORECASE)
    assert found, disposition
    return unquote(found[1])


def multipart(answer) -> list[tuple[dict[str, str], bytes]]:
    """Headers and content of each part; names are UTF-8, which the email parser would hide."""
    boundary = answer.headers["content-type"].partition("boundary=")[2].strip('"').encode()
    first, *parts, last = (b"\r\n" + answer.content).split(b"\r\n--" + boundary)
    assert (first, last) == (b"", b"--\r\n"), "the body begins and ends with a boundary"
    parsed = []
    for part in parts:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        lines = (line.partition(":") for line in head.decode().split("\r\n"))
        parsed.append(({name.strip().lower(): value.strip() for name, _, value in lines}, content))
    return parsed

"""Directories as tar, watched directories, and ports to wait for: what no SDK has yet."""

import io
import json
import tarfile
import threading


def test_a_directory_goes_in_and_comes_out_as_tar(toolbox):
    sent = io.BytesIO()
    with tarfile.open(fileobj=sent, mode="w") as archive:
        for name, content in {"one": b"1", "deep/er/ü " + "x" * 150: b"2" * 100_000}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o750
            archive.addfile(entry, io.BytesIO(content))
    answer = toolbox.put("/sebring/files/tar", params={"path": "/tmp/tree"}, content=sent.getvalue())
    assert (answer.status_code, answer.json()["files"]) == (200, 2), answer.text
    answer = toolbox.get("/sebring/files/tar", params={"path": "/tmp/tree"})
    assert answer.headers["content-type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        files = {entry.name: (entry.mode, entry.size) for entry in archive if entry.isfile()}
    assert files == {"one": (0o750, 1), "deep/er/ü " + "x" * 150: (0o750, 100_000)}


def test_what_leads_out_of_the_directory_is_refused(toolbox):
    sent = io.BytesIO()
    with tarfile.open(fileobj=sent, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    answer = toolbox.put("/sebring/files/tar", params={"path": "/tmp/tree"}, content=sent.getvalue())
    assert answer.status_code == 400 and "leads out" in answer.json()["message"]


def events(lines):
    kind = None
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


def test_changes_are_streamed_through_the_edge(toolbox):
    toolbox.post("/process/execute", json={"command": "mkdir -p /tmp/watched"})
    with toolbox.stream("GET", "/sebring/files/watch", params={"path": "/tmp/watched"}) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        heard = events(stream.iter_lines())
        assert next(heard)[0] == "ready"
        toolbox.post("/process/execute", json={"command": "mkdir /tmp/watched/new"})
        kind, change = next(heard)
        assert (kind, change["kind"], change["path"]) == ("change", "created", "/tmp/watched/new")


def test_a_port_can_be_waited_for_and_its_process_is_named(toolbox):
    answers = []
    wait = threading.Thread(target=lambda: answers.append(toolbox.get("/sebring/port/4567/wait", params={"timeout": 20})))
    wait.start()
    toolbox.post("/process/execute", json={"command": "python3 -m http.server 4567 > /dev/null 2>&1 &"})
    wait.join()
    assert (answers[0].status_code, answers[0].json()) == (200, {"isInUse": True})
    listeners = toolbox.get("/port").json()["listeners"]
    assert [each["process"] for each in listeners if each["port"] == 4567] == ["python3"]

"""A sandbox whose disk is full: its owner is told, nobody else notices."""

import pytest


@pytest.fixture(scope="module")
def full(client, host):
    before = host.sandboxes()
    sandbox = client.create(labels={"test": "full"})
    # Most of it at once, then byte by byte like any program.
    client.execute(sandbox, "fallocate -l 2800M /tmp/most")
    answer = client.execute(sandbox, "dd if=/dev/zero of=/tmp/rest bs=1M", timeout=60).json()
    assert answer["exitCode"] != 0
    assert "Disk quota exceeded" in answer["result"] or "No space left" in answer["result"]
    yield sandbox
    client.delete_all(test="full")
    host.expect_no_more_than(before)


def test_an_upload_says_that_the_disk_is_full(full, client):
    url = client.toolbox(full, "/files/upload?path=/tmp/upload")
    files = {"file": ("upload", bytes(8 << 20))}
    answer = client.http.post(url, files=files, headers=client.headers)
    assert answer.status_code == 507, answer.text
    assert answer.json()["code"] == "DISK_FULL"
    assert "disk" in answer.json()["message"]
    assert client.execute(full, "ls /tmp/upload").json()["exitCode"] != 0, "no half of a file"


def test_commands_that_need_no_space_work(full, client):
    assert client.run(full, "echo works") == "works\n"


def test_a_neighbour_and_the_host_have_space(full, client, installation):
    neighbour = client.create(labels={"test": "full"})
    client.run(neighbour, "dd if=/dev/zero of=/tmp/file bs=1M count=64 2>/dev/null; sync")
    (installation.data_dir / "probe").write_bytes(bytes(1 << 20))
    (installation.data_dir / "probe").unlink()


def test_it_stops_and_starts_and_its_owner_can_make_space(full, client):
    for wish in ["stop", "start"]:
        answer = client("POST", f"/sandbox/{full}/{wish}")
        assert answer.status_code == 200, answer.text
    client.run(full, "rm /tmp/most /tmp/rest && dd if=/dev/zero of=/tmp/file bs=1M count=64")


def test_a_full_one_can_be_deleted(client, host):
    before = host.sandboxes()
    sandbox = client.create()
    client.execute(sandbox, "fallocate -l 2900M /tmp/most; dd if=/dev/zero of=/tmp/rest bs=1M")
    client.delete(sandbox)
    host.expect_no_more_than(before)

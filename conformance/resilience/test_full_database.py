"""The disk below the database is full: changes are refused whole, and work again afterwards.

Last, because the database of the other tests is out of sight under a small file system.
"""

import os
import shutil
import subprocess

import pytest
from rig.client import together
from support.wait import until

SIZE = "4m"


@pytest.fixture
def small(installation, client):
    """The server's folder on a file system of a few megabytes."""
    folder = installation.data_dir / "server"
    installation.down()
    owner = folder.stat()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", folder], check=True)
    try:
        os.chown(folder, owner.st_uid, owner.st_gid)
        installation.up()
        yield folder
        installation.down()
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder) -> None:
    with open(folder / "filler", "ab", buffering=0) as filler:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    filler.write(bytes(size))
            except OSError:
                continue


def test_a_full_database_refuses_changes_whole_and_recovers(small, client, host, figure):
    before = host.sandboxes()
    sandbox = client.create(labels={"test": "before"})
    fill(small)
    answers = together(lambda _: client.try_create(labels={"test": "during"}), range(200))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused, "200 records find no room"
    for answer in refused:
        assert answer.status_code == 507, answer.text
        assert answer.json()["code"] == "DATABASE_FULL"
    made = {answer.json()["id"] for answer in answers if answer.status_code == 200}
    figure(f"full database: {len(made)} of 200 creates found room, the others were refused with 507")
    assert {one["id"] for one in client.all(test="during")} == made, "refused means not made"
    assert client.run(sandbox, "echo works") == "works\n"

    (small / "filler").unlink()
    assert shutil.disk_usage(small).free > 1 << 20
    new = client.create(labels={"test": "after"})
    assert client.run(new, "echo works") == "works\n"
    assert {one["state"] for one in client.settled()} == {"started"}
    client.delete_all()
    until(lambda: client.all() == [], "all are gone")
    host.expect_no_more_than(before)

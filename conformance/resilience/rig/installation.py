"""One installation of Sebring as an operator runs it: up, down, and which process is which.

Must not: talk to the API (`rig/client.py` does) or look for leftovers (`rig/host.py` does).
"""

import hashlib
import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path

from support.wait import until

# The first start of a data folder builds the default snapshot.
READY_SECONDS = 15 * 60
STOP_SECONDS = 60
POOL_GIB = "20"
ROLES = ["server", "runner", "spawner", "supervisor"]


class Installation:
    def __init__(self, binary: str, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self.binary = binary
        self.data_dir = data_dir.resolve()
        self.instance = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:4]
        self.run_dir = Path("/run/sebring") / self.instance
        self.api_url = ""
        self.api_key = ""
        self._up: subprocess.Popen[bytes] | None = None
        self._log = open(self.data_dir / "up.log", "ab")

    def up(self) -> None:
        """Starts it and waits until it answers; later starts take the address of the first."""
        listen = self.api_url.split("/")[2] if self.api_url else "127.0.0.1:0"
        self._up = subprocess.Popen(
            [self.binary, "up", "--data-dir", self.data_dir, "--listen", listen, "--yes",
             "--pool-gib", POOL_GIB],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log,
            process_group=0,
        )  # fmt: skip
        exported = self._read_exports()
        self.api_url = exported["DAYTONA_API_URL"]
        self.api_key = exported["DAYTONA_API_KEY"]

    def _read_exports(self) -> dict[str, str]:
        assert self._up and self._up.stdout
        deadline = time.monotonic() + READY_SECONDS
        text = b""
        while True:
            found = dict(re.findall(r"export (\w+)='([^']*)'\n", text.decode()))
            if len(found) == 2:
                return found
            left = deadline - time.monotonic()
            assert left > 0, f"not ready within {READY_SECONDS} s"
            if select.select([self._up.stdout], [], [], left)[0]:
                more = os.read(self._up.stdout.fileno(), 4096)
                assert more, f"sebring up ended early; see {self._log.name}"
                text += more

    def down(self) -> None:
        subprocess.run(
            [self.binary, "down", "--data-dir", self.data_dir],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            check=True, timeout=STOP_SECONDS,
        )  # fmt: skip
        self.reap()

    def reap(self) -> None:
        if self._up:
            self._up.wait(STOP_SECONDS)
            assert self._up.stdout
            self._up.stdout.close()
            self._up = None

    def close(self) -> None:
        try:
            self.down()
        finally:
            if self._up:
                self._up.kill()
                self.reap()
            self._log.close()

    @property
    def supervisor(self) -> int:
        assert self._up, "it is up"
        return self._up.pid

    def pid(self, role: str) -> int:
        """Process id of a role; waits until there is one."""
        return until(lambda: self.find(role), f"the {role} runs")

    def find(self, role: str) -> int | None:
        if role == "supervisor":
            return self.supervisor
        parent = self.find("runner") if role == "spawner" else self.supervisor
        for pid, words in processes():
            # A child between fork and exec looks like its parent.
            if words[1:2] == [role] and parent_of(pid) == parent:
                return pid
        return None

    def kill(self, role: str) -> None:
        """Kills one process as the kernel would, and brings up what nobody else brings up again."""
        pid = self.pid(role)
        os.kill(pid, signal.SIGKILL)
        if role == "supervisor":
            self.reap()
            self.up()
        elif role != "spawner":
            # The next sandbox brings the spawner back, the supervisor everything else.
            until(lambda: self.find(role) not in (None, pid), f"another {role} runs")


def processes() -> list[tuple[int, list[str]]]:
    """Every process of this host with its command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            found.append((int(entry.name), words))
    return found


def parent_of(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[1])

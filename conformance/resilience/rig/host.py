"""What an installation occupies on its host, by looking at the kernel and never asking Sebring.

`Host.sandboxes` is what belongs to sandboxes; `Host.spares` are those that nobody owns yet, and
count for nothing elsewhere; `Host.everything` is what must be gone after `sebring down`, the folder
of data excepted.
"""

import json
import os
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

from support.wait import until

from rig.installation import Installation, processes

# The kernel puts namespaces, groups and mounts away in the background.
SETTLE_SECONDS = 20


class Host:
    def __init__(self, installation: Installation) -> None:
        self._data = installation.data_dir
        self._run = installation.run_dir
        self._instance = installation.instance

    def spares(self) -> set[str]:
        """Ids of sandboxes that the runner keeps ready; it marks each as long as it is one."""
        records = self._data / "sandboxes"
        return {name for name in names(records) if (records / name / "spare").exists()}

    def sandboxes(self) -> set[str]:
        """Groups, processes, mounts and files of sandboxes."""
        # Before and after: one may be made or claimed meanwhile.
        spares = self.spares()
        found = {f"process {pid} {name}" for pid, name in self._processes_in_groups(but=spares)}
        for group in self._groups():
            found |= {f"cgroup {group}/{name}" for name in names(group) if (group / name).is_dir()}
        for folder in [self._data / "sandboxes", self._data / "pool/sandboxes",
                       self._data / "pool/trash", self._run / "sandboxes"]:  # fmt: skip
            found |= {f"file {folder}/{name}" for name in names(folder)}
        found |= {line for line in self._mounts() if line != f"mount {self._data}/pool"}
        spares |= self.spares()
        return {what for what in found if not any(one in what for one in spares)}

    def everything(self) -> set[str]:
        """All that the host has because of this installation."""
        found = {f"process {pid} {name}" for pid, name in self._processes_in_groups()}
        found |= {f"process {pid} {' '.join(words)}" for pid, words in processes()
                  if str(self._data) in words}  # fmt: skip
        found |= {f"cgroup {group}" for group in self._groups()}
        found |= self._mounts() | self._network() | self._sockets()
        holders = self._holders_of_the_pool()
        found |= {f"process {pid} {name}" for pid, name in holders if "sebring" in name or "toolbox" in name}
        # A program of somebody else that took a copy of this host's mounts keeps the device too.
        return found if holders else found | self._loop_devices()

    def expect_no_more_than(self, before: set[str]) -> None:
        """Waits for the kernel, then fails with what is left."""
        try:
            until(lambda: not self.sandboxes() - before, "nothing is left", SETTLE_SECONDS)
        except AssertionError:
            raise AssertionError("left: " + "\n".join(sorted(self.sandboxes() - before))) from None

    def expect_nothing(self) -> None:
        try:
            until(lambda: not self.everything(), "nothing is left", SETTLE_SECONDS)
        except AssertionError:
            raise AssertionError("left: " + "\n".join(sorted(self.everything()))) from None

    def processes_of(self, sandbox: str) -> dict[int, str]:
        """Process ids of the host and command lines of what runs in one sandbox."""
        return {pid: name for pid, name in self._processes_in_groups(sandbox)}

    def process_count(self, sandbox: str) -> tuple[int, int]:
        """How many processes and threads the kernel counts and allows, without looking at each."""
        for group in self._groups():
            folder = group / sandbox
            if (folder / "pids.max").exists() and (folder / "pids.max").read_text() != "max\n":
                return tuple(int((folder / f"pids.{name}").read_text()) for name in ("current", "max"))
        raise AssertionError(f"nothing limits the processes of {sandbox}")

    def toolbox_of(self, sandbox: str) -> int:
        """Host process id of the sandbox's first process."""
        for pid in self.processes_of(sandbox):
            text = Path(f"/proc/{pid}/status").read_text()
            if any(line.split()[2:] == ["1"] for line in text.splitlines() if line.startswith("NSpid:")):
                return pid
        raise AssertionError(f"{sandbox} has no first process")

    def _processes_in_groups(self, sandbox: str = "", but: Iterable[str] = ()) -> list[tuple[int, str]]:
        wanted = f"/sebring-{self._instance}/{sandbox}"
        found = []
        for pid, words in processes():
            try:
                groups = Path(f"/proc/{pid}/cgroup").read_text()
            except OSError:
                continue
            if wanted in groups and not any(one in groups for one in but):
                found.append((pid, " ".join(words)))
        return found

    def _groups(self) -> list[Path]:
        name = f"sebring-{self._instance}"
        found = []
        for folder, below, _ in os.walk("/sys/fs/cgroup"):
            if name in below:
                found.append(Path(folder) / name)
            # Groups of other installations and of sandboxes have none of ours below.
            below[:] = [one for one in below if not one.startswith("sebring-")]
        return found

    def _mounts(self) -> set[str]:
        targets = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        ours = (f"{self._data}/", f"{self._run}/")
        # The tests themselves may put a small file system below the server's folder.
        server = f"{self._data}/server"
        return {f"mount {target}" for target in targets if target.startswith(ours) and target != server}

    def _holders_of_the_pool(self) -> list[tuple[int, str]]:
        """Processes with the pool in their own view of mounts; those of the host's view are `_mounts`."""
        host_view = os.readlink("/proc/self/ns/mnt")
        found = []
        for pid, words in processes():
            try:
                if os.readlink(f"/proc/{pid}/ns/mnt") == host_view:
                    continue
                mounts = Path(f"/proc/{pid}/mountinfo").read_text()
            except OSError:
                continue
            if f" {self._data}/pool " in mounts:
                found.append((pid, " ".join(words[:2])))
        return found

    def _loop_devices(self) -> set[str]:
        found = set()
        for device in Path("/sys/block").glob("loop*/loop/backing_file"):
            try:
                backing = device.read_text().strip()
            except OSError:
                continue
            if backing.startswith(f"{self._data}/"):
                found.add(f"loop device of {backing}")
        return found

    def _network(self) -> set[str]:
        found = {f"interface {name}" for name in names(Path("/sys/class/net"))
                 if name.startswith(f"sb{self._instance}")}  # fmt: skip
        tables = output("nft", "list", "tables")
        found |= {f"firewall {line}" for line in tables.splitlines() if f"sebring_{self._instance}" in line}
        if address := self._gateway():
            addresses = output("ip", "-o", "-4", "addr", "show", "dev", "lo")
            found |= {f"address {address}" for line in addresses.splitlines() if f" {address}/" in line}
        return found

    def _gateway(self) -> str | None:
        try:
            text = (self._data / "network.json").read_text()
        except OSError:
            return None
        subnet = next((word for word in flatten(json.loads(text)) if "/16" in word), None)
        return subnet.replace(".0.0/16", ".0.1") if subnet else None

    def _sockets(self) -> set[str]:
        found = set()
        for folder, _, files in os.walk(self._run):
            for name in files:
                path = Path(folder) / name
                if stat.S_ISSOCK(path.lstat().st_mode):
                    found.add(f"socket {path}")
        return found


def names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def flatten(value: object) -> list[str]:
    if isinstance(value, dict):
        return [word for one in value.values() for word in flatten(one)]
    if isinstance(value, list):
        return [word for one in value for word in flatten(one)]
    return [str(value)]

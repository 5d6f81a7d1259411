"""What a program finds inside: its user, its share of the host, its own names."""

from datetime import timedelta

import pytest

from support.wait import until


def test_commands_run_as_the_user_daytona(sandbox):
    assert sandbox.process.exec("id -un; id -u; echo $HOME").result.split()[0] == "daytona"
    assert sandbox.process.exec("echo $HOME").result.strip() == "/home/daytona"


def test_sudo_gives_root_without_a_password(sandbox):
    assert sandbox.process.exec("sudo id -u").result.strip() == "0"
    assert (
        sandbox.process.exec("sudo sh -c 'echo written > /etc/by-root'; cat /etc/by-root").result.strip() == "written"
    )
    assert sandbox.process.exec("sudo sh -c 'exit 9'").exit_code == 9
    assert sandbox.process.exec("echo through | sudo cat").result.strip() == "through"


def test_the_host_name_is_the_id_of_the_sandbox(sandbox):
    assert sandbox.process.exec("hostname").result.strip() == sandbox.id


def test_tools_report_the_share_of_the_sandbox(sandbox):
    assert sandbox.process.exec("nproc").result.strip() == str(sandbox.cpu)
    total_mib = int(sandbox.process.exec("free -m | awk '/^Mem:/ {print $2}'").result)
    assert 900 <= total_mib <= 1024, "free shows the one GiB of the sandbox"


def test_workspace_is_present_and_writable(sandbox):
    assert sandbox.process.exec("touch /workspace/mine && rm /workspace/mine").exit_code == 0


def test_the_sandbox_knows_its_id(sandbox):
    assert sandbox.process.exec("echo $DAYTONA_SANDBOX_ID").result.strip() == sandbox.id


def test_a_python_environment_can_be_made(sandbox, folder):
    answer = sandbox.process.exec(f"python3 -m venv {folder}/venv && {folder}/venv/bin/python -c 'print(1 + 1)'")
    assert answer.result.strip().endswith("2"), answer.result


def test_git_works_on_a_local_repository(sandbox, folder):
    steps = [
        f"cd {folder}",
        "git init -q .",
        "git -c user.name=a -c user.email=a@b commit -q --allow-empty -m first",
        "git log --oneline | wc -l",
    ]
    assert sandbox.process.exec(" && ".join(steps)).result.strip() == "1"


@pytest.mark.needs("Sandbox.get_metrics_latest")
def test_the_latest_metrics_are_those_of_the_sandbox(sandbox):
    seen = sandbox.get_metrics_latest()
    assert seen.cpu_count == sandbox.cpu
    assert 0 <= seen.cpu_used_pct <= 100
    assert seen.mem_total == sandbox.memory * 1024**3
    assert 0 < seen.mem_used <= seen.mem_total
    assert 0 < seen.disk_used < seen.disk_total <= sandbox.disk * 1024**3


@pytest.mark.mode("sync")
@pytest.mark.needs("Sandbox.get_metrics")
def test_use_over_time_is_kept_within_its_limits(sandbox):
    history = until(sandbox.get_metrics, "a sample, of which there are four a minute", 40)
    for sample in history:
        assert sample.cpu_count == sandbox.cpu
        assert 0 <= sample.cpu_used_pct <= 100
        assert 0 < sample.mem_used <= sample.mem_total == sandbox.memory * 1024**3
        assert 0 < sample.disk_used < sample.disk_total == sandbox.disk * 1024**3
    last = history[-1].timestamp
    assert sandbox.get_metrics(end=last)[-1].timestamp == last
    second = timedelta(seconds=1)
    assert sandbox.get_metrics(start=last + second, end=last + 2 * second) == []


@pytest.mark.needs("Sandbox.update_env")
def test_changed_environment_reaches_later_commands(sandboxes):
    sandbox = sandboxes.create(env_vars={"OLD": "1"})
    sandbox.update_env({"NEW": "2"}, unset=["OLD"])
    assert sandbox.process.exec('echo "[$OLD][$NEW]"').result.strip() == "[][2]"

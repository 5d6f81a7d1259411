"""Create, find, start, stop, delete: what every program does first."""

import uuid

import pytest

from support.sdk import NotFound, state_of
from support.wait import until


def test_create_without_arguments_gives_a_started_sandbox_with_the_documented_defaults(client, api):
    sandbox = client.create()
    try:
        assert state_of(sandbox) == "started"
        assert uuid.UUID(sandbox.id).version == 4
        assert sandbox.name == sandbox.id
        assert sandbox.user == "daytona"
        assert (sandbox.cpu, sandbox.gpu, sandbox.memory, sandbox.disk) == (1, 0, 1, 3)
        assert sandbox.public is False
        assert sandbox.auto_stop_interval == 15
        assert sandbox.auto_archive_interval == 10080
        assert sandbox.auto_delete_interval == -1
        assert sandbox.snapshot
        assert sandbox.organization_id
    finally:
        api("DELETE", f"/sandbox/{sandbox.id}")


def test_create_keeps_every_parameter(sandboxes, unique):
    name = unique("kept")
    sandbox = sandboxes.create(
        name=name,
        language="javascript",
        env_vars={"COLOUR": "teal", "EMPTY": "", "SPACED": "a b  c", "QUOTED": 'it\'s "so" $HOME'},
        labels={"purpose": "everything", "näme": "wärt"},
        public=True,
        auto_stop_interval=7,
        auto_archive_interval=60,
        auto_delete_interval=90,
    )
    assert sandbox.name == name
    assert sandbox.labels["purpose"] == "everything"
    assert sandbox.labels["näme"] == "wärt"
    assert sandbox.public is True
    assert sandbox.auto_stop_interval == 7
    assert sandbox.auto_archive_interval == 60
    assert sandbox.auto_delete_interval == 90
    shown = sandbox.process.exec('printf "%s|%s|%s|%s" "$COLOUR" "$EMPTY" "$SPACED" "$QUOTED"')
    assert shown.result == 'teal||a b  c|it\'s "so" $HOME'


@pytest.mark.needs("ListSandboxesQuery")
def test_language_is_kept_as_a_label(client, sandboxes):
    sandbox = sandboxes.create(language="typescript")
    assert client.get(sandbox.id).labels["code-toolbox-language"] == "typescript"


def test_a_named_snapshot_can_be_asked_for(client, sandboxes):
    default = sandboxes.create()
    same = sandboxes.create(snapshot=default.snapshot)
    assert same.snapshot == default.snapshot
    assert state_of(same) == "started"


def test_get_finds_by_id_and_by_name(client, sandboxes, unique):
    name = unique("findable")
    sandbox = sandboxes.create(name=name)
    assert client.get(sandbox.id).name == name
    assert client.get(name).id == sandbox.id


def test_stop_then_start_keeps_files_and_identity(client, sandboxes):
    sandbox = sandboxes.create()
    sandbox.process.exec("echo kept > ~/kept.txt")
    sandbox.stop()
    assert state_of(sandbox) == "stopped"
    assert state_of(client.get(sandbox.id)) == "stopped"
    sandbox.start()
    assert state_of(sandbox) == "started"
    assert sandbox.process.exec("cat ~/kept.txt").result.strip() == "kept"


@pytest.mark.needs("Sandbox.stop(force)")
def test_a_forced_stop_stops_what_ignores_signals(sandboxes):
    sandbox = sandboxes.create()
    sandbox.process.exec("(trap '' TERM INT HUP; while :; do sleep 1; done) > /dev/null 2>&1 &")
    sandbox.stop(force=True)
    assert state_of(sandbox) == "stopped"


def test_starting_a_started_sandbox_changes_nothing(client, sandboxes):
    sandbox = sandboxes.create()
    client.start(sandbox)
    assert state_of(sandbox) == "started"


def test_stop_and_start_through_the_client(client, sandboxes):
    sandbox = sandboxes.create()
    client.stop(sandbox)
    assert state_of(client.get(sandbox.id)) == "stopped"
    client.start(sandbox)
    assert state_of(client.get(sandbox.id)) == "started"


def test_processes_do_not_survive_a_stop(sandboxes):
    sandbox = sandboxes.create()
    sandbox.process.exec("sleep 1000 > /dev/null 2>&1 &")
    sandbox.stop()
    sandbox.start()
    assert sandbox.process.exec("pgrep -x sleep -a | grep -c 1000").result.strip() == "0"


def test_a_deleted_sandbox_is_gone(client, sandboxes):
    sandbox = sandboxes.create()
    client.delete(sandbox)
    until(lambda: gone(client, sandbox.id), "get answers 404")


@pytest.mark.needs("Sandbox.delete(wait)")
def test_delete_can_wait_until_destroyed(client, sandboxes):
    sandbox = sandboxes.create()
    sandbox.delete(wait=True)
    assert state_of(sandbox) == "destroyed"
    assert gone(client, sandbox.id)


def test_a_stopped_sandbox_can_be_deleted(client, sandboxes):
    sandbox = sandboxes.create()
    sandbox.stop()
    client.delete(sandbox)
    until(lambda: gone(client, sandbox.id), "get answers 404")


def test_a_name_is_free_again_as_soon_as_delete_answers(client, sandboxes, unique):
    name = unique("reused")
    first = sandboxes.create(name=name)
    client.delete(first)
    second = sandboxes.create(name=name)
    assert second.id != first.id
    assert client.get(name).id == second.id


def test_an_ephemeral_sandbox_is_deleted_when_it_stops(client, sandboxes):
    sandbox = sandboxes.create(ephemeral=True)
    assert sandbox.auto_delete_interval == 0
    sandbox.stop()
    until(lambda: gone(client, sandbox.id), "get answers 404")


def test_refresh_shows_what_another_client_did(sdk, sandboxes):
    sandbox = sandboxes.create()
    other = sdk.client().get(sandbox.id)
    other.stop()
    sandbox.refresh_data()
    assert state_of(sandbox) == "stopped"


def test_waiting_for_a_state_that_is_already_reached_returns(sandboxes):
    sandbox = sandboxes.create()
    sandbox.wait_for_sandbox_start(timeout=20)
    sandbox.stop()
    sandbox.wait_for_sandbox_stop(timeout=20)


def test_two_sandboxes_do_not_share_files_or_processes(sandboxes):
    one, two = sandboxes.create(), sandboxes.create()
    one.process.exec("echo private > /tmp/private; sleep 4321 > /dev/null 2>&1 &")
    assert two.process.exec("cat /tmp/private").exit_code != 0
    assert "4321" not in two.process.exec("cat /proc/[0-9]*/cmdline | tr '\\0' ' '; true").result


def gone(client, sandbox_id: str) -> bool:
    try:
        client.get(sandbox_id)
    except NotFound:
        return True
    return False

"""Mistakes: each is the exception class that the SDK documents, with a text that helps."""

import socket
import uuid

import daytona
import pytest

from support.sdk import NotFound

TYPED = pytest.mark.needs("DaytonaConflictError")


def test_an_unknown_sandbox_is_not_found(client):
    with pytest.raises(NotFound):
        client.get(str(uuid.uuid4()))


@TYPED
@pytest.mark.parametrize("name", ["no-such-name", "00000000-0000-0000-0000-000000000000", "a/b", "ä b"])
def test_every_kind_of_unknown_name_is_not_found(client, name):
    with pytest.raises(NotFound):
        client.get(name)


@TYPED
@pytest.mark.parametrize("key", ["dtn_" + "0" * 64, "nonsense", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.x"])
def test_a_wrong_key_is_an_authentication_error(sdk, key):
    with pytest.raises(daytona.DaytonaAuthenticationError, match="Invalid credentials"):
        sdk.client(api_key=key).create()


@TYPED
def test_a_taken_name_is_a_conflict_that_names_it(sandboxes, unique):
    name = unique("taken")
    sandboxes.create(name=name)
    with pytest.raises(daytona.DaytonaConflictError, match=f"{name} already exists"):
        sandboxes.create(name=name)


@TYPED
def test_a_stopped_sandbox_keeps_its_name_taken(sandboxes, unique):
    name = unique("stopped")
    sandboxes.create(name=name).stop()
    with pytest.raises(daytona.DaytonaConflictError):
        sandboxes.create(name=name)


@TYPED
def test_an_unknown_snapshot_is_a_bad_request_that_names_it(sandboxes):
    with pytest.raises(daytona.DaytonaBadRequestError, match="no/such:1 not found"):
        sandboxes.create(snapshot="no/such:1")


def test_an_unknown_snapshot_fails_the_create_in_every_release(sandboxes):
    with pytest.raises(daytona.DaytonaError, match="no/such:1"):
        sandboxes.create(snapshot="no/such:1")


@TYPED
@pytest.mark.parametrize(
    ("field", "size"),
    [("cpu", 4096), ("memory", 65536), ("disk", 1_000_000)],
)
def test_a_size_over_the_limit_is_a_bad_request_that_names_the_field(sandboxes, field, size):
    sandbox = sandboxes.create()
    sandbox.stop()
    with pytest.raises(daytona.DaytonaBadRequestError, match=f"(?i){field}"):
        sandbox.resize(daytona.Resources(**{field: size}))


@TYPED
def test_disk_cannot_grow_while_running_nor_shrink(sandboxes):
    sandbox = sandboxes.create()
    with pytest.raises(daytona.DaytonaBadRequestError):
        sandbox.resize(daytona.Resources(disk=5))
    sandbox.stop()
    with pytest.raises(daytona.DaytonaBadRequestError):
        sandbox.resize(daytona.Resources(disk=1))


@TYPED
def test_a_resize_that_changes_nothing_is_a_bad_request(sandboxes):
    with pytest.raises(daytona.DaytonaBadRequestError):
        sandboxes.create().resize(daytona.Resources(cpu=1))


@TYPED
def test_pause_and_fork_are_unprocessable_for_this_class(sandboxes):
    sandbox = sandboxes.create()
    with pytest.raises(daytona.DaytonaUnprocessableEntityError, match="not supported"):
        sandbox.pause()
    with pytest.raises(daytona.DaytonaUnprocessableEntityError, match="not supported"):
        sandbox.fork()


@TYPED
def test_stopping_a_stopped_sandbox_is_a_bad_request(sandboxes):
    sandbox = sandboxes.create()
    sandbox.stop()
    with pytest.raises(daytona.DaytonaBadRequestError, match="stoppable"):
        sandbox.stop()


@TYPED
def test_work_in_a_stopped_sandbox_says_that_it_is_stopped(sandboxes):
    sandbox = sandboxes.create()
    sandbox.stop()
    with pytest.raises(daytona.DaytonaBadRequestError, match="(?i)start|stopped"):
        sandbox.process.exec("true")


@TYPED
def test_work_in_a_deleted_sandbox_is_not_found(sandboxes):
    sandbox = sandboxes.create()
    sandbox.delete(wait=True)
    with pytest.raises(NotFound):
        sandbox.process.exec("true")


@TYPED
@pytest.mark.parametrize("use", ["download_file", "list_files", "get_file_info", "delete_file"])
def test_a_missing_file_is_file_not_found(sandbox, use):
    with pytest.raises(daytona.DaytonaFileNotFoundError):
        getattr(sandbox.fs, use)("/tmp/no/such/file")


def test_a_missing_file_fails_in_every_release(sandbox):
    with pytest.raises(daytona.DaytonaError):
        sandbox.fs.download_file("/tmp/no/such/file")


@TYPED
def test_a_forbidden_file_is_access_denied(sandbox):
    sandbox.process.exec("sudo sh -c 'echo secret > /root/secret && chmod 600 /root/secret && chmod 755 /root'")
    with pytest.raises(daytona.DaytonaFileAccessDeniedError):
        sandbox.fs.download_file("/root/secret")


@TYPED
def test_a_folder_where_a_file_is_needed_is_a_bad_request(sandbox):
    with pytest.raises(daytona.DaytonaBadRequestError):
        sandbox.fs.download_file("/tmp")
    with pytest.raises(daytona.DaytonaBadRequestError):
        sandbox.fs.list_files("/etc/passwd")


@TYPED
def test_move_onto_a_file_is_a_conflict(sandbox, folder):
    sandbox.process.exec(f"touch {folder}/a {folder}/b")
    with pytest.raises(daytona.DaytonaConflictError):
        sandbox.fs.move_files(f"{folder}/a", f"{folder}/b")


def test_an_empty_command_is_refused(sandbox):
    if hasattr(daytona, "DaytonaBadRequestError"):
        with pytest.raises(daytona.DaytonaBadRequestError):
            sandbox.process.exec("   ")
    else:
        assert sandbox.process.exec("   ").exit_code == 0, "this release wraps the command in a shell call"


@TYPED
@pytest.mark.parametrize("port", [0, 65536])
def test_a_port_out_of_range_is_a_bad_request(sandbox, port):
    with pytest.raises(daytona.DaytonaBadRequestError):
        sandbox.get_preview_link(port)


@TYPED
@pytest.mark.parametrize("seconds", [0, 86401])
def test_a_signed_link_that_lives_too_long_or_not_at_all_is_a_bad_request(sandbox, seconds):
    with pytest.raises(daytona.DaytonaBadRequestError):
        sandbox.create_signed_preview_url(3000, seconds)


def test_no_server_is_an_error_of_the_sdk(sdk):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/api"
        with pytest.raises(daytona.DaytonaError):
            sdk.client(api_url=url).get("anything")

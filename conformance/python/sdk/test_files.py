"""The file system of a sandbox through the SDK."""

import io

import daytona
import pytest


def test_upload_then_download_gives_the_same_bytes(sandbox, folder):
    content = bytes(range(256)) * 400 + b"\r\n--boundary--\r\n"
    sandbox.fs.upload_file(content, f"{folder}/data.bin")
    assert sandbox.fs.download_file(f"{folder}/data.bin") == content


def test_an_empty_file_survives(sandbox, folder):
    sandbox.fs.upload_file(b"", f"{folder}/empty")
    assert sandbox.fs.download_file(f"{folder}/empty") == b""


@pytest.mark.parametrize(
    "name", ["plain.txt", "with space.txt", "ünï-çødé-🐢.txt", 'it\'s "quoted".txt', "100%+&=#?.txt"]
)
def test_any_file_name_works(sandbox, folder, name):
    sandbox.fs.upload_file(name.encode(), f"{folder}/{name}")
    assert sandbox.fs.download_file(f"{folder}/{name}") == name.encode()
    assert [entry.name for entry in sandbox.fs.list_files(folder)] == [name]
    assert sandbox.fs.get_file_info(f"{folder}/{name}").size == len(name.encode())


def test_upload_makes_missing_folders(sandbox, folder):
    sandbox.fs.upload_file(b"deep", f"{folder}/a/b/c/file")
    assert sandbox.process.exec(f"cat {folder}/a/b/c/file").result.strip() == "deep"


def test_upload_overwrites_and_keeps_the_mode(sandbox, folder):
    path = f"{folder}/script"
    sandbox.fs.upload_file(b"a long first version", path)
    sandbox.fs.set_file_permissions(path, mode="750")
    sandbox.fs.upload_file(b"short", path)
    assert sandbox.fs.download_file(path) == b"short"
    assert sandbox.process.exec(f"stat -c %a {path}").result.strip() == "750"


def test_files_belong_to_the_user_of_the_sandbox(sandbox, folder):
    sandbox.fs.upload_file(b"x", f"{folder}/owned")
    assert sandbox.process.exec(f"stat -c %U {folder} {folder}/owned").result.split() == ["daytona", "daytona"]


def test_relative_paths_start_at_the_work_dir(sandbox, unique):
    name = unique("relative")
    sandbox.fs.upload_file(b"here", name)
    try:
        assert sandbox.process.exec(f"cat {sandbox.get_work_dir()}/{name}").result.strip() == "here"
        assert sandbox.fs.download_file(name) == b"here"
    finally:
        sandbox.fs.delete_file(name)


def test_several_files_go_up_and_down_in_one_call(sandbox, folder, local):
    (local / "from-disk").write_bytes(b"disk" * 1000)
    uploads = [
        daytona.FileUpload(source=b"one", destination=f"{folder}/one"),
        daytona.FileUpload(source=str(local / "from-disk"), destination=f"{folder}/sub/two"),
        daytona.FileUpload(source=b"", destination=f"{folder}/three"),
    ]
    sandbox.fs.upload_files(uploads)
    wanted = [
        daytona.FileDownloadRequest(source=f"{folder}/one"),
        daytona.FileDownloadRequest(source=f"{folder}/sub/two", destination=str(local / "two")),
        daytona.FileDownloadRequest(source=f"{folder}/missing"),
        daytona.FileDownloadRequest(source=f"{folder}/three"),
    ]
    one, two, missing, three = sandbox.fs.download_files(wanted)
    assert one.result == b"one" and not one.error
    assert (local / "two").read_bytes() == b"disk" * 1000 and not two.error
    assert missing.error and not missing.result
    assert three.result == b"" and not three.error


@pytest.mark.needs("FileSystem.download_file_stream")
def test_a_missing_file_among_several_has_its_code(sandbox, folder):
    (missing,) = sandbox.fs.download_files([daytona.FileDownloadRequest(source=f"{folder}/missing")])
    assert missing.error_details.status_code == 404


def test_a_file_goes_to_disk_on_both_sides(sandbox, folder, local):
    (local / "up").write_bytes(b"\x00\xff" * 50_000)
    sandbox.fs.upload_file(str(local / "up"), f"{folder}/there")
    sandbox.fs.download_file(f"{folder}/there", str(local / "down"))
    assert (local / "down").read_bytes() == (local / "up").read_bytes()


def test_tens_of_megabytes_pass(sandbox, folder):
    content = b"0123456789abcdef" * (2 * 1024 * 1024)
    sandbox.fs.upload_file(content, f"{folder}/large")
    assert sandbox.fs.get_file_info(f"{folder}/large").size == len(content)
    assert sandbox.fs.download_file(f"{folder}/large") == content


@pytest.mark.mode("sync")
@pytest.mark.needs("FileSystem.download_file_stream")
def test_streams_report_progress_and_size(sandbox, folder):
    content = b"progress" * 100_000
    sent, received = [], []
    sandbox.fs.upload_file_stream(io.BytesIO(content), f"{folder}/stream", on_progress=sent.append)
    chunks = sandbox.fs.download_file_stream(f"{folder}/stream", on_progress=received.append)
    assert b"".join(chunks) == content
    assert sent[-1].bytes_sent == len(content)
    assert received[-1].bytes_received == received[-1].total_bytes == len(content)


@pytest.mark.needs("FileSystem.download_file_stream")
def test_a_stream_of_a_file_is_its_bytes(sandbox, folder):
    content = b"streamed" * 1000
    sandbox.fs.upload_file_stream(content, f"{folder}/stream")
    assert b"".join(sandbox.fs.download_file_stream(f"{folder}/stream")) == content


def test_list_shows_each_entry_with_its_kind(sandbox, folder):
    sandbox.process.exec(f"cd {folder} && mkdir sub && printf 12345 > file && ln -s file link && chmod 640 file")
    entries = {entry.name: entry for entry in sandbox.fs.list_files(folder)}
    assert list(entries) == ["file", "link", "sub"], "sorted by name"
    assert (entries["file"].is_dir, entries["file"].size) == (False, 5)
    assert (entries["sub"].is_dir, entries["link"].is_dir) == (True, False)
    assert entries["file"].mode == "-rw-r-----"
    assert entries["file"].permissions == "0640"
    assert entries["sub"].mode.startswith("d")


@pytest.mark.needs("FileSystem.list_files(depth)")
def test_list_goes_as_deep_as_asked(sandbox, folder):
    sandbox.process.exec(f"cd {folder} && mkdir -p a/b/c && touch a/1 a/b/2 a/b/c/3")

    def paths(depth):
        return sorted(entry.path.removeprefix(f"{folder}/") for entry in sandbox.fs.list_files(folder, depth=depth))

    assert paths(1) == ["a"]
    assert paths(2) == ["a", "a/1", "a/b"]
    assert paths(4) == ["a", "a/1", "a/b", "a/b/2", "a/b/c", "a/b/c/3"]


def test_an_empty_folder_lists_nothing(sandbox, folder):
    assert sandbox.fs.list_files(folder) == []


def test_folders_are_made_with_parents_and_mode(sandbox, folder):
    sandbox.fs.create_folder(f"{folder}/x/y/z", "700")
    assert sandbox.process.exec(f"stat -c %a {folder}/x/y/z").result.strip() == "700"
    sandbox.fs.create_folder(f"{folder}/x/y/z", "700")


def test_delete_removes_files_and_whole_folders(sandbox, folder):
    sandbox.process.exec(f"mkdir -p {folder}/tree/deep && touch {folder}/tree/deep/f {folder}/single")
    sandbox.fs.delete_file(f"{folder}/single")
    with pytest.raises(daytona.DaytonaError):
        sandbox.fs.delete_file(f"{folder}/tree")
    sandbox.fs.delete_file(f"{folder}/tree", True)
    assert sandbox.fs.list_files(folder) == []


def test_move_renames_files_and_folders(sandbox, folder):
    sandbox.process.exec(f"mkdir {folder}/old && echo moved > {folder}/old/f")
    sandbox.fs.move_files(f"{folder}/old", f"{folder}/new")
    assert sandbox.fs.download_file(f"{folder}/new/f") == b"moved\n"
    assert [entry.name for entry in sandbox.fs.list_files(folder)] == ["new"]


def test_move_does_not_overwrite(sandbox, folder):
    sandbox.fs.upload_file(b"1", f"{folder}/1")
    sandbox.fs.upload_file(b"2", f"{folder}/2")
    with pytest.raises(daytona.DaytonaError):
        sandbox.fs.move_files(f"{folder}/1", f"{folder}/2")
    assert sandbox.fs.download_file(f"{folder}/2") == b"2"


def test_permissions_are_set(sandbox, folder):
    sandbox.fs.upload_file(b"#!/bin/sh\necho ran\n", f"{folder}/run")
    sandbox.fs.set_file_permissions(f"{folder}/run", mode="755", owner="daytona", group="daytona")
    assert sandbox.process.exec(f"{folder}/run").result.strip() == "ran"


def test_search_finds_names_by_glob(sandbox, folder):
    sandbox.process.exec(f"cd {folder} && mkdir -p p/q && touch a.py p/b.py p/q/c.py p/d.txt")
    found = sandbox.fs.search_files(folder, "*.py").files
    assert sorted(found) == [f"{folder}/{name}" for name in ("a.py", "p/b.py", "p/q/c.py")]
    assert sandbox.fs.search_files(folder, "*.rs").files == []


def test_find_gives_file_line_and_text(sandbox, folder):
    sandbox.fs.upload_file(b"first\nneedle (x)\nlast needle (x)\n", f"{folder}/a.txt")
    sandbox.fs.upload_file(b"\x00needle (x)\n", f"{folder}/binary")
    found = sorted((match.file, match.line, match.content) for match in sandbox.fs.find_files(folder, "needle (x)"))
    assert found == [(f"{folder}/a.txt", 2, "needle (x)"), (f"{folder}/a.txt", 3, "last needle (x)")]
    assert sandbox.fs.find_files(folder, "nothing like it") == []


def test_replace_tells_per_file_how_it_went(sandbox, folder):
    sandbox.fs.upload_file(b"old and old", f"{folder}/a")
    good, bad = sandbox.fs.replace_in_files([f"{folder}/a", f"{folder}/missing"], "old", "new")
    assert (good.file, good.success) == (f"{folder}/a", True)
    assert bad.success is False and bad.error
    assert sandbox.fs.download_file(f"{folder}/a") == b"new and new"


def test_directories_of_the_user_are_known(sandbox):
    assert sandbox.get_user_home_dir() == "/home/daytona"
    assert sandbox.get_work_dir() == "/home/daytona"
    assert sandbox.get_user_root_dir() == "/home/daytona"

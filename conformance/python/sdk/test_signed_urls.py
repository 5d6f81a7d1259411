"""File links that work without a key, made by the SDK and checked by the server."""

import base64
import hashlib
import hmac

import httpx
import pytest

pytestmark = pytest.mark.needs("Sandbox.download_url")

PATHS = ["plain.txt", "a b+ü.txt", "100%&=#?.txt"]


@pytest.mark.parametrize("name", PATHS)
def test_a_download_link_gives_the_file(sandbox, folder, name):
    sandbox.fs.upload_file(name.encode(), f"{folder}/{name}")
    answer = httpx.get(sandbox.download_url(f"{folder}/{name}"))
    assert (answer.status_code, answer.content) == (200, name.encode())


@pytest.mark.parametrize("name", PATHS)
def test_an_upload_link_takes_a_form(sandbox, folder, name):
    answer = httpx.post(sandbox.upload_url(f"{folder}/{name}"), files={"file": b"uploaded"})
    assert answer.status_code == 200, answer.text
    assert sandbox.fs.download_file(f"{folder}/{name}") == b"uploaded"


def test_an_upload_link_takes_a_raw_body(sandbox, folder):
    answer = httpx.post(sandbox.upload_url(f"{folder}/raw"), content=b"raw bytes")
    assert answer.status_code == 200, answer.text
    assert sandbox.fs.download_file(f"{folder}/raw") == b"raw bytes"


def test_a_link_without_end_stays_valid(sandbox, folder):
    sandbox.fs.upload_file(b"forever", f"{folder}/f")
    url = sandbox.download_url(f"{folder}/f", 0)
    assert "expires=0" in url
    assert httpx.get(url).content == b"forever"


def test_a_link_opens_its_path_and_method_only(sandbox, folder):
    sandbox.fs.upload_file(b"1", f"{folder}/one")
    sandbox.fs.upload_file(b"2", f"{folder}/two")
    url = sandbox.download_url(f"{folder}/one")
    assert httpx.get(url.replace("one", "two")).status_code == 401
    assert httpx.post(url.replace("/files/download", "/files/upload-v2"), content=b"x").status_code == 401
    assert httpx.get(url.replace("/files/download", "/files/info")).status_code == 401
    assert httpx.get(url[:-2]).status_code == 401


def test_a_longer_life_cannot_be_written_into_a_link(sandbox, folder):
    sandbox.fs.upload_file(b"1", f"{folder}/one")
    url = httpx.URL(sandbox.download_url(f"{folder}/one", 60))
    assert httpx.get(url.copy_set_param("expires", "0")).status_code == 401


def test_a_past_link_is_closed(sandbox, folder, api):
    path = f"{folder}/f"
    sandbox.fs.upload_file(b"1", path)
    key = api("GET", f"/sandbox/{sandbox.id}/signing-key").text
    digest = hmac.new(key.encode(), f"v1:files:GET:{path}:1000000000".encode(), hashlib.sha256).digest()
    signature = "v1_" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    params = {"path": path, "expires": "1000000000", "signature": signature}
    answer = httpx.get(f"{sandbox.toolbox_proxy_url}/{sandbox.id}/files/download", params=params)
    assert answer.status_code == 401


def test_rotation_closes_older_links(sandboxes):
    sandbox = sandboxes.create()
    sandbox.fs.upload_file(b"1", "/tmp/one")
    old = sandbox.download_url("/tmp/one")
    assert httpx.get(old).status_code == 200
    sandbox.rotate_signing_key()
    assert httpx.get(old).status_code == 401
    assert httpx.get(sandbox.download_url("/tmp/one")).status_code == 200


def test_links_survive_a_stop_and_a_start(sandboxes):
    sandbox = sandboxes.create()
    sandbox.fs.upload_file(b"kept", "/home/daytona/kept")
    url = sandbox.download_url("/home/daytona/kept")
    sandbox.stop()
    assert httpx.get(url).status_code in (400, 409)
    sandbox.start()
    assert httpx.get(url).content == b"kept"

"""Bodies as clients really send and read them."""

import re

import httpx
import pytest

from support import shapes
from support.shapes import check


def test_a_post_without_a_body_may_claim_to_be_a_form(api, make):
    """The TypeScript client labels body-less posts as an empty form."""
    sandbox = make()
    form = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "0"}
    for suffix in ("stop?force=false", "start", "autostop/20", "public/true", "last-activity"):
        answer = api("POST", f"/sandbox/{sandbox['id']}/{suffix}", headers=form)
        assert answer.status_code in (200, 201), f"{suffix}: {answer.text}"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"activityType":"preview"}'])
def test_last_activity_takes_an_empty_json_body(api, path, body):
    answer = api("POST", f"{path}/last-activity", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.content) == (201, b"")


def test_create_takes_an_empty_object_and_ignores_unknown_fields(make):
    sandbox = make(envVars={"not": "a field"}, somethingNew=[1, {"deep": True}])
    assert sandbox["state"] == "started"


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"\xff\xfe"])
def test_a_create_that_is_not_an_object_is_400(api, body):
    answer = api("POST", "/sandbox", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    check(answer.json(), shapes.ERROR)


def test_an_oversized_body_is_refused(api):
    body = b'{"labels":{"big":"' + b"x" * (8 * 1024 * 1024) + b'"}}'
    try:
        answer = api("POST", "/sandbox", content=body, headers={"Content-Type": "application/json"})
    except (httpx.WriteError, httpx.RemoteProtocolError):
        return  # Refused so early that the rest could not be sent.
    assert answer.status_code == 413


def test_sizes_are_integers_on_the_wire(api, path):
    text = api("GET", path).text
    for key in ("cpu", "gpu", "memory", "disk"):
        assert f'"{key}":' in text and not re.search(rf'"{key}":\s*\d+\.', text)


def test_a_sandbox_has_every_key(api, path):
    check(api("GET", path).json(), shapes.SANDBOX)


def test_a_list_has_every_key_and_null_at_its_end(api, shared):
    page = api("GET", "/sandbox", params={"id": shared["id"]}).json()
    assert "nextCursor" in page and page["nextCursor"] is None
    assert [item["id"] for item in page["items"]] == [shared["id"]]
    check(page["items"][0], shapes.SANDBOX_COMMON)


def test_a_numbered_page_has_integer_totals(api, shared):
    page = api("GET", "/sandbox/paginated", params={"id": shared["id"]}).json()
    check(page, {"items": list, "total": int, "page": int, "totalPages": int})
    check(page["items"][0], shapes.SANDBOX)


def test_snapshots_have_every_key(api):
    page = api("GET", "/snapshots").json()
    check(page, {"items": list, "total": int, "page": int, "totalPages": int})
    assert page["items"], "there is a default snapshot"
    for snapshot in page["items"]:
        check(snapshot, shapes.SNAPSHOT)
        assert not [key for key in shapes.SNAPSHOT_KEYS if key not in snapshot]


def test_the_configuration_is_public_and_complete(sdk):
    config = httpx.get(f"{sdk.api_url}/config", trust_env=False).json()
    check(config, shapes.CONFIG)
    check(config["oidc"], {"issuer": str, "clientId": str, "audience": str, "provider": str})


def test_health_is_public(sdk):
    answer = httpx.get(f"{sdk.api_url}/health", trust_env=False)
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


def test_regions_have_every_key(api):
    for path in ("/regions", "/shared-regions"):
        regions = api("GET", path).json()
        assert regions, path
        for region in regions:
            check(region, shapes.REGION)


def test_the_current_key_is_masked(api, sdk):
    key = api("GET", "/api-keys/current").json()
    check(key, shapes.API_KEY)
    assert {"lastUsedAt", "expiresAt"} <= set(key)
    assert sdk.api_key not in str(key) and "*" in key["value"]


def test_a_signing_key_is_bare_text(api, path):
    first = api("GET", f"{path}/signing-key")
    assert first.headers["content-type"].startswith("text/")
    assert first.text and '"' not in first.text and first.text == first.text.strip()
    assert api("GET", f"{path}/signing-key").text == first.text
    assert api("POST", f"{path}/signing-key/rotate").text != first.text


def test_times_are_utc_with_milliseconds(api, path):
    sandbox = api("GET", path).json()
    for key in ("createdAt", "updatedAt", "lastActivityAt"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", sandbox[key]), (key, sandbox[key])


def test_preview_links_have_every_key(api, shared, path):
    link = api("GET", f"{path}/ports/1/preview-url").json()
    check(link, {"sandboxId": str, "url": str, "token": str})
    signed = api("GET", f"{path}/ports/3000/signed-preview-url").json()
    check(signed, {"sandboxId": str, "port": int, "token": str, "url": str})
    assert re.fullmatch(r"[a-z0-9]{16}", signed["token"])


def test_the_toolbox_address_is_told(api, shared, path):
    assert api("GET", f"{path}/toolbox-proxy-url").json() == {"url": shared["toolboxProxyUrl"]}

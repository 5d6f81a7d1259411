"""Keys and organizations: what one may do, and that others stay invisible."""

import pytest

from support.http import Api


@pytest.fixture
def limited(api, sdk, unique):
    """A key of the same organization without any permission."""
    name = unique("limited")
    made = api("POST", "/api-keys", json={"name": name, "permissions": []})
    assert made.status_code == 201, made.text
    key = Api(sdk.api_url, made.json()["value"])
    yield key
    key.close()
    api("DELETE", f"/api-keys/{name}")


@pytest.fixture(scope="module")
def stranger(api, sdk):
    """A key of another organization, when this server can make one over its API."""
    region = api("GET", "/regions").json()[0]["id"]
    made = api("POST", "/organizations", json={"name": "stranger", "defaultRegionId": region})
    if made.status_code != 201:
        pytest.skip(f"no second organization over the API: POST /organizations answers {made.status_code}")
    organization = {"X-Daytona-Organization-ID": made.json()["id"]}
    body = {"name": "stranger", "permissions": ["write:sandboxes", "delete:sandboxes"]}
    key = api("POST", "/api-keys", json=body, headers=organization)
    if key.status_code != 201:
        pytest.skip(f"no key for a second organization over the API: {key.status_code}")
    other = Api(sdk.api_url, key.json()["value"])
    if other("GET", "/sandbox").json()["items"] and api("GET", "/sandbox").json()["items"]:
        pytest.skip("the key belongs to the first organization")
    yield other
    other.close()


def test_a_key_without_permissions_reads_but_does_not_write(limited, shared):
    assert limited("GET", f"/sandbox/{shared['id']}").status_code == 200
    for method, path in [
        ("POST", "/sandbox"),
        ("POST", f"/sandbox/{shared['id']}/stop"),
        ("PUT", f"/sandbox/{shared['id']}/labels"),
        ("DELETE", f"/sandbox/{shared['id']}"),
    ]:
        answer = limited(method, path, json={"labels": {}})
        assert answer.status_code == 403, f"{method} {path}: {answer.text}"


def test_a_deleted_key_stops_working(api, sdk, unique):
    name = unique("short-lived")
    value = api("POST", "/api-keys", json={"name": name, "permissions": []}).json()["value"]
    key = Api(sdk.api_url, value)
    assert key("GET", "/sandbox").status_code == 200
    api("DELETE", f"/api-keys/{name}")
    assert key("GET", "/sandbox").status_code == 401
    key.close()


def test_an_expired_key_is_refused(api, sdk, unique):
    body = {"name": unique("expired"), "permissions": [], "expiresAt": "2001-01-01T00:00:00.000Z"}
    made = api("POST", "/api-keys", json=body)
    if made.status_code == 201:
        assert Api(sdk.api_url, made.json()["value"])("GET", "/sandbox").status_code == 401
        api("DELETE", f"/api-keys/{body['name']}")
    else:
        assert made.status_code == 400


def test_nobody_can_give_more_than_they_have(limited, unique):
    answer = limited("POST", "/api-keys", json={"name": unique("grown"), "permissions": ["write:sandboxes"]})
    assert answer.status_code == 403


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_sandbox_of_others_does_not_exist(stranger, shared, method):
    assert stranger(method, f"/sandbox/{shared['id']}").status_code == 404


def test_the_toolbox_of_others_does_not_exist(stranger, shared):
    url = f"{shared['toolboxProxyUrl']}/{shared['id']}/version"
    assert stranger.client.get(url).status_code == 404


def test_lists_show_no_sandbox_of_others(stranger, shared):
    assert stranger("GET", "/sandbox", params={"id": shared["id"]}).json()["items"] == []


def test_the_organization_of_the_key_is_readable(api, shared):
    organizations = api("GET", "/organizations").json()
    assert shared["organizationId"] in [organization["id"] for organization in organizations]
    assert api("GET", f"/organizations/{shared['organizationId']}").status_code == 200


def test_the_caller_is_told_who_it_is(api):
    assert api("GET", "/users/me").json()["id"]

"""Every refusal has the same shape and says what to do, whoever answers."""

import uuid

import httpx
import pytest

from support.shapes import ERROR, check


def envelope(answer: httpx.Response, status: int, source: str = "DAYTONA_API") -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    body = answer.json()
    check(body, ERROR)
    assert body["statusCode"] == status
    assert body["source"] == source
    assert body["code"]
    return body


def test_an_unknown_sandbox(api):
    missing = uuid.uuid4()
    body = envelope(api("GET", f"/sandbox/{missing}"), 404)
    assert str(missing) in body["message"]
    assert body["path"].endswith(f"/sandbox/{missing}")


def test_a_taken_name(api, make, unique):
    name = unique("taken")
    make(name=name)
    body = envelope(api("POST", "/sandbox", json={"name": name}), 409)
    assert body["message"] == f"Sandbox with name {name} already exists"


def test_no_key_and_a_wrong_key_and_a_key_in_another_place(sdk, api):
    url = f"{sdk.api_url}/sandbox"
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {sdk.api_key}"},
                    {"X-Api-Key": sdk.api_key}):  # fmt: skip
        envelope(httpx.get(url, headers=headers, trust_env=False), 401)
    wrong = httpx.get(url, headers={"Authorization": "Bearer wrong"}, trust_env=False)
    assert wrong.json()["message"] == "Invalid credentials"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"cpu": 2}, "resources"),
        ({"labels": "text"}, "labels"),
        ({"env": {"A": 1}}, "env"),
        ({"name": 7}, "name"),
        ({"name": "<b>bold</b>"}, "name"),
        ({"autoStopInterval": -1}, "autoStopInterval"),
        ({"autoStopInterval": "soon"}, "autoStopInterval"),
        ({"ttlMinutes": -1}, "ttlMinutes"),
        ({"env": {"1BAD-NAME=": "x"}}, "env"),
        ({"target": "nowhere"}, "region"),
        ({"networkAllowList": "not a network"}, "networkAllowList"),
        ({"volumes": [{"volumeId": "none", "mountPath": "/v"}]}, "volume"),
        ({"secrets": [{"TOKEN": "none"}]}, "secret"),
    ],
)  # fmt: skip
def test_a_bad_field_is_named(api, body, field):
    answer = api("POST", "/sandbox", json=body)
    assert 400 <= answer.status_code < 500, answer.text
    assert field.lower() in answer.json()["message"].lower(), answer.text


def test_a_size_over_the_limit_names_value_limit_and_unit(api, make):
    sandbox = make()
    api("POST", f"/sandbox/{sandbox['id']}/stop")
    body = envelope(api("POST", f"/sandbox/{sandbox['id']}/resize", json={"memory": 65536}), 400)
    assert "65536" in body["message"] and "GiB" in body["message"] and "maximum" in body["message"]


@pytest.mark.parametrize("size", [0, -1, 1.5, "2", 1e18, 2**70])
def test_a_size_that_is_not_a_small_positive_integer_is_400(api, path, size):
    envelope(api("POST", f"{path}/resize", json={"cpu": size}), 400)


def test_a_missing_file_comes_from_the_toolbox(toolbox):
    body = envelope(toolbox.get("/files/info", params={"path": "/no/such"}), 404, "DAYTONA_DAEMON")
    assert body["code"] == "FILE_NOT_FOUND"
    assert body["path"] == "/files/info" and body["method"] == "GET"


def test_a_toolbox_without_a_key_is_refused_by_the_proxy(toolbox):
    answer = httpx.get(str(toolbox.base_url) + "version", trust_env=False)
    envelope(answer, 401, "DAYTONA_PROXY")


def test_the_toolbox_of_an_unknown_sandbox_is_404(toolbox, shared):
    url = str(toolbox.base_url).replace(shared["id"], str(uuid.uuid4()))
    envelope(httpx.get(url + "version", headers=dict(toolbox.headers), trust_env=False), 404, "DAYTONA_PROXY")


def test_no_input_is_a_server_error(api, path):
    """A sweep of nonsense; any 4xx is fine, a 5xx or a hang is not."""
    odd = ["%00", "%ff", "..%2f..", "a" * 5000, "%E2%80%AE", "'; drop table", "${x}", "{}", "-1", "0"]
    for word in odd:
        for method, target in [("GET", f"/sandbox/{word}"), ("POST", f"{path}/autostop/{word}"),
                               ("GET", f"{path}/ports/{word}/preview-url"), ("GET", f"/snapshots/{word}"),
                               ("GET", f"/sandbox?name={word}&labels={word}")]:  # fmt: skip
            answer = api(method, target.replace(" ", "%20").replace("{}", "%7B%7D"))
            assert answer.status_code < 500, f"{method} {target}: {answer.status_code}"

"""Exact statuses: a generated client drops the body of a 2xx that it did not expect."""

import pytest

from support.shapes import SANDBOX, check
from support.wait import until


def test_create_answers_200_and_a_started_sandbox(make):
    sandbox = make()
    check(sandbox, SANDBOX)
    assert sandbox["state"] == "started"


def test_every_action_of_a_sandbox_answers_200_and_the_sandbox(api, make):
    sandbox = make()
    path = f"/sandbox/{sandbox['id']}"
    steps = [
        ("POST", "/stop?force=false", {}),
        ("POST", "/resize", {"json": {"disk": 4}}),
        ("POST", "/start", {}),
        ("GET", "", {}),
        ("DELETE", "", {}),
    ]
    for method, suffix, options in steps:
        answer = api(method, path + suffix, **options)
        assert answer.status_code == 200, f"{method} {suffix}: {answer.status_code} {answer.text}"
        check(answer.json(), SANDBOX)
        assert answer.json()["id"] == sandbox["id"]


@pytest.mark.parametrize(
    "suffix",
    [
        "autostop/30",
        "autoarchive/60",
        "autodelete/60",
        "autodelete/-1",
        "ttl/60",
        "ttl/0",
        "public/true",
        "public/false",
    ],
)
def test_settings_answer_with_the_sandbox(api, path, suffix):
    answer = api("POST", f"{path}/{suffix}")
    assert answer.status_code in (200, 201), answer.text
    check(answer.json(), SANDBOX)


def test_last_activity_answers_201_and_nothing(api, path):
    answer = api("POST", f"{path}/last-activity")
    assert (answer.status_code, answer.content) == (201, b"")


def test_labels_answer_200_with_the_labels(api, path):
    answer = api("PUT", f"{path}/labels", json={"labels": {"a": "b"}})
    assert answer.status_code == 200
    assert answer.json()["labels"] == {"a": "b"}


@pytest.mark.parametrize("suffix", ["autostop/-1", "autostop/x", "autoarchive/-1", "ttl/-1", "public/maybe"])
def test_a_setting_out_of_range_is_400(api, path, suffix):
    answer = api("POST", f"{path}/{suffix}")
    assert answer.status_code == 400, answer.text


def test_a_new_key_answers_201_and_its_deletion_204(api, unique):
    name = unique("key")
    made = api("POST", "/api-keys", json={"name": name, "permissions": []})
    assert made.status_code == 201, made.text
    assert made.json()["value"].startswith("dtn_") and len(made.json()["value"]) == 68
    again = api("POST", "/api-keys", json={"name": name, "permissions": []})
    assert again.status_code == 409
    gone = api("DELETE", f"/api-keys/{name}")
    assert (gone.status_code, gone.content) == (204, b"")


def test_delete_twice_is_404(api, make):
    sandbox = make()
    assert api("DELETE", f"/sandbox/{sandbox['id']}").status_code == 200
    until(lambda: api("GET", f"/sandbox/{sandbox['id']}").status_code == 404, "the sandbox is gone")
    assert api("DELETE", f"/sandbox/{sandbox['id']}").status_code == 404


def test_what_this_class_cannot_do_is_422(api, path):
    assert api("POST", f"{path}/pause").status_code == 422
    assert api("POST", f"{path}/fork", json={}).status_code == 422


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_method_that_a_path_does_not_have_is_a_4xx(api, path, method):
    assert api(method, path).status_code in (404, 405)


def test_an_unknown_path_is_404(api):
    assert api("GET", "/no-such-thing").status_code == 404

"""Calls that say how something shall be, made twice: one after the other, and at the same time.

The second of a kind changes nothing. Where the contract knows a refusal for it (stop what is
stopped, resize to the same size), it is refused by name.
"""

from rig.client import together


def test_start_twice_is_fine(clean, client):
    sandbox = client.create(labels=clean)
    assert client("POST", f"/sandbox/{sandbox}/stop").status_code == 200
    for _ in range(2):
        answer = client("POST", f"/sandbox/{sandbox}/start")
        assert (answer.status_code, answer.json()["state"]) == (200, "started"), answer.text
    assert client.run(sandbox, "echo works") == "works\n"


def test_stop_twice_leaves_it_stopped(clean, client):
    sandbox = client.create(labels=clean)
    assert client("POST", f"/sandbox/{sandbox}/stop").status_code == 200
    assert [one["state"] for one in client.settled(**clean)] == ["stopped"]
    second = client("POST", f"/sandbox/{sandbox}/stop")
    assert (second.status_code, second.json()["code"]) == (400, "INVALID_STATE")
    assert client.state(sandbox) == "stopped"


def test_resize_twice_leaves_the_new_size(clean, client):
    sandbox = client.create(labels=clean)
    first, second = (client("POST", f"/sandbox/{sandbox}/resize", json={"memory": 2}) for _ in range(2))
    assert first.status_code == 200, first.text
    assert second.status_code in (200, 400), second.text
    (seen,) = client.settled(**clean)
    assert (seen["state"], seen["memory"]) == ("started", 2)


def test_labels_twice_are_the_same(clean, client):
    sandbox = client.create(labels=clean)
    labels = {"resilience": client.label, **clean, "more": "yes"}
    for _ in range(2):
        answer = client("PUT", f"/sandbox/{sandbox}/labels", json={"labels": labels})
        assert answer.status_code == 200, answer.text
    assert client.sandbox(sandbox)["labels"] == labels


def test_delete_twice_is_gone_or_going(clean, client):
    sandbox = client.create(labels=clean)
    assert client("DELETE", f"/sandbox/{sandbox}").status_code == 200
    assert client("DELETE", f"/sandbox/{sandbox}").status_code in (200, 404)
    assert client.settled(**clean) == []


def test_many_wishes_at_once_end_in_one_of_them(clean, client):
    sandbox = client.create(labels=clean)
    wishes = ["stop", "start"] * 8
    answers = together(lambda wish: client("POST", f"/sandbox/{sandbox}/{wish}"), wishes)
    assert {answer.status_code for answer in answers} <= {200, 400, 409}
    (seen,) = client.settled(**clean)
    assert seen["state"] in ("started", "stopped")
    assert client("POST", f"/sandbox/{sandbox}/start").status_code == 200
    assert client.run(sandbox, "echo works") == "works\n"
    deletes = together(lambda _: client("DELETE", f"/sandbox/{sandbox}"), range(8))
    assert {answer.status_code for answer in deletes} <= {200, 404}

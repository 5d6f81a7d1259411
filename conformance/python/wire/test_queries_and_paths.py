"""Queries and paths in every spelling that clients use."""

import json
from urllib.parse import quote

import pytest

from support.http import connect, raw, read_answer


@pytest.mark.parametrize("spelling", ["%2F", "%2f"])
def test_a_slash_inside_a_name_is_one_segment(api, spelling):
    answer = api("GET", f"/snapshots/no{spelling}such%3A1")
    assert answer.status_code == 404
    assert "no/such:1" in answer.json()["message"]


def test_a_percent_encoded_name_finds_the_sandbox(api, make, unique):
    name = unique("with space é")
    sandbox = make(name=name)
    assert api("GET", f"/sandbox/{quote(name, safe='')}").json()["id"] == sandbox["id"]


def test_a_raw_quote_in_a_query_is_accepted(sdk, api, make, unique):
    label = unique("raw")
    sandbox = make(labels={"e2e": label})
    request = (
        f'GET {api.path}/sandbox?labels={{"e2e":"{label}"}} HTTP/1.1\r\n'
        f"Host: localhost\r\nAuthorization: Bearer {sdk.api_key}\r\nConnection: close\r\n\r\n"
    )
    answer = raw(sdk.api_url, request.encode())
    assert answer.status == 200, answer.body
    assert sandbox["id"].encode() in answer.body


def test_raw_quotes_work_again_and_again_on_one_connection(sdk, api):
    head = f"Host: localhost\r\nAuthorization: Bearer {sdk.api_key}\r\n"
    with connect(sdk.api_url) as stream:
        for number in range(3):
            body = b'{"labels": {"q": "\\"GET /x\\""}}' if number == 1 else b""
            verb = "PUT" if number == 1 else "GET"
            length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
            line = f'{verb} {api.path}/sandbox?labels={{"n":"{number}"}} HTTP/1.1\r\n'
            stream.sendall((line + head + length + "\r\n").encode() + body)
            answer = read_answer(stream)
            expected = (404, 405) if verb == "PUT" else (200,)
            assert answer.status in expected, answer.body


@pytest.mark.parametrize("key", ["states", "states[]"])
def test_arrays_are_repeated_keys_with_or_without_brackets(api, shared, key):
    params = [("id", shared["id"]), (key, "started"), (key, "stopped")]
    assert len(api("GET", "/sandbox", params=params).json()["items"]) == 1
    params = [("id", shared["id"]), (key, "stopped"), (key, "archived")]
    assert api("GET", "/sandbox", params=params).json()["items"] == []


@pytest.mark.parametrize("limit", ["10", "1e+01", "1E1"])
def test_numbers_may_be_written_as_floats(api, limit):
    """The Go client formats every number as a float."""
    assert api("GET", f"/sandbox?limit={limit.replace('+', '%2B')}").status_code == 200


@pytest.mark.parametrize(
    "stamp",
    ["2001-01-01T05:57:16.404227%2B0000", "2001-01-01T05:57:16.404Z", "2001-01-01T05:57:16.404227123%2B02:00"],
)
def test_times_in_every_client_s_spelling(api, shared, stamp):
    page = api("GET", f"/sandbox?id={shared['id']}&createdAtAfter={stamp}")
    assert page.status_code == 200, page.text
    assert len(page.json()["items"]) == 1


@pytest.mark.parametrize(
    "query",
    ["labels={bad", "labels=[1]", "cursor=nonsense", "states=flying", "sort=colour", "order=sideways",
     "limit=0", "limit=201", "limit=x", "createdAtAfter=yesterday", "minCpu=-1", "isPublic=maybe"],
)  # fmt: skip
def test_a_bad_filter_is_400_that_names_it(api, query):
    answer = api("GET", f"/sandbox?{query}")
    assert answer.status_code == 400, answer.text
    assert query.split("=")[0].lower() in answer.json()["message"].lower()


def test_labels_null_means_no_filter_for_old_clients(api, shared):
    page = api("GET", "/sandbox/paginated", params={"labels": "null", "id": shared["id"]})
    assert page.status_code == 200, page.text
    assert page.json()["total"] == 1


def test_cursor_pages_are_stable_while_sandboxes_come_and_go(api, make, unique):
    label = {"set": unique("cursor")}
    ids = [make(labels=label)["id"] for _ in range(5)]
    query = {"labels": json.dumps(label), "limit": 2, "sort": "createdAt", "order": "asc"}
    first = api("GET", "/sandbox", params=query).json()
    make(labels=label)
    api("DELETE", f"/sandbox/{ids[0]}")
    second = api("GET", "/sandbox", params={**query, "cursor": first["nextCursor"]}).json()
    assert [item["id"] for item in first["items"] + second["items"]] == ids[:4]


def test_every_lookup_takes_the_name_as_well(api, make, unique):
    name = unique("by-name")
    sandbox = make(name=name)
    for method, suffix in [("GET", ""), ("POST", "/autostop/5"), ("GET", "/ports/3000/preview-url"), ("POST", "/stop")]:
        answer = api(method, f"/sandbox/{name}{suffix}")
        assert answer.status_code in (200, 201), f"{suffix}: {answer.text}"
    assert api("GET", f"/sandbox/{name}").json()["id"] == sandbox["id"]

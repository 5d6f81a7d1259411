#!/usr/bin/env python3
"""A language server for tests: notes what it hears, and misbehaves as `MISBEHAVE` says."""

import json
import os
import signal
import subprocess
import sys
import time

how = os.environ.get("MISBEHAVE", "")
documents = {}


def note(what):
    with open("heard", "a") as file:
        file.write(json.dumps(what) + "\n")


def write(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def send(message):
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    write(b"Content-Length: %d\r\n\r\n" % len(body) + body)


def read():
    length = None
    while line := sys.stdin.buffer.readline().strip():
        name, value = line.split(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return None if length is None else json.loads(sys.stdin.buffer.read(length))


def symbols(text):
    """Every `class` as a parent of the `def` after it, in the shape with children."""
    found = []
    for number, line in enumerate(text.splitlines()):
        words = line.replace(":", " ").replace("(", " ").split()
        if len(words) < 2 or words[0] not in ("class", "def"):
            continue
        start, end = ({"line": number, "character": at} for at in (0, len(line)))
        symbol = {"name": words[1], "kind": 5, "range": {"start": start, "end": end}, "children": []}
        (found[-1]["children"] if words[0] == "def" and found else found).append(symbol)
    return found


def completion():
    if how == "a refusal":
        return {"error": {"code": -32803, "message": "not today"}}
    if how == "nonsense":
        return {"result": 7}
    items = [{"label": "one", "documentation": "text", "data": {"deep": [1]}}, {"label": "two", "kind": 3}]
    return {"result": items}


def misbehave(number):
    if how == "death":
        print("Traceback: the end", file=sys.stderr, flush=True)
        os._exit(3)
    if how == "noise":
        write(b"Hello! I am ready.\r\n\r\n")
    if how == "a huge message":
        write(b"Content-Length: 99999999999\r\n\r\n")
    if how == "an endless head":
        write(b"x" * 100_000)
    if how == "a deep message":
        body = b'{"id":%d,"result":' % number + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"
        write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    if how == "a flood":
        for _ in range(20_000):
            send({"method": "window/logMessage", "params": {"message": "x" * 1000}})
        for asked in range(20_000):
            send({"id": f"q{asked}", "method": "workspace/configuration", "params": {"items": [{}]}})
    if how == "silence":
        note({"method": "silent"})
        time.sleep(1000)


def answer(method, params, number):
    if method == "initialize":
        if how == "a refused start":
            return {"error": {"code": 1, "message": "no licence"}}
        return {"result": {"capabilities": {}}}
    if method == "shutdown":
        return {"result": None}
    misbehave(number)
    if method == "textDocument/completion":
        return completion()
    if method == "textDocument/documentSymbol":
        return {"result": symbols(documents[params["textDocument"]["uri"]])}
    return {"error": {"code": -32601, "message": f"no {method}"}}


def keep(method, params):
    while method == "initialized" and how == "a nap" and not os.path.exists("go"):
        time.sleep(0.01)
    if method == "textDocument/didOpen":
        documents[params["textDocument"]["uri"]] = params["textDocument"]["text"]
    elif method == "textDocument/didChange":
        documents[params["textDocument"]["uri"]] = params["contentChanges"][0]["text"]
    elif method == "textDocument/didClose":
        del documents[params["textDocument"]["uri"]]


if how == "stubbornness":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["setsid", "sleep", "1000"])
    note({"pids": [os.getpid(), child.pid]})
else:
    note({"pids": [os.getpid()]})
while (message := read()) is not None:
    method = message.get("method")
    note(message)
    if method == "exit" and how != "stubbornness":
        sys.exit(0)
    if how == "forgetfulness" and method == "textDocument/documentSymbol" and "forgotten" in str(message):
        continue
    if method and "id" in message and not (how == "stubbornness" and method == "shutdown"):
        send({"id": message["id"], **answer(method, message["params"], message["id"])})
    elif method:
        keep(method, message["params"])
if how == "stubbornness":
    time.sleep(1000)

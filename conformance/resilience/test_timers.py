"""Clocks that were set before everything else in this run: each process has died since, often."""

import time

from support.wait import until

# The smallest interval of the API, and some.
FIRES_WITHIN_SECONDS = 100


def set_clocks(client) -> dict[str, str]:
    """Sandboxes with timers, by what shall become of them."""
    asked = {
        "stopped": {"autoStopInterval": 1},
        "ephemeral": {"autoStopInterval": 1, "autoDeleteInterval": 0},
        "expired": {"ttlMinutes": 1, "autoStopInterval": 0},
        "kept": {"autoStopInterval": 0},
    }
    return {name: client.create(labels={"test": "clocks"}, **body) for name, body in asked.items()}


def gone(client, sandbox: str) -> bool:
    return client("GET", f"/sandbox/{sandbox}").status_code == 404


def test_a_timer_set_before_a_restart_fires_after_it(clocks, client, installation):
    installation.kill("server")
    until(lambda: client.state(clocks["stopped"]) == "stopped", "auto-stop", FIRES_WITHIN_SECONDS)
    until(lambda: gone(client, clocks["ephemeral"]), "auto-delete", FIRES_WITHIN_SECONDS)
    until(lambda: gone(client, clocks["expired"]), "time to live", FIRES_WITHIN_SECONDS)
    assert client.state(clocks["kept"]) == "started"
    client.delete_all(test="clocks")


def test_a_timer_that_was_due_while_nothing_ran_fires_at_the_next_start(client, installation, clean):
    late = client.create(labels=clean, ttlMinutes=1)
    installation.down()
    # Nothing of ours runs until the clock of the host has passed the minute.
    until(lambda made=time.time(): time.time() > made + 61, "a minute", 70)
    installation.up()
    until(lambda: gone(client, late), "time to live", 20)

"""What the runner has made ahead of need, and nobody owns, goes when its runner does."""

import pytest
from support.wait import until

# Enough for one to be begun and for others to be complete; the kill meets each of them.
COMPLETE = [0, 1, 2]


@pytest.mark.parametrize("complete", COMPLETE)
def test_a_killed_runner_leaves_none_of_its_spares(complete, clean, client, host, installation):
    kept = client.create(labels=clean)
    until(lambda: len(host.spares()) >= complete, f"{complete} spares are there")
    installation.kill("runner")
    # Nothing was asked of the next one yet.
    until(lambda: not host.spares(), "all are swept")
    assert client.run(kept, "echo works") == "works\n"
    new = client.create(labels=clean)
    assert client.run(new, "echo works") == "works\n"


def test_the_spares_of_a_killed_server_serve_the_next_one(clean, client, host, installation):
    client.create(labels=clean)
    until(lambda: len(host.spares()) >= 2, "spares are there")
    installation.kill("server")
    before = host.spares()
    sandboxes = [client.create(labels=clean) for _ in range(4)]
    assert len(set(sandboxes)) == 4, "none twice"
    assert set(sandboxes) & before, "one of them was a spare"
    assert [client.run(one, "hostname") for one in sandboxes] == [f"{one}\n" for one in sandboxes]


def test_spares_are_not_begun_again_and_again(clean, client, host):
    """They come to an end: as many as there may be, and then the host rests."""
    client.create(labels=clean)
    counts = []

    def rests() -> bool:
        counts.append(host.spares())
        return len(counts) > 20 and all(one == counts[-1] for one in counts[-20:])

    until(rests, "the spares stay as they are")
    assert 0 < len(counts[-1]) <= 64

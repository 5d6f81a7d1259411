"""The async client as a program would use it: with a context manager and many tasks."""

import asyncio

import daytona
import pytest

pytestmark = pytest.mark.mode("async")


def test_tasks_share_one_client(sdk):
    async def program() -> list[str]:
        config = daytona.DaytonaConfig(api_key=sdk.api_key, api_url=sdk.api_url)
        async with daytona.AsyncDaytona(config) as client:
            made = await asyncio.gather(*(client.create() for _ in range(5)))
            try:
                answers = await asyncio.gather(*(one.process.exec("hostname") for one in made))
            finally:
                await asyncio.gather(*(one.delete() for one in made))
            assert [answer.result.strip() for answer in answers] == [one.id for one in made]
            return [one.id for one in made]

    assert len(set(asyncio.run(program()))) == 5

"""The snippets of the Python drivers behind one interface, so that one story tries them all.

The environment says which: SNIPPETS is the folder where the runner has put the code of
docs/drivers.md, DATABASE_URL the server.
"""

import importlib.util
import os
from contextlib import asynccontextmanager
from inspect import isawaitable
from pathlib import Path

SNIPPETS = Path(os.environ["SNIPPETS"])


def load(name):
    """The functions of a section of docs/drivers.md."""
    spec = importlib.util.spec_from_file_location(name, SNIPPETS / "functions" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def settle(value):
    """What a function returns, whether it is a coroutine or not."""
    return await value if isawaitable(value) else value


@asynccontextmanager
async def entered(manager):
    """A context manager of either kind as an asynchronous one."""
    if hasattr(manager, "__aenter__"):
        async with manager as value:
            yield value
    else:
        with manager as value:
            yield value


class Driver:
    """What the story needs of a driver; `pool` is what the snippet's connect() returns."""

    name: str

    def __init__(self):
        self.snippet = load(self.name)
        self.program = SNIPPETS / "programs" / f"{self.name}.py"

    async def connect(self, size):
        return await settle(self.snippet.connect(size))

    async def close(self, pool):
        await settle(pool.close())

    def transaction(self, pool, *context):
        return entered(self.snippet.transaction(pool, *context))

    async def record(self, connection, *event):
        return await settle(self.snippet.record(connection, *event))

    async def record_many(self, connection, events):
        return await settle(self.snippet.record_many(connection, events))

    async def read_all(self, pool, tenant_id, page_size):
        return await settle(self.snippet.read_all(pool, tenant_id, page_size))

    def without_context(self, pool):
        """A connection of the pool as the next user gets it."""
        raise NotImplementedError

    async def row(self, connection, query):
        """The only row of a query, by column."""
        raise NotImplementedError


class Psycopg(Driver):
    name = "with_psycopg"

    def without_context(self, pool):
        return entered(pool.connection())

    async def row(self, connection, query):
        return connection.execute(query).fetchone()


class Asyncpg(Driver):
    name = "with_asyncpg"

    def without_context(self, pool):
        return entered(pool.acquire())

    async def row(self, connection, query):
        return await connection.fetchrow(query)


class SqlAlchemy(Driver):
    name = "with_sqlalchemy"

    async def close(self, pool):
        pool.dispose()

    def without_context(self, pool):
        return entered(self.snippet.Session(pool))

    async def row(self, connection, query):
        return connection.execute(self.snippet.text(query)).mappings().one()


DRIVERS = {driver.name: driver for driver in (Psycopg, Asyncpg, SqlAlchemy)}

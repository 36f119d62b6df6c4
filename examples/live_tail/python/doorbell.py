"""The one LISTEN connection of a process, which wakes the readers of all its tenants."""

import asyncio
import logging
from contextlib import contextmanager

from psycopg import AsyncConnection, Error
from psycopg.sql import SQL, Identifier

log = logging.getLogger("uvicorn.error")

# What passes by itself: lost connections, rollbacks to be retried, a server that is full, starts or
# stops. Everything else that the server says is a refusal, and asking again does not change it.
TRANSIENT = {"08", "40", "53", "57", "58"}


def is_refusal(error):
    return error.sqlstate is not None and error.sqlstate[:2] not in TRANSIENT


class Doorbell:
    """Rings the bells of a tenant's readers. A ring is a hint: whoever hears it reads on."""

    def __init__(self, url):
        self.url = url
        self.bells = {}  # tenant: the events of its readers
        self.channels = {}  # tenant: the channel that is listened on
        self.wake = asyncio.Event()

    @contextmanager
    def bell(self, tenant):
        """A bell for one reader. It also rings once the tenant is listened to: so the reader
        always reads after the LISTEN, whenever that succeeds."""
        bell = asyncio.Event()
        self.bells.setdefault(tenant, set()).add(bell)
        self.wake.set()
        try:
            yield bell
        finally:
            self.bells[tenant].remove(bell)
            if not self.bells[tenant]:
                del self.bells[tenant]
            self.wake.set()

    async def run(self):
        """Listens for ever: a connection that breaks is made again."""
        while True:
            try:
                async with await AsyncConnection.connect(self.url, autocommit=True) as connection:
                    await self.attend(connection)
            except Error as error:
                log.warning("no notifications for now: %s", error)
            self.channels.clear()
            await asyncio.sleep(1)

    async def attend(self, connection):
        while True:
            await self.listen_as_wanted(connection)
            async for notification in connection.notifies(timeout=0):
                self.ring(notification.channel)
            await self.next_wake(connection)

    async def listen_as_wanted(self, connection):
        for tenant in self.bells.keys() - self.channels.keys():
            self.channels[tenant] = await self.listen(connection, tenant)
            self.ring(self.channels[tenant])
        for tenant in self.channels.keys() - self.bells.keys():
            channel = self.channels.pop(tenant)
            await connection.execute(SQL("UNLISTEN {}").format(Identifier(channel)))

    async def listen(self, connection, tenant):
        try:
            cursor = await connection.execute("SELECT activity.listen(%s)", (tenant,))
            return (await cursor.fetchone())[0]
        except Error as error:
            if not is_refusal(error):
                raise
            # The tenant's readers are refused as well, and tell their clients why.
            return "refused"

    def ring(self, channel):
        for tenant, bells in self.bells.items():
            if channel in (self.channels.get(tenant), "activity_everybody"):
                for bell in bells:
                    bell.set()

    async def next_wake(self, connection):
        """Until the server has sent something, or another tenant is wanted."""
        loop, socket = asyncio.get_running_loop(), connection.fileno()
        loop.add_reader(socket, self.wake.set)
        try:
            await self.wake.wait()
        finally:
            loop.remove_reader(socket)
        self.wake.clear()

"""Server-sent events: a tenant's log, live, and resumed where a client left off.

GET /events   Authorization: Bearer TOKEN, or a cookie "token"; the token says whose events
              Last-Event-ID: where the client left off (browsers send it by themselves)
              ?minutes=60: without Last-Event-ID, begin with the events of the last hour

The environment says DATABASE_URL and TOKENS, a JSON object {"token": "tenant"}.
"""

import asyncio
import json
import os
from contextlib import asynccontextmanager, suppress

from doorbell import Doorbell, is_refusal
from psycopg import Error
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

# How long a reader waits for the bell before it looks by itself: a notification can be lost.
PATIENCE = 5
PAGE_SIZE = 500
START = "SELECT activity.stream_start(at => now() - make_interval(mins => %s))"
# The server writes the JSON: microseconds stay, and nothing depends on how a driver reads a type.
READ = """
    SELECT event_id IS NULL AS is_bookmark, next_cursor, row_to_json(event)::text AS event
    FROM activity.read_stream(%s, cursor => %s, page_size => %s) AS event"""

TENANTS = json.loads(os.environ["TOKENS"])
doorbell = Doorbell(os.environ["DATABASE_URL"])
pool = AsyncConnectionPool(
    os.environ["DATABASE_URL"],
    min_size=1,
    max_size=4,
    timeout=PATIENCE,
    kwargs={"autocommit": True},
    check=AsyncConnectionPool.check_connection,
    open=False,
)


async def query(statement, parameters):
    async with pool.connection() as connection:
        return await (await connection.execute(statement, parameters)).fetchall()


async def begin(minutes):
    """Where a client without Last-Event-ID begins: now, or some minutes ago."""
    if minutes is None:
        [[cursor]] = await query("SELECT activity.stream_start()", ())
    else:
        [[cursor]] = await query(START, (minutes,))
    return cursor


async def messages(tenant, cursor, minutes):
    """The endless text of a response. Each message's id is where to go on behind it."""
    yield "retry: 1000\n\n"
    with doorbell.bell(tenant) as bell:
        while True:
            bell.clear()
            try:
                if cursor is None:
                    cursor = await begin(minutes)
                page = await query(READ, (tenant, cursor, PAGE_SIZE))
            except (Error, PoolTimeout) as error:
                if isinstance(error, Error) and is_refusal(error):
                    yield refusal(error)
                    return
                yield ": the database is away\n\n"
                await asyncio.sleep(1)
                continue
            for is_bookmark, cursor, event in page:
                # An id without data is kept by the client and shown to nobody. Whoever is cut off
                # before the first event needs it.
                yield f"id: {cursor}\n\n" if is_bookmark else f"id: {cursor}\ndata: {event}\n\n"
            if is_bookmark:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(bell.wait(), PATIENCE)


def refusal(error):
    """Tells the client that trying again is of no use: its cursor is damaged, or behind retention."""
    problem = {
        "sqlstate": error.sqlstate,
        "message": error.diag.message_primary,
        "detail": error.diag.message_detail,
        "hint": error.diag.message_hint,
    }
    return f"event: refused\ndata: {json.dumps(problem)}\n\n"


def tenant_of(request):
    """From what the server trusts, never from what the client says about itself."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return TENANTS.get(token if scheme.lower() == "bearer" else request.cookies.get("token"))


async def events(request):
    tenant = tenant_of(request)
    if tenant is None:
        return PlainTextResponse("unknown token\n", status_code=401)
    minutes = request.query_params.get("minutes")
    if minutes is not None and not (minutes.isdecimal() and len(minutes) <= 6):
        return PlainTextResponse("minutes must be a number\n", status_code=400)
    text = messages(tenant, request.headers.get("last-event-id"), minutes and int(minutes))
    # nginx would hold the messages back otherwise.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(text, media_type="text/event-stream", headers=headers)


@asynccontextmanager
async def lifespan(_app):
    async with pool:
        listening = asyncio.create_task(doorbell.run())
        yield
        listening.cancel()


app = Starlette(routes=[Route("/events", events)], lifespan=lifespan)

"""The other side of `make bench-api`, not a part of the product: FastAPI + asyncpg.

Run with the number of a listening socket that the parent process made for TCP by name. asyncio sets
TCP_NODELAY only on the connections of such a socket. ``uvicorn --workers`` makes another kind, and
then each answer waits 40 ms for a delayed acknowledgement.
"""

import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import uvicorn
from fastapi import FastAPI, Request


@asynccontextmanager
async def pool(app: FastAPI) -> AsyncIterator[None]:
    """Open the connections for as long as the server runs."""
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=6, max_size=6) as opened:
        app.state.pool = opened
        yield


app = FastAPI(lifespan=pool)


@app.get("/monthly-metrics")
async def monthly_metrics(request: Request, limit: int = 12) -> list[dict[str, Any]]:
    """Return the newest months."""
    rows = await request.app.state.pool.fetch(
        "SELECT * FROM analytics.mv_metricas_mensuales ORDER BY mes DESC LIMIT $1", limit
    )
    return [
        {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()}
        for row in rows
    ]


if __name__ == "__main__":
    uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning")).run(
        sockets=[socket.socket(fileno=int(sys.argv[1]))]
    )

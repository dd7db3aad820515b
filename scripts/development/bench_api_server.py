"""The other side of `make bench-api`, not a part of the product: FastAPI + asyncpg."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import asyncpg  # type: ignore[import-untyped]
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

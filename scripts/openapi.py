"""The OpenAPI 3.1 document of the product paths, made from the database and from ENDPOINTS.

Descriptions are the COMMENTs of the functions and of the views' columns, roles are the grants:
what the database says is written nowhere else, and so can't drift from it.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from typing import Any

import psycopg

import prerequisites
from console import UserError, database_url, report

JsonObject = dict[str, Any]

# There is no year 0000.
MONTH_PATTERN = r"^([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-(0[1-9]|1[0-2])$"
METRICS = (
    "ofertas_ganadoras",
    "entregas_exitosas",
    "tasa_respuesta_pct",
    "tasa_conversion_ofertas_pct",
    "monto_promedio_ofertas",
    "confianza_auditada",
)


@dataclass(frozen=True)
class Endpoint:
    """One product path: what the gateway maps it to, its parameters and its answers."""

    method: str
    path: str
    function: str
    tag: str
    parameters: tuple[JsonObject, ...]
    answer: JsonObject
    statuses: tuple[int, ...]
    cached: bool = False
    answers: dict[int, JsonObject] = field(default_factory=dict)


def parameter(
    name: str, description: str, schema: JsonObject, example: object, *, required: bool = False
) -> JsonObject:
    """Return a query parameter."""
    return {
        "name": name,
        "in": "query",
        "description": description,
        "required": required,
        "schema": schema,
        "example": example,
    }


def whole(least: int, greatest: int, default: int | None = None) -> JsonObject:
    """Return the schema of a whole number."""
    schema: JsonObject = {"type": "integer", "minimum": least, "maximum": greatest}
    return schema if default is None else {**schema, "default": default}


def nullable(kind: str, **more: object) -> JsonObject:
    """Return the schema of a value that may be null."""
    return {"type": [kind, "null"], **more}


def record(**properties: JsonObject) -> JsonObject:
    """Return the schema of an object that has all these properties."""
    return {"type": "object", "required": list(properties), "properties": properties}


def rows(schema: JsonObject) -> JsonObject:
    """Return the schema of an array."""
    return {"type": "array", "items": schema}


TEXT: JsonObject = {"type": "string"}
COUNT: JsonObject = {"type": "integer"}
FLAG: JsonObject = {"type": "boolean"}
INSTANT: JsonObject = {"type": "string", "format": "date-time"}
MAYBE_INSTANT = nullable("string", format="date-time")
MONTHS = {"$ref": "#/components/schemas/mv_metricas_mensuales"}
ADVISORS = {"$ref": "#/components/schemas/mv_ranking_asesores"}
ERROR = record(code=TEXT, message=TEXT, details=nullable("string"), hint=nullable("string"))
HEALTH = record(
    status={"type": "string", "enum": ["healthy", "degraded", "unhealthy"]},
    views_count=COUNT,
    scheduler_running=FLAG,
    last_refresh=MAYBE_INSTANT,
    problems=rows(TEXT),
    checked_at=INSTANT,
)
QUEUED = record(success=FLAG, message=TEXT, job_id=COUNT, scheduled_at=INSTANT)

CITY = parameter(
    "ciudad",
    "City, in any spelling; one that is unknown gives an empty answer.",
    {"type": "string", "pattern": r"^[^\x00]*$"},
    "Bogotá",
)


def limit(greatest: int, default: int) -> JsonObject:
    """Return the parameter limit."""
    return parameter("limit", "Rows at the most.", whole(1, greatest, default), default)


READING_STATUSES = (304, 400, 401, 403, 503, 504)
WRITING_STATUSES = (400, 401, 403, 413, 503, 504)

ENDPOINTS = (
    Endpoint(
        "get",
        "/materialized-views/monthly-metrics",
        "monthly_metrics",
        "reading",
        (
            parameter(
                "start_month",
                "First month, YYYY-MM.",
                {"type": "string", "pattern": MONTH_PATTERN},
                "2026-01",
            ),
            parameter(
                "end_month",
                "Last month, YYYY-MM, not before start_month.",
                {"type": "string", "pattern": MONTH_PATTERN},
                "2026-12",
            ),
            limit(60, 12),
        ),
        rows(MONTHS),
        READING_STATUSES,
        cached=True,
    ),
    Endpoint(
        "get",
        "/materialized-views/advisor-rankings",
        "advisor_rankings",
        "reading",
        (CITY, limit(500, 50)),
        rows(ADVISORS),
        READING_STATUSES,
        cached=True,
    ),
    Endpoint(
        "get",
        "/materialized-views/top-advisors",
        "top_advisors",
        "reading",
        (
            CITY,
            parameter(
                "metric",
                "What the advisors are sorted by, descending.",
                {"type": "string", "enum": list(METRICS), "default": METRICS[0]},
                METRICS[1],
            ),
            limit(50, 10),
        ),
        record(
            metric={"type": "string", "enum": list(METRICS)},
            ciudad=nullable("string"),
            total_found=COUNT,
            top_advisors=rows(ADVISORS),
        ),
        READING_STATUSES,
        cached=True,
    ),
    Endpoint(
        "get",
        "/materialized-views/city-summary",
        "city_summary",
        "reading",
        (),
        record(
            total_cities=COUNT,
            cities=rows(
                record(
                    ciudad=nullable("string"),
                    total_asesores=COUNT,
                    ofertas_ganadoras_total=COUNT,
                    entregas_exitosas_total=COUNT,
                    volumen_total=nullable("number"),
                    tasa_respuesta_promedio=nullable("number"),
                    confianza_promedio=nullable("number"),
                )
            ),
            generated_at=INSTANT,
        ),
        READING_STATUSES,
        cached=True,
    ),
    Endpoint(
        "get",
        "/materialized-views/status",
        "status",
        "watching",
        (),
        record(
            views=rows(
                record(
                    schema=TEXT,
                    name=TEXT,
                    is_populated=FLAG,
                    row_count=nullable("integer"),
                    size_bytes=COUNT,
                    last_refresh=MAYBE_INSTANT,
                    last_status=nullable("string"),
                    last_duration_ms=nullable("number"),
                    age_seconds=nullable("integer"),
                    pending_changes=COUNT,
                    has_unique_index=FLAG,
                    definition=TEXT,
                )
            ),
            row_counts={"type": "object", "additionalProperties": nullable("integer")},
            checked_at=INSTANT,
        ),
        READING_STATUSES,
        cached=True,
    ),
    Endpoint(
        "get",
        "/materialized-views/health",
        "health",
        "watching",
        (),
        HEALTH,
        (400, 401, 504),
        answers={503: {"anyOf": [HEALTH, {"$ref": "#/components/schemas/error"}]}},
    ),
    Endpoint(
        "get",
        "/health",
        "health",
        "watching",
        (),
        HEALTH,
        (400, 401, 504),
        answers={503: {"anyOf": [HEALTH, {"$ref": "#/components/schemas/error"}]}},
    ),
    Endpoint("get", "/metrics", "metrics", "watching", (), TEXT, (400, 401, 403, 503, 504)),
    Endpoint(
        "post",
        "/materialized-views/refresh",
        "refresh",
        "refreshing",
        (
            parameter(
                "force",
                "true computes everything again from the source.",
                {"type": "boolean", "default": False},
                False,
            ),
        ),
        record(
            success=FLAG,
            total_views=COUNT,
            successful_refreshes=COUNT,
            total_duration_ms={"type": "number"},
            refreshed_at=INSTANT,
            details=rows(
                record(
                    view_name=TEXT,
                    refresh_status={"type": "string", "enum": ["SUCCESS", "ERROR"]},
                    refresh_time_ms={"type": "number"},
                    rows_affected=nullable("integer"),
                    error_message=nullable("string"),
                )
            ),
            error=nullable("string"),
        ),
        (400, 401, 403, 409, 413, 503, 504),
        answers={202: QUEUED},
    ),
    Endpoint(
        "get",
        "/materialized-views/scheduler/status",
        "scheduler_status",
        "scheduler",
        (),
        record(
            is_running=FLAG,
            scheduler_state={"type": "string", "enum": ["running", "stopped"]},
            backend={"type": "string", "enum": ["pg_cron", "external"]},
            schedule=TEXT,
            timezone=TEXT,
            next_run_time=MAYBE_INSTANT,
            jobs=rows(record(id=TEXT, name=TEXT, trigger=TEXT, next_run_time=MAYBE_INSTANT)),
            last_refresh_result={"type": ["object", "null"]},
            pending_triggers=COUNT,
            recent_jobs=rows(
                record(
                    job_id=COUNT,
                    state={"type": "string", "enum": ["QUEUED", "RUNNING", "SUCCESS", "ERROR"]},
                    requested_by=TEXT,
                    requested_at=INSTANT,
                    started_at=MAYBE_INSTANT,
                    finished_at=MAYBE_INSTANT,
                    error=nullable("string"),
                )
            ),
            checked_at=INSTANT,
        ),
        (400, 401, 403, 503, 504),
    ),
    Endpoint(
        "post",
        "/materialized-views/scheduler/trigger-refresh",
        "scheduler_trigger_refresh",
        "scheduler",
        (),
        QUEUED,
        WRITING_STATUSES,
    ),
    Endpoint(
        "put",
        "/materialized-views/scheduler/reschedule",
        "scheduler_reschedule",
        "scheduler",
        (
            parameter("hour", "Local hour.", whole(0, 23), 2, required=True),
            parameter("minute", "Minute.", whole(0, 59, 0), 30),
        ),
        record(
            success=FLAG,
            message=TEXT,
            new_schedule=TEXT,
            timezone=TEXT,
            next_run_time=INSTANT,
            rescheduled_at=INSTANT,
        ),
        WRITING_STATUSES,
    ),
)
STATUSES = {
    304: "Not modified since the answer with this ETag.",
    400: "A parameter is malformed, out of range, missing, unknown, repeated or not UTF-8.",
    401: "No token, or one that has expired, is not ours or names no role of the API.",
    403: "The role of the token may not do this.",
    409: "A refresh is already running.",
    413: "The body of the request is too large.",
    429: "Too many requests.",
    503: "A view was never populated, or the database is down.",
    504: "The database took too long.",
}
JSON_TYPES = {
    "bigint": "integer",
    "integer": "integer",
    "numeric": "number",
    "boolean": "boolean",
}


def view_schema(connection: psycopg.Connection, view: str) -> JsonObject:
    """Return the JSON schema of a row of a view; descriptions are the columns' COMMENTs."""
    columns = connection.execute(
        """
        SELECT attname, format_type(atttypid, NULL), col_description(attrelid, attnum)
        FROM pg_attribute
        WHERE attrelid = format('analytics.%%I', %s::text)::regclass AND attnum > 0
            AND NOT attisdropped
        ORDER BY attnum
        """,
        [view],
    ).fetchall()
    properties: JsonObject = {}
    for name, kind, description in columns:
        schema: JsonObject = nullable(JSON_TYPES.get(kind, "string"))
        if kind == "date":
            schema["format"] = "date"
        elif kind == "uuid":
            schema["format"] = "uuid"
        properties[name] = {**schema, "description": description}
    return record(**properties)


def operation(connection: psycopg.Connection, endpoint: Endpoint) -> JsonObject:
    """Return the operation of one endpoint."""
    row = connection.execute(
        """
        SELECT
            obj_description(pg_proc.oid, 'pg_proc'),
            array_agg(grantee::regrole::text ORDER BY grantee::regrole::text)
                FILTER (WHERE grantee <> proowner)
        FROM pg_proc
        CROSS JOIN LATERAL aclexplode(proacl)
        WHERE pronamespace = 'api'::regnamespace AND proname = %s
        GROUP BY pg_proc.oid
        """,
        [endpoint.function],
    ).fetchone()
    if row is None:
        raise UserError(
            f"function api.{endpoint.function} is missing in the database", "Run: make migrate"
        )
    description, roles = row
    is_open = "analytics_anon" in roles
    media = "text/plain" if endpoint.path == "/metrics" else "application/json"
    success = 202 if endpoint.function == "scheduler_trigger_refresh" else 200
    answers = {success: endpoint.answer, **endpoint.answers}
    responses: JsonObject = {
        str(status): {
            "description": "Queued; it runs in the background." if status == 202 else "The answer.",
            "content": {media: {"schema": schema}},
        }
        for status, schema in answers.items()
    }
    if 503 in answers:
        responses["503"]["description"] = "Unhealthy, or the database is down."
    for status in sorted({*endpoint.statuses, 429} - set(answers)):
        responses[str(status)] = (
            {"description": STATUSES[status]}
            if status == 304
            else {"$ref": f"#/components/responses/{status}"}
        )
    return {
        "operationId": endpoint.function
        if endpoint.path != "/health"
        else f"{endpoint.function}_short",
        "summary": str(description).split(":")[0].split(";")[0].rstrip("."),
        "description": f"{description}\n\nRoles: {', '.join(roles)}.",
        "tags": [endpoint.tag],
        "security": [{}, {"token": []}] if is_open else [{"token": []}],
        "parameters": list(endpoint.parameters),
        "responses": dict(sorted(responses.items())),
    }


def document(connection: psycopg.Connection) -> JsonObject:
    """Return the OpenAPI document of an installation. Raises UserError where it has no API."""
    paths: JsonObject = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method] = operation(connection, endpoint)
    version = prerequisites.scalar(
        connection, "SELECT max(version) FROM analytics.migration_ledger"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "teloo-analytics",
            "version": f"0.{version}.0",
            "description": str(
                prerequisites.scalar(
                    connection, "SELECT obj_description('api'::regnamespace, 'pg_namespace')"
                )
            ),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "reading", "description": "KPIs by month, advisor and city."},
            {"name": "watching", "description": "State and health."},
            {"name": "refreshing", "description": "Refreshing now."},
            {"name": "scheduler", "description": "The daily refresh and the background."},
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "make token ROLE=analytics_lector TTL=3600",
                }
            },
            "schemas": {
                "error": ERROR,
                "mv_metricas_mensuales": view_schema(connection, "mv_metricas_mensuales"),
                "mv_ranking_asesores": view_schema(connection, "mv_ranking_asesores"),
            },
            "responses": {
                str(status): {
                    "description": description,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/error"}}
                    },
                }
                for status, description in STATUSES.items()
                if status != 304
            },
        },
    }


def main(arguments: list[str] | None = None) -> int:
    """Print the document of the database of DATABASE_URL; return the exit code."""
    argparse.ArgumentParser(
        prog="openapi.py",
        description="Prints the OpenAPI document of the database that DATABASE_URL names.",
    ).parse_args(arguments)
    try:
        with prerequisites.connect(database_url(None), "openapi") as connection:
            json.dump(document(connection), sys.stdout, indent=2, ensure_ascii=False)
            print()
    except UserError as error:
        return report(error)
    except psycopg.Error as error:
        return report(prerequisites.explained(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())

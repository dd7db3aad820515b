"""The OpenAPI 3.1 document of the product paths, made from the database and from ENDPOINTS.

Descriptions are the COMMENTs of the functions and of the views' columns, roles are the grants:
what the database says is written nowhere else, and so can't drift from it.
"""

import json
import re
import sys
from dataclasses import dataclass, field
from typing import Any

import psycopg

import prerequisites
from console import Parser, UserError, database_url, report, run_tool, set_up_logging

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


def value(kind: str, example: object, **more: object) -> JsonObject:
    """Return the schema of one value, with an example of it."""
    return {"type": kind, **more, "examples": [example]}


def text(example: str) -> JsonObject:
    """Return the schema of a text."""
    return value("string", example)


def one_of(*values: str) -> JsonObject:
    """Return the schema of a text that is one of a few."""
    return value("string", values[0], enum=list(values))


def count(example: int) -> JsonObject:
    """Return the schema of a number of things."""
    return value("integer", example)


def number(example: float) -> JsonObject:
    """Return the schema of a number."""
    return value("number", example)


def flag(example: bool) -> JsonObject:
    """Return the schema of a yes or no."""
    return value("boolean", example)


def instant(example: str) -> JsonObject:
    """Return the schema of an instant."""
    return value("string", example, format="date-time")


def nullable(schema: JsonObject, *, null_example: bool = False) -> JsonObject:
    """Return the schema of what may be null as well, which may be the example."""
    more = {"examples": [None]} if null_example else {}
    return {**schema, "type": [schema["type"], "null"], **more}


def record(**properties: JsonObject) -> JsonObject:
    """Return the schema of an object that has all these properties."""
    return {"type": "object", "required": list(properties), "properties": properties}


def rows(schema: JsonObject) -> JsonObject:
    """Return the schema of an array."""
    return {"type": "array", "items": schema}


def health(status: str, *problems: str) -> JsonObject:
    """Return the schema of the health, with an example of this status."""
    return record(
        status=value("string", status, enum=["healthy", "degraded", "unhealthy"]),
        views_count=count(2),
        scheduler_running=flag(True),
        last_refresh=nullable(instant(REFRESHED)),
        problems={**rows({"type": "string"}), "examples": [list(problems)]},
        checked_at=instant(CHECKED),
    )


def example_of(schema: JsonObject, schemas: JsonObject) -> Any:
    """Return an example of a schema: what its parts give as theirs."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rsplit("/", 1)[1]], schemas)
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], schemas)
    if "examples" in schema:
        return schema["examples"][0]
    if "items" in schema:
        return [example_of(schema["items"], schemas)]
    return {name: example_of(part, schemas) for name, part in schema["properties"].items()}


REFRESHED = "2026-11-23T06:00:04.520Z"
NEXT = "2026-11-24T06:00:00.000Z"
CHECKED = "2026-11-23T15:20:31.007Z"
MONTHS = {"$ref": "#/components/schemas/mv_metricas_mensuales"}
ADVISORS = {"$ref": "#/components/schemas/mv_ranking_asesores"}
ERROR = record(
    code=text("TELOO400"),
    message=text("parameter limit must be a whole number from 1 to 60"),
    details=nullable(text('Got "0".')),
    hint=nullable(text("See /openapi.json."), null_example=True),
)
HEALTH = health("healthy")
UNHEALTHY = {
    "anyOf": [
        health("unhealthy", "stale: the figures are over 26 hours old"),
        {"$ref": "#/components/schemas/error"},
    ]
}
QUEUED = record(
    success=flag(True),
    message=text("refresh 17 is queued; it runs within a minute"),
    job_id=count(17),
    scheduled_at=instant("2026-11-23T15:21:00.000Z"),
)
RESULT = one_of("SUCCESS", "ERROR")
NO_ERROR = nullable(text("deadlock detected"), null_example=True)

# The gateway refuses a URL that is longer.
LONGEST_URL = 8000


def city(path: str) -> JsonObject:
    """Return the parameter ciudad of a path."""
    return parameter(
        "ciudad",
        "City, in any spelling; one that is unknown gives an empty answer. The URL may have "
        f"{LONGEST_URL} characters: fewer of the city where they are percent-encoded.",
        {
            "type": "string",
            "pattern": r"^[^\x00]*$",
            "maxLength": LONGEST_URL - len(f"{path}?ciudad="),
        },
        "Bogotá",
    )


def limit(greatest: int, default: int) -> JsonObject:
    """Return the parameter limit."""
    return parameter("limit", "Rows at the most.", whole(1, greatest, default), default)


# What the gateway may answer at every path.
GATEWAY_STATUSES = (400, 404, 405, 413, 414, 429, 431, 500)
TOKEN_STATUSES = (401, 403, 503, 504)
READING_STATUSES = (304, 412, *TOKEN_STATUSES)

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
        (city("/materialized-views/advisor-rankings"), limit(500, 50)),
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
            city("/materialized-views/top-advisors"),
            parameter(
                "metric",
                "What the advisors are sorted by, descending.",
                {"type": "string", "enum": list(METRICS), "default": METRICS[0]},
                METRICS[1],
            ),
            limit(50, 10),
        ),
        record(
            metric=one_of(*METRICS),
            ciudad=nullable(text("Bogotá")),
            total_found=count(1),
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
            total_cities=count(1),
            cities=rows(
                record(
                    ciudad=nullable(text("Bogotá")),
                    total_asesores=count(58),
                    ofertas_ganadoras_total=count(402),
                    entregas_exitosas_total=count(377),
                    volumen_total=nullable(number(184250000.5)),
                    tasa_respuesta_promedio=nullable(number(81.44)),
                    confianza_promedio=nullable(number(3.92)),
                )
            ),
            generated_at=instant(CHECKED),
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
                    schema=text("analytics"),
                    name=text("mv_metricas_mensuales"),
                    is_populated=flag(True),
                    row_count=nullable(count(36)),
                    size_bytes=count(65536),
                    last_refresh=nullable(instant(REFRESHED)),
                    last_status=nullable(text("SUCCESS")),
                    last_duration_ms=nullable(number(41.82)),
                    age_seconds=nullable(count(33626)),
                    pending_changes=count(1204),
                    has_unique_index=flag(True),
                    definition=text(" SELECT …"),
                )
            ),
            row_counts={
                "type": "object",
                "additionalProperties": {"type": ["integer", "null"]},
                "examples": [{"mv_metricas_mensuales": 36}],
            },
            checked_at=instant(CHECKED),
        ),
        READING_STATUSES,
        cached=True,
    ),
    *(
        Endpoint(
            "get", path, "health", "watching", (), HEALTH, (401, 504), answers={503: UNHEALTHY}
        )
        for path in ("/materialized-views/health", "/health")
    ),
    Endpoint(
        "get",
        "/metrics",
        "metrics",
        "watching",
        (),
        text('teloo_analytics_view_rows{view="mv_metricas_mensuales"} 36\n'),
        TOKEN_STATUSES,
    ),
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
            success=flag(True),
            total_views=count(1),
            successful_refreshes=count(1),
            total_duration_ms=number(96.31),
            refreshed_at=instant(REFRESHED),
            details=rows(
                record(
                    view_name=text("mv_metricas_mensuales"),
                    refresh_status=RESULT,
                    refresh_time_ms=number(41.82),
                    rows_affected=nullable(count(36)),
                    error_message=NO_ERROR,
                )
            ),
            error=NO_ERROR,
        ),
        (*TOKEN_STATUSES, 409),
        answers={202: QUEUED},
    ),
    Endpoint(
        "get",
        "/materialized-views/scheduler/status",
        "scheduler_status",
        "scheduler",
        (),
        record(
            is_running=flag(True),
            scheduler_state=one_of("running", "stopped"),
            backend=one_of("pg_cron", "external"),
            schedule=text("01:00"),
            timezone=text("America/Bogota"),
            next_run_time=nullable(instant(NEXT)),
            jobs=rows(
                record(
                    id=text("daily_refresh"),
                    name=text("Daily refresh of the materialized views"),
                    trigger=text("every day at 01:00 America/Bogota"),
                    next_run_time=nullable(instant(NEXT)),
                )
            ),
            last_refresh_result=nullable(
                record(
                    run_id=count(212),
                    triggered_by=one_of("schedule", "request", "manual"),
                    requested_by=text("analytics_scheduler"),
                    mode=text("incremental"),
                    refresh_status=RESULT,
                    started_at=instant("2026-11-23T06:00:04.424Z"),
                    finished_at=instant(REFRESHED),
                    refresh_time_ms=number(96.31),
                    error_message=NO_ERROR,
                )
            ),
            pending_triggers=count(0),
            recent_jobs=rows(
                record(
                    job_id=count(17),
                    state=one_of("SUCCESS", "QUEUED", "RUNNING", "ERROR", "MISSED"),
                    requested_by=text("ana (analytics_operador)"),
                    requested_at=instant("2026-11-23T05:59:12.310Z"),
                    started_at=nullable(instant("2026-11-23T06:00:04.410Z")),
                    finished_at=nullable(instant(REFRESHED)),
                    error=NO_ERROR,
                )
            ),
            checked_at=instant(CHECKED),
        ),
        TOKEN_STATUSES,
    ),
    Endpoint(
        "post",
        "/materialized-views/scheduler/trigger-refresh",
        "scheduler_trigger_refresh",
        "scheduler",
        (),
        QUEUED,
        TOKEN_STATUSES,
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
            success=flag(True),
            message=text("the daily refresh is at 02:30 from now on"),
            new_schedule=text("02:30"),
            timezone=text("America/Bogota"),
            next_run_time=instant("2026-11-24T07:30:00.000Z"),
            rescheduled_at=instant(CHECKED),
        ),
        TOKEN_STATUSES,
    ),
)

# What each status means, and the code and message of an error with it.
STATUSES = {
    304: ("Not modified since the answer with this ETag.", "", ""),
    400: (
        "A parameter is malformed, out of range, missing, unknown, repeated or not UTF-8.",
        "TELOO400",
        "parameter limit must be a whole number from 1 to 60",
    ),
    401: (
        "No token, or one that has expired, is not ours or names no role of the API.",
        "PGRST301",
        "JWT expired",
    ),
    403: (
        "The role of the token may not do this.",
        "42501",
        "permission denied for function refresh",
    ),
    404: (
        "The database lacks what this path needs: make migrate.",
        "TELOO404",
        "the database lacks what this path needs",
    ),
    405: (
        "Another method than this path takes.",
        "TELOO405",
        "this path does not take that method",
    ),
    409: ("A refresh is already running.", "TELOO409", "a refresh is already running"),
    412: (
        "What the request takes for granted (If-Match, If-Unmodified-Since) does not hold.",
        "TELOO412",
        "what the request takes for granted (If-Match, If-Unmodified-Since) does not hold",
    ),
    413: ("The body of the request is too large.", "TELOO413", "the request body is too large"),
    414: ("The URL is too long.", "TELOO414", "the URL is too long"),
    429: ("Too many requests.", "TELOO429", "too many requests"),
    431: ("The headers are too large.", "TELOO431", "the request headers are too large"),
    500: (
        "The request failed in the API itself: the logs say why.",
        "TELOO500",
        "the request failed in the API itself",
    ),
    503: (
        "A view was never populated, or the database is down.",
        "TELOO503",
        "view mv_ranking_asesores was never populated",
    ),
    504: ("The database took too long.", "TELOO504", "the database took too long to answer"),
}


def header(description: str, schema: JsonObject, *, required: bool = False) -> JsonObject:
    """Return a response header."""
    return {"description": description, "required": required, "schema": schema}


HEADERS = {
    "X-Request-Id": header(
        "Of the request, or made; it is in the logs.", text("6fd1a0c2"), required=True
    ),
    "Cache-Control": header("no-store, or: ask again.", text("no-store"), required=True),
    "ETag": header(
        "Of the data; If-None-Match with it gives 304 until they change.",
        text('W/"12-1795413604-0"'),
        required=True,
    ),
    "X-Data-Version": header(
        "Refreshes that changed the data; that of the least fresh view where there are several.",
        count(12),
    ),
    "X-Calculated-At": header("When the figures were computed.", instant(REFRESHED)),
    "X-Refreshed-At": header("When a refresh last found them right.", instant(REFRESHED)),
    "X-Stale": header("Whether that is over 26 hours ago.", flag(False), required=True),
    "Allow": header("The methods of the path.", text("GET, HEAD"), required=True),
    "Retry-After": header("Seconds to wait.", count(1), required=True),
}
FRESHNESS = ("ETag", "X-Data-Version", "X-Calculated-At", "X-Refreshed-At", "X-Stale")


def headers(*names: str) -> JsonObject:
    """Return the headers that every answer has, and these."""
    return {
        name: {"$ref": f"#/components/headers/{name}"}
        for name in ("X-Request-Id", "Cache-Control", *names)
    }


JSON_TYPES = {
    "bigint": "integer",
    "integer": "integer",
    "numeric": "number",
    "boolean": "boolean",
}
# Of the columns that are no numbers; nothing of the database gets into the document.
COLUMN_EXAMPLES = {
    "mes": "2026-11-01",
    "asesor_id": "5f0c5c5e-3d0b-4c57-8a0e-9a4bb0a3c111",
    "asesor_nombre": "Ana Pérez",
    "asesor_email": "ana@example.com",
    "ciudad": "Bogotá",
    "departamento": "Cundinamarca",
    "punto_venta": "Repuestos Ana",
    "estado_asesor": "ACTIVO",
    "ultima_auditoria": "2026-11-20",
    "calculado_at": "2026-11-23T06:00:04.520133+00:00",
}
KIND_EXAMPLES: dict[str, object] = {"integer": 4, "number": 48.57, "boolean": True, "string": "…"}


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
        json_type = JSON_TYPES.get(kind, "string")
        schema = nullable(value(json_type, COLUMN_EXAMPLES.get(name, KIND_EXAMPLES[json_type])))
        if kind == "date":
            schema["format"] = "date"
        elif kind == "uuid":
            schema["format"] = "uuid"
        properties[name] = {**schema, "description": description}
    return record(**properties)


def operation(
    connection: psycopg.Connection, endpoint: Endpoint, schemas: JsonObject
) -> JsonObject:
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
    freshness = headers(*FRESHNESS) if endpoint.cached else headers()
    responses: JsonObject = {
        str(status): {
            "description": "Queued; it runs in the background." if status == 202 else "The answer.",
            "headers": freshness,
            "content": {media: {"schema": schema, "example": example_of(schema, schemas)}},
        }
        for status, schema in answers.items()
    }
    if 503 in answers:
        responses["503"]["description"] = "Unhealthy, or the database is down."
    for status in {*GATEWAY_STATUSES, *endpoint.statuses} - set(answers):
        responses[str(status)] = (
            {"description": STATUSES[status][0], "headers": freshness}
            if status == 304
            else {"$ref": f"#/components/responses/{status}"}
        )
    return {
        "operationId": endpoint.function
        if endpoint.path != "/health"
        else f"{endpoint.function}_short",
        "summary": re.split(r"[:;]|\. ", str(description))[0].rstrip("."),
        "description": f"{description}\n\nRoles: {', '.join(roles)}.",
        "tags": [endpoint.tag],
        "security": [{}, {"token": []}] if is_open else [{"token": []}],
        "parameters": list(endpoint.parameters),
        "responses": dict(sorted(responses.items())),
    }


def error_response(status: int) -> JsonObject:
    """Return the response of an error."""
    description, code, message = STATUSES[status]
    more = {405: ("Allow",), 429: ("Retry-After",)}.get(status, ())
    return {
        "description": description,
        "headers": headers(*more),
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/error"},
                "example": {"code": code, "message": message, "details": None, "hint": None},
            }
        },
    }


def document(connection: psycopg.Connection) -> JsonObject:
    """Return the OpenAPI document of an installation. Raises UserError where it has no API."""
    schemas = {
        "error": ERROR,
        "mv_metricas_mensuales": view_schema(connection, "mv_metricas_mensuales"),
        "mv_ranking_asesores": view_schema(connection, "mv_ranking_asesores"),
    }
    paths: JsonObject = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method] = operation(
            connection, endpoint, schemas
        )
    version = prerequisites.scalar(
        connection, "SELECT max(version) FROM kpi_engine.migration_ledger"
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
            "schemas": schemas,
            "headers": HEADERS,
            "responses": {
                str(status): error_response(status) for status in STATUSES if status != 304
            },
        },
    }


def main(arguments: list[str] | None = None) -> int:
    """Print the document of the database of DATABASE_URL; return the exit code."""
    Parser(
        prog="openapi.py",
        description="Prints the OpenAPI document of the database that DATABASE_URL names.",
    ).parse_args(arguments)
    set_up_logging()
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
    run_tool(main)

"""The OpenAPI 3.1 document of the product paths, made from the database and from ENDPOINTS.

Descriptions are the COMMENTs of the functions and of the views' columns. Roles are the grants.
These facts are written only in the database, so the document can't drift from it.
"""

import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import psycopg

from commandline.console import Parser, UserError, database_url, report, run_tool, set_up_logging
from database import prerequisites
from webapi.endpoints import (
    ENDPOINTS,
    FORMAT,
    JSON,
    REFRESHED,
    TAGS,
    Endpoint,
    checked,
    city,
    limit,
    month,
    wrong_entry,
)
from webapi.http_errors import ERRORS
from webapi.json_schema import (
    JsonObject,
    count,
    example_of,
    flag,
    instant,
    nullable,
    parameter,
    record,
    rows,
    text,
    value,
    whole,
)

# What the gateway may answer at every path.
GATEWAY_STATUSES = (400, 404, 405, 413, 414, 429, 431, 500)
TOKEN_STATUSES = (401, 503, 504)
ERROR = record(
    code=text("TELOO400"),
    message=text("parameter limit must be a whole number from 1 to 60"),
    details=nullable(text('Got "0".')),
    hint=nullable(text("See /openapi.json."), null_example=True),
)


def header(description: str, schema: JsonObject, *, required: bool = False) -> JsonObject:
    """Return a response header."""
    return {"description": description, "required": required, "schema": schema}


HEADERS = {
    "X-Request-Id": header(
        "The id of the request: the client's, or a new one. It is in the logs.",
        text("6fd1a0c2"),
        required=True,
    ),
    "Cache-Control": header(
        "no-store, or that the client must ask again.", text("no-store"), required=True
    ),
    "ETag": header(
        "Names this state of the data. If-None-Match with it gives 304 until the data change.",
        text('W/"12-1795413604-0"'),
        required=True,
    ),
    "X-Data-Version": header(
        "Number of the refresh that made these data. With several views: of the least fresh one.",
        count(12),
    ),
    "X-Calculated-At": header("When the figures were computed.", instant(REFRESHED)),
    "X-Refreshed-At": header(
        "The last successful refresh, also if it changed nothing.", instant(REFRESHED)
    ),
    "X-Stale": header("Whether X-Refreshed-At is over 26 hours ago.", flag(False), required=True),
    "X-As-Of": header(
        "Until when the tables of other services behind the view were complete; only where it "
        "reads some.",
        instant(REFRESHED),
    ),
    "X-Partial": header(
        "The origins, or the one subscription, of which the figures lack rows, with commas "
        "between, and percent-encoded where they are not ASCII. They were behind at the last "
        "refresh; one of several origins, or one of live figures, may be behind now. "
        "At a hub: the sites of which it lacks news, each with the instant of the figures that "
        "count. Absent if the figures are whole.",
        text("bogota"),
    ),
    "X-Partial-Since": header(
        "With X-Partial: the figures have what these origins wrote until then. Absent if unknown.",
        instant(REFRESHED),
    ),
    "Allow": header("The methods of the path.", text("GET, HEAD"), required=True),
    "Retry-After": header("Seconds to wait.", count(1), required=True),
}
FRESHNESS = (
    "ETag",
    "X-Data-Version",
    "X-Calculated-At",
    "X-Refreshed-At",
    "X-Stale",
    "X-As-Of",
    "X-Partial",
    "X-Partial-Since",
)


def headers(*names: str) -> JsonObject:
    """Return the headers that every answer has, and these."""
    return {
        name: {"$ref": f"#/components/headers/{name}"}
        for name in ("X-Request-Id", "Cache-Control", *names)
    }


# What compare adds to a row.
COMPARED: JsonObject = {
    "patternProperties": {"_(anterior|dif_pct)$": {"type": ["number", "null"]}},
    "properties": {"incompleto": {"type": "boolean"}},
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
KIND_EXAMPLES: dict[str, object] = {
    "integer": 4,
    "number": 48.57,
    "boolean": True,
    "string": "…",
    "date": COLUMN_EXAMPLES["mes"],
    "uuid": COLUMN_EXAMPLES["asesor_id"],
    "timestamp with time zone": COLUMN_EXAMPLES["calculado_at"],
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
        json_type = JSON_TYPES.get(kind, "string")
        example = COLUMN_EXAMPLES.get(name, KIND_EXAMPLES.get(kind, KIND_EXAMPLES[json_type]))
        schema = nullable(value(json_type, example))
        if kind in ("date", "uuid"):
            schema["format"] = kind
        properties[name] = {**schema, "description": description}
    return record(**properties)


def kpi_schema(connection: psycopg.Connection, kpi: JsonObject) -> JsonObject:
    """Return the JSON schema of a row of a KPI view, in the words of the catalogue."""
    schema = view_schema(connection, kpi["view"])
    for column in kpi["columns"]:
        schema["properties"][column["name"]] |= {
            "title": column["label_es"],
            "x-title-en": column["label_en"],
            "description": column["description_en"],
            "x-description-es": column["description_es"],
            "x-unit": column["unit"],
            "x-better": column["better"],
        }
    return schema


def kpi_parameters(connection: psycopg.Connection, kpi: JsonObject) -> list[JsonObject]:
    """Return the query parameters of a KPI view: they follow from its catalogue entry."""
    path = f"/materialized-views/kpis/{kpi['view']}"
    columns = {column["name"]: column for column in kpi["columns"]}
    found = []
    if kpi["grain"] == "month":
        found += [
            month("from", "First month, YYYY-MM.", "2026-01"),
            month("to", "Last month, YYYY-MM, not before from.", "2026-12"),
        ]
    elif kpi["time_column"]:
        day = {"type": "string", "format": "date"}
        words = f"YYYY-MM-DD: a {kpi['grain']}, or a day in it"
        found += [
            parameter("from", f"First {kpi['grain']}, {words}.", day, "2026-01-05"),
            parameter("to", f"Last {kpi['grain']}, not before from, {words}.", day, "2026-12-28"),
        ]
    for name in kpi["dimensions"]:
        label = f"{columns[name]['label_es']}: only rows with this value"
        kind = columns[name]["type"]
        if name == "ciudad":
            found.append(city(path))
        elif kind == "uuid":
            schema: JsonObject = {"type": "string", "format": "uuid"}
            found.append(parameter(name, f"{label}.", schema, COLUMN_EXAMPLES["asesor_id"]))
        elif JSON_TYPES.get(kind) == "integer":
            greatest = 32767 if kind == "smallint" else 999999999
            found.append(parameter(name, f"{label}.", whole(0, greatest), 1))
        else:
            schema = {"type": "string", "pattern": r"^[^\x00]*$"}
            found.append(parameter(name, f"{label}.", schema, "…"))
    has_several = bool(kpi["time_column"]) and len(kpi["key"]) > 1
    orders = [*columns, *(f"-{name}" for name in columns)]
    default = prerequisites.scalar(
        connection, "SELECT kpi_engine.kpi_default_limit(%s)", kpi["grain"]
    )
    found += [
        parameter(
            "order",
            "A column; with - before it, descending, NULL last. Ties by key. By default "
            + ("newest first." if kpi["time_column"] else "by key."),
            {"type": "string", "enum": orders},
            orders[-1],
        ),
        limit(1000, int(str(default)), periods=kpi["grain"] if has_several else None),
        parameter("offset", "Rows to skip first.", whole(0, 100000, 0), 0),
        parameter(
            "as_of",
            "The view as it was published at this moment: YYYY-MM-DD (the end of that local day), "
            "or an instant. Not in the future, and not before the history begins.",
            {"type": "string"},
            "2026-05-04",
        ),
    ]
    origins = [
        name
        for (name,) in connection.execute(
            "SELECT source_schema FROM kpi_engine.origins ORDER BY number"
        ).fetchall()
    ]
    if origins:
        found.append(
            parameter(
                "origen",
                "One of the origins (schemas of operational tables) alone, as an installation over "
                "it would show the view. Not with as_of, reported or compare.",
                {"type": "string", "enum": origins},
                str(origins[0]),
            )
        )
    if kpi["time_column"]:
        found.append(
            parameter(
                "reported",
                "true: closed periods as they were reported at closing. Not with as_of.",
                {"type": "boolean", "default": False},
                True,
            )
        )
        found.append(
            parameter(
                "fill",
                f"true: each {kpi['grain']} up to the last refresh has a row. A missing row has "
                "zeros and NULLs.",
                {"type": "boolean", "default": False},
                True,
            )
        )
        found.append(
            parameter(
                "compare",
                "Adds to each number x of a row x_anterior, its value one period (previous) or one "
                "year (year) before, x_dif_pct, the difference in percent, and incompleto to the "
                "row. A period that is not over (incompleto: true) is compared with the same "
                "number of days of the earlier one. A column that is not partial in the catalogue "
                "is NULL there.",
                {"type": "string", "enum": ["previous", "year"]},
                "previous",
            )
        )
    return found


def kpi_paths(
    connection: psycopg.Connection,
    endpoint: Endpoint,
    catalogue: Sequence[JsonObject],
    schemas: JsonObject,
) -> JsonObject:
    """Return the paths that an endpoint with a view in its path stands for, one for each view."""
    paths: JsonObject = {}
    for kpi in catalogue:
        row: JsonObject = {"$ref": f"#/components/schemas/{kpi['view']}"}
        if kpi["time_column"]:
            row |= COMPARED
        made = replace(
            endpoint,
            answers={200: rows(row)},
            # That in the path goes.
            parameters=(),
        )
        described = operation(connection, made, schemas)
        paths[endpoint.path.replace(f"{{{endpoint.segment}}}", kpi["view"])] = {
            "get": {
                **described,
                "operationId": f"{endpoint.function}_{kpi['view']}",
                "summary": f"{kpi['title_en']} ({kpi['title_es']})",
                "description": f"{kpi['description_en']}\n\n{kpi['description_es']}\n\n"
                f"{described['description']}",
                "parameters": [*kpi_parameters(connection, kpi), FORMAT],
            }
        }
    return paths


def described(connection: psycopg.Connection, endpoint: Endpoint) -> tuple[str, list[str]]:
    """Return the COMMENT of an endpoint's function and the roles that may call it.

    Raises UserError where the function is missing, or is another one than the entry says.
    """
    found = connection.execute(
        """
        SELECT
            obj_description(pg_proc.oid, 'pg_proc'),
            ARRAY(
                SELECT grantee::regrole::text
                FROM aclexplode(proacl)
                WHERE grantee <> proowner
                ORDER BY 1
            ),
            coalesce(proargnames, '{}'),
            provariadic <> 0,
            provolatile,
            typname
        FROM pg_proc
        INNER JOIN pg_type ON pg_type.oid = prorettype
        WHERE pronamespace = 'api'::regnamespace AND proname = %s AND prokind = 'f'
        """,
        [endpoint.function],
    ).fetchall()
    name = f"api.{endpoint.function}"
    if not found:
        raise UserError(f"function {name} is missing in the database", "Run: make migrate")
    if len(found) > 1:
        raise wrong_entry(endpoint, f"the database has {len(found)} functions {name}")
    description, roles, arguments, is_variadic, volatility, result = found[0]
    if is_variadic:
        arguments[-1] = f"VARIADIC {arguments[-1]}"
    wanted = endpoint.arguments + ([f"VARIADIC {endpoint.rest}"] if endpoint.rest else [])
    if set(arguments) != set(wanted):
        raise wrong_entry(
            endpoint, f"{name} takes ({', '.join(arguments)}), the entry has ({', '.join(wanted)})"
        )
    if (volatility == "v") != endpoint.writes:
        kind = "VOLATILE" if volatility == "v" else "not VOLATILE"
        raise wrong_entry(endpoint, f"{name} is {kind}: functions for GET read, the others write")
    media = endpoint.media.partition(";")[0]
    if (JSON if result == "json" else result) != media:
        raise wrong_entry(endpoint, f"{name} returns {result}, the entry's media is {media}")
    if not description or not roles:
        lacking = "COMMENT" if not description else "GRANT to a role of the API"
        raise wrong_entry(endpoint, f"{name} has no {lacking}")
    return str(description), list(roles)


def csv_of(rows: Sequence[JsonObject]) -> str:
    """Return an example of rows as CSV."""
    output = io.StringIO()
    writer = csv.writer(output)
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return output.getvalue()


def answer(endpoint: Endpoint, status: int, schema: JsonObject, schemas: JsonObject) -> JsonObject:
    """Return the response with an answer that is no error."""
    example = example_of(schema, schemas)
    content = {endpoint.media.partition(";")[0]: {"schema": schema, "example": example}}
    if status == 200 and endpoint.answers_rows:
        content["text/csv"] = {"schema": {"type": "string"}, "example": csv_of(example)}
    words = {202: "Queued; it runs in the background.", 503: "Unhealthy, or the database is down."}
    return {
        "description": words.get(status, "The answer."),
        "headers": headers(*FRESHNESS) if endpoint.cached else headers(),
        "content": content,
    }


def operation(
    connection: psycopg.Connection, endpoint: Endpoint, schemas: JsonObject
) -> JsonObject:
    """Return the operation of one endpoint."""
    description, roles = described(connection, endpoint)
    is_open = "analytics_anon" in roles
    responses = {
        str(status): answer(endpoint, status, schema, schemas)
        for status, schema in endpoint.answers.items()
    }
    errors = {*GATEWAY_STATUSES, *TOKEN_STATUSES, *endpoint.errors}
    if not is_open:
        errors.add(403)
    if endpoint.cached:
        errors.add(412)
        responses["304"] = {
            "description": "Not modified since the answer with this ETag.",
            "headers": headers(*FRESHNESS),
        }
    for status in errors - set(endpoint.answers):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return {
        "summary": re.split(r"[:;]|\. ", description)[0].rstrip("."),
        "description": f"{description}\n\nRoles: {', '.join(roles)}.",
        "tags": [endpoint.tag],
        "security": [{}, {"token": []}] if is_open else [{"token": []}],
        "parameters": list(endpoint.all_parameters),
        "responses": dict(sorted(responses.items())),
    }


def error_response(status: int) -> JsonObject:
    """Return the response of an error."""
    error = ERRORS[status]
    code, message = error.example or (f"TELOO{status}", error.message)
    more = {405: ("Allow",), 429: ("Retry-After",)}.get(status, ())
    return {
        "description": error.meaning,
        "headers": headers(*more),
        "content": {
            JSON: {
                "schema": {"$ref": "#/components/schemas/error"},
                "example": {"code": code, "message": message, "details": None, "hint": None},
            }
        },
    }


def of_views(parameter: JsonObject, catalogue: Iterable[JsonObject]) -> JsonObject:
    """Name in a parameter "view" the views that it may be."""
    if parameter["name"] != "view":
        return parameter
    views = [kpi["view"] for kpi in catalogue]
    return {**parameter, "schema": {"type": "string", "enum": views}}


def document(connection: psycopg.Connection) -> JsonObject:
    """Return the OpenAPI document of an installation. Raises UserError where it has no API."""
    prerequisites.pin_settings(connection)
    catalogue: Any = prerequisites.scalar(connection, "SELECT kpi_engine.kpi_catalogue()")
    schemas = {
        "error": ERROR,
        "v_kpis_en_vivo": view_schema(connection, "v_kpis_en_vivo"),
        **{kpi["view"]: kpi_schema(connection, kpi) for kpi in catalogue},
    }
    paths: JsonObject = {}
    names: list[str] = []
    for endpoint in checked(ENDPOINTS):
        # A second path of a function is the short one.
        name = endpoint.function + "_short" * names.count(endpoint.function)
        names.append(endpoint.function)
        if endpoint.segment:
            paths |= kpi_paths(connection, endpoint, catalogue, schemas)
            continue
        made = operation(connection, endpoint, schemas)
        if endpoint.function in ("restatements", "targets", "notes"):
            needs_time = endpoint.function == "restatements"
            of = [kpi for kpi in catalogue if kpi["time_column"] or not needs_time]
            made["parameters"] = [of_views(one, of) for one in made["parameters"]]
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = {"operationId": name, **made}
    version = prerequisites.scalar(connection, "SELECT version FROM kpi_engine.installation")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "teloo-analytics",
            "version": str(version),
            "description": str(
                prerequisites.scalar(
                    connection, "SELECT obj_description('api'::regnamespace, 'pg_namespace')"
                )
            ),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": words} for name, words in TAGS.items()],
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
                str(status): error_response(status) for status in ERRORS if status != 415
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

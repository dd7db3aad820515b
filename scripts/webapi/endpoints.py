"""The list of the product paths: nginx.conf and the OpenAPI document are both made from it.

A new endpoint is one file ``sql/functions/api/<function>.sql`` and one entry in ENDPOINTS.

From the entry follow the function's name, the maps and locations of nginx.conf (nginx_paths.py),
and the operation in /openapi.json (openapi.py). From the database follow the description, the
roles, and whether a token is needed: they are not written here. If an entry and its function
disagree (parameters, volatility, type), ``gateway.py render`` and ``make demo`` say so.

How a request reaches its function. The gateway calls each function by POST with a form, because
PostgREST takes a query parameter such as ``ciudad=eq.x`` for a filter. In a form nothing is a
filter. A function gets three kinds of arguments:

- A parameter of ``parameters``: the argument of the same name (RENAMED has the exceptions). The
  gateway leaves it out if the client left it out.
- The variable part of a path such as ``/materialized-views/kpis/{view}``: the argument ``view``.
  The gateway answers 404 if it is not as SEGMENT says.
- All other parameters (``rest="consulta"``): the argument ``VARIADIC consulta text[]``. It has one
  element ``name=value`` for each parameter. PostgREST has decoded it; ``+`` is a space. An element
  may be empty. The gateway has checked that the query is UTF-8, that each name is
  ``[A-Za-z0-9_]{1,63}`` and comes once, and that there are at most MOST_PARAMETERS. The function
  checks names and values. It must not have a DEFAULT for the argument: PostgREST would answer at
  /rest/ that there is no such function. So ``consulta=`` is sent there even if it is empty.

A path may have one endpoint for each method: GET first, then those that write. Each has a function
of its own, named with ``function=…``.

An endpoint that answers an array answers CSV, too (``Accept: text/csv`` or ``format=csv``). The
gateway adds the parameter ``format``, takes it out again, and asks PostgREST for the media type of
``api.csv()``. The function knows nothing of it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from commandline.console import UserError
from webapi.http_errors import LONGEST_URL
from webapi.json_schema import (
    JsonObject,
    count,
    flag,
    instant,
    nullable,
    number,
    one_of,
    parameter,
    record,
    rows,
    text,
    value,
    whole,
)

# limit is a word of PostgREST's own at /rest/, the others are words of SQL: the functions call them
# otherwise.
RENAMED = {
    "limit": "limite",
    "from": "desde",
    "to": "hasta",
    "column": "columna",
    "text": "texto",
}
RESERVED = {"and", "columns", "limit", "not", "offset", "on_conflict", "or", "order", "select"}
# The variable last part of a path.
SEGMENT = "[A-Za-z0-9_]{1,63}"
MOST_PARAMETERS = 20
METHODS = ("GET", "POST", "PUT", "DELETE")
JSON = "application/json"
TAGS = {
    "reading": "KPIs by month, advisor and city.",
    "watching": "State and health.",
    "refreshing": "Refreshing now.",
    "scheduler": "The daily refresh, and refreshes in the background.",
    "goals": "Targets of KPI columns, and dated notes.",
}
FORMAT = parameter(
    "format",
    "csv or json. By default Accept decides: CSV if text/csv comes first.",
    {"type": "string", "enum": ["json", "csv"]},
    "json",
)

_PATH = re.compile(r"(?:/[a-z0-9]+(?:-[a-z0-9]+)*)+(?:/\{([a-z][a-z0-9_]*)\})?")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TAKEN = ("/docs", "/rest")


@dataclass(frozen=True)
class Endpoint:
    """One product path.

    ``answers`` has the schema of each answer that is no error, by status; 503 is here where it has
    a body of its own. ``errors`` are statuses beyond those that follow from the rest of the entry.
    ``cached``: nginx keeps an answer until the second is over, and the function answers with an
    ETag. ``is_probe``: it has two connections of its own, so that readers can't take them.
    """

    method: str
    path: str
    tag: str
    answers: Mapping[int, JsonObject]
    parameters: tuple[JsonObject, ...] = ()
    cached: bool = False
    is_probe: bool = False
    media: str = JSON
    errors: tuple[int, ...] = ()
    rest: str = ""
    # By default the path without /materialized-views and the variable part: scheduler_status.
    function: str = field(default="")

    def __post_init__(self) -> None:
        """Name the function after the path."""
        if not self.function:
            path = self.path.removeprefix("/materialized-views").partition("/{")[0]
            object.__setattr__(self, "function", re.sub(r"[/-]", "_", path.strip("/")))

    @property
    def segment(self) -> str:
        """Name of the variable last part of the path, or nothing."""
        match = _PATH.fullmatch(self.path)
        return (match and match[1]) or ""

    @property
    def writes(self) -> bool:
        """Whether the function changes something: PostgREST runs it in a writing transaction."""
        return self.method != "GET"

    @property
    def answers_rows(self) -> bool:
        """Whether it answers an array, and so CSV too."""
        return self.answers.get(200, {}).get("type") == "array"

    @property
    def all_parameters(self) -> tuple[JsonObject, ...]:
        """The parameters, with that of the gateway's own."""
        return (*self.parameters, FORMAT) if self.answers_rows else self.parameters

    @property
    def query_names(self) -> list[str]:
        """The names of the query parameters."""
        return [str(one["name"]) for one in self.all_parameters if one["in"] == "query"]

    @property
    def arguments(self) -> list[str]:
        """The names of the function's arguments, but for ``rest``."""
        named = [] if self.rest else [name for name in self.query_names if name != FORMAT["name"]]
        segment = [self.segment] if self.segment else []
        return segment + [RENAMED.get(name, name) for name in named]


def mistake_in(endpoint: Endpoint) -> str:
    """Return what is wrong with an entry by itself, or nothing."""
    names = [str(one["name"]) for one in endpoint.parameters]
    in_path = [str(one["name"]) for one in endpoint.parameters if one["in"] == "path"]
    named = [] if endpoint.rest else [name for name in names if name not in in_path]
    for is_wrong, what in (
        (
            endpoint.method not in METHODS,
            f"the method is {endpoint.method!r}: it must be {', '.join(METHODS[:-1])} or DELETE",
        ),
        (
            not _PATH.fullmatch(endpoint.path) or endpoint.path.startswith(_TAKEN),
            "the path must be lower-case words such as /materialized-views/city-summary, with at "
            "most one variable part, the last: /{view}; /rest and /docs are taken",
        ),
        (
            not _NAME.fullmatch(endpoint.function),
            f"{endpoint.function!r} can't be the name of a function: name one with function=…",
        ),
        (
            endpoint.tag not in TAGS,
            f"the tag is {endpoint.tag!r}: it must be {', '.join(TAGS)}, or a new one in TAGS",
        ),
        (
            not any(status < 300 for status in endpoint.answers),
            "answers has no schema of an answer: answers={200: …}",
        ),
        (endpoint.cached and endpoint.writes, "what writes can't be cached"),
        (
            in_path != ([endpoint.segment] if endpoint.segment else []),
            f'the path needs parameter("{endpoint.segment}", …, place="path")'
            if endpoint.segment
            else f"the path has no variable part {', '.join(in_path)}",
        ),
        (
            bool(endpoint.rest) and not _NAME.fullmatch(endpoint.rest),
            f"rest is {endpoint.rest!r}: it must be the function's VARIADIC argument",
        ),
        *((names.count(name) > 1, f"parameter {name} is there twice") for name in names),
        *(
            (not _NAME.fullmatch(name), f"parameter {name!r} must be a lower-case name")
            for name in names
        ),
        *(
            (name == FORMAT["name"], "parameter format is the gateway's own: leave it out")
            for name in names
        ),
        *(
            (
                name in RESERVED and name not in RENAMED,
                f"parameter {name} is a word of PostgREST's own at /rest/: RENAMED must say what "
                "the function calls it",
            )
            for name in named
        ),
    ):
        if is_wrong:
            return what
    return ""


def checked(endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
    """Return the entries as they are; raise UserError that names the one with a mistake."""
    first: dict[str, Endpoint] = {}
    taken: set[tuple[str, str]] = set()
    for endpoint in endpoints:
        what = mistake_in(endpoint)
        if not what and (endpoint.method, endpoint.path) in taken:
            what = "there are two entries for this path and method"
        elif not what and endpoint.path in first:
            what = mistake_beside(first[endpoint.path], endpoint)
        if what:
            raise wrong_entry(endpoint, what)
        first.setdefault(endpoint.path, endpoint)
        taken.add((endpoint.method, endpoint.path))
    return endpoints


def mistake_beside(first: Endpoint, other: Endpoint) -> str:
    """Return what is wrong with another entry for the path of a first one, or nothing."""
    if not other.writes or first.writes:
        return "of several entries for a path, the first one is GET, and the others write"
    if any(one.segment or one.rest or one.is_probe or one.media != JSON for one in (first, other)):
        return (
            "a path with several methods has no variable part, no rest, no other media, and is no "
            "probe"
        )
    return ""


def more_methods(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Return the entries whose path has an entry before them: those of further methods."""
    paths = [endpoint.path for endpoint in endpoints]
    return [one for place, one in enumerate(endpoints) if one.path in paths[:place]]


def wrong_entry(endpoint: Endpoint, what: str) -> UserError:
    """Return the error that an entry is wrong."""
    return UserError(
        f"{endpoint.method} {endpoint.path}: {what}",
        "The entry is in ENDPOINTS of scripts/webapi/endpoints.py.",
    )


# -- what several entries share ---------------------------------------------------------------

# There is no year 0000.
MONTH_PATTERN = r"^([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-(0[1-9]|1[0-2])$"
DAY_PATTERN = f"{MONTH_PATTERN[:-1]}-(0[1-9]|[12][0-9]|3[01])$"
# One line with something in it: no control characters, line ends, marks of direction.
_PLAIN = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
NOTE_PATTERN = rf"^[^{_PLAIN}]*[^\s{_PLAIN}][^{_PLAIN}]*$"
METRICS = (
    "ofertas_ganadoras",
    "entregas_exitosas",
    "tasa_respuesta_pct",
    "tasa_conversion_ofertas_pct",
    "monto_promedio_ofertas",
    "confianza_auditada",
)
UNITS = (
    "conteo",
    "COP",
    "segundos",
    "dias",
    "meses",
    "pct",
    "razon",
    "fecha",
    "instante",
    "texto",
)
REFRESHED = "2026-11-23T06:00:04.520Z"
NEXT = "2026-11-24T06:00:00.000Z"
CHECKED = "2026-11-23T15:20:31.007Z"
MONTHS = {"$ref": "#/components/schemas/mv_metricas_mensuales"}
ADVISORS = {"$ref": "#/components/schemas/mv_ranking_asesores"}
QUEUED = record(
    success=flag(True),
    message=text("refresh 17 is queued; it runs within a minute"),
    job_id=count(17),
    scheduled_at=instant("2026-11-23T15:21:00.000Z"),
)
RESULT = one_of("SUCCESS", "ERROR")
NO_ERROR = nullable(text("deadlock detected"), null_example=True)


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


def names(*examples: str) -> JsonObject:
    """Return the schema of an array of names."""
    return {**rows({"type": "string"}), "examples": [list(examples)]}


def month(name: str, description: str, example: str) -> JsonObject:
    """Return a parameter that is a month."""
    return parameter(name, description, {"type": "string", "pattern": MONTH_PATTERN}, example)


def city(path: str) -> JsonObject:
    """Return the parameter ciudad of a path."""
    return parameter(
        "ciudad",
        "City, in any spelling. An unknown city gives an empty answer. The URL may have "
        f"{LONGEST_URL} characters. Percent-encoding makes a city longer.",
        {
            "type": "string",
            "pattern": r"^[^\x00]*$",
            "maxLength": LONGEST_URL - len(f"{path}?ciudad="),
        },
        "Bogotá",
    )


def limit(greatest: int, default: int, *, periods: str | None = None) -> JsonObject:
    """Return the parameter limit. Without it come so many rows, or so many ``periods``."""
    if periods is None:
        return parameter("limit", "At most so many rows.", whole(1, greatest, default), default)
    words = (
        f"At most so many rows. Without limit, offset and order: the rows of the newest {default} "
        f"{periods}s, or of as many of them as fit into {greatest} rows."
    )
    return parameter("limit", words, whole(1, greatest), greatest)


def day(name: str, description: str, example: str, *, required: bool = False) -> JsonObject:
    """Return a parameter that is a day."""
    schema = {"type": "string", "format": "date", "pattern": DAY_PATTERN}
    return parameter(name, description, schema, example, required=required)


DATE = {"type": "string", "format": "date", "examples": ["2026-01-01"]}
SET_AT = "2026-01-04T14:02:11.501Z"
TARGET: JsonObject = {
    "view": text("mv_metricas_mensuales"),
    "column": text("tasa_aceptacion_pct"),
    "from": DATE,
    "value": number(60),
    "better": nullable(text("up")),
}
SET: JsonObject = {"set_by": text("ana (analytics_operador)"), "set_at": instant(SET_AT)}
TARGET_KEY = (
    parameter(
        "view",
        "A KPI view.",
        {"type": "string", "pattern": f"^{SEGMENT}$"},
        "mv_metricas_mensuales",
        required=True,
    ),
    parameter(
        "column",
        "A column of the view that is a number.",
        {"type": "string", "pattern": f"^{SEGMENT}$"},
        "tasa_aceptacion_pct",
        required=True,
    ),
    parameter(
        "from",
        "The first period for which it holds: a month as YYYY-MM, or the first day of a month, "
        "week or day as YYYY-MM-DD.",
        {"type": "string", "pattern": f"{MONTH_PATTERN[:-1]}(-(0[1-9]|[12][0-9]|3[01]))?$"},
        "2026-01",
        required=True,
    ),
)
NOTE: JsonObject = {
    "id": count(4),
    "day": {**DATE, "examples": ["2026-03-12"]},
    "text": text("nuevos precios"),
    "view": nullable(text("mv_metricas_mensuales"), null_example=True),
    "author": text("ana (analytics_operador)"),
    "written_at": instant("2026-03-12T14:02:11.501Z"),
}

# -- the list ---------------------------------------------------------------------------------

OUTSIDE_SOURCE = record(
    view=text("mv_reclamos_asesores"),
    source=text("soporte.reclamos"),
    watch=one_of("triggers", "version", "reread"),
    as_of=nullable(instant(REFRESHED)),
    read_at=nullable(instant(REFRESHED)),
)
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/materialized-views/monthly-metrics",
        "reading",
        {200: rows(MONTHS)},
        (
            month("start_month", "First month, YYYY-MM.", "2026-01"),
            month("end_month", "Last month, YYYY-MM, not before start_month.", "2026-12"),
            limit(60, 12),
        ),
        cached=True,
    ),
    Endpoint(
        "GET",
        "/materialized-views/advisor-rankings",
        "reading",
        {200: rows(ADVISORS)},
        (city("/materialized-views/advisor-rankings"), limit(500, 50)),
        cached=True,
    ),
    Endpoint(
        "GET",
        "/materialized-views/top-advisors",
        "reading",
        {
            200: record(
                metric=one_of(*METRICS),
                ciudad=nullable(text("Bogotá")),
                total_found=count(1),
                top_advisors=rows(ADVISORS),
            )
        },
        (
            city("/materialized-views/top-advisors"),
            parameter(
                "metric",
                "The column by which the advisors are sorted, descending.",
                {"type": "string", "enum": list(METRICS), "default": METRICS[0]},
                METRICS[1],
            ),
            limit(50, 10),
        ),
        cached=True,
    ),
    Endpoint(
        "GET",
        "/materialized-views/city-summary",
        "reading",
        {
            200: record(
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
            )
        },
        cached=True,
    ),
    Endpoint(
        "GET",
        "/materialized-views/kpis",
        "reading",
        {
            200: record(
                kpis=rows(
                    record(
                        view=text("mv_metricas_mensuales"),
                        title_es=text("Métricas mensuales"),
                        title_en=text("Monthly metrics"),
                        description_es=text("Los indicadores de cada mes."),
                        description_en=text("The KPIs of each month."),
                        key=names("mes"),
                        time_column=nullable(text("mes")),
                        grain=text("month"),
                        dimensions=names(),
                        columns=rows(
                            record(
                                name=text("solicitudes_creadas"),
                                type=text("bigint"),
                                unit=one_of(*UNITS),
                                better=one_of("up", "down", "none"),
                                bands=nullable(
                                    record(
                                        bad_below=number(10),
                                        good_above=nullable(number(25), null_example=True),
                                        good_from=nullable(number(15)),
                                        good_to=nullable(number(25)),
                                        bad_above=nullable(number(30)),
                                    )
                                ),
                                label_es=text("Solicitudes creadas"),
                                label_en=nullable(text("Requests created")),
                                description_es=text("Solicitudes que los clientes crearon."),
                                description_en=text("Requests created in the month."),
                                partial=flag(True),
                            )
                        ),
                        sources=names("solicitudes", "ofertas"),
                        last_refresh=nullable(instant(REFRESHED)),
                        data_version=nullable(count(12)),
                        stale=flag(False),
                        has_history=flag(True),
                        outside_sources=rows(OUTSIDE_SOURCE),
                    )
                ),
                problems=rows(
                    record(
                        name=text("stale"),
                        label_es=nullable(text("las cifras tienen más de 26 horas")),
                        label_en=text("the figures are over 26 hours old"),
                        cure_es=nullable(text("Mire si la última actualización falló.")),
                    )
                ),
                timezone=text("America/Bogota"),
                checked_at=instant(CHECKED),
            )
        },
        cached=True,
    ),
    # In /openapi.json there is a path for each view, with its columns and parameters.
    Endpoint(
        "GET",
        "/materialized-views/kpis/{view}",
        "reading",
        {200: rows({"type": "object"})},
        (
            parameter(
                "view",
                "A view of the catalogue.",
                {"type": "string", "pattern": f"^{SEGMENT}$"},
                "mv_metricas_mensuales",
                place="path",
            ),
        ),
        cached=True,
        rest="consulta",
        function="kpi",
    ),
    Endpoint(
        "GET",
        "/materialized-views/restatements",
        "reading",
        {
            200: rows(
                record(
                    view=text("mv_metricas_mensuales"),
                    period={"type": "string", "format": "date", "examples": ["2026-04-01"]},
                    column=text("solicitudes_aceptadas"),
                    reported=nullable(number(118)),
                    current=nullable(number(121)),
                    difference=nullable(number(3)),
                    difference_pct=nullable(number(2.54)),
                    reported_at=instant("2026-05-05T06:00:04.520Z"),
                    since=instant("2026-05-19T06:00:03.117Z"),
                    run_id=count(161),
                    requests_changed=nullable(count(214)),
                    previous=nullable(number(118)),
                    key={"type": "object", "examples": [{"mes": "2026-04-01"}]},
                )
            )
        },
        (
            parameter(
                "view",
                "A KPI view with a time; by default all.",
                {"type": "string", "pattern": f"^{SEGMENT}$"},
                "mv_metricas_mensuales",
            ),
            parameter(
                "period",
                "A month as YYYY-MM, or the first day of a period as YYYY-MM-DD.",
                {"type": "string", "pattern": f"{MONTH_PATTERN[:-1]}(-(0[1-9]|[12][0-9]|3[01]))?$"},
                "2026-04",
            ),
            limit(1000, 100),
        ),
        cached=True,
    ),
    Endpoint(
        "GET",
        "/materialized-views/live",
        "reading",
        {200: rows({"anyOf": [{"$ref": "#/components/schemas/v_kpis_en_vivo"}, MONTHS]})},
        (
            parameter(
                "view",
                "monthly: the months as of now; by default the KPIs of today and this month.",
                {"type": "string", "enum": ["monthly"]},
                "monthly",
            ),
        ),
        cached=True,
    ),
    Endpoint(
        "GET",
        "/materialized-views/status",
        "watching",
        {
            200: record(
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
                replication=rows(
                    record(
                        subscription=text("operational"),
                        is_enabled=flag(True),
                        is_running=flag(True),
                        is_failing=flag(False),
                        is_late=flag(False),
                        copying=rows(text("public.ofertas")),
                        seconds_behind=nullable(number(0.8)),
                        bytes_behind=nullable(count(0)),
                        lost=rows(text("public.ofertas")),
                    )
                ),
                outside_sources=rows(OUTSIDE_SOURCE),
                origins=rows(
                    record(
                        origen=text("bogota"),
                        subscriptions=rows(text("from_bogota")),
                        is_behind=flag(False),
                        cause=nullable(text("gone")),
                        as_of=nullable(instant(CHECKED)),
                        counted_as_of=nullable(instant(REFRESHED)),
                        is_partial=flag(False),
                    )
                ),
                sites=rows(
                    record(
                        site=text("cali"),
                        state=text("away"),
                        message=nullable(text("no answer for 60 seconds")),
                        is_partial=flag(True),
                        is_old=nullable(flag(False)),
                        as_of=nullable(instant(CHECKED)),
                        taken_at=nullable(instant(CHECKED)),
                    )
                ),
                checked_at=instant(CHECKED),
            )
        },
        cached=True,
    ),
    *(
        Endpoint(
            "GET",
            path,
            "watching",
            {
                200: health("healthy"),
                503: {
                    "anyOf": [
                        health("unhealthy", "stale: the figures are over 26 hours old"),
                        {"$ref": "#/components/schemas/error"},
                    ]
                },
            },
            is_probe=True,
        )
        for path in ("/materialized-views/health", "/health")
    ),
    Endpoint(
        "GET",
        "/metrics",
        "watching",
        {200: text('teloo_analytics_view_rows{view="mv_metricas_mensuales"} 36\n')},
        media="text/plain; version=0.0.4; charset=utf-8",
    ),
    Endpoint(
        "POST",
        "/materialized-views/refresh",
        "refreshing",
        {
            200: record(
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
            202: QUEUED,
        },
        (
            parameter(
                "force",
                "true computes everything again from the source.",
                {"type": "boolean", "default": False},
                False,
            ),
        ),
        errors=(409,),
    ),
    Endpoint(
        "POST",
        "/materialized-views/gate",
        "refreshing",
        {
            200: record(
                success=flag(True),
                message=text("2 finding(s) of mv_metricas_mensuales accepted"),
                view=text("mv_metricas_mensuales"),
                how=one_of("once", "normal"),
                accepted=count(2),
                findings=names(
                    "closed_sum: solicitudes_creadas of 2026-04-01: 1100 instead of 1000"
                ),
            )
        },
        (
            parameter(
                "view",
                "A view that the gate holds back; changes for the breaker.",
                {"type": "string", "pattern": f"^{SEGMENT}$"},
                "mv_metricas_mensuales",
                required=True,
            ),
            parameter(
                "how",
                "once: for the next publish. normal: from then on the rules compare with these.",
                {"type": "string", "enum": ["once", "normal"], "default": "once"},
                "once",
            ),
            parameter(
                "reason",
                "Why it is right. It is kept with the name of the caller.",
                {"type": "string", "minLength": 1, "maxLength": 1000, "pattern": r"\S"},
                "A correction of April, agreed with finance.",
                required=True,
            ),
        ),
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "/materialized-views/targets",
        "goals",
        {
            200: rows(
                record(
                    **TARGET,
                    next_from=nullable(DATE, null_example=True),
                    label_es=nullable(text("Tasa de aceptación")),
                    **SET,
                    stale=nullable(text("there is no KPI view mv_x"), null_example=True),
                )
            )
        },
        (
            parameter(
                "view",
                "Only the targets of this view.",
                {"type": "string", "pattern": f"^{SEGMENT}$"},
                "mv_metricas_mensuales",
            ),
            limit(1000, 1000),
        ),
        cached=True,
    ),
    Endpoint(
        "POST",
        "/materialized-views/targets",
        "goals",
        {
            200: record(
                success=flag(True),
                message=text(
                    "the target of mv_metricas_mensuales.tasa_aceptacion_pct is 60 or more from "
                    "2026-01-01 on"
                ),
                **TARGET,
                **SET,
            )
        },
        (
            *TARGET_KEY,
            parameter(
                "value",
                "The target, in the unit of the column.",
                {"type": "string", "pattern": r"^-?[0-9]{1,15}(\.[0-9]{1,6})?$"},
                "60",
                required=True,
            ),
            parameter(
                "better",
                "up: the value or more is right. down: the value or less. Needed where the "
                "catalogue has no direction for the column.",
                {"type": "string", "enum": ["up", "down"]},
                "up",
            ),
        ),
        function="set_target",
    ),
    Endpoint(
        "DELETE",
        "/materialized-views/targets",
        "goals",
        {
            200: record(
                success=flag(True),
                message=text(
                    "the target of mv_metricas_mensuales.tasa_aceptacion_pct from 2026-01-01 on is "
                    "removed"
                ),
                view=TARGET["view"],
                column=TARGET["column"],
                **{"from": TARGET["from"]},
            )
        },
        TARGET_KEY,
        errors=(404,),
        function="remove_target",
    ),
    Endpoint(
        "GET",
        "/materialized-views/notes",
        "goals",
        {200: rows(record(**NOTE))},
        (
            day("from", "First day.", "2026-01-01"),
            day("to", "Last day, not before from.", "2026-12-31"),
            parameter(
                "view",
                "Only notes about this KPI view, and about all of them.",
                {"type": "string", "pattern": f"^{SEGMENT}$"},
                "mv_metricas_mensuales",
            ),
            limit(1000, 1000),
        ),
        cached=True,
    ),
    Endpoint(
        "POST",
        "/materialized-views/notes",
        "goals",
        {200: record(success=flag(True), message=text("note 4 is written"), **NOTE)},
        (
            day("day", "The day that it is about.", "2026-03-12", required=True),
            parameter(
                "text",
                "In one line, without control characters. Markup has no meaning.",
                {"type": "string", "minLength": 1, "maxLength": 200, "pattern": NOTE_PATTERN},
                "nuevos precios",
                required=True,
            ),
            parameter(
                "view",
                "The KPI view that it is about; by default all.",
                {"type": "string", "pattern": f"^{SEGMENT}$"},
                "mv_metricas_mensuales",
            ),
        ),
        function="add_note",
    ),
    Endpoint(
        "DELETE",
        "/materialized-views/notes",
        "goals",
        {200: record(success=flag(True), message=text("note 4 is removed"), id=count(4))},
        (parameter("id", "The note.", whole(1, 999999999), 4, required=True),),
        errors=(404,),
        function="remove_note",
    ),
    Endpoint(
        "GET",
        "/materialized-views/scheduler/status",
        "scheduler",
        {
            200: record(
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
                        triggered_by=one_of("schedule", "request", "manual", "lag"),
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
                target_lag=text("off"),
            )
        },
    ),
    Endpoint(
        "POST",
        "/materialized-views/scheduler/trigger-refresh",
        "scheduler",
        {202: QUEUED},
    ),
    Endpoint(
        "PUT",
        "/materialized-views/scheduler/reschedule",
        "scheduler",
        {
            200: record(
                success=flag(True),
                message=text("the daily refresh is at 02:30 from now on"),
                new_schedule=text("02:30"),
                timezone=text("America/Bogota"),
                next_run_time=instant("2026-11-24T07:30:00.000Z"),
                rescheduled_at=instant(CHECKED),
            )
        },
        (
            parameter("hour", "Local hour.", whole(0, 23), 2, required=True),
            parameter("minute", "Minute.", whole(0, 59, 0), 30),
        ),
    ),
)

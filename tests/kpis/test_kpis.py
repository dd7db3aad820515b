"""KPI views reach their users by themselves: catalogue, rows, /rest/, OpenAPI, staleness."""

import csv
import io
import itertools
import json
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from commandline.console import UserError
from conftest import KPI_VIEWS, Database, Server, install, wait_for_the_new_day
from database.sql_files import SQL_DIRECTORY
from gateway import Settings
from gateway_testing import Api, Response, marketplace, refused, started
from migrate import migrate, print_status

SERVERS_TAKE_TURNS = True
LECTOR = "analytics_lector"
KPIS = "/materialized-views/kpis"
LIVE = "/materialized-views/live"
MONTHS = "mv_metricas_mensuales"
RANKING = "mv_ranking_asesores"
SHARE, DAYS, WEEKS, LEVELS, CITIES = (
    "mv_participacion",
    "mv_dias",
    "mv_semanas",
    "mv_niveles",
    "mv_ciudades",
)

# What the issue asks for: a view over derived tables that are there, and nothing but its file.
SHARE_FILE = """
CREATE MATERIALIZED VIEW mv_participacion AS
SELECT
    month_totals.mes,
    month_totals.requests AS solicitudes_creadas,
    kpi_engine.percentage(month_totals.requests_accepted, month_totals.requests)
        AS tasa_aceptacion_pct
FROM kpi_engine.month_totals
WHERE isfinite(month_totals.mes)
WITH NO DATA;

CREATE UNIQUE INDEX mv_participacion_mes ON mv_participacion (mes);

COMMENT ON MATERIALIZED VIEW mv_participacion IS
'Participación / Share
es: Qué parte de las solicitudes se acepta.
en: Which share of the requests is accepted.';
COMMENT ON COLUMN mv_participacion.mes IS
'Mes [fecha, none]
es: Primer día del mes.
en: First day of the month.';
COMMENT ON COLUMN mv_participacion.solicitudes_creadas IS
'Solicitudes creadas [conteo, up]
es: Solicitudes del mes.
en: Requests of the month.';
COMMENT ON COLUMN mv_participacion.tasa_aceptacion_pct IS
'Tasa de aceptación [pct, up]
es: De cada 100, cuántas.
en: 100 × accepted / created; it''s 0 over none.';

REVOKE ALL ON mv_participacion FROM public;
GRANT SELECT ON mv_participacion TO analytics_lector, analytics_operador;
"""

# Each kind of key that the next views have. Gaps: no weekends, every other week, odd levels.
FACTS = "kpi_engine.solicitud_facts WHERE isfinite(local_day)"
QUERIES = {
    DAYS: f"""
        SELECT local_day AS dia, count(*) AS solicitudes, sum(accepted_amount) AS valor,
            avg(closing_seconds) AS cierre_seg, 50.00 AS tasa_pct, 1.25 AS razon,
            7.00 AS crecimiento_pct, 3::numeric AS espera_dias, 'x' AS nota, -2 AS "raro ""x"
        FROM {FACTS} AND extract(ISODOW FROM local_day) < 6 GROUP BY local_day""",
    WEEKS: f"""
        SELECT date_trunc('week', local_day)::date AS semana, count(*) AS solicitudes
        FROM {FACTS} AND extract(WEEK FROM local_day)::integer % 2 = 0 GROUP BY 1""",
    LEVELS: f"""
        SELECT mes, nivel_actual AS nivel, count(*) AS solicitudes
        FROM {FACTS} AND (nivel_actual + extract(MONTH FROM mes)::integer) % 3 > 0
        GROUP BY mes, nivel_actual""",
    CITIES: f"""
        SELECT mes, ciudad_key, '=' || initcap(ciudad_key) || to_char(mes, '-MM') AS ciudad,
            count(*) AS solicitudes
        FROM {FACTS} AND ciudad_key <> '' AND (length(ciudad_key) + extract(MONTH FROM mes)) % 4 > 0
        GROUP BY mes, ciudad_key""",
}
KEYS = {DAYS: "dia", WEEKS: "semana", LEVELS: "mes, nivel", CITIES: "mes, ciudad_key"}
WORDS = {
    "dia": "fecha, none",
    "semana": "fecha, none",
    "mes": "fecha, none",
    "nivel": "conteo, none",
    "ciudad_key": "texto, none",
    "ciudad": "texto, none, city",
    "solicitudes": "conteo, up",
    "valor": "COP, up",
    "cierre_seg": "segundos, down",
    "tasa_pct": "pct, up",
    "razon": "razon, up",
    "crecimiento_pct": "pct, up, null",
    "espera_dias": "dias, down, zero",
    "nota": "texto, none, dimension",
    'raro "x': "conteo, none",
}
COLUMNS = {
    DAYS: [
        "dia",
        "solicitudes",
        "valor",
        "cierre_seg",
        "tasa_pct",
        "razon",
        "crecimiento_pct",
        "espera_dias",
        "nota",
        'raro "x',
    ],
    WEEKS: ["semana", "solicitudes"],
    LEVELS: ["mes", "nivel", "solicitudes"],
    CITIES: ["mes", "ciudad_key", "ciudad", "solicitudes"],
}


def identifier(name: str) -> str:
    """Return a name for a statement."""
    return '"' + name.replace('"', '""') + '"'


def view_file(view: str) -> str:
    """Return the file of a view of the tests."""
    text = f"CREATE MATERIALIZED VIEW {view} AS {QUERIES[view]} WITH NO DATA;\n"
    text += f"CREATE UNIQUE INDEX {view}_key ON {view} ({KEYS[view]});\n"
    text += f"COMMENT ON MATERIALIZED VIEW {view} IS\n'Prueba / Test\nes: Una.\nen: One.';\n"
    for column in COLUMNS[view]:
        words = f"'Una [{WORDS[column]}]\nes: Una.\nen: One.'"
        text += f"COMMENT ON COLUMN {view}.{identifier(column)} IS\n{words};\n"
    return text + f"GRANT SELECT ON {view} TO analytics_lector, analytics_operador;\n"


@dataclass(frozen=True)
class Extended:
    """A marketplace with more views, behind a gateway, and what was seen before their refresh."""

    api: Api
    directory: Path
    changes: list[str]
    problems: list[str]
    unpopulated: dict[str, Response]

    @property
    def database(self) -> Database:
        """Its database."""
        return self.api.database


@pytest.fixture(scope="module")
def extended(system_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Extended]:
    """A marketplace to whose tree of files views were added, migrated and refreshed."""
    directory = Path(shutil.copytree(SQL_DIRECTORY, tmp_path_factory.mktemp("tree") / "sql"))
    settings = Settings(rate=100000, burst=10000)
    with marketplace(system_server) as database:
        (directory / "views" / f"{SHARE}.sql").write_text(SHARE_FILE)
        changes = migrate(database.url, directory=directory)
        for view in QUERIES:
            (directory / "views" / f"{view}.sql").write_text(view_file(view))
        migrate(database.url, directory=directory)
        problems = [
            f"{problem} {message}"
            for problem, message in database.rows(
                "SELECT problem, message FROM analytics.health_problems()"
            )
        ]
        with started(database, "kpis", settings) as api:
            paths = (KPIS, f"{KPIS}/{SHARE}", f"/rest/rpc/kpi?view={SHARE}&consulta=")
            unpopulated = {path: api.get(path, LECTOR) for path in paths}
            database.execute("SELECT * FROM refresh_all_mv()")
            api.forget_cache()
            yield Extended(api, directory, changes, problems, unpopulated)


@pytest.fixture(autouse=True)
def ticked(request: pytest.FixtureRequest) -> None:
    """Stand in for pg_cron, as conftest.tick does for the fixture api."""
    if "extended" in request.fixturenames:
        wait_for_the_new_day()
        request.getfixturevalue("extended").database.execute("CALL analytics.tick()")


def read_json(text: str) -> Any:
    """Read JSON with exact numbers."""
    return json.loads(text, parse_float=Decimal)


def call(database: Database, view: str | None, *parts: str | None, role: str = LECTOR) -> Any:
    """Call api.kpi as a role; return the rows."""
    return called(database, view, *parts, role=role)[0]


def called(
    database: Database, view: str | None, *parts: str | None, role: str = LECTOR
) -> tuple[Any, dict[str, str]]:
    """Call api.kpi as a role; return the rows and the headers."""
    with database.connect(autocommit=False) as connection:
        connection.execute(f"SET ROLE {role}")
        row = connection.execute(
            "SELECT api.kpi(%s, VARIADIC %s::text[])::text, "
            "current_setting('response.headers')::text",
            [view, list(parts)],
        ).fetchone()
        assert row
        headers = {name: value for part in json.loads(row[1]) for name, value in part.items()}
        return read_json(row[0]), headers


def error(database: Database, view: str | None, *parts: str | None) -> tuple[int, dict[str, str]]:
    """Call api.kpi as a reader, to be refused; return status and error."""
    with pytest.raises(psycopg.Error) as raised:
        call(database, view, *parts)
    assert raised.value.sqlstate == "PGRST", raised.value
    status = json.loads(str(raised.value.diag.message_detail))["status"]
    return status, json.loads(str(raised.value.diag.message_primary))


def rows_of(database: Database, query: str) -> Any:
    """Return what a query shows, as the rows of a JSON answer."""
    ((text,),) = database.rows(
        f"SELECT coalesce(json_agg(shown), '[]')::text FROM ({query}) AS shown"
    )
    return read_json(str(text))


# -- one file ----------------------------------------------------------------------------------


def test_new_view_is_one_file_with_all_that_follows(extended: Extended) -> None:
    assert extended.changes == [f"applied views/{SHARE}.sql", f"applied api.{SHARE}"]
    # Before the first refresh: an alert, and no empty answer.
    (problem,) = [text for text in extended.problems if SHARE in text]
    assert problem.startswith("never_populated")
    for path in (f"{KPIS}/{SHARE}", f"/rest/rpc/kpi?view={SHARE}&consulta="):
        told = refused(extended.unpopulated[path], 503)
        assert told["message"] == f"view {SHARE} was never populated"
    (before,) = [kpi for kpi in extended.unpopulated[KPIS].json()["kpis"] if kpi["view"] == SHARE]
    assert (before["last_refresh"], before["stale"]) == (None, True)
    # After it: the catalogue, rows on both ways, the API's description, metrics.
    api, database = extended.api, extended.database
    expected = rows_of(
        database,
        "SELECT mes, solicitudes_creadas, tasa_aceptacion_pct "
        f"FROM analytics.{MONTHS} ORDER BY mes DESC LIMIT 5",
    )
    assert len(expected) == 5 and expected[1]["tasa_aceptacion_pct"] > 0
    (entry,) = [kpi for kpi in api.get(KPIS, LECTOR).json()["kpis"] if kpi["view"] == SHARE]
    assert (entry["title_es"], entry["grain"], entry["stale"]) == ("Participación", "month", False)
    assert entry["columns"][2] == {
        "name": "tasa_aceptacion_pct",
        "type": "numeric",
        "unit": "pct",
        "better": "up",
        "bands": None,
        "label_es": "Tasa de aceptación",
        "label_en": None,
        "description_es": "De cada 100, cuántas.",
        "description_en": "100 × accepted / created; it's 0 over none.",
        "partial": True,
    }
    assert "solicitudes" in entry["sources"]
    answer = api.get(f"{KPIS}/{SHARE}?limit=5", LECTOR)
    assert (answer.status, read_json(answer.body)) == (200, expected)
    native = api.get(f"/rest/{SHARE}?order=mes.desc&limit=5", LECTOR)
    assert (native.status, read_json(native.body)) == (200, expected)
    document = api.get("/openapi.json").json()
    operation = document["paths"][f"{KPIS}/{SHARE}"]["get"]
    assert [parameter["name"] for parameter in operation["parameters"]] == [
        "from",
        "to",
        "order",
        "limit",
        "offset",
        "as_of",
        "reported",
        "fill",
        "compare",
        "format",
    ]
    assert "Qué parte de las solicitudes se acepta." in operation["description"]
    schema = document["components"]["schemas"][SHARE]["properties"]["tasa_aceptacion_pct"]
    assert (schema["title"], schema["x-unit"], schema["x-better"]) == (
        "Tasa de aceptación",
        "pct",
        "up",
    )
    described = api.get("/rest/", LECTOR).json()["definitions"][SHARE]["properties"]
    assert described["tasa_aceptacion_pct"]["description"].startswith(
        "Tasa de aceptación [pct, up]"
    )
    assert f'teloo_analytics_view_rows{{view="{SHARE}"}}' in api.get("/metrics", LECTOR).body


def test_new_view_has_an_alert_when_it_gets_stale(extended: Extended) -> None:
    with extended.database.session() as connection:
        connection.execute(
            "SELECT set_config('analytics.now', (now() + interval '27 hours')::text, false)"
        )
        messages = connection.execute(
            "SELECT message FROM analytics.health_problems() WHERE problem = 'stale'"
        ).fetchall()
        assert [text for (text,) in messages if SHARE in text], messages
        ((stale,),) = connection.execute(
            "SELECT jsonb_path_query(kpi_engine.kpi_catalogue()::jsonb, "
            f"'$[*] ? (@.view == \"{SHARE}\").stale')"
        ).fetchall()
        assert stale is True


def test_view_that_is_gone_takes_its_api_view_along(
    migrated: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))
    new = directory / "views" / f"{SHARE}.sql"
    new.write_text(SHARE_FILE)
    migrate(migrated.url, directory=directory)
    exists = f"SELECT to_regclass('api.{SHARE}') IS NOT NULL"
    assert migrated.rows(exists) == [(True,)]
    assert migrate(migrated.url, directory=directory) == []
    # Dropped by hand it is made again, and status says so before.
    assert print_status(migrated.url, directory) == 0
    migrated.execute(f"DROP VIEW api.{SHARE}")
    assert print_status(migrated.url, directory) == 3
    assert f"pending       api.{SHARE}\n" in capsys.readouterr().out
    assert migrate(migrated.url, directory=directory) == [f"changed api.{SHARE}"]
    new.unlink()
    changes = migrate(migrated.url, directory=directory)
    assert sorted(changes) == [f"removed api.{SHARE}", f"removed views/{SHARE}.sql"]
    assert migrated.rows(exists) == [(False,)]
    ((catalogue,),) = migrated.rows("SELECT kpi_engine.kpi_catalogue()::text")
    assert SHARE not in str(catalogue)


def test_reworded_comment_reaches_the_api_without_a_rebuild(
    migrated: Database, tmp_path: Path
) -> None:
    directory = Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))
    (file,) = directory.rglob(f"views/**/{MONTHS}.sql")
    before = migrated.rows(f"SELECT 'analytics.{MONTHS}'::regclass::oid")
    file.write_text(file.read_text().replace("que los clientes crearon", "nuevas, it''s"))
    name = file.relative_to(directory)
    assert migrate(migrated.url, directory=directory) == [
        f"reworded {name}",
        f"reworded api.{MONTHS}",
    ]
    assert migrated.rows(f"SELECT 'analytics.{MONTHS}'::regclass::oid") == before
    for schema in ("analytics", "api"):
        ((comment,),) = migrated.rows(f"SELECT col_description('{schema}.{MONTHS}'::regclass, 2)")
        assert "Solicitudes nuevas, it's en el mes." in str(comment)
    assert migrate(migrated.url, directory=directory) == []


@pytest.mark.parametrize(
    ("right", "wrong", "said", "form"),
    [
        (
            "'Solicitudes creadas [conteo, up]\n",
            "'Solicitudes creadas\n",
            f"column solicitudes_creadas of {SHARE} has a COMMENT of another form",
            f"COMMENT ON COLUMN {SHARE}.solicitudes_creadas IS\n'Solicitudes creadas / Requests ",
        ),
        (
            "'Mes [fecha, none]\n",
            "'Mes [fecha,none]\n",
            f"column mes of {SHARE} has a COMMENT without a space after a comma in its brackets",
            f"COMMENT ON COLUMN {SHARE}.mes IS\n'Solicitudes creadas / Requests created ",
        ),
        (
            f"COMMENT ON COLUMN {SHARE}.mes IS\n'Mes [fecha, none]\n"
            "es: Primer día del mes.\nen: First day of the month.';\n",
            "",
            f"column mes of {SHARE} has no COMMENT",
            f"COMMENT ON COLUMN {SHARE}.mes IS",
        ),
        (
            "'Participación / Share\n",
            "'Participación\n",
            f"{SHARE} has a COMMENT of another form",
            f"COMMENT ON MATERIALIZED VIEW {SHARE} IS",
        ),
        (
            f"CREATE UNIQUE INDEX {SHARE}_mes ON {SHARE} (mes);",
            "",
            f"{SHARE} has no plain unique index, and so no key",
            "CREATE UNIQUE INDEX",
        ),
    ],
    ids=["no words", "no space", "no comment", "one title", "no key"],
)
def test_view_that_does_not_declare_itself_is_refused(
    migrated: Database, tmp_path: Path, right: str, wrong: str, said: str, form: str
) -> None:
    directory = Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))
    assert right in SHARE_FILE
    (directory / "views" / f"{SHARE}.sql").write_text(SHARE_FILE.replace(right, wrong))
    for dry_run in (True, False):
        with pytest.raises(UserError) as raised:
            migrate(migrated.url, directory=directory, dry_run=dry_run)
        assert str(raised.value) == f"sql/views/{SHARE}.sql: {said}; nothing was changed"
        assert raised.value.hint is not None and form in raised.value.hint
    assert migrated.rows(f"SELECT to_regclass('analytics.{SHARE}')") == [(None,)]


def test_a_unique_key_that_is_too_small_is_shown_with_its_values(
    migrated: Database, tmp_path: Path
) -> None:
    """By the first refresh, and by migrate once the view has rows."""
    directory = Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))
    file = directory / "views" / f"{SHARE}.sql"
    rows = "FROM (SELECT date '2026-03-01' AS mes, {} AS value UNION ALL VALUES ({}, 2)) AS listed"
    text = re.sub(
        r"SELECT\n.*?WITH NO",
        "SELECT mes, value AS solicitudes_creadas, value::numeric "
        "AS tasa_aceptacion_pct ROWS WITH NO",
        SHARE_FILE,
        flags=re.DOTALL,
    )
    twice = text.replace("ROWS", rows.format(1, "date '2026-03-01'"))
    file.write_text(twice)
    migrate(migrated.url, directory=directory)
    notices: list[str] = []
    with migrated.session() as connection:
        connection.add_notice_handler(lambda notice: notices.append(str(notice.message_detail)))
        shown = connection.execute(
            "SELECT error_message, error_sqlstate FROM analytics.refresh_all_mv() "
            f"WHERE view_name = '{SHARE}'"
        ).fetchall()
    assert "Key (mes)=(2026-03-01) is duplicated. The view keeps its old contents" in notices[0]
    assert shown == [
        (
            f'could not create unique index "{SHARE}_mes": several rows of the view have the same '
            "values there. Group its query by them, or add a column to the index",
            "23505",
        )
    ]
    file.write_text(text.replace("ROWS", rows.format(1, "date '2026-04-01'")))
    migrate(migrated.url, directory=directory)
    migrated.execute("SELECT * FROM analytics.refresh_all_mv()")
    file.write_text(twice)
    with pytest.raises(UserError, match=f"{SHARE}.sql failed; nothing was changed") as raised:
        migrate(migrated.url, directory=directory)
    assert raised.value.hint == "Key (mes)=(2026-03-01) is duplicated."


def test_comment_that_is_spoilt_later_is_refused_too(migrated: Database, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))
    (file,) = directory.rglob(f"views/**/{MONTHS}.sql")
    file.write_text(
        file.read_text().replace(
            "'Solicitudes creadas / Requests created [conteo, up", "'Solicitudes (conteo"
        )
    )
    with pytest.raises(UserError, match="column solicitudes_creadas of"):
        migrate(migrated.url, directory=directory)
    assert migrated.rows(
        f"SELECT col_description('analytics.{MONTHS}'::regclass, 2) LIKE '%[conteo, up%'"
    ) == [(True,)]


# -- the catalogue -----------------------------------------------------------------------------


def test_the_catalogue_says_how_to_ask(extended: Extended) -> None:
    answer = extended.api.get(KPIS, LECTOR)
    assert answer.status == 200
    body = answer.json()
    assert body.keys() == {"kpis", "problems", "timezone", "checked_at"}
    (gate,) = (one for one in body["problems"] if one["name"] == "gate")
    assert gate.keys() == {"name", "label_es", "label_en", "cure_es"}
    assert gate["label_es"] == "hay cifras retenidas hasta que alguien las acepte"
    assert body["timezone"] == "America/Bogota"
    assert {kpi["has_history"] for kpi in body["kpis"]} == {True}
    found = {
        kpi["view"]: (kpi["key"], kpi["time_column"], kpi["grain"], kpi["dimensions"])
        for kpi in body["kpis"]
    }
    assert set(KPI_VIEWS) < set(found)
    assert {
        view: how
        for view, how in found.items()
        if view in (MONTHS, RANKING) or view not in KPI_VIEWS
    } == {
        MONTHS: (["mes"], "mes", "month", []),
        RANKING: (["asesor_id"], None, "advisor", ["asesor_id", "ciudad", "departamento"]),
        SHARE: (["mes"], "mes", "month", []),
        DAYS: (["dia"], "dia", "day", ["nota"]),
        WEEKS: (["semana"], "semana", "week", []),
        LEVELS: (["mes", "nivel"], "mes", "month", ["nivel"]),
        CITIES: (["mes", "ciudad_key"], "mes", "month", ["ciudad"]),
    }
    for kpi in body["kpis"]:
        types = extended.database.rows(
            "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute "
            f"WHERE attrelid = 'analytics.{kpi['view']}'::regclass AND attnum > 0 ORDER BY attnum"
        )
        assert [(column["name"], column["type"]) for column in kpi["columns"]] == types
        ((refreshed, version),) = extended.database.rows(
            "SELECT kpi_engine.iso_instant(last_success_at), published_version "
            f"FROM analytics.view_state WHERE view_name = '{kpi['view']}'"
        )
        assert (kpi["last_refresh"], kpi["data_version"]) == (refreshed, version)


def test_the_catalogue_is_revalidated_by_its_etag(extended: Extended) -> None:
    api = extended.api
    answer = api.get(KPIS, LECTOR)
    assert answer.headers["cache-control"] == "private, max-age=0, must-revalidate"
    again = api.get(KPIS, LECTOR, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status == 304
    extended.database.execute(f"COMMENT ON COLUMN analytics.{SHARE}.mes IS 'x'")
    try:
        api.forget_cache()
        changed = api.get(KPIS, LECTOR, headers={"If-None-Match": answer.headers["etag"]})
        assert changed.status == 200
        (entry,) = [kpi for kpi in changed.json()["kpis"] if kpi["view"] == SHARE]
        assert entry["columns"][0]["unit"] is None
    finally:
        extended.database.execute(
            f"COMMENT ON COLUMN analytics.{SHARE}.mes IS E'Mes [fecha, none]\\nes: Primer día del "
            "mes.\\nen: First day of the month.'"
        )


def test_only_what_the_role_may_read_is_in_the_catalogue(migrated: Database) -> None:
    migrated.execute(
        f"REVOKE SELECT ON analytics.{RANKING} FROM analytics_lector",
        "SELECT refresh_all_mv()",
        # Somebody else's view, without words; and one with words that is closed to us.
        "CREATE MATERIALIZED VIEW analytics.mv_dba AS SELECT 1 AS one",
        "CREATE MATERIALIZED VIEW analytics.mv_otra AS SELECT 1 AS one",
        "CREATE UNIQUE INDEX ON analytics.mv_otra (one)",
        "COMMENT ON MATERIALIZED VIEW analytics.mv_otra IS E'Una / One\\nes: Una.\\nen: One.'",
    )
    with migrated.session() as connection:
        connection.execute(f"SET ROLE {LECTOR}")
        query = "SELECT jsonb_path_query(api.kpis()::jsonb, '$.kpis[*].view') #>> '{}'"
        shown = [(view,) for view in KPI_VIEWS if view != RANKING]
        assert connection.execute(query).fetchall() == shown
        connection.execute("RESET ROLE; SET ROLE analytics_operador")
        assert connection.execute(query).fetchall() == [(view,) for view in KPI_VIEWS]
    status, told = error(migrated, RANKING)
    assert (status, told["message"]) == (403, f"permission denied for view {RANKING}")
    assert call(migrated, RANKING, role="analytics_operador") == []
    for view in ("mv_dba", "mv_otra"):
        assert error(migrated, view)[0] == 404


def test_nobody_without_a_token_reads_a_kpi(api: Api) -> None:
    for path in (KPIS, f"{KPIS}/{RANKING}", LIVE):
        refused(api.get(path), 401, "42501")
    for path in (f"/rest/rpc/kpi?view={RANKING}&consulta=", "/rest/rpc/kpis", f"/rest/{RANKING}"):
        assert api.get(path).status == 401
    with api.database.session() as connection:
        connection.execute("SET ROLE analytics_anon")
        for statement in (
            f"SELECT api.kpi('{RANKING}', '')",
            "SELECT api.kpis()",
            "SELECT api.live()",
            f"SELECT FROM api.{RANKING}",
            "SELECT kpi_engine.kpi_catalogue()",
            f"SELECT kpi_engine.kpi_rows('{RANKING}', '{{}}')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


# -- rows --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "query"),
    [
        (MONTHS, "ORDER BY mes DESC LIMIT 12"),
        (SHARE, "ORDER BY mes DESC LIMIT 12"),
        (DAYS, "ORDER BY dia DESC LIMIT 90"),
        (WEEKS, "ORDER BY semana DESC LIMIT 26"),
        (RANKING, "ORDER BY asesor_id LIMIT 50"),
    ],
)
def test_all_columns_newest_first_or_by_key(extended: Extended, view: str, query: str) -> None:
    expected = rows_of(extended.database, f"SELECT * FROM analytics.{view} {query}")
    assert len(expected) == int(query.rpartition(" ")[2])
    assert call(extended.database, view) == expected
    answer = extended.api.get(f"{KPIS}/{view}", LECTOR)
    assert (answer.status, read_json(answer.body)) == (200, expected)
    assert list(answer.json()[0]) == list(expected[0])


def test_the_older_paths_have_the_same_rows(extended: Extended) -> None:
    for older, path in (
        ("monthly-metrics?limit=60", f"{MONTHS}?limit=60"),
        (
            "monthly-metrics?start_month=2026-02&end_month=2026-04",
            f"{MONTHS}?from=2026-02&to=2026-04",
        ),
        ("advisor-rankings?limit=500", f"{RANKING}?order=ranking_nacional&limit=500"),
        ("advisor-rankings?ciudad=cali", f"{RANKING}?order=ranking_ciudad&ciudad=%20C%C3%A1li"),
    ):
        one = extended.api.get(f"/materialized-views/{older}", LECTOR)
        other = extended.api.get(f"{KPIS}/{path}", LECTOR)
        assert other.body == one.body
        assert len(one.json()) > 2
        for name in ("etag", "x-data-version", "x-calculated-at", "x-refreshed-at", "x-stale"):
            assert other.headers[name] == one.headers[name]


@pytest.mark.parametrize(
    ("view", "parts", "condition"),
    [
        (DAYS, ["from=2026-03-02", "to=2026-03-04"], "dia BETWEEN '2026-03-02' AND '2026-03-04'"),
        (DAYS, ["from=2026-11-02"], "dia >= '2026-11-02'"),
        (DAYS, ["to=2024-02-29"], "dia <= '2024-02-29'"),
        # A week is named by its Monday; a day asks for the week that it is in.
        (WEEKS, ["from=2026-04-13", "to=2026-05-10"], "semana IN ('2026-04-13', '2026-04-27')"),
        (WEEKS, ["from=2026-04-19", "to=2026-04-27"], "semana IN ('2026-04-13', '2026-04-27')"),
        (WEEKS, ["from=2026-04-20", "to=2026-04-26"], "false"),
        (MONTHS, ["from=2026-01", "to=2026-01"], "mes = '2026-01-01'"),
        (MONTHS, ["from=9999-12"], "false"),
        (LEVELS, ["nivel=2"], "nivel = 2"),
        (LEVELS, ["nivel=2", "from=2026-05"], "nivel = 2 AND mes >= '2026-05-01'"),
        (LEVELS, ["nivel=999999999"], "false"),
        (CITIES, ["ciudad=Bogotá"], "ciudad_key = 'BOGOTA'"),
        (CITIES, ["ciudad= bogota "], "ciudad_key = 'BOGOTA'"),
        (CITIES, ["ciudad="], "false"),
        (CITIES, ["ciudad=' OR true --"], "false"),
        (RANKING, ["ciudad=medellin"], "analytics.city_key(ciudad) = 'MEDELLIN'"),
        (RANKING, ["departamento=Antioquia"], "departamento = 'Antioquia'"),
        (
            RANKING,
            ["departamento=Antioquia", "ciudad=Envigado"],
            "departamento = 'Antioquia' AND analytics.city_key(ciudad) = 'ENVIGADO'",
        ),
        (DAYS, ["nota=x"], "true"),
        (DAYS, ["nota=a=b&c"], "false"),
    ],
)
def test_rows_of_a_time_and_of_a_dimension(
    extended: Extended, view: str, parts: Sequence[str], condition: str
) -> None:
    key = KEYS.get(view, "mes" if view == MONTHS else "asesor_id")
    order = key.replace(",", " DESC,", 1) if "," in key else f"{key} DESC"
    order = key if view == RANKING else order
    expected = rows_of(
        extended.database,
        f"SELECT * FROM analytics.{view} WHERE {condition} ORDER BY {order} LIMIT 1000",
    )
    assert (len(expected) > 0) == (condition != "false")
    assert call(extended.database, view, *parts, "limit=1000") == expected


def test_an_advisor_by_its_key(extended: Extended) -> None:
    ((advisor,),) = extended.database.rows(
        f"SELECT asesor_id::text FROM analytics.{RANKING} ORDER BY ranking_nacional LIMIT 1"
    )
    (row,) = call(extended.database, RANKING, f"asesor_id={str(advisor).upper()}")
    assert row["asesor_id"] == advisor


@pytest.mark.parametrize(
    ("view", "order", "expected"),
    [
        (LEVELS, "mes", "mes, nivel"),
        (LEVELS, "-mes", "mes DESC, nivel"),
        (LEVELS, "nivel", "nivel, mes"),
        (LEVELS, "-nivel", "nivel DESC, mes"),
        (LEVELS, "-solicitudes", "solicitudes DESC, mes, nivel"),
        (DAYS, "cierre_seg", "cierre_seg NULLS LAST, dia"),
        (DAYS, "-cierre_seg", "cierre_seg DESC NULLS LAST, dia"),
        (DAYS, '-raro "x', "dia"),
        (RANKING, "-monto_promedio_ofertas", "monto_promedio_ofertas DESC NULLS LAST, asesor_id"),
        (RANKING, "asesor_nombre", "asesor_nombre, asesor_id"),
        (RANKING, "-asesor_id", "asesor_id DESC"),
    ],
)
def test_order_by_any_column_with_ties_by_key(
    extended: Extended, view: str, order: str, expected: str
) -> None:
    rows = rows_of(
        extended.database,
        f"SELECT * FROM analytics.{view} ORDER BY {expected} LIMIT 200 OFFSET 3",
    )
    assert len(rows) > 100
    assert call(extended.database, view, f"order={order}", "limit=200", "offset=3") == rows


def test_pages_join_without_a_gap_and_end(extended: Extended) -> None:
    whole = call(extended.database, DAYS, "limit=1000")
    pages = [
        call(extended.database, DAYS, "limit=333", f"offset={offset}")
        for offset in range(0, 1000, 333)
    ]
    assert [row for page in pages for row in page][:1000] == whole[:1000]
    assert call(extended.database, DAYS, "offset=100000") == []


@pytest.mark.parametrize("view", [LEVELS, CITIES, "mv_demanda_ciudades"])
def test_without_a_limit_a_month_of_several_rows_is_whole(extended: Extended, view: str) -> None:
    whole = call(extended.database, view, "limit=1000")
    newest = sorted({row["mes"] for row in whole}, reverse=True)[:12]
    expected = [row for row in whole if row["mes"] in newest]
    assert len(expected) > len(newest) > 5
    assert call(extended.database, view) == expected
    assert call(extended.database, view, f"to={newest[3][:7]}") == [
        row for row in whole if row["mes"] in sorted({r["mes"] for r in whole}, reverse=True)[3:15]
    ]
    # Somebody who sorts or turns pages asks for rows.
    assert len(call(extended.database, view, "order=-mes")) == 12
    assert call(extended.database, view, "offset=0") == whole[:12]


@pytest.mark.parametrize(
    ("each", "rows"), [(1, 12), (80, 960), (90, 990), (600, 600), (1000, 1000), (1500, 1000)]
)
def test_whole_periods_up_to_a_thousand_rows(migrated: Database, each: int, rows: int) -> None:
    query = (
        f"SELECT date '2026-01-01' - n / {each} * 7 AS semana, n "
        f"FROM generate_series(0, {each * 30 - 1}) AS n"
    )
    ((newest,),) = migrated.rows(
        f"SELECT kpi_engine.kpi_newest_query({query!r}, 'semana', 'kpi.n')".replace('"', "$q$")
    )
    found = migrated.rows(str(newest).replace("$4", "12"))
    assert [n for _, n in found] == list(range(rows))


def test_parts_that_say_nothing_are_left_out(extended: Extended) -> None:
    whole = call(extended.database, MONTHS)
    assert call(extended.database, MONTHS, "", None, "") == whole
    assert call(extended.database, MONTHS, "fill=false", "offset=0", "limit=12") == whole
    assert call(extended.database, RANKING, "fill=false") == call(extended.database, RANKING)


# -- periods without a row ---------------------------------------------------------------------


def nothing(day: date) -> dict[str, Any]:
    """Return what a day without a row shows."""
    return {
        "dia": day.isoformat(),
        "solicitudes": 0,
        "valor": 0,
        "cierre_seg": None,
        "tasa_pct": Decimal("0.00"),
        "razon": Decimal("0.00"),
        "crecimiento_pct": None,
        "espera_dias": 0,
        "nota": None,
        'raro "x': 0,
    }


def all_rows(database: Database, view: str) -> dict[str, Any]:
    """Return the rows of a view of one time by it."""
    rows = rows_of(database, f"SELECT * FROM analytics.{view}")
    return {next(iter(row.values())): row for row in rows}


def last_refresh(database: Database) -> date:
    """Return the local day of the last refresh."""
    ((day,),) = database.rows(
        "SELECT (max(last_success_at) AT TIME ZONE 'America/Bogota')::date "
        "FROM analytics.view_state"
    )
    assert isinstance(day, date)
    return day


def test_days_without_a_row_are_zeros_and_nulls(extended: Extended) -> None:
    known = all_rows(extended.database, DAYS)
    days = [date(2026, 3, 1) + timedelta(days=number) for number in range(61)]
    expected = [known.get(day.isoformat()) or nothing(day) for day in days]
    assert 15 < sum(row["solicitudes"] == 0 for row in expected) < 30
    parts = ["fill=true", "from=2026-03-01", "to=2026-04-30"]
    assert call(extended.database, DAYS, *parts) == expected[::-1]
    assert call(extended.database, DAYS, *parts, "order=dia") == expected
    by_value = sorted(expected, key=lambda row: (-int(row["solicitudes"]), row["dia"]))
    assert call(extended.database, DAYS, *parts, "order=-solicitudes", "limit=7") == by_value[:7]
    assert call(extended.database, DAYS, *parts, "limit=3", "offset=2") == expected[::-1][2:5]
    # A row of nothing looks as the engine would write it.
    text = extended.api.get(f"{KPIS}/{DAYS}?fill=true&from=2026-03-01&to=2026-03-01", LECTOR).body
    assert text == (
        '[{"dia":"2026-03-01","solicitudes":0,"valor":0,"cierre_seg":null,"tasa_pct":0.00,'
        '"razon":0.00,"crecimiento_pct":null,"espera_dias":0,"nota":null,"raro \\"x":0}]'
    )


def test_filled_days_end_with_the_last_refresh(extended: Extended) -> None:
    last = last_refresh(extended.database)
    assert max(all_rows(extended.database, DAYS)) <= last.isoformat()
    for parts in ([], ["to=9999-12-31"], [f"from={last - timedelta(days=99)}"]):
        rows = call(extended.database, DAYS, "fill=true", *parts)
        assert [row["dia"] for row in rows] == [
            (last - timedelta(days=back)).isoformat() for back in range(90)
        ]
    assert call(extended.database, DAYS, "fill=true", "from=9999-12-30") == []
    # They begin with from, or with the first row; nothing is older than 2000.
    first = min(all_rows(extended.database, DAYS))
    assert call(extended.database, DAYS, "fill=true", "order=dia")[0]["dia"] == first
    early = call(extended.database, DAYS, "fill=true", "order=dia", "from=0001-01-01")
    assert early[:2] == [nothing(date(2000, 1, 1)), nothing(date(2000, 1, 2))]
    # A day later the same rows have another answer, and so another ETag.
    assert (
        called(extended.database, DAYS)[1]["ETag"] + f"-{last}"
        == (
            called(extended.database, DAYS, "fill=true")[1]["ETag"].removesuffix('"') + '"'
        ).replace(f"-{last}", "", 1)
        + f"-{last}"
    )


@pytest.mark.parametrize(
    ("view", "time", "parts"),
    [
        (DAYS, "dia", []),
        (DAYS, "dia", ["from=2026-01-01", "to=9999-12-31"]),
        (WEEKS, "semana", []),
        (MONTHS, "mes", ["from=2025-01"]),
        (LEVELS, "mes", []),
        (CITIES, "mes", ["ciudad=Cali"]),
    ],
)
def test_rows_after_the_last_refresh_stay_and_no_zeros_join_them(
    extended: Extended, view: str, time: str, parts: list[str]
) -> None:
    # The last refresh is some months earlier, and so all later rows are ahead of it.
    shift = "UPDATE kpi_engine.view_state SET last_success_at = last_success_at {} interval '99 d'"
    rows = call(extended.database, view, "limit=1000", *parts)
    extended.database.execute(shift.format("-"))
    try:
        last = last_refresh(extended.database).isoformat()
        filled = call(extended.database, view, "fill=true", "limit=1000", *parts)
    finally:
        extended.database.execute(shift.format("+"))
    ahead = [row for row in rows if row[time] > last]
    assert len(ahead) > 2
    assert [row for row in filled if row[time] > last] == ahead
    # The period of the last refresh has a row, and so has each one before.
    before = sorted({row[time] for row in filled if row[time] <= last}, reverse=True)
    days = {"dia": 1, "semana": 7, "mes": 31}[time]
    assert date.fromisoformat(last) - date.fromisoformat(before[0]) < timedelta(days=days)
    gaps = {
        date.fromisoformat(one) - date.fromisoformat(other)
        for one, other in itertools.pairwise(before)
    }
    assert gaps and max(gaps) <= timedelta(days=days)


def test_filled_weeks_and_months(extended: Extended) -> None:
    known = all_rows(extended.database, WEEKS)
    rows = call(
        extended.database, WEEKS, "fill=true", "from=2026-01-01", "to=2026-03-01", "order=semana"
    )
    mondays = [date(2025, 12, 29) + timedelta(weeks=number) for number in range(9)]
    assert rows == [
        known.get(day.isoformat()) or {"semana": day.isoformat(), "solicitudes": 0}
        for day in mondays
    ]
    assert {row["solicitudes"] == 0 for row in rows} == {True, False}
    months = call(extended.database, MONTHS, "fill=true", "from=2023-07", "order=mes", "limit=1000")
    first = min(all_rows(extended.database, MONTHS))
    assert months[0]["mes"] == "2023-07-01" < first
    assert months[0]["solicitudes_creadas"] == months[0]["tasa_aceptacion_pct"] == 0
    assert months[0]["precio_promedio_ofertas"] is months[0]["tiempo_promedio_cierre_seg"] is None
    assert months[[row["mes"] for row in months].index(first) :] == rows_of(
        extended.database, f"SELECT * FROM analytics.{MONTHS} ORDER BY mes"
    )


def test_each_level_and_city_is_filled(extended: Extended) -> None:
    known = rows_of(extended.database, f"SELECT * FROM analytics.{LEVELS}")
    by_key = {(row["mes"], row["nivel"]): row for row in known}
    months = [f"2026-{number:02}-01" for number in range(2, 8)]
    levels = sorted({row["nivel"] for row in known if row["mes"] in months})
    expected = [
        by_key.get((month, level)) or {"mes": month, "nivel": level, "solicitudes": 0}
        for month in months
        for level in levels
    ]
    assert len(levels) > 2 and any(row["solicitudes"] == 0 for row in expected)
    parts = ["fill=true", "from=2026-02", "to=2026-07", "order=mes", "limit=1000"]
    assert call(extended.database, LEVELS, *parts) == expected
    level = levels[1]
    assert call(extended.database, LEVELS, *parts, f"nivel={level}") == [
        row for row in expected if row["nivel"] == level
    ]
    assert call(extended.database, LEVELS, *parts, "nivel=77") == []
    # A city keeps its name, in its newest spelling.
    rows = call(extended.database, CITIES, "fill=true", "ciudad=Cali", "limit=1000")
    real = rows_of(
        extended.database,
        f"SELECT * FROM analytics.{CITIES} WHERE ciudad_key = 'CALI' ORDER BY mes DESC",
    )
    filled = [row for row in rows if row not in real]
    assert [row for row in rows if row in real] == real and filled
    for row in filled:
        assert row == {
            "mes": row["mes"],
            "ciudad_key": "CALI",
            "ciudad": real[0]["ciudad"],
            "solicitudes": 0,
        }


# -- what is refused ---------------------------------------------------------------------------

MONTH = "a month as YYYY-MM, such as 2026-01"
DAY = "a day as YYYY-MM-DD, such as 2026-01-31"
NO_TIME = f"view {RANKING} has no time: from, to, fill and compare are not for it"
REFUSALS = [
    (MONTHS, ["from=2026"], f"parameter from must be {MONTH}"),
    (MONTHS, ["to=2026-13"], f"parameter to must be {MONTH}"),
    (MONTHS, ["from=2026-01-01"], f"parameter from must be {MONTH}"),
    (MONTHS, ["from="], f"parameter from must be {MONTH}"),
    (
        MONTHS,
        ["from=2026-02", "to=2026-01"],
        "parameter from must be a month that is not after to (2026-01)",
    ),
    (DAYS, ["from=2026-01"], f"parameter from must be {DAY}"),
    (DAYS, ["to=2026-02-30"], f"parameter to must be {DAY}"),
    (DAYS, ["to=2026-02-29"], f"parameter to must be {DAY}"),
    (DAYS, ["to=0000-01-01"], f"parameter to must be {DAY}"),
    (DAYS, ["to=2026-04-31"], f"parameter to must be {DAY}"),
    (DAYS, ["to=today"], f"parameter to must be {DAY}"),
    (
        WEEKS,
        ["from=2026-01-02", "to=2026-01-01"],
        "parameter from must be a week that is not after to (2026-01-01)",
    ),
    (RANKING, ["from=2026-01"], NO_TIME),
    (RANKING, ["to=x"], NO_TIME),
    (RANKING, ["fill=true"], NO_TIME),
    (MONTHS, ["fill=yes"], "parameter fill must be true or false"),
    (MONTHS, ["limit=0"], "parameter limit must be a whole number from 1 to 1000"),
    (MONTHS, ["limit=1001"], "parameter limit must be a whole number from 1 to 1000"),
    (MONTHS, ["limit="], "parameter limit must be a whole number from 1 to 1000"),
    (MONTHS, ["limit=1e2"], "parameter limit must be a whole number from 1 to 1000"),
    (MONTHS, ["offset=-1"], "parameter offset must be a whole number from 0 to 100000"),
    (MONTHS, ["offset=100001"], "parameter offset must be a whole number from 0 to 100000"),
    (LEVELS, ["nivel=dos"], "parameter nivel must be a whole number from 0 to 999999999"),
    (LEVELS, ["nivel=1.5"], "parameter nivel must be a whole number from 0 to 999999999"),
    (LEVELS, ["nivel=4294967296"], "parameter nivel must be a whole number from 0 to 999999999"),
    (
        RANKING,
        ["asesor_id=1"],
        "parameter asesor_id must be a UUID, such as 5f0c5c5e-3d0b-4c57-8a0e-9a4bb0a3c111",
    ),
    *(
        (LEVELS, [f"order={order}"], "parameter order must be a column, or -column, of "
         "mes, nivel, solicitudes")
        for order in ("", "-", "--mes", "-nope", "mes DESC", "mes;SELECT 1", "ctid", "xmin", "MES")
    ),
    (LEVELS, ["ciudad=Cali"], "parameter ciudad is unknown"),
    (RANKING, ["nivel=1"], "parameter nivel is unknown"),
    (CITIES, ["ciudad_key=CALI"], "parameter ciudad_key is unknown"),
    (MONTHS, ["format=csv"], "parameter format is unknown"),
    (RANKING, ["compare=previous"], NO_TIME),
    (MONTHS, ["compare=last"], "parameter compare must be previous or year"),
    (MONTHS, ["compare="], "parameter compare must be previous or year"),
    (
        MONTHS,
        ["compare=year", "reported=true"],
        "parameter compare excludes as_of and reported",
    ),
    (MONTHS, ["compare=year", "compare=year"], "parameter compare is repeated"),
    (MONTHS, ["From=2026-01"], "parameter From is unknown"),
    (MONTHS, ["=1"], "the query string has an unknown parameter"),
    (MONTHS, ["a b=1"], "the query string has an unknown parameter"),
    (MONTHS, ["limit=1", "limit=1"], "parameter limit is repeated"),
    (MONTHS, ["limit"], "parameter limit has no value: it must be sent as name=value"),
    (MONTHS, ["a b"], "the query string has a part that is not name=value"),
]  # fmt: skip


OF_TIME = "from, to, order, limit, offset, fill, compare, as_of, reported."
TIMELESS = "order, limit, offset, as_of."


@pytest.mark.parametrize(
    ("view", "parts", "message"), REFUSALS, ids=[f"{view} {parts}" for view, parts, _ in REFUSALS]
)
def test_wrong_parameters_are_told(
    extended: Extended, view: str, parts: Sequence[str], message: str
) -> None:
    status, told = error(extended.database, view, *parts)
    assert (status, told["code"], told["message"]) == (400, "TELOO400", message)
    if "unknown" in message:
        assert told["hint"].startswith("The parameters of this path: ")
        assert told["hint"].endswith(TIMELESS if view == RANKING else OF_TIME)


@pytest.mark.parametrize("view", [None, "", "mv_nope", "MV_DIAS", "v_kpis_en_vivo", "settings"])
def test_views_that_are_none_are_404(extended: Extended, view: str | None) -> None:
    status, told = error(extended.database, view, "limit=1")
    assert (status, told["message"], told["hint"]) == (
        404,
        "there is no KPI view of this name",
        "GET /materialized-views/kpis lists them.",
    )


def test_the_right_dimensions_are_told(extended: Extended) -> None:
    for view, names in (
        (RANKING, f"asesor_id, ciudad, departamento, {TIMELESS}"),
        (CITIES, f"ciudad, {OF_TIME}"),
        (WEEKS, OF_TIME),
    ):
        _, told = error(extended.database, view, "nope=1")
        assert told["hint"] == f"The parameters of this path: {names}"


# -- through HTTP ------------------------------------------------------------------------------


def test_errors_through_the_gateway(extended: Extended) -> None:
    api = extended.api
    for path, status, message in (
        (f"{MONTHS}?limit=0", 400, "parameter limit must be a whole number from 1 to 1000"),
        (f"{MONTHS}?nope=1", 400, "parameter nope is unknown"),
        (f"{MONTHS}?limit=1&limit=2", 400, "parameter limit is repeated"),
        (f"{MONTHS}?limit", 400, "parameter limit has no value: it must be sent as name=value"),
        ("mv_nope", 404, "there is no KPI view of this name"),
    ):
        told = refused(api.get(f"{KPIS}/{path}", LECTOR), status)
        assert told["message"] == message
    refused(api.post(f"{KPIS}/{MONTHS}", LECTOR), 405)
    refused(api.get(f"{KPIS}/{MONTHS}/x", LECTOR), 404)


def test_native_calls_by_get_and_post(extended: Extended) -> None:
    api = extended.api
    expected = call(extended.database, CITIES, "ciudad=Bogotá", "limit=5")
    assert len(expected) == 5
    answer = api.get(
        f"/rest/rpc/kpi?view={CITIES}&consulta=ciudad=Bogot%C3%A1&consulta=limit=5", LECTOR
    )
    assert (answer.status, read_json(answer.body)) == (200, expected)
    headers = {"Content-Type": "application/json"}
    usual = len(call(extended.database, CITIES))
    for consulta, rows in ((["ciudad=Bogotá", "limit=5"], 5), ([], usual), (None, usual)):
        body = json.dumps({"view": CITIES, "consulta": consulta})
        posted = api.request("POST", "/rest/rpc/kpi", LECTOR, headers=headers, body=body)
        assert (posted.status, len(posted.json())) == (200, rows)
    # PostgREST looks for a function by the names of its parameters.
    assert len(api.get(f"/rest/rpc/kpi?view={CITIES}&consulta=", LECTOR).json()) == usual
    body = json.dumps({"view": None, "consulta": []})
    refused(api.request("POST", "/rest/rpc/kpi", LECTOR, headers=headers, body=body), 404)
    refused(api.get(f"/rest/rpc/kpi?view={CITIES}&consulta=limit=x", LECTOR), 400)


def test_an_answer_is_revalidated_by_its_etag(extended: Extended) -> None:
    api = extended.api
    path = f"{KPIS}/{DAYS}?limit=3"
    answer = api.get(path, LECTOR)
    assert answer.headers["cache-control"] == "private, max-age=0, must-revalidate"
    assert answer.headers["x-stale"] == "false"
    tag = answer.headers["etag"]
    assert api.get(path, LECTOR, headers={"If-None-Match": tag}).status == 304
    extended.database.execute("UPDATE public.ofertas SET updated_at = now() WHERE id = "
                              "(SELECT id FROM public.ofertas LIMIT 1)",
                              "SELECT * FROM refresh_all_mv(true)")  # fmt: skip
    api.forget_cache()
    assert api.get(path, LECTOR, headers={"If-None-Match": tag}).status == 200


def test_csv(extended: Extended) -> None:
    api = extended.api
    answer = api.get(f"{KPIS}/{CITIES}?ciudad=Cali&limit=3&format=csv", LECTOR)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.body)))
    expected = call(extended.database, CITIES, "ciudad=Cali", "limit=3")
    # A spreadsheet would run what begins with an equals sign.
    assert [row["ciudad"] for row in rows] == [f"'{row['ciudad']}" for row in expected]
    assert [row["solicitudes"] for row in rows] == [str(row["solicitudes"]) for row in expected]
    by_accept = api.get(
        f"{KPIS}/{CITIES}?ciudad=Cali&limit=3", LECTOR, headers={"Accept": "text/csv"}
    )
    assert by_accept.body == answer.body
    assert by_accept.headers["etag"].endswith('-csv"')
    empty = api.get(f"{KPIS}/{CITIES}?ciudad=Nowhere&format=csv", LECTOR)
    assert empty.body == "mes,ciudad_key,ciudad,solicitudes\r\n"


def test_the_view_for_free_querying_is_the_same(extended: Extended) -> None:
    """The views of schema api: columns, comments and rights are those of the KPI views."""
    database = extended.database
    columns = (
        "SELECT attname::text, format_type(atttypid, NULL), col_description(attrelid, attnum) "
        "FROM pg_attribute WHERE attrelid = '{}.{}'::regclass AND attnum > 0 ORDER BY attnum"
    )
    for view, more in (
        (MONTHS, []),
        (RANKING, ["ciudad_key"]),
        (SHARE, []),
        (DAYS, []),
        (CITIES, []),
    ):
        own = database.rows(columns.format("analytics", view))
        shown = database.rows(columns.format("api", view))
        assert shown[: len(own)] == own
        assert [name for name, _, _ in shown[len(own) :]] == more
        words = "SELECT obj_description('{}.{}'::regclass)"
        assert database.rows(words.format("api", view)) == database.rows(
            words.format("analytics", view)
        )
        rights = (
            "SELECT grantee::regrole::text, privilege_type FROM pg_class "
            "CROSS JOIN LATERAL aclexplode(relacl) WHERE oid = '{}.{}'::regclass "
            "AND grantee <> relowner ORDER BY 1"
        )
        assert database.rows(rights.format("api", view)) == [
            ("analytics_lector", "SELECT"),
            ("analytics_operador", "SELECT"),
        ]
    disarmed = extended.api.get(
        f"/rest/{CITIES}?ciudad_key=eq.CALI&order=mes.desc&limit=1",
        LECTOR,
        headers={"Accept": "text/csv"},
    )
    assert ",'=Cali-" in disarmed.body


def test_grant_that_a_view_no_longer_gives_is_withdrawn_from_the_api(
    migrated: Database, tmp_path: Path
) -> None:
    directory = Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))
    file = directory / "views" / f"{SHARE}.sql"
    file.write_text(SHARE_FILE)
    migrate(migrated.url, directory=directory)
    file.write_text(SHARE_FILE.replace("TO analytics_lector, ", "TO "))
    migrate(migrated.url, directory=directory)
    for role, may in ((LECTOR, False), ("analytics_operador", True)):
        assert migrated.rows(f"SELECT has_table_privilege('{role}', 'api.{SHARE}', 'SELECT')") == [
            (may,)
        ]
    assert error(migrated, SHARE)[0] == 403


# -- at this moment ----------------------------------------------------------------------------


def test_live_kpis_need_no_refresh(extended: Extended) -> None:
    api, database = extended.api, extended.database
    monthly = f"{LIVE}?view=monthly"
    (before,) = api.get(LIVE, LECTOR).json()
    months = api.get(monthly, LECTOR).json()
    assert [row["mes"] for row in months] == sorted((row["mes"] for row in months), reverse=True)
    assert read_json(api.get(monthly, LECTOR).body) == rows_of(
        database, "SELECT * FROM analytics.v_metricas_mensuales_tiempo_real ORDER BY mes DESC"
    )
    ((request,),) = database.rows(
        "INSERT INTO public.solicitudes SELECT (jsonb_populate_record(source, jsonb_build_object("
        "'id', gen_random_uuid(), 'created_at', now(), 'estado', 'ABIERTA'))).* "
        "FROM public.solicitudes AS source LIMIT 1 RETURNING id::text"
    )
    try:
        api.forget_cache()
        answer = api.get(LIVE, LECTOR)
        (after,) = answer.json()
        assert after["solicitudes_hoy"] == before["solicitudes_hoy"] + 1
        assert after["solicitudes_abiertas"] == before["solicitudes_abiertas"] + 1
        assert answer.headers["cache-control"] == "private, max-age=0, must-revalidate"
        assert answer.headers["x-stale"] == "false"
        now = api.get(monthly, LECTOR).json()
        ((today,),) = database.rows("SELECT date_trunc('month', analytics.today())::date::text")
        # The first one of its month, where a month has just begun.
        created = {row["mes"]: row["solicitudes_creadas"] for row in months}
        created[str(today)] = created.get(str(today), 0) + 1
        assert {row["mes"]: row["solicitudes_creadas"] for row in now} == created
        others = [[row for row in rows if row["mes"] != today] for rows in (months, now)]
        assert others[0] == others[1]
        kept = call(database, MONTHS, "limit=1")[0]["solicitudes_creadas"]
        assert kept == months[0]["solicitudes_creadas"]
    finally:
        database.execute(f"DELETE FROM public.solicitudes WHERE id = '{request}'")
    told = refused(api.get(f"{LIVE}?view=daily", LECTOR), 400)
    assert told["message"] == "parameter view must be monthly"
    table = csv.DictReader(io.StringIO(api.get(f"{LIVE}?format=csv", LECTOR).body))
    assert list(next(table)) == list(before)


def test_live_months_of_an_empty_source_are_none(migrated: Database) -> None:
    with migrated.session() as connection:
        connection.execute(f"SET ROLE {LECTOR}")
        assert connection.execute("SELECT api.live('monthly')").fetchone() == ([],)
        row = connection.execute("SELECT api.live()").fetchone()
        assert row and row[0][0]["solicitudes_abiertas"] == 0


# -- while views change ------------------------------------------------------------------------


def test_readers_see_every_row_while_a_view_is_rebuilt(
    system_server: Server, system_database: Database, tmp_path: Path
) -> None:
    install(system_database)
    system_database.execute(
        "INSERT INTO public.usuarios (id, nombre, apellido, telefono) "
        "SELECT md5(n::text)::uuid, 'Ana', 'Gómez', '300' FROM generate_series(1, 500) AS n",
        "INSERT INTO public.asesores (id, usuario_id, ciudad, departamento, punto_venta) "
        "SELECT id, id, 'Bogotá', '', '' FROM public.usuarios",
        "SELECT refresh_all_mv()",
    )
    directory = Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))
    (file,) = directory.rglob(f"views/**/{RANKING}.sql")
    original = file.read_text()
    done = threading.Event()
    seen: list[int] = []
    faults: list[Exception] = []

    def read() -> None:
        with system_database.session() as connection:
            connection.execute(f"SET ROLE {LECTOR}")
            while not done.is_set():
                for parts in ("{limit=1000}", "{ciudad=bogota,limit=1000,order=-confianza}"):
                    try:
                        row = connection.execute(
                            f"SELECT json_array_length(api.kpi('{RANKING}', VARIADIC '{parts}'))"
                        ).fetchone()
                    except psycopg.Error as fault:
                        faults.append(fault)
                        return
                    assert row
                    seen.append(row[0])

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for number in range(3):
            file.write_text(
                original.replace("WITH NO DATA", f"WHERE {number} = {number}\nWITH NO DATA")
            )
            assert migrate(system_database.url, directory=directory)
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert faults == []
    assert set(seen) == {500}
    assert len(seen) > 10

"""A period is reported by a publish that saw its end, whatever stopped the refreshes before."""

import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conftest import Database
from database.release_file import release_text
from database.sql_files import SQL_DIRECTORY
from database.version import package_version
from golden_data import load_rich
from migrate import migrate

SYSTEM_SERVER_IS_ENOUGH = True

MONTHS, DAYS = "mv_metricas_mensuales", "mv_embudo_operativo"
ADD = (
    "INSERT INTO solicitudes SELECT made.* FROM (SELECT to_jsonb(solicitudes) AS row FROM "
    "solicitudes ORDER BY id LIMIT 1) AS one CROSS JOIN LATERAL jsonb_populate_record("
    "NULL::solicitudes, one.row || jsonb_build_object('id', gen_random_uuid(), "
    "'created_at', '{} 10:00:00-05')) AS made"
)
TABLES = (
    *("usuarios", "clientes", "asesores", "solicitudes", "repuestos_solicitados", "ofertas"),
    *("ofertas_detalle", "adjudicaciones_repuesto", "ofertas_historicas"),
    *("historial_respuestas_ofertas", "auditorias_tiendas"),
)


def refresh(database: Database, now: str) -> dict[str, str]:
    """Refresh; return what failed."""
    rows = database.rows(
        "SELECT view_name, refresh_status, error_message FROM analytics.refresh_all_mv()", now
    )
    return {str(row[0]): str(row[2]) for row in rows if row[1] != "SUCCESS"}


def one(database: Database, now: str, statement: str, *values: object) -> Any:
    """Return the only value of a statement at a moment."""
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
        row = connection.execute(statement, list(values)).fetchone()
        assert row
        return row[0]


def kpi(database: Database, now: str, view: str, *parts: str) -> list[dict[str, Any]]:
    """Return the rows that HTTP shows of a view at a moment."""
    rows: list[dict[str, Any]] = one(
        database, now, "SELECT api.kpi(%s, VARIADIC %s::text[])", view, list(parts)
    )
    return rows


def created(database: Database, now: str, view: str, *parts: str) -> list[int]:
    """Return how many requests each period has."""
    return [row["solicitudes_creadas"] for row in kpi(database, now, view, *parts)]


def set_target(database: Database, now: str, view: str, first: str, value: int) -> None:
    one(
        database,
        now,
        "SELECT analytics.set_target(%s, 'solicitudes_creadas', %s, %s)",
        *(view, first, value),
    )


def subscribe(database: Database, now: str) -> None:
    one(
        database,
        now,
        "SELECT analytics.subscribe_digest('ana@example.com', 'monthly')::text IS NULL",
    )


@pytest.fixture
def market(system_database: Database) -> Database:
    """A marketplace with a gate that looks at small figures, too. It was never refreshed."""
    load_rich(system_database.url)
    for name, value in (
        ("gate_least_requests", "1"),
        ("gate_least_count", "5"),
        ("target_alert", "all"),
    ):
        system_database.execute(f"SELECT analytics.set_setting('{name}', '{value}')")
    return system_database


@pytest.mark.parametrize(("closing_days", "missed_night"), [("0", None), ("1", "22")])
def test_a_day_is_not_reported_by_a_publish_of_that_day(
    market: Database, closing_days: str, missed_night: str | None
) -> None:
    """Refreshes at 01:00. With one closing day, one night without a refresh is enough."""
    market.execute(
        "DELETE FROM solicitudes WHERE created_at > '2026-10-20'",
        f"SELECT analytics.set_setting('closing_days', '{closing_days}')",
    )
    assert not refresh(market, "2026-10-20 01:00:00-05")
    set_target(market, "2026-10-20 02:00-05", DAYS, "2026-10-20", 3)
    for day in range(20, 26):
        market.execute(*[ADD.format(f"2026-10-{day}")] * 4)
        if str(day + 1) != missed_night:
            assert not refresh(market, f"2026-10-{day + 1} 01:00:00-05")
    asked = ("2026-10-26 02:00:00-05", DAYS, "from=2026-10-20", "to=2026-10-23")
    assert created(market, *asked) == [4] * 4
    assert created(market, *asked, "reported=true", "fill=true") == [4] * 4
    assert market.rows("SELECT count(*) FROM analytics.target_results WHERE is_missed") == [(0,)]


def test_a_day_is_not_reported_by_a_publish_of_another_zone_that_did_not_see_its_end(
    market: Database,
) -> None:
    """In Tokyo the day was over at the last publish, in Bogotá it was not."""
    market.execute(
        "DELETE FROM solicitudes WHERE created_at > '2026-10-20'",
        "SELECT analytics.set_setting('closing_days', '0'), analytics.set_setting('gate', 'off'), "
        "analytics.set_setting('breaker_pct', 'off')",
        *[ADD.format("2026-10-20").replace("10:00:00", "16:00:00")] * 4,
        *[ADD.format("2026-10-21").replace("10:00:00", "08:00:00")] * 3,
        *[ADD.format("2026-10-21").replace("10:00:00", "16:00:00")] * 2,
    )
    assert not refresh(market, "2026-10-21 20:30:00-05")
    market.execute("SELECT analytics.set_setting('time_zone', 'Asia/Tokyo')")
    assert not refresh(market, "2026-10-21 20:45:00-05")
    asked = ("2026-10-21 21:00:00-05", DAYS, "from=2026-10-21", "to=2026-10-21")
    assert created(market, *asked) == [7]
    assert created(market, *asked, "reported=true") == [7]


@pytest.mark.parametrize("gate", ["off", "on"])
def test_an_outage_over_the_end_of_a_month(market: Database, gate: str) -> None:
    """No refresh from 10 October to 8 November, while the business went on."""
    meanwhile = "created_at >= '2026-10-10 12:00:00-05' AND created_at < '2026-11-08'"
    market.execute(
        f"SELECT analytics.set_setting('gate', '{gate}')",
        f"CREATE TABLE later AS SELECT id, created_at FROM solicitudes WHERE {meanwhile}",
        f"UPDATE solicitudes SET created_at = created_at - interval '60 years' WHERE {meanwhile}",
    )
    assert not refresh(market, "2026-10-10 12:00:00-05")
    set_target(market, "2026-10-10 13:00-05", MONTHS, "2026-10-01", 15)
    subscribe(market, "2026-10-10 13:00-05")
    market.execute(
        "UPDATE solicitudes SET created_at = later.created_at FROM later "
        "WHERE later.id = solicitudes.id"
    )
    now = "2026-11-08 12:00:00-05"
    assert refresh(market, now) == {}, "the gate holds nothing: nobody reported 0"
    assert created(market, now, MONTHS, "from=2026-10", "to=2026-10") == [38]
    assert market.rows("SELECT period::text, figure, is_missed FROM analytics.target_results") == [
        ("2026-10-01", Decimal(38), False)
    ]
    assert one(market, now, "SELECT count(*) FROM kpi_engine.take_digest()") == 1
    digest = one(market, now, "SELECT kpi_engine.digest_contents('monthly')")
    assert digest["sections"][0]["figures"][0]["value"] == 38


def test_the_first_load_is_what_was_reported(market: Database) -> None:
    """The installation was refreshed while its tables were empty."""
    market.execute(
        "CREATE SCHEMA kept",
        *(f"CREATE TABLE kept.{name} AS SELECT * FROM {name}" for name in TABLES),
        f"TRUNCATE {', '.join(TABLES)}",
    )
    assert not refresh(market, "2026-11-10 01:00:00-05")
    set_target(market, "2026-11-04 00:30-05", MONTHS, "2026-01-01", 1)
    market.execute(*(f"INSERT INTO {name} SELECT * FROM kept.{name}" for name in TABLES))
    assert not refresh(market, "2026-11-10 02:00:00-05")
    asked = ("2026-11-10 03:00:00-05", MONTHS, "from=2026-06", "to=2026-10", "fill=true")
    assert created(market, *asked, "reported=true") == created(market, *asked)
    assert market.rows(
        "SELECT period::text, figure = solicitudes_creadas FROM analytics.target_results "
        f"JOIN analytics.{MONTHS} ON mes = period"
    ) == [("2026-10-01", True)]
    assert market.rows("SELECT count(*) FROM analytics.restatements") == [(0,)]
    # The gate knows these months.
    market.execute(
        "DELETE FROM solicitudes WHERE created_at >= '2026-07-10' AND created_at < '2026-07-30'"
    )
    assert "closed_sum" in refresh(market, "2026-11-11 01:00:00-05")[MONTHS]


def test_older_requests_that_come_raise_no_alert_about_their_periods(market: Database) -> None:
    """Only a request of today was shown. They closed before the target was set."""
    market.execute(
        "SELECT analytics.set_setting('gate', 'off'), analytics.set_setting('breaker_pct', 'off')",
        "CREATE TABLE later AS SELECT id, created_at FROM solicitudes",
        "UPDATE solicitudes SET created_at = created_at - interval '60 years'",
        ADD.format("2026-11-10"),
    )
    assert not refresh(market, "2026-11-10 11:00:00-05")
    set_target(market, "2026-11-09 00:30-05", MONTHS, "2026-01-01", 100000)
    market.execute(
        "UPDATE solicitudes SET created_at = later.created_at FROM later "
        "WHERE later.id = solicitudes.id"
    )
    assert not refresh(market, "2026-11-10 12:00:00-05")
    assert market.rows("SELECT count(*) > 5 FROM kpi_engine.closings") == [(True,)]
    assert market.rows("SELECT period::text FROM analytics.target_results") == []


def test_a_view_that_migrate_builds_anew_reports_no_period_that_no_refresh_saw(
    market: Database,
) -> None:
    """It shows the data of the last refresh, of 20 October. October stays open until the next."""
    market.execute("DELETE FROM solicitudes WHERE created_at > '2026-10-20'")
    assert not refresh(market, "2026-10-20 01:00:00-05")
    market.execute(*[ADD.format("2026-10-25")] * 4)
    market.execute(
        f"UPDATE kpi_engine.view_state SET noted_relation = 0 WHERE view_name = '{MONTHS}'"
    )
    one(market, "2026-11-08 01:00:00-05", "SELECT kpi_engine.note_new_views()")
    october = ("from=2026-10", "to=2026-10")
    (before,) = created(market, "2026-11-08 01:30:00-05", MONTHS, *october)
    assert MONTHS not in refresh(market, "2026-11-08 02:00:00-05")
    now = "2026-11-08 03:00:00-05"
    assert created(market, now, MONTHS, *october) == [before + 4]
    assert created(market, now, MONTHS, *october, "reported=true") == [before + 4]


def test_lost_rows_are_held_without_history(market: Database) -> None:
    setting = "SELECT analytics.set_setting('publication_history', 'mv_ranking_asesores=none')"
    market.execute(setting)
    assert not refresh(market, "2026-11-20 01:00:00-05")
    market.execute(
        "UPDATE asesores SET estado = 'SUSPENDIDO' WHERE id IN (SELECT id FROM asesores "
        "ORDER BY id LIMIT (SELECT 45 * count(*) / 100 FROM asesores))"
    )
    held = refresh(market, "2026-11-20 02:00:00-05")
    assert {view for view, why in held.items() if "lost_rows" in why} == {
        "mv_ranking_asesores",
        "mv_segmentos_asesores",
    }
    assert market.rows(
        "SELECT count(*), bool_or(keeps_rows) FROM analytics.publications "
        "WHERE view_name = 'mv_ranking_asesores'"
    ) == [(1, False)]


def test_a_monthly_preview_says_that_the_month_is_not_whole(market: Database) -> None:
    market.execute("DELETE FROM solicitudes WHERE created_at > '2026-10-20'")
    assert not refresh(market, "2026-10-20 01:00:00-05")
    set_target(market, "2026-10-20 02:00-05", MONTHS, "2026-10-01", 30)
    preview = "SELECT kpi_engine.digest_contents('monthly', NULL, '2026-10-01')"
    (section,) = one(market, "2026-11-01 02:00:00-05", preview)["sections"]
    assert section["is_incomplete"]
    assert [target["is_missed"] for target in section["targets"]] == [None]
    assert not refresh(market, "2026-11-01 01:00:00-05")
    (section,) = one(market, "2026-11-01 02:00:00-05", preview)["sections"]
    assert not section["is_incomplete"]
    assert [target["is_missed"] for target in section["targets"]] == [True]


def view_of(columns: str, words: dict[str, str], key: str = "mes") -> str:
    """Return the statements that make a KPI view over public.told anew."""
    comments = ";".join(
        f"COMMENT ON COLUMN analytics.mv_told.{column} IS 'Una [{kind}]\nes: Una.\nen: One.'"
        for column, kind in words.items()
    )
    return (
        "SET ROLE analytics_owner; DROP MATERIALIZED VIEW IF EXISTS analytics.mv_told;"
        f"CREATE MATERIALIZED VIEW analytics.mv_told AS SELECT {columns} FROM public.told;"
        f"CREATE UNIQUE INDEX mv_told_key ON analytics.mv_told ({key});"
        "GRANT SELECT ON analytics.mv_told TO analytics_lector;"
        "COMMENT ON MATERIALIZED VIEW analytics.mv_told IS 'Una / One\nes: Una.\nen: One.';"
        f"{comments}; RESET ROLE"
    )


def test_a_filter_by_a_column_that_the_history_does_not_have_is_refused(market: Database) -> None:
    """It has no row, and fill=true would make zeros of it."""
    market.execute(
        "CREATE TABLE public.told AS SELECT date '2026-03-01' AS mes, 'Cali' AS town, 7 AS value",
        "GRANT SELECT ON public.told TO analytics_owner",
    )
    words = {"mes": "fecha, none", "value": "conteo, up"}
    market.execute(view_of("mes, value", words))
    assert not refresh(market, "2026-05-21 01:00:00-05")
    market.execute(view_of("mes, value, town", words | {"town": "texto, none, dimension"}))
    assert not refresh(market, "2026-05-22 01:00:00-05")
    now = "2026-05-23 10:00:00-05"
    assert [
        row["value"] for row in kpi(market, now, "mv_told", "town=Cali", "as_of=2026-05-22")
    ] == [7]
    for asked in (
        ("as_of=2026-05-21",),
        ("reported=true",),
        ("reported=true", "from=2026-03", "to=2026-03", "fill=true"),
    ):
        with pytest.raises(psycopg.Error, match="parameter town must be left out"):
            kpi(market, now, "mv_told", "town=Cali", *asked)


def test_a_key_that_the_history_does_not_have_makes_no_zeros(market: Database) -> None:
    """A row without it belongs to no group, and fill=true would write 0 in its place."""
    market.execute(
        "CREATE TABLE public.told AS SELECT date '2026-03-01' AS mes, 'Cali' AS town, "
        "'N1' AS level, 7 AS value",
        "GRANT SELECT ON public.told TO analytics_owner",
    )
    words = {"mes": "fecha, none", "value": "conteo, up"}
    town = words | {"town": "texto, none, city"}
    retyped = "substr(level, 2)::integer AS level"
    spelled = "town, upper(town) AS town_key"
    fill = ("fill=true",)
    cases: list[tuple[str, str, str, dict[str, str], dict[str, tuple[str, ...]]]] = [
        ("town", "city", "town AS city", words, {"fill": fill}),
        ("town", "town, kind", "town, 'new' AS kind", town, {"fill": fill}),
        ("level", "level", retyped, words, {"fill": fill, "level": ("level=1",)}),
        ("town", "town_key", spelled, town, {"fill": ("town=Cali", *fill), "town": ("town=Cali",)}),
    ]
    for day, (key, new_key, column, new_words, wrong) in enumerate(cases, 21):
        market.execute(
            "SELECT kpi_engine.forget_history('mv_told', false)",
            view_of(f"mes, {key}, value", town if key == "town" else words, f"mes, {key}"),
        )
        assert not refresh(market, f"2026-05-{day} 01:00:00-05")
        market.execute(view_of(f"mes, {column}, value", new_words, f"mes, {new_key}"))
        assert not refresh(market, f"2026-05-{day} 02:00:00-05")
        now = f"2026-05-{day} 10:00:00-05"
        for moment in (f"as_of=2026-05-{day}T01:30", "reported=true"):
            assert [row["value"] for row in kpi(market, now, "mv_told", moment)] == [7]
            for name, asked in wrong.items():
                with pytest.raises(psycopg.Error, match=f"parameter {name} must be left out"):
                    kpi(market, now, "mv_told", moment, *asked)
        for asked in wrong.values():
            rows = kpi(market, now, "mv_told", f"as_of=2026-05-{day}", "to=2026-03", *asked)
            assert [row["value"] for row in rows] == [7]


def test_another_key_restates_nothing(market: Database) -> None:
    """The figures are the same: in another order of the key, and in rows of another kind."""
    market.execute(
        "CREATE TABLE public.told AS SELECT date '2026-03-01' AS mes, town, kind, 10 AS value FROM "
        "unnest('{Cali,Leticia}'::text[]) AS town, unnest('{new,used}'::text[]) AS kind",
        "GRANT SELECT ON public.told TO analytics_owner",
        "SELECT analytics.set_setting('gate_closed_pct', '60')",
    )
    words = {"mes": "fecha, none", "value": "conteo, up", "town": "texto, none"}

    def shown(hour: int, columns: str, key: str, more: dict[str, str]) -> None:
        view = view_of(columns, words | more, key)
        market.execute(view.replace("public.told;", f"public.told GROUP BY {key};"))
        assert not refresh(market, f"2026-05-21 {hour:02}:00:00-05")

    restated = (
        "SELECT row_key ->> 'town', row_key ->> 'kind', reported::integer, previous::integer, "
        "current::integer FROM analytics.restatements WHERE view_name = 'mv_told' "
        "ORDER BY restatement_id"
    )
    whole = "mes, town, sum(value)::integer AS value"
    shown(1, whole, "mes, town", {})
    shown(2, whole, "town, mes", {})
    assert market.rows(restated) == []
    market.execute("UPDATE public.told SET value = 15 WHERE (town, kind) = ('Cali', 'new')")
    shown(3, whole, "town, mes", {})
    found = [("Cali", None, 20, 20, 25)]
    assert market.rows(restated) == found
    parts = "town, mes, kind, sum(value)::integer AS value"
    shown(4, parts, "kind, mes, town", {"kind": "texto, none"})
    assert market.rows(restated) == found
    market.execute("UPDATE public.told SET value = 11 WHERE (town, kind) = ('Leticia', 'used')")
    shown(5, parts, "kind, mes, town", {"kind": "texto, none"})
    # What the row was at closing is not known: it was not there.
    assert market.rows(restated) == [*found, ("Leticia", "used", None, 10, 11)]
    now = "2026-05-22 10:00:00-05"
    for asked, figures in (
        ("reported=true", [20, 20]),
        ("as_of=2026-05-21T03:30", [20, 25]),
        ("as_of=2026-05-21T04:30", [10, 10, 10, 15]),
        ("as_of=2026-05-21", [10, 10, 11, 15]),
        ("limit=9", [10, 10, 11, 15]),
    ):
        assert sorted(row["value"] for row in kpi(market, now, "mv_told", asked)) == figures, asked


def test_a_published_number_is_never_rounded(market: Database) -> None:
    """The column has a type of fewer digits now."""
    market.execute(
        "CREATE TABLE public.told AS SELECT date '2026-03-01' AS mes, 123456789.25 AS value, "
        "'seven' AS n, '2026-03-01 02:00Z'::timestamptz AS latest, 3 AS seen",
        "GRANT SELECT ON public.told TO analytics_owner",
    )
    words = {"mes": "fecha, none", "value": "COP, up", "seen": "conteo, up"}
    for day, kind, latest, n in (
        ("21", "numeric(12,2)", "latest", "n"),
        ("22", "numeric(12,0)", "latest::date AS latest", "n"),
        ("23", "real", "latest", "7 AS n"),
    ):
        market.execute(view_of(f"mes, value::{kind} AS value, {n}, {latest}, seen", words))
        assert not refresh(market, f"2026-05-{day} 01:00:00-05")
        now = f"2026-05-{day} 10:00:00-05"
        for moment in ("as_of=2026-05-21", "reported=true"):
            [row] = kpi(market, now, "mv_told", moment)
            assert row["value"] == (123456789.25 if day == "21" else None)
            assert row["n"] == ("seven" if n == "n" else None)
            assert (row["latest"] is None) == ("date" in latest)
            assert row["seen"] == 3
        [row] = kpi(market, now, "mv_told", f"as_of=2026-05-{day}")
        assert None not in row.values()
    past = "SELECT object ->> 'value' FROM analytics.as_reported('mv_told', '2026-05-21') AS object"
    assert one(market, now, past) == "123456789.25"


OWN = "mv_creadas_mensuales"
OWN_FILE = f"""
CREATE MATERIALIZED VIEW {OWN} AS
SELECT month_totals.mes, month_totals.requests AS solicitudes_creadas
FROM kpi_engine.month_totals
WHERE isfinite(month_totals.mes)
WITH NO DATA;

CREATE UNIQUE INDEX {OWN}_mes ON {OWN} (mes);

COMMENT ON MATERIALIZED VIEW {OWN} IS
'Creadas por mes / Created by month
es: Las solicitudes por el mes en que se crearon.
en: Requests by the month of their creation.';
COMMENT ON COLUMN {OWN}.mes IS
'Mes [fecha, none]
es: Primer día del mes.
en: First day of the month.';
COMMENT ON COLUMN {OWN}.solicitudes_creadas IS
'Solicitudes creadas [conteo, up]
es: Las solicitudes del mes.
en: Requests of the month.';

REVOKE ALL ON {OWN} FROM public;
GRANT SELECT ON {OWN} TO analytics_lector, analytics_operador;
"""


def url_at(database: Database, now: str) -> str:
    """Return a connection string with a pinned clock."""
    return psycopg.conninfo.make_conninfo(database.url, options=f"-c analytics.now={now}")


def migrate_at(database: Database, tree: Path, now: str) -> None:
    """Migrate to a tree at a moment."""
    migrate(url_at(database, now), directory=tree)


@pytest.mark.parametrize("way", ["migrate", "release file", "by hand"])
def test_nobody_saw_a_view_while_it_was_gone(market: Database, tmp_path: Path, way: str) -> None:
    """It shows April on 4 and 5 May, is dropped on 6 May, and comes back on 8 June."""
    tree = Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))
    file = tree / "views" / "kpis" / f"{OWN}.sql"

    def install(now: str) -> None:
        if way != "release file":
            migrate_at(market, tree, now)
            return
        release = tmp_path / "release.sql"
        release.write_text(release_text(package_version(), tree), encoding="utf-8")
        subprocess.run(["psql", "-X", "-q", "-1", "-f", release, url_at(market, now)], check=True)

    def shown(now: str, *parts: str) -> list[int]:
        return created(market, now, OWN, "from=2026-04", "to=2026-05", "order=mes", *parts)

    file.write_text(OWN_FILE, encoding="utf-8")
    install("2026-05-04T00:00:00-05")
    market.execute("SELECT analytics.set_setting('gate', 'off')", ADD.format("2026-05-02"))
    assert not refresh(market, "2026-05-04 01:00:00-05")
    market.execute(ADD.format("2026-04-20"))
    assert not refresh(market, "2026-05-05 01:00:00-05")
    (april, may) = shown("2026-05-05 02:00:00-05")
    # April closes at midnight of 6 May, and no refresh notes that before the view is gone.
    if way == "by hand":
        market.execute(f"DROP MATERIALIZED VIEW analytics.{OWN} CASCADE")
    else:
        file.unlink()
        install("2026-05-06T10:00:00-05")
    market.execute(*[ADD.format("2026-04-21")] * 2, *[ADD.format("2026-05-21")] * 3)
    failed = refresh(market, "2026-05-31 01:00:00-05")
    assert set(failed) == ({OWN} if way == "by hand" else set())
    file.write_text(OWN_FILE, encoding="utf-8")
    install("2026-06-08T00:00:00-05")
    with pytest.raises(psycopg.errors.InvalidParameterValue) as too_early:
        one(
            market,
            "2026-06-08 00:30:00-05",
            "SELECT count(*) FROM analytics.as_reported(%s, '2026-05-31')",
            OWN,
        )
    assert "shows nothing yet" in str(too_early.value.diag.message_detail)
    assert not refresh(market, "2026-06-08 01:00:00-05")

    now = "2026-06-09 10:00:00-05"
    gone = "2026-05-05T01:00:00-05:00" if way == "by hand" else "2026-05-06T10:00:00-05:00"
    before = "2026-05-05T00:59-05:00" if way == "by hand" else "2026-05-06T09:59-05:00"
    assert shown(now, f"as_of={before}") == ([april - 1, may] if way == "by hand" else [april, may])
    assert shown(now, "as_of=2026-06-08T01:00-05:00") == [april + 2, may + 3]
    for at in (gone, "2026-05-31", "2026-06-08T00:59:59-05:00"):
        with pytest.raises(psycopg.Error, match="as_of") as caught:
            shown(now, f"as_of={at}")
        with pytest.raises(psycopg.errors.InvalidParameterValue) as by_sql:
            one(market, now, "SELECT count(*) FROM analytics.as_reported(%s, %s)", OWN, at)
        for words in (str(caught.value), str(by_sql.value.diag.message_detail)):
            assert "It has nothing from 2026-05-0" in words
            assert "when the view was taken away, to 2026-06-08T06:00:00.000Z" in words
    # April closed while it was shown, unless nobody knows until when that was; May did not.
    reported = april + 2 if way == "by hand" else april
    assert shown(now, "reported=true") == [reported, may + 3]
    market.execute(ADD.format("2026-05-22"))
    assert not refresh(market, "2026-06-10 01:00:00-05")
    now = "2026-06-10 10:00:00-05"
    assert shown(now, "reported=true") == [reported, may + 3]
    assert market.rows(
        "SELECT period::text, reported, current FROM analytics.restatements "
        f"WHERE view_name = '{OWN}' ORDER BY restatement_id"
    ) == [
        *([] if way == "by hand" else [("2026-04-01", april, april + 2)]),
        ("2026-05-01", may + 3, may + 4),
    ]
    # A publish that changed nothing is kept, if it ends.
    market.execute("SELECT kpi_engine.trim_publications('2030-01-01')")
    with pytest.raises(psycopg.Error, match="when the view was taken away"):
        shown(now, "as_of=2026-05-31")


def test_a_view_that_was_emptied_and_filled_by_hand_is_known_again(market: Database) -> None:
    assert not refresh(market, "2026-11-24 01:00:00-05")
    market.execute(f"REFRESH MATERIALIZED VIEW analytics.{MONTHS} WITH NO DATA")
    migrate(market.url)
    market.execute(f"REFRESH MATERIALIZED VIEW analytics.{MONTHS}")
    now = "2026-11-24 02:00:00-05"
    with pytest.raises(psycopg.Error, match="was taken away at"):
        kpi(market, now, MONTHS, "as_of=2026-11-24T01:30-05:00")
    assert not refresh(market, now)
    assert kpi(market, "2026-11-24 03:00:00-05", MONTHS, "as_of=2026-11-24T02:30-05:00")
    assert one(market, now, "SELECT reason FROM kpi_engine.view_staleness() LIMIT 1") is None


def test_a_view_that_comes_back_reports_no_month_that_it_did_not_see_whole(
    market: Database, tmp_path: Path
) -> None:
    """No refresh from 28 April on. On 7 May its file is taken away, on 8 June it comes back."""
    tree = Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))
    file = tree / "views" / "kpis" / f"{OWN}.sql"

    market.execute("SELECT analytics.set_setting('gate', 'off')")
    file.write_text(OWN_FILE, encoding="utf-8")
    migrate_at(market, tree, "2026-04-27T00:00:00-05")
    assert not refresh(market, "2026-04-28 01:00:00-05")
    (part,) = created(market, "2026-04-28 02:00:00-05", OWN, "from=2026-04", "to=2026-04")
    market.execute(*[ADD.format("2026-04-29")] * 2)
    file.unlink()
    migrate_at(market, tree, "2026-05-07T00:00:00-05")
    file.write_text(OWN_FILE, encoding="utf-8")
    migrate_at(market, tree, "2026-06-08T00:00:00-05")
    assert not refresh(market, "2026-06-08 01:00:00-05")
    asked = ("2026-06-08 02:00:00-05", OWN, "from=2026-04", "to=2026-04", "reported=true")
    assert created(market, *asked) == [part + 2]

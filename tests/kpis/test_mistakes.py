"""What an engineer writes by mistake is refused by name, with the right form."""

import re
import shutil
from datetime import date
from pathlib import Path

import pytest

from commandline.console import UserError
from conftest import Database, install, made_once
from database.sql_files import SQL_DIRECTORY
from marketplace import fill
from migrate import migrate
from sequences import refresh

SYSTEM_SERVER_IS_ENOUGH = True

TODAY = date(2026, 11, 23)
NOW = "2026-11-23 12:00:00-05"
MONTHS = "FROM kpi_engine.month_totals WHERE isfinite(month_totals.mes)"
BRANDS = "FROM kpi_engine.month_marcas WHERE isfinite(month_marcas.mes)"
FACTS = "FROM kpi_engine.solicitud_facts WHERE isfinite(solicitud_facts.mes)"


@pytest.fixture
def market(system_database: Database) -> Database:
    made_once(system_database, "market of mistakes", make_market)
    return system_database


def make_market(database: Database) -> None:
    install(database)
    with database.session() as connection:
        fill(connection, 7, "A", TODAY)
    refresh(database, NOW)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the SQL files, to write into."""
    return Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))


def view_file(query: str, words: str = "conteo, up", name: str = "mv_mine") -> str:
    """Return the file of a KPI view with the columns mes, n and, if the query has it, t."""
    text = (
        f"CREATE MATERIALIZED VIEW {name} AS\n{query}\nWITH NO DATA;\n\n"
        f"CREATE UNIQUE INDEX {name}_mes ON {name} (mes);\n\n"
        f"COMMENT ON MATERIALIZED VIEW {name} IS\n'Mía / Mine\nes: Mía.\nen: Mine.';\n"
    )
    for column, brackets in (("mes", "fecha, none"), ("n", words), ("t", "texto, none")):
        if column != "t" or " AS t " in query:
            text += (
                f"COMMENT ON COLUMN {name}.{column} IS\n'Cosa / Thing [{brackets}]\n"
                "es: Cosa.\nen: Thing.';\n"
            )
    return text + f"GRANT SELECT ON {name} TO analytics_lector, analytics_operador;\n"


def table_file(name: str, expression: str, condition: str = "true") -> str:
    """Return the file of a derived table by month with the column n."""
    return (
        f"CREATE OR REPLACE VIEW kpi_engine.recomputed_{name} AS\n"
        f"SELECT mes, {expression} AS n {FACTS} AND {condition} GROUP BY mes;\n"
        f"COMMENT ON VIEW kpi_engine.recomputed_{name} IS 'Mine.';\n"
        f"COMMENT ON COLUMN kpi_engine.recomputed_{name}.mes IS 'Month.';\n"
        f"COMMENT ON COLUMN kpi_engine.recomputed_{name}.n IS 'Number.';\n"
        f"SELECT kpi_engine.declare_derived_table('{name}', 'group', ARRAY['mes']);\n"
    )


def function_file(body: str) -> str:
    """Return the file of a function that says IMMUTABLE."""
    return (
        "CREATE OR REPLACE FUNCTION kpi_engine.mine(p_number bigint) RETURNS bigint LANGUAGE sql\n"
        "IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp\n"
        f"AS $mine$ SELECT p_number + {body} -- Not FROM kpi_engine.notes, nor now().\n$mine$;\n"
        "COMMENT ON FUNCTION kpi_engine.mine(bigint) IS 'Mine.';\n"
    )


# By query: what is said of it, and a word of the cure.
QUERIES = {
    f"SELECT mes, count(*) AS n, string_agg(marca, ',') AS t {BRANDS} GROUP BY mes": (
        "has array_agg() or the like without ORDER BY: its order is chance",
        "string_agg(marca, ', ' ORDER BY marca)",
    ),
    f"SELECT mes, count(*) AS n, (array_agg(marca))[1] AS t {BRANDS} GROUP BY mes": (
        "has array_agg() or the like without ORDER BY: its order is chance",
        "Write ORDER BY",
    ),
    f"SELECT mes, row_number() OVER () AS n {MONTHS}": (
        "has a window function without ORDER BY: its order is chance",
        "Write ORDER BY in the brackets of OVER",
    ),
    f"SELECT DISTINCT ON (mes) mes, requests AS n, marca AS t {BRANDS}": (
        "has DISTINCT ON without ORDER BY: its order is chance",
        "Write ORDER BY",
    ),
    f"SELECT mes, requests AS n {MONTHS} LIMIT 5": (
        "has LIMIT without ORDER BY: its order is chance",
        "Write ORDER BY",
    ),
    f"SELECT mes, sum(closing_seconds::float8) AS n {FACTS} GROUP BY mes": (
        "has sum(double precision): that drifts with the order of the rows",
        "Make it numeric",
    ),
    "SELECT date_trunc('month', view_state.today)::date AS mes, 1 AS n FROM kpi_engine.view_state "
    "WHERE view_state.view_name = 'mv_segmentos_asesores'": (
        "reads kpi_engine.view_state, and not its own row alone",
        "WHERE view_state.view_name = 'mv_mine'",
    ),
    "SELECT max(view_state.today) AS mes, count(*) AS n FROM kpi_engine.view_state": (
        "reads kpi_engine.view_state, and not its own row alone",
        "WHERE view_state.view_name = 'mv_mine'",
    ),
    "SELECT date '2026-11-01' AS mes, count(*) AS n FROM pg_class": (
        "calls catalog table pg_class, which is not IMMUTABLE",
        "Read derived tables",
    ),
    f"SELECT mes, requests + length(current_setting('DateStyle')) AS n {MONTHS}": (
        "calls current_setting(text), which is not IMMUTABLE",
        "Read derived tables",
    ),
    f"SELECT mes, requests + length(current_user) AS n {MONTHS}": (
        "calls the name of the user or of the database",
        "Read derived tables",
    ),
    f"SELECT mes, requests + pg_relation_size('pg_class') AS n {MONTHS}": (
        "calls pg_relation_size(regclass), which is not IMMUTABLE",
        "Read derived tables",
    ),
}
# By body: what the function is said to read.
BODIES = {
    "(SELECT count(*) FROM kpi_engine.notes)": "kpi_engine.notes",
    "extract(DAY FROM now())::bigint": "now(",
    "length(analytics.setting('gate'))": "analytics.setting(text)",
    "length(current_setting ('DateStyle'))": "current_setting(",
    "(date 'today' - date '2026-01-01')": "'today'",
    "length(CAST(' NOW ' AS timestamp)::text)": "' now '",
    "(SELECT count(*) FROM pg_settings)": "pg_settings",
}


@pytest.mark.parametrize("query", QUERIES)
def test_a_view_whose_figures_nobody_could_keep_is_refused(
    market: Database, tree: Path, query: str
) -> None:
    said, form = QUERIES[query]
    (tree / "views" / "mv_mine.sql").write_text(view_file(query))
    with pytest.raises(UserError) as refused:
        migrate(market.url, directory=tree)
    assert str(refused.value).startswith(f"sql/views/mv_mine.sql: mv_mine {said}")
    assert form in str(refused.value.hint)
    assert migrate(market.url) == []


def test_an_order_that_is_written_is_accepted(market: Database, tree: Path) -> None:
    query = (
        "SELECT month_marcas.mes, row_number() OVER (ORDER BY month_marcas.mes) AS n, "
        "string_agg(month_marcas.marca, ',' ORDER BY month_marcas.marca) AS t "
        "FROM kpi_engine.month_marcas INNER JOIN kpi_engine.view_state "
        "ON view_state.view_name = 'mv_mine' AND month_marcas.mes <= view_state.today "
        "WHERE isfinite(month_marcas.mes) GROUP BY month_marcas.mes ORDER BY 1 LIMIT 99"
    )
    (tree / "views" / "mv_mine.sql").write_text(view_file(query))
    migrate(market.url, directory=tree)
    refresh(market, NOW)
    assert market.rows("SELECT count(*) > 3 FROM analytics.mv_mine") == [(True,)]


@pytest.mark.parametrize("body", BODIES)
def test_a_function_that_only_says_immutable_is_refused(
    market: Database, tree: Path, body: str
) -> None:
    said = f"calls kpi_engine.mine(bigint) (it says IMMUTABLE, and reads {BODIES[body]})"
    (tree / "functions" / "mine.sql").write_text(function_file(body))
    reader = tree / "views" / "mv_mine.sql"
    reader.write_text(view_file(f"SELECT mes, kpi_engine.mine(requests) AS n {MONTHS}"))
    with pytest.raises(UserError, match=re.escape(said)):
        migrate(market.url, directory=tree)
    reader.unlink()
    (tree / "views" / "recomputed_lies.sql").write_text(
        table_file("lies", "sum(kpi_engine.mine(offers))")
    )
    with pytest.raises(UserError, match=re.escape(said)):
        migrate(market.url, directory=tree)
    assert migrate(market.url) == []


def test_a_function_that_reads_a_table_by_its_own_search_path_is_refused(
    market: Database, tree: Path
) -> None:
    text = function_file("(SELECT length(max(value)) FROM settings)").replace(
        "pg_catalog, pg_temp", "kpi_engine, pg_temp"
    )
    (tree / "functions" / "mine.sql").write_text(text)
    (tree / "views" / "mv_mine.sql").write_text(
        view_file(f"SELECT mes, kpi_engine.mine(requests) AS n {MONTHS}")
    )
    with pytest.raises(UserError, match=r"it says IMMUTABLE, and reads kpi_engine\.settings"):
        migrate(market.url, directory=tree)
    assert migrate(market.url) == []


def test_a_function_that_is_immutable_may_talk_of_the_clock(market: Database, tree: Path) -> None:
    (tree / "functions" / "mine.sql").write_text(function_file("1"))
    (tree / "views" / "mv_mine.sql").write_text(
        view_file(f"SELECT mes, kpi_engine.mine(requests) AS n {MONTHS}")
    )
    migrate(market.url, directory=tree)


def test_a_sum_may_name_a_view_with_a_digit(market: Database, tree: Path) -> None:
    query = f"SELECT mes, requests AS n {MONTHS}"
    (tree / "views" / "mv_top10.sql").write_text(view_file(query, name="mv_top10"))
    (tree / "views" / "mv_mine.sql").write_text(view_file(query, "conteo, up, sum mv_top10.n"))
    migrate(market.url, directory=tree)
    refresh(market, NOW)


@pytest.mark.parametrize("name", ["settings", "window_end", "month_totals_a"])
def test_a_derived_table_with_a_taken_name_is_refused(
    market: Database, tree: Path, name: str
) -> None:
    (tree / "views" / f"recomputed_{name}.sql").write_text(table_file(name, "count(*)"))
    with pytest.raises(UserError) as refused:
        migrate(market.url, directory=tree)
    assert f"derived table {name}: the name kpi_engine.{name} is taken" in str(refused.value)


def test_a_derived_table_with_the_name_of_a_function_is_refused(
    market: Database, tree: Path
) -> None:
    text = table_file("percentage", "sum(kpi_engine.percentage(offers_won, offers))")
    (tree / "views" / "recomputed_percentage.sql").write_text(text)
    with pytest.raises(UserError, match="objects need each other") as refused:
        migrate(market.url, directory=tree)
    assert "a name that no function has" in str(refused.value.hint)


def test_two_files_with_one_object_are_refused_with_a_cure(market: Database, tree: Path) -> None:
    shutil.copy(tree / "functions" / "facts" / "city_key.sql", tree / "functions" / "api")
    with pytest.raises(UserError, match="make the same object; nothing was changed") as refused:
        migrate(market.url, directory=tree)
    assert "city_key is made once" in str(refused.value.hint)


def test_a_division_by_zero_names_its_file_and_the_cure(market: Database, tree: Path) -> None:
    def errors() -> set[object]:
        rows = market.rows("SELECT view_name, error_message FROM analytics.refresh_all_mv()")
        return {message for _, message in rows if message is not None}

    view = tree / "views" / "mv_mine.sql"
    view.write_text(view_file(f"SELECT mes, requests / (requests - requests) AS n {MONTHS}"))
    migrate(market.url, directory=tree)
    assert errors() == {
        "division by zero: in its query write nullif(…, 0) around the divisor, or "
        "kpi_engine.percentage(part, whole)"
    }
    view.unlink()
    table = tree / "views" / "recomputed_mine.sql"
    said = (
        "derived table mine: division by zero. Mend recomputed_mine.sql: write nullif(…, 0) around "
        "the divisor, run make migrate and refresh"
    )
    table.write_text(table_file("mine", "sum(1 / (offers - offers))", "estado = 'PRUEBA'"))
    migrate(market.url, directory=tree)
    assert errors() == set()
    # By a change, and by computing everything.
    for force in ("false", "true"):
        market.execute(
            "UPDATE public.solicitudes SET estado = 'PRUEBA' WHERE id = "
            "(SELECT id FROM public.solicitudes WHERE created_at > '2026-01-01' "
            "ORDER BY id LIMIT 1)"
        )
        rows = market.rows(f"SELECT DISTINCT error_message FROM analytics.refresh_all_mv({force})")
        assert rows == [(said,)]
    ((message,),) = market.rows(
        "SELECT message FROM analytics.health_problems() WHERE problem = 'refresh_failed' LIMIT 1"
    )
    assert said in str(message)
    table.unlink()
    migrate(market.url, directory=tree)
    assert errors() == set()


def test_another_unit_is_another_column(market: Database, tree: Path) -> None:
    view = tree / "views" / "mv_mine.sql"
    query = f"SELECT mes, requests AS n {MONTHS}"
    view.write_text(view_file(query, "dias, down"))
    migrate(market.url, directory=tree)
    # Nobody saw it yet.
    view.write_text(view_file(query, "meses, down"))
    migrate(market.url, directory=tree)
    refresh(market, NOW)
    for changed in (query, f"SELECT mes, 86400 * requests AS n {MONTHS}"):
        view.write_text(view_file(changed, "segundos, down"))
        with pytest.raises(UserError) as refused:
            migrate(market.url, directory=tree)
        assert (
            "column n of mv_mine has the unit segundos, and had meses: its history and its targets "
            "are in meses; nothing was changed"
        ) in str(refused.value)
    # The cure in the message, where only the word was wrong.
    view.unlink()
    migrate(market.url, directory=tree)
    view.write_text(view_file(query, "segundos, down"))
    migrate(market.url, directory=tree)


def test_a_changed_function_has_another_etag(market: Database, tree: Path) -> None:
    def tag() -> object:
        with market.session() as connection, connection.transaction():
            connection.execute("SELECT kpi_engine.begin_reading('mv_ranking_asesores')")
            row = connection.execute("SELECT current_setting('response.headers')").fetchone()
            assert row is not None
            return re.search(r'"ETag" ?: ?"(.*?)"[,}]', str(row[0]))

    before = str(tag())
    assert before == str(tag())
    assert migrate(market.url, directory=tree) == []
    assert before == str(tag())
    path = tree / "functions" / "api" / "city_summary.sql"
    path.write_text(path.read_text().replace("RETURN (", "RETURN NULL; RETURN (", 1))
    assert migrate(market.url, directory=tree) == ["changed functions/api/city_summary.sql"]
    assert before != str(tag())

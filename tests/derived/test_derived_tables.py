"""The kit: a derived table is a file; it is kept, filled and dropped by what that file says."""

import re
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import psycopg
import pytest

from commandline.console import UserError
from conftest import Database, Server, fresh_database, install, made_once
from database.sql_files import SQL_DIRECTORY, load_objects
from marketplace import BASE_SEED, SMALL, change, fill
from migrate import migrate
from sequences import audited, refresh, view_differences

SERVERS_TAKE_TURNS = True
NOW = "2026-11-23 12:00:00-05"
TODAY = date(2026, 11, 23)
CHANGE_SEED = BASE_SEED + 1000

# A derived table of each way of upkeep, each with a shape that no table of the package has.
NEW_TABLES = {
    # Weeks, with a median.
    "week_closings": """
CREATE OR REPLACE VIEW kpi_engine.recomputed_week_closings AS
SELECT
    date_trunc('week', solicitud_facts.local_day::timestamp)::date AS semana,
    count(*) AS requests,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY solicitud_facts.closing_seconds) AS closing_median
FROM kpi_engine.solicitud_facts
WHERE isfinite(solicitud_facts.local_day)
GROUP BY 1;
COMMENT ON VIEW kpi_engine.recomputed_week_closings IS 'Closing times by week.';
COMMENT ON COLUMN kpi_engine.recomputed_week_closings.semana IS 'Monday.';
COMMENT ON COLUMN kpi_engine.recomputed_week_closings.requests IS 'Requests.';
COMMENT ON COLUMN kpi_engine.recomputed_week_closings.closing_median IS 'Median.';
SELECT kpi_engine.declare_derived_table('week_closings', 'group', ARRAY['semana']
);
""",
    # Two key columns, one of which may move, and a distinct count.
    "month_cities": """
CREATE OR REPLACE VIEW kpi_engine.recomputed_month_cities AS
SELECT
    solicitud_facts.mes,
    solicitud_facts.ciudad_key,
    count(*) AS requests,
    count(DISTINCT solicitud_facts.cliente_id) AS clientes,
    max(solicitud_facts.estado) AS last_estado
FROM kpi_engine.solicitud_facts
WHERE solicitud_facts.ciudad_key <> ''
GROUP BY solicitud_facts.mes, solicitud_facts.ciudad_key;
COMMENT ON VIEW kpi_engine.recomputed_month_cities IS 'Requests by month and city.';
COMMENT ON COLUMN kpi_engine.recomputed_month_cities.mes IS 'Month.';
COMMENT ON COLUMN kpi_engine.recomputed_month_cities.ciudad_key IS 'City.';
COMMENT ON COLUMN kpi_engine.recomputed_month_cities.requests IS 'Requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_cities.clientes IS 'Distinct clients.';
COMMENT ON COLUMN kpi_engine.recomputed_month_cities.last_estado IS 'Last state in byte order.';
SELECT kpi_engine.declare_derived_table('month_cities', 'group', ARRAY['mes', 'ciudad_key']
);
""",
    # No period in the key, over facts with a window: rows leave it when the day moves.
    "asesor_streaks": """
CREATE OR REPLACE VIEW kpi_engine.recomputed_asesor_streaks AS
SELECT
    historica_facts.asesor_id,
    max(historica_facts.local_day) AS latest_day,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY historica_facts.amount) AS amount_median
FROM kpi_engine.historica_facts
CROSS JOIN kpi_engine.window_end
WHERE historica_facts.local_day BETWEEN window_end.today - 6 AND window_end.today
GROUP BY historica_facts.asesor_id;
COMMENT ON VIEW kpi_engine.recomputed_asesor_streaks IS 'The last seven days by advisor.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_streaks.asesor_id IS 'The advisor.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_streaks.latest_day IS 'Latest day.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_streaks.amount_median IS 'Median.';
SELECT kpi_engine.declare_derived_table(
    'asesor_streaks', 'group', ARRAY['asesor_id'], p_window_days => ARRAY[7]
);
""",
    # By difference over a table that is kept by group itself; text and dates in the key.
    "city_totals": """
CREATE OR REPLACE VIEW kpi_engine.recomputed_city_totals AS
SELECT
    month_cities.ciudad_key,
    count(*) AS months,
    coalesce(sum(month_cities.requests), 0) AS requests,
    max(month_cities.requests) AS busiest
FROM kpi_engine.month_cities
GROUP BY month_cities.ciudad_key;
COMMENT ON VIEW kpi_engine.recomputed_city_totals IS 'Requests by city.';
COMMENT ON COLUMN kpi_engine.recomputed_city_totals.ciudad_key IS 'City.';
COMMENT ON COLUMN kpi_engine.recomputed_city_totals.months IS 'Months with a request.';
COMMENT ON COLUMN kpi_engine.recomputed_city_totals.requests IS 'Requests.';
COMMENT ON COLUMN kpi_engine.recomputed_city_totals.busiest IS 'Most requests of a month.';
SELECT kpi_engine.declare_derived_table(
    'city_totals', 'difference', ARRAY['ciudad_key'], p_extremes => '{"busiest": "max"}'
);
""",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the SQL files that a test may change."""
    return Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))


@pytest.fixture
def market(system_database: Database) -> Database:
    """A small marketplace whose views are up to date."""
    made_once(system_database, "derived tables", make_market)
    return system_database


@pytest.fixture(scope="module")
def unchanged_market(system_server: Server) -> Iterator[Database]:
    """The same, for tests that leave it as it was."""
    for database in fresh_database(system_server):
        made_once(database, "derived tables", make_market)
        yield database


def make_market(database: Database) -> None:
    """Install the package over a marketplace and refresh."""
    install(database)
    with database.session() as connection:
        fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
    refresh(database, NOW)


def write(tree: Path, table: str) -> None:
    """Add the file of one of the new derived tables."""
    (tree / "views" / f"recomputed_{table}.sql").write_text(NEW_TABLES[table], encoding="utf-8")


def edit(tree: Path, table: str, old: str, new: str) -> None:
    """Change the file of a derived table of the package."""
    (path,) = tree.rglob(f"recomputed_{table}.sql")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def wrong_rows(database: Database) -> dict[str, int]:
    """Count, by derived table, the rows that its definition does not give or gives besides."""
    found = {}
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        for table, columns in connection.execute(
            "SELECT table_name, array_to_string(key_columns || value_columns, ', ') "
            "FROM kpi_engine.derived_tables"
        ).fetchall():
            kept = f"SELECT {columns} FROM kpi_engine.{table}"
            right = f"SELECT {columns} FROM kpi_engine.recomputed_{table}"
            query = (
                f"SELECT count(*) FROM (({kept} EXCEPT ALL {right}) "
                f"UNION ALL ({right} EXCEPT ALL {kept})) AS different"
            )
            row = connection.execute(query.encode()).fetchone()
            if row is not None and row[0]:
                found[table] = row[0]
    return found


def versions(database: Database) -> dict[str, int]:
    """Return in which data version each derived table last changed."""
    return {
        str(name): int(str(version))
        for name, version in database.rows(
            "SELECT table_name, changed_version FROM kpi_engine.derived_tables"
        )
    }


def test_each_way_of_upkeep_gives_what_the_definition_gives_after_random_changes(
    market: Database, tree: Path
) -> None:
    for table in NEW_TABLES:
        write(tree, table)
    migrate(market.url, directory=tree)
    assert refresh(market, NOW)[0] == "full"
    assert wrong_rows(market) == {}
    assert market.rows("SELECT count(*) > 3 FROM kpi_engine.week_closings") == [(True,)]
    assert market.rows("SELECT count(*) > 3 FROM kpi_engine.month_cities") == [(True,)]
    assert market.rows("SELECT count(*) > 0 FROM kpi_engine.asesor_streaks") == [(True,)]
    changed = set()
    for seed in range(6):
        before = versions(market)
        with market.session() as connection:
            change(connection, CHANGE_SEED + seed, "A", TODAY)
        assert refresh(market, NOW)[0] == "incremental"
        assert wrong_rows(market) == {}, seed
        changed |= {name for name, version in versions(market).items() if version > before[name]}
    assert changed >= NEW_TABLES.keys()
    assert view_differences(market, NOW) == []
    assert audited(market) == 0
    # Rows that enter and leave the window of seven days, of 30 and of 90.
    for day in ("2026-11-24", "2026-11-28", "2026-12-31", "2027-03-01"):
        later = f"{day} 12:00:00-05"
        assert refresh(market, later)[0] == "incremental"
        assert wrong_rows(market) == {}, day


@pytest.mark.parametrize("table", NEW_TABLES)
def test_drift_of_a_new_table_is_found_and_healed(market: Database, tree: Path, table: str) -> None:
    for name in NEW_TABLES:
        write(tree, name)
    migrate(market.url, directory=tree)
    refresh(market, NOW)
    (value,) = market.rows(
        f"SELECT value_columns[1] FROM kpi_engine.derived_tables WHERE table_name = '{table}'"
    )[0]
    for statement in (
        f"DELETE FROM kpi_engine.{table}",
        f"UPDATE kpi_engine.{table} SET {value} = NULL",
    ):
        market.execute(statement)
        assert table in wrong_rows(market)
        assert int(str(audited(market))) > 0
        assert wrong_rows(market) == {}
    assert audited(market) == 0


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        # In the middle and at the end of a table that is kept by difference.
        (
            "month_totals",
            "    count(*) FILTER (WHERE solicitud_facts.is_rejected) AS requests_rejected,",
            "    count(*) FILTER (WHERE solicitud_facts.nivel_actual > 1) AS escalated,\n"
            "    count(*) FILTER (WHERE solicitud_facts.is_rejected) AS requests_rejected,",
        ),
        (
            "month_totals",
            ") AS price_maximum\nFROM",
            ") AS price_maximum,\n    count(solicitud_facts.nivel_actual) AS levelled\nFROM",
        ),
        # In the middle of the facts.
        (
            "solicitud_facts",
            "    dated.local_day,\n    date_trunc",
            "    dated.local_day,\n    upper(dated.estado) AS upper_estado,\n    date_trunc",
        ),
        (
            "asesor_facts",
            "    src_asesores.usuario_id,",
            "    src_asesores.usuario_id,\n    1 AS one,",
        ),
    ],
)
def test_a_new_column_is_filled_by_computing_that_table_and_its_readers_again(
    market: Database, tree: Path, table: str, old: str, new: str
) -> None:
    edit(tree, table, old, new)
    column = (set(re.findall(r"AS (\w+)", new)) - set(re.findall(r"AS (\w+)", old))).pop()
    (path,) = tree.rglob(f"recomputed_{table}.sql")
    path.write_text(
        path.read_text().replace(
            "\nREVOKE",
            f"COMMENT ON COLUMN kpi_engine.recomputed_{table}.{column} IS 'New.';\n\nREVOKE",
        )
    )
    before = market.rows("SELECT * FROM analytics.mv_metricas_mensuales ORDER BY mes")
    unchanged = versions(market)
    migrate(market.url, directory=tree)
    # The views answer meanwhile, and so does the real-time view.
    assert market.rows("SELECT * FROM analytics.mv_metricas_mensuales ORDER BY mes") == before
    assert (
        market.rows(
            "SELECT * FROM analytics.v_metricas_mensuales_tiempo_real ORDER BY mes", today=NOW
        )
        == before
    )
    mode, reason = refresh(market, NOW)
    assert mode == "full"
    assert reason.startswith(f"the rules of {table}")
    assert wrong_rows(market) == {}
    moved = {name for name, version in versions(market).items() if version > unchanged[name]}
    assert moved == {table}
    assert market.rows(f"SELECT count({column}) > 0 FROM kpi_engine.{table}") == [(True,)]
    # Changes are noted meanwhile and after it.
    with market.session() as connection:
        change(connection, CHANGE_SEED, "A", TODAY)
    assert refresh(market, NOW)[0] == "incremental"
    assert wrong_rows(market) == {}
    assert view_differences(market, NOW) == []
    assert migrate(market.url, directory=tree) == []


def test_changes_that_wait_when_a_rule_changes_are_applied_with_it(
    market: Database, tree: Path
) -> None:
    edit(tree, "month_totals", "'ABIERTA'", "'ENVIADA'")
    with market.session() as connection:
        change(connection, CHANGE_SEED, "A", TODAY)
    migrate(market.url, directory=tree)
    assert refresh(market, NOW)[0] == "full"
    assert wrong_rows(market) == {}
    assert view_differences(market, NOW) == []
    assert refresh(market, NOW)[0] == "unchanged"


def test_a_table_whose_file_is_gone_is_dropped(market: Database, tree: Path) -> None:
    write(tree, "week_closings")
    migrate(market.url, directory=tree)
    refresh(market, NOW)
    (tree / "views" / "recomputed_week_closings.sql").unlink()
    reader = tree / "views" / "mv_closings.sql"
    reader.write_text(
        "CREATE MATERIALIZED VIEW mv_closings AS SELECT semana FROM kpi_engine.week_closings "
        "WITH NO DATA;\nCREATE UNIQUE INDEX mv_closings_semana ON mv_closings (semana);\n"
        "COMMENT ON MATERIALIZED VIEW mv_closings IS 'Una / One\nes: Una.\nen: One.';\n"
        "COMMENT ON COLUMN mv_closings.semana IS 'Una [fecha, none]\nes: Una.\nen: One.';\n"
        "GRANT SELECT ON mv_closings TO analytics_lector;\n"
    )
    with pytest.raises(UserError) as refused:
        migrate(market.url, directory=tree)
    assert str(refused.value) == (
        "derived table week_closings has no file any more, and analytics.mv_closings reads it; "
        "nothing was changed"
    )
    assert str(refused.value.hint).endswith(
        "Take what reads it away too, or put recomputed_week_closings.sql back."
    )
    assert "CASCADE" not in str(refused.value.hint)
    reader.unlink()
    assert "dropped derived table week_closings" in migrate(market.url, directory=tree)
    assert market.rows("SELECT count(*) FROM pg_class WHERE relname LIKE '%week\\_closings%'") == [
        (0,)
    ]
    assert refresh(market, NOW)[0] == "unchanged"


def test_what_a_file_forgets_to_revoke_is_open_to_nobody(market: Database, tree: Path) -> None:
    (tree / "views" / "recomputed_month_levels.sql").write_text(LEVELS)
    (tree / "functions" / "forgotten.sql").write_text(
        "CREATE OR REPLACE FUNCTION analytics.forgotten() RETURNS integer LANGUAGE sql "
        "AS $forgotten$ SELECT 1 $forgotten$;\n"
    )
    migrate(market.url, directory=tree)
    assert market.rows(
        "SELECT has_table_privilege('public', 'kpi_engine.recomputed_month_levels', 'SELECT'), "
        "has_table_privilege('public', 'kpi_engine.month_levels', 'SELECT'), "
        "has_function_privilege('public', 'analytics.forgotten()', 'EXECUTE')"
    ) == [(False, False, False)]


def test_the_generated_statements_can_be_looked_at(market: Database) -> None:
    shown = market.rows("SELECT table_name, purpose FROM analytics.derived_statements()")
    tables = {
        str(row[0]) for row in market.rows("SELECT table_name FROM kpi_engine.derived_tables")
    }
    assert {row[0] for row in shown} == tables
    assert len(shown) == 3 * len(tables)
    with market.session() as connection:
        for table, purpose, statement in connection.execute(
            "SELECT * FROM analytics.derived_statements()"
        ).fetchall():
            types = {"definition": "", "refresh": "(uuid[], date)", "rebuild": "(date)"}[purpose]
            name = f"{table}_{purpose}"
            connection.execute(f"PREPARE {name} {types} AS {statement}".encode())


REFUSED = {
    "p_upkeep must be key, difference or group": ("'group'", "'often'"),
    "must be columns of the view": ("ARRAY['semana']", "ARRAY['week']"),
    "needs p_source_view and p_entities": ("'group'", "'key'"),
    "p_extremes are for a table": (
        "ARRAY['semana']",
        "ARRAY['semana'], p_extremes => '{\"requests\": \"max\"}'",
    ),
    "must say min or max": (
        "'group', ARRAY['semana']",
        "'difference', ARRAY['semana'], p_extremes => '{\"requests\": \"most\"}'",
    ),
    "needs p_window_days, and no other one does: the lengths of its windows in days, as in "
    "p_window_days => ARRAY[30]": (
        "ARRAY['semana']",
        "ARRAY['semana'], p_window_days => ARRAY[7]",
    ),
    "has windows of 7 days": (
        "FROM kpi_engine.solicitud_facts\nWHERE",
        "FROM kpi_engine.solicitud_facts\nCROSS JOIN kpi_engine.window_end\n"
        "WHERE solicitud_facts.local_day >= window_end.today - 6 AND",
    ),
    "must not join them": (
        "FROM kpi_engine.solicitud_facts",
        "FROM kpi_engine.solicitud_facts INNER JOIN kpi_engine.month_totals USING (mes, offers)",
    ),
    "its query groups by 2 expression(s), and p_key_columns has 1": (
        "GROUP BY 1",
        "GROUP BY 1, solicitud_facts.nivel_actual",
    ),
    "its query reads the clock (CURRENT_DATE)": (
        "WHERE isfinite",
        "WHERE solicitud_facts.local_day < current_date AND isfinite",
    ),
    "its query reads public.asesores, whose changes it would not follow": (
        "count(*) AS",
        "count(*) + count((SELECT count(*) FROM public.asesores)) AS",
    ),
    "has a subquery in an expression": (
        "WHERE isfinite",
        "WHERE EXISTS (SELECT FROM kpi_engine.asesor_facts) AND isfinite",
    ),
    "its query joins derived tables, or one with itself: join them": (
        "FROM kpi_engine.solicitud_facts\n",
        "FROM kpi_engine.solicitud_facts INNER JOIN kpi_engine.solicitud_facts AS other "
        "ON other.mes = solicitud_facts.mes\n",
    ),
    "joins derived tables, or one with itself": (
        "FROM kpi_engine.solicitud_facts\n",
        "FROM kpi_engine.solicitud_facts, kpi_engine.solicitud_facts AS other\n",
    ),
    "joins derived tables, or one": (
        "FROM kpi_engine.solicitud_facts\n",
        "FROM (SELECT * FROM kpi_engine.solicitud_facts) AS solicitud_facts INNER JOIN "
        "(SELECT solicitud_facts.mes FROM kpi_engine.solicitud_facts) AS other USING (mes)\n",
    ),
    "its query has WITH: write a subquery in FROM": (
        "FROM kpi_engine.solicitud_facts\n",
        "FROM (WITH read AS (SELECT * FROM kpi_engine.solicitud_facts) SELECT * FROM read) "
        "AS solicitud_facts\n",
    ),
    "EXCEPT or INTERSECT: write UNION ALL": (
        "FROM kpi_engine.solicitud_facts\n",
        "FROM (SELECT * FROM kpi_engine.solicitud_facts EXCEPT "
        "SELECT * FROM kpi_engine.solicitud_facts) AS solicitud_facts\n",
    ),
    "its query has HAVING: it would hide a group that changed": (
        "GROUP BY 1;",
        "GROUP BY 1 HAVING count(*) > 1;",
    ),
    "its query has a condition or a join on what a subquery has grouped": (
        "FROM kpi_engine.solicitud_facts\nWHERE",
        "FROM (SELECT local_day, cliente_id, count(*) AS n, min(closing_seconds) AS closing_seconds"
        " FROM kpi_engine.solicitud_facts GROUP BY 1, 2) AS solicitud_facts\nWHERE n > 1 AND",
    ),
    "its query has a key that follows from local_day, which a subquery computes": (
        "FROM kpi_engine.solicitud_facts\nWHERE isfinite(solicitud_facts.local_day)",
        "FROM (SELECT cliente_id, min(local_day) AS local_day, min(closing_seconds) AS "
        "closing_seconds FROM kpi_engine.solicitud_facts GROUP BY 1) AS solicitud_facts",
    ),
    "its query selects from what is grouped, in a subquery": (
        "FROM kpi_engine.solicitud_facts\nWHERE",
        "FROM (SELECT * FROM (SELECT cliente_id, local_day, min(closing_seconds) AS "
        "closing_seconds FROM kpi_engine.solicitud_facts GROUP BY 1, 2) AS each_client) "
        "AS solicitud_facts\nWHERE",
    ),
    "its query unites what is grouped already": (
        "FROM kpi_engine.solicitud_facts\nWHERE",
        "FROM (SELECT local_day, max(closing_seconds) AS closing_seconds "
        "FROM kpi_engine.solicitud_facts GROUP BY 1 UNION ALL SELECT local_day, closing_seconds "
        "FROM kpi_engine.solicitud_facts) AS solicitud_facts\nWHERE",
    ),
    "its query groups nothing: group by the key": (
        "    count(*) AS requests,\n    percentile_disc(0.5) WITHIN GROUP "
        "(ORDER BY solicitud_facts.closing_seconds) AS closing_median\n"
        "FROM kpi_engine.solicitud_facts\nWHERE isfinite(solicitud_facts.local_day)\nGROUP BY 1;",
        "    1 AS requests,\n    solicitud_facts.closing_seconds AS closing_median\n"
        "FROM kpi_engine.solicitud_facts\nWHERE isfinite(solicitud_facts.local_day);",
    ),
    "its query groups in a subquery, and what that gives does not add up": (
        "    percentile_disc(0.5) WITHIN GROUP (ORDER BY solicitud_facts.closing_seconds)"
        " AS closing_median\nFROM kpi_engine.solicitud_facts\n",
        "    count(*) AS closing_median\n"
        "FROM (SELECT cliente_id, local_day FROM kpi_engine.solicitud_facts GROUP BY 1, 2) "
        "AS solicitud_facts\n",
    ),
    "its query has LIMIT, OFFSET or DISTINCT ON": ("GROUP BY 1;", "GROUP BY 1 LIMIT 5;"),
    "its query has a window function": ("count(*) AS", "sum(count(*)) OVER ()::bigint AS"),
    "has array_agg() or the like without": (
        "percentile_disc(0.5) WITHIN GROUP (ORDER BY solicitud_facts.closing_seconds)",
        "percentile_disc(0.5) WITHIN GROUP (ORDER BY solicitud_facts.closing_seconds) AS median,\n"
        "    string_agg(solicitud_facts.estado, ' ORDER BY (')",
    ),
    "has array_agg() or the like without ORDER BY": (
        "percentile_disc(0.5) WITHIN GROUP (ORDER BY solicitud_facts.closing_seconds)",
        "(array_agg(solicitud_facts.closing_seconds))[1]",
    ),
    "by difference it needs a column count(*)": (
        "    count(*) AS requests,\n    percentile_disc(0.5) WITHIN GROUP "
        "(ORDER BY solicitud_facts.closing_seconds)",
        "    coalesce(sum(solicitud_facts.offers), 0) AS requests,\n"
        "    coalesce(sum(solicitud_facts.closing_seconds), 0)",
    ),
    "column mes of its key is not the month of local_day": (
        "date_trunc('week', solicitud_facts.local_day::timestamp)::date AS semana",
        "date_trunc('month', '2026-01-31'::timestamp"
        " + solicitud_facts.closing_seconds * interval '1 s')::date AS mes",
    ),
    "column dia of its key is not the day of local_day": (
        "::date AS semana",
        "::date AS dia",
    ),
    "column mes of its key is not the month of local_day in each": (
        "date_trunc('week', solicitud_facts.local_day::timestamp)::date AS semana",
        "(date_trunc('month', solicitud_facts.local_day::timestamp) "
        "+ interval '1 month - 1 day')::date AS mes",
    ),
    "column dia of its key is not the day of local_day in each": (
        "date_trunc('week', solicitud_facts.local_day::timestamp)::date AS semana",
        "(solicitud_facts.local_day + 1) AS semana",
    ),
    "column dia of its key is not the day of local_day in each of its parts": (
        "date_trunc('week', solicitud_facts.local_day::timestamp)::date AS semana,\n"
        "    count(*) AS requests,\n    percentile_disc(0.5) WITHIN GROUP (ORDER BY "
        "solicitud_facts.closing_seconds) AS closing_median\nFROM kpi_engine.solicitud_facts\n",
        "solicitud_facts.semana, count(*) AS requests, max(solicitud_facts.closing_seconds) AS "
        "closing_median\nFROM (SELECT local_day, closing_seconds, local_day AS semana FROM "
        "kpi_engine.solicitud_facts UNION ALL SELECT local_day, closing_seconds, local_day + 1 "
        "FROM "
        "kpi_engine.solicitud_facts) AS solicitud_facts\n",
    ),
    "column dia of its key is not the day of local_day in": (
        "date_trunc('week', solicitud_facts.local_day::timestamp)::date AS semana,\n"
        "    count(*) AS requests,\n    percentile_disc(0.5) WITHIN GROUP (ORDER BY "
        "solicitud_facts.closing_seconds) AS closing_median\nFROM kpi_engine.solicitud_facts\n"
        "WHERE isfinite(solicitud_facts.local_day)",
        "listed.semana, count(*) AS requests, max(listed.seconds) AS closing_median\nFROM (SELECT "
        "local_day + 1, closing_seconds FROM kpi_engine.solicitud_facts) "
        "AS listed (semana, seconds)",
    ),
    "column closing_median is json, and two of its values can not be compared": (
        "percentile_disc(0.5) WITHIN GROUP (ORDER BY solicitud_facts.closing_seconds)",
        "json_agg(solicitud_facts.estado ORDER BY solicitud_facts.estado)",
    ),
    "column is_new has a name that the engine uses itself": ("requests", "is_new"),
    "its windows are conditions of local_day alone": (
        "count(*) AS requests,\n    percentile_disc(0.5) WITHIN GROUP (ORDER BY "
        "solicitud_facts.closing_seconds) AS closing_median\nFROM kpi_engine.solicitud_facts\n"
        "WHERE",
        "count(*) AS requests, min(window_end.today - solicitud_facts.local_day) "
        "AS closing_median\n"
        "FROM kpi_engine.solicitud_facts CROSS JOIN kpi_engine.window_end\n"
        "WHERE solicitud_facts.local_day >= window_end.today - 29 AND",
    ),
    "its windows are conditions of local_day": (
        "FROM kpi_engine.solicitud_facts\nWHERE",
        "FROM kpi_engine.solicitud_facts CROSS JOIN kpi_engine.window_end\nWHERE "
        "solicitud_facts.local_day >= date_trunc('month', window_end.today::timestamp)::date AND",
    ),
    "its windows are conditions of": (
        "FROM kpi_engine.solicitud_facts\nWHERE",
        "FROM kpi_engine.solicitud_facts CROSS JOIN kpi_engine.window_end\nWHERE "
        "solicitud_facts.mes BETWEEN window_end.today - 29 AND window_end.today AND",
    ),
    "has windows of 1, 7 days": (
        "FROM kpi_engine.solicitud_facts\nWHERE",
        "FROM kpi_engine.solicitud_facts CROSS JOIN kpi_engine.window_end\nWHERE "
        "solicitud_facts.local_day > window_end.today - 7 "
        "AND solicitud_facts.local_day < window_end.today AND",
    ),
    "it has windows, and what it reads (asesor_facts) has no local_day": (
        "date_trunc('week', solicitud_facts.local_day::timestamp)::date AS semana,\n"
        "    count(*) AS requests,\n    percentile_disc(0.5) WITHIN GROUP (ORDER BY "
        "solicitud_facts.closing_seconds) AS closing_median\nFROM kpi_engine.solicitud_facts\n"
        "WHERE isfinite(solicitud_facts.local_day)",
        "solicitud_facts.local_day AS semana, count(*) AS requests, count(*) AS closing_median\n"
        "FROM (SELECT registered_on AS local_day FROM kpi_engine.asesor_facts) AS solicitud_facts "
        "CROSS JOIN kpi_engine.window_end WHERE solicitud_facts.local_day >= window_end.today - 29",
    ),
    "it gives window_end another name": (
        "FROM kpi_engine.solicitud_facts\nWHERE",
        "FROM kpi_engine.solicitud_facts CROSS JOIN kpi_engine.window_end AS the_end\nWHERE "
        "solicitud_facts.local_day >= the_end.today - 29 AND",
    ),
    "notificacion_facts keeps 30 days, and a window of this table is longer": (
        "date_trunc('week', solicitud_facts.local_day::timestamp)::date AS semana,\n"
        "    count(*) AS requests,\n    percentile_disc(0.5) WITHIN GROUP (ORDER BY "
        "solicitud_facts.closing_seconds) AS closing_median\nFROM kpi_engine.solicitud_facts\n"
        "WHERE isfinite(solicitud_facts.local_day)",
        "notificacion_facts.asesor_id AS semana, count(*) AS requests, count(*) AS closing_median\n"
        "FROM kpi_engine.notificacion_facts CROSS JOIN kpi_engine.window_end "
        "WHERE notificacion_facts.local_day >= window_end.today - 44",
    ),
    "its query has random(…): what comes by chance": (
        "count(*) AS",
        "count(*) + random()::integer AS",
    ),
    "its query reads the clock (age(": (
        "count(*) AS",
        "count(age(solicitud_facts.local_day)) AS",
    ),
    "its query calls analytics.setting(text), which is not IMMUTABLE": (
        "WHERE isfinite",
        "WHERE length(analytics.setting('gate')) > 1 AND isfinite",
    ),
    "has 'today': PostgreSQL would read the clock once": (
        "WHERE isfinite",
        "WHERE solicitud_facts.local_day < 'today'::date AND isfinite",
    ),
    "its query has avg(double precision): that drifts": (
        "percentile_disc(0.5) WITHIN GROUP (ORDER BY solicitud_facts.closing_seconds)",
        "avg(solicitud_facts.closing_seconds::float)",
    ),
}

# By difference: a column, and what is said of it.
NOT_ADDITIVE = {
    "avg(solicitud_facts.offers)": "by difference a column is one sum() or count()",
    "coalesce(sum(solicitud_facts.offers), 0) / count(*)": "by difference a column is one sum()",
    "(sum(solicitud_facts.offers) + count(*))::integer": "by difference a column is one sum()",
    "coalesce(sum(solicitud_facts.offers), count(*), 0)": "by difference a column is one sum()",
    "coalesce(sum(solicitud_facts.offers), 1)": "by difference a column is one sum() or count()",
    "coalesce(sum(solicitud_facts.offers), 0) + 1": "by difference a column is one sum()",
    "count(DISTINCT solicitud_facts.cliente_id)": "by difference a column is one sum() or count()",
    "percentile_disc(0.5) WITHIN GROUP (ORDER BY solicitud_facts.offers)": "by difference a column",
    "sum(solicitud_facts.offers)": "a sum over nothing is 0: write coalesce(sum(…), 0)",
    "max(solicitud_facts.offers)": "p_extremes must name it",
    "coalesce(sum(solicitud_facts.offers), 0)::real": "sums of this type drift: make it numeric",
    "coalesce(sum(solicitud_facts.price_sum), 0)::bigint": "it rounds a sum: keep the sum here",
    "coalesce(sum(solicitud_facts.price_sum)::integer, 0)": "it rounds a sum: keep the sum here",
    "coalesce(sum(solicitud_facts.price_sum), 0)::numeric(12, 1)": "it rounds a sum",
}
ADDITIVE = (
    "coalesce(sum(solicitud_facts.offers), 0)",
    "count(*)::integer",
    "count(*) FILTER (WHERE solicitud_facts.is_accepted)",
    "coalesce(sum(solicitud_facts.offers) FILTER (WHERE solicitud_facts.is_accepted), 0)::integer",
    "coalesce((sum(solicitud_facts.offers))::bigint, 0)",
    # No request of a week has one, so that a group without any is sure to come.
    "coalesce(sum(solicitud_facts.offers) FILTER (WHERE solicitud_facts.offers > 50), 0)",
    "coalesce(sum(solicitud_facts.price_sum), 0)",
    "coalesce(sum(solicitud_facts.offers) FILTER (WHERE solicitud_facts.offers > 1), 0)",
    "coalesce(sum(CASE WHEN solicitud_facts.offers > 2 THEN 1 END), 0)",
    "count(nullif(solicitud_facts.offers, 0))",
)


def by_difference(expression: str) -> str:
    """Return a file that declares a table by difference, with a column of this expression."""
    text = re.sub(
        r"percentile_disc.*(?= AS closing_median)",
        expression.replace("\\", "\\\\"),
        NEW_TABLES["week_closings"],
    )
    return text.replace("'group'", "'difference'")


@pytest.mark.parametrize("expression", NOT_ADDITIVE)
@pytest.mark.takes_turns(2)
def test_what_does_not_add_up_is_refused_by_difference(
    unchanged_market: Database, tree: Path, expression: str
) -> None:
    path = tree / "views" / "recomputed_week_closings.sql"
    path.write_text(by_difference(expression))
    with pytest.raises(UserError, match=re.escape(NOT_ADDITIVE[expression])) as refused:
        migrate(unchanged_market.url, directory=tree)
    assert "derived table week_closings: column closing_median is " in str(refused.value)
    assert migrate(unchanged_market.url) == []


def test_what_adds_up_is_kept_right_by_difference(market: Database, tree: Path) -> None:
    columns = [f"total_{number}" for number in range(len(ADDITIVE))]
    listed = ",\n    ".join(
        f"{expression} AS {column}" for expression, column in zip(ADDITIVE, columns, strict=True)
    )
    comments = "".join(
        f"COMMENT ON COLUMN kpi_engine.recomputed_week_closings.{column} IS 'New.';\n"
        for column in columns
    )
    text = by_difference("count(*)").replace(
        "\nFROM kpi_engine", f",\n    {listed}\nFROM kpi_engine"
    )
    text = text.replace("SELECT kpi_engine.declare", f"{comments}SELECT kpi_engine.declare")
    (tree / "views" / "recomputed_week_closings.sql").write_text(text)
    migrate(market.url, directory=tree)
    refresh(market, NOW)
    with market.session() as connection:
        change(connection, CHANGE_SEED, "A", TODAY)
    assert refresh(market, NOW)[0] == "incremental"
    assert wrong_rows(market) == {}
    assert market.rows("SELECT count(*) > 3 FROM kpi_engine.week_closings") == [(True,)]


@pytest.mark.parametrize(
    "call",
    [
        "SELECT kpi_engine.declare_derived_table('week_closings', 'group', ARRAY['semana']);",
        "SELECT kpi_engine.declare_derived_table(\n    'week_closings', 'group',\n"
        "    ARRAY['semana'] ) ;",
        "SELECT kpi_engine.declare_derived_table(p_table_name => 'week_closings', "
        "p_upkeep => 'group', p_key_columns => ARRAY['semana']);",
    ],
)
def test_a_declaration_may_be_written_in_any_form_and_is_filled(
    market: Database, tree: Path, call: str
) -> None:
    text = NEW_TABLES["week_closings"]
    before, _, _ = text.partition("SELECT kpi_engine.declare")
    (tree / "views" / "recomputed_week_closings.sql").write_text(before + call + "\n")
    migrate(market.url, directory=tree)
    refresh(market, NOW)
    assert market.rows("SELECT count(*) > 3 FROM kpi_engine.week_closings") == [(True,)]
    assert wrong_rows(market) == {}
    migrate(market.url)


def test_a_declaration_that_no_file_is_known_to_make_is_refused(
    unchanged_market: Database, tree: Path
) -> None:
    text = NEW_TABLES["week_closings"].replace(
        "SELECT kpi_engine.declare", "DO $$ BEGIN PERFORM kpi_engine.declare"
    )
    (tree / "views" / "recomputed_week_closings.sql").write_text(text.rstrip() + " END $$;\n")
    with pytest.raises(UserError, match="no file is known to declare derived table week_closings"):
        migrate(unchanged_market.url, directory=tree)
    assert migrate(unchanged_market.url) == []


@pytest.mark.parametrize("table", ["settings", "day_totals_a"])
def test_a_derived_table_with_the_name_of_another_relation_is_refused_by_its_file(
    unchanged_market: Database, tree: Path, table: str
) -> None:
    text = NEW_TABLES["week_closings"].replace("week_closings", table)
    (tree / "views" / f"recomputed_{table}.sql").write_text(text)
    with pytest.raises(UserError) as refused:
        migrate(unchanged_market.url, directory=tree)
    assert str(refused.value) == (
        f"views/recomputed_{table}.sql failed; nothing was changed: derived table {table}: the "
        f"name kpi_engine.{table} is taken: give the table another one (SQLSTATE 22023)"
    )
    assert migrate(unchanged_market.url) == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "recomputed_other",
            NEW_TABLES["week_closings"].replace("recomputed_week_closings", "recomputed_other"),
            "sql/views/recomputed_other.sql declares derived table week_closings, which "
            "recomputed_week_closings defines",
        ),
        (
            "week_closings",
            NEW_TABLES["week_closings"].replace("recomputed_week_closings", "week_closings"),
            "sql/views/week_closings.sql declares derived table week_closings, which",
        ),
        (
            "recomputed_week_closings",
            NEW_TABLES["week_closings"].partition("SELECT kpi_engine.declare")[0],
            "sql/views/recomputed_week_closings.sql declares no derived table",
        ),
        (
            "mv_x",
            "CREATE VIEW mv_x AS SELECT 1 AS a;",
            "sql/views/mv_x.sql must be CREATE MATERIALIZED VIEW mv_x, without a schema",
        ),
        (
            "mv_x",
            "CREATE OR REPLACE VIEW analytics.mv_x AS SELECT 1 AS a;",
            "sql/views/mv_x.sql must be CREATE MATERIALIZED VIEW mv_x, without a schema",
        ),
        (
            "mv_x",
            "CREATE MATERIALIZED VIEW analytics.mv_x AS SELECT 1 AS a;",
            "sql/views/mv_x.sql must be CREATE MATERIALIZED VIEW mv_x, without a schema",
        ),
        ("v_x", "CREATE VIEW v_x AS SELECT 1 AS a;", "sql/views/v_x.sql makes v_x without a"),
        # The path of the first is 404 over HTTP. PostgreSQL makes the second in small letters.
        *(
            (
                name,
                f"CREATE MATERIALIZED VIEW {name} AS SELECT 1 AS a WITH NO DATA;",
                f"sql/views/{name}.sql: the name of a KPI view has only a to z, 0 to 9 and _",
            )
            for name in ("mv_hb_año", "mv_Ventas", "mv_", "mv_" + "a" * 60)
        ),
    ],
)
def test_a_file_of_a_wrong_form_is_refused(tree: Path, name: str, text: str, message: str) -> None:
    (tree / "views" / f"{name}.sql").write_text(text)
    with pytest.raises(UserError, match=f"^{re.escape(message)}.*; nothing was changed$"):
        load_objects(tree)


def test_a_long_name_of_a_kpi_view_leaves_room_for_those_that_follow_from_it(
    market: Database, tree: Path
) -> None:
    """62 characters are the most; two names may differ in the last one alone."""
    for last in "ab":
        name = "mv_" + "a" * 58 + last
        (tree / "views" / f"{name}.sql").write_text(
            f"CREATE MATERIALIZED VIEW {name} AS\n"
            "SELECT mes FROM kpi_engine.month_totals WITH NO DATA;\n"
            f"CREATE UNIQUE INDEX mv_long_{last} ON {name} (mes);\n"
            f"COMMENT ON MATERIALIZED VIEW {name} IS 'Una / One\nes: Una.\nen: One.';\n"
            f"COMMENT ON COLUMN {name}.mes IS 'Mes [fecha, none]\nes: Mes.\nen: Month.';\n"
            f"GRANT SELECT ON {name} TO analytics_lector;\n"
        )
    migrate(market.url, directory=tree)
    refresh(market, NOW)
    assert market.rows(f"SELECT count(*) > 1 FROM analytics.{name}") == [(True,)]
    migrate(market.url)


def test_a_comment_that_a_file_lost_is_missed(market: Database, tree: Path) -> None:
    write(tree, "week_closings")
    migrate(market.url, directory=tree)
    path = tree / "views" / "recomputed_week_closings.sql"
    text = path.read_text(encoding="utf-8")
    lost = "COMMENT ON COLUMN kpi_engine.recomputed_week_closings.requests IS 'Requests.';\n"
    assert lost in text
    for left in (text.replace(lost, ""), text.replace(lost, "").replace("count(*)", "count(1)")):
        path.write_text(left)
        with pytest.raises((UserError, psycopg.Error), match="has no COMMENT for column requests"):
            migrate(market.url, directory=tree)
    assert migrate(market.url)


@pytest.mark.parametrize("message", REFUSED)
@pytest.mark.takes_turns(2)
def test_a_declaration_that_could_not_be_kept_right_is_refused(
    unchanged_market: Database, tree: Path, message: str
) -> None:
    old, new = REFUSED[message]
    assert old in NEW_TABLES["week_closings"]
    text = NEW_TABLES["week_closings"].replace(old, new)
    if "window" in message and "function" not in message:
        days = 45 if "keeps 30 days" in message else 30
        text = text.replace(
            "ARRAY['semana']\n", f"ARRAY['semana'], p_window_days => ARRAY[{days}]\n"
        )
    if "of its key" in message:
        text = re.sub(r"\bsemana\b", "mes" if "mes" in message else "dia", text)
    if "by difference" in message or "add up" in message:
        text = text.replace("'group'", "'difference'")
    (tree / "views" / "recomputed_week_closings.sql").write_text(text)
    with pytest.raises(UserError, match=re.escape(message)):
        migrate(unchanged_market.url, directory=tree)
    assert migrate(unchanged_market.url) == []


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (
            "(SELECT max(src_asesores.confianza) FROM kpi_engine.src_asesores)",
            "its query reads kpi_engine.src_asesores, and a change there computes no row again: "
            "it is noted for entity asesor, which p_entities does not name. "
            "Join the two in the KPI view",
        ),
        (
            "(SELECT count(*) FROM public.ofertas)",
            "its query reads public.ofertas, whose changes it would not follow: it may read views",
        ),
        ("extract(EPOCH FROM now())", "its query reads the clock (now()"),
        (
            "(SELECT count(*) FROM kpi_engine.src_solicitudes AS other "
            "WHERE other.cliente_id = dated.cliente_id)",
            "it reads src_solicitudes twice, and a change of one row would not compute the rows",
        ),
    ],
)
def test_a_fact_that_would_not_follow_what_it_reads_is_refused(
    unchanged_market: Database, tree: Path, new: str, message: str
) -> None:
    edit(
        tree,
        "solicitud_facts",
        "    lines.price_minimum,",
        f"    {new} AS novelty,\n    lines.price_minimum,",
    )
    with pytest.raises(UserError, match=re.escape(f"derived table solicitud_facts: {message}")):
        migrate(unchanged_market.url, directory=tree)
    assert migrate(unchanged_market.url) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("'ciudad_origen', 'text', ''", "'ciudad_origen', 'texto', ''", "has the kind texto"),
        ("'ciudad_origen', 'text', ''", "'ciudad_origen', 'text', 'C'", "is needed in C"),
    ],
)
def test_a_row_of_the_contract_that_nothing_understands_is_refused(
    unchanged_market: Database, tree: Path, old: str, new: str, said: str
) -> None:
    (path,) = tree.rglob("source_contract.sql")
    assert old in path.read_text(encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=f"column ciudad_origen of solicitudes .*{said}"):
        migrate(unchanged_market.url, directory=tree)
    assert migrate(unchanged_market.url) == []


def test_an_instant_means_the_same_day_in_each_session(market: Database, tree: Path) -> None:
    text = NEW_TABLES["week_closings"]
    text = text.replace("count(*) AS requests", "count(*) FILTER (WHERE {}) AS requests").replace(
        "{}", "to_char(solicitud_facts.local_day::timestamptz, 'TZ') = 'UTC'"
    )
    (tree / "views" / "recomputed_week_closings.sql").write_text(text)
    migrate(market.url, directory=tree)
    for zone in ("Asia/Tokyo", "America/Bogota"):
        market.execute("UPDATE public.solicitudes SET updated_at = now()")
        with market.session() as connection:
            connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
            connection.execute(f"SET timezone = '{zone}'")
            connection.execute("SELECT * FROM analytics.refresh_all_mv(true)")
            row = connection.execute(
                "SELECT sum(requests) = (SELECT count(*) FROM kpi_engine.solicitud_facts "
                "WHERE isfinite(local_day)) FROM kpi_engine.week_closings"
            ).fetchone()
            assert row == (True,)
            assert connection.execute("SELECT analytics.audit()").fetchone() == (0,)


OFERTA_FACTS = """-- What a KPI needs to know of each offer.

CREATE OR REPLACE VIEW kpi_engine.recomputed_oferta_facts AS
SELECT
    src_ofertas.id AS oferta_id,
    src_ofertas.solicitud_id,
    src_ofertas.asesor_id
FROM kpi_engine.src_ofertas;

COMMENT ON VIEW kpi_engine.recomputed_oferta_facts IS 'Offers.';
COMMENT ON COLUMN kpi_engine.recomputed_oferta_facts.oferta_id IS 'The offer.';
COMMENT ON COLUMN kpi_engine.recomputed_oferta_facts.solicitud_id IS 'Its request.';
COMMENT ON COLUMN kpi_engine.recomputed_oferta_facts.asesor_id IS 'Its advisor.';

REVOKE ALL ON kpi_engine.recomputed_oferta_facts FROM public;

SELECT kpi_engine.declare_derived_table(
    'oferta_facts', 'key', ARRAY['oferta_id'],
    p_source_view => 'src_ofertas',
    p_entities => '{"solicitud": "solicitud_id"}'
);
"""


OTHER_FACTS = """-- Some facts.

CREATE OR REPLACE VIEW kpi_engine.recomputed_other_facts AS
SELECT
    src_{source}.id AS other_id,
    src_{source}.asesor_id,
    {column}
FROM kpi_engine.src_{source}
{rest};

COMMENT ON VIEW kpi_engine.recomputed_other_facts IS 'Facts.';
COMMENT ON COLUMN kpi_engine.recomputed_other_facts.other_id IS 'Its id.';
COMMENT ON COLUMN kpi_engine.recomputed_other_facts.asesor_id IS 'Its advisor.';
COMMENT ON COLUMN kpi_engine.recomputed_other_facts.{name} IS 'The rest.';

REVOKE ALL ON kpi_engine.recomputed_other_facts FROM public;

SELECT kpi_engine.declare_derived_table(
    'other_facts', 'key', ARRAY['other_id'],
    p_source_view => 'src_{source}',
    p_entities => '{entities}'{more}
);
"""
HISTORY = ("ofertas_historicas", '{"historica": "other_id"}')
AUDITS = ("auditorias_tiendas", '{"auditoria": "other_id", "asesor": "asesor_id"}')
DAY = "src_ofertas_historicas.fecha AS local_day"
ADVISORS = "JOIN kpi_engine.src_asesores ON src_asesores.id = src_auditorias_tiendas.asesor_id"
WINDOW = "CROSS JOIN kpi_engine.window_end WHERE {} >= window_end.today - 29"


@pytest.mark.parametrize(
    ("source", "column", "rest", "message"),
    [
        (HISTORY, DAY, WINDOW.format("src_ofertas_historicas.fecha"), None),
        (
            HISTORY,
            DAY,
            WINDOW.format("src_ofertas_historicas.fecha")
            + " AND src_ofertas_historicas.fecha <= window_end.today",
            "facts may leave out the rows before a window alone",
        ),
        (
            HISTORY,
            DAY,
            WINDOW.format("(src_ofertas_historicas.fecha - 5)"),
            "facts may leave out the rows before a window alone",
        ),
        (
            HISTORY,
            "src_ofertas_historicas.fecha AS won_on",
            WINDOW.format("src_ofertas_historicas.fecha"),
            "no column local_day",
        ),
        (
            HISTORY,
            "row_number() OVER (PARTITION BY src_ofertas_historicas.asesor_id) AS place",
            "",
            "its query has a window function",
        ),
        (HISTORY, "rank() OVER them AS place", "WINDOW them AS ()", "has a window function"),
        (AUDITS, "src_asesores.estado", f"LEFT {ADVISORS}", None),
        (AUDITS, "src_asesores.estado", ADVISORS, "So it leaves none out"),
        (
            AUDITS,
            "src_asesores.estado",
            f"LEFT {ADVISORS} WHERE src_asesores.estado = 'ACTIVO'",
            "So it leaves none out",
        ),
    ],
)
def test_facts_that_would_not_follow_their_rows_are_refused(
    unchanged_market: Database,
    tree: Path,
    source: tuple[str, str],
    column: str,
    rest: str,
    message: str | None,
) -> None:
    """Other rows decide what is in them, or whether a row is."""
    text = OTHER_FACTS.format(
        source=source[0],
        entities=source[1],
        column=column,
        name=re.split(r" AS |\.", column)[-1],
        rest=rest,
        more=",\n    p_window_days => ARRAY[30]" if "window_end" in rest else "",
    )
    (tree / "views" / "facts" / "recomputed_other_facts.sql").write_text(text)
    if message is None:
        assert migrate(unchanged_market.url, directory=tree) != []
    else:
        with pytest.raises(UserError, match=re.escape(message)):
            migrate(unchanged_market.url, directory=tree)
    migrate(unchanged_market.url)


def test_a_month_of_another_day_is_refused_by_difference_too(
    unchanged_market: Database, tree: Path
) -> None:
    """The audit of a month reads only the facts of its days, and took off what it did not see."""
    text = NEW_TABLES["week_closings"]
    text = re.sub(r"\bsemana\b", "mes", text).replace("'group'", "'difference'")
    text = text.replace("solicitud_facts.local_day::timestamp", "(local_day + 5)::timestamp")
    text = text.replace("date_trunc('week'", "date_trunc('month'")
    (tree / "views" / "recomputed_week_closings.sql").write_text(text)
    with pytest.raises(UserError, match="column mes of its key is not the month of local_day"):
        migrate(unchanged_market.url, directory=tree)
    assert migrate(unchanged_market.url) == []


def test_facts_whose_key_is_not_noted_are_refused(unchanged_market: Database, tree: Path) -> None:
    """A new row would never get into the table, and the audit would not miss it."""
    (tree / "views" / "facts" / "recomputed_oferta_facts.sql").write_text(OFERTA_FACTS)
    with pytest.raises(UserError, match="its key oferta_id must be what is noted of src_ofertas"):
        migrate(unchanged_market.url, directory=tree)
    assert migrate(unchanged_market.url) == []


@pytest.mark.parametrize("name", ["t_" + "x" * 51, "Hola", "año"])
def test_a_name_that_postgresql_would_cut_is_refused(
    unchanged_market: Database, tree: Path, name: str
) -> None:
    text = NEW_TABLES["week_closings"].replace("week_closings", name)
    (tree / "views" / f"recomputed_{name}.sql").write_text(text)
    with pytest.raises(UserError):
        migrate(unchanged_market.url, directory=tree)
    assert migrate(unchanged_market.url) == []


def test_another_key_under_the_same_name_is_refused(unchanged_market: Database, tree: Path) -> None:
    nivel = "solicitud_facts.nivel_actual"
    for old, new in (
        ("    part.marca,\n", f"    part.marca,\n    {nivel} AS nivel,\n"),
        ("solicitud_facts.mes, part.marca;", f"solicitud_facts.mes, part.marca, {nivel};"),
        ("ARRAY['mes', 'marca']", "ARRAY['mes', 'marca', 'nivel']"),
        (
            "\nREVOKE",
            "COMMENT ON COLUMN kpi_engine.recomputed_month_marcas.nivel IS 'L.';\n\nREVOKE",
        ),
    ):
        edit(tree, "month_marcas", old, new)
    with pytest.raises(UserError, match="its key is mes, marca, nivel, and was mes, marca before"):
        migrate(unchanged_market.url, directory=tree)
    assert migrate(unchanged_market.url) == []


def test_a_column_of_another_type_is_refused(unchanged_market: Database, tree: Path) -> None:
    edit(tree, "month_totals", "    count(*) AS requests,", "    count(*)::numeric AS requests,")
    with pytest.raises(UserError, match="column requests is numeric, and was bigint before"):
        migrate(unchanged_market.url, directory=tree)
    assert migrate(unchanged_market.url) == []


def test_a_column_that_is_gone_is_emptied_when_nobody_reads_it(
    market: Database, tree: Path
) -> None:
    for table in NEW_TABLES:
        write(tree, table)
    migrate(market.url, directory=tree)
    refresh(market, NOW)
    edit(tree, "month_cities", "    max(solicitud_facts.estado) AS last_estado\n", "")
    edit(tree, "month_cities", "AS clientes,\n", "AS clientes\n")
    edit(
        tree,
        "month_cities",
        "COMMENT ON COLUMN kpi_engine.recomputed_month_cities.last_estado IS "
        "'Last state in byte order.';\n",
        "",
    )
    migrate(market.url, directory=tree)
    assert refresh(market, NOW)[0] == "full"
    assert market.rows("SELECT count(last_estado), count(*) > 0 FROM kpi_engine.month_cities") == [
        (0, True)
    ]
    assert wrong_rows(market) == {}


@pytest.mark.parametrize(
    ("column", "expression", "reader"),
    [
        ("requests_rejected", "solicitud_facts.is_rejected", "mv_metricas_mensuales"),
        # Named in the body of a function only.
        ("requests_open", "solicitud_facts.estado = 'ABIERTA'", r"kpis_en_vivo\(\)"),
    ],
)
def test_a_column_that_is_gone_and_that_something_reads_is_refused(
    unchanged_market: Database, tree: Path, column: str, expression: str, reader: str
) -> None:
    edit(tree, "month_totals", f"    count(*) FILTER (WHERE {expression}) AS {column},\n", "")
    (path,) = tree.rglob("recomputed_month_totals.sql")
    text = path.read_text(encoding="utf-8")
    path.write_text(
        re.sub(rf"COMMENT ON COLUMN \S+\.{column} IS\s+'[^']*';\n", "", text), encoding="utf-8"
    )
    with pytest.raises(UserError, match=f"column {column} of derived table .*{reader} reads it"):
        migrate(unchanged_market.url, directory=tree)
    assert migrate(unchanged_market.url) == []


# Its key is NULL in the rows of level 3.
LEVELS = """
CREATE OR REPLACE VIEW kpi_engine.recomputed_month_levels AS
SELECT
    solicitud_facts.mes,
    nullif(solicitud_facts.nivel_actual, 3) AS nivel,
    count(*) AS requests
FROM kpi_engine.solicitud_facts
GROUP BY solicitud_facts.mes, nullif(solicitud_facts.nivel_actual, 3);
COMMENT ON VIEW kpi_engine.recomputed_month_levels IS 'Requests by level.';
COMMENT ON COLUMN kpi_engine.recomputed_month_levels.mes IS 'Month.';
COMMENT ON COLUMN kpi_engine.recomputed_month_levels.nivel IS 'Level.';
COMMENT ON COLUMN kpi_engine.recomputed_month_levels.requests IS 'Requests.';
SELECT kpi_engine.declare_derived_table('month_levels', 'difference', ARRAY['mes', 'nivel']);
"""
NULL_KEY = (
    "derived table month_levels: column nivel of its key is NULL in a row. In "
    "recomputed_month_levels.sql leave such rows out (WHERE … IS NOT NULL), or give them a value: "
    "coalesce(…). Then run make migrate and refresh"
)
TWO_ROWS = (
    "derived table solicitud_facts: its definition gives several rows with the same key "
    "(solicitud_id). Make recomputed_solicitud_facts.sql give one row for each key: what it joins "
    "must have one row for each. Then run make migrate and refresh"
)


def failed_refresh(database: Database) -> set[tuple[object, object]]:
    """Refresh; return the errors of the views."""
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
        return set(
            connection.execute(
                "SELECT error_message, error_sqlstate FROM analytics.refresh_log WHERE run_id = "
                "(SELECT max(run_id) FROM analytics.refresh_log) AND view_name IS NOT NULL"
            ).fetchall()
        )


def test_a_key_that_is_null_is_named_and_not_tried_again(market: Database, tree: Path) -> None:
    path = tree / "views" / "recomputed_month_levels.sql"
    path.write_text(LEVELS)
    migrate(market.url, directory=tree)
    assert failed_refresh(market) == {(NULL_KEY, "TA003")}
    with market.session() as connection:
        with pytest.raises(psycopg.Error, match=re.escape(NULL_KEY)) as ended:
            connection.execute("CALL analytics.rebuild()")
        assert ended.value.sqlstate == "TA003"
        connection.execute(
            "UPDATE analytics.scheduler_state SET scheduled_since = '2026-11-23 12:00:00-05'"
        )
        connection.execute("SET analytics.now = '2026-11-24 01:00:30-05'")
        connection.execute("CALL analytics.tick()")
        try:
            connection.execute("CALL analytics.work()")
        except psycopg.Error as error:
            assert error.sqlstate == "TA003"
        (job,) = connection.execute(
            "SELECT state, error LIKE %s FROM analytics.refresh_jobs", [f"%{NULL_KEY}%"]
        ).fetchall()
        assert job == ("ERROR", True)
        assert connection.execute("SELECT kpi_engine.retry_failed_refresh()").fetchone() == (None,)
    path.write_text(LEVELS.replace("\nGROUP", "\nWHERE solicitud_facts.nivel_actual <> 3\nGROUP"))
    migrate(market.url, directory=tree)
    refresh(market, "2026-11-24 12:00:00-05")
    assert wrong_rows(market) == {}
    # A NULL that comes later.
    path.write_text(LEVELS.replace(", 3)", ", 99)"))
    migrate(market.url, directory=tree)
    refresh(market, "2026-11-24 12:00:00-05")
    market.execute(
        "UPDATE public.solicitudes SET nivel_actual = 99 "
        "WHERE id = (SELECT min(id::text)::uuid FROM public.solicitudes)"
    )
    assert failed_refresh(market) == {(NULL_KEY, "TA003")}


def test_a_fact_with_two_rows_for_a_key_is_named(market: Database, tree: Path) -> None:
    edit(
        tree,
        "solicitud_facts",
        "LEFT JOIN parts ON parts.solicitud_id = dated.id;",
        "LEFT JOIN parts ON parts.solicitud_id = dated.id\n"
        "LEFT JOIN kpi_engine.src_repuestos_solicitados AS part\n"
        "    ON part.solicitud_id = dated.id AND part.marca_vehiculo = 'ZZ';",
    )
    edit(
        tree,
        "solicitud_facts",
        "dated.estado,\n    dated.ciudad",
        "dated.estado,\n    part.id AS part_id,\n    dated.ciudad",
    )
    edit(
        tree,
        "solicitud_facts",
        "\nREVOKE",
        "COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.part_id IS 'New.';\n\nREVOKE",
    )
    migrate(market.url, directory=tree)
    refresh(market, NOW)
    # Two parts of a request that is known.
    market.execute(
        "UPDATE public.repuestos_solicitados SET marca_vehiculo = 'ZZ' WHERE solicitud_id = ("
        "SELECT solicitud_id FROM public.repuestos_solicitados GROUP BY solicitud_id "
        "HAVING count(*) > 1 LIMIT 1)"
    )
    assert failed_refresh(market) == {(TWO_ROWS, "TA003")}
    with market.session() as connection, pytest.raises(psycopg.Error, match=re.escape(TWO_ROWS)):
        connection.execute("CALL analytics.rebuild()")


def test_a_site_notes_the_keys_of_facts_that_only_a_view_reads(
    market: Database, tree: Path
) -> None:
    (tree / "views" / "facts" / "recomputed_store_facts.sql").write_text(
        "CREATE OR REPLACE VIEW kpi_engine.recomputed_store_facts AS "
        "SELECT id AS auditoria_id, puntaje_confianza::numeric AS score "
        "FROM kpi_engine.src_auditorias_tiendas;\n"
        "COMMENT ON VIEW kpi_engine.recomputed_store_facts IS 'Scores.';\n"
        "COMMENT ON COLUMN kpi_engine.recomputed_store_facts.auditoria_id IS 'Its id.';\n"
        "COMMENT ON COLUMN kpi_engine.recomputed_store_facts.score IS 'Its score.';\n"
        "SELECT kpi_engine.declare_derived_table('store_facts', 'key', ARRAY['auditoria_id'],\n"
        "    p_source_view => 'src_auditorias_tiendas',\n"
        '    p_entities => \'{"auditoria": "auditoria_id"}\');\n',
        encoding="utf-8",
    )
    market.execute("SELECT analytics.set_setting('hub_days', '30')")
    migrate(market.url, directory=tree)
    refresh(market, NOW)
    refresh(market, NOW)
    market.execute(
        "UPDATE auditorias_tiendas SET puntaje_confianza = coalesce(puntaje_confianza, 0) + 1 "
        "WHERE id = (SELECT min(id::text)::uuid FROM auditorias_tiendas)"
    )
    assert refresh(market, NOW)[0] == "incremental"
    assert market.rows(
        "SELECT keys = ARRAY(SELECT min(id::text)::uuid FROM auditorias_tiendas) "
        "FROM kpi_engine.hub_changes WHERE table_name = 'store_facts'"
    ) == [(True,)]

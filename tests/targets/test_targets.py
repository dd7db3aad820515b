"""Targets by SQL: what can be set, who may, and which closed periods miss them."""

import psycopg
import pytest

from conftest import Database, Server, made_once
from database import farewell
from database.test_restore import documented, program
from golden_data import load_rich
from health.test_notifier import Hook, hook, once
from kpis.test_published import refresh
from migrate import migrate
from uninstall import uninstall

__all__ = ["hook"]

SYSTEM_SERVER_IS_ENOUGH = True

MONTHS = "mv_metricas_mensuales"
DAYS = "mv_embudo_operativo"
WEEKS = "mv_salud_marketplace"
# A request at an instant, made of another one.
ADD = (
    "INSERT INTO solicitudes SELECT made.* FROM (SELECT to_jsonb(solicitudes) AS row FROM "
    "solicitudes ORDER BY id LIMIT 1) AS one CROSS JOIN LATERAL jsonb_populate_record("
    "NULL::solicitudes, one.row || jsonb_build_object('id', gen_random_uuid(), "
    "'created_at', {})) AS made"
)
TARGETS = (
    "SELECT view_name, column_name, first_period::text, value::text, better FROM analytics.targets "
    "ORDER BY 1, 2, 3"
)
RESULTS = (
    "SELECT period::text, target, figure, is_missed, is_alert FROM analytics.target_results "
    "ORDER BY view_name, column_name, period"
)
ALERTS = (
    "SELECT subject, event FROM analytics.alert_outbox INNER JOIN analytics.alerts "
    "USING (alert_id) WHERE problem = 'target_missed' ORDER BY notice_id"
)


def setting(database: Database, value: str) -> None:
    database.execute(f"SELECT analytics.set_setting('target_alert', '{value}')")


def set_target(
    database: Database, *values: object, now: str | None = None, user: str | None = None
) -> None:
    with database.session() as connection:
        if now:
            connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
        if user:
            connection.execute(f"SET ROLE {user}")
        connection.execute(
            f"SELECT analytics.set_target({', '.join(['%s'] * len(values))})", list(values)
        )


# -- setting and removing ----------------------------------------------------------------------


def test_a_target_holds_from_its_period_until_the_next_one(migrated: Database) -> None:
    set_target(migrated, MONTHS, "tasa_aceptacion_pct", "2026-01-01", "60.50")
    set_target(migrated, MONTHS, "tasa_aceptacion_pct", "2026-07-01", 65)
    set_target(migrated, MONTHS, "ofertas_totales", "2026-03-01", 100)
    known = "SELECT first_period::text, next_from::text, value::text, better, stale FROM {}()"
    assert migrated.rows(known.format("kpi_engine.known_targets")) == [
        ("2026-03-01", None, "100", "up", None),
        ("2026-01-01", "2026-07-01", "60.5", "up", None),
        ("2026-07-01", None, "65", "up", None),
    ]
    set_target(migrated, MONTHS, "tasa_aceptacion_pct", "2026-07-01", 70)
    migrated.execute(
        f"SELECT analytics.remove_target('{MONTHS}', 'tasa_aceptacion_pct', '2026-01-01')"
    )
    assert migrated.rows(TARGETS) == [
        (MONTHS, "ofertas_totales", "2026-03-01", "100", None),
        (MONTHS, "tasa_aceptacion_pct", "2026-07-01", "70", None),
    ]


def test_the_direction_is_that_of_the_catalogue_or_the_given_one(migrated: Database) -> None:
    directions = "SELECT column_name, better FROM kpi_engine.known_targets() ORDER BY 1"
    set_target(migrated, WEEKS, "tasa_participacion_pct", "2026-01-05", 70, "up")
    set_target(migrated, WEEKS, "ratio_oferta_demanda", "2026-01-05", 15, "down")
    # The value changes, the direction that was given stays.
    set_target(migrated, WEEKS, "ratio_oferta_demanda", "2026-01-05", 16, "down")
    set_target(migrated, MONTHS, "solicitudes_expiradas", "2026-01-01", 5)
    assert migrated.rows(directions) == [
        ("ratio_oferta_demanda", "down"),
        ("solicitudes_expiradas", "down"),
        ("tasa_participacion_pct", "up"),
    ]


def test_the_author_is_the_login_and_the_same_target_again_keeps_its_instant(
    migrated: Database,
) -> None:
    shown = "SELECT set_by, set_at FROM analytics.targets"
    set_target(migrated, MONTHS, "ofertas_totales", "2026-01-01", 10, user="analytics_operador")
    ((author, at),) = migrated.rows(shown)
    # SET ROLE is no login.
    assert author == "postgres"
    set_target(migrated, MONTHS, "ofertas_totales", "2026-01-01", "10.0")
    assert migrated.rows(shown) == [("postgres", at)]
    set_target(migrated, MONTHS, "ofertas_totales", "2026-01-01", 11)
    assert migrated.rows(shown) != [("postgres", at)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("mv_x", "ofertas_totales", "2026-01-01", 1), "p_view_name must be one of mv_demanda"),
        ((None, "ofertas_totales", "2026-01-01", 1), "p_view_name must be one of mv_demanda"),
        (("v_kpis_en_vivo", "x", "2026-01-01", 1), "p_view_name must be one of mv_demanda"),
        ((MONTHS, "ofertas", "2026-01-01", 1), "p_column_name must be a column of mv_metricas"),
        ((MONTHS, "mes", "2026-01-01", 1), "p_column_name must be a column of mv_metricas"),
        ((MONTHS, None, "2026-01-01", 1), "p_column_name must be a column of mv_metricas"),
        (("mv_demanda_ciudades", "ciudad", "2026-01-01", 1), "p_column_name must be a column"),
        ((MONTHS, "ofertas_totales", "2026-01-02", 1), "p_first_period must be a month as YYYY-MM"),
        ((WEEKS, "densidad_ofertas", "2026-01-06", 1), "p_first_period must be the Monday"),
        ((MONTHS, "ofertas_totales", "infinity", 1), "p_first_period must be a month"),
        ((MONTHS, "ofertas_totales", "0001-01-01 BC", 1), "p_first_period must be a month"),
        ((DAYS, "solicitudes_creadas", None, 1), "p_first_period must be a day"),
        (("mv_ranking_asesores", "tasa_respuesta_pct", "infinity", 1), "p_first_period must be a"),
        ((MONTHS, "ofertas_totales", "2026-01-01", "NaN"), "p_value must be a number"),
        ((MONTHS, "ofertas_totales", "2026-01-01", "Infinity"), "p_value must be a number"),
        ((MONTHS, "ofertas_totales", "2026-01-01", "1e15"), "p_value must be a number"),
        ((MONTHS, "ofertas_totales", "2026-01-01", "0.1234567"), "p_value must be a number"),
        ((MONTHS, "ofertas_totales", "2026-01-01", None), "p_value must be a number"),
        ((MONTHS, "ofertas_totales", "2026-01-01", 1, "UP"), "p_better must be up or down"),
        ((MONTHS, "ofertas_totales", "2026-01-01", 1, "down"), "p_better must be up, or left out"),
        ((WEEKS, "ratio_oferta_demanda", "2026-01-05", 1), "p_better must be up .*no direction"),
    ],
)
def test_a_wrong_target_names_the_parameter_and_the_right_values(
    migrated: Database, values: tuple[object, ...], message: str
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=message):
        set_target(migrated, *values)
    assert migrated.rows(TARGETS) == []


def test_a_target_that_is_not_there_can_not_be_removed(migrated: Database) -> None:
    set_target(migrated, MONTHS, "ofertas_totales", "2026-01-01", 1)
    for values in (
        f"'{MONTHS}', 'ofertas_totales', '2026-02-01'",
        f"'{MONTHS}', 'solicitudes_creadas', '2026-01-01'",
        "NULL, NULL, NULL",
    ):
        with pytest.raises(psycopg.errors.NoDataFound, match="there is no target of column"):
            migrated.execute(f"SELECT analytics.remove_target({values})")
    assert len(migrated.rows(TARGETS)) == 1


def test_readers_read_targets_and_write_none(migrated: Database) -> None:
    set_target(migrated, MONTHS, "ofertas_totales", "2026-01-01", 1, user="analytics_operador")
    for role in ("analytics_lector", "analytics_operador"):
        with migrated.session() as connection:
            connection.execute(f"SET ROLE {role}")
            assert len(connection.execute(TARGETS).fetchall()) == 1
            connection.execute(RESULTS)
            for statement in (
                "DELETE FROM analytics.targets",
                "UPDATE analytics.targets SET value = 2",
                "DELETE FROM kpi_engine.targets",
                "DELETE FROM analytics.target_results",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
    for call in (
        f"set_target('{MONTHS}', 'ofertas_totales', '2026-01-01', 1)",
        f"remove_target('{MONTHS}', 'ofertas_totales', '2026-01-01')",
    ):
        with migrated.session() as connection:
            for role in ("analytics_lector", "analytics_anon", "analytics_scheduler"):
                connection.execute(f"SET ROLE {role}")
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"SELECT analytics.{call}")
    assert len(migrated.rows(TARGETS)) == 1


# -- closed periods ----------------------------------------------------------------------------

MARCH = "2026-03-20 01:00:00-05"
APRIL_CLOSED = "2026-05-06 01:00:00-05"


@pytest.fixture
def market(system_database: Database) -> Database:
    """The rich data, first published in March 2026."""
    made_once(system_database, "march", make_market)
    return system_database


def make_market(database: Database) -> None:
    load_rich(database.url)
    refresh(database, MARCH)


def april(database: Database, column: str = "solicitudes_creadas") -> int:
    ((figure,),) = database.rows(
        f"SELECT {column} FROM analytics.{MONTHS} WHERE mes = '2026-04-01'"
    )
    assert isinstance(figure, int)
    return figure


def close_april(database: Database) -> None:
    database.execute(ADD.format("'2026-05-02 10:00:00-05'"))
    refresh(database, APRIL_CLOSED)


def test_a_closed_period_that_misses_is_one_alert_and_later_ones_are_others(
    market: Database,
) -> None:
    setting(market, "all")
    figure = april(market)
    set_target(market, MONTHS, "solicitudes_creadas", "2026-01-01", figure + 1, now=MARCH)
    # The target is reached by the same figure.
    set_target(
        market, MONTHS, "ofertas_totales", "2026-01-01", april(market, "ofertas_totales"), now=MARCH
    )
    close_april(market)
    for _ in range(3):
        market.rows("SELECT kpi_engine.update_alerts()", APRIL_CLOSED)
        refresh(market, APRIL_CLOSED, force=True)
    # March closed on 6 April, after the target was set. January and February did before.
    reported = {
        row[0]: row[1:]
        for row in market.rows(
            "SELECT period::text, figure, is_missed, is_alert FROM analytics.target_results "
            "WHERE column_name = 'solicitudes_creadas' ORDER BY 1"
        )
    }
    assert list(reported) == ["2026-03-01", "2026-04-01"]
    assert reported["2026-04-01"] == (figure, True, True)
    (others,) = market.rows(
        "SELECT bool_or(is_alert), count(*) FROM analytics.target_results "
        "WHERE column_name = 'ofertas_totales' AND period = '2026-04-01'"
    )
    assert others == (False, 1)
    expected = [
        (f"{MONTHS}.{column} {period}", "raised")
        for column, period in market.rows(
            "SELECT column_name, period::text FROM analytics.target_results WHERE is_missed "
            "ORDER BY 1, 2"
        )
    ]
    assert (f"{MONTHS}.solicitudes_creadas 2026-04-01", "raised") in expected
    assert sorted(market.rows(ALERTS)) == expected
    (problem,) = [
        str(message)
        for (message,) in market.rows(
            "SELECT message FROM analytics.health_problems() WHERE problem = 'target_missed' "
            "AND message LIKE '%2026-04%'",
            APRIL_CLOSED,
        )
    ]
    assert problem.startswith(
        f"Solicitudes creadas: {figure} in the closed month 2026-04, the target is "
        f"{figure + 1} or more ({MONTHS}.solicitudes_creadas)."
    )
    # A day later it is over, without a notice: the period stays missed.
    market.rows("SELECT kpi_engine.update_alerts()", "2026-05-07 01:00:01-05")
    assert market.rows(
        "SELECT count(*) FROM analytics.alerts WHERE problem = 'target_missed' "
        "AND cleared_at IS NULL"
    ) == [(0,)]
    # A clock that goes back tells nothing twice.
    market.rows("SELECT kpi_engine.update_alerts()", APRIL_CLOSED)
    assert sorted(market.rows(ALERTS)) == expected
    # May is another period.
    market.execute(ADD.format("'2026-06-02 10:00:00-05'"))
    refresh(market, "2026-06-06 01:00:00-05")
    market.rows("SELECT kpi_engine.update_alerts()", "2026-06-06 01:00:00-05")
    may = [row for row in market.rows(RESULTS) if row[0] == "2026-05-01" and row[3]]
    assert len(market.rows(ALERTS)) == len(expected) + len(may)


def test_a_miss_of_a_view_that_is_for_operators_is_told_without_its_figure(
    market: Database,
) -> None:
    setting(market, "all")
    figure = april(market)
    set_target(market, MONTHS, "solicitudes_creadas", "2026-01-01", 987654, now=MARCH)
    close_april(market)
    market.execute(f"REVOKE SELECT ON analytics.{MONTHS} FROM analytics_lector")
    told = "\n".join(
        str(message)
        for (message,) in market.rows(
            "SELECT message FROM analytics.health_problems() WHERE problem = 'target_missed'",
            APRIL_CLOSED,
        )
    )
    assert "Solicitudes creadas: another figure in the closed month 2026-04" in told
    assert str(figure) not in told


def test_a_restatement_changes_no_result(market: Database) -> None:
    setting(market, "all")
    figure = april(market)
    set_target(market, MONTHS, "solicitudes_creadas", "2026-04-01", figure + 1, now=MARCH)
    close_april(market)
    before = market.rows(RESULTS)
    assert before == [("2026-04-01", figure + 1, figure, True, True)]
    market.execute(ADD.format("'2026-04-10 10:00:00-05'"))
    refresh(market, "2026-05-07 01:00:00-05")
    assert april(market) == figure + 1
    assert market.rows(RESULTS) == before
    assert market.rows(
        "SELECT count(*) FROM analytics.restatements WHERE period = '2026-04-01' "
        f"AND view_name = '{MONTHS}' AND column_name = 'solicitudes_creadas'"
    ) == [(1,)]


def test_the_figure_is_the_reported_one(market: Database) -> None:
    """A request of April that the closing refresh itself finds is not in what was reported."""
    setting(market, "all")
    figure = april(market)
    set_target(market, MONTHS, "solicitudes_creadas", "2026-04-01", figure + 1, now=MARCH)
    refresh(market, "2026-05-01 01:00:00-05")
    market.execute(ADD.format("'2026-04-10 10:00:00-05'"))
    close_april(market)
    assert april(market) == figure + 1
    assert market.rows(RESULTS) == [("2026-04-01", figure + 1, figure, True, True)]


@pytest.mark.parametrize("change", ["value", "remove", "later"])
def test_a_target_that_is_changed_or_removed_ends_its_alerts_for_good(
    market: Database, change: str
) -> None:
    setting(market, MONTHS)
    figure = april(market)
    set_target(market, MONTHS, "solicitudes_creadas", "2026-04-01", figure + 1, now=MARCH)
    close_april(market)
    market.rows("SELECT kpi_engine.update_alerts()", APRIL_CLOSED)
    told = market.rows(ALERTS)
    assert told == [(f"{MONTHS}.solicitudes_creadas 2026-04-01", "raised")]
    if change == "value":
        set_target(market, MONTHS, "solicitudes_creadas", "2026-04-01", figure, now=APRIL_CLOSED)
    elif change == "remove":
        market.execute(
            f"SELECT analytics.remove_target('{MONTHS}', 'solicitudes_creadas', '2026-04-01')"
        )
    else:
        set_target(market, MONTHS, "solicitudes_creadas", "2026-05-01", 1, now=APRIL_CLOSED)
    open_ones = (
        "SELECT count(*) FROM analytics.alerts WHERE problem = 'target_missed' "
        "AND cleared_at IS NULL"
    )
    market.rows("SELECT kpi_engine.update_alerts()", APRIL_CLOSED)
    # Another target of later periods changes nothing about April.
    assert market.rows(open_ones) == [(1 if change == "later" else 0,)]
    set_target(market, MONTHS, "solicitudes_creadas", "2026-04-01", figure + 1, now=APRIL_CLOSED)
    refresh(market, APRIL_CLOSED, force=True)
    market.rows("SELECT kpi_engine.update_alerts()", APRIL_CLOSED)
    assert market.rows(ALERTS) == told


def test_periods_that_closed_before_the_target_was_set_have_no_result(market: Database) -> None:
    setting(market, "all")
    close_april(market)
    set_target(market, MONTHS, "solicitudes_creadas", "2026-01-01", 100000, now=APRIL_CLOSED)
    market.execute(ADD.format("'2026-05-08 10:00:00-05'"))
    refresh(market, "2026-05-09 01:00:00-05")
    assert market.rows(RESULTS) == []


@pytest.mark.parametrize("first", ["2026-04-01", "2026-03-01"])
def test_a_target_that_changes_before_the_refresh_that_closes_its_period(
    market: Database, first: str
) -> None:
    """April closes at midnight. Then somebody changes its target, or sets another one."""
    set_target(market, MONTHS, "solicitudes_creadas", first, 100000, now=MARCH)
    refresh(market, "2026-05-05 01:00:00-05")
    set_target(
        market, MONTHS, "solicitudes_creadas", "2026-04-01", 99999, now="2026-05-06 00:30:00-05"
    )
    close_april(market)
    assert [row[:2] for row in market.rows(RESULTS)][-1:] == [("2026-04-01", 99999)]


@pytest.mark.parametrize("value", ["off", "mv_finanzas_mensuales"])
def test_without_the_setting_a_miss_is_noted_and_is_no_alert(market: Database, value: str) -> None:
    if value != "off":
        setting(market, value)
    set_target(market, MONTHS, "solicitudes_creadas", "2026-04-01", 100000, now=MARCH)
    close_april(market)
    assert [row[3:] for row in market.rows(RESULTS)] == [(True, False)]
    # Turned on later, it tells nothing of the past.
    setting(market, "all")
    market.rows("SELECT kpi_engine.update_alerts()", APRIL_CLOSED)
    assert market.rows(ALERTS) == []


def test_a_period_without_a_row_is_what_the_catalogue_fills_in(market: Database) -> None:
    """A day without requests has 0 requests and no median."""
    setting(market, "all")
    day = "2030-01-05"
    for column, better in (("solicitudes_creadas", None), ("ttfo_mediana_seg", None)):
        set_target(market, DAYS, column, day, 5, better, now="2030-01-04 12:00:00-05")
    market.execute(ADD.format("'2030-01-04 10:00:00-05'"), ADD.format("'2030-01-06 10:00:00-05'"))
    refresh(market, "2030-01-07 01:00:00-05")
    market.execute(ADD.format("'2030-01-10 10:00:00-05'"))
    refresh(market, "2030-01-11 01:00:00-05")
    assert market.rows(RESULTS) == [(day, 5, 0, True, True), (day, 5, None, None, False)]


def test_views_with_other_keys_have_targets_and_no_alerts(market: Database) -> None:
    setting(market, "all")
    for view, column, first in (
        ("mv_demanda_ciudades", "solicitudes", "2026-01-01"),
        ("mv_embudo_niveles", "solicitudes", "2026-01-01"),
        ("mv_ranking_asesores", "tasa_respuesta_pct", "2026-01-15"),
    ):
        set_target(market, view, column, first, 100000, now=MARCH)
    close_april(market)
    assert market.rows(
        "SELECT count(*) > 0 FROM kpi_engine.closings WHERE view_name = 'mv_demanda_ciudades' "
        "AND period = '2026-04-01'"
    ) == [(True,)]
    assert market.rows(RESULTS) == []
    for value in (
        "mv_demanda_ciudades",
        f"{MONTHS}, mv_ranking_asesores",
        "mv_x",
        "on",
        "",
        "all,",
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
            setting(market, value)
        assert "mv_embudo_operativo, mv_finanzas_mensuales, mv_metricas_mensuales" in str(
            caught.value.diag.message_hint
        )
    setting(market, f"{MONTHS},{DAYS}, {WEEKS}")


# -- nothing breaks, nothing is slow -----------------------------------------------------------


def test_a_fault_of_the_targets_stops_no_publish(market: Database) -> None:
    setting(market, "all")
    set_target(market, MONTHS, "solicitudes_creadas", "2026-04-01", 100000, now=MARCH)
    market.execute("ALTER TABLE kpi_engine.target_results RENAME TO elsewhere")
    with market.session() as connection:
        said: list[str] = []
        connection.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
        connection.execute("SELECT set_config('analytics.now', %s, false)", [APRIL_CLOSED])
        connection.execute(ADD.format("'2026-05-02 10:00:00-05'"))
        rows = connection.execute("SELECT * FROM analytics.refresh_all_mv()").fetchall()
    assert {row[1] for row in rows} == {"SUCCESS"}
    assert any("in comparing view mv_metricas_mensuales with its targets" in line for line in said)
    market.execute("ALTER TABLE kpi_engine.elsewhere RENAME TO target_results")
    # The next publish makes up for it.
    market.execute(ADD.format("'2026-05-03 10:00:00-05'"))
    refresh(market, "2026-05-06 02:00:00-05")
    assert [row[0] for row in market.rows(RESULTS)] == ["2026-04-01"]


def test_without_targets_a_publish_reads_nothing_but_that(market: Database) -> None:
    def read() -> set[object]:
        """Return the tables that the end of a publish reads."""
        with market.session() as connection, connection.transaction():
            connection.execute("SELECT kpi_engine.note_target_results('mv_metricas_mensuales', 1)")
            return {
                row[0]
                for row in connection.execute(
                    "SELECT relname::text FROM pg_stat_xact_all_tables "
                    "WHERE schemaname IN ('analytics', 'kpi_engine') "
                    "AND coalesce(seq_scan, 0) + coalesce(idx_scan, 0) > 0"
                ).fetchall()
            }

    assert read() == {"targets"}
    set_target(market, MONTHS, "tasa_aceptacion_pct", "2026-01-01", "60.50")
    assert {"targets", "closings"} <= read()


# -- the data of users -------------------------------------------------------------------------


def test_a_target_whose_view_or_column_is_gone_is_stale_and_stops_nothing(
    market: Database,
) -> None:
    setting(market, "all")
    set_target(market, "mv_finanzas_mensuales", "ticket_promedio", "2026-01-01", 5, now=MARCH)
    set_target(market, MONTHS, "solicitudes_creadas", "2026-01-01", 100000, now=MARCH)
    set_target(market, WEEKS, "ratio_oferta_demanda", "2026-01-05", 15, "up", now=MARCH)
    market.execute(
        "DROP MATERIALIZED VIEW analytics.mv_finanzas_mensuales CASCADE",
        f"ALTER MATERIALIZED VIEW analytics.{MONTHS} RENAME COLUMN solicitudes_creadas TO others",
        "UPDATE kpi_engine.targets SET better = NULL",
    )
    assert market.rows(
        "SELECT status, message, statement FROM analytics.doctor('settings') "
        "WHERE check_name = 'targets' ORDER BY message"
    ) == [
        (
            "warning",
            "the target of mv_finanzas_mensuales.ticket_promedio from 2026-01-01 counts for "
            "nothing: there is no KPI view mv_finanzas_mensuales",
            "SELECT analytics.remove_target('mv_finanzas_mensuales', 'ticket_promedio', "
            "'2026-01-01');",
        ),
        (
            "warning",
            f"the target of {MONTHS}.solicitudes_creadas from 2026-01-01 counts for nothing: "
            f"{MONTHS} has no column solicitudes_creadas",
            f"SELECT analytics.remove_target('{MONTHS}', 'solicitudes_creadas', '2026-01-01');",
        ),
        (
            "warning",
            f"the target of {WEEKS}.ratio_oferta_demanda from 2026-01-05 counts for nothing: "
            f"column ratio_oferta_demanda of {WEEKS} has no direction in the catalogue any more",
            f"SELECT analytics.remove_target('{WEEKS}', 'ratio_oferta_demanda', '2026-01-05');",
        ),
    ]
    for (statement,) in market.rows(
        "SELECT statement FROM analytics.doctor('settings') WHERE check_name = 'targets'"
    ):
        market.execute(str(statement))
    assert market.rows(
        "SELECT status, message FROM analytics.doctor('settings') WHERE check_name = 'targets'"
    ) == [("ok", "0 targets")]


def test_a_dump_and_a_rebuild_keep_targets_results_and_notes(
    market: Database, system_server: Server
) -> None:
    set_target(market, MONTHS, "solicitudes_creadas", "2026-04-01", 100000, now=MARCH)
    close_april(market)
    market.execute("SELECT analytics.add_note('2026-03-12', 'nuevos precios', NULL)")
    queries = [f"SELECT * FROM analytics.{table}" for table in ("targets", "notes")]
    queries.append("SELECT * FROM analytics.target_results WHERE run_id = 2")
    before = [market.rows(query) for query in queries]
    assert all(before)
    market.execute("CALL analytics.rebuild()")
    migrate(market.url)
    assert [market.rows(query) for query in queries] == before
    path = market.cluster.location / f"{market.name}.dump"
    program(market.cluster, market.url, "pg_dump", "-Fc", "-f", path)
    restored = Database(system_server.cluster, system_server.new_name("restored"))
    try:
        documented(system_server.cluster, restored.name, path)
        assert [restored.rows(query) for query in queries] == before
        # Numbers go on where they were.
        assert restored.rows("SELECT analytics.add_note('2026-03-13', 'otra', NULL)") == [(2,)]
    finally:
        Database(system_server.cluster, "postgres").execute(
            f"DROP DATABASE IF EXISTS {restored.name}"
        )
        path.unlink()


def test_uninstall_says_what_goes(migrated: Database) -> None:
    set_target(migrated, MONTHS, "ofertas_totales", "2026-01-01", 1)
    migrated.execute(
        "SELECT analytics.add_note('2026-03-12', 'nuevos precios')",
        "SELECT analytics.add_note('2026-03-13', 'otros precios')",
    )
    with migrated.session() as connection:
        lost = farewell.losses(connection)
    assert (
        "lost: targets, 1 row(s); to keep them, before: \\copy kpi_engine.targets TO "
        "'targets.csv' CSV HEADER"
    ) in lost
    assert [line for line in lost if line.startswith("lost: notes, 2 row(s)")]
    assert uninstall(migrated.url) is not None
    assert migrated.rows("SELECT to_regclass('kpi_engine.targets')") == [(None,)]


# -- as it is in production --------------------------------------------------------------------


def make_missed(database: Database) -> None:
    """A day misses its target: published a week ago with the target, and closed now."""
    load_rich(database.url)
    database.execute(ADD.format("now() - interval '8 days'"))
    setting(database, DAYS)
    with database.session() as connection:
        connection.execute(
            "SELECT set_config('analytics.now', (now() - interval '7 days')::text, false)"
        )
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
        connection.execute(
            "SELECT analytics.set_target(%s, 'solicitudes_creadas', "
            "((now() - interval '8 days') AT TIME ZONE 'America/Bogota')::date, 1000)",
            [DAYS],
        )
    database.execute(ADD.format("now()"), "SELECT * FROM analytics.refresh_all_mv()")


def test_a_missed_target_reaches_a_webhook_once(system_database: Database, hook: Hook) -> None:
    database = system_database
    make_missed(database)
    ((day, figure),) = database.rows(
        f"SELECT dia::text, solicitudes_creadas FROM analytics.{DAYS} WHERE dia = "
        "((now() - interval '8 days') AT TIME ZONE 'America/Bogota')::date"
    )
    for _ in range(3):
        database.execute("CALL analytics.tick()")
        assert once(database.url, ALERT_WEBHOOK_URL=hook.url)[0] == 0
        database.execute("SELECT * FROM analytics.refresh_all_mv(true)")
    posts = [body for _, body in hook.posts if body["problem"] == "target_missed"]
    assert {body["event"] for body in posts} == {"raised"}
    missed = [row[0] for row in database.rows(RESULTS)]
    # That day, and those that closed since.
    assert missed[0] == day
    assert len(missed) >= 2
    assert sorted(body["message"].partition("the closed day ")[2][:10] for body in posts) == missed
    (post,) = [body for body in posts if str(day) in body["message"]]
    assert post["severity"] == "degraded"
    assert post["message"].startswith(
        f"Solicitudes creadas: {figure} in the closed day {day}, the target is 1000 or more "
        f"({DAYS}.solicitudes_creadas)."
    )
    shown = "SELECT (api.metrics())::text"
    assert 'teloo_analytics_problem{name="target_missed"} 1' in str(database.rows(shown))

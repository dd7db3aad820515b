"""refresh_all_mv() and its surroundings: failures, locks, readers, clocks, roles, the log."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from conftest import KPI_VIEWS, Database
from migrate import migrate
from oracle_views import NINE

SERVERS_TAKE_TURNS = True
SUCCESSES = [(view, "SUCCESS") for view in NINE]
ADVISOR = """
INSERT INTO public.usuarios (id, nombre, apellido, telefono)
VALUES ('00000000-0000-0000-0000-000000000001', 'Ana', 'Gómez', '300');
INSERT INTO public.asesores (id, usuario_id, ciudad, departamento, punto_venta)
VALUES ('00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-000000000001',
    'Bogotá', 'Cundinamarca', 'Centro');
"""
# What is said of a view whose query divides by 0.
ZERO = (
    "division by zero: in its query write nullif(…, 0) around the divisor, or "
    "kpi_engine.percentage(part, whole)"
)
# A view that fails when the divisor is 0.
FRAGILE = (
    "CREATE TABLE public.control (divisor integer)",
    "INSERT INTO public.control VALUES (1)",
    "GRANT SELECT ON public.control TO analytics_owner",
    "CREATE MATERIALIZED VIEW analytics.mv_fragil AS SELECT 100 / divisor AS value "
    "FROM public.control",
    "CREATE UNIQUE INDEX ON analytics.mv_fragil (value)",
    "ALTER MATERIALIZED VIEW analytics.mv_fragil OWNER TO analytics_owner",
)


def refresh(database: Database) -> list[tuple[object, ...]]:
    return database.rows("SELECT view_name, refresh_status FROM refresh_all_mv()")


def test_view_that_fails_keeps_its_contents_and_does_not_stop_the_others(
    migrated: Database,
) -> None:
    migrated.execute(*FRAGILE, ADVISOR)
    assert refresh(migrated) == [("mv_fragil", "SUCCESS"), *SUCCESSES]
    migrated.execute(
        "UPDATE public.control SET divisor = 0",
        "UPDATE public.asesores SET ciudad = 'Cali'",
    )
    rows = migrated.rows("SELECT * FROM refresh_all_mv()")
    fragile = next(row for row in rows if row[0] == "mv_fragil")
    assert fragile[1] == "ERROR"
    assert fragile[3:] == (ZERO, None, "22012")
    assert [row[:2] for row in rows if row[0] != "mv_fragil"] == SUCCESSES
    assert migrated.rows("SELECT value FROM analytics.mv_fragil") == [(100,)]
    assert migrated.rows("SELECT ciudad FROM mv_ranking_asesores") == [("Cali",)]
    assert migrated.rows(
        "SELECT view_name, refresh_status, error_sqlstate, error_message "
        "FROM analytics.refresh_log WHERE run_id = 2 ORDER BY log_id"
    ) == [
        ("mv_fragil", "ERROR", "22012", ZERO),
        *((view, "SUCCESS", None, None) for view in NINE),
        (None, "ERROR", None, "1 of 10 views failed: mv_fragil"),
    ]
    first, second = migrated.rows(
        "SELECT last_success_at FROM analytics.view_state "
        "WHERE view_name IN ('mv_fragil', 'mv_ranking_asesores') ORDER BY view_name"
    )
    assert first < second
    # It is tried again, and succeeds, although nothing else changed.
    migrated.execute("UPDATE public.control SET divisor = 2")
    assert refresh(migrated) == [("mv_fragil", "SUCCESS"), *SUCCESSES]
    assert migrated.rows("SELECT value FROM analytics.mv_fragil") == [(50,)]


def test_servers_log_tells_start_end_and_failures(migrated: Database) -> None:
    migrated.execute(*FRAGILE, "UPDATE public.control SET divisor = 0")
    refresh(migrated)
    log = [line for line in migrated.cluster.log_tail(60).splitlines() if migrated.name in line]
    text = "\n".join(log)
    assert "LOG:  teloo-analytics: refresh 1 started (manual by postgres)" in text
    assert (
        f"WARNING:  teloo-analytics: ERROR in refresh 1 of view mv_fragil: {ZERO} "
        "(SQLSTATE 22012)" in text
    )
    assert (
        f"LOG:  teloo-analytics: refresh 1 ended: ERROR, full (it was never built), "
        f"{len(KPI_VIEWS) + 1} view(s)" in text
    )


def test_run_that_is_rolled_back_leaves_its_lines_in_the_servers_log(migrated: Database) -> None:
    with migrated.connect(autocommit=False) as connection:
        connection.execute("SELECT * FROM refresh_all_mv()")
        connection.rollback()
    assert migrated.rows("SELECT count(*) FROM analytics.refresh_log") == [(0,)]
    assert any(
        migrated.name in line and "refresh 1 ended: SUCCESS" in line
        for line in migrated.cluster.log_tail(60).splitlines()
    )


def test_second_refresh_says_at_once_that_one_is_running(migrated: Database) -> None:
    with migrated.connect(autocommit=False) as first, migrated.session() as second:
        first.execute("SELECT * FROM refresh_all_mv()")
        second.execute("SET statement_timeout = '60s'")
        with pytest.raises(psycopg.errors.LockNotAvailable, match="already running") as refused:
            second.execute("SELECT * FROM refresh_all_mv()")
        assert refused.value.sqlstate == "55P03"
        assert refused.value.diag.message_hint
        first.commit()
        second.execute("SELECT * FROM refresh_all_mv()")


def test_readers_and_a_refresh_never_wait_for_each_other(migrated: Database) -> None:
    migrated.execute(ADVISOR)
    refresh(migrated)
    with (
        migrated.connect(autocommit=False) as reader,
        migrated.connect(autocommit=False) as refresher,
        migrated.session() as another,
    ):
        for connection in (reader, refresher, another):
            connection.execute("SET statement_timeout = '60s'")
        assert reader.execute("SELECT ciudad FROM mv_ranking_asesores").fetchall() == [("Bogotá",)]
        another.execute("UPDATE public.asesores SET ciudad = 'Cali'")
        refresher.execute("SELECT * FROM refresh_all_mv()")
        assert another.execute("SELECT ciudad FROM mv_ranking_asesores").fetchall() == [("Bogotá",)]
        refresher.commit()
        assert another.execute("SELECT ciudad FROM mv_ranking_asesores").fetchall() == [("Cali",)]


def test_view_without_unique_index_is_refreshed_with_a_warning(migrated: Database) -> None:
    refresh(migrated)
    migrated.execute("DROP INDEX analytics.mv_metricas_mensuales_mes")
    notices: list[str] = []
    with migrated.session() as connection:
        connection.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
        rows = connection.execute("SELECT refresh_status FROM refresh_all_mv(true)").fetchall()
    assert rows == [("SUCCESS",)] * len(NINE)
    assert notices == [
        "teloo-analytics: view mv_metricas_mensuales has no plain unique index: its readers "
        "wait during the refresh"
    ]


def test_calculado_at_stays_when_nothing_changed_and_last_refresh_moves_on(
    migrated: Database,
) -> None:
    migrated.execute(ADVISOR)
    noon, one, two = (f"2026-11-23 {hour}:00:00-05" for hour in (12, 13, 14))
    calculado_at = "SELECT calculado_at = %s FROM mv_ranking_asesores"
    for pinned, changes, expected, mode in (
        (noon, "", noon, "full"),
        (one, "", noon, "unchanged"),
        (two, "UPDATE public.asesores SET punto_venta = 'Norte'", two, "incremental"),
    ):
        if changes:
            migrated.execute(changes)
        migrated.rows("SELECT * FROM refresh_all_mv()", today=pinned)
        assert migrated.rows(calculado_at.replace("%s", f"timestamptz '{expected}'")) == [(True,)]
        assert migrated.rows(
            f"SELECT bool_and(last_refresh = timestamptz '{pinned}') FROM get_mv_stats()"
        ) == [(True,)]
        assert migrated.rows(
            "SELECT mode FROM analytics.refresh_log WHERE view_name = 'mv_ranking_asesores' "
            "ORDER BY log_id DESC LIMIT 1"
        ) == [(mode,)]
    migrated.rows("SELECT * FROM refresh_all_mv(force => true)", today=one)
    assert migrated.rows(calculado_at.replace("%s", f"timestamptz '{one}'")) == [(True,)]


def test_a_row_that_is_there_twice_is_an_error_also_if_both_are_as_before(
    migrated: Database,
) -> None:
    """A view with calculado_at is compared first: the comparison must not take it for the same."""
    migrated.execute(
        "CREATE TABLE public.told AS SELECT 1 AS id",
        "GRANT SELECT ON public.told TO analytics_owner",
        "SET ROLE analytics_owner;"
        "CREATE MATERIALIZED VIEW analytics.mv_told AS "
        "SELECT told.id, now() AS calculado_at FROM public.told;"
        "CREATE UNIQUE INDEX mv_told_id ON analytics.mv_told (id); RESET ROLE",
        "SELECT * FROM analytics.refresh_all_mv()",
        "INSERT INTO public.told VALUES (1)",
    )
    ((status, error),) = migrated.rows(
        "SELECT refresh_status, error_message FROM analytics.refresh_all_mv() "
        "WHERE view_name = 'mv_told'"
    )
    assert (status, "duplicate" in str(error)) == ("ERROR", True)


def test_bare_refresh_by_a_dba_changes_nothing(migrated: Database) -> None:
    migrated.execute(
        ADVISOR,
        "INSERT INTO public.auditorias_tiendas (id, asesor_id, fecha_revision, estado, "
        "puntaje_confianza) VALUES (gen_random_uuid(), '00000000-0000-0000-0000-00000000000a', "
        "'2020-03-01 12:00:00-05', 'APROBADA', 4.5)",
    )
    migrated.rows("SELECT * FROM refresh_all_mv()", today="2020-03-15 12:00:00-05")
    before = migrated.rows("SELECT * FROM mv_ranking_asesores")
    assert migrated.rows("SELECT auditorias_realizadas FROM mv_ranking_asesores") == [(1,)]
    migrated.execute("REFRESH MATERIALIZED VIEW analytics.mv_ranking_asesores")
    assert migrated.rows("SELECT * FROM mv_ranking_asesores") == before


def test_bare_refresh_under_a_setting_that_was_set_back_is_published_again(
    migrated: Database,
) -> None:
    """The view reads the settings."""
    now = "2026-03-15 12:00:00-05"
    migrated.execute(ADVISOR, "UPDATE public.asesores SET created_at = '2026-01-02'")
    migrated.rows("SELECT * FROM refresh_all_mv()", today=now)
    segment = "SELECT segmento FROM analytics.mv_segmentos_asesores"
    before = migrated.rows(segment)
    (days,) = migrated.rows("SELECT analytics.setting('segment_new_days')")
    migrated.execute(
        "SELECT analytics.set_setting('segment_new_days', '99999')",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.mv_segmentos_asesores",
    )
    assert migrated.rows(segment) != before
    migrated.execute(f"SELECT analytics.set_setting('segment_new_days', '{days[0]}')")
    migrated.rows("SELECT * FROM refresh_all_mv()", today=now)
    assert migrated.rows(segment) == before


def test_refresh_does_not_depend_on_the_callers_settings(migrated: Database) -> None:
    migrated.execute(ADVISOR)
    with migrated.session() as connection:
        for setting in (
            "search_path = pg_catalog",
            "timezone = 'Asia/Tokyo'",
            "datestyle = 'SQL, DMY'",
            "intervalstyle = 'sql_standard'",
            "default_transaction_isolation = 'repeatable read'",
        ):
            connection.execute(f"SET {setting}")
        connection.execute("CREATE TEMPORARY TABLE refresh_log (id integer)")
        rows = connection.execute(
            "SELECT refresh_status FROM analytics.refresh_all_mv()"
        ).fetchall()
    assert rows == [("SUCCESS",)] * len(NINE)


def test_pinned_clock_is_refused_where_it_is_not_allowed(migrated: Database) -> None:
    with migrated.session() as connection:
        connection.execute("SET analytics.now = '2026-01-31 23:59:59-05'")
        assert connection.execute("SELECT analytics.today()::text").fetchone() == ("2026-01-31",)
        connection.execute("RESET analytics.now")
        assert connection.execute("SELECT analytics.now() = now()").fetchone() == (True,)
        for nonsense in ("yesterday noon", "infinity", "2026-02-30"):
            connection.execute("SELECT set_config('analytics.now', %s, false)", [nonsense])
            with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"analytics\.now must"):
                connection.execute("SELECT analytics.now()")
        connection.execute("RESET analytics.now")
        connection.execute("SELECT analytics.set_setting('allow_pinned_clock', 'off')")
        connection.execute("SET analytics.now = '2026-01-31 23:59:59-05'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"analytics\.now must not"):
            connection.execute("SELECT analytics.now()")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM refresh_all_mv()")


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        (
            "analytics_lector",
            ["SELECT * FROM mv_ranking_asesores WHERE analytics.city_key(ciudad) = 'BOGOTA'",
             "SELECT * FROM get_mv_stats()", "SELECT analytics.today(), analytics.now()",
             "SELECT analytics.setting('time_zone')", "SELECT analytics.city_key('Bogotá')",
             "SELECT * FROM analytics.refresh_log", "SELECT analytics.next_scheduled_refresh()"],
            ["SELECT * FROM refresh_all_mv()", "SELECT analytics.set_schedule('02:00')",
             "SELECT * FROM public.usuarios", "SELECT * FROM kpi_engine.src_usuarios",
             "SELECT * FROM kpi_engine.recomputed_asesor_facts",
             "UPDATE analytics.settings SET value = 'on'"],
        ),
        (
            "analytics_operador",
            ["SELECT * FROM mv_ranking_asesores", "SELECT * FROM refresh_all_mv()",
             "SELECT * FROM get_mv_stats()", "SELECT analytics.city_key('Bogotá')",
             "SELECT analytics.set_schedule('02:00')"],
            ["SELECT * FROM public.usuarios", "SELECT analytics.set_setting('time_zone', 'UTC')",
             "DELETE FROM analytics.refresh_log", "SELECT kpi_engine.claim_refresh_job()"],
        ),
        (
            "analytics_scheduler",
            ["CALL analytics.tick()", "CALL analytics.work()"],
            ["SELECT * FROM refresh_all_mv()", "SELECT * FROM mv_ranking_asesores",
             "SELECT * FROM public.usuarios", "SELECT * FROM analytics.settings"],
        ),
    ],
)  # fmt: skip
def test_each_role_may_do_its_own_and_nothing_else(
    migrated: Database, role: str, may: list[str], may_not: list[str]
) -> None:
    refresh(migrated)
    with migrated.session() as connection:
        connection.execute(f"SET ROLE {role}")
        for statement in may:
            connection.execute(statement)
        for statement in may_not:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_refreshes_that_come_while_one_is_at_work_are_all_refused(migrated: Database) -> None:
    def one(_: int) -> str:
        try:
            return str(refresh(migrated)[0][1])
        except psycopg.errors.LockNotAvailable:
            return "refused"

    with migrated.connect(autocommit=False) as holder, ThreadPoolExecutor(8) as pool:
        holder.execute("SELECT pg_advisory_xact_lock(kpi_engine.refresh_lock_key())")
        assert set(pool.map(one, range(8))) == {"refused"}
        holder.rollback()
    assert one(0) == "SUCCESS"


def test_statistics_are_exact(migrated: Database) -> None:
    migrated.execute(ADVISOR)
    refresh(migrated)
    assert migrated.rows(
        "SELECT view_name, row_count, size_bytes = pg_total_relation_size("
        "('analytics.' || view_name)::regclass) FROM get_mv_stats()"
    ) == [
        (view, int(view in {"mv_ranking_asesores", "mv_segmentos_asesores"}), True) for view in NINE
    ]


def test_statistics_count_a_view_that_is_replaced_meanwhile(migrated: Database) -> None:
    refresh(migrated)
    first, last = NINE[0], NINE[-1]
    ((definition,),) = migrated.rows(f"SELECT pg_get_viewdef('analytics.{last}'::regclass)")
    with migrated.connect(autocommit=False) as upgrade, ThreadPoolExecutor(1) as pool:
        # The reader waits for the first view with a list of all.
        upgrade.execute(f"ALTER MATERIALIZED VIEW analytics.{first} RENAME TO mv_aside")
        upgrade.execute(f"ALTER MATERIALIZED VIEW analytics.mv_aside RENAME TO {first}")
        read = pool.submit(
            migrated.rows, "SELECT view_name, row_count, size_bytes > 0 FROM get_mv_stats()"
        )
        migrated.wait_until(
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND query LIKE '%get_mv_stats%' AND datname = current_database()"
        )
        upgrade.execute(f"DROP MATERIALIZED VIEW analytics.{last} CASCADE")
        upgrade.execute(f"CREATE MATERIALIZED VIEW analytics.{last} AS {definition}")
        upgrade.execute(f"ALTER MATERIALIZED VIEW analytics.{last} OWNER TO analytics_owner")
        upgrade.execute(f"CREATE UNIQUE INDEX ON analytics.{last} (asesor_id)")
        upgrade.commit()
        assert read.result() == [(view, 0, True) for view in NINE]


def test_view_of_another_owner_is_reported_and_breaks_nothing(migrated: Database) -> None:
    migrated.execute(
        "CREATE MATERIALIZED VIEW analytics.mv_dba AS SELECT 1 AS one",
        "CREATE UNIQUE INDEX ON analytics.mv_dba (one)",
    )
    rows = migrated.rows("SELECT view_name, refresh_status, error_sqlstate FROM refresh_all_mv()")
    assert rows == [("mv_dba", "ERROR", "42501"), *((*row, None) for row in SUCCESSES)]
    assert migrated.rows("SELECT view_name, row_count FROM get_mv_stats()") == [
        ("mv_dba", None),
        *((view, 0) for view in NINE),
    ]


def test_view_that_is_gone_is_an_error_and_not_less_work(migrated: Database) -> None:
    refresh(migrated)
    migrated.execute("DROP MATERIALIZED VIEW analytics.mv_ranking_asesores CASCADE")
    assert migrated.rows(
        "SELECT view_name, refresh_status, error_sqlstate FROM refresh_all_mv()"
    ) == [
        *((view, "SUCCESS", None) for view in NINE[:-1]),
        ("mv_ranking_asesores", "ERROR", "42P01"),
    ]
    migrate(migrated.url)
    assert refresh(migrated) == SUCCESSES


def test_rules_on_views_do_not_confuse_the_order_of_views(migrated: Database) -> None:
    migrated.execute(
        "CREATE VIEW public.v1 AS SELECT 1 AS one",
        "CREATE VIEW public.v2 AS SELECT one FROM public.v1",
        "CREATE RULE around AS ON INSERT TO public.v1 DO INSTEAD INSERT INTO public.v2 VALUES (1)",
        "CREATE MATERIALIZED VIEW analytics.mv_regla AS SELECT one FROM public.v1",
    )
    with migrated.session() as connection:
        connection.execute("SET statement_timeout = '60s'")
        rows = connection.execute(
            "SELECT view_name FROM kpi_engine.materialized_views()"
        ).fetchall()
    assert ("mv_regla",) in rows


def test_refresh_of_the_monthly_view_does_not_make_its_readers_wait(migrated: Database) -> None:
    refresh(migrated)
    with migrated.connect(autocommit=False) as reader, migrated.session() as refresher:
        reader.execute("SELECT count(*) FROM mv_metricas_mensuales")
        reader.execute("SELECT count(*) FROM mv_ranking_asesores")
        refresher.execute("SET lock_timeout = '30s'")
        rows = refresher.execute("SELECT refresh_status FROM refresh_all_mv(force => true)")
        assert rows.fetchall() == [("SUCCESS",)] * len(NINE)

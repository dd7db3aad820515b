"""Advice from usage: each comes with its cause, with the evidence, and goes with it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import doctor
from conftest import KPI_VIEWS, Database
from gateway_testing import Api
from marketplace import fill
from source_indexes import build_missing

SYSTEM_SERVER_IS_ENOUGH = True
NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
REFRESH = "SELECT * FROM analytics.refresh_all_mv()"


@dataclass
class Usage:
    """A refreshed installation whose clock the test moves, an hour or days at a time."""

    database: Database
    now: datetime

    def run(self, *statements: str) -> None:
        """Run statements at this moment; what they read is in the statistics afterwards."""
        with self.database.session() as connection:
            connection.execute(
                "SELECT set_config('analytics.now', %s, false)", [self.now.isoformat()]
            )
            for statement in statements:
                connection.execute(statement)
            connection.execute("SELECT pg_stat_force_next_flush()")
            connection.execute("SELECT 1")

    def later(self, **how_much: float) -> None:
        """Move on and let a tick look."""
        self.now += timedelta(**how_much)
        self.run("CALL analytics.tick()")

    def uses(self, kind: str, name: str) -> int:
        ((uses,),) = self.database.rows(
            "SELECT coalesce(sum(uses), 0) FROM analytics.usage_by_hour "
            f"WHERE kind = '{kind}' AND name = '{name}'"
        )
        return int(str(uses))

    def advice(self, name: str) -> dict[str, dict[str, Any]]:
        """Return the advice of a name by its subject, each with its evidence and statement."""
        rows = self.database.rows(
            "SELECT subject, message, evidence, statement FROM analytics.usage_advice() "
            f"WHERE advice = '{name}'",
            today=self.now.isoformat(),
        )
        return {
            str(subject): {"message": message, "statement": statement, **dict(evidence)}  # type: ignore[call-overload]
            for subject, message, evidence, statement in rows
        }


@pytest.fixture
def usage(migrated: Database) -> Usage:
    """Watched from now on."""
    with migrated.session() as connection:
        fill(connection, 5, "A", NOW.date())
        # Enough advisors for their indexes to be worth something.
        connection.execute(
            """
            WITH new_users AS (
                INSERT INTO public.usuarios (id, nombre, apellido, telefono, rol)
                SELECT gen_random_uuid(), 'Asesor', n::text, '300', 'ADVISOR'
                FROM generate_series(1, 3000) AS n
                RETURNING id
            )
            INSERT INTO public.asesores (id, usuario_id, ciudad, departamento, punto_venta)
            SELECT gen_random_uuid(), id, 'Cali', 'Valle', 'P' FROM new_users
            """
        )
    build_missing(migrated.url)
    usage = Usage(migrated, NOW)
    usage.run(REFRESH, "CALL analytics.tick()")
    return usage


def test_what_refreshes_and_statistics_read_themselves_is_no_use(usage: Usage) -> None:
    for number in range(3):
        usage.run(
            f"UPDATE public.solicitudes SET estado = 'E{number}'",
            "UPDATE public.ofertas_historicas SET adjudicada = NOT adjudicada",
            REFRESH,
            "SELECT * FROM get_mv_stats()",
            "SELECT api.status()",
            "SELECT api.metrics()",
            "SELECT api.health()",
        )
        usage.later(hours=1)
    assert usage.uses("view", "mv_ranking_asesores") == 0
    assert usage.uses("view", "mv_metricas_mensuales") == 0
    usage.run("SELECT count(*) FROM mv_ranking_asesores")
    usage.later(hours=1)
    assert usage.uses("view", "mv_ranking_asesores") == 1
    assert usage.uses("view", "mv_metricas_mensuales") == 0


def test_statistics_that_were_reset_lose_nothing_that_comes_after(usage: Usage) -> None:
    usage.run(*["SELECT * FROM mv_metricas_mensuales"] * 5)
    usage.later(hours=1)
    usage.run("SELECT pg_stat_reset()")
    usage.run(*["SELECT * FROM mv_metricas_mensuales"] * 3)
    usage.later(hours=1)
    assert usage.uses("view", "mv_metricas_mensuales") == 8


def test_view_that_nobody_reads(usage: Usage) -> None:
    usage.run("SELECT * FROM mv_metricas_mensuales")
    usage.later(hours=1)
    usage.later(days=13)
    assert usage.advice("unread_view") == {}, "it was not watched for 14 days"
    usage.run("SELECT * FROM mv_metricas_mensuales")
    usage.later(days=1)
    found = usage.advice("unread_view")
    assert set(found) == set(KPI_VIEWS) - {"mv_metricas_mensuales"}
    assert found["mv_ranking_asesores"]["days"] == 14
    assert found["mv_ranking_asesores"]["scans_by_readers"] == 0
    assert found["mv_ranking_asesores"]["bytes"] > 0
    usage.run("SELECT count(*) FROM mv_ranking_asesores")
    usage.later(hours=1)
    assert "mv_ranking_asesores" not in usage.advice("unread_view")


def test_what_advice_judges_by_outlasts_logs_that_keep_less(usage: Usage) -> None:
    """Eight days ago one view was read and refreshed, and the logs keep seven."""
    usage.run("SELECT * FROM mv_metricas_mensuales")
    usage.later(hours=1)
    usage.now = datetime.now(UTC)
    refreshes(usage, 4)
    usage.run(
        "UPDATE kpi_engine.usage_watched SET watched_since = now() - interval '20 days'",
        "UPDATE analytics.usage_by_hour SET hour = now() - interval '8 days'",
        "UPDATE analytics.refresh_log SET started_at = now() - interval '8 days', "
        "finished_at = now() - interval '8 days'",
        "SELECT analytics.set_setting('log_retention_days', '7')",
    )

    def trimmed() -> set[str]:
        usage.run("UPDATE analytics.scheduler_state SET last_trimmed_at = NULL")
        usage.run("CALL analytics.tick()")
        return set(usage.advice("unread_view"))

    assert trimmed() == set(KPI_VIEWS) - {"mv_metricas_mensuales"}
    # Five refreshes, and one hour with a reader.
    assert usage.advice("refreshed_too_often")["schedule"]["refreshes"] == 5
    usage.run("SELECT analytics.set_setting('usage_advice_days', '7')")
    assert trimmed() == set(KPI_VIEWS)
    assert usage.uses("view", "mv_metricas_mensuales") == 0
    # The last line of each view and of the whole stays.
    assert usage.database.rows("SELECT count(*) FROM analytics.refresh_log") == [
        (len(KPI_VIEWS) + 1,)
    ]


def test_index_that_nothing_uses(usage: Usage) -> None:
    usage.later(days=15)
    found = usage.advice("unused_index")
    assert "mv_ranking_asesores_nacional" in found
    index = found["mv_ranking_asesores_nacional"]
    assert index["scans"] == 0
    assert index["bytes"] >= 65536
    assert "sql/views/kpis/mv_ranking_asesores.sql" in index["message"]
    assert "mv_ranking_asesores_asesor_id" not in found, "it is unique: refreshes need it"
    usage.run("SELECT * FROM mv_ranking_asesores ORDER BY ranking_nacional, asesor_id LIMIT 5")
    usage.later(hours=1)
    assert "mv_ranking_asesores_nacional" not in usage.advice("unused_index")
    name, other = min(usage.advice("unused_index").items())
    usage.run(other["statement"])
    usage.later(hours=1)
    assert name not in usage.advice("unused_index")


def read_in_hours(usage: Usage, hours: int) -> None:
    for _ in range(hours):
        usage.run("SELECT * FROM mv_metricas_mensuales")
        usage.later(hours=1)


def refreshes(
    usage: Usage, number: int, mode: str = "incremental", trigger: str = "schedule"
) -> None:
    """Write what the refresh log holds after as many refreshes in the last hours."""
    usage.run(
        "INSERT INTO analytics.refresh_log (run_id, triggered_by, requested_by, mode, started_at, "
        "finished_at, refresh_status, refresh_time_ms) "
        f"SELECT nextval('kpi_engine.refresh_run_id_seq'), '{trigger}', 'x', "
        f"'{mode}', analytics.now(), analytics.now(), 'SUCCESS', 1000 "
        f"FROM generate_series(1, {number})"
    )


def test_schedule_that_is_more_frequent_than_reading(usage: Usage) -> None:
    usage.later(days=15)
    usage.run("DELETE FROM analytics.refresh_log")
    read_in_hours(usage, 2)
    refreshes(usage, 7)
    assert usage.advice("refreshed_too_often") == {}
    refreshes(usage, 1)
    found = usage.advice("refreshed_too_often")["schedule"]
    assert (found["refreshes"], found["scheduled"], found["hours_with_readers"]) == (8, 8, 2)
    assert found["seconds_of_refreshes"] == 8
    read_in_hours(usage, 1)
    assert usage.advice("refreshed_too_often") == {}


def test_schedule_that_is_less_frequent_than_reading(usage: Usage) -> None:
    usage.later(days=15)
    usage.run("DELETE FROM analytics.refresh_log")
    refreshes(usage, 1)
    read_in_hours(usage, 3)
    assert usage.advice("refreshed_too_seldom") == {}
    read_in_hours(usage, 1)
    found = usage.advice("refreshed_too_seldom")["schedule"]
    assert (found["refreshes"], found["hours_with_readers"], found["median_seconds"]) == (1, 4, 1)
    # More of them would find nothing new.
    refreshes(usage, 2, "unchanged")
    read_in_hours(usage, 12)
    assert usage.advice("refreshed_too_seldom") == {}
    refreshes(usage, 1)
    assert set(usage.advice("refreshed_too_seldom")) == {"schedule"}
    refreshes(usage, 1)
    assert usage.advice("refreshed_too_seldom") == {}


def test_target_lag_is_the_advice_where_readers_come_often(usage: Usage) -> None:
    usage.later(days=15)
    usage.run("DELETE FROM analytics.refresh_log")
    refreshes(usage, 1)
    read_in_hours(usage, 4)
    found = usage.advice("refreshed_too_seldom")["schedule"]
    assert "by the setting target_lag" in found["message"]
    usage.run("SELECT analytics.set_setting('change_capture', 'off')")
    without_capture = usage.advice("refreshed_too_seldom")["schedule"]
    assert without_capture["statement"].startswith("SELECT cron.schedule(")
    usage.run("SELECT analytics.set_setting('change_capture', 'on')", found["statement"])
    assert usage.database.rows("SELECT analytics.setting('target_lag')") == [("1 hour",)]
    assert usage.advice("refreshed_too_seldom") == {}


def test_target_lag_that_nobody_reads(usage: Usage) -> None:
    usage.later(days=15)
    usage.run(
        "DELETE FROM analytics.refresh_log",
        "SELECT analytics.set_setting('target_lag', '1 minute')",
    )
    for _ in range(4):
        usage.later(hours=1)
        refreshes(usage, 60, trigger="lag")
    found = usage.advice("target_lag_unread")["target_lag"]
    assert (found["for_target_lag"], found["hours_of_target_lag"]) == (240, 4)
    assert (found["seconds_for_target_lag"], found["hours_with_readers"]) == (240, 0)
    assert found["statement"] == "SELECT analytics.set_setting('target_lag', 'off')"
    read_in_hours(usage, 1)
    found = usage.advice("target_lag_unread")["target_lag"]
    assert found["statement"] == "SELECT analytics.set_setting('target_lag', '1 hour')"
    # They are no part of the daily schedule.
    assert usage.advice("refreshed_too_often") == {}
    read_in_hours(usage, 1)
    assert usage.advice("target_lag_unread") == {}


def test_index_on_the_source_that_would_help(usage: Usage) -> None:
    """No index is missing at first: then one is, and the next refreshes read the whole table."""
    changes = (
        "UPDATE public.solicitudes SET estado = 'E' "
        "WHERE id = (SELECT min(id::text)::uuid FROM public.solicitudes)"
    )
    with usage.database.session() as connection:
        connection.execute(
            """
            INSERT INTO public.repuestos_solicitados
            (id, solicitud_id, nombre, marca_vehiculo, linea_vehiculo, anio_vehiculo)
            SELECT gen_random_uuid(), solicitudes.id, 'Filtro', 'Kia', 'Rio', 2020
            FROM public.solicitudes, generate_series(1, 12000 / (
                SELECT count(*)::integer FROM public.solicitudes
            ) + 1)
            """
        )
    usage.run(REFRESH, "VACUUM ANALYZE public.repuestos_solicitados")
    usage.run(changes, REFRESH)
    usage.later(hours=1)
    assert usage.advice("source_index") == {}
    ((name, subject),) = usage.database.rows(
        "SELECT index_name, format('%s (%s)', table_name, column_name) "
        "FROM analytics.source_indexes() "
        "WHERE table_name = 'public.repuestos_solicitados' AND column_name = 'solicitud_id'"
    )
    usage.run(f"DROP INDEX {name}")
    usage.later(hours=1)
    assert usage.advice("source_index") == {}, "nothing has missed it yet"
    usage.run(changes.replace("'E'", "'F'"), REFRESH)
    usage.later(hours=1)
    found = usage.advice("source_index")[str(subject)]
    assert found["scans_of_the_table"] >= 1
    assert found["rows"] >= 10000
    usage.run(found["statement"])
    assert usage.advice("source_index") == {}


def end_sessions(api: Api) -> None:
    """Restart PostgREST, and wait until the sessions it had are gone with their statistics."""
    # A worker may have a second gateway, over another database.
    sessions = (
        "SELECT {} FROM pg_stat_activity "
        "WHERE usename = 'analytics_authenticator' AND datname = current_database()"
    )
    before = [pid for (pid,) in api.database.rows(sessions.format("pid"))]
    api.gateway.restart("postgrest")
    gone = sessions.format("count(*) = 0") + f" AND pid = ANY ('{{{','.join(map(str, before))}}}')"
    api.database.wait_until(gone)


def test_calls_of_the_api_are_part_of_the_evidence(api: Api) -> None:
    """PostgREST's sessions count calls; the micro-cache's answers reach no database."""
    # What other tests called is in the statistics once its sessions ended.
    end_sessions(api)
    usage = Usage(api.database, datetime.now(UTC))

    def watch() -> None:
        """Look now. The clock does not move: the database is that of other tests, too."""
        usage.run(
            "UPDATE analytics.scheduler_state SET usage_watched_at = NULL", "CALL analytics.tick()"
        )

    watch()
    before = [usage.uses("endpoint", name) for name in ("monthly_metrics", "city_summary")]
    for limit in range(1, 6):
        assert api.get(f"/rest/rpc/city_summary?x={limit}", "analytics_lector").status == 404
        assert (
            api.get(f"/materialized-views/monthly-metrics?limit={limit}", "analytics_lector").status
            == 200
        )
    calls = (
        "SELECT calls FROM pg_stat_user_functions WHERE schemaname = 'api' "
        "AND funcname = 'monthly_metrics'"
    )
    end_sessions(api)
    assert usage.database.rows(calls)[0][0] >= 5  # type: ignore[operator]
    watch()
    assert usage.uses("endpoint", "monthly_metrics") >= before[0] + 5
    assert usage.uses("endpoint", "city_summary") == before[1]


def test_doctor_shows_advice_and_calls_nothing_wrong(
    migrated: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a healthy installation that has been watched for long, and that nobody reads."""
    build_missing(migrated.url)
    migrated.execute(
        REFRESH,
        "CALL analytics.tick()",
        "UPDATE kpi_engine.usage_watched SET watched_since = watched_since - interval '15 days'",
    )
    code = doctor.main(["--database-url", migrated.url, "--json", "--strict"])
    report = json.loads(capsys.readouterr().out)
    others = {
        check["name"]: check["findings"]
        for check in report["checks"]
        if check["status"] != "ok" and check["name"] != "usage"
    }
    assert (code, report["status"], others) == (0, "advice", {})
    [check] = [check for check in report["checks"] if check["name"] == "usage"]
    assert check["status"] == "advice"
    assert any("nobody has read view" in finding["message"] for finding in check["findings"])

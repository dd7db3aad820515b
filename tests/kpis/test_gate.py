"""The gate and the breaker: nonsense is not published, and an operator has the word."""

import re
from contextlib import suppress
from datetime import date

import psycopg
import pytest

from conftest import Database, install, made_once
from golden_data import NOW, load_rich
from kpis.test_published import ADD
from marketplace import fill
from sequences import KPI_VIEWS, PUBLISHED

SYSTEM_SERVER_IS_ENOUGH = True
LATE = "2026-12-20 12:00:00-05"
HELD = (
    "SELECT view_name, rule, column_name, period::text, before, after FROM analytics.gate_holds "
    "ORDER BY hold_id"
)
GATE = "SELECT severity, message FROM analytics.health_problems() WHERE problem = 'gate'"


def refresh(database: Database, now: str = LATE) -> dict[str, str]:
    """Refresh; return the status of each view."""
    rows = database.rows("SELECT view_name, refresh_status FROM analytics.refresh_all_mv()", now)
    return {str(view): str(status) for view, status in rows}


def contents(database: Database) -> dict[str, list[object]]:
    return {view: list(database.rows(PUBLISHED.format(view))) for view in KPI_VIEWS}


@pytest.fixture
def market(system_database: Database) -> Database:
    """The rich data, at which the gate looks although they are few; November is closed."""
    made_once(system_database, "gate", make_market)
    return system_database


def make_market(database: Database) -> None:
    load_rich(database.url)
    for name, value in (("gate_least_requests", "1"), ("gate_least_count", "20")):
        database.execute(f"SELECT analytics.set_setting('{name}', '{value}')")
    assert set(refresh(database, NOW).values()) == {"SUCCESS"}
    # A month later the windows of the ranking are nearly empty: the gate would say so.
    database.execute("SELECT analytics.set_setting('gate', 'off')")
    assert set(refresh(database).values()) == {"SUCCESS"}
    database.execute("SELECT analytics.set_setting('gate', 'on')")


def test_declared_totals_are_columns_that_exist_and_hold(market: Database) -> None:
    declared = market.rows("SELECT * FROM kpi_engine.declared_totals()")
    assert len(declared) >= 5
    for view, column, part_view, part_column in declared:
        market.rows(f"SELECT {column} FROM analytics.{view}")
        market.rows(f"SELECT {part_column} FROM analytics.{part_view}")
    # The first publish checked them all.
    assert market.rows(HELD) == []
    assert market.rows("SELECT count(*) FROM analytics.publications WHERE keeps_rows")[0][0] != 0


def test_ordinary_work_passes(market: Database) -> None:
    """Some late requests in closed months, and an advisor who leaves."""
    market.execute(
        *(
            ADD.format(day=day).replace("2026-04", month)
            for day in ("03", "17")
            for month in ("2026-04", "2026-09", "2026-11", "2026-12")
        ),
        "UPDATE asesores SET estado = 'SUSPENDIDO' WHERE id = "
        "(SELECT min(asesor_id::text)::uuid FROM analytics.mv_ranking_asesores)",
    )
    assert set(refresh(market, "2026-12-20 13:00:00-05").values()) == {"SUCCESS"}
    assert market.rows(HELD) == []
    assert market.rows("SELECT count(*) > 0 FROM analytics.restatements") == [(True,)]


def test_a_closed_sum_that_moves_is_held_until_it_is_accepted(market: Database) -> None:
    """The real cause: half of the requests of a closed month are gone."""
    ((month, requests),) = market.rows(
        "SELECT mes::text, solicitudes_creadas FROM analytics.mv_metricas_mensuales "
        "WHERE mes < '2026-11-01' ORDER BY solicitudes_creadas DESC LIMIT 1"
    )
    assert isinstance(requests, int)
    before = contents(market)
    market.execute(
        "UPDATE solicitudes SET created_at = created_at - interval '60 years' "
        f"WHERE created_at >= '{month}'::date + interval '5 hours' "
        f"AND created_at < '{month}'::date + interval '25 days'"
    )
    status = refresh(market)
    assert status["mv_metricas_mensuales"] == "ERROR"
    assert status["mv_ranking_asesores"] == "SUCCESS"
    after = contents(market)
    held = market.rows(HELD)
    assert {row[1] for row in held if row[0] == "mv_metricas_mensuales"} >= {"closed_sum"}
    found = {(row[2], row[3]): row for row in held if row[0] == "mv_metricas_mensuales"}
    row = found["solicitudes_creadas", month]
    assert row[4] == requests
    for view, result in status.items():
        assert (after[view] == before[view]) or result == "SUCCESS", view
    # Health names rule, period, before and after, and the cure.
    message = " ".join(str(text) for _, text in market.rows(GATE))
    for word in ("closed_sum", str(month), str(requests), "accept_gate('mv_metricas_mensuales'"):
        assert word in message
    assert market.rows(
        "SELECT count(*) FROM analytics.health_problems() WHERE problem = 'refresh_failed'"
    ) == [(0,)]
    # Its facts are newer than it: that is no drift.
    assert market.rows("SELECT analytics.audit()", LATE) == [(0,)]
    # It is held again, and nothing is lost.
    assert refresh(market) == {
        view: result if result == "ERROR" else "SUCCESS" for view, result in status.items()
    }
    for view, result in status.items():
        if result == "ERROR":
            market.execute(
                f"SELECT analytics.accept_gate('{view}', 'once', 'sixty years were added')"
            )
    assert set(refresh(market).values()) == {"SUCCESS"}
    assert market.rows(HELD) == []
    assert market.rows(GATE) == []
    assert market.rows(
        "SELECT DISTINCT how, reason, accepted_by = current_user, used_by_run IS NOT NULL "
        "FROM analytics.gate_acceptances"
    ) == [("once", "sixty years were added", True, True)]
    assert contents(market) != before
    assert market.rows("SELECT analytics.audit()") == [(0,)]


def test_a_closed_day_without_requests_that_gets_many_is_held(market: Database) -> None:
    """The cause: an import that gives all its rows one wrong date."""
    market.execute("SELECT analytics.set_setting('gate_closed_pct', '100000')")
    ((day,),) = market.rows(
        "SELECT dia::date::text "
        "FROM generate_series('2026-10-30', '2026-06-01', -interval '1 day') AS calendar (dia) "
        "WHERE dia::date NOT IN (SELECT dia FROM analytics.mv_embudo_operativo) "
        "AND dia > (SELECT min(dia) FROM analytics.mv_embudo_operativo) LIMIT 1"
    )
    add = ADD.format(day="03").replace("2026-04-03", str(day))
    before = contents(market)
    market.execute(*[add] * 19)
    assert set(refresh(market).values()) == {"SUCCESS"}, "few requests may be late"
    market.execute(*[add] * 6)
    assert refresh(market)["mv_embudo_operativo"] == "ERROR"
    assert ("mv_embudo_operativo", "closed_sum", "solicitudes_creadas", day, 0, 25) in market.rows(
        HELD
    )
    assert "from 0 to 25" in str(market.rows(GATE))
    market.execute(f"DELETE FROM solicitudes WHERE created_at = '{day} 10:00:00-05'")
    assert set(refresh(market).values()) == {"SUCCESS"}
    assert contents(market)["mv_embudo_operativo"] == before["mv_embudo_operativo"]


def test_the_first_load_of_an_empty_installation_passes(system_database: Database) -> None:
    """Its months closed over nothing: nothing was there that could be wrong."""
    database = system_database
    install(database)
    for name in ("gate_least_requests", "gate_least_count"):
        database.execute(f"SELECT analytics.set_setting('{name}', '1')")
    assert set(refresh(database, NOW).values()) == {"SUCCESS"}
    with database.session() as connection:
        fill(connection, 5, "A", date.fromisoformat(NOW[:10]))
    assert set(refresh(database, NOW).values()) == {"SUCCESS"}
    assert database.rows("SELECT count(*) > 100 FROM kpi_engine.closings") == [(True,)]
    assert database.rows(HELD) == []


def test_once_is_for_one_publish_and_normal_for_all(market: Database) -> None:
    rows = "SELECT count(*) FROM analytics.mv_ranking_asesores"
    everybody = "UPDATE asesores SET estado = 'ACTIVO' WHERE id IN (SELECT id FROM active)"
    market.execute("CREATE TABLE active AS SELECT id FROM asesores WHERE estado = 'ACTIVO'")
    ((all_of_them,),) = market.rows(rows)
    assert isinstance(all_of_them, int)

    def lose(share: float) -> str:
        """Suspend this share of the advisors that are shown; return what the refresh did."""
        ((number,),) = market.rows(rows)
        market.execute(
            "UPDATE asesores SET estado = 'SUSPENDIDO' WHERE id IN (SELECT asesor_id FROM "
            f"analytics.mv_ranking_asesores ORDER BY asesor_id LIMIT {int(str(number)) * share})"
        )
        status = refresh(market)["mv_ranking_asesores"]
        if status == "ERROR":
            held = {row[1] for row in market.rows(HELD) if row[0] == "mv_ranking_asesores"}
            assert "lost_rows" in held
            assert market.rows(rows) == [(number,)]
        return status

    def accept(how: str) -> None:
        for (view,) in market.rows("SELECT DISTINCT view_name FROM analytics.gate_holds"):
            market.execute(f"SELECT analytics.accept_gate('{view}', '{how}', 'they left')")
        assert set(refresh(market).values()) == {"SUCCESS"}

    def come_back() -> None:
        market.execute(everybody)
        assert set(refresh(market).values()) == {"SUCCESS"}
        assert market.rows(rows) == [(all_of_them,)]

    assert lose(0.3) == "ERROR"
    accept("once")
    come_back()
    assert lose(0.3) == "ERROR", "once was for one publish"
    accept("once")
    # From 70 % to 49 % is normal from now on, and from 100 % it is not.
    assert lose(0.3) == "ERROR"
    accept("normal")
    come_back()
    assert lose(0.51) == "ERROR", "normal is not for a loss that began higher"
    market.execute(everybody)
    assert set(refresh(market).values()) == {"SUCCESS"}
    assert lose(0.15) == "SUCCESS"
    assert lose(0.15) == "SUCCESS"
    assert lose(0.3) == "SUCCESS", "normal is for each publish"


def test_a_share_of_nulls_that_jumps_is_held(market: Database) -> None:
    """The cause: whoever writes the offers leaves a column out from now on."""
    market.execute(
        "SELECT analytics.set_setting('breaker_pct', 'off')",
        "ALTER TABLE ofertas_detalle ALTER garantia_meses DROP NOT NULL",
        "UPDATE ofertas_detalle SET garantia_meses = NULL",
    )
    assert refresh(market)["mv_metricas_mensuales"] == "ERROR"
    held = [row for row in market.rows(HELD) if row[1] == "null_share"]
    assert [row[:3] for row in held] == [
        ("mv_metricas_mensuales", "null_share", "garantia_promedio_meses")
    ]
    assert held[0][5] == 100
    market.execute("SELECT analytics.set_setting('gate', 'off')")
    assert set(refresh(market).values()) == {"SUCCESS"}
    assert market.rows(HELD) == []


def delete_requests(database: Database, share: str) -> None:
    """Delete a share of the requests, and all that belongs to them."""
    database.execute(
        "CREATE TABLE doomed AS SELECT id FROM solicitudes ORDER BY created_at, id "
        f"LIMIT (SELECT {share} * count(*) FROM solicitudes)",
        "DELETE FROM solicitudes WHERE id IN (SELECT id FROM doomed)",
        "DROP TABLE doomed",
    )


def test_a_new_column_turns_nothing_null(market: Database) -> None:
    """Most of its rows may have no value yet. From then on it is a column as each other."""
    for query, result in (
        ("1 AS n", "SUCCESS"),
        ("1 AS n, CASE WHEN id < 3 THEN 1 END AS m", "SUCCESS"),
        ("1 AS n, NULL::integer AS m", "SUCCESS"),
        ("CASE WHEN id < 3 THEN 1 END AS n, 1 AS m", "ERROR"),
        ("1 AS n, 1 AS m", "SUCCESS"),
        ("1 AS n, CASE WHEN id < 3 THEN 1 END AS m", "ERROR"),
    ):
        market.execute(
            "SET ROLE analytics_owner; DROP MATERIALIZED VIEW IF EXISTS analytics.mv_told; "
            f"CREATE MATERIALIZED VIEW analytics.mv_told AS SELECT id, {query} "
            "FROM generate_series(1, 20) AS told (id); "
            "CREATE UNIQUE INDEX ON analytics.mv_told (id)"
        )
        assert refresh(market)["mv_told"] == result, query


def test_the_gate_is_not_switched_off_by_the_loss_that_it_looks_for(market: Database) -> None:
    """Before it there were enough requests, after it there are too few."""
    ((number,),) = market.rows("SELECT sum(requests) FROM kpi_engine.month_totals")
    least = int(str(number)) * 9 // 10
    market.execute(f"SELECT analytics.set_setting('gate_least_requests', '{least}')")
    before = contents(market)
    delete_requests(market, "0.4")
    # The second refresh applies no change: what it compares with is what is shown.
    for _ in range(2):
        assert refresh(market)["mv_metricas_mensuales"] == "ERROR"
        assert "closed_sum" in {row[1] for row in market.rows(HELD)}
        assert contents(market)["mv_metricas_mensuales"] == before["mv_metricas_mensuales"]
    ((left,),) = market.rows("SELECT sum(requests) FROM kpi_engine.month_totals")
    assert int(str(left)) < least
    for (view,) in market.rows("SELECT DISTINCT view_name FROM analytics.gate_holds"):
        market.execute(f"SELECT analytics.accept_gate('{view}', 'once', 'they were tests')")
    assert set(refresh(market).values()) == {"SUCCESS"}
    # It was enough when the figures moved: that is told for a day.
    restated = "SELECT count(*) FROM analytics.health_problems() WHERE problem = 'restated'"
    assert market.rows(restated, LATE) == [(1,)]
    # From now on there are too few.
    delete_requests(market, "0.4")
    assert set(refresh(market).values()) == {"SUCCESS"}


def test_totals_that_do_not_add_up_are_held(market: Database) -> None:
    """The cause: a wrong derived table, such as after a fault of the disk."""
    market.execute(
        "UPDATE kpi_engine.day_totals SET requests = requests + 1 "
        "WHERE dia = (SELECT max(dia) FROM kpi_engine.day_totals)",
        "UPDATE kpi_engine.engine_state SET data_version = data_version + 1",
        "UPDATE kpi_engine.derived_tables SET changed_version = engine_state.data_version "
        "FROM kpi_engine.engine_state WHERE table_name = 'day_totals'",
    )
    status = refresh(market)
    failed = {view for view, result in status.items() if result == "ERROR"}
    assert failed
    assert {row[1] for row in market.rows(HELD)} == {"total"}


def test_a_hold_says_since_when_the_view_is_held(market: Database) -> None:
    """A second refresh an hour later holds it for another figure, and for one more column."""
    ((month,),) = market.rows(
        "SELECT mes::text FROM analytics.mv_metricas_mensuales "
        "WHERE mes < '2026-11-01' ORDER BY solicitudes_creadas DESC LIMIT 1"
    )
    lose = (
        "UPDATE solicitudes SET created_at = created_at - interval '60 years' "
        f"WHERE created_at >= '{month}'::date + interval '5 hours' "
        f"AND created_at < '{month}'::date + interval '{{}} days'"
    )
    since = (
        "SELECT DISTINCT held_at = '{}' FROM analytics.gate_holds "
        "WHERE view_name = 'mv_metricas_mensuales'"
    )
    market.execute(lose.format(15))
    assert refresh(market)["mv_metricas_mensuales"] == "ERROR"
    before = market.rows(HELD)
    assert market.rows(since.format(LATE)) == [(True,)]
    market.execute(lose.format(25))
    assert refresh(market, "2026-12-20 13:00:00-05")["mv_metricas_mensuales"] == "ERROR"
    assert market.rows(HELD) != before
    assert market.rows(since.format(LATE)) == [(True,)]
    ((_, message),) = [row for row in market.rows(GATE) if "mv_metricas_mensuales" in str(row[1])]
    assert "keeps its contents since 2026-12-20T17:00:00" in str(message)
    # Published and held again: it begins anew.
    market.execute("SELECT analytics.set_setting('gate', 'off')")
    assert set(refresh(market).values()) == {"SUCCESS"}
    market.execute(
        "SELECT analytics.set_setting('gate', 'on')",
        "UPDATE solicitudes SET created_at = created_at + interval '60 years' "
        "WHERE created_at < '2000-01-01'",
    )
    assert refresh(market, "2026-12-20 14:00:00-05")["mv_metricas_mensuales"] == "ERROR"
    assert market.rows(since.format("2026-12-20 14:00:00-05")) == [(True,)]


def test_figures_of_a_view_that_is_for_operators_are_for_operators(market: Database) -> None:
    """Readers see health, the refresh log, and what the gate holds of their own views."""
    market.execute(
        "REVOKE SELECT ON analytics.mv_metricas_mensuales FROM analytics_lector",
        "SELECT analytics.set_setting('gate_lost_rows_pct', '100')",
        "DELETE FROM solicitudes WHERE created_at BETWEEN '2026-02-01' AND '2026-12-01'",
        "SELECT analytics.set_setting('breaker_pct', 'off')",
    )
    assert refresh(market)["mv_metricas_mensuales"] == "ERROR"
    held = market.rows(HELD)
    hidden = [row for row in held if row[0] == "mv_metricas_mensuales" and float(str(row[4])) > 9]
    shown = {str(row[0]) for row in held} - {"mv_metricas_mensuales"}
    assert hidden and shown
    told = str(
        [row for row in market.rows(GATE) if "view mv_metricas_mensuales" in str(row[1])]
        + market.rows(
            "SELECT error_message FROM analytics.refresh_log "
            "WHERE view_name = 'mv_metricas_mensuales' AND error_sqlstate = 'TA001'"
        )
    )
    assert "closed_sum: solicitudes_creadas of 2026-" in told
    assert "operators see the figures in analytics.gate_holds" in told
    for row in hidden:
        assert (
            f"the sum of {row[2]} of the closed period {row[3]} would go from {row[4]}" not in told
        )
    market.execute(
        "SELECT analytics.accept_gate(view_name, 'once', 'meant') FROM (SELECT DISTINCT "
        "view_name FROM analytics.gate_holds) AS held"
    )
    views = (
        "SELECT DISTINCT view_name FROM analytics.gate_holds "
        "UNION ALL SELECT DISTINCT view_name FROM analytics.gate_acceptances"
    )
    for role, seen in (("lector", shown), ("operador", {*shown, "mv_metricas_mensuales"})):
        with market.session() as connection:
            connection.execute(f"SET ROLE analytics_{role}")
            rows = connection.execute(views).fetchall()
        assert sorted(str(view) for (view,) in rows) == sorted([*seen, *seen])


def test_the_word_of_an_operator_is_checked(market: Database) -> None:
    for call, message in (
        ("'mv_ranking_asesores', 'once', 'x'", "p_view_name must be a view that the gate holds"),
        ("'mv_ranking_asesores', 'twice', 'x'", "p_how must be once or normal"),
        ("'mv_ranking_asesores', NULL, 'x'", "p_how must be once or normal"),
        ("'mv_ranking_asesores', 'once', ' '", "p_reason must say why"),
        ("NULL, 'once', 'x'", "p_view_name must be"),
        ("'changes', 'normal', 'x'", "p_how must be once for changes"),
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match=message):
            market.execute(f"SELECT analytics.accept_gate({call})")


@pytest.mark.parametrize("cause", ["mass update", "restore", "rebuild"])
def test_the_breaker_waits_for_an_operator(market: Database, cause: str) -> None:
    """The real causes: an UPDATE without WHERE, and the restore of an old backup."""
    before = contents(market)
    if cause == "mass update":
        market.execute("UPDATE solicitudes SET created_at = created_at - interval '1 day'")
    else:
        market.execute(
            "CREATE TABLE kept AS SELECT * FROM ofertas",
            "TRUNCATE ofertas CASCADE",
            "INSERT INTO ofertas SELECT * FROM kept WHERE created_at < '2026-01-01'",
        )
    if cause == "rebuild":
        with (
            market.session() as connection,
            pytest.raises(psycopg.Error, match="known requests changed at once"),
        ):
            connection.execute(f"SELECT set_config('analytics.now', '{LATE}', false)")
            connection.execute("CALL analytics.rebuild()")
    else:
        assert set(refresh(market).values()) == {"ERROR"}
    assert contents(market) == before
    ((view, rule, _, _, known, changed),) = market.rows(HELD)
    assert (view, rule) == ("changes", "breaker")
    assert int(str(changed)) * 2 > int(str(known))
    ((severity, message),) = market.rows(GATE)
    assert severity == "degraded"
    assert f"{changed} of {known} known requests changed" in str(message)
    market.execute("SELECT analytics.accept_gate('changes', 'once', 'it was meant')")
    # The gate looks at the views all the same.
    market.execute("SELECT analytics.set_setting('gate', 'off')")
    assert set(refresh(market).values()) == {"SUCCESS"}
    assert contents(market) != before
    assert market.rows(HELD) == []
    assert market.rows("SELECT analytics.audit()") == [(0,)]
    # Once: the next time it waits again.
    market.execute("UPDATE solicitudes SET created_at = created_at - interval '1 day'")
    assert set(refresh(market).values()) == {"ERROR"}


def test_an_operator_is_told_what_was_accepted(market: Database) -> None:
    """A refresh may have found something else since the operator looked. The hint takes it back."""
    market.execute(
        "UPDATE asesores SET estado = 'SUSPENDIDO' WHERE id IN (SELECT asesor_id FROM "
        "analytics.mv_ranking_asesores ORDER BY asesor_id LIMIT (SELECT count(*) / 2 FROM "
        "analytics.mv_ranking_asesores))"
    )
    assert refresh(market)["mv_ranking_asesores"] == "ERROR"
    told: list[tuple[str | None, str | None]] = []
    with market.session() as connection:
        connection.add_notice_handler(
            lambda notice: told.append((notice.message_primary, notice.message_hint))
        )
        connection.execute("SELECT analytics.accept_gate('mv_ranking_asesores', 'once', 'left')")
        ((message, hint),) = told
        assert str(message).startswith("accepted: lost_rows: it would go from ")
        connection.execute(str(hint).partition(": ")[2].encode())
    assert refresh(market)["mv_ranking_asesores"] == "ERROR"


def test_an_acceptance_is_withdrawn(market: Database) -> None:
    """Of three words for the same, two are for once. Withdrawn, none of them counts."""
    withdraw = "SELECT analytics.withdraw_gate_acceptance({}, {})"
    market.execute(
        "UPDATE asesores SET estado = 'SUSPENDIDO' WHERE id IN (SELECT asesor_id FROM "
        "analytics.mv_ranking_asesores ORDER BY asesor_id LIMIT (SELECT count(*) / 2 FROM "
        "analytics.mv_ranking_asesores))"
    )
    assert refresh(market)["mv_ranking_asesores"] == "ERROR"
    for how in ("once", "normal"):
        market.execute(f"SELECT analytics.accept_gate('mv_ranking_asesores', '{how}', 'they left')")
    words = market.rows("SELECT acceptance_id FROM analytics.gate_acceptances")
    assert len(words) >= 2
    for (word,) in words:
        market.execute(withdraw.format(word, "'they did not'"))
    assert refresh(market)["mv_ranking_asesores"] == "ERROR"
    assert market.rows(
        "SELECT DISTINCT withdrawn_reason, withdrawn_by = current_user, withdrawn_at IS NOT NULL, "
        "used_by_run FROM analytics.gate_acceptances"
    ) == [("they did not", True, True, None)]
    for number, reason, message in (
        (str(words[0][0]), "'x'", "must be an acceptance that counts"),
        ("0", "'x'", "must be an acceptance that counts"),
        ("NULL", "'x'", "must be an acceptance that counts"),
        (str(words[0][0]), "' '", "p_reason must say why"),
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match=message):
            market.execute(withdraw.format(number, reason))
    for (view,) in market.rows("SELECT DISTINCT view_name FROM analytics.gate_holds"):
        market.execute(f"SELECT analytics.accept_gate('{view}', 'once', 'they left after all')")
    assert set(refresh(market).values()) == {"SUCCESS"}
    ((used,),) = market.rows(
        "SELECT max(acceptance_id) FROM analytics.gate_acceptances WHERE used_by_run IS NOT NULL"
    )
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="that counts"):
        market.execute(withdraw.format(used, "'x'"))


def test_an_acceptance_ends_with_the_hold_that_it_accepts(market: Database) -> None:
    """A second word comes while the refresh that ends the hold still runs."""
    mass = "UPDATE solicitudes SET created_at = created_at - interval '1 day'"
    accept = "SELECT analytics.accept_gate('changes', 'once', 'it was meant')"
    market.execute("SELECT analytics.set_setting('gate', 'off')", mass)
    assert set(refresh(market).values()) == {"ERROR"}
    market.execute(accept)
    with market.session() as running, running.transaction():
        running.execute(f"SELECT set_config('analytics.now', '{LATE}', true)")
        result = running.execute("SELECT refresh_status FROM analytics.refresh_all_mv()").fetchall()
        assert set(result) == {("SUCCESS",)}
        market.execute(accept)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="that counts") as caught:
        market.execute(
            "SELECT analytics.withdraw_gate_acceptance(max(acceptance_id), 'too late') "
            "FROM analytics.gate_acceptances"
        )
    assert str(caught.value.diag.message_hint).startswith("None counts now: ")
    market.execute(mass)
    assert set(refresh(market, "2026-12-20 13:00:00-05").values()) == {"ERROR"}
    market.execute(accept)
    ((counting,),) = market.rows("SELECT max(acceptance_id) FROM analytics.gate_acceptances")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="that counts") as caught:
        market.execute("SELECT analytics.withdraw_gate_acceptance(0, 'no such one')")
    assert caught.value.diag.message_hint == f"One of {counting}."
    assert set(refresh(market, "2026-12-20 14:00:00-05").values()) == {"SUCCESS"}


def test_the_breaker_has_no_new_normal(market: Database) -> None:
    """Not even one of before: it let each later mass change pass."""
    market.execute(
        "INSERT INTO kpi_engine.gate_acceptances "
        "(view_name, rule, before, after, how, reason, accepted_by) "
        "VALUES ('changes', 'breaker', 1000000, 1000000, 'normal', 'of an older version', 'x')",
        "UPDATE solicitudes SET created_at = created_at - interval '1 day'",
    )
    assert set(refresh(market).values()) == {"ERROR"}
    assert [row[:2] for row in market.rows(HELD)] == [("changes", "breaker")]
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="once for changes"):
        market.execute("SELECT analytics.accept_gate('changes', 'normal', 'x')")
    assert market.rows("SELECT count(*) FROM analytics.gate_acceptances") == [(1,)]


def test_the_hint_of_a_rebuild_that_is_held_is_its_cure(market: Database) -> None:
    market.execute("UPDATE solicitudes SET created_at = created_at - interval '20 days'")
    with market.session() as connection:
        connection.execute(f"SELECT set_config('analytics.now', '{LATE}', false)")

        def cure(statement: str) -> list[str]:
            with pytest.raises(psycopg.Error, match="the rebuild ended early") as held:
                connection.execute(statement.encode())
            return re.findall("(?:SELECT|CALL) [^;]+;", str(held.value.diag.message_hint))

        accept, go_on = cure("CALL analytics.rebuild()")
        assert (accept.count("'changes'"), go_on.split(" ")[0]) == (1, "CALL")
        connection.execute(accept.encode())
        *accept_views, go_on = cure(go_on)
        assert "mv_metricas_mensuales" in str(accept_views)
        for statement in accept_views:
            connection.execute(statement.encode())
        assert {row[1] for row in connection.execute(go_on.encode())} == {"SUCCESS"}


@pytest.mark.parametrize(
    "everything", ["SELECT * FROM refresh_all_mv(force => true)", "CALL analytics.rebuild()"]
)
def test_what_only_a_full_computation_found_is_not_forgotten(
    market: Database, everything: str
) -> None:
    """No change is noted any more. Until now the next ordinary refresh ended the hold."""
    market.execute(
        "CREATE TABLE public.kept AS SELECT id, created_at FROM solicitudes",
        "UPDATE solicitudes SET created_at = created_at + interval '3 days'",
        "DELETE FROM kpi_engine.change_log",
    )
    with market.session() as connection:
        connection.execute(f"SELECT set_config('analytics.now', '{LATE}', false)")
        with suppress(psycopg.Error):
            connection.execute(everything.encode())
    held = [("changes", "breaker", None, None, 324, 320)]
    assert market.rows(HELD) == held
    market.execute(ADD.format(day="03").replace("2026-04", "2026-12"))
    assert set(refresh(market).values()) == {"ERROR"}
    assert market.rows(HELD) == held
    # It is set right, and no change is noted again.
    market.execute(
        "UPDATE solicitudes SET created_at = kept.created_at FROM public.kept "
        "WHERE kept.id = solicitudes.id",
        "DELETE FROM kpi_engine.change_log",
    )
    assert set(refresh(market).values()) == {"SUCCESS"}
    assert market.rows(HELD) == []
    assert market.rows("SELECT analytics.audit()", LATE) == [(0,)]
    assert market.rows("SELECT kpi_engine.next_rebuild_reason()", LATE) == [(None,)]


def test_a_hold_ends_when_its_cause_is_gone_without_a_publish(market: Database) -> None:
    """The view reads a setting, which is set back."""
    market.execute(
        "SET ROLE analytics_owner; CREATE MATERIALIZED VIEW analytics.mv_told AS SELECT id FROM "
        "generate_series(1, (SELECT value::integer FROM kpi_engine.settings WHERE name = "
        "'segment_active_offers')) AS told (id); CREATE UNIQUE INDEX ON analytics.mv_told (id)"
    )
    for hour, offers, result in (
        (12, "50", "SUCCESS"),
        (13, "5", "ERROR"),
        (14, "50", "SUCCESS"),
        (15, "5", "ERROR"),
    ):
        now = f"2026-12-20 {hour}:00:00-05"
        market.execute(f"SELECT analytics.set_setting('segment_active_offers', '{offers}')")
        assert refresh(market, now)["mv_told"] == result
        if hour == 13:
            # It ends with the hold, too.
            market.execute("SELECT analytics.accept_gate('mv_told', 'once', 'it was meant')")
        if hour == 14:
            assert market.rows(HELD) == []
            assert market.rows(GATE, now) == []


@pytest.mark.parametrize("by", ["work", "rebuild"])
@pytest.mark.parametrize("seen", [True, False])
def test_the_breaker_holds_although_the_rows_cannot_be_compared(
    market: Database, by: str, seen: bool
) -> None:
    """In another time zone each row differs: what waits is counted."""
    before = contents(market)
    market.execute("UPDATE solicitudes SET ciudad_origen = 'Leticia'")
    if seen:
        assert set(refresh(market).values()) == {"ERROR"}
    market.execute("SELECT analytics.set_setting('time_zone', 'America/Lima')")
    with market.session() as connection:
        connection.execute(f"SELECT set_config('analytics.now', '{LATE}', false)")
        connection.execute("SELECT kpi_engine.queue_refresh(false, 'test')")
        with pytest.raises(psycopg.Error, match="known requests changed at once"):
            connection.execute(f"CALL analytics.{by}()")
    assert contents(market) == before
    assert [row[:2] for row in market.rows(HELD)] == [("changes", "breaker")]
    market.execute(
        "SELECT analytics.accept_gate('changes', 'once', 'meant')",
        "SELECT analytics.set_setting('gate', 'off')",
    )
    with market.session() as connection:
        connection.execute(f"SELECT set_config('analytics.now', '{LATE}', false)")
        connection.execute("CALL analytics.rebuild()")
    assert market.rows(HELD) == []
    assert contents(market) != before


OTHER_RULES = (
    "UPDATE kpi_engine.derived_tables SET rules_checksum = 'older' "
    "WHERE table_name = 'solicitud_facts'"
)
OTHER_ZONE = "SELECT analytics.set_setting('time_zone', '{}')"
# Each request moves, and no trigger notes it.
MISSED = (
    "ALTER TABLE solicitudes DISABLE TRIGGER USER",
    "UPDATE solicitudes SET created_at = created_at - interval '3 days'",
    "ALTER TABLE solicitudes ENABLE TRIGGER USER",
)


@pytest.mark.parametrize(
    ("alone", "missed"),
    [
        (
            OTHER_ZONE.format("Asia/Tokyo"),
            (*MISSED, "CALL analytics.tick()", OTHER_ZONE.format("America/Guayaquil")),
        ),
        (OTHER_RULES, (*MISSED, "CALL analytics.tick()", OTHER_RULES)),
        (
            OTHER_RULES,
            (
                *MISSED,
                "UPDATE kpi_engine.engine_state "
                "SET capture_signature = kpi_engine.capture_signature()",
                "INSERT INTO kpi_engine.change_log (entity) VALUES ('everything')",
                OTHER_RULES,
            ),
        ),
    ],
    ids=["another zone", "other rules, triggers were off", "other rules, a change without a key"],
)
def test_the_breaker_holds_missed_changes_although_rows_differ_for_another_reason(
    market: Database, alone: str, missed: tuple[str, ...]
) -> None:
    market.execute("SELECT analytics.set_setting('gate', 'off')", alone)
    assert set(refresh(market).values()) == {"SUCCESS"}
    before = contents(market)
    market.execute(*missed)
    assert set(refresh(market).values()) == {"ERROR"}
    assert [row[:2] for row in market.rows(HELD)] == [("changes", "breaker")]
    assert contents(market) == before


def test_the_breaker_counts_requests_that_are_gone_in_another_zone(market: Database) -> None:
    """No pending change names them: triggers were off."""
    before = contents(market)
    market.execute(
        "SET session_replication_role = replica; DELETE FROM solicitudes",
        "SELECT analytics.set_setting('time_zone', 'America/Lima')",
    )
    with (
        market.session() as connection,
        pytest.raises(psycopg.Error, match="known requests changed at once"),
    ):
        connection.execute(f"SELECT set_config('analytics.now', '{LATE}', false)")
        connection.execute("CALL analytics.rebuild()")
    assert contents(market) == before
    assert [row[:2] for row in market.rows(HELD)] == [("changes", "breaker")]


def test_a_held_view_asks_for_its_columns_once_and_not_for_each_row(market: Database) -> None:
    """It is compared again by each refresh, although nothing changes."""
    market.execute("DELETE FROM ofertas WHERE id::text < '4'")
    held = [view for view, status in refresh(market).items() if view and status == "ERROR"]
    assert held
    calls = "SELECT coalesce(pg_stat_get_function_calls('kpi_engine.kpi_columns'::regproc), 0)"
    ((before,),) = market.rows(calls)
    with market.connect() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [LATE])
        connection.execute("SET track_functions = 'all'")
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
        connection.execute("SELECT pg_stat_force_next_flush()")
    ((after,),) = market.rows(calls)
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert 0 < after - before <= 4 * len(held)

"""What was published stays known: the history, closed periods, restatements."""

import psycopg
import pytest

from conftest import Database, made_once
from golden_data import GOLDEN, NOW, load_rich, run_file
from migrate import migrate
from sequences import KPI_VIEWS, PUBLISHED

SERVERS_TAKE_TURNS = True
HISTORY = (
    "SELECT object - 'calculado_at' FROM analytics.as_reported('{}', '{}') AS past (object) "
    "ORDER BY 1"
)
STAGES = (
    ("source", NOW),
    ("day_1", "2026-11-23 23:59:59-05"),
    ("day_2", "2026-11-24 00:00:00-05"),
)


def refresh(database: Database, now: str, *, force: bool = False) -> None:
    rows = database.rows(f"SELECT * FROM analytics.refresh_all_mv({str(force).lower()})", now)
    assert {row[1] for row in rows} == {"SUCCESS"}, rows


@pytest.mark.parametrize("generation", ["a", "b"])
def test_each_view_as_it_was_published_at_each_moment(database: Database, generation: str) -> None:
    shown: dict[str, dict[str, list[object]]] = {}
    for stage, now in STAGES:
        run_file(database.url, GOLDEN / "rich" / generation / f"{stage}.sql")
        if stage == "source":
            migrate(database.url)
        refresh(database, now)
        shown[now] = {view: list(database.rows(PUBLISHED.format(view))) for view in KPI_VIEWS}
    assert len({str(rows) for rows in shown.values()}) == 3
    late = "2026-11-25 00:00:00-05"
    for now, views in shown.items():
        for view, rows in views.items():
            assert list(database.rows(HISTORY.format(view, now), late)) == rows, (view, now)
    # Just before the second, and at the end of a day.
    for view in KPI_VIEWS:
        moment = "2026-11-23T23:59:58.999999-05:00"
        assert list(database.rows(HISTORY.format(view, moment), late)) == shown[NOW][view]
        assert (
            list(database.rows(HISTORY.format(view, "2026-11-23"), late))
            == shown["2026-11-23 23:59:59-05"][view]
        )


TABLE = "mv_metricas_mensuales"
APRIL = "2026-04-01"
ADD = (
    "INSERT INTO solicitudes SELECT made.* FROM (SELECT to_jsonb(solicitudes) AS row FROM "
    "solicitudes ORDER BY id LIMIT 1) AS one CROSS JOIN LATERAL jsonb_populate_record("
    "NULL::solicitudes, one.row || jsonb_build_object('id', gen_random_uuid(), "
    "'created_at', '2026-04-{day} 10:00:00-05')) AS made"
)
SHOWN = f"SELECT solicitudes_creadas FROM analytics.{TABLE} WHERE mes = '{APRIL}'"
PAST = (
    "SELECT (object ->> 'solicitudes_creadas')::bigint FROM "
    f"analytics.as_reported('{TABLE}', '{{}}') AS past (object) WHERE object ->> 'mes' = '{APRIL}'"
)
RESTATED = (
    "SELECT reported, previous, current, difference, difference_pct, requests_changed "
    "FROM analytics.restatements WHERE column_name = 'solicitudes_creadas' "
    f"AND view_name = '{TABLE}' ORDER BY restatement_id"
)


@pytest.fixture
def april(system_database: Database) -> tuple[Database, int]:
    """April is reported, corrected in May, and corrected again."""
    made_once(system_database, "april", make_april)
    return system_database, REPORTED[0]


REPORTED: list[int] = []


def make_april(database: Database) -> None:
    load_rich(database.url)
    refresh(database, "2026-04-30 01:00:00-05")
    database.execute(ADD.format(day="30"))
    # The day before it closes, and the minute before.
    refresh(database, "2026-05-05 01:00:00-05")
    database.execute(ADD.format(day="29"))
    refresh(database, "2026-05-05 23:59:00-05")
    ((reported,),) = database.rows(SHOWN)
    assert isinstance(reported, int)
    REPORTED.append(reported)
    assert database.rows(RESTATED) == []
    database.execute(ADD.format(day="01"))
    refresh(database, "2026-05-06 01:00:00-05")
    database.execute(ADD.format(day="02"), ADD.format(day="03"))
    refresh(database, "2026-05-20 01:00:00-05")


def test_a_restated_month_by_sql(april: tuple[Database, int]) -> None:
    database, reported = april
    now = "2026-05-21 10:00:00-05"
    assert database.rows(SHOWN) == [(reported + 3,)]
    for at, added in (
        ("2026-04-30", -2),
        ("2026-05-05T23:58:59.999-05:00", -1),
        ("2026-05-05", 0),
        ("2026-05-06 00:59", 0),
        ("2026-05-06T01:00", 1),
        ("2026-05-06T06:00Z", 1),
        ("2026-05-20T00:59:59-05", 1),
        ("2026-05-20T01:00:00-0500", 3),
        ("2026-05-21", 3),
    ):
        assert database.rows(PAST.format(at), now) == [(reported + added,)], at
    first, second = database.rows(RESTATED)
    assert first[:4] == (reported, reported, reported + 1, 1)
    assert float(str(first[4])) == round(100 / reported, 2)
    assert second[:4] == (reported, reported + 1, reported + 3, 3)
    assert (first[5], second[5]) == (1, 2)
    # Day and week are closed too, and no open period is restated.
    assert database.rows(
        "SELECT view_name, period::text FROM analytics.restatements WHERE column_name = "
        "'solicitudes_creadas' AND view_name <> 'mv_metricas_mensuales' GROUP BY 1, 2 "
        "ORDER BY 1, 2"
    )
    assert database.rows(
        "SELECT count(*) FROM analytics.restatements WHERE period > '2026-05-01' OR since < "
        "reported_at OR current IS NOT DISTINCT FROM previous"
    ) == [(0,)]


def test_restatements_and_results_are_for_readers_of_the_view(
    april: tuple[Database, int],
) -> None:
    """As the history of the view is, and as the API says it."""
    database, _ = april
    database.execute(
        "INSERT INTO kpi_engine.target_results (view_name, column_name, period, target, better, "
        f"figure, is_missed, is_alert, run_id, noted_at) SELECT '{TABLE}', 'ofertas_totales', "
        f"'{APRIL}', 1, 'up', 2, false, false, 1, now()",
        f"REVOKE SELECT ON analytics.{TABLE} FROM analytics_lector",
    )
    with database.session() as connection:
        for role, is_shown in (("lector", False), ("operador", True), ("owner", True)):
            connection.execute(f"SET ROLE analytics_{role}")
            for records in ("restatements", "target_results"):
                found = connection.execute(
                    f"SELECT bool_or(view_name = '{TABLE}') FROM analytics.{records}"
                ).fetchone()
                assert found == (is_shown or (None if records == "target_results" else False),)
            connection.execute("RESET ROLE")


def test_fewer_closing_days_do_not_reach_back_behind_a_publish(
    system_database: Database,
) -> None:
    """What was shown for an open month is no reported figure once the setting changes."""
    database = system_database
    load_rich(database.url)
    database.execute("SELECT analytics.set_setting('closing_days', '30')")
    refresh(database, "2026-04-30 01:00:00-05")
    database.execute(ADD.format(day="30"))
    refresh(database, "2026-05-05 01:00:00-05")
    ((shown,),) = database.rows(SHOWN)
    assert isinstance(shown, int)
    database.execute("SELECT analytics.set_setting('closing_days', '0')", ADD.format(day="02"))
    refresh(database, "2026-05-20 01:00:00-05")
    ((row),) = database.rows(RESTATED)
    assert row[:4] == (shown, shown, shown + 1, 1)
    assert database.rows(
        "SELECT reported_at, closed_at FROM kpi_engine.closings "
        f"WHERE view_name = '{TABLE}' AND period = '{APRIL}' "
        "AND reported_at = '2026-05-05 01:00:00-05' AND closed_at = reported_at"
    )


def test_a_moment_is_a_day_or_an_instant_of_the_past_and_of_the_history(
    april: tuple[Database, int],
) -> None:
    database, _ = april
    now = "2026-05-21 10:00:00-05"
    for at in (
        "2026-05-22",
        "2026-05-21T10:00:01-05:00",
        "2026-02-30",
        "2026-05-20T10:00+16:00",
        "yesterday",
        "",
        "2026-5-4",
        "now",
    ):
        with pytest.raises(
            psycopg.errors.InvalidParameterValue, match="p_at must be a day"
        ) as caught:
            database.rows(PAST.format(at), now)
        assert at in str(caught.value.diag.message_detail)
    # An error, and no empty answer.
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="does not reach back") as caught:
        database.rows(PAST.format("2026-04-29"), now)
    assert caught.value.diag.message_detail == "It begins at 2026-04-30T06:00:00.000Z."


def test_an_instant_of_an_answer_finds_what_it_was_of(april: tuple[Database, int]) -> None:
    """Answers have milliseconds, and a publish has microseconds."""
    database, reported = april
    database.execute(ADD.format(day="05"))
    refresh(database, "2026-05-21 10:00:00.717819-05")
    now = "2026-05-21 10:01:00-05"
    assert database.rows(PAST.format("2026-05-21T15:00:00.717Z"), now) == [(reported + 4,)]
    assert database.rows(PAST.format("2026-05-21T15:00:00.716Z"), now) == [(reported + 3,)]


def test_a_moment_says_how_fresh_its_figures_were(april: tuple[Database, int]) -> None:
    """As the answers of that moment did: also by refreshes that found nothing to change."""
    database, _ = april
    for at in ("2026-05-21 01:00:00-05", "2026-05-22 01:00:00-05"):
        refresh(database, at)
    database.execute(ADD.format(day="06"))
    refresh(database, "2026-05-25 01:00:00-05")
    refresh(database, "2026-05-26 01:00:00-05")

    def asked(view: str, *parts: str) -> tuple[list[dict[str, object]], dict[str, str]]:
        with database.session() as connection, connection.transaction():
            connection.execute("SELECT set_config('analytics.now', '2026-05-29 09:00-05', true)")
            row = connection.execute(
                "SELECT api.kpi(%s, VARIADIC %s), current_setting('response.headers')::json",
                [view, list(parts)],
            ).fetchone()
            assert row
            return row[0], {name: value for one in row[1] for name, value in one.items()}

    for as_of, refreshed, stale in (
        ("2026-05-20", "2026-05-20T06:00:00.000Z", "false"),
        ("2026-05-21", "2026-05-20T06:00:00.000Z", "false"),
        ("2026-05-22", "2026-05-22T06:00:00.000Z", "false"),
        ("2026-05-24", "2026-05-22T06:00:00.000Z", "true"),
        ("2026-05-26", "2026-05-26T06:00:00.000Z", "false"),
        ("2026-05-28", "2026-05-26T06:00:00.000Z", "true"),
        ("2026-05-29", "2026-05-26T06:00:00.000Z", "true"),
    ):
        _, headers = asked(TABLE, f"as_of={as_of}")
        assert (headers["X-Refreshed-At"], headers["X-Stale"]) == (refreshed, stale), as_of
        assert "X-Calculated-At" in headers
    # A day without a row is filled up to the last refresh until then.
    for as_of, last in (("2026-05-22", "2026-05-22"), ("2026-05-24", "2026-05-22")):
        days, _ = asked("mv_embudo_operativo", f"as_of={as_of}", "fill=true", "to=2026-05-31")
        assert days[0]["dia"] == last
    # The idle publishes of the ranking are trimmed, and nothing else changes.
    before = [asked("mv_ranking_asesores", f"as_of=2026-05-{day}") for day in range(20, 30)]
    database.rows("SELECT kpi_engine.trim_publications(analytics.now())", "2026-05-29 09:00-05")
    after = [asked("mv_ranking_asesores", f"as_of=2026-05-{day}") for day in range(20, 30)]
    assert [rows for rows, _ in before] == [rows for rows, _ in after]
    for (_, one), (_, other) in zip(before, after, strict=True):
        assert one["X-Stale"] == other["X-Stale"]


def test_a_restated_month_by_the_functions_of_the_api(april: tuple[Database, int]) -> None:
    database, reported = april
    now = "2026-05-21 10:00:00-05"

    def created(*parameters: str) -> list[tuple[object, ...]]:
        listed = "".join(f", '{each}'" for each in parameters)
        return database.rows(
            f"SELECT row ->> 'mes', (row ->> 'solicitudes_creadas')::bigint FROM "
            f"json_array_elements(api.kpi('{TABLE}', 'from=2026-04', 'to=2026-05'{listed})) AS row",
            now,
        )

    ((may, _), _) = shown = created()
    assert may == "2026-05-01"
    assert shown[1] == (APRIL, reported + 3)
    assert created("reported=true")[1] == (APRIL, reported)
    assert created("reported=true")[0] == shown[0]
    assert created("reported=false") == shown
    # Before anything came in May.
    assert created("as_of=2026-04-30")[-1:] == [(APRIL, reported - 2)]
    assert created("as_of=2026-05-06T01:00:00-05:00")[-1] == (APRIL, reported + 1)
    answer = database.rows(
        "SELECT row ->> 'view', row ->> 'period', row ->> 'column', (row ->> 'reported')::bigint, "
        "(row ->> 'current')::bigint, row ->> 'reported_at', row ->> 'since', "
        "(row ->> 'requests_changed')::bigint FROM json_array_elements("
        f"api.restatements('{TABLE}', '2026-04')) AS row "
        "WHERE row ->> 'column' = 'solicitudes_creadas'",
        now,
    )
    at_closing = "2026-05-06T04:59:00.000Z"
    column = (TABLE, APRIL, "solicitudes_creadas", reported)
    assert answer == [
        (*column, reported + 3, at_closing, "2026-05-20T06:00:00.000Z", 2),
        (*column, reported + 1, at_closing, "2026-05-06T06:00:00.000Z", 1),
    ]
    for call, message in (
        ("api.kpi('mv_metricas_mensuales', 'as_of=x')", "parameter as_of must be a day"),
        ("api.kpi('mv_metricas_mensuales', 'as_of=2026-04-01')", "within the history of the view"),
        (
            "api.kpi('mv_metricas_mensuales', 'as_of=2026-05-04', 'reported=true')",
            "exclude each other",
        ),
        ("api.kpi('mv_ranking_asesores', 'reported=true')", "has no time"),
        ("api.kpi('mv_metricas_mensuales', 'reported=1')", "parameter reported must be true"),
        ("api.restatements('mv_ranking_asesores')", "parameter view must be"),
        ("api.restatements(period => '2026-13')", "parameter period must be"),
        ("api.restatements('mv_metricas_mensuales', '2026-04-02')", "parameter period must be"),
        ("api.restatements('mv_salud_marketplace', '2026-04')", "must be the Monday of a week"),
        ("api.restatements(limite => '0')", "parameter limit must be"),
    ):
        with pytest.raises(psycopg.Error, match=message):
            database.rows(f"SELECT {call}", now)
    assert database.rows(
        "SELECT json_array_length(api.kpi('mv_ranking_asesores', 'as_of=2026-05-04'))", now
    ) == database.rows("SELECT least(50, count(*)) FROM analytics.mv_ranking_asesores")


def test_a_history_of_some_days_or_none(april: tuple[Database, int]) -> None:
    """The setting trims what is older, and closed periods keep their reported figures."""
    database, reported = april
    now = "2026-05-21 10:00:00-05"
    database.execute(
        "SELECT analytics.set_setting('publication_history', "
        f"'{TABLE}=10, mv_finanzas_mensuales=none')"
    )
    at_closing = (
        f"SELECT object FROM kpi_engine.rows_at_closing('{TABLE}') AS past (object) ORDER BY 1"
    )
    before = [{**row, "calculado_at": None} for (row,) in database.rows(at_closing)]  # type: ignore[dict-item]
    ((rows,),) = database.rows("SELECT count(*) FROM kpi_engine.published_rows")
    database.rows("SELECT kpi_engine.trim_publications(analytics.now())", now)
    assert database.rows("SELECT count(*) FROM kpi_engine.published_rows") < [(rows,)]
    after = [{**row, "calculado_at": None} for (row,) in database.rows(at_closing)]  # type: ignore[dict-item]
    assert after == before
    assert database.rows(PAST.format("2026-05-11T10:00:01"), now) == [(reported + 1,)]
    assert database.rows(PAST.format("2026-05-21"), now) == [(reported + 3,)]
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="does not reach back"):
        database.rows(PAST.format("2026-05-05"), now)
    # None at all: then it begins again.
    none = "SELECT count(*) FROM analytics.as_reported('mv_finanzas_mensuales', '{}')"
    database.execute(ADD.format(day="05"))
    refresh(database, now, force=True)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="does not reach back") as caught:
        database.rows(none.format("2026-05-21"), now)
    assert "keeps no history" in str(caught.value.diag.message_detail)
    database.execute("SELECT analytics.set_setting('publication_history', '*=all')")
    refresh(database, "2026-05-22 01:00:00-05", force=True)
    later = "2026-05-23 01:00:00-05"
    shown = "SELECT count(*) FROM analytics.mv_finanzas_mensuales"
    assert database.rows(none.format("2026-05-22"), later) == database.rows(shown)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="does not reach back"):
        database.rows(none.format("2026-05-21"), later)


def test_a_history_that_is_kept_again_begins_with_the_next_refresh(
    april: tuple[Database, int],
) -> None:
    """Also if the view did not change. Until then no figure passes for a reported one."""
    database, _ = april
    view = "mv_finanzas_mensuales"
    setting = "SELECT analytics.set_setting('publication_history', '{}')"
    reported = f"SELECT kpi_engine.kpi_rows('{view}', ARRAY['reported=true'], 'analytics_owner')"
    past = "SELECT count(*) FROM analytics.as_reported('mv_finanzas_mensuales', '{}')"
    has = (
        "SELECT kpi -> 'has_history' FROM json_array_elements(kpi_engine.kpi_catalogue()) "
        f"AS listed (kpi) WHERE kpi ->> 'view' = '{view}'"
    )
    database.execute(setting.format(f"{view}=none"))
    refresh(database, "2026-05-21 10:00:00-05", force=True)
    database.execute(setting.format("*=all"))
    now = "2026-05-21 11:00:00-05"
    with pytest.raises(psycopg.Error, match=f"view {view} has no history") as caught:
        database.rows(reported, now)
    assert "It begins with the next refresh" in str(caught.value)
    with pytest.raises(psycopg.errors.InvalidParameterValue) as missing:
        database.rows(past.format("2026-05-21T10:30"), now)
    assert str(missing.value.diag.message_detail).startswith("It begins with the next refresh")
    assert database.rows(has, now) == [(False,)]
    contents = "SELECT kpi_engine.digest_contents('monthly') IS NOT NULL"
    assert database.rows(contents, now) == [(True,)]
    refresh(database, "2026-05-21 12:00:00-05")
    shown = database.rows(f"SELECT count(*) FROM analytics.{view}")
    now = "2026-05-21 13:00:00-05"
    assert database.rows(past.format("2026-05-21T12:30"), now) == shown
    assert len(database.rows(reported, now)[0][0]) > 0  # type: ignore[arg-type]
    assert database.rows(has, now) == [(True,)]
    with pytest.raises(psycopg.errors.InvalidParameterValue) as missing:
        database.rows(past.format("2026-05-21T10:30"), now)
    assert missing.value.diag.message_detail == "It begins at 2026-05-21T17:00:00.000Z."
    begins = "SELECT FROM kpi_engine.view_staleness() WHERE reason = 'its history begins'"
    assert database.rows(begins) == []


def test_a_row_that_is_gone_stays_gone_when_the_history_is_trimmed(
    april: tuple[Database, int],
) -> None:
    """Its version at closing stays, for what was reported. It must not come back to life."""
    database, _ = april
    view = "mv_demanda_ciudades"
    ((city,),) = database.rows(
        f"SELECT ciudad_key FROM analytics.{view} WHERE mes = '{APRIL}' ORDER BY 1 LIMIT 1"
    )
    database.execute(
        f"SELECT analytics.set_setting('publication_history', '{view}=10')",
        "UPDATE public.solicitudes SET ciudad_origen = 'Otra parte' WHERE "
        f"analytics.city_key(ciudad_origen) = '{city}'",
    )
    refresh(database, "2026-05-21 01:00:00-05")
    now = "2026-06-05 01:00:00-05"
    past = (
        f"SELECT count(*) FROM analytics.as_reported('{view}', '2026-06-01') AS past (object) "
        f"WHERE object ->> 'ciudad_key' = '{city}'"
    )
    at_closing = (
        f"SELECT count(*) FROM kpi_engine.rows_at_closing('{view}') AS past (object) "
        f"WHERE object ->> 'ciudad_key' = '{city}' AND object ->> 'mes' = '{APRIL}'"
    )
    for _ in range(2):
        assert database.rows(past, now) == [(0,)]
        assert database.rows(at_closing, now) == [(1,)]
        database.rows("SELECT kpi_engine.trim_publications(analytics.now())", now)
    assert database.rows(
        "SELECT count(*) FROM analytics.publications "
        f"WHERE view_name = '{view}' AND published_at < '2026-05-21'"
    ) == [(0,)], "nothing was trimmed"


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        # What PostgreSQL's own hash of a row takes for the same.
        ("numeric", "-2592000.00", "2592000.00"),
        ("bigint", "1", "4294967296"),
        ("bigint", "-1", "4294967295"),
        ("interval", "1 day", "24:00:00"),
        ("numeric", "NULL", "0"),
        ("text", "", " "),
    ],
)
def test_each_change_of_a_value_is_noted(
    april: tuple[Database, int], kind: str, before: str, after: str
) -> None:
    database, _ = april
    value = f"nullif('{before}', 'NULL')::{kind}"
    database.execute(
        f"CREATE TABLE public.told AS SELECT 1 AS id, {value} AS value",
        "GRANT SELECT ON public.told TO analytics_owner",
        "SET ROLE analytics_owner;"
        "CREATE MATERIALIZED VIEW analytics.mv_told AS SELECT id, value FROM public.told;"
        "CREATE UNIQUE INDEX mv_told_id ON analytics.mv_told (id); RESET ROLE",
        "SELECT * FROM analytics.refresh_all_mv()",
        f"UPDATE public.told SET value = '{after}'::{kind}",
        "SELECT * FROM analytics.refresh_all_mv()",
    )
    kept = database.rows(
        "SELECT contents ->> 'value' FROM kpi_engine.reported_rows "
        "WHERE view_name = 'mv_told' ORDER BY run_id"
    )
    ((last,),) = database.rows("SELECT to_jsonb(told) ->> 'value' FROM analytics.mv_told AS told")
    assert len(kept) == 2
    assert kept[-1] == (last,)
    assert kept[0] != kept[1]


def test_a_renamed_column_is_noted_under_its_new_name(april: tuple[Database, int]) -> None:
    database, _ = april
    database.execute(
        "CREATE TABLE public.told AS SELECT 1 AS id, 5.50 AS value, true AS ok, NULL::text AS none",
        "GRANT SELECT ON public.told TO analytics_owner",
        "SET ROLE analytics_owner;"
        "CREATE MATERIALIZED VIEW analytics.mv_told AS SELECT id, value, ok, none FROM public.told;"
        "CREATE UNIQUE INDEX mv_told_id ON analytics.mv_told (id); RESET ROLE",
        "SELECT * FROM analytics.refresh_all_mv()",
        "ALTER MATERIALIZED VIEW analytics.mv_told RENAME COLUMN value TO amount",
        "SELECT * FROM analytics.refresh_all_mv()",
    )
    assert database.rows(
        "SELECT contents::text FROM kpi_engine.reported_rows WHERE view_name = 'mv_told' "
        "ORDER BY run_id"
    ) == [
        ('{"id": 1, "ok": true, "none": null, "value": 5.50}',),
        ('{"id": 1, "ok": true, "none": null, "amount": 5.50}',),
    ]


def test_a_pinned_clock_without_an_offset_is_of_the_session(april: tuple[Database, int]) -> None:
    """What is hashed is in UTC; the clock is not."""
    database, _ = april
    with database.session() as connection:
        connection.execute(
            "SET TimeZone = 'America/Bogota'; SET analytics.now = '2026-05-21 20:00'"
        )
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
    assert database.rows(
        "SELECT DISTINCT published_at = '2026-05-21 20:00-05' FROM kpi_engine.publications "
        "WHERE run_id = (SELECT max(run_id) FROM kpi_engine.publications)"
    ) == [(True,)]


def test_a_publish_that_changed_nothing_is_kept_for_a_day(april: tuple[Database, int]) -> None:
    """With target_lag there may be one each minute."""
    database, reported = april
    for minute in range(1, 4):
        refresh(database, f"2026-05-20 01:0{minute}:00-05", force=True)
    count = f"SELECT count(*) FROM analytics.publications WHERE view_name = '{TABLE}'"
    trim = "SELECT kpi_engine.trim_publications(analytics.now())"
    assert database.rows(count) == [(8,)]
    database.rows(trim, "2026-05-21 01:00:00-05")
    assert database.rows(count) == [(8,)]
    # The last one stays.
    database.rows(trim, "2026-05-21 10:00:00-05")
    assert database.rows(count) == [(6,)]
    for at, added in (("2026-05-20T01:02", 3), ("2026-05-06T02:00", 1), ("2026-05-05", 0)):
        assert database.rows(PAST.format(at), "2026-05-21 10:00:00-05") == [(reported + added,)]


def test_a_publish_is_of_the_moment_when_it_was_made(april: tuple[Database, int]) -> None:
    """Not of the moment when its transaction began: nobody saw it between."""
    database, _ = april
    stamps = (
        "SELECT published_at FROM kpi_engine.publications "
        f"WHERE view_name = '{TABLE}' ORDER BY run_id DESC LIMIT 2"
    )
    shown = f"SELECT max(solicitudes_creadas) FROM analytics.{TABLE}"
    past = (
        "SELECT max((object ->> 'solicitudes_creadas')::bigint) FROM "
        f"analytics.as_reported('{TABLE}', %s) AS past (object)"
    )
    database.execute("SELECT analytics.set_setting('gate', 'off')")
    refresh_now = "SELECT * FROM analytics.refresh_all_mv()"
    with database.session() as load:
        load.execute("BEGIN")
        load.execute(ADD.format(day="11"))
        database.execute("DELETE FROM solicitudes WHERE created_at >= '2026-04-29'", refresh_now)
        ((before,),) = database.rows(shown)
        ((between,),) = database.rows("SELECT clock_timestamp()")
        load.execute(refresh_now)
        load.execute("COMMIT")
    (late,), (early,) = database.rows(stamps)
    assert early < between < late  # type: ignore[operator]
    with database.session() as connection:
        assert connection.execute(past, [str(between)]).fetchone() == (before,)
        assert connection.execute(shown).fetchone() != (before,)
        # A statement that worked for long before: when did it begin?
        connection.execute(
            "CREATE OR REPLACE FUNCTION kpi_engine.clock_tolerance() RETURNS interval "
            "LANGUAGE sql IMMUTABLE RETURN interval '100 milliseconds'"
        )
        with pytest.raises(
            psycopg.errors.ObjectNotInPrerequisiteState, match="must be a statement of its own"
        ):
            connection.execute(
                "DO $$ BEGIN PERFORM pg_sleep(0.2); PERFORM analytics.refresh_all_mv(); END $$"
            )
        # Its snapshot is old: it would publish old figures as those of now.
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_sleep(0.2)")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="of its own"):
            connection.execute(refresh_now)
        connection.execute("ROLLBACK")


def test_a_clock_that_was_ahead_closes_nothing_and_hides_nothing(
    april: tuple[Database, int],
) -> None:
    database, reported = april
    refresh(database, "2027-05-21 10:00:00-05", force=True)
    asked = f"SELECT object ->> 'mes' FROM kpi_engine.rows_at_closing('{TABLE}') AS past (object) "
    closed = (
        "SELECT count(*) FROM kpi_engine.closings "
        "WHERE kpi_engine.closing_counts(closings, analytics.now()) "
        "AND closed_at > '2026-05-21 10:00:00-05'"
    )
    now = "2026-05-21 10:00:00-05"
    assert database.rows(closed, "2027-05-21 10:00:00-05") != [(0,)]
    assert database.rows(closed, now) == [(0,)]
    database.execute(ADD.format(day="07"))
    refresh(database, now, force=True)
    assert database.rows(closed, now) == [(0,)]
    assert database.rows(PAST.format("2026-05-21T10:00:00"), now) == [(reported + 4,)]
    assert database.rows(PAST.format("2026-05-21T09:59:59"), now) == [(reported + 3,)]
    assert ("2026-05-01",) in database.rows(asked, now)
    # May closes in its time, and what it had then is reported.
    for day in ("2026-05-31", "2026-06-05", "2026-06-07"):
        refresh(database, f"{day} 01:00:00-05", force=True)
    assert database.rows(
        f"SELECT closed_at FROM kpi_engine.closings WHERE view_name = '{TABLE}' "
        "AND period = '2026-05-01' AND closed_at = '2026-06-06 00:00-05'"
    )
    # Another publish, a day after: it was that clock, and nothing of it is left.
    assert database.rows(
        "SELECT (SELECT count(*) FROM kpi_engine.closings WHERE noted_at > '2026-06-08'), "
        "(SELECT count(*) FROM kpi_engine.publications WHERE published_at > '2026-06-08'), "
        "(SELECT count(*) FROM kpi_engine.restatements WHERE since > '2026-06-08')"
    ) == [(0, 0, 0)]


def test_a_clock_that_was_behind_rewrites_nothing(april: tuple[Database, int]) -> None:
    """A server without a clock battery: ticks and a refresh come before the time is set."""
    database, reported = april
    moments = ("2026-04-30", "2026-05-05T12:00", "2026-05-05", "2026-05-06T02:00", "2026-05-19")
    now = "2026-05-21 10:00:00-05"
    closed = f"SELECT * FROM kpi_engine.rows_at_closing('{TABLE}') ORDER BY 1"
    before = [database.rows(PAST.format(moment), now) for moment in moments]
    figures = database.rows(closed, now)
    for behind in ("2000-01-01 00:00:00-05", "2026-05-02 02:00:00-05"):
        with database.session() as connection:
            connection.execute("SELECT set_config('analytics.now', %s, false)", [behind])
            connection.execute("CALL analytics.tick()")
        database.execute(ADD.format(day="08"))
        refresh(database, behind, force=True)
    assert database.rows(closed, now)[: len(figures) - 1] == figures[:-1]
    refresh(database, now)
    refresh(database, "2026-05-22 10:00:00-05", force=True)
    later = "2026-05-22 11:00:00-05"
    assert [database.rows(PAST.format(moment), later) for moment in moments] == before
    assert database.rows(PAST.format("2026-05-22"), later) == [(reported + 5,)]
    april_at = [row for row in figures if "2026-04-01" in str(row)]
    assert april_at == [row for row in database.rows(closed, later) if "2026-04-01" in str(row)]


def test_a_restore_without_the_rows_is_no_answer(april: tuple[Database, int]) -> None:
    database, reported = april
    now = "2026-05-21 10:00:00-05"
    database.execute("TRUNCATE kpi_engine.published_rows")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="does not reach back"):
        database.rows(PAST.format("2026-05-21"), now)
    refresh(database, now, force=True)
    assert database.rows(PAST.format("2026-05-21"), now) == [(reported + 3,)]
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="does not reach back"):
        database.rows(PAST.format("2026-05-20"), now)


def test_settings_refuse_what_they_can_not_be(april: tuple[Database, int]) -> None:
    for name, wrong in (
        ("publication_history", ""),
        ("publication_history", "mv_x"),
        ("publication_history", "mv_x=0"),
        ("publication_history", "mv_x=90;mv_y=all"),
        ("closing_days", "367"),
        ("restatement_alert_pct", "-1"),
        ("gate", "maybe"),
        ("gate_closed_pct", "0"),
        ("breaker_pct", "101"),
        ("gate_lost_rows_pct", "x"),
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
            april[0].execute(f"SELECT analytics.set_setting('{name}', '{wrong}')")
        assert str(caught.value.diag.message_hint).startswith("Take "), name


def told(mes: str, value: str, unit: str) -> str:
    """Return statements that make a KPI view of one row again, with other types."""
    return (
        "SET ROLE analytics_owner; DROP MATERIALIZED VIEW IF EXISTS analytics.mv_told;"
        f"CREATE MATERIALIZED VIEW analytics.mv_told AS SELECT {mes} AS mes, {value} AS value "
        "FROM public.told;"
        "CREATE UNIQUE INDEX mv_told_mes ON analytics.mv_told (mes);"
        "GRANT SELECT ON analytics.mv_told TO analytics_lector;"
        "COMMENT ON MATERIALIZED VIEW analytics.mv_told IS 'Una / One\nes: Una.\nen: One.';"
        "COMMENT ON COLUMN analytics.mv_told.mes IS 'Una [fecha, none]\nes: Una.\nen: One.';"
        "COMMENT ON COLUMN analytics.mv_told.value IS "
        f"'Una [{unit}, none]\nes: Una.\nen: One.'; RESET ROLE"
    )


def test_a_column_of_another_type_stops_nothing(april: tuple[Database, int]) -> None:
    """Old values are in the history as they were, and NULL where they do not fit."""
    database, _ = april
    month = "date '2026-03-01'"
    database.execute(
        "CREATE TABLE public.told AS SELECT 7 AS value",
        "GRANT SELECT ON public.told TO analytics_owner",
    )
    for day, mes, value, unit in (
        ("21", "'mes 1'::text", "'mes 1'::text", "texto"),
        ("22", month, "'mes 1'::text", "texto"),
        ("23", month, "value", "conteo"),
        ("24", month, "value + 1", "conteo"),
    ):
        database.execute(told(mes, value, unit))
        refresh(database, f"2026-05-{day} 01:00:00-05")
    now = "2026-05-24 10:00:00-05"
    rows = "SELECT kpi_engine.kpi_rows('mv_told', ARRAY['{}'], 'analytics_lector')::text"
    assert database.rows(
        "SELECT reported, previous, current, difference FROM analytics.restatements "
        "WHERE view_name = 'mv_told'"
    ) == [(None, 7, 8, None)]
    assert database.rows(
        "SELECT object::text FROM analytics.as_reported('mv_told', '2026-05-21') AS past (object)",
        now,
    ) == [('{"mes": "mes 1", "value": "mes 1"}',)]
    for asked, answer in (
        ("as_of=2026-05-21", '[{"mes":null,"value":null}]'),
        ("as_of=2026-05-22", '[{"mes":"2026-03-01","value":null}]'),
        ("as_of=2026-05-23", '[{"mes":"2026-03-01","value":7}]'),
        ("limit=1", '[{"mes":"2026-03-01","value":8}]'),
    ):
        assert database.rows(rows.format(asked), now) == [(answer,)], asked
    assert (
        database.rows(
            "SELECT rule FROM kpi_engine.gate_findings('mv_told', "
            "(SELECT max(run_id) FROM kpi_engine.publications WHERE view_name = 'mv_told'))"
        )
        == []
    )


def test_a_view_whose_time_is_another_one_is_reported_anew(april: tuple[Database, int]) -> None:
    """It has months first, then weeks."""
    database, _ = april

    def made(column: str, first: str, step: str) -> str:
        return (
            "SET ROLE analytics_owner; DROP MATERIALIZED VIEW IF EXISTS analytics.mv_told;"
            f"CREATE MATERIALIZED VIEW analytics.mv_told AS SELECT day::date AS {column}, 7 AS n "
            f"FROM generate_series(timestamp '{first}', '2026-05-20', '{step}') AS day;"
            f"CREATE UNIQUE INDEX mv_told_key ON analytics.mv_told ({column});"
            "GRANT SELECT ON analytics.mv_told TO analytics_lector;"
            "COMMENT ON MATERIALIZED VIEW analytics.mv_told IS 'Una / One\nes: Una.\nen: One.';"
            f"COMMENT ON COLUMN analytics.mv_told.{column} IS 'Una [fecha, none]\nes: Una.\n"
            "en: One.'; COMMENT ON COLUMN analytics.mv_told.n IS 'Una [conteo, none]\nes: Una.\n"
            "en: One.'; RESET ROLE"
        )

    def rows(*parts: str) -> list[dict[str, object]]:
        with database.session() as connection:
            connection.execute("SELECT set_config('analytics.now', '2026-05-24 10:00-05', false)")
            answer = connection.execute(
                "SELECT kpi_engine.kpi_rows('mv_told', %s, 'analytics_lector')", [list(parts)]
            ).fetchone()
            assert answer
            found: list[dict[str, object]] = answer[0]
            return found

    database.execute(made("mes", "2026-01-01", "1 month"))
    refresh(database, "2026-05-21 01:00:00-05")
    refresh(database, "2026-05-22 01:00:00-05", force=True)
    closings = "FROM kpi_engine.closings WHERE view_name = 'mv_told'"
    assert database.rows(f"SELECT max(period)::text, count(*) {closings}") == [("2026-04-01", 4)]
    database.execute(made("semana", "2026-02-02", "7 days"))
    refresh(database, "2026-05-23 01:00:00-05")
    # Weeks are closed from the first one on, and by this publish.
    assert database.rows(
        "SELECT min(period)::text, max(period)::text, count(*), count(DISTINCT run_id) " + closings
    ) == [("2026-02-02", "2026-05-11", 15, 1)]
    assert len(rows("reported=true", "from=2026-02-02", "to=2026-05-11", "limit=99")) == 15
    assert [row["semana"] for row in rows("as_of=2026-05-22")] == [None] * 5
    for asked in ("from=2026-03-02", "to=2026-03-02", "fill=true"):
        with pytest.raises(psycopg.Error) as caught:
            rows("as_of=2026-05-22", asked)
        name = asked.partition("=")[0]
        assert f"parameter {name} must be left out: the view did not have column semana" in str(
            caught.value
        )
    assert len(rows("as_of=2026-05-23", "from=2026-03-02", "limit=99")) == 12
    # A later publish does not close a month among the weeks.
    database.execute(made("semana", "2026-02-02", "7 days").replace("7 AS n", "8 AS n"))
    refresh(database, "2026-05-24 01:00:00-05")
    assert database.rows(f"SELECT min(period)::text, count(*) {closings}") == [("2026-02-02", 15)]
    reported = rows("reported=true", "limit=99")
    assert {row["n"] for row in reported if str(row["semana"]) < "2026-05-18"} == {7}
    assert None not in [row["semana"] for row in reported]

"""The product paths through the gateway, against SQL of their own on the same database.

The clock is not pinned here: the demo's generator makes data around the present day.
"""

import json
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

import pytest

from gateway_testing import ERROR_KEYS, Api, Response
from openapi import ENDPOINTS, METRICS, Endpoint

READER = "analytics_lector"
OPERATOR = "analytics_operador"
READING = [endpoint.path for endpoint in ENDPOINTS if endpoint.cached]
GETS = [endpoint.path for endpoint in ENDPOINTS if endpoint.method == "get"]
WRITING = [endpoint for endpoint in ENDPOINTS if endpoint.method != "get"]
MONTHLY, RANKING, TOP, CITIES, STATUS = READING


def refused(answer: Response, status: int, *words: str) -> None:
    """Check an error: its status, its shape, that its message names what is wrong."""
    assert answer.status == status, answer.body
    assert answer.json().keys() == ERROR_KEYS
    for word in words:
        assert word in answer.json()["message"] + str(answer.json()["details"]), answer.body
    for secret in ("SELECT", "analytics.", "/usr", "plpgsql"):
        assert secret not in answer.body


def query(path: str, **parameters: object) -> str:
    """Return a path with query parameters, percent-encoded."""
    return f"{path}?{urlencode(parameters)}"


# -- reading ---------------------------------------------------------------------------------


def expected_rows(api: Api, statement: str) -> list[dict[str, object]]:
    """Return what a statement gives, as the database writes it in JSON."""
    rows = api.database.rows(f"SELECT row_to_json(answer)::text FROM ({statement}) AS answer")
    return [json.loads(str(text)) for (text,) in rows]


def plain(city: str) -> str:
    """Return a city without marks and white space around it, in upper case."""
    letters = unicodedata.normalize("NFD", city.strip())
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).upper()


def test_monthly_metrics_are_the_newest_months(api: Api) -> None:
    answer = api.get(MONTHLY, READER)
    assert answer.status == 200
    assert answer.json() == expected_rows(
        api, "SELECT * FROM analytics.mv_metricas_mensuales ORDER BY mes DESC LIMIT 12"
    )
    assert len(answer.json()[0]) == 22
    assert len(api.get(query(MONTHLY, limit=60), READER).json()) == 36
    assert len(api.get(query(MONTHLY, limit=1), READER).json()) == 1


def test_monthly_metrics_of_a_range_include_both_ends(api: Api) -> None:
    months = [row["mes"] for row in api.get(query(MONTHLY, limit=60), READER).json()]
    first, last = months[5][:7], months[3][:7]
    path = query(MONTHLY, start_month=first, end_month=last)
    assert [row["mes"] for row in api.get(path, READER).json()] == months[3:6]
    path = query(MONTHLY, start_month=first, end_month=first)
    assert [row["mes"] for row in api.get(path, READER).json()] == [months[5]]
    assert api.get(query(MONTHLY, start_month="2099-01"), READER).json() == []


def test_advisor_rankings_nationwide_and_of_a_city_in_any_spelling(api: Api) -> None:
    answer = api.get(RANKING, READER)
    assert answer.json() == expected_rows(
        api,
        "SELECT * FROM analytics.mv_ranking_asesores ORDER BY ranking_nacional, asesor_id LIMIT 50",
    )
    assert len(answer.json()[0]) == 32
    of_city = [
        row
        for row in expected_rows(
            api,
            "SELECT * FROM analytics.mv_ranking_asesores ORDER BY ranking_ciudad, asesor_id",
        )
        if plain(str(row["ciudad"])) == "BOGOTA"
    ]
    assert 50 < len(of_city) < 500
    for spelling in ("Bogotá", "BOGOTA", " bogota ", "bogotá"):
        path = query(RANKING, ciudad=spelling, limit=500)
        assert api.get(path, READER).json() == of_city, spelling
    assert api.get(f"{RANKING}?ciudad=Bogot%C3%A1&limit=500", READER).json() == of_city


@pytest.mark.parametrize("metric", METRICS)
def test_top_advisors_sort_all_of_them_by_the_metric(api: Api, metric: str) -> None:
    answer = api.get(query(TOP, metric=metric, limit=50), READER).json()
    assert answer["metric"] == metric
    assert answer["ciudad"] is None
    total = api.database.rows("SELECT count(*) FROM analytics.mv_ranking_asesores")[0][0]
    assert answer["total_found"] == total
    rows = expected_rows(api, "SELECT * FROM analytics.mv_ranking_asesores")
    rows.sort(key=lambda row: str(row["asesor_id"]))
    rows.sort(key=lambda row: -float(str(row[metric] if row[metric] is not None else "-inf")))
    assert answer["top_advisors"] == rows[:50]


def test_top_advisors_of_a_city(api: Api) -> None:
    answer = api.get(query(TOP, ciudad="medellin", limit=3), READER).json()
    assert answer["metric"] == "ofertas_ganadoras"
    assert answer["ciudad"] == "medellin"
    assert len(answer["top_advisors"]) == 3
    assert {row["departamento"] for row in answer["top_advisors"]} == {"Antioquia"}
    assert answer["total_found"] > 3


def test_city_summary_adds_the_advisors_up(api: Api) -> None:
    answer = api.get(CITIES, READER).json()
    rows = expected_rows(
        api, "SELECT *, analytics.city_key(ciudad) AS key FROM analytics.mv_ranking_asesores"
    )
    by_key: dict[object, list[dict[str, object]]] = {}
    for row in rows:
        by_key.setdefault(row["key"], []).append(row)
    assert answer["total_cities"] == len(answer["cities"]) == len(by_key)
    for city in answer["cities"]:
        key = next(row["key"] for row in rows if row["ciudad"] == city["ciudad"])
        group = by_key[key]
        assert city["total_asesores"] == len(group)
        spellings = [str(row["ciudad"]) for row in group]
        assert city["ciudad"] == min(set(spellings), key=lambda one: (-spellings.count(one), one))
        for total, column in (
            ("ofertas_ganadoras_total", "ofertas_ganadoras"),
            ("entregas_exitosas_total", "entregas_exitosas"),
        ):
            assert city[total] == sum(int(str(row[column])) for row in group)
        average = sum(float(str(row["tasa_respuesta_pct"])) for row in group) / len(group)
        assert city["tasa_respuesta_promedio"] == pytest.approx(average, abs=0.00501)
    order = [(-city["total_asesores"], city["ciudad"]) for city in answer["cities"]]
    assert order == sorted(order)


def test_an_unknown_city_is_an_empty_answer(api: Api) -> None:
    for name in ("Atlantis", "", "%", "'; DROP TABLE x; --", '"', "a\nb", "\\", "x" * 5000, "☃"):
        assert api.get(query(RANKING, ciudad=name), READER).json() == [], name
        top = api.get(query(TOP, ciudad=name), READER).json()
        assert (top["ciudad"], top["total_found"], top["top_advisors"]) == (name, 0, [])


# -- parameters ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name", "bad"),
    [
        (MONTHLY, "limit", ["0", "61", "-1", "1.5", "", "abc", "1e1", "9" * 30, "٣", "1 "]),
        (RANKING, "limit", ["0", "501", "x"]),
        (TOP, "limit", ["0", "51", "x"]),
        (
            MONTHLY,
            "start_month",
            ["2026", "2026-13", "2026-00", "26-01", "2026-1", "2026-01-01", "0000-01", "", "x"],
        ),
        (MONTHLY, "end_month", ["2026-13", "'", "2026-01\n"]),
        (TOP, "metric", ["", "asesor_email", "OFERTAS_GANADORAS", "x; --"]),
    ],
)
def test_bad_values_are_refused_by_name(api: Api, path: str, name: str, bad: list[str]) -> None:
    for value in bad:
        refused(api.get(query(path, **{name: value}), READER), 400, name, "must be")


def test_bounds_are_inclusive(api: Api) -> None:
    for path, greatest in ((MONTHLY, 60), (RANKING, 500), (TOP, 50)):
        for value in (1, greatest):
            assert api.get(query(path, limit=value), READER).status == 200


def test_a_range_that_ends_before_it_starts_is_refused(api: Api) -> None:
    path = query(MONTHLY, start_month="2026-02", end_month="2026-01")
    refused(api.get(path, READER), 400, "start_month", "end_month")


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_unknown_and_repeated_parameters_are_refused(api: Api, endpoint: Endpoint) -> None:
    method = endpoint.method.upper()
    refused(api.request(method, f"{endpoint.path}?other=1", OPERATOR), 400, "parameter")
    for known in endpoint.parameters:
        name, value = known["name"], quote(str(known["example"]).lower())
        twice = f"{endpoint.path}?{name}={value}&{name}={value}"
        refused(api.request(method, twice, OPERATOR), 400)
    for text in ("%zz", "%ff", "%00", "%c3", "%ed%a0%80"):
        refused(api.request(method, f"{endpoint.path}?ciudad={text}", OPERATOR), 400)


# -- who may -----------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_each_endpoint_is_for_its_roles(api: Api, endpoint: Endpoint) -> None:
    method = endpoint.method.upper()
    path = endpoint.path + ("?hour=1" if "reschedule" in endpoint.path else "")
    statuses = [api.request(method, path, role).status for role in (None, READER, OPERATOR)]
    if endpoint.function == "health":
        assert statuses == [200, 200, 200]
    elif method == "GET":
        assert statuses == [401, 200, 200]
    else:
        assert statuses[:2] == [401, 403]
        assert statuses[2] in (200, 202)


def test_tokens_that_are_not_right_are_refused(api: Api) -> None:
    now = datetime.now(UTC)
    right = {
        "role": READER,
        "aud": "teloo-analytics",
        "exp": int((now + timedelta(minutes=5)).timestamp()),
    }
    assert api.get(MONTHLY, token=api.mint(right)).status == 200
    assert (
        api.get(MONTHLY, token=api.mint({**right, "aud": ["x", "teloo-analytics"]})).status == 200
    )
    wrong = [
        {**right, "exp": int((now - timedelta(minutes=5)).timestamp())},
        {**right, "aud": "somebody"},
        {**right, "role": "analytics_anon"},
        {key: value for key, value in right.items() if key != "exp"},
        {key: value for key, value in right.items() if key != "aud"},
        {key: value for key, value in right.items() if key != "role"},
    ]
    for claims in wrong:
        refused(api.get(MONTHLY, token=api.mint(claims)), 401)
    refused(api.get(MONTHLY, token=api.mint(right, secret="x" * 40)), 401)
    refused(api.get(MONTHLY, headers={"Authorization": "Bearer nonsense"}), 401)
    for role in ("analytics_owner", "analytics_scheduler", "postgres"):
        assert api.get(MONTHLY, token=api.mint({**right, "role": role})).status in (401, 403)


# -- freshness ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", READING)
def test_reading_answers_can_be_revalidated(api: Api, path: str) -> None:
    answer = api.get(path, READER)
    assert answer.status == 200
    tag = answer.headers["etag"]
    assert "max-age=0" in answer.headers["cache-control"]
    again = api.get(path, READER, headers={"If-None-Match": tag})
    assert again.status == 304
    assert again.body == ""
    assert api.get(path, READER, headers={"If-None-Match": '"other"'}).status == 200


@pytest.mark.parametrize("path", READING[:4])
def test_reading_answers_say_when_they_were_calculated(api: Api, path: str) -> None:
    answer = api.get(path, READER)
    assert answer.headers["x-stale"] == "false"
    for name in ("x-calculated-at", "x-refreshed-at"):
        age = datetime.now(UTC) - datetime.fromisoformat(answer.headers[name])
        assert timedelta(0) <= age < timedelta(hours=1)
    assert int(answer.headers["x-data-version"]) >= 1


@pytest.mark.parametrize("path", [path for path in GETS if path not in READING])
def test_states_are_not_stored(api: Api, path: str) -> None:
    assert api.get(path, READER).headers["cache-control"] == "no-store"


# -- refreshing --------------------------------------------------------------------------------


def test_a_refresh_answers_for_each_view(api: Api) -> None:
    answer = api.post("/materialized-views/refresh", OPERATOR)
    assert answer.status == 200
    body = answer.json()
    assert body["success"] is True
    assert body["total_views"] == body["successful_refreshes"] == 2
    assert body["error"] is None
    counts = api.database.rows("SELECT view_name, row_count FROM analytics.get_mv_stats()")
    assert [(one["view_name"], one["rows_affected"]) for one in body["details"]] == counts
    assert {one["refresh_status"] for one in body["details"]} == {"SUCCESS"}
    asked = api.database.rows(
        "SELECT requested_by FROM analytics.refresh_log ORDER BY log_id DESC LIMIT 1"
    )
    assert asked == [("test (analytics_operador)",)]


def test_a_forced_refresh_computes_everything(api: Api) -> None:
    answer = api.post("/materialized-views/refresh?force=true", OPERATOR, body="ignored")
    assert answer.status == 200
    assert api.database.rows(
        "SELECT mode FROM analytics.refresh_log WHERE view_name IS NULL "
        "ORDER BY log_id DESC LIMIT 1"
    ) == [("full",)]
    refused(api.post("/materialized-views/refresh?force=yes", OPERATOR), 400, "force")


def test_a_large_forced_refresh_is_queued(api: Api) -> None:
    active = "SELECT active_set FROM analytics.engine_state"
    before = api.database.rows(active)
    api.database.execute("SELECT analytics.set_setting('api_forced_requests', '0')")
    try:
        answer = api.post("/materialized-views/refresh?force=true", OPERATOR)
        assert answer.status == 202
        job_id = answer.json()["job_id"]
        assert api.database.rows(
            f"SELECT force, state FROM analytics.refresh_jobs WHERE job_id = {job_id}"
        ) == [(True, "QUEUED")]
        api.database.execute("CALL analytics.work()")
        assert api.database.rows(
            f"SELECT state FROM analytics.refresh_jobs WHERE job_id = {job_id}"
        ) == [("SUCCESS",)]
        # In steps, into the other set.
        assert api.database.rows(active) != before
    finally:
        api.database.execute("SELECT analytics.set_setting('api_forced_requests', '100000')")


def test_a_second_refresh_is_told_what_is_running(api: Api) -> None:
    with api.database.connect(autocommit=False) as running:
        running.execute("SELECT * FROM refresh_all_mv()")
        answer = api.post("/materialized-views/refresh", OPERATOR)
        pid = running.info.backend_pid
        running.rollback()
    refused(answer, 409, "already running", f"Session {pid}", f"since {datetime.now(UTC):%Y-}")
    assert api.post("/materialized-views/refresh", OPERATOR).status == 200


def test_a_view_that_fails_does_not_stop_the_others(api: Api) -> None:
    api.database.execute(
        "CREATE MATERIALIZED VIEW analytics.mv_broken AS SELECT 1 / (random() * 0)::integer AS x "
        "WITH NO DATA",
        "ALTER MATERIALIZED VIEW analytics.mv_broken OWNER TO analytics_owner",
    )
    try:
        answer = api.post("/materialized-views/refresh", OPERATOR)
        assert answer.status == 200
        body = answer.json()
        assert (body["success"], body["total_views"], body["successful_refreshes"]) == (False, 3, 2)
        failed = next(one for one in body["details"] if one["view_name"] == "mv_broken")
        assert failed["refresh_status"] == "ERROR"
        assert "division by zero" in failed["error_message"]
        health = api.get("/health")
        assert health.status == 503
        assert any("mv_broken" in text for text in health.json()["problems"])
    finally:
        api.database.execute(
            "DROP MATERIALIZED VIEW analytics.mv_broken",
            "DELETE FROM analytics.view_state WHERE view_name = 'mv_broken'",
        )
    assert api.post("/materialized-views/refresh", OPERATOR).json()["success"] is True
    assert api.get("/health").json()["status"] != "unhealthy"


def test_a_trigger_answers_at_once_and_can_be_followed(api: Api) -> None:
    path = "/materialized-views/scheduler/trigger-refresh"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.post(path, OPERATOR), range(8)))
    assert {answer.status for answer in answers} == {202}
    job_ids = {answer.json()["job_id"] for answer in answers}
    assert len(job_ids) == 1
    (job_id,) = job_ids

    def job() -> dict[str, object]:
        status = api.get("/materialized-views/scheduler/status", READER).json()
        assert len(status["recent_jobs"]) <= 20
        return next(one for one in status["recent_jobs"] if one["job_id"] == job_id)

    assert job()["state"] == "QUEUED"
    assert job()["requested_by"] == "test (analytics_operador)"
    api.database.execute("CALL analytics.work()")
    assert job()["state"] == "SUCCESS"
    assert job()["finished_at"] is not None
    assert api.post(path, OPERATOR).json()["job_id"] != job_id
    api.database.execute("CALL analytics.work()")


def test_rescheduling_is_effective_at_once(api: Api) -> None:
    path = "/materialized-views/scheduler/reschedule"
    try:
        answer = api.request("PUT", f"{path}?hour=23&minute=5", OPERATOR)
        assert answer.status == 200
        assert answer.json()["new_schedule"] == "23:05"
        status = api.get("/materialized-views/scheduler/status", READER).json()
        assert status["schedule"] == "23:05"
        assert status["timezone"] == "America/Bogota"
        assert status["next_run_time"] == answer.json()["next_run_time"]
        assert "T04:05:00" in status["next_run_time"]
        assert api.request("PUT", f"{path}?hour=0", OPERATOR).json()["new_schedule"] == "00:00"
        for bad in ("", "?minute=5", "?hour=24", "?hour=-1", "?hour=x", "?hour="):
            refused(api.request("PUT", path + bad, OPERATOR), 400, "hour")
        refused(api.request("PUT", f"{path}?hour=1&minute=60", OPERATOR), 400, "minute")
        status = api.get("/materialized-views/scheduler/status", READER).json()
        assert status["schedule"] == "00:00"
    finally:
        api.request("PUT", f"{path}?hour=1", OPERATOR)


# -- state -------------------------------------------------------------------------------------


def test_status_lists_every_view(api: Api) -> None:
    body = api.get(STATUS, READER).json()
    stats = api.database.rows(
        "SELECT view_name, row_count, size_bytes FROM analytics.get_mv_stats() ORDER BY 1"
    )
    assert [(one["name"], one["row_count"], one["size_bytes"]) for one in body["views"]] == stats
    assert body["row_counts"] == {name: count for name, count, _ in stats}
    for view in body["views"]:
        assert view["has_unique_index"] is True
        assert view["last_status"] == "SUCCESS"
        assert "SELECT" in view["definition"]


def test_metrics_are_in_the_text_format_of_prometheus(api: Api) -> None:
    answer = api.get("/metrics", READER)
    assert answer.headers["content-type"].startswith("text/plain")
    for line in answer.body.splitlines():
        assert line.startswith(("# HELP teloo_analytics_", "# TYPE teloo_analytics_")) or (
            line.startswith("teloo_analytics_") and float(line.rsplit(" ", 1)[1]) >= 0
        ), line
    assert 'teloo_analytics_view_rows{view="mv_metricas_mensuales"} 36' in answer.body
    assert 'teloo_analytics_problem{name="stale"} 0' in answer.body


def test_a_view_that_was_never_populated_is_503(api: Api) -> None:
    with api.database.connect() as owner:
        owner.execute("REFRESH MATERIALIZED VIEW analytics.mv_metricas_mensuales WITH NO DATA")
    try:
        api.forget_cache()
        refused(api.get(MONTHLY, READER), 503, "never populated")
        assert api.get("/health").status == 503
        assert api.get(RANKING, READER).status == 200
    finally:
        assert api.post("/materialized-views/refresh", OPERATOR).json()["success"] is True
    api.forget_cache()
    assert api.get(MONTHLY, READER).status == 200


def test_a_reader_that_waits_too_long_gets_504(api: Api) -> None:
    api.forget_cache()
    with api.database.connect(autocommit=False) as other:
        other.execute("ALTER MATERIALIZED VIEW analytics.mv_metricas_mensuales RENAME TO busy")
        refused(api.get(MONTHLY, READER), 504, "too long")
        other.rollback()
    assert api.get(MONTHLY, READER).status == 200

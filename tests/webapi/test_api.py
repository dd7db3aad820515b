"""The product paths through the gateway, against SQL of their own on the same database.

The clock is not pinned here: the demo's generator makes data around the present day.
"""

import json
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from conftest import KPI_VIEWS, Database
from database.sql_files import SQL_DIRECTORY
from gateway import Settings, wait_until
from gateway_testing import API_ROLES, ERROR_KEYS, Api, Response, path_of, started
from health.test_problems import PROBLEM_NAMES
from marketplace import fill
from migrate import migrate
from source_indexes import build_missing
from webapi.endpoints import ENDPOINTS, METRICS, Endpoint

READER = "analytics_lector"
OPERATOR = "analytics_operador"
LIVE = "/materialized-views/live"
# What is computed at the moment of the request has no data version: test_kpis.py has its test.
READING = [path_of(one) for one in ENDPOINTS if one.cached and one.path != LIVE]
GETS = [path_of(endpoint) for endpoint in ENDPOINTS if not endpoint.writes]
WRITING = [endpoint for endpoint in ENDPOINTS if endpoint.writes]
MONTHLY, RANKING, TOP, CITIES, CATALOGUE, KPI, RESTATEMENTS, STATUS, *GOALS = READING
SCHEDULER = "/materialized-views/scheduler/status"
HEALTH = ["/materialized-views/health", "/health"]
REFRESH = "/materialized-views/refresh"
RESCHEDULE = "/materialized-views/scheduler/reschedule"


CHANGE = (
    "UPDATE public.asesores SET confianza = CASE confianza WHEN 3 THEN 4 ELSE 3 END "
    "WHERE id = (SELECT id FROM public.asesores WHERE estado = 'ACTIVO' LIMIT 1)"
)


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


ANSWER_KEYS = {
    MONTHLY: """mes solicitudes_creadas solicitudes_aceptadas solicitudes_rechazadas
        solicitudes_expiradas solicitudes_sin_ofertas tiempo_promedio_cierre_seg ofertas_totales
        ofertas_ganadoras ofertas_aceptadas precio_promedio_ofertas precio_minimo_ofertas
        precio_maximo_ofertas tiempo_entrega_promedio garantia_promedio_meses clientes_activos
        asesores_activos marcas_vehiculos_solicitadas volumen_transaccional_total
        tasa_aceptacion_pct tasa_conversion_ofertas_pct ofertas_promedio_por_solicitud""",
    RANKING: """asesor_id asesor_nombre asesor_email ciudad departamento punto_venta confianza
        nivel_actual estado_asesor actividad_reciente_pct desempeno_historico_pct
        ofertas_historicas_total ofertas_ganadoras ofertas_aceptadas_cliente entregas_exitosas
        tiempo_promedio_respuesta_seg monto_promedio_ofertas volumen_total_ofertas
        confianza_auditada auditorias_realizadas ultima_auditoria notificaciones_recibidas
        notificaciones_respondidas tiempo_promedio_respuesta_notif_seg tasa_respuesta_pct
        tasa_conversion_ofertas_pct tasa_exito_completo_pct ranking_ciudad ranking_nacional
        percentil_ofertas_ganadoras_ciudad percentil_ofertas_ganadoras_nacional calculado_at""",
    TOP: "metric ciudad total_found top_advisors",
    CITIES: "total_cities cities generated_at",
    f"{CITIES} cities": """ciudad total_asesores ofertas_ganadoras_total entregas_exitosas_total
        volumen_total tasa_respuesta_promedio confianza_promedio""",
    STATUS: "views row_counts replication outside_sources origins sites checked_at",
    f"{STATUS} views": """schema name is_populated row_count size_bytes last_refresh last_status
        last_duration_ms age_seconds pending_changes has_unique_index definition""",
    HEALTH[0]: "status views_count scheduler_running last_refresh problems checked_at",
    HEALTH[1]: "status views_count scheduler_running last_refresh problems checked_at",
    SCHEDULER: """is_running scheduler_state backend schedule timezone next_run_time jobs
        last_refresh_result pending_triggers recent_jobs checked_at target_lag""",
    RESTATEMENTS: """view period column reported current difference difference_pct reported_at since
        run_id requests_changed previous key""",
    f"{SCHEDULER} jobs": "id name trigger next_run_time",
    f"{SCHEDULER} last_refresh_result": """run_id triggered_by requested_by mode refresh_status
        started_at finished_at refresh_time_ms error_message""",
    f"{SCHEDULER} recent_jobs": """job_id state requested_by requested_at started_at finished_at
        error""",
    REFRESH: """success total_views successful_refreshes total_duration_ms refreshed_at details
        error""",
    f"{REFRESH} details": """view_name refresh_status refresh_time_ms rows_affected
        error_message""",
    "/materialized-views/scheduler/trigger-refresh": "success message job_id scheduled_at",
    RESCHEDULE: "success message new_schedule timezone next_run_time rescheduled_at",
}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_answers_have_these_keys_in_this_order(api: Api, endpoint: Endpoint) -> None:
    if endpoint.path == "/metrics":
        return
    if endpoint.path == SCHEDULER:
        api.post("/materialized-views/scheduler/trigger-refresh", OPERATOR)
    answer = api.request(endpoint.method, path_of(endpoint), OPERATOR).json()
    for place, keys in ANSWER_KEYS.items():
        of_path, _, inner = place.partition(" ")
        if of_path == endpoint.path:
            part = answer[inner] if inner else answer
            if part == []:
                assert place == RESTATEMENTS, "test_endpoints.py has it with rows"
                continue
            assert list(part[0] if isinstance(part, list) else part) == keys.split(), place
    if endpoint.path == TOP:
        assert list(answer["top_advisors"][0]) == ANSWER_KEYS[RANKING].split()


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
        amounts = [Decimal(str(row["volumen_total_ofertas"])) for row in group]
        assert Decimal(str(city["volumen_total"])) == sum(amounts)
        for average_name, column in (
            ("tasa_respuesta_promedio", "tasa_respuesta_pct"),
            ("confianza_promedio", "confianza_auditada"),
        ):
            known = [Decimal(str(row[column])) for row in group if row[column] is not None]
            exact = (sum(known, Decimal(0)) / len(known)).quantize(Decimal("0.01"), ROUND_HALF_UP)
            assert Decimal(str(city[average_name])) == exact, city
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
    method, path = endpoint.method, path_of(endpoint).partition("?")[0]
    refused(api.request(method, f"{path}?other=1", OPERATOR), 400, "parameter")
    for known in endpoint.all_parameters:
        name, value = known["name"], quote(str(known["example"]).lower())
        twice = f"{path}?{name}={value}&{name}={value}"
        refused(api.request(method, twice, OPERATOR), 400)
    for text in ("%zz", "%ff", "%00", "%c3", "%ed%a0%80"):
        refused(api.request(method, f"{path}?ciudad={text}", OPERATOR), 400)


# -- who may -----------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_each_endpoint_is_for_its_roles(api: Api, endpoint: Endpoint) -> None:
    method, path = endpoint.method, path_of(endpoint)
    answers = [api.request(method, path, role) for role in (None, READER, OPERATOR)]
    statuses = [answer.status for answer in answers]
    if endpoint.function == "health":
        assert statuses == [200, 200, 200]
    elif method == "GET":
        assert statuses == [401, 200, 200]
    else:
        assert statuses[0] == 401
        refused(answers[1], 403, "permission denied")
        assert answers[1].json()["code"] == "42501"
        assert answers[1].headers["cache-control"] == "no-store"
        # Nothing is held back by the gate, there is no note 1, and 1 is no view and no day.
        expected = {"gate": (404,), "remove_note": (404,)}
        expected |= dict.fromkeys(("set_target", "remove_target", "add_note"), (400,))
        assert statuses[2] in expected.get(endpoint.function, (200, 202))
        assert answers[2].headers["cache-control"] == "no-store"


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


@pytest.mark.parametrize("path", READING)
def test_reading_answers_say_when_they_were_calculated(api: Api, path: str) -> None:
    answer = api.get(path, READER)
    assert answer.headers["x-stale"] == "false"
    for name in ("x-calculated-at", "x-refreshed-at"):
        age = datetime.now(UTC) - datetime.fromisoformat(answer.headers[name])
        assert timedelta(0) <= age < timedelta(hours=24)
    assert int(answer.headers["x-data-version"]) >= 1


def changed(api: Api, path: str, tag: str) -> str:
    """Return the tag of an answer to somebody who has one already: it must be another one."""
    answer = api.get(path, READER, headers={"If-None-Match": tag})
    assert answer.status == 200, path
    assert answer.headers["etag"] != tag
    return answer.headers["etag"]


def test_tags_follow_the_data(api: Api) -> None:
    # The first two show when a refresh last was, targets and notes are no figures.
    paths = [path for path in READING if path not in (CATALOGUE, STATUS, *GOALS)]
    before = {path: api.get(path, READER) for path in paths}
    api.database.execute(
        "UPDATE public.solicitudes SET estado = 'CERRADA_SIN_OFERTAS' WHERE id = (SELECT id "
        "FROM public.solicitudes WHERE estado <> 'CERRADA_SIN_OFERTAS' LIMIT 1)",
        "UPDATE public.usuarios SET nombre = nombre || 'x' WHERE id = (SELECT usuario_id "
        "FROM public.asesores WHERE estado = 'ACTIVO' LIMIT 1)",
    )
    # What no refresh has seen yet changes nothing.
    api.forget_cache()
    for path in paths:
        tag = before[path].headers["etag"]
        assert api.get(path, READER, headers={"If-None-Match": tag}).status == 304
    assert api.post(REFRESH, OPERATOR).json()["success"] is True
    api.forget_cache()
    after = {path: changed(api, path, before[path].headers["etag"]) for path in paths}
    for path in paths:
        version = int(api.get(path, READER).headers["x-data-version"])
        assert version > int(before[path].headers["x-data-version"])
    # A refresh that finds nothing to change leaves them.
    assert api.post(REFRESH, OPERATOR).json()["success"] is True
    api.forget_cache()
    for path in paths:
        assert api.get(path, READER, headers={"If-None-Match": after[path]}).status == 304


def test_answers_over_26_hours_old_are_stale(api: Api) -> None:
    before = {path: api.get(path, READER).headers["etag"] for path in READING}
    move = "UPDATE analytics.view_state SET last_success_at = last_success_at {} interval '27 h'"
    api.database.execute(move.format("-"))
    try:
        api.forget_cache()
        for path in READING:
            changed(api, path, before[path])
            assert api.get(path, READER).headers["x-stale"] == "true", path
    finally:
        api.database.execute(move.format("+"))
    api.forget_cache()
    for path in READING:
        answer = api.get(path, READER)
        assert answer.headers["x-stale"] == "false", path
        assert answer.headers["etag"] == before[path]


def test_the_tag_of_the_status_changes_with_what_happens_only(api: Api) -> None:
    def sizes(answer: Response) -> list[int]:
        return [view["size_bytes"] for view in answer.json()["views"]]

    # Dead rows for VACUUM.
    assert api.post(REFRESH, OPERATOR).json()["success"] is True
    api.database.execute("SELECT * FROM analytics.refresh_all_mv(force => true)")
    api.forget_cache()
    before = api.get(STATUS, READER)
    tag = before.headers["etag"]
    # As autovacuum does. Only FULL surely changes a size.
    api.database.execute("VACUUM FULL analytics.mv_ranking_asesores")
    api.forget_cache()
    later = api.get(STATUS, READER)
    assert later.json()["views"][0]["age_seconds"] > before.json()["views"][0]["age_seconds"]
    assert sizes(later) != sizes(before)
    assert later.headers["etag"] == tag
    assert api.get(STATUS, READER, headers={"If-None-Match": tag}).status == 304
    api.database.execute(CHANGE)
    api.forget_cache()
    tag = changed(api, STATUS, tag)
    assert api.post(REFRESH, OPERATOR).json()["success"] is True
    api.forget_cache()
    changed(api, STATUS, tag)


def test_the_status_is_as_fresh_as_its_least_fresh_view(api: Api) -> None:
    move = (
        "UPDATE analytics.view_state SET last_success_at = last_success_at {} interval '3 h' "
        "WHERE view_name = 'mv_ranking_asesores'"
    )
    api.database.execute(move.format("-"))
    try:
        api.forget_cache()
        names = ("x-data-version", "x-calculated-at", "x-refreshed-at", "x-stale")
        status, ranking, months = (api.get(path, READER) for path in (STATUS, RANKING, MONTHLY))
        for name in names:
            assert status.headers[name] == ranking.headers[name]
        assert status.headers["x-refreshed-at"] < months.headers["x-refreshed-at"]
    finally:
        api.database.execute(move.format("+"))


def test_the_status_of_a_view_that_was_never_refreshed_is_stale(api: Api) -> None:
    api.database.execute(
        "CREATE MATERIALIZED VIEW analytics.mv_nueva AS SELECT 1 AS value WITH NO DATA"
    )
    try:
        api.forget_cache()
        answer = api.get(STATUS, READER)
        assert answer.status == 200
        assert answer.headers["x-stale"] == "true"
        assert "x-refreshed-at" not in answer.headers
        (new,) = [view for view in answer.json()["views"] if view["name"] == "mv_nueva"]
        assert new["last_refresh"] is None
    finally:
        api.database.execute("DROP MATERIALIZED VIEW analytics.mv_nueva")


@pytest.mark.parametrize("path", [path for path in GETS if path not in (LIVE, *READING)])
def test_states_are_not_stored(api: Api, path: str) -> None:
    assert api.get(path, READER).headers["cache-control"] == "no-store"


# -- refreshing --------------------------------------------------------------------------------


def test_a_refresh_answers_for_each_view(api: Api) -> None:
    answer = api.post("/materialized-views/refresh", OPERATOR)
    assert answer.status == 200
    body = answer.json()
    assert body["success"] is True
    assert body["total_views"] == body["successful_refreshes"] == 9
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
    for bad in ("yes", "", "TRUE", "True", "1", "0", "t"):
        refused(api.post(f"{REFRESH}?force={bad}", OPERATOR), 400, "force", "true or false")


def test_a_large_forced_refresh_is_queued(api: Api) -> None:
    active = "SELECT table_name, active_set FROM kpi_engine.derived_tables ORDER BY 1"
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


def test_a_large_first_refresh_is_queued_by_the_size_of_the_source(migrated: Database) -> None:
    with migrated.session() as connection:
        fill(connection, 5, "A", datetime.now(UTC).date())
    ((requests,),) = migrated.rows("SELECT count(*) FROM public.solicitudes")
    assert isinstance(requests, int)

    def status(most: int) -> str:
        """Return the status of a first, forced refresh; what it did is rolled back."""
        with migrated.connect(autocommit=False) as connection:
            connection.execute(
                "SELECT analytics.set_setting('api_forced_requests', %s)", [str(most)]
            )
            connection.execute("SELECT api.refresh('true')")
            row = connection.execute("SELECT current_setting('response.status', true)").fetchone()
            connection.rollback()
        assert row is not None
        return row[0] or "200"

    assert status(0) == status(requests - 1) == "202"
    assert status(requests) == status(1000000000) == "200"


@contextmanager
def held_lock(api: Api) -> Iterator[Callable[[], None]]:
    """Hold the refresh lock as analytics.work() does before it has a job; yield what lets go."""
    with api.database.session() as holder:
        holder.execute("SELECT pg_advisory_lock(kpi_engine.refresh_lock_key())")

        def let_go() -> None:
            holder.execute("SELECT pg_advisory_unlock(kpi_engine.refresh_lock_key())")

        yield let_go


def test_a_refresh_waits_for_who_only_looks_for_work(api: Api) -> None:
    asleep = (
        "SELECT 1 FROM pg_stat_activity "
        "WHERE usename = 'analytics_authenticator' AND wait_event = 'PgSleep'"
    )

    def is_asleep_or_done() -> bool:
        return observer.execute(asleep).fetchone() is not None or answer.done()

    # It waits for a third of a second: on a busy machine letting go may come too late.
    for _ in range(30):
        with (
            held_lock(api) as let_go,
            api.database.session() as observer,
            ThreadPoolExecutor(1) as pool,
        ):
            answer = pool.submit(api.post, REFRESH, OPERATOR)
            assert wait_until(is_asleep_or_done)
            let_go()
        if answer.result().status != 409:
            break
    assert answer.result().status == 200
    assert answer.result().json()["success"] is True


def test_a_refresh_does_not_wait_for_long(api: Api) -> None:
    with held_lock(api):
        refused(api.post(REFRESH, OPERATOR), 409, "already running", "an unknown moment")
    assert api.post(REFRESH, OPERATOR).status == 200


def test_a_second_refresh_is_told_what_is_running(api: Api) -> None:
    with api.database.connect(autocommit=False) as running:
        running.execute("SELECT * FROM refresh_all_mv()")
        answer = api.post("/materialized-views/refresh", OPERATOR)
        pid = running.info.backend_pid
        running.rollback()
    refused(answer, 409, "already running", f"Session {pid}", "since 20")
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
        assert (body["success"], body["total_views"], body["successful_refreshes"]) == (
            False,
            len(KPI_VIEWS) + 1,
            len(KPI_VIEWS),
        )
        failed = next(one for one in body["details"] if one["view_name"] == "mv_broken")
        assert failed["refresh_status"] == "ERROR"
        assert failed["error_message"].startswith("division by zero: in its query write nullif(")
        ((message,),) = api.database.rows(
            "SELECT error_message FROM analytics.refresh_log "
            "WHERE view_name = 'mv_broken' ORDER BY log_id DESC LIMIT 1"
        )
        assert str(message).startswith("division by zero: in its query write nullif(…, 0)")
        health = api.get("/health", READER)
        assert health.status == 503
        assert any("mv_broken" in text for text in health.json()["problems"])
        health = api.get("/health")
        assert health.status == 503
        assert {
            "never_populated: a view has no data yet",
            "refresh_failed: the last refresh failed",
        } <= set(health.json()["problems"])
        assert "mv_" not in health.body
    finally:
        api.database.execute(
            "DROP MATERIALIZED VIEW analytics.mv_broken",
            "DELETE FROM analytics.view_state WHERE view_name = 'mv_broken'",
        )
    assert api.post("/materialized-views/refresh", OPERATOR).json()["success"] is True
    assert api.get("/health").json()["status"] != "unhealthy"


def test_what_is_degraded_is_200_and_healthy_again_when_the_cause_goes(api: Api) -> None:
    def health(path: str) -> tuple[int, str, list[str]]:
        answer = api.get(path, READER)
        body = answer.json()
        assert (body["views_count"], body["scheduler_running"]) == (len(KPI_VIEWS), True)
        return answer.status, body["status"], [text.split(":")[0] for text in body["problems"]]

    build_missing(api.database.url)
    api.database.execute("CALL analytics.tick()", "SELECT * FROM refresh_all_mv(force => true)")
    assert health("/health") == (200, "healthy", [])
    ((index,),) = api.database.rows(
        "SELECT min(index_name) FROM analytics.source_indexes() "
        "WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = index_name::regclass)"
    )
    api.database.execute(f"DROP INDEX {index}")
    for path in ("/health", "/materialized-views/health"):
        assert health(path) == (200, "degraded", ["missing_indexes"])
    build_missing(api.database.url)
    assert health("/health") == (200, "healthy", [])


def test_the_schedulers_status_is_that_of_the_database(api: Api) -> None:
    api.database.execute("CALL analytics.tick()", "CALL analytics.work()")
    asked = api.post("/materialized-views/scheduler/trigger-refresh", OPERATOR).json()["job_id"]
    waiting = api.get(SCHEDULER, READER).json()
    assert waiting["pending_triggers"] == 1
    job = waiting["recent_jobs"][0]
    assert (job["job_id"], job["state"]) == (asked, "QUEUED")
    assert job["requested_by"] == "test (analytics_operador)"
    api.database.execute("CALL analytics.work()")
    done = api.get(SCHEDULER, READER).json()
    assert done["pending_triggers"] == 0
    assert done["recent_jobs"][0]["state"] == "SUCCESS"
    result = done["last_refresh_result"]
    names = ("run_id", "triggered_by", "requested_by", "mode", "refresh_status")
    assert api.database.rows(
        f"SELECT {', '.join(names)} FROM analytics.refresh_log WHERE view_name IS NULL "
        "ORDER BY log_id DESC LIMIT 1"
    ) == [tuple(result[name] for name in names)]
    at = f"{done['schedule']} {done['timezone']}"
    assert at == "01:00 America/Bogota"
    assert [one["trigger"] for one in done["jobs"]] == [f"every day at {at}"]
    assert done["backend"] == "external", "this database has no pg_cron"
    assert (done["is_running"], done["scheduler_state"]) == (True, "running")
    stop = "UPDATE analytics.scheduler_state SET last_tick_at = now() - interval '4 minutes'"
    api.database.execute(stop)
    try:
        stopped = api.get(SCHEDULER, READER).json()
        assert (stopped["is_running"], stopped["scheduler_state"]) == (False, "stopped")
    finally:
        api.database.execute("CALL analytics.tick()")


def test_states_of_jobs_are_those_of_the_database(api: Api) -> None:
    ((definition,),) = api.database.rows(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conname = 'refresh_jobs_state_check'"
    )
    states = sorted(re.findall(r"'(\w+)'", str(definition)))
    document = api.get("/openapi.json").body
    enums = [
        sorted(json.loads(found))
        for found in re.findall(r'"enum": ?(\[[^]]*"QUEUED"[^]]*\])', document)
    ]
    assert enums == [states]


@contextmanager
def failing(api: Api, sqlstate: str, message: str) -> Iterator[None]:
    """Let every refresh fail while it takes what changed; something does."""
    api.database.execute(
        "CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}', MESSAGE = '{message}'; END;$$",
        "CREATE TRIGGER fail BEFORE DELETE ON kpi_engine.change_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION public.fail()",
        CHANGE,
    )
    try:
        yield
    finally:
        api.database.execute("DROP FUNCTION public.fail() CASCADE")
        assert api.post(REFRESH, OPERATOR).json()["success"] is True


@pytest.mark.parametrize(
    ("sqlstate", "begin", "is_told"),
    [
        ("22P02", "something", False),
        ("53100", "something", False),
        ("58P01", "something", False),
        ("XX001", "something", False),
        ("42501", "could not open file", False),
        ("42501", "something", True),
        ("P0001", "something", True),
    ],
)
def test_errors_of_a_refresh_show_no_paths_and_no_data(
    api: Api, sqlstate: str, begin: str, is_told: bool
) -> None:
    secret = "at the secret"  # noqa: S105
    with failing(api, sqlstate, f"{begin} {secret}"):
        answer = api.post(REFRESH, OPERATOR)
        assert answer.status == 200
        api.post("/materialized-views/scheduler/trigger-refresh", OPERATOR)
        api.database.execute("CALL analytics.work()")
        status = api.get(SCHEDULER, READER).json()
    body = answer.json()
    assert body["success"] is False
    assert [one["refresh_status"] for one in body["details"]] == ["ERROR"] * len(KPI_VIEWS)
    job = status["recent_jobs"][0]
    assert job["state"] == "ERROR"
    texts = [
        body["error"],
        *(one["error_message"] for one in body["details"]),
        status["last_refresh_result"]["error_message"],
        job["error"],
    ]
    for text in texts:
        assert (secret in text) == is_told, text
        assert (f"(SQLSTATE {sqlstate})" in text) != is_told, text
    # The log has it all.
    for query in (
        "SELECT error_message FROM analytics.refresh_log WHERE view_name IS NULL "
        "ORDER BY log_id DESC OFFSET 1 LIMIT 1",
        f"SELECT error FROM analytics.refresh_jobs WHERE job_id = {job['job_id']}",
    ):
        ((text,),) = api.database.rows(query)
        assert secret in str(text)


def test_the_error_of_a_job_that_could_not_run_shows_no_path(api: Api) -> None:
    api.database.execute(
        "INSERT INTO analytics.refresh_jobs (triggered_by, state, error, finished_at) VALUES "
        "('request', 'ERROR', 'no file \"/var/x\" (SQLSTATE 58P01)', clock_timestamp())"
    )
    try:
        job = api.get(SCHEDULER, READER).json()["recent_jobs"][0]
        assert "(SQLSTATE 58P01)" in job["error"]
        assert "/var" not in job["error"]
    finally:
        api.database.execute("DELETE FROM analytics.refresh_jobs WHERE error LIKE '%/var/x%'")


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
        for bad in ("60", "-1", "", "x", "1.5", "%2B1"):
            refused(api.request("PUT", f"{path}?hour=1&minute={bad}", OPERATOR), 400, "minute")
        for good, schedule in (
            ("hour=1&minute=59", "01:59"),
            ("hour=23&minute=59", "23:59"),
            ("hour=0&minute=0", "00:00"),
        ):
            answer = api.request("PUT", f"{path}?{good}", OPERATOR)
            assert answer.json()["new_schedule"] == schedule
        status = api.get("/materialized-views/scheduler/status", READER).json()
        assert status["schedule"] == "00:00"
    finally:
        api.request("PUT", f"{path}?hour=1", OPERATOR)


# -- state -------------------------------------------------------------------------------------


def test_status_lists_every_view(api: Api) -> None:
    query = "SELECT view_name, row_count, size_bytes FROM analytics.get_mv_stats() ORDER BY 1"
    while True:
        before = api.database.rows(query)
        api.forget_cache()
        body = api.get(STATUS, READER).json()
        stats = api.database.rows(query)
        # autovacuum may have come by.
        if stats == before:
            break
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
    names = re.findall(r'teloo_analytics_problem\{name="(\w+)"\}', answer.body)
    assert sorted(names) == sorted(set(PROBLEM_NAMES))


def test_a_view_that_was_never_populated_is_503(api: Api) -> None:
    with api.database.session() as owner:
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


def test_strangers_are_told_what_is_wrong_in_general_words(api: Api) -> None:
    with api.database.connect(autocommit=False) as connection:
        connection.execute(
            "ALTER TABLE public.solicitudes DISABLE TRIGGER USER;"
            "INSERT INTO analytics.audit_log (table_name, column_name, cells, is_healed) "
            "VALUES ('month_totals', 'requests', 1, false);"
            "UPDATE analytics.view_state SET last_success_at = last_success_at - interval '27 h';"
            "UPDATE analytics.scheduler_state SET last_tick_at = last_tick_at - interval '1 h';"
        )

        def told(role: str) -> list[str]:
            connection.execute(f"SET LOCAL ROLE {role}")
            row = connection.execute("SELECT api.health()").fetchone()
            connection.execute("RESET ROLE")
            assert row is not None
            assert row[0]["status"] == "unhealthy"
            return [str(text) for text in row[0]["problems"]]

        general = told("analytics_anon")
        full = told(READER)
        assert told(OPERATOR) == full
        connection.rollback()
    names = {"capture_gap", "drift", "stale", "scheduler_down"}
    assert names <= {text.split(": ")[0] for text in general}
    assert {text.split(": ")[0] for text in full} == {text.split(": ")[0] for text in general}
    assert len(general) == len(set(general)) < len(full)
    for word in ("public.solicitudes", "SELECT", "scripts/", "mv_", "analytics."):
        assert any(word in text for text in full), word
        assert not any(word in text for text in general), word


def test_every_problem_has_general_words(api: Api) -> None:
    words = {
        name: str(api.database.rows(f"SELECT kpi_engine.problem_in_short('{name}')")[0][0])
        for name in {*PROBLEM_NAMES, "unknown"}
    }
    assert len(PROBLEM_NAMES) > 10
    assert len(set(words.values())) == len(words)
    for text in words.values():
        assert text.replace(" ", "").replace("26", "").replace("25", "").isalpha(), text


# -- waiting -----------------------------------------------------------------------------------

# What each lock holds up. A materialized view can't be locked but by a change of it.
HELD_UP = {
    "ALTER MATERIALIZED VIEW analytics.mv_metricas_mensuales RENAME TO busy": {
        MONTHLY,
        KPI,
        STATUS,
        "/metrics",
    },
    "ALTER MATERIALIZED VIEW analytics.mv_ranking_asesores RENAME TO busy": {
        RANKING,
        TOP,
        CITIES,
        STATUS,
        "/metrics",
    },
    "LOCK TABLE kpi_engine.view_state": {*READING, *HEALTH, "/metrics"},
    "LOCK TABLE kpi_engine.change_log": {STATUS, LIVE, "/metrics"},
    "LOCK TABLE kpi_engine.pending_changes": {STATUS, LIVE, "/metrics"},
    "LOCK TABLE kpi_engine.refresh_log": {STATUS, SCHEDULER, *HEALTH, "/metrics"},
    "LOCK TABLE kpi_engine.refresh_jobs": {SCHEDULER, *HEALTH, "/metrics"},
    "LOCK TABLE kpi_engine.scheduler_state": {SCHEDULER, *HEALTH, "/metrics"},
    "LOCK TABLE kpi_engine.settings": {SCHEDULER, LIVE, *HEALTH, "/metrics"},
    "LOCK TABLE kpi_engine.installation": {SCHEDULER},
}


@pytest.fixture(scope="module")
def hasty(api: Api) -> Iterator[Api]:
    """Another gateway over the same database, whose readers have half a second."""
    limit = "ALTER ROLE analytics_lector SET statement_timeout = '{}'"
    api.database.execute(limit.format("500ms"))
    try:
        settings = Settings(rate=100000, burst=10000)
        with started(api.database, "hasty", settings) as hasty:
            yield hasty
    finally:
        api.database.execute(limit.format(API_ROLES[READER]))


@pytest.mark.parametrize("statement", HELD_UP, ids=lambda statement: statement.split(".")[1])
@pytest.mark.takes_turns(2)
def test_readers_that_wait_too_long_get_504(api: Api, hasty: Api, statement: str) -> None:
    paths = sorted(HELD_UP[statement])
    hasty.forget_cache()
    with api.database.connect(autocommit=False) as other:
        other.execute(statement)
        with ThreadPoolExecutor(len(paths)) as pool:
            answers = list(pool.map(lambda path: hasty.get(path, READER), paths))
        other.rollback()
    for answer in answers:
        refused(answer, 504, "too long")
    for path in paths:
        assert api.get(path, READER).status == 200


def test_a_writer_that_waits_too_long_gets_504(api: Api) -> None:
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = %s"
    login = ["analytics_authenticator"]
    for path in (REFRESH, "/materialized-views/scheduler/trigger-refresh"):
        with (
            api.database.connect(autocommit=False) as other,
            api.database.session() as observer,
            ThreadPoolExecutor(1) as pool,
        ):
            other.execute("LOCK TABLE kpi_engine.refresh_jobs, analytics.refresh_log")
            answer = pool.submit(api.post, path, OPERATOR)
            assert wait_until(lambda: observer.execute(waiting, login).fetchone() is not None)
            observer.execute(waiting.replace("SELECT pid", "SELECT pg_cancel_backend(pid)"), login)
            refused(answer.result(), 504, "too long")
            other.rollback()
        assert api.post(path, OPERATOR).status in (200, 202)
    api.database.execute("CALL analytics.work()")


def test_every_reading_endpoint_is_held_up_by_something() -> None:
    assert set().union(*HELD_UP.values()) == set(GETS)


def test_a_reader_that_waits_too_long_gets_504(api: Api) -> None:
    api.forget_cache()
    with api.database.connect(autocommit=False) as other:
        other.execute("ALTER MATERIALIZED VIEW analytics.mv_metricas_mensuales RENAME TO busy")
        refused(api.get(MONTHLY, READER), 504, "too long")
        other.rollback()
    assert api.get(MONTHLY, READER).status == 200


# -- when the same address has another answer ------------------------------------------------------


def test_an_upgrade_that_changes_a_view_changes_its_etag(api: Api, tmp_path: Path) -> None:
    path = "/materialized-views/kpis/mv_demanda_ciudades?limit=1&order=mes"
    copy = Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))
    file = copy / "views" / "kpis" / "mv_demanda_ciudades.sql"
    rule = "month_ciudades.offers AS ofertas"
    text = file.read_text(encoding="utf-8")
    assert text.count(rule) == 1
    file.write_text(text.replace(rule, "month_ciudades.offers + 1000 AS ofertas"), encoding="utf-8")
    before = api.get(path, READER)
    gate = "SELECT analytics.set_setting('gate', '{}')"
    api.database.execute(gate.format("off"))
    try:
        migrate(api.database.url, directory=copy)
        api.forget_cache()
        after = api.get(path, READER, headers={"If-None-Match": before.headers["etag"]})
        assert after.status == 200
        assert after.json()[0]["ofertas"] == before.json()[0]["ofertas"] + 1000
    finally:
        migrate(api.database.url)
        api.database.execute("SELECT * FROM analytics.refresh_all_mv()", gate.format("on"))


def test_two_publishes_of_one_second_have_two_etags(api: Api) -> None:
    """Also where the data did not change, as after a setting did."""

    def tag(milliseconds: int) -> str:
        api.database.execute(
            "UPDATE kpi_engine.view_state SET calculated_at = date_trunc('second', calculated_at) "
            f"+ interval '{milliseconds} milliseconds' WHERE view_name = 'mv_segmentos_asesores'"
        )
        api.forget_cache()
        return api.get("/materialized-views/kpis/mv_segmentos_asesores", READER).headers["etag"]

    assert tag(1) != tag(2)
    assert tag(2) == tag(2)


def test_who_asked_by_http_is_noted_by_name(api: Api) -> None:
    database = api.database
    schedule = "SELECT value FROM analytics.settings WHERE name = 'schedule_time'"
    ((before,),) = database.rows(schedule)
    assert api.request("PUT", f"{RESCHEDULE}?hour=4&minute=44", OPERATOR).status == 200
    assert database.rows(
        "SELECT updated_by FROM analytics.settings WHERE name = 'schedule_time'"
    ) == [("test (analytics_operador)",)]
    database.execute(
        f"SELECT analytics.set_setting('schedule_time', '{before}')",
        "INSERT INTO kpi_engine.gate_holds "
        "(view_name, rule, before, after, allowed, run_id, held_at) "
        "VALUES ('mv_metricas_mensuales', 'lost_rows', 100, 10, 1, 1, now())",
    )
    try:
        answer = api.post(
            "/materialized-views/gate?view=mv_metricas_mensuales&how=once&reason=why", OPERATOR
        )
        assert answer.status == 200, answer.body
        names = "SELECT accepted_by, withdrawn_by FROM analytics.gate_acceptances"
        assert database.rows(names) == [("test (analytics_operador)", None)]
    finally:
        database.execute(
            "DELETE FROM kpi_engine.gate_holds", "DELETE FROM kpi_engine.gate_acceptances"
        )


@pytest.mark.parametrize("path", ["targets", "notes", "restatements"])
def test_a_view_that_is_not_there_is_400_and_no_empty_answer(api: Api, path: str) -> None:
    answer = api.get(f"/materialized-views/{path}?view=mv_metricas_mensuale", READER)
    refused(answer, 400, "parameter view must be ")

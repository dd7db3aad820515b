"""Which periods the page shows: the running one without a row, all of many, and their choices."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Route

from gateway_testing import Api
from jwt_token import AUDIENCE
from web_testing import (
    LECTOR,
    MONTHS,
    OPERADOR,
    Row,
    Visit,
    catalogue,
    cells,
    kpi,
    rounded,
    shown,
    visited,
    without_tag,
)

SYSTEM_SERVER_IS_ENOUGH = True
TIMES = {"mes": "mv_finanzas_mensuales", "semana": "mv_salud_marketplace"}
TARGETS = "/materialized-views/targets"
MOST = 1000
AHEAD = "00000000-0000-4000-8000-00000000a4ea"


@contextmanager
def weeks_later(shop: Api) -> Iterator[None]:
    """Let the last refresh be some weeks later, in which nobody asked for anything."""
    shift = "UPDATE kpi_engine.view_state SET last_success_at = last_success_at {} interval '40 d'"
    shop.database.execute(shift.format("+"))
    try:
        shop.forget_cache()
        yield
    finally:
        shop.database.execute(shift.format("-"))
        shop.forget_cache()


@pytest.fixture
def later(shop: Api) -> Iterator[None]:
    """Let the day, the week and the month that run have no row."""
    with weeks_later(shop):
        for view in ("mv_embudo_operativo", *TIMES.values(), "mv_retencion_asesores"):
            (running,) = kpi(shop, view, limit=1, fill="true", compare="previous")
            (newest,) = kpi(shop, view, limit=1, compare="previous")
            assert (running["incompleto"], newest["incompleto"]) == (True, False)
        yield


@pytest.fixture
def ahead(shop: Api) -> Iterator[str]:
    """Let one request be dated 60 days ahead; return the day of the last refresh."""
    shop.database.execute(
        "INSERT INTO solicitudes SELECT made.* FROM (SELECT to_jsonb(solicitudes) AS row FROM "
        "solicitudes ORDER BY id LIMIT 1) AS one CROSS JOIN LATERAL jsonb_populate_record("
        f"NULL::solicitudes, one.row || jsonb_build_object('id', '{AHEAD}', "
        "'created_at', now() + interval '60 days')) AS made",
        "SELECT * FROM refresh_all_mv()",
    )
    try:
        shop.forget_cache()
        ((day,),) = shop.database.rows(
            "SELECT (min(last_success_at) AT TIME ZONE 'America/Bogota')::date::text "
            "FROM kpi_engine.view_state"
        )
        yield str(day)
    finally:
        shop.database.execute(
            f"DELETE FROM solicitudes WHERE id = '{AHEAD}'", "SELECT * FROM refresh_all_mv()"
        )
        shop.forget_cache()


def two(shop: Api, view: str, time: str, **query: str) -> tuple[str, str]:
    """Return the first days of the period that runs and of the last one that is over."""
    running, over = kpi(shop, view, limit=2, fill="true", **query)
    return running[time], over[time]


def month_name(day: str) -> str:
    """Return a month as the page names it."""
    return f"{MONTHS[int(day[5:7]) - 1]} {day[:4]}"


@pytest.mark.usefixtures("later")
def test_a_running_period_without_a_row_is_not_shown_as_over(visit: Visit, shop: Api) -> None:
    for tab, figure, view, time in (
        ("embudo", "embudo-dias", "mv_embudo_operativo", "dia"),
        ("embudo", "embudo-ttfo_mediana_seg", "mv_embudo_operativo", "dia"),
        ("embudo", "embudo-niveles", "mv_embudo_niveles", "mes"),
        ("mercado", "mercado-densidad_ofertas", "mv_salud_marketplace", "semana"),
        ("finanzas", "finanzas-valores", "mv_finanzas_mensuales", "mes"),
        ("finanzas", "finanzas-acumulado_anual", "mv_finanzas_mensuales", "mes"),
        ("asesores", "asesores-retencion", "mv_retencion_asesores", "mes"),
    ):
        running = kpi(shop, view, limit=1, fill="true")[0][time]
        page = visit.go(tab)
        first, second = visit.open_table(figure)[:2]
        assert first[0] == f"{shown(running, 'fecha')} incompleto", figure
        assert "incompleto" not in second[0]
        file = visit.csv(figure)
        assert [row["incompleto"] for row in file] == ["true"] + ["false"] * (len(file) - 1)
        assert "sin terminar (punteado)" in visit.text(f"#{figure}")
        page.focus(f"#{figure}-chart")
        page.keyboard.press("End")
        words = page.get_attribute(f"#{figure}-chart", "aria-valuetext")
        assert "(incompleto)" in str(words)


@pytest.mark.usefixtures("later")
def test_the_last_period_that_is_over_is_not_a_running_one_without_a_row(
    visit: Visit, shop: Api
) -> None:
    monday = two(shop, "mv_salud_marketplace", "semana")[1]
    month = two(shop, "mv_retencion_asesores", "mes")[1]
    week = f"Semana del {shown(monday, 'fecha')}"
    visit.go("mercado")
    latest = visit.texts(".latest")
    assert len(latest) == 5 and all(week in text for text in latest)
    visit.go("asesores")
    assert month_name(month) in visit.text(".latest")
    visit.go()
    lights = visit.texts(".lights li .note")
    assert lights == [week] * 5 + [month_name(month)]


@pytest.mark.usefixtures("later")
def test_a_target_is_not_missed_by_a_running_period_without_a_row(visit: Visit, shop: Api) -> None:
    monday = two(shop, "mv_salud_marketplace", "semana")[1]
    month, _ = two(shop, "mv_metricas_mensuales", "mes")
    week = kpi(shop, "mv_salud_marketplace", limit=20)[-1]["semana"]
    wanted = (
        f"view=mv_salud_marketplace&column=densidad_ofertas&from={week}",
        f"view=mv_metricas_mensuales&column=solicitudes_creadas&from={month[:7]}",
    )
    try:
        for one in wanted:
            answer = shop.request("POST", f"{TARGETS}?{one}&value=1", OPERADOR)
            assert answer.status in (200, 201), answer.body
        visit.go("mercado")
        words = visit.text("#mercado-densidad_ofertas .marks .target")
        assert words.endswith(f"✕ Semana del {shown(monday, 'fecha')}: no alcanzada (0,00)")
        visit.go()
        card = ".card[data-column=solicitudes_creadas]"
        assert visit.text(f"{card} .target") == "Meta del mes: 1"
    finally:
        shop.database.execute("DELETE FROM kpi_engine.targets")


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("city", ["", "Bogotá"])
def test_resumen_shows_the_running_month_also_without_a_row(
    visit: Visit, shop: Api, city: str
) -> None:
    view = "mv_demanda_ciudades" if city else "mv_metricas_mensuales"
    count = "solicitudes" if city else "solicitudes_creadas"
    query = {"ciudad": city} if city else {}
    month, _ = two(shop, view, "mes", **query)
    visit.go(**query)
    assert visit.text(".top h2") == month_name(month) + "incompleto"
    assert visit.text(f".card[data-column={count}] .big") == "0"
    assert "frente a los mismos días de " in visit.text(f".card[data-column={count}]")
    assert "frente a los mismos días de " in visit.text(".cards")
    assert visit.page.locator(".card .spark path.running").count() == 6
    first, second = visit.open_table("resumen-meses")[:2]
    assert first[:2] == [f"{shown(month, 'fecha')} incompleto", "0"]
    assert "incompleto" not in second[0]
    assert [row["incompleto"] for row in visit.csv("resumen-meses")][:2] == ["true", "false"]


@pytest.mark.parametrize(
    ("tab", "figure", "view", "time"),
    [
        ("embudo", "embudo-dias", "mv_embudo_operativo", "dia"),
        ("embudo", "embudo-niveles", "mv_embudo_niveles", "mes"),
        ("mercado", "mercado-demanda", "mv_salud_marketplace", "semana"),
        ("finanzas", "finanzas-valores", "mv_finanzas_mensuales", "mes"),
        ("asesores", "asesores-retencion", "mv_retencion_asesores", "mes"),
        ("resumen", "resumen-meses", "mv_metricas_mensuales", "mes"),
    ],
)
@pytest.mark.takes_turns(2)
def test_a_request_dated_ahead_moves_no_period(
    visit: Visit, shop: Api, ahead: str, tab: str, figure: str, view: str, time: str
) -> None:
    rows = kpi(shop, view, limit=MOST, fill="true", compare="previous")
    is_open = {row[time]: row["incompleto"] for row in rows}
    running = min(period for period in is_open if is_open[period])
    assert running <= ahead < max(is_open)
    usual = {"dia": 90, "semana": 26, "mes": 13}[time]
    visit.go(tab)
    file = visit.csv(figure)
    assert [row[time] for row in file] == [one for one in is_open if one <= running][:usual]
    assert [row["incompleto"] for row in file] == ["true"] + ["false"] * (usual - 1)
    # Whoever asks for the months to come gets them, each with what the API says of it.
    visit.go(tab, desde=running[:7], hasta=max(is_open)[:7])
    file = visit.csv(figure)
    assert max(row[time] for row in file) == max(is_open)
    assert {row[time]: row["incompleto"] == "true" for row in file} == {
        row[time]: is_open[row[time]] for row in file
    }


def test_a_request_dated_ahead_moves_no_verdict(visit: Visit, shop: Api, ahead: str) -> None:
    over = {
        view: next(
            row[time]
            for row in kpi(shop, view, limit=MOST, fill="true", compare="previous")
            if not row["incompleto"]
        )
        for time, view in (("semana", "mv_salud_marketplace"), ("mes", "mv_retencion_asesores"))
    }
    week = f"Semana del {shown(over['mv_salud_marketplace'], 'fecha')}"
    month = month_name(over["mv_retencion_asesores"])
    visit.go("mercado")
    latest = visit.texts(".latest")
    assert len(latest) == 5 and all(week in text for text in latest)
    visit.go("asesores")
    assert month in visit.text(".latest")
    visit.go()
    assert visit.texts(".lights li .note") == [week] * 5 + [month]
    running = month_name(f"{ahead[:7]}-01")
    assert visit.text(".top h2") == f"{running}incompleto"
    assert visit.page.locator(".card .spark path.running").count() == 6
    visit.go("ciudades")
    assert visit.text("h2 .joined") == running
    visit.go("ciudades", hasta="2099-01")
    assert visit.text("h2 .joined") != running


def test_the_file_of_the_cities_says_that_the_month_is_not_over(visit: Visit) -> None:
    visit.go("ciudades")
    assert {row["incompleto"] for row in visit.csv("ciudades")} == {"true"}
    # The title says it, not each row.
    assert not any("incompleto" in row[0] for row in visit.open_table("ciudades"))


def test_cities_have_no_zero_before_the_first_month_of_the_view(visit: Visit, shop: Api) -> None:
    (first,) = kpi(shop, "mv_demanda_ciudades", limit=1, order="mes")
    second = kpi(shop, "mv_metricas_mensuales", limit=2, order="mes")[1]["mes"]
    page = visit.go("ciudades", hasta=second[:7])
    for row in visit.csv("ciudades"):
        months = {name: cell for name, cell in row.items() if name[:2] == "20"}
        before = {name: cell for name, cell in months.items() if name < first["mes"][:7]}
        assert len(before) == 11 and set(before.values()) == {""}
        assert "" not in [months[name] for name in months.keys() - before.keys()]
    words = page.locator("#ciudades-lista .spark").first.get_attribute("aria-label")
    assert str(words).startswith("13 meses: de — a ")


def test_a_period_before_the_first_data_is_empty_and_not_judged(visit: Visit, shop: Api) -> None:
    (first,) = kpi(shop, "mv_retencion_asesores", order="mes", limit=1)
    assert (first["asesores_retenidos"], first["asesores_perdidos"]) == (0, 0)
    for tab in ("resumen", "mercado", "finanzas"):
        visit.go(tab, hasta="2018-03")
        assert visit.text("#content .empty") == "No hay datos en este período."
    # Also where the API gives zeros from the first month on: nobody knows them.
    for tab in ("mercado", "finanzas"):
        visit.go(tab, desde="2018-01", hasta="2018-03")
        assert visit.text("#content .empty") == "No hay datos en este período."
        assert visit.page.locator("#content .band").count() == 0
    # Nobody can stay who was not there the month before.
    visit.go("asesores", hasta=first["mes"][:7])
    assert visit.page.locator("#asesores-retencion .latest .band").count() == 0
    assert month_name(first["mes"]) in visit.text("#asesores-retencion .latest")
    visit.go("asesores")
    assert visit.page.locator("#asesores-retencion .latest .band").count() == 1


@pytest.mark.parametrize(("lost", "bands"), [(None, 1), (3, 1), (0, 0)])
def test_a_month_without_requests_after_an_active_one_is_judged(
    visit: Visit, lost: int | None, bands: int
) -> None:
    """The API fills such a month: nobody stayed, and nobody counted who was lost."""

    def quiet(route: Route) -> None:
        answer = route.fetch()
        rows = answer.json()
        for row in rows:
            row |= {"asesores_retenidos": 0, "asesores_perdidos": lost, "tasa_retencion_pct": 0}
        route.fulfill(response=answer, json=rows)

    visit.page.route("**/kpis/mv_retencion_asesores*", quiet)
    visit.go("asesores")
    assert "0,0 %" in visit.text("#asesores-retencion .latest")
    assert visit.page.locator("#asesores-retencion .latest .band").count() == bands


def all_days(shop: Api, first: str) -> list[Row]:
    """Return the days since the first one, newest first: in more than one answer."""
    days: list[Row] = []
    while len(days) % MOST == 0:
        days += kpi(
            shop,
            "mv_embudo_operativo",
            **{"from": first},
            fill="true",
            limit=MOST,
            offset=len(days),
        )
    assert len(days) > MOST
    return days


def test_a_long_period_is_shown_whole(visit: Visit, shop: Api) -> None:
    (first,) = kpi(shop, "mv_embudo_operativo", order="dia", limit=1)
    days = [row for row in all_days(shop, "2021-03-01") if row["dia"] >= first["dia"]]
    names = ["solicitudes_creadas", "solicitudes_con_ofertas"]
    visit.go("embudo", desde="2021-03")
    for name in names:
        total = sum(row[name] for row in days)
        assert visit.text(f".funnel [data-column={name}] .step b") == rounded(total, 0)
    table = without_tag(visit.open_table("embudo-dias"))
    assert [row[:3] for row in table] == cells(
        days, names, catalogue(shop)["mv_embudo_operativo"], "dia"
    )
    assert visit.text("#embudo-pasos .note") == "Desde mar 2021"


def test_answers_of_two_refreshes_are_not_put_together(visit: Visit, shop: Api) -> None:
    days = all_days(shop, "2021-03-01")
    tags = iter(('W/"before"', 'W/"before"'))

    def changed(route: Route) -> None:
        answer = route.fetch()
        tag = next(tags, answer.headers["etag"])
        # As if a day had come between the two answers: the first row stands in both.
        body = answer.json() if tag == answer.headers["etag"] else [days[MOST - 1], *answer.json()]
        route.fulfill(response=answer, json=body, headers={**answer.headers, "etag": tag})

    visit.page.route("**/mv_embudo_operativo?*offset=1000*", changed)
    visit.go("embudo", desde="2021-03")
    assert next(tags, None) is None
    (first,) = kpi(shop, "mv_embudo_operativo", order="dia", limit=1)
    known = [row for row in days if row["dia"] >= first["dia"]]
    assert len(visit.open_table("embudo-dias")) == len(known) > MOST


def test_rows_of_before_a_refresh_are_asked_for_again(visit: Visit, shop: Api) -> None:
    months = kpi(shop, "mv_finanzas_mensuales", limit=13, fill="true")
    earlier = iter((True,))

    def changed(route: Route) -> None:
        answer = route.fetch()
        if "compare" in route.request.url or not next(earlier, False):
            return route.fulfill(response=answer)
        # As if the refresh had come after these rows, and before the catalogue.
        old = [{**row, "valor_bruto_ofertado": 1} for row in answer.json()]
        headers = {**answer.headers, "x-data-version": "0", "etag": 'W/"before"'}
        return route.fulfill(response=answer, json=old, headers=headers)

    visit.page.route("**/kpis/mv_finanzas_mensuales?*", changed)
    visit.go("finanzas")
    assert next(earlier, None) is None
    offered = shown(months[0]["valor_bruto_ofertado"], "COP")
    visit.open_table("finanzas-valores")
    visit.page.locator("#finanzas-valores-rows td", has_text=offered).wait_for(timeout=10000)
    # All figures are of one refresh now: no row is asked for again.
    visit.asked.clear()
    with visit.page.expect_response("**/materialized-views/kpis"):
        visit.page.evaluate("window.dispatchEvent(new Event('focus'))")
    visit.page.wait_for_timeout(1500)
    assert not any("mv_finanzas" in url for url in visit.asked)


def part_of(rows: list[Row], route: Route) -> None:
    """Answer with the rows that limit and offset ask for."""
    query = parse_qs(urlsplit(route.request.url).query)
    first = int(query.get("offset", ["0"])[0])
    limit = int(query["limit"][0]) if "limit" in query else len(rows)
    route.fulfill(json=rows[first : first + limit], headers={"ETag": 'W/"one"'})


def test_more_than_a_thousand_cities_are_all_shown(visit: Visit, shop: Api) -> None:
    month = kpi(shop, "mv_demanda_ciudades", limit=1)[0]["mes"][:7]
    (one, *_) = kpi(
        shop, "mv_demanda_ciudades", **{"from": month, "to": month}, limit=1, compare="year"
    )
    rows = [
        {**one, "ciudad": f"Ciudad {n}", "ciudad_key": f"CIUDAD {n}", "solicitudes": n}
        for n in range(1203)
    ]
    visit.page.route("**/mv_demanda_ciudades?*compare=year*", lambda route: part_of(rows, route))
    visit.go("ciudades")
    assert len(visit.table("ciudades-lista")) == len(rows)
    assert "1203 ciudades." in visit.text(".panel > .note")


def test_a_search_finds_more_than_a_thousand_advisors(visit: Visit, shop: Api) -> None:
    (one,) = kpi(shop, "mv_ranking_asesores", limit=1)
    # The name that is wanted comes last.
    rows = [
        {**one, "asesor_nombre": f"{'Zuz' if n < 1400 else 'Zaz'} {n}", "asesor_id": f"id{n:04}"}
        for n in range(1460)
    ]

    def names_or_some(route: Route) -> None:
        (wanted,) = parse_qs(urlsplit(route.request.url).query).get("asesor_id", [""])
        part_of([row for row in rows if not wanted or row["asesor_id"] in wanted], route)

    page = visit.go("asesores")
    page.route("**/rest/mv_ranking_asesores?*", names_or_some)
    page.fill("#asesores-busca", "zaz")
    page.locator("#asesores-lista tbody th", has_text="Zaz 1400").wait_for()
    assert visit.text(".bar-line [role=status]") == "Los primeros 50 de 60 asesores encontrados."


def test_targets_and_notes_that_are_cut_are_told(visit: Visit) -> None:
    notes = [
        {"id": n, "day": "2026-01-01", "text": f"Nota {n}", "view": None, "author": "x"}
        for n in range(MOST)
    ]
    visit.page.route("**/materialized-views/notes*", lambda route: route.fulfill(json=notes))
    visit.go("operacion")
    assert "La página muestra como máximo 1000" in visit.text("#marks")
    notes.pop()
    visit.go("operacion")
    assert "La página muestra como máximo" not in visit.text("#marks")


@pytest.mark.parametrize("zone", ["America/Bogota", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_last_evening_of_a_month_has_the_choices_of_that_month(
    browser: Browser, shop: Api, zone: str
) -> None:
    months = [row["mes"] for row in kpi(shop, "mv_finanzas_mensuales", limit=3, fill="true")]
    last = (date.fromisoformat(months[0]) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    # The token is good until after the clock of the browser.
    end = int(last.strftime("%s")) + 30 * 86400
    token = shop.mint({"role": LECTOR, "aud": AUDIENCE, "sub": "test", "exp": end})
    with visited(browser, shop, timezone_id=zone) as visit:
        page = visit.page
        page.clock.set_fixed_time(f"{last}T20:00:00-05:00")
        page.goto(f"{shop.url}/?vista=finanzas#token={token}")
        visit.ready()
        page.select_option("#period", "3")
        page.wait_for_url("**desde=**")
        visit.ready()
        assert parse_qs(urlsplit(page.url).query)["desde"] == [months[2][:7]]
        rows = visit.open_table("finanzas-valores")
        assert [row[0] for row in without_tag(rows)] == [shown(month, "fecha") for month in months]
        # Whoever gets the link sees the same choice.
        page.goto(f"{shop.url}/?vista=finanzas&desde={months[2][:7]}#token={token}")
        visit.ready()
        assert page.input_value("#period") == "3"
        assert not page.locator(".own").is_visible()


@pytest.mark.parametrize(
    ("zone", "months_on"), [("America/Bogota", 0), ("Pacific/Kiritimati", 1), ("Nowhere/Town", 1)]
)
def test_the_choices_are_those_of_the_zone_of_the_figures(
    visit: Visit, shop: Api, zone: str, months_on: int
) -> None:
    """At 20:00 of the last day of a month in Bogota. A zone that no browser knows may be any."""
    answer = shop.get("/materialized-views/kpis", LECTOR).json()
    assert answer["timezone"] == "America/Bogota"
    answer["timezone"] = zone
    for entry in answer["kpis"]:
        entry["last_refresh"] = "2026-01-31T20:00:00-05:00"
    visit.page.route("**/materialized-views/kpis", lambda route: route.fulfill(json=answer))
    visit.go("finanzas")
    visit.page.select_option("#period", "3")
    visit.page.wait_for_url("**desde=**")
    first = parse_qs(urlsplit(visit.page.url).query)["desde"]
    assert first == [("2025-11", "2025-12")[months_on]]


def test_the_month_of_the_last_refresh_is_that_of_the_zone(visit: Visit, shop: Api) -> None:
    """The last refresh was in the last evening of a month, and the next month has rows."""
    last_month, month_before = (
        row["mes"] for row in kpi(shop, "mv_finanzas_mensuales", limit=2, fill="true")
    )
    answer = shop.get("/materialized-views/kpis", LECTOR).json()
    evening = date.fromisoformat(last_month) - timedelta(days=1)
    for entry in answer["kpis"]:
        entry["last_refresh"] = f"{evening}T23:00:00-05:00"
    visit.page.route("**/materialized-views/kpis", lambda route: route.fulfill(json=answer))
    visit.go("finanzas")
    months = [row["mes"] for row in visit.csv("finanzas-valores")]
    assert (months[0], len(months)) == (month_before, 13)
    visit.go("ciudades")
    assert visit.text("h2 .joined") == month_name(month_before)

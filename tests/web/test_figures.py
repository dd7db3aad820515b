"""The numbers of each tab are the API's, read from the page itself."""

import json
import re
import time
from collections.abc import Callable
from datetime import datetime

import pytest
from playwright.sync_api import Route, expect

from gateway_testing import Api
from web_testing import (
    KPIS,
    LECTOR,
    NASTY_CITY,
    NASTY_NAME,
    Row,
    Visit,
    arrow,
    catalogue,
    cells,
    kpi,
    literal,
    plain,
    rounded,
    shown,
    shown_pair,
    shown_short,
    without_tag,
)

SYSTEM_SERVER_IS_ENOUGH = True
MONTHLY = "mv_metricas_mensuales"
SIX = {
    "mv_metricas_mensuales": (
        "solicitudes_creadas",
        "tasa_aceptacion_pct",
        "volumen_transaccional_total",
        "ofertas_promedio_por_solicitud",
        "asesores_activos",
        "tiempo_promedio_cierre_seg",
    ),
    "mv_demanda_ciudades": (
        "solicitudes",
        "tasa_aceptacion_pct",
        "valor_bruto_aceptado",
        "ofertas_por_solicitud",
        "asesores_activos",
        "ttfo_mediana_seg",
    ),
}
LIGHTS = {
    "mv_salud_marketplace": (
        "ratio_oferta_demanda",
        "densidad_ofertas",
        "tasa_participacion_pct",
        "tasa_adjudicacion_promedio_pct",
        "tasa_aceptacion_cliente_pct",
    ),
    "mv_retencion_asesores": ("tasa_retencion_pct",),
}
# The operators' rules, by hand: when a value is good, and when it is bad.
BANDS: dict[str, tuple[Callable[[float], bool], Callable[[float], bool]]] = {
    "ratio_oferta_demanda": (lambda n: 15 <= n <= 25, lambda n: n < 10 or n > 30),
    "densidad_ofertas": (lambda n: n >= 3, lambda n: n < 2),
    "tasa_participacion_pct": (lambda n: n > 70, lambda n: n < 50),
    "tasa_adjudicacion_promedio_pct": (lambda n: 20 <= n <= 35, lambda n: n < 15 or n > 40),
    "tasa_aceptacion_cliente_pct": (lambda n: n > 80, lambda n: n < 60),
    "tasa_retencion_pct": (lambda n: n > 85, lambda n: n < 60),
    "conversion_aceptacion_pct": (lambda n: n > 80, lambda n: n < 60),
    "tasa_respuesta_pct": (lambda n: n > 75, lambda n: n < 60),
}


def band(column: str, value: float) -> str:
    """Return the word of a value's band."""
    good, bad = BANDS[column]
    return "✓ bien" if good(value) else "✕ mal" if bad(value) else "! atención"


def beside_band(column: str, value: float, unit: str) -> str:
    """Return a value, with one more digit where rounding would carry it into another band."""
    if unit == "pct" and band(column, value) != band(column, round(value, 1)):
        return f"{rounded(value, 2)} %"
    return shown(value, unit)


@pytest.mark.parametrize("city", ["", NASTY_CITY])
def test_resumen_shows_six_numbers_with_their_differences(
    visit: Visit, shop: Api, city: str
) -> None:
    view = "mv_demanda_ciudades" if city else "mv_metricas_mensuales"
    query = {"ciudad": city} if city else {}
    visit.go(**query)
    columns = catalogue(shop)[view]
    (now,) = kpi(shop, view, limit=1, fill="true", compare="previous", **query)
    (year,) = kpi(shop, view, limit=1, fill="true", compare="year", **query)
    assert now["incompleto"] is True
    assert len(kpi(shop, view, limit=13, fill="true", **query)) == 13
    for name in SIX[view]:
        card = f".card[data-column={name}]"
        label = re.sub(r" \(.*\)$", "", columns[name]["label_es"])
        assert visit.text(f"{card} h3") == f"{label}?"
        assert visit.text(f"{card} .big") == shown(now[name], columns[name]["unit"])
        for row, kind in ((now, "previous"), (year, "year")):
            percent = row[f"{name}_dif_pct"]
            delta = visit.text(f"{card} [data-compare={kind}]")
            before, unit = row[f"{name}_anterior"], columns[name]["unit"]
            if percent is None:
                assert re.match(r"los mismos días de \w+ \d+: ", delta)
                known = shown_short(before, unit) if before is not None else "— (sin dato)"
                assert delta.endswith(f": {known}")
                continue
            assert visit.text(f"{card} [data-compare={kind}] b") == arrow(percent)
            better = columns[name]["better"] == ("up" if percent > 0 else "down")
            word = f"{'mejor' if better else 'peor'} " if round(percent * 10) else ""
            assert f" {word}frente a los mismos días de " in delta
            assert delta.endswith(f"({shown_short(before, unit)})")
    compared = [name for name in SIX[view] if year[f"{name}_dif_pct"] is not None]
    better = sum(
        columns[name]["better"] == ("up" if year[f"{name}_dif_pct"] > 0 else "down")
        for name in compared
        if round(year[f"{name}_dif_pct"] * 10)
    )
    if compared:
        assert str(better) in visit.text(".top .lead")
    else:
        # In the first days of a month, a city may have had nothing on the same days a year ago.
        assert city and visit.texts(".top .lead") == []
    assert visit.text(".top .tag") == "incompleto"
    assert visit.page.locator(".card .spark path.running").count() == 6
    rows = visit.open_table("resumen-meses")
    months = kpi(shop, view, limit=13, fill="true", **query)
    assert without_tag(rows) == cells(months, SIX[view], columns, "mes")


def test_resumen_shows_the_moment_the_bands_and_the_health(visit: Visit, shop: Api) -> None:
    page = visit.go()
    (live,) = shop.get("/materialized-views/live", LECTOR).json()
    for name in (
        "solicitudes_abiertas",
        "ofertas_pendientes_evaluacion",
        "solicitudes_hoy",
        "ofertas_hoy",
    ):
        assert visit.text(f"[data-live={name}]") == rounded(live[name], 0)
    columns = catalogue(shop)
    for view, names in LIGHTS.items():
        over = next(
            row
            for row in kpi(shop, view, limit=2, fill="true", compare="previous")
            if not row["incompleto"]
        )
        for name in names:
            light = f".lights [data-column={name}]"
            unit = columns[view][name]["unit"]
            assert visit.text(f"{light} b") == beside_band(name, over[name], unit)
            assert visit.text(f"{light} .band") == band(name, over[name])
    assert visit.text("#problems p") == "✓ Nada. Todo funciona."
    (entry,) = (one for one in shop.get(KPIS, LECTOR).json()["kpis"] if one["view"] == MONTHLY)
    at = datetime.fromisoformat(entry["last_refresh"]).astimezone()
    day = shown(f"{at:%Y-%m-%d}", "fecha")
    assert visit.text("#age").startswith("Datos de hace ")
    assert visit.text("#age").endswith(f": actualizados el {day}, {at:%H:%M}.")
    assert page.title() == "Resumen · TeLOO"
    page.click("#to-trust")
    expect(page.locator("#trust")).to_be_focused()
    expect(page.locator("#trust h2")).to_be_in_viewport()


def test_resumen_says_in_words_what_is_wrong(visit: Visit, shop: Api) -> None:
    page = visit.go()
    assert visit.texts("#problems li") == []
    with page.expect_response("**/health"):
        page.evaluate("window.dispatchEvent(new Event('focus'))")
    shop.database.execute(
        "UPDATE kpi_engine.view_state SET last_success_at = last_success_at - interval '27 hours' "
        "WHERE view_name = 'mv_finanzas_mensuales'"
    )
    try:
        shop.forget_cache()
        (problem,) = shop.get("/materialized-views/health", LECTOR).json()["problems"]
        assert "mv_finanzas_mensuales" in problem
        # The page that is open hears of it.
        page.evaluate("window.dispatchEvent(new Event('focus'))")
        page.wait_for_selector("#problems li")
        assert visit.texts("#problems li") == [
            f"Las cifras tienen más de 26 horas {plain(problem)}"
        ]
        assert visit.page.locator("#content > *").first.get_attribute("id") == "problems"
        visit.page.click("#problems a")
        visit.ready()
        assert visit.texts(".problems .note") == [plain(problem)]
        assert visit.text(".problems .cure").startswith("Mire si la última actualización falló")
        assert visit.text(".health > p b") == "Mal"
        # A token for some cities can't open Operación, and gets no link to it.
        claims = {"role": LECTOR, "aud": "teloo-analytics", "exp": int(time.time()) + 3600}
        narrow = shop.mint({**claims, "ciudades": ["Bogotá"]})
        page.goto(f"{shop.url}/#token={narrow}")
        page.wait_for_selector("#problems li")
        assert page.locator("#problems a").count() == 0
    finally:
        shop.database.execute(
            "UPDATE kpi_engine.view_state SET last_success_at = last_success_at + "
            "interval '27 hours' WHERE view_name = 'mv_finanzas_mensuales'"
        )


def differing(changes: list[Row]) -> list[Row]:
    """Return the last change of each figure that is not again what was reported."""
    last: dict[str, Row] = {}
    for row in changes:
        key = json.dumps([row[name] for name in ("view", "period", "column", "key")])
        last.setdefault(key, row)
    return [row for row in last.values() if row["reported"] != row["current"]]


def test_resumen_lists_what_changed_in_closed_periods(visit: Visit, shop: Api) -> None:
    # The awkward names and the missing answers changed what the first refresh had published.
    changes = shop.get("/materialized-views/restatements?limit=100", LECTOR).json()
    assert changes
    page = visit.go()
    listed = differing(changes)
    assert visit.text("#restated summary") == (
        f"Cifras de períodos cerrados que ya no son las publicadas: {len(listed)}"
    )
    assert (f"De los últimos {len(changes)} cambios." in visit.text("#trust")) is (
        len(changes) == 100
    )
    page.click("#restated summary")
    columns = catalogue(shop)
    assert [row[3:] for row in visit.table("restated-list")] == [
        shown_pair(row["reported"], row["current"], columns[row["view"]][row["column"]]["unit"])
        for row in listed
    ]


def test_a_figure_that_changed_again_is_listed_once_with_what_it_is_now(
    visit: Visit, shop: Api
) -> None:
    def change(column: str, current: float) -> Row:
        return {
            "view": "mv_metricas_mensuales",
            "period": "2026-04-01",
            "column": column,
            "key": {"mes": "2026-04-01"},
            "reported": 41,
            "current": current,
        }

    # Newest first. One of the two is again what was reported.
    answer = [
        change("tasa_aceptacion_pct", 41),
        change("solicitudes_creadas", 43),
        change("tasa_aceptacion_pct", 41.3),
        change("solicitudes_creadas", 42),
    ]
    visit.page.route("**/restatements*", lambda route: route.fulfill(json=answer))
    visit.go()
    visit.page.click("#restated summary")
    assert visit.table("restated-list") == [
        ["Solicitudes creadas", "Métricas mensuales", "abr 2026", "41", "43"]
    ]
    del answer[1], answer[2]
    visit.go("finanzas")
    visit.go()
    same = "Ninguna cifra de un período cerrado difiere de la publicada a su cierre."
    assert same in visit.text("#trust")

    # Of older changes nothing is known here.
    answer += [change("tasa_aceptacion_pct", 41)] * (100 - len(answer))
    visit.go("finanzas")
    visit.go()
    assert same not in visit.text("#trust")
    assert (
        "✓ Las cifras que cambiaron son otra vez las publicadas. De los últimos 100 cambios."
    ) in visit.text("#trust")
    del answer[50:]

    # Where nothing is kept, nothing is promised.
    kpis = shop.get("/materialized-views/kpis", LECTOR).json()
    for entry in kpis["kpis"]:
        entry["has_history"] = entry["view"] != "mv_finanzas_mensuales"
    visit.page.route("**/materialized-views/kpis", lambda route: route.fulfill(json=kpis))
    visit.go("finanzas")
    visit.go()
    assert "No se guarda lo publicado de: Finanzas." in visit.text("#trust")
    assert same in visit.text("#trust")
    for entry in kpis["kpis"]:
        entry["has_history"] = False
    visit.go("finanzas")
    visit.go()
    assert same not in visit.text("#trust")


def test_what_was_published_and_what_is_now_never_read_alike(visit: Visit) -> None:
    def change(column: str, reported: float, current: float) -> Row:
        return {
            "view": MONTHLY,
            "period": "2026-04-01",
            "column": column,
            "key": {"mes": "2026-04-01"},
            "reported": reported,
            "current": current,
        }

    answer = [
        change("tiempo_promedio_cierre_seg", 117000, 117120.4),
        change("tasa_aceptacion_pct", 58.79, 58.8),
        change("volumen_transaccional_total", 1000000.4, 1000000.2),
        change("ofertas_promedio_por_solicitud", 2.331, 2.334),
        change("asesores_activos", 41, 42),
    ]
    visit.page.route("**/restatements*", lambda route: route.fulfill(json=answer))
    visit.go()
    visit.page.click("#restated summary")
    assert [row[3:] for row in visit.table("restated-list")] == [
        ["1 día 8 h 30 min", "1 día 8 h 32 min"],
        ["58,79 %", "58,80 %"],
        ["$ 1.000.000,40", "$ 1.000.000,20"],
        ["2,331", "2,334"],
        ["41", "42"],
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (117960, "1 día 9 h"),
        (86380, "1 día"),
        (86369, "23 h 59 min"),
        (172799, "2 días"),
        (3599.5, "1 h"),
        (11520.4, "3 h 12 min"),
        (59.4, "59 s"),
        (0, "0 s"),
    ],
)
@pytest.mark.takes_turns(2)
def test_a_time_is_rounded_to_its_smaller_unit(visit: Visit, seconds: float, words: str) -> None:
    visit.go()
    assert (
        visit.page.evaluate(
            """async (seconds) => {
            const script = document.querySelector("script[type=module]").src;
            const format = await import(new URL("format.js", script).href);
            return format.duration(seconds);
        }""",
            seconds,
        )
        == words
    )
    assert shown(seconds, "segundos") == words


@pytest.mark.parametrize(("status", "shows"), [(500, True), (504, True), (404, False)])
def test_resumen_does_without_the_figures_of_this_moment(
    visit: Visit, status: int, shows: bool
) -> None:
    """A hub has none. Elsewhere they may fail, and the rest is there all the same."""
    visit.page.route(
        "**/materialized-views/live*",
        lambda route: route.fulfill(status=status, json={"message": "the source moved"}),
    )
    visit.go()
    assert visit.texts(".cards b")
    said = [text for text in visit.texts("section") if "En este momento" in text]
    assert [("No disponible ahora: the source moved" in text) for text in said] == [True] * shows
    # A look for news does not fail either.
    visit.page.evaluate("window.dispatchEvent(new Event('focus'))")
    visit.ready()
    assert visit.page.locator("#behind").is_hidden()


def test_live_figures_that_lack_rows_say_so_themselves(visit: Visit) -> None:
    """The others are those of the last refresh, which was whole."""

    def partial(route: Route) -> None:
        answer = route.fetch()
        headers = {**answer.headers, "x-partial": "shop", "x-stale": "false"}
        headers["x-partial-since"] = "2026-11-20T23:00:00.000Z"
        route.fulfill(response=answer, headers=headers)

    visit.page.route("**/materialized-views/live*", partial)
    visit.go()
    (live,) = [text for text in visit.texts("section") if text.startswith("En este momento")]
    assert "Faltan datos de shop desde" in live
    assert visit.page.locator("#partial").is_hidden()


def test_a_tab_says_what_its_own_views_lack(visit: Visit) -> None:
    """One view goes on to lack what the others have again: the gate holds it."""
    header = "bogot%C3%A1=2026-11-20T23:00:00.000Z, cali"

    def partial(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, "x-partial": header})

    line = visit.page.locator("#partial")
    visit.page.route("**/kpis/mv_embudo_niveles?*", partial)
    visit.go("embudo")
    said = "Faltan datos de cali. Faltan datos de bogotá desde 20 nov 2026, "
    assert line.inner_text().startswith(said)
    visit.go("finanzas")
    assert line.is_hidden()


def test_operacion_says_up_to_date_only_of_what_is(visit: Visit) -> None:
    """Not of a site whose own figures lack rows, nor of a subscription that falls behind."""
    site = {"state": "ok", "message": None, "as_of": None, "is_partial": False, "is_old": False}
    copy = {
        "is_enabled": True,
        "is_running": True,
        "is_failing": False,
        "is_late": False,
        "copying": [],
        "lost": [],
        "seconds_behind": 1,
        "bytes_behind": 0,
    }

    def several(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        body["sites"] = [
            {**site, "site": "whole"},
            {**site, "site": "held", "is_partial": True},
            {**site, "site": "old", "is_old": True},
            {**site, "site": "gone", "state": "away", "is_partial": True},
        ]
        body["replication"] = [
            {**copy, "subscription": "well"},
            {**copy, "subscription": "slow", "is_late": True},
            {**copy, "subscription": "stuck", "is_failing": True, "is_late": True},
        ]
        route.fulfill(response=answer, json=body)

    visit.page.route("**/materialized-views/status*", several)
    visit.go("operacion")
    rows = visit.page.locator("#copias tbody tr, table#copias tbody tr").all()
    shown = {
        row.locator("th, td").nth(0).inner_text(): row.locator("th, td").nth(1).inner_text()
        for row in rows
    }
    assert shown == {
        "well": "al día",
        "slow": "atrasado",
        "stuck": "falla",
        "whole": "al día",
        "held": "incompleto",
        "old": "atrasado",
        "gone": "no responde",
    }


def test_each_tab_says_that_its_figures_are_late(visit: Visit, shop: Api) -> None:
    shift = (
        "UPDATE kpi_engine.view_state SET last_success_at = last_success_at {} "
        "interval '27 hours' WHERE view_name = 'mv_finanzas_mensuales'"
    )
    visit.go("finanzas")
    assert visit.page.locator("#old").is_hidden()
    shop.database.execute(shift.format("-"))
    try:
        shop.forget_cache()
        # The page that is open hears of it, although there are no other data.
        visit.page.evaluate("window.dispatchEvent(new Event('focus'))")
        visit.page.wait_for_selector("#old:not([hidden])")
        assert visit.text("#old").startswith("Cifras atrasadas: Finanzas, del ")
        visit.go("embudo")
        assert visit.page.locator("#old").is_hidden()
    finally:
        shop.database.execute(shift.format("+"))
        shop.forget_cache()


def test_a_view_that_a_refresh_left_out_is_named_at_once(visit: Visit, shop: Api) -> None:
    shift = (
        "UPDATE kpi_engine.view_state SET published_version = published_version {} 1 "
        "WHERE view_name = 'mv_finanzas_mensuales'"
    )
    visit.go("finanzas")
    assert visit.page.locator("#old").is_hidden()
    shop.database.execute(shift.format("-"))
    try:
        shop.forget_cache()
        visit.page.evaluate("window.dispatchEvent(new Event('focus'))")
        visit.page.wait_for_selector("#old:not([hidden])")
        assert visit.text("#old").startswith("Más viejas que las otras cifras: Finanzas, del ")
        visit.go("finanzas", lang="en")
        assert visit.text("#old").startswith("Older than the other figures: Finance, of ")
        visit.go("embudo")
        assert visit.page.locator("#old").is_hidden()
    finally:
        shop.database.execute(shift.format("+"))
        shop.forget_cache()


FUNNEL = (
    "solicitudes_creadas",
    "solicitudes_con_ofertas",
    "solicitudes_adjudicadas",
    "solicitudes_aceptadas",
)


def test_embudo_shows_the_funnel_the_days_the_times_and_the_levels(visit: Visit, shop: Api) -> None:
    visit.go("embudo")
    days = kpi(shop, "mv_embudo_operativo", limit=90, fill="true")
    columns = catalogue(shop)["mv_embudo_operativo"]
    sums = [sum(row[name] for row in days) for name in FUNNEL]
    assert sums[3] > 0
    for name, count in zip(FUNNEL, sums, strict=True):
        assert visit.text(f".funnel [data-column={name}] .step b") == rounded(count, 0)
    ((awarded, both),) = shop.database.rows(
        "SELECT count(*), count(*) FILTER (WHERE is_accepted) FROM kpi_engine.solicitud_facts "
        f"WHERE offers_won > 0 AND local_day BETWEEN '{days[-1]['dia']}' AND '{days[0]['dia']}'"
    )
    assert awarded == sums[2] and int(str(both)) < sums[3]
    rates = [100 * sums[1] / sums[0], 100 * sums[2] / sums[1]]
    assert visit.texts(".funnel .rate b") == [
        *(shown(rate, "pct") for rate in rates),
        beside_band("conversion_aceptacion_pct", 100 * int(str(both)) / int(str(awarded)), "pct"),
    ]
    assert visit.text("[data-column=conversion_general_pct]") == shown(
        100 * sums[3] / sums[0], "pct"
    )
    table = visit.open_table("embudo-dias")
    assert table[0][0].endswith(" incompleto")
    assert without_tag(table) == cells(days, FUNNEL, columns, "dia")
    for name in ("ttfo_mediana_seg", "tta_mediana_seg", "ttcd_mediana_seg"):
        expected = cells(days, [name], columns, "dia")
        assert without_tag(visit.open_table(f"embudo-{name}")) == expected
    # A missing number has a note that says why, in the catalogue's words.
    assert any(row["ttcd_mediana_seg"] is None for row in days)
    assert columns["ttcd_mediana_seg"]["description_es"] in visit.text("#embudo-ttcd_mediana_seg")
    levels = kpi(shop, "mv_embudo_niveles", limit=1000, fill="true")
    months = sorted({row["mes"] for row in levels}, reverse=True)[:13]
    by_level = {(row["mes"], row["nivel"]): row["tasa_fallo_pct"] for row in levels}
    names = sorted({row["nivel"] for row in levels})
    assert without_tag(visit.open_table("embudo-niveles")) == [
        [shown(month, "fecha"), *(shown(by_level[month, level], "pct") for level in names)]
        for month in months
    ]


@pytest.mark.parametrize(
    ("tab", "view", "time", "limit", "figures"),
    [
        (
            "mercado",
            "mv_salud_marketplace",
            "semana",
            26,
            {
                **{f"mercado-{name}": [name] for name in LIGHTS["mv_salud_marketplace"]},
                "mercado-demanda": ["solicitudes_creadas", "solicitudes_con_ofertas"],
            },
        ),
        (
            "finanzas",
            "mv_finanzas_mensuales",
            "mes",
            13,
            {
                "finanzas-valores": [
                    "valor_bruto_ofertado",
                    "valor_bruto_adjudicado",
                    "valor_bruto_aceptado",
                ],
                "finanzas-tasas": ["tasa_adjudicacion_valor_pct", "tasa_fuga_valor_pct"],
                "finanzas-ticket_promedio": ["ticket_promedio"],
                "finanzas-crecimiento_mensual_pct": ["crecimiento_mensual_pct"],
                "finanzas-acumulado_anual": ["acumulado_anual"],
            },
        ),
    ],
)
def test_charts_show_the_figures_of_the_api_in_table_and_csv(
    visit: Visit,
    shop: Api,
    tab: str,
    view: str,
    time: str,
    limit: int,
    figures: dict[str, list[str]],
) -> None:
    visit.go(tab)
    rows = kpi(shop, view, limit=limit, fill="true")
    columns = catalogue(shop)[view]
    assert visit.page.locator("figure").count() == len(figures)
    assert visit.page.locator("figure .chart svg [stroke-dasharray]").count() >= len(figures)
    for figure, names in figures.items():
        assert without_tag(visit.open_table(figure)) == cells(rows, names, columns, time)
        assert visit.csv(figure) == [
            {
                time: row[time],
                **{name: number(row[name]) for name in names},
                "incompleto": "true" if row is rows[0] else "false",
            }
            for row in rows
        ]
        drawn = visit.page.locator(f"#{figure} .chart svg").evaluate("svg => svg.clientWidth")
        assert drawn > 200


def number(value: object) -> str:
    """Return a number of the API as JavaScript writes it."""
    if value is None:
        return ""
    return str(int(value)) if float(str(value)).is_integer() else f"{float(str(value))!r}"  # type: ignore[call-overload]


def test_mercado_shows_the_band_of_the_last_week_that_is_over(visit: Visit, shop: Api) -> None:
    visit.go("mercado")
    (over, *_) = [
        row
        for row in kpi(shop, "mv_salud_marketplace", limit=2, fill="true", compare="previous")
        if not row["incompleto"]
    ]
    for name in LIGHTS["mv_salud_marketplace"]:
        assert visit.text(f".latest[data-column={name}] .band") == band(name, over[name])


def test_a_figure_is_not_rounded_into_another_band(visit: Visit) -> None:
    page = visit.go("mercado")
    column = "tasa_adjudicacion_promedio_pct"
    assert "Bien: de 20 % a 35 %. Mal: menos de 15 % o más de 40 %." in visit.text(
        f".latest[data-column={column}]"
    )
    (module,) = {url for url in visit.asked if url.endswith("/parts.js")}
    texts = page.evaluate(
        "([module, column]) => import(module).then(parts => [40.03, 40, 39.96, 14.98].map("
        "value => parts.banded('mv_salud_marketplace', column, value)))",
        [module, column],
    )
    assert [plain(text) for text in texts] == ["40,03 %", "40,0 %", "40,0 %", "14,98 %"]


def test_a_number_that_is_rounded_to_zero_has_no_sign(visit: Visit) -> None:
    page = visit.go()
    (module,) = {url for url in visit.asked if url.endswith("/format.js")}
    texts = page.evaluate(
        "module => import(module).then(format => [-0.04, 0.04, -0.05, -1].map("
        "value => format.format(value, 'pct')))",
        module,
    )
    assert [plain(text) for text in texts] == ["0,0 %", "0,0 %", "-0,1 %", "-1,0 %"]


@pytest.mark.parametrize(("percent", "words"), [(-0.05, ": peor"), (0.05, ": mejor"), (-0.04, "")])
def test_a_difference_that_is_shown_is_better_or_worse(
    visit: Visit, percent: float, words: str
) -> None:
    def changed(route: Route) -> None:
        answer = route.fetch()
        rows = [{**row, "solicitudes_creadas_dif_pct": percent} for row in answer.json()]
        route.fulfill(response=answer, json=rows)

    visit.page.route("**/kpis/mv_metricas_mensuales?*compare=previous*", changed)
    visit.go()
    delta = visit.text(".card[data-column=solicitudes_creadas] [data-compare=previous]")
    assert delta.startswith(f"{arrow(percent)}{words} frente a ")


def test_ciudades_has_a_row_for_each_city_and_its_thirteen_months(visit: Visit, shop: Api) -> None:
    page = visit.go("ciudades")
    columns = catalogue(shop)["mv_demanda_ciudades"]
    (newest,) = kpi(shop, "mv_demanda_ciudades", limit=1)
    month = newest["mes"][:7]
    rows = kpi(
        shop, "mv_demanda_ciudades", **{"from": month, "to": month}, compare="year", limit=1000
    )
    names = [
        "solicitudes",
        "conversion_oferta_pct",
        "ofertas_por_solicitud",
        "asesores_activos",
        "tasa_aceptacion_pct",
        "valor_bruto_aceptado",
        "ttfo_mediana_seg",
    ]
    expected = {
        plain(row["ciudad"]): [
            shown(row["solicitudes"], "conteo"),
            arrow(row["solicitudes_dif_pct"]),
            "",
            *(shown(row[name], columns[name]["unit"]) for name in names[1:]),
        ]
        for row in rows
    }
    assert NASTY_CITY in expected
    table = visit.table("ciudades-lista")
    assert {first: rest for first, *rest in table} == expected
    assert len(table) == len(rows)
    counts = [float(row[1]) for row in table]
    assert counts == sorted(counts, reverse=True)
    page.click("#ciudades-lista-by-ofertas_por_solicitud")
    page.click("#ciudades-lista-by-ofertas_por_solicitud")
    ratios = [float(row[5].replace(",", ".")) for row in visit.table("ciudades-lista")]
    assert ratios == sorted(ratios) and ratios != sorted(ratios, reverse=True)
    assert visit.text("#ciudades-lista th[aria-sort=ascending]").startswith("Ofertas por solicitud")
    # The small lines have their figures, too.
    history = kpi(shop, "mv_demanda_ciudades", ciudad=NASTY_CITY, limit=13, fill="true")
    (line,) = [row for row in visit.csv("ciudades") if row["ciudad"] == NASTY_CITY]
    months = {name: value for name, value in line.items() if name[:2] == "20"}
    assert months == {row["mes"][:7]: str(row["solicitudes"]) for row in history}
    few = sorted(
        (row for row in rows if row["solicitudes"] >= 5),
        key=lambda row: row["ofertas_por_solicitud"],
    )
    assert visit.texts("#needy a")[0] in [
        plain(row["ciudad"])
        for row in few
        if row["ofertas_por_solicitud"] == few[0]["ofertas_por_solicitud"]
    ]


RANKED = (
    "ofertas_ganadoras",
    "ofertas_historicas_total",
    "tasa_conversion_ofertas_pct",
    "tasa_respuesta_pct",
    "tiempo_promedio_respuesta_seg",
    "volumen_total_ofertas",
    "confianza_auditada",
)


def ranked(row: Row, place: str, columns: dict[str, Row]) -> list[str]:
    """Return the cells of an advisor, without the word of the band."""
    return [
        plain(str(row["asesor_nombre"])),
        shown(row[place], "conteo"),
        plain(str(row["ciudad"])),
        *(
            beside_band(name, row[name], "pct")
            if name in BANDS and row[name] is not None
            else shown(row[name], columns[name]["unit"])
            for name in RANKED
        ),
    ]


def without_band(row: list[str]) -> list[str]:
    """Return cells without the words of bands."""
    return [
        cell.removeprefix("✓ bien ").removeprefix("! atención ").removeprefix("✕ mal ")
        for cell in row
    ]


@pytest.mark.parametrize("city", ["", f" {NASTY_CITY.upper()} ".replace("Í", "I")])
def test_asesores_shows_ranking_segments_and_retention(visit: Visit, shop: Api, city: str) -> None:
    query = {"ciudad": city} if city else {}
    page = visit.go("asesores", **query)
    place = "ranking_ciudad" if city else "ranking_nacional"
    columns = catalogue(shop)
    rows = kpi(shop, "mv_ranking_asesores", limit=50, order=place, **query)
    found = "Los 50 primeros. " if len(rows) == 50 else f"{len(rows)} asesores."
    assert visit.text(".bar-line [role=status]").startswith(found)
    expected = [ranked(row, place, columns["mv_ranking_asesores"]) for row in rows]
    assert [without_band(row) for row in visit.table("asesores-lista")] == expected
    assert NASTY_NAME in page.locator("#asesores-lista").inner_text()
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img").count() == 0
    counts: dict[str, int] = {}
    key = str(shop.database.rows(f"SELECT analytics.city_key({literal(city)})")[0][0])
    for row in shop.get("/rest/mv_segmentos_asesores?select=segmento,ciudad_key", LECTOR).json():
        if not city or row["ciudad_key"] == key:
            counts[row["segmento"]] = counts.get(row["segmento"], 0) + 1
    blocks = {
        str(block.get_attribute("id")).removeprefix("segmento-"): block.locator("b").inner_text()
        for block in page.locator(".block").all()
    }
    assert blocks == {name: rounded(count, 0) for name, count in counts.items()}
    assert {row["segmento"]: row["asesores"] for row in visit.csv("asesores-segmentos")} == {
        name: str(count) for name, count in counts.items()
    }
    segment = max(counts, key=lambda name: counts[name])
    page.click(f"#segmento-{segment}")
    page.wait_for_selector("#segmento-asesores")
    inside = kpi(
        shop, "mv_segmentos_asesores", segmento=segment, limit=50, order="-valor_historico", **query
    )
    page.click("#info-mv_segmentos_asesores-recencia_dias")
    meaning = columns["mv_segmentos_asesores"]["recencia_dias"]["description_es"]
    assert plain(meaning) in plain(page.locator("dialog").inner_text())
    page.keyboard.press("Escape")
    names = [
        "recencia_dias",
        "frecuencia_30d",
        "frecuencia_previa_30d",
        "valor_90d",
        "valor_historico",
    ]
    units = columns["mv_segmentos_asesores"]
    assert sorted(visit.table("segmento-asesores")) == sorted(
        [
            plain(row["asesor_nombre"]),
            plain(row["ciudad"]),
            *(shown(row[name], units[name]["unit"]) for name in names),
        ]
        for row in inside
    )
    months = kpi(shop, "mv_retencion_asesores", limit=13, fill="true")
    parts = ["asesores_retenidos", "asesores_nuevos", "asesores_reactivados", "asesores_perdidos"]
    assert without_tag(visit.open_table("asesores-retencion")) == cells(
        months, [*parts, "tasa_retencion_pct"], columns["mv_retencion_asesores"], "mes"
    )


NEEDS_COUNTRY = {
    "asesores": ["Retención de asesores por mes"],
    "resumen": [
        "En este momento",
        "Salud del último período completo",
        "¿Puedo confiar en estas cifras?",
    ],
}


@pytest.mark.parametrize("tab", NEEDS_COUNTRY)
def test_a_panel_that_no_city_narrows_says_so_itself(visit: Visit, tab: str) -> None:
    words = "Estas cifras son de todo el país: no existen por ciudad."
    visit.go(tab, ciudad=NASTY_CITY)
    panels = visit.texts("#content .panel")
    said = {
        title: [words in panel for panel in panels if panel.startswith(title)]
        for title in NEEDS_COUNTRY[tab]
    }
    assert said == {title: [True] for title in NEEDS_COUNTRY[tab]}
    assert sum(words in panel for panel in panels) == len(said)
    visit.go(tab)
    assert words not in visit.text("#content")


def first_of(api: Api, view: str, column: str, way: str, where: str = "true") -> list[Row]:
    """Return the 50 first rows of a view in the order of the database."""
    key = "asesor_id"
    return [
        {"asesor_nombre": plain(str(name)), column: value}
        for name, value in api.database.rows(
            f"SELECT asesor_nombre, {column}::float FROM analytics.{view} WHERE {where} "
            f"ORDER BY {column} {way} NULLS LAST, {key} LIMIT 50"
        )
    ]


def test_a_ranking_is_sorted_over_all_its_advisors(visit: Visit, shop: Api) -> None:
    columns = catalogue(shop)["mv_ranking_asesores"]
    (count,) = shop.database.rows("SELECT count(*) FROM analytics.mv_ranking_asesores")[0]
    assert int(str(count)) > 50
    page = visit.go("asesores")
    column = "ofertas_historicas_total"
    at = 3 + RANKED.index(column)
    head = f"th:has(#asesores-lista-by-{column})"
    for way, order in (("DESC", "descending"), ("ASC", "ascending")):
        with page.expect_response("**/mv_ranking_asesores?*"):
            page.click(f"#asesores-lista-by-{column}")
        page.locator(f"{head}[aria-sort={order}]").wait_for()
        expected = [
            [one["asesor_nombre"], shown(one[column], columns[column]["unit"])]
            for one in first_of(shop, "mv_ranking_asesores", column, way)
        ]
        assert [[row[0], row[at]] for row in visit.table("asesores-lista")] == expected
        assert page.evaluate("document.activeElement.id") == f"asesores-lista-by-{column}"
    # The order stays when the tab is shown again.
    page.click("#tab-resumen")
    page.wait_for_selector(".card")
    page.click("#tab-asesores")
    page.locator(f"{head}[aria-sort=ascending]").wait_for()
    assert [[row[0], row[at]] for row in visit.table("asesores-lista")] == expected
    # Nobody can sort all that were found: the names alone are here.
    page.fill("#asesores-busca", "ar")
    page.locator(".bar-line [role=status]", has_text="Los primeros 50 de ").wait_for()
    assert page.locator("#asesores-lista thead button[id^=asesores-lista-by]").count() == 0
    page.fill("#asesores-busca", "")
    page.locator(f"{head}[aria-sort=ascending]").wait_for()
    assert [[row[0], row[at]] for row in visit.table("asesores-lista")] == expected


def test_a_segment_is_sorted_over_all_its_advisors(visit: Visit, shop: Api) -> None:
    columns = catalogue(shop)["mv_segmentos_asesores"]
    segment, count = shop.database.rows(
        "SELECT segmento, count(*) FROM analytics.mv_segmentos_asesores "
        "GROUP BY segmento ORDER BY count(*) DESC LIMIT 1"
    )[0]
    assert int(str(count)) > 50
    page = visit.go("asesores")
    page.click(f"#segmento-{segment}")
    page.wait_for_selector("#segmento-asesores")
    label = columns["valor_historico"]["label_es"]
    assert f"los primeros 50 por «{label}»" in visit.text("#segmento-asesores caption")
    column = "recencia_dias"
    for way, order in (("DESC", "descending"), ("ASC", "ascending")):
        page.click(f"#segmento-asesores-by-{column}")
        page.locator(f"th:has(#segmento-asesores-by-{column})[aria-sort={order}]").wait_for()
        expected = [
            [one["asesor_nombre"], shown(one[column], columns[column]["unit"])]
            for one in first_of(
                shop, "mv_segmentos_asesores", column, way, f"segmento = '{segment}'"
            )
        ]
        assert [[row[0], row[2]] for row in visit.table("segmento-asesores")] == expected
        label = columns[column]["label_es"]
        assert f"los primeros 50 por «{label}»" in visit.text("#segmento-asesores caption")


def test_indicadores_explains_each_column_of_the_catalogue(visit: Visit, shop: Api) -> None:
    page = visit.go("indicadores")
    kpis = shop.get(KPIS, LECTOR).json()["kpis"]
    assert len(kpis) >= 9
    texts = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('details')].map("
        "one => [one.id, one.textContent]))"
    )
    for entry in kpis:
        for column in entry["columns"]:
            text = plain(texts[f"{entry['view']}.{column['name']}"])
            assert column["label_es"] in text
            assert plain(column["description_es"]) in text
            assert all(source in text for source in entry["sources"])
    page.fill("#indicadores-busca", "retencion")
    assert visit.texts("summary")[-1] != ""
    assert 0 < page.locator("summary").count() < 40
    page.fill("#indicadores-busca", "zzzz")
    assert visit.text("#content .empty") == "Ningún indicador contiene ese texto."


def test_operacion_shows_views_and_schedule(visit: Visit, shop: Api) -> None:
    visit.go("operacion")
    status = shop.get("/materialized-views/status", LECTOR).json()
    scheduler = shop.get("/materialized-views/scheduler/status", LECTOR).json()
    titles = {one["view"]: one["title_es"] for one in shop.get(KPIS, LECTOR).json()["kpis"]}
    table = {row[0]: row for row in visit.table("vistas")}
    assert len(table) == status_count(status)
    for view in status["views"]:
        row = table[titles[view["name"]]]
        assert row[1] == rounded(view["row_count"], 0)
        assert row[3] == "correcto"
        assert row[5] == rounded(view["pending_changes"], 0)
    assert visit.text("#schedule") == f"{scheduler['schedule']} {scheduler['timezone']}"
    assert "correcto" in visit.text("#last-run")


def status_count(status: Row) -> int:
    """Return how many views the status names."""
    return len(status["views"])

"""Which periods the page shows: the running one without a row, all of many, and their choices."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway_testing import Api
from web_testing import (
    MONTHS,
    OPERADOR,
    Visit,
    kpi,
    shown,
)

SYSTEM_SERVER_IS_ENOUGH = True
TIMES = {"mes": "mv_finanzas_mensuales", "semana": "mv_salud_marketplace"}
TARGETS = "/materialized-views/targets"
MOST = 1000


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
        assert words.endswith(f"✕ Semana del {shown(monday, 'fecha')}: no alcanzada")
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
    assert "que los mismos días de " in visit.text(f".card[data-column={count}]")
    assert "que los mismos días de " in visit.text(".cards")
    assert visit.page.locator(".card .spark path.running").count() == 6
    first, second = visit.open_table("resumen-meses")[:2]
    assert first[:2] == [f"{shown(month, 'fecha')} incompleto", "0"]
    assert "incompleto" not in second[0]
    assert [row["incompleto"] for row in visit.csv("resumen-meses")][:2] == ["true", "false"]


def test_the_file_of_the_cities_says_that_the_month_is_not_over(visit: Visit) -> None:
    visit.go("ciudades")
    assert {row["incompleto"] for row in visit.csv("ciudades")} == {"true"}
    # The title says it, not each row.
    assert not any("incompleto" in row[0] for row in visit.open_table("ciudades"))

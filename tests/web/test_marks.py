"""Targets and notes of operators on the page, and tokens for some cities."""

import pytest
from playwright.sync_api import Browser

from gateway_testing import Api
from web_testing import (
    LECTOR,
    MONTHS,
    NASTY_NAME,
    OPERADOR,
    Visit,
    kpi,
    plain,
    shown,
    violations,
    visited,
)

SYSTEM_SERVER_IS_ENOUGH = True
TARGETS = "/materialized-views/targets"
NOTES = "/materialized-views/notes"
FINANCE = "mv_finanzas_mensuales"


@pytest.fixture
def nothing_marked(shop: Api) -> None:
    """Begin without targets and notes."""
    shop.database.execute(
        "DELETE FROM kpi_engine.targets",
        "DELETE FROM kpi_engine.notes",
    )
    shop.forget_cache()


@pytest.mark.usefixtures("nothing_marked")
def test_an_operator_writes_a_note_that_every_time_chart_shows(
    browser: Browser, visit: Visit, shop: Api
) -> None:
    month = kpi(shop, FINANCE, limit=3)[2]["mes"]
    page = visit.go("operacion", OPERADOR)
    page.fill("#note-day", f"{month[:8]}12")
    page.fill("#note-text", NASTY_NAME)
    page.click("#note-add")
    page.locator("#marks li", has_text=NASTY_NAME).wait_for()
    (note,) = shop.get(NOTES, LECTOR).json()
    assert (note["day"], note["text"]) == (f"{month[:8]}12", NASTY_NAME)
    assert note["author"] in visit.text("#marks")

    for tab, chart in (
        ("finanzas", "finanzas-valores"),
        ("mercado", "mercado-densidad_ofertas"),
        ("embudo", "embudo-dias"),
        ("asesores", "retencion"),
    ):
        page.click(f"#tab-{tab}")
        page.wait_for_selector(f"#tab-{tab}[aria-current=page]")
        visit.ready()
        marked = page.locator("figure", has=page.locator(".noted"))
        assert marked.count() > 0, (tab, chart)
        assert NASTY_NAME in plain(marked.first.locator(".noted").first.inner_text())
        assert marked.first.locator("svg text", has_text="1").count() > 0
    assert page.evaluate("window.hacked") is None

    with visited(browser, shop) as reader:
        reader.go("operacion")
        assert reader.page.locator("#marks li").count() == 1
        assert reader.page.locator("#marks button, #marks form").count() == 0
        assert violations(reader.page) == []
    page.click("#tab-operacion")
    page.click(f"#remove-note-{note['id']}")
    page.locator(f"#remove-note-{note['id']}").wait_for(state="detached")
    assert shop.get(NOTES, LECTOR).json() == []


@pytest.mark.usefixtures("nothing_marked")
def test_a_target_shows_as_a_line_and_in_words(visit: Visit, shop: Api) -> None:
    months = kpi(shop, FINANCE, limit=13, fill="true")
    first = months[-3]["mes"]
    value = round(months[1]["ticket_promedio"])
    page = visit.go("operacion", OPERADOR)
    page.select_option("#target-figure", f"{FINANCE} ticket_promedio")
    page.fill("#target-from", first)
    page.fill("#target-value", str(value))
    page.click("#target-set")
    page.locator("#marks li", has_text=shown(value, "COP")).wait_for()
    assert violations(page) == []
    (target,) = shop.get(TARGETS, LECTOR).json()
    assert (target["from"], target["value"]) == (first, value)

    lines = "#finanzas-ticket_promedio-chart [stroke-dasharray='8 4'] line"
    page.click("#tab-finanzas")
    page.wait_for_selector(lines, state="attached")
    assert page.locator(lines).count() == 1
    assert page.locator("#finanzas-valores-chart [stroke-dasharray='8 4'] line").count() == 0
    words = plain(page.locator("#finanzas-ticket_promedio .target").inner_text())
    assert shown(value, "COP") in words and words.startswith("Meta de ")
    # Whether the last month that is over met it: by a sign, a word and a colour.
    is_met = months[1]["ticket_promedio"] >= value
    year, month = months[1]["mes"].split("-")[:2]
    said = "cumplida" if is_met else "no alcanzada"
    assert words.endswith(f"{'✓' if is_met else '✕'} {MONTHS[int(month) - 1]} {year}: {said}")
    stroke = page.locator("#finanzas-ticket_promedio-chart [stroke-dasharray='8 4']").first
    assert stroke.get_attribute("stroke") == f"var(--{'good' if is_met else 'bad'})"


@pytest.mark.usefixtures("nothing_marked")
def test_what_is_wrong_with_a_target_is_told_in_the_words_of_the_api(
    visit: Visit, shop: Api
) -> None:
    page = visit.go("operacion", OPERADOR)
    page.select_option("#target-figure", f"{FINANCE} ticket_promedio")
    page.fill("#target-from", "2026-03-12")
    page.fill("#target-value", "1")
    page.click("#target-set")
    page.locator("#marks-said", has_text="from").wait_for()
    assert shop.get(TARGETS, LECTOR).json() == []


@pytest.mark.usefixtures("nothing_marked")
@pytest.mark.parametrize(
    ("language", "typed", "stored"),
    [
        ("es", "1.500", 1500),
        ("es", " 1.234.567,5 ", 1234567.5),
        ("es", "1500", 1500),
        ("es", "−0,25", -0.25),
        ("en", "1,500", 1500),
        ("en", "1,234,567.5", 1234567.5),
        ("en", "-1.5", -1.5),
    ],
)
@pytest.mark.takes_turns(2)
def test_a_target_is_read_as_the_page_writes_numbers(
    visit: Visit, shop: Api, language: str, typed: str, stored: float
) -> None:
    page = visit.go("operacion", OPERADOR, lang=language)
    page.select_option("#target-figure", f"{FINANCE} crecimiento_mensual_pct")
    page.fill("#target-from", "2026-03-01")
    page.fill("#target-value", typed)
    page.click("#target-set")
    page.locator("#marks-said", has_text="Guardado." if language == "es" else "Saved.").wait_for()
    (target,) = shop.get(TARGETS, LECTOR).json()
    assert target["value"] == stored


@pytest.mark.usefixtures("nothing_marked")
@pytest.mark.parametrize(
    ("language", "wrong", "forms"),
    [
        (
            "es",
            ["1.5", "1.50", "15.00", "1.5000", "0.500", "1,234,567", "1.234,5.6", ",5", "x"],
            ("1.500", "1.500,5"),
        ),
        ("en", ["1,5", "15,00", "0,500", "1.234.567", "1e3", "1 500"], ("1,500", "1,500.5")),
    ],
)
def test_a_target_in_another_form_is_refused(
    visit: Visit, shop: Api, language: str, wrong: list[str], forms: tuple[str, str]
) -> None:
    page = visit.go("operacion", OPERADOR, lang=language)
    page.select_option("#target-figure", f"{FINANCE} ticket_promedio")
    page.fill("#target-from", "2026-03-01")
    visit.asked.clear()
    for typed in wrong:
        page.fill("#target-value", typed)
        page.click("#target-set")
        page.locator("#marks-said.error", has_text=typed).wait_for()
        assert all(form in visit.text("#marks-said") for form in forms)
    # The form keeps what was chosen, so that only the number has to be written again.
    assert page.input_value("#target-figure") == f"{FINANCE} ticket_promedio"
    assert page.input_value("#target-from") == "2026-03-01"
    assert not [url for url in visit.asked if "/targets?" in url]
    assert shop.get(TARGETS, LECTOR).json() == []


@pytest.mark.usefixtures("nothing_marked")
@pytest.mark.parametrize("is_met", [True, False])
def test_resumen_says_whether_a_month_that_is_over_met_its_target(
    visit: Visit, shop: Api, is_met: bool
) -> None:
    months = kpi(shop, "mv_metricas_mensuales", limit=2, fill="true")
    over = months[1]
    value = over["solicitudes_creadas"] + (0 if is_met else 1)
    shop.request(
        "POST",
        f"{TARGETS}?view=mv_metricas_mensuales&column=solicitudes_creadas"
        f"&from={over['mes'][:7]}&value={value}",
        OPERADOR,
    )
    card = ".card[data-column=solicitudes_creadas] .target"
    page = visit.go()
    words = plain(page.locator(card).inner_text())
    assert words == f"Meta del mes: {shown(value, 'conteo')}"
    visit.go(hasta=over["mes"][:7])
    words = plain(page.locator(card).inner_text())
    mark, said = ("✓", "cumplida") if is_met else ("✕", "no alcanzada")
    assert words == f"{mark} Meta {shown(value, 'conteo')}: {said}"

"""Targets and notes of operators on the page, and tokens for some cities."""

import pytest
from playwright.sync_api import Browser

from gateway_testing import Api
from web_testing import (
    KPIS,
    LECTOR,
    MONTHS,
    NASTY_NAME,
    OPERADOR,
    Visit,
    catalogue,
    kpi,
    plain,
    rounded,
    shown,
    shown_pair,
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
    # A figure of which the target differs by cents.
    figure, wanted = shown_pair(months[1]["ticket_promedio"], value, "COP")
    assert f": {wanted} desde" in words and words.startswith("Meta de ")
    # Whether the last month that is over met it: by a sign, a word and a colour.
    is_met = months[1]["ticket_promedio"] >= value
    year, month = months[1]["mes"].split("-")[:2]
    said = "cumplida" if is_met else "no alcanzada"
    assert words.endswith(
        f"{'✓' if is_met else '✕'} {MONTHS[int(month) - 1]} {year}: {said} ({figure})"
    )
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
    page.select_option("#target-better", "down")
    page.evaluate("document.querySelector('#target-figure').dataset.before = ''")
    page.click("#target-set")
    page.locator("#marks-said", has_text="from").wait_for()
    assert shop.get(TARGETS, LECTOR).json() == []
    # Rendered anew. The form goes on with all that was chosen.
    page.locator("[data-before]").wait_for(state="detached")
    visit.ready()
    fields = ("figure", "from", "value", "better")
    assert [page.input_value(f"#target-{field}") for field in fields] == [
        f"{FINANCE} ticket_promedio",
        "2026-03-12",
        "1",
        "down",
    ]
    assert "COP" in visit.text("#target-unit")


@pytest.mark.usefixtures("nothing_marked")
def test_a_note_that_could_not_be_kept_is_still_in_its_field(visit: Visit, shop: Api) -> None:
    page = visit.go("operacion", OPERADOR)
    page.fill("#note-day", "2026-03-12")
    page.fill("#note-text", "Paro de transporte")
    page.route(f"**{NOTES}*", lambda route: route.abort())
    page.click("#note-add")
    page.locator("#marks-said.error").wait_for()
    assert page.input_value("#note-text") == "Paro de transporte"
    page.unroute(f"**{NOTES}*")
    page.evaluate("document.querySelector('#note-text').dataset.before = ''")
    page.evaluate("window.dispatchEvent(new Event('refreshed'))")
    page.locator("[data-before]").wait_for(state="detached")
    visit.ready()
    assert page.input_value("#note-text") == "Paro de transporte"
    page.click("#note-add")
    page.locator("#marks li", has_text="Paro de transporte").wait_for()
    assert page.input_value("#note-text") == ""
    assert len(shop.get(NOTES, LECTOR).json()) == 1


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


def set_target(shop: Api, view: str, column: str, first: str, value: object) -> None:
    """Set a target over HTTP."""
    answer = shop.request(
        "POST", f"{TARGETS}?view={view}&column={column}&from={first}&value={value}", OPERADOR
    )
    assert answer.status < 300, answer.body


@pytest.mark.usefixtures("nothing_marked")
def test_a_figure_and_the_target_that_it_misses_never_read_alike(visit: Visit, shop: Api) -> None:
    over = kpi(shop, "mv_metricas_mensuales", limit=2, fill="true")[1]
    figure = over["tasa_aceptacion_pct"]
    wanted = f"{figure + 0.004:.3f}"
    set_target(shop, "mv_metricas_mensuales", "tasa_aceptacion_pct", over["mes"][:7], wanted)
    visit.go(hasta=over["mes"][:7])
    card = ".card[data-column=tasa_aceptacion_pct]"
    assert visit.text(f"{card} .big") == f"{rounded(figure, 3)} %"
    assert visit.text(f"{card} .target") == f"✕ Meta {rounded(wanted, 3)} %: no alcanzada"


@pytest.mark.usefixtures("nothing_marked")
def test_targets_and_notes_name_their_view(visit: Visit, shop: Api) -> None:
    titles = {kpi["view"]: kpi["title_es"] for kpi in shop.get(KPIS, LECTOR).json()["kpis"]}
    views = ("mv_metricas_mensuales", "mv_demanda_ciudades")
    for view in views:
        set_target(shop, view, "tasa_aceptacion_pct", "2026-07", 60)
        shop.request("POST", f"{NOTES}?day=2026-07-01&text=x&view={view}", OPERADOR)
    page = visit.go("operacion", OPERADOR)
    for kind in ("target", "note"):
        buttons = page.locator(f"#marks [id^=remove-{kind}-]")
        lines = [plain(button.locator("..").inner_text()) for button in buttons.all()]
        names = [str(button.get_attribute("aria-label")) for button in buttons.all()]
        assert len(lines) == len(set(lines)) == len(set(names)) == 2
        for view in views:
            assert sum(titles[view] in line for line in lines) == 1
            assert sum(titles[view] in name for name in names) == 1


@pytest.mark.usefixtures("nothing_marked")
@pytest.mark.parametrize(
    ("column", "spanish", "english"),
    [
        ("tiempo_promedio_cierre_seg", "segundos", "seconds"),
        ("tasa_aceptacion_pct", "porcentaje", "percentage"),
        ("solicitudes_creadas", "cantidad", "count"),
    ],
)
def test_the_form_of_a_target_says_the_unit(
    visit: Visit, column: str, spanish: str, english: str
) -> None:
    for language, unit in (("es", spanish), ("en", english)):
        page = visit.go("operacion", OPERADOR, lang=language)
        page.select_option("#target-figure", f"mv_metricas_mensuales {column}")
        assert visit.text("#target-unit") == unit
        assert page.get_attribute("#target-value", "aria-describedby") == "target-unit"
        field, beside = (
            page.locator(one).bounding_box() for one in ("#target-value", "#target-unit")
        )
        assert field and beside and field["y"] < beside["y"] < field["y"] + field["height"]


@pytest.mark.usefixtures("nothing_marked")
@pytest.mark.parametrize("is_met", [True, False])
def test_a_target_of_each_level_is_drawn_once(visit: Visit, shop: Api, is_met: bool) -> None:
    view, column = "mv_embudo_niveles", "tasa_fallo_pct"
    assert catalogue(shop)[view][column]["better"] == "down"
    rows = kpi(shop, view, compare="previous", limit=100)
    month = max(row["mes"] for row in rows if not row["incompleto"])
    values = {
        row["nivel"]: row[column] for row in rows if row["mes"] == month and row[column] is not None
    }
    worst = max(values, key=lambda level: values[level])
    others = [value for value in values.values() if value != values[worst]]
    wanted = 100 if is_met else (values[worst] + max(others)) / 2
    set_target(shop, view, column, month[:7], wanted)
    page = visit.go("embudo")
    lines = "#embudo-niveles-chart [stroke-dasharray='8 4'] line"
    page.wait_for_selector(lines, state="attached")
    assert page.locator(lines).count() == 1
    words = visit.text("#embudo-niveles .target")
    if is_met:
        assert "✓" in words and words.count("Nivel ") == len(values)
        assert "cumplida (Nivel " in words
    else:
        figure, _ = shown_pair(values[worst], wanted, "pct")
        assert words.endswith(f": no alcanzada (Nivel {worst}: {figure})")


@pytest.mark.usefixtures("nothing_marked")
def test_a_note_about_a_view_without_a_chart_stands_below_its_figures(
    visit: Visit, shop: Api
) -> None:
    month = kpi(shop, "mv_metricas_mensuales", limit=3, fill="true")[2]["mes"]
    for view in ("mv_metricas_mensuales", "mv_demanda_ciudades", FINANCE):
        shop.request("POST", f"{NOTES}?day={month[:8]}12&text=de_{view}&view={view}", OPERADOR)
    for tab, city, view in (
        ("resumen", "", "mv_metricas_mensuales"),
        ("resumen", "Bogotá", "mv_demanda_ciudades"),
        ("ciudades", "", "mv_demanda_ciudades"),
    ):
        visit.go(tab, **({"ciudad": city} if city else {}))
        (line,) = visit.texts(".noted")
        assert f": de_{view} — " in line
        assert shown(f"{month[:8]}12", "fecha") in line


@pytest.mark.usefixtures("nothing_marked")
def test_two_notes_at_one_place_have_both_numbers(visit: Visit, shop: Api) -> None:
    month = kpi(shop, FINANCE, limit=3)[2]["mes"]
    for text in ("uno", "dos"):
        shop.request("POST", f"{NOTES}?day={month[:8]}12&text={text}", OPERADOR)
    page = visit.go("finanzas")
    for chart in ("finanzas-valores", "finanzas-acumulado_anual"):
        texts = page.locator(f"#{chart}-chart svg [font-weight=bold] text").all_text_contents()
        assert texts == ["1, 2"]
        assert len(visit.texts(f"#{chart} .noted")) == 2

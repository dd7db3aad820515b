"""How people use the page: keyboard, links, language, token, search, actions of an operator."""

import re
import time
import unicodedata
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser

from cluster import PROJECT
from gateway_testing import Api
from web_testing import (
    KPIS,
    LECTOR,
    NASTY_CITY,
    NASTY_NAME,
    OPERADOR,
    TABS,
    Visit,
    kpi,
    literal,
    plain,
    rounded,
    shown,
    visited,
)

SYSTEM_SERVER_IS_ENOUGH = True
TEXTS = PROJECT / "web" / "texts"


def tab_to(visit: Visit, name: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(80):
        visit.page.keyboard.press("Tab")
        if visit.page.evaluate("document.activeElement.id") == name:
            return
    raise AssertionError(f"Tab does not reach {name}")


def test_the_keyboard_alone_reaches_tabs_charts_tables_and_meanings(
    visit: Visit, shop: Api
) -> None:
    page = visit.go()
    keys = page.keyboard
    keys.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    tab_to(visit, "tab-finanzas")
    keys.press("Enter")
    page.wait_for_selector("#finanzas-valores")
    assert page.evaluate("document.activeElement.id") == "heading"
    tab_to(visit, "finanzas-valores-chart")
    chart = page.locator("#finanzas-valores-chart")
    months = kpi(shop, "mv_finanzas_mensuales", limit=13, fill="true")
    names = ("valor_bruto_ofertado", "valor_bruto_adjudicado", "valor_bruto_aceptado")
    for press, row in (("End", months[0]), ("ArrowLeft", months[1]), ("Home", months[-1])):
        keys.press(press)
        words = str(chart.get_attribute("aria-valuetext"))
        tip = plain(page.locator("#finanzas-valores-chart .tip").inner_text())
        for name in names:
            assert shown(row[name], "COP") in words
            assert shown(row[name], "COP") in tip
        assert ("incompleto" in words) is (row is months[0])
    assert page.locator("#finanzas-valores-rows").count() == 0
    keys.press("t")
    assert len(visit.table("finanzas-valores-rows")) == 13
    keys.press("t")
    assert page.locator("#finanzas-valores-rows").count() == 0
    tab_to(visit, "info-mv_finanzas_mensuales-ticket_promedio")
    keys.press("Enter")
    column = next(
        column
        for entry in shop.get(KPIS, LECTOR).json()["kpis"]
        if entry["view"] == "mv_finanzas_mensuales"
        for column in entry["columns"]
        if column["name"] == "ticket_promedio"
    )
    dialog = plain(page.locator("dialog").inner_text())
    assert column["label_es"] in dialog and plain(column["description_es"]) in dialog
    keys.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    focused = page.evaluate("document.activeElement.id")
    assert focused == "info-mv_finanzas_mensuales-ticket_promedio"


def test_the_pointer_shows_the_values_of_the_nearest_month(visit: Visit, shop: Api) -> None:
    page = visit.go("finanzas")
    months = kpi(shop, "mv_finanzas_mensuales", limit=13, fill="true")
    box = page.locator("#finanzas-ticket_promedio-chart").bounding_box()
    assert box
    page.mouse.move(box["x"] + 66, box["y"] + 80)
    tip = plain(page.locator("#finanzas-ticket_promedio-chart .tip").inner_text())
    assert shown(months[-1]["ticket_promedio"], "COP") in tip
    page.mouse.move(box["x"] + box["width"] - 18, box["y"] + 80)
    tip = plain(page.locator("#finanzas-ticket_promedio-chart .tip").inner_text())
    assert shown(months[0]["ticket_promedio"], "COP") in tip


def test_the_bare_link_of_the_demo_has_tabs_and_a_heading(visit: Visit, shop: Api) -> None:
    # `make demo` prints the address without a query.
    page = visit.page
    page.goto(f"{shop.url}/#token={shop.token(LECTOR)}")
    visit.ready()
    assert page.url == f"{shop.url}/"
    assert visit.text("h1") == "Resumen"
    assert len(visit.texts("nav a")) == len(TABS)
    assert page.locator("#city").is_visible()
    # The document names all modules of the first view, so that none waits for another one.
    named = re.findall(r'(?:src|modulepreload" href)="(.+?\.js)"', shop.get("/").body)
    needed = [urlsplit(url).path[1:] for url in visit.asked if url.endswith(".js")]
    assert len(needed) > 10
    assert sorted(named) == sorted(set(needed))
    page.click("#sign-out")
    page.fill("#token", shop.token(LECTOR))
    page.click("button[type=submit]")
    page.wait_for_selector(".card")
    assert visit.text("h1") == "Resumen"


def test_a_meaning_leads_to_its_place_among_the_indicators(visit: Visit) -> None:
    page = visit.go("mercado")
    page.click("#info-mv_salud_marketplace-densidad_ofertas")
    assert "Bien: 3 o más. Mal: menos de 2." in plain(page.locator("dialog").inner_text())
    page.click("dialog a")
    page.wait_for_selector("details.chosen[open]")
    visit.ready()
    chosen = page.locator("details.chosen")
    assert chosen.get_attribute("id") == "mv_salud_marketplace.densidad_ofertas"
    assert page.evaluate("document.activeElement.closest('details').className") == "chosen"


def test_a_link_shows_the_same_period_and_city(browser: Browser, visit: Visit, shop: Api) -> None:
    page = visit.go("finanzas")
    page.select_option("#period", "6")
    page.wait_for_url("**desde=**")
    visit.ready()
    rows = visit.open_table("finanzas-valores")
    assert len(rows) == 6
    page.fill("#city", NASTY_CITY)
    page.keyboard.press("Enter")
    page.wait_for_url("**ciudad=**")
    assert parse_qs(urlsplit(page.url).query)["ciudad"] == [NASTY_CITY]
    visit.ready()
    assert visit.text("#content > .note >> nth=0").startswith("Estas cifras son de todo el país")
    page.click("#tab-resumen")
    page.wait_for_selector(".card")
    assert visit.text("h1") == f"Resumen · {NASTY_CITY}"
    (now,) = kpi(shop, "mv_demanda_ciudades", ciudad=NASTY_CITY, limit=1, fill="true")
    assert visit.texts(".big")[0] == rounded(now["solicitudes"], 0)
    link, before = page.url, visit.texts(".card")
    with visited(browser, shop) as other:
        other.page.goto(f"{link}#token={shop.token(LECTOR)}")
        other.ready()
        assert other.page.url == link
        assert other.texts(".card") == before
        assert other.page.input_value("#city") == NASTY_CITY
    page.go_back()
    page.wait_for_selector("#finanzas-valores")
    assert visit.text("h1") == f"Finanzas · {NASTY_CITY}"


def test_a_period_that_is_over_is_compared_with_whole_months(visit: Visit, shop: Api) -> None:
    (_, over) = kpi(shop, "mv_metricas_mensuales", limit=2, fill="true", compare="previous")
    visit.go(hasta=over["mes"][:7])
    assert visit.texts(".top .tag") == []
    assert visit.texts(".big")[0] == rounded(over["solicitudes_creadas"], 0)
    assert "mismos días" not in visit.text(".cards")
    assert visit.page.locator(".spark path.running").count() == 0


def test_the_city_list_and_the_cities_lead_to_an_odd_city(visit: Visit) -> None:
    page = visit.go("ciudades")
    page.focus("#city")
    page.wait_for_selector("#cities option", state="attached")
    options = page.locator("#cities option").evaluate_all("all => all.map(one => one.value)")
    assert NASTY_CITY in options
    page.get_by_role("link", name=NASTY_CITY, exact=True).first.click()
    page.wait_for_selector(".card")
    assert visit.text("h1") == f"Resumen · {NASTY_CITY}"


def test_a_name_with_markup_is_shown_and_not_run(visit: Visit) -> None:
    page = visit.go("asesores")
    page.fill("#asesores-busca", "onerror")
    page.wait_for_selector("#asesores-lista tbody tr:only-child")
    assert visit.table("asesores-lista")[0][0].startswith(NASTY_NAME)
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img").count() == 0
    page.goto(
        f"{visit.api.url}/?vista=ciudades&ciudad=%3Cb%3Ebold%3C/b%3E#token={visit.api.token(LECTOR)}"
    )
    visit.ready()
    assert visit.text("h1") == "Ciudades · <b>bold</b>"
    assert "<b>bold</b>" in visit.text("#content .empty")


def test_a_search_finds_names_whatever_their_accents(visit: Visit, shop: Api) -> None:
    page = visit.go("asesores")
    (row,) = shop.get(
        "/rest/mv_ranking_asesores?asesor_nombre=like.*%C3%A1*&select=asesor_nombre"
        "&order=ranking_nacional.desc&limit=1",
        LECTOR,
    ).json()
    name = str(row["asesor_nombre"])
    page.fill("#asesores-busca", name.replace("á", "a").upper())
    page.wait_for_selector("#asesores-lista tbody tr:nth-child(50)", state="detached")
    assert name in [cells[0] for cells in visit.table("asesores-lista")]
    page.fill("#asesores-busca", "zzzz")
    page.wait_for_selector("#asesores-lista", state="detached")
    assert "Ningún asesor tiene ese nombre." in visit.text("#content")


@pytest.fixture
def monica(shop: Api) -> Iterator[str]:
    """Let an advisor have a name whose letters and marks are apart, and an odd city."""
    name = "Mo\u0301nica Gonc\u0327alves Dvo\u0159a\u0301k"
    ((user, adviser, first, last, city),) = shop.database.rows(
        "SELECT usuarios.id, asesores.id, nombre, apellido, asesores.ciudad FROM asesores JOIN "
        "usuarios ON usuarios.id = usuario_id JOIN analytics.mv_ranking_asesores "
        "ON asesor_id = asesores.id ORDER BY ranking_nacional DESC, asesor_id DESC LIMIT 1"
    )

    def call(first: str, last: str, city: str) -> None:
        shop.database.execute(
            f"UPDATE usuarios SET nombre = {literal(first)}, apellido = {literal(last)} "
            f"WHERE id = '{user}'",
            f"UPDATE asesores SET ciudad = {literal(city)} WHERE id = '{adviser}'",
            "SELECT * FROM refresh_all_mv()",
        )
        shop.forget_cache()

    first_of_hers, last_of_hers = name.split(" ", 1)
    call(first_of_hers, last_of_hers, "Straße")
    yield name
    call(str(first), str(last), str(city))


def test_a_search_finds_letters_whose_marks_are_apart(visit: Visit, monica: str) -> None:
    page = visit.go("asesores")
    for wanted in ("MONICA gonçalves", "Mónica Goncalves Dvorak", "dvořák"):
        page.fill("#asesores-busca", wanted)
        page.locator("#asesores-lista tbody th", has_text=monica).wait_for()
        assert len(visit.table("asesores-lista")) == 1
        page.fill("#asesores-busca", "zzzz")
        page.wait_for_selector("#asesores-lista", state="detached")


def test_a_city_is_found_by_the_rule_of_the_database_alone(visit: Visit, monica: str) -> None:
    page = visit.go("asesores", ciudad=" straße ")
    assert visit.texts(".block b") == ["1"]
    page.fill("#asesores-busca", "monica")
    assert [cells[0] for cells in visit.table("asesores-lista")] == [plain(monica)]
    page.fill("#asesores-busca", "zzzz")
    page.wait_for_selector("#asesores-lista", state="detached")
    page.fill("#asesores-busca", "dvorak")
    page.locator("#asesores-lista tbody th", has_text=monica).wait_for()


@pytest.mark.parametrize(
    ("asked", "gone"),
    [
        ("rest/mv_ranking_asesores", "#asesores-lista"),
        ("kpis/mv_segmentos_asesores", "#segmento-asesores"),
    ],
)
def test_a_list_that_does_not_come_is_not_the_one_of_before(
    visit: Visit, shop: Api, asked: str, gone: str
) -> None:
    refused = {"message": "too many readers", "details": None, "hint": None}
    name = str(kpi(shop, "mv_ranking_asesores", limit=2)[1]["asesor_nombre"])
    page = visit.go("asesores")
    page.click(".block >> nth=0")
    page.wait_for_selector("#segmento-asesores")
    page.route(f"**/{asked}?*", lambda route: route.fulfill(status=429, json=refused))
    if "ranking" in asked:
        page.fill("#asesores-busca", name)
    else:
        page.click(".block >> nth=1")
    page.wait_for_selector(".trouble")
    assert "Demasiadas solicitudes a la vez" in visit.text(".trouble")
    assert "HTTP 429: too many readers" in visit.text(".trouble")
    assert page.locator(gone).count() == 0
    page.unroute(f"**/{asked}?*")
    page.click("#retry")
    page.wait_for_selector(gone)
    assert page.locator(".trouble").count() == 0
    if "ranking" in asked:
        assert plain(name) in [cells[0] for cells in visit.table("asesores-lista")]


def keys_of(language: str) -> list[str]:
    """Return the keys of a file of texts, in their order."""
    text = (TEXTS / f"{language}.js").read_text(encoding="utf-8")
    return re.findall(r'^    "?([\w.]+)"?:', text, re.MULTILINE)


def test_both_languages_have_the_same_texts() -> None:
    spanish, english = keys_of("es"), keys_of("en")
    assert len(spanish) > 200 and len(set(spanish)) == len(spanish)
    assert english == spanish


def test_every_column_has_an_english_label(shop: Api) -> None:
    kpis = shop.get(KPIS, LECTOR).json()["kpis"]
    without = [
        (entry["view"], column["name"])
        for entry in kpis
        for column in entry["columns"]
        if not column["label_en"] or column["label_en"] == column["label_es"]
    ]
    assert without == []


def test_the_switch_of_language_changes_every_text(visit: Visit) -> None:
    page = visit.go("mercado")
    page.click("#language")
    page.wait_for_selector("html[lang=en]")
    visit.ready()
    assert visit.text("h1") == "Market"
    assert "lang=en" in page.url
    assert "Offers per request with offers" in visit.text("#mercado-densidad_ofertas")
    assert "good" in visit.text("#content") and "Semana" not in visit.text("#content")
    # Only the texts of one language are loaded by a link to it.
    visit.asked.clear()
    page.goto(f"{visit.api.url}/?lang=en#token={visit.api.token(LECTOR)}")
    visit.ready()
    assert "1,1" in visit.text(".cards") or "." in visit.text(".cards")
    assert "compared with the same days of" in visit.text(".cards")


def test_the_switch_of_theme_wins_over_the_system_and_is_kept(visit: Visit) -> None:
    page = visit.go()
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.click("#theme")
    dark = page.evaluate(background)
    assert dark != light
    visit.go()
    assert page.evaluate(background) == dark
    page.emulate_media(color_scheme="dark")
    page.click("#theme")
    assert page.evaluate(background) == light


def test_new_data_are_shown_without_losing_focus_place_or_flicker(visit: Visit, shop: Api) -> None:
    page = visit.go()
    before = int(visit.texts(".big")[0].replace(".", ""))
    page.click("#resumen-meses-table")
    page.evaluate(
        """() => {
            window.emptied = 0;
            new MutationObserver(() => {
                if (!document.querySelector("#content").childElementCount) window.emptied += 1;
            }).observe(document.querySelector("#content"), {childList: true});
            window.scrollTo(0, 300);
            window.first = document.querySelector(".card");
        }"""
    )
    # Nothing is new: the figures stay the very same elements.
    with page.expect_response("**/materialized-views/kpis") as unchanged:
        page.evaluate("window.dispatchEvent(new Event('focus'))")
    assert unchanged.value.status == 304
    assert page.evaluate("window.first.isConnected")
    shop.database.execute(
        "INSERT INTO public.solicitudes SELECT (jsonb_populate_record(one, jsonb_build_object("
        "'id', gen_random_uuid(), 'estado', 'ABIERTA', 'created_at', now()))).* "
        "FROM public.solicitudes AS one LIMIT 1",
        "SELECT * FROM refresh_all_mv()",
    )
    shop.forget_cache()
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    page.locator(".big", has_text=rounded(before + 1, 0)).first.wait_for()
    visit.ready()
    assert page.evaluate("[window.first.isConnected, window.emptied]") == [False, 0]
    assert page.evaluate("document.activeElement.id") == "resumen-meses-table"
    assert page.evaluate("window.scrollY") == 300
    assert visit.table("resumen-meses-rows")[0][1] == rounded(before + 1, 0)


@pytest.mark.parametrize(
    ("tab", "part"), [("ciudades", "#content table a"), ("indicadores", "#content summary")]
)
def test_what_has_no_id_keeps_the_focus_too(visit: Visit, tab: str, part: str) -> None:
    page = visit.go(tab)
    page.locator(part).nth(2).focus()
    text = page.evaluate("document.activeElement.textContent")
    assert page.evaluate("document.activeElement.id") == ""
    page.evaluate("document.activeElement.dataset.before = ''")
    page.evaluate("window.dispatchEvent(new Event('refreshed'))")
    page.locator("[data-before]").wait_for(state="detached")
    visit.ready()
    assert page.evaluate("document.activeElement.textContent") == text
    assert page.locator(part).nth(2).evaluate("one => one === document.activeElement")


def test_another_token_in_the_same_tab_leaves_nothing_of_the_old_one(
    visit: Visit, shop: Api
) -> None:
    page = visit.go("finanzas")
    address = f"{shop.url}/?vista=finanzas#token="
    assert "Lector" in page.locator("header").inner_text()
    page.goto(address + shop.token(OPERADOR))
    page.locator("header", has_text="Operador").wait_for()
    visit.ready()
    assert page.locator("#content figure").count() > 0
    # One that may not see this tab.
    page.goto(address + shop.mint({**claims(LECTOR, 3600), "ciudades": ["Cali"]}))
    page.locator("#content .trouble").wait_for()
    assert page.locator("#content figure").count() == 0
    page.goto(address + shop.token(LECTOR))
    page.locator("#content figure").first.wait_for()
    page.goto(f"{address}nothing")
    page.locator("#token-problem", has_text="Esto no es un token").wait_for()
    assert page.locator("#content figure").count() == 0


def test_a_token_is_in_memory_alone(visit: Visit, shop: Api) -> None:
    page = visit.page
    token = shop.token(LECTOR)
    page.goto(f"{shop.url}/?vista=finanzas#token={token}")
    visit.ready()
    assert page.url == f"{shop.url}/?vista=finanzas"
    kept = page.evaluate(
        "JSON.stringify([location.href, document.cookie, Object.values(localStorage), "
        "Object.values(sessionStorage), history.state, document.documentElement.outerHTML])"
    )
    assert token not in kept and token.split(".")[2] not in kept
    assert page.context.cookies() == []
    assert not any(token in url for url in visit.asked)
    page.reload()
    page.wait_for_selector("#token")
    assert page.locator("figure").count() == 0
    page.fill("#token", "no token")
    page.click("button[type=submit]")
    assert visit.text("#token-problem").startswith("Esto no es un token")
    page.fill("#token", f"Authorization: Bearer {token}")
    page.click("button[type=submit]")
    page.wait_for_selector("#finanzas-valores")
    page.click("#sign-out")
    assert page.locator("#token").is_visible() and page.locator("figure").count() == 0


def claims(role: str, seconds: int) -> dict[str, object]:
    """Return the claims of a token that ends in so many seconds."""
    return {
        "role": role,
        "aud": "teloo-analytics",
        "sub": "test",
        "exp": int(time.time()) + seconds,
    }


def test_the_end_of_a_token_is_told_before_and_when_it_comes(browser: Browser, shop: Api) -> None:
    # The clock is that of a whole profile.
    with visited(browser, shop) as visit:
        page = visit.page
        page.clock.install()
        page.goto(f"{shop.url}/#token={shop.mint(claims(LECTOR, 1000))}")
        visit.ready()
        assert not page.locator("#warning").is_visible()
        page.clock.fast_forward(200_000)
        page.wait_for_selector("#warning:not([hidden])")
        assert visit.text("#warning") == "El token vence en 13 min. Pida otro antes."
        page.clock.fast_forward(900_000)
        page.wait_for_selector("#token")
        assert visit.text("#token-problem") == "El token venció. Pida otro."


def test_an_expired_or_foreign_token_asks_for_another(visit: Visit, shop: Api) -> None:
    page = visit.page
    page.goto(f"{shop.url}/#token={shop.mint(claims(LECTOR, -3600))}")
    page.wait_for_selector("#token")
    assert visit.text("#token-problem") == "El token venció. Pida otro."
    assert not page.locator("#warning").is_visible()
    assert "make token" in visit.text("form pre")
    foreign = shop.mint(claims(LECTOR, 3600), "another secret that is long enough for HS256")
    page.goto(f"{shop.url}/?vista=finanzas#token={foreign}")
    page.locator("#token-problem", has_text="La API no aceptó el token").wait_for()


def test_a_token_for_some_cities_shows_what_these_have(visit: Visit, shop: Api) -> None:
    page = visit.page
    narrow = shop.mint({**claims(LECTOR, 3600), "ciudades": ["Bogotá", "Cali"]})
    page.goto(f"{shop.url}/#token={narrow}")
    visit.ready()
    assert visit.text("h1") == "Resumen · Bogotá"
    (now,) = kpi(shop, "mv_demanda_ciudades", ciudad="Bogotá", limit=1, fill="true")
    assert visit.texts(".big")[0] == rounded(now["solicitudes"], 0)
    # The changes of closed periods are those of these cities.
    assert visit.page.locator("#trust").count() == 1
    assert "todo el país" not in visit.text("#content")
    assert visit.texts("nav a") == ["Resumen", "Ciudades", "Asesores", "Indicadores"]
    page.click("#tab-asesores")
    page.wait_for_selector("#asesores-lista")
    assert page.locator("#asesores-retencion").count() == 0
    page.goto(f"{shop.url}/?vista=ciudades#token={narrow}")
    page.wait_for_selector("#ciudades-lista")
    # However they were written this month.
    cities = "".join(row[0] for row in visit.table("ciudades-lista"))
    letters = unicodedata.normalize("NFD", cities.upper()).replace("\u0301", "")
    assert letters in ("BOGOTACALI", "CALIBOGOTA")
    page.goto(f"{shop.url}/?vista=finanzas#token={narrow}")
    page.wait_for_selector(".trouble")
    assert "Este token no puede ver esto" in visit.text(".trouble")
    assert "Es solo de Bogotá, Cali." in visit.text(".trouble")


def test_a_reader_sees_no_button_of_an_operator(visit: Visit) -> None:
    page = visit.go("operacion")
    assert page.locator("#vistas").count() == 1
    assert page.locator("#refresh, #slot, .operator").count() == 0
    assert "Lector" in visit.text("#sign-out")


def test_an_operator_refreshes_and_reschedules(visit: Visit, shop: Api) -> None:
    page = visit.go("operacion", OPERADOR)
    hidden = page.evaluate(
        "() => { document.querySelector('#refresh').click();"
        "return document.querySelector('progress').hidden; }"
    )
    assert hidden is False
    page.locator("#answer", has_text="9 de 9 vistas actualizadas").wait_for()
    visit.ready()
    assert page.locator("#refresh").is_enabled()
    assert not page.locator("progress").is_visible()
    page.fill("#slot", "03:45")
    page.click(".operator form button")
    page.locator("#schedule", has_text="03:45").wait_for()
    assert "03:45" in visit.text("#answer")
    status = shop.get("/materialized-views/scheduler/status", LECTOR).json()
    assert status["schedule"] == "03:45"
    shop.request("PUT", "/materialized-views/scheduler/reschedule?hour=1", OPERADOR)


def test_an_operator_is_told_of_a_refresh_that_runs_already(visit: Visit, shop: Api) -> None:
    page = visit.go("operacion", OPERADOR)
    with shop.database.connect(autocommit=False) as other:
        other.execute("SELECT * FROM refresh_all_mv()")
        page.click("#refresh")
        page.locator("#answer", has_text="Ya hay otra actualización en curso").wait_for()
        other.rollback()


def test_each_tab_is_reached_by_its_link_and_says_its_name(visit: Visit) -> None:
    page = visit.go("operacion")
    names = dict(zip(TABS, visit.texts("nav a"), strict=True))
    for tab in TABS:
        page.click(f"#tab-{tab}")
        page.locator(f"#tab-{tab}[aria-current=page]").wait_for()
        visit.ready()
        assert visit.text("h1") == names[tab]
        assert page.title() == f"{names[tab]} · TeLOO"
        assert page.locator(".trouble").count() == 0

"""The page in odd states: dead, empty, small, large, dark, printed; and what it costs."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from conftest import Database, Server, install
from gateway_testing import Api, started
from web_testing import (
    LECTOR,
    OPERADOR,
    TABS,
    Visit,
    transferred,
    violations,
    visited,
)
from webapi.page_files import KEPT_VERSIONS, version_of, write_page_files

SYSTEM_SERVER_IS_ENOUGH = True
LIMIT = 250_000
# By the width of the window: how wide a chart can be.
WIDTHS = {360: "^2..$", 1920: "^[5-9]..$|^1[0-9]..$"}


@pytest.mark.parametrize("tab", TABS)
def test_each_tab_is_light_fits_a_phone_and_a_wall_and_is_accessible(
    browser: Browser, shop: Api, tab: str
) -> None:
    # axe-core comes from outside of the page, which the page's own rules would refuse.
    with visited(browser, shop, color_scheme="light", bypass_csp=True) as visit:
        sizes = transferred(visit.page)
        page = visit.go(tab, OPERADOR)
        page.wait_for_load_state("networkidle")
        by_url = sizes()
        assert any("/js/main.js" in url for url in by_url)
        has_charts = tab in ("embudo", "mercado", "finanzas", "asesores")
        assert any("plot.umd.min.js" in url for url in by_url) is has_charts
        assert 20_000 < sum(by_url.values()) < LIMIT, by_url
        for scheme, width, height in (("light", 1920, 1080), ("dark", 360, 740)):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            # A chart follows the width, in its own time.
            for chart in page.locator(".chart svg").all()[:1]:
                expect(chart).to_have_attribute("width", re.compile(WIDTHS[width]))
            background = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (background == "rgb(14, 20, 25)") is (scheme == "dark")
            # What differs in the dark are colours.
            rules = ["color-contrast"] if scheme == "dark" else []
            assert violations(page, *rules) == []


def test_the_check_of_accessibility_finds_a_fault(browser: Browser, shop: Api) -> None:
    with visited(browser, shop, bypass_csp=True) as visit:
        page = visit.go("indicadores")
        page.evaluate("document.querySelector('#indicadores-busca').removeAttribute('aria-label')")
        page.evaluate("document.querySelector('#indicadores-busca').removeAttribute('placeholder')")
        assert any("label" in one for one in violations(page))


def test_print_has_the_figures_and_none_of_the_controls(visit: Visit) -> None:
    page = visit.go("mercado")
    width = "one => one.getAttribute('width')"
    drawn = page.locator("figure .chart svg").first
    before = drawn.evaluate(width)
    # What listens later sees the charts of the paper: they have its width, not the screen's.
    page.evaluate(
        "window.addEventListener('beforeprint', () => {"
        "window.printed = document.querySelector('figure .chart svg').getAttribute('width')})"
    )
    assert page.pdf().startswith(b"%PDF")
    assert page.evaluate("window.printed") == "300" != before
    expect(drawn).to_have_attribute("width", str(before))
    page.emulate_media(media="print", color_scheme="dark")
    for hidden in ("nav", ".filters", ".tools", "button.info"):
        assert not page.locator(hidden).first.is_visible()
    assert page.locator("figure .chart svg").first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    color = page.evaluate("getComputedStyle(document.querySelector('h1')).color")
    assert color == "rgb(23, 33, 43)"


def test_print_has_the_meaning_of_each_indicator(visit: Visit) -> None:
    page = visit.go("indicadores")
    folded = page.locator("details:not([open]) > p").first
    shown = "one => one.checkVisibility({contentVisibilityAuto: true}) && one.offsetHeight > 0"
    assert not folded.evaluate(shown)
    page.emulate_media(media="print")
    assert folded.evaluate(shown)


def test_print_breaks_long_tables_and_keeps_bars_and_heads(visit: Visit) -> None:
    page = visit.go("asesores")
    page.emulate_media(media="print")
    style = "one => [getComputedStyle(one).breakInside, getComputedStyle(one).printColorAdjust]"
    panel = page.locator(".panel", has=page.locator("#asesores-lista"))
    assert panel.evaluate(style) == ["auto", "exact"]
    assert page.locator("#asesores-retencion").evaluate(style) == ["avoid", "exact"]
    assert not page.locator("#asesores-ranking-csv").is_visible()
    # Chromium leaves the buttons of a head out where it repeats the head on the next page.
    head = page.locator("#asesores-lista thead button").first
    assert head.evaluate("one => getComputedStyle(one).display") == "contents"


@pytest.mark.parametrize("tab", ["resumen", "mercado", "ciudades", "asesores"])
def test_a_phone_keeps_the_question_mark_with_its_word(
    browser: Browser, shop: Api, tab: str
) -> None:
    with visited(browser, shop, viewport={"width": 360, "height": 740}) as visit:
        page = visit.go(tab)
        lines = page.locator(":is(h2, h3, .name) .joined").evaluate_all(
            "all => all.map(one => one.getClientRects().length)"
        )
        assert lines and set(lines) == {1}
        assert page.locator(":is(h2, h3, .name) > .info").count() == 0
        # Buttons stay inside of their panel.
        outside = page.locator(".panel .tools").evaluate_all(
            "all => all.filter(one => one.getBoundingClientRect().right > "
            "one.closest('.panel').getBoundingClientRect().right - 10).length"
        )
        assert outside == 0
        place = page.locator("nav [aria-current]").bounding_box()
        assert place and place["x"] >= 0 and place["x"] + place["width"] <= 360
        if tab == "asesores":
            page.click(".block >> nth=0")
            page.wait_for_selector("#segmento-asesores")
            expect(page.locator("#segmento-lista")).to_be_in_viewport(ratio=0.5)
        # The column that stays in place leaves room for the others.
        for first in page.locator("tbody th:visible").all()[:1]:
            assert first.evaluate("one => one.offsetWidth") < 180


def test_a_dead_api_is_told_and_the_page_comes_back(visit: Visit, shop: Api) -> None:
    page = visit.go("finanzas")
    shop.gateway.stop_program("postgrest")
    try:
        shop.forget_cache()
        page.evaluate("window.dispatchEvent(new Event('focus'))")
        page.wait_for_selector("#behind:not([hidden])")
        # What was there before stays.
        assert page.locator("figure").count() == 5
        page.click("#tab-mercado")
        page.wait_for_selector(".trouble")
        assert "La API no responde" in visit.text(".trouble")
        # Here are no figures of before.
        assert not page.locator("#behind").is_visible()
        visit.page.reload()
        page.goto(f"{shop.url}/?vista=mercado#token={shop.token(LECTOR)}")
        page.wait_for_selector(".trouble")
    finally:
        shop.gateway.start_postgrest()
    page.click("#retry")
    page.wait_for_selector("figure")
    assert page.locator(".trouble").count() == 0


@pytest.fixture(scope="module")
def empty(system_server: Server) -> Iterator[Api]:
    """An installation over an operational database without a row, never refreshed."""
    name = system_server.new_name("empty")
    with system_server.janitor(name):
        database = Database(system_server.cluster, name)
        install(database)
        database.execute("CALL analytics.tick()")
        with started(database, "empty") as api:
            yield api


def test_an_empty_installation_says_so_before_and_after_its_first_refresh(
    browser: Browser, empty: Api
) -> None:
    with visited(browser, empty) as visit:
        visit.go()
        assert "Todavía no hay datos" in visit.text(".trouble")
        assert visit.text(".trouble a") == "Operación"
        page = visit.go("operacion", OPERADOR)
        assert "mv_metricas_mensuales" in visit.text(".problems")
        page.click("#refresh")
        page.locator("#answer", has_text="9 de 9 vistas actualizadas").wait_for()
        visit.ready()
    with visited(browser, empty) as visit:
        visit.go()
        assert "Todavía no hay datos" in visit.text("#content .empty")
        for tab in TABS[1:]:
            visit.go(tab)
            assert visit.page.locator(".trouble").count() == 0, tab
            assert visit.page.locator(".funnel, .chart").count() == 0, tab
            assert "NaN" not in visit.text("#content") and "undefined" not in visit.text("main")


def test_the_page_is_revalidated_and_its_files_never_change(shop: Api) -> None:
    page = shop.get("/")
    assert page.status == 200
    assert page.headers["cache-control"] == "no-cache"
    again = shop.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert again.status == 304
    (main,) = [part for part in page.body.split('"') if part.endswith("/main.js")]
    script = shop.get(f"/{main}", headers={"Accept-Encoding": "gzip"})
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["content-encoding"] == "gzip"
    assert script.headers["content-type"].startswith("application/javascript")
    assert shop.get("/assets/0000000000000000/js/main.js").status == 404
    assert shop.get("/assets/../jwt-secret").status in (400, 404)
    assert shop.request("POST", "/").status == 405


def test_the_policy_allows_own_scripts_alone(shop: Api) -> None:
    policy = shop.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy
    assert "unsafe" not in policy and "http" not in policy
    assert "require-trusted-types-for 'script'; trusted-types 'none'" in policy


def test_an_upgrade_has_a_folder_of_its_own_and_leaves_the_last_ones(tmp_path: Path) -> None:
    source, modules, target = (tmp_path / name for name in ("web", "modules", "static"))
    (source / "js").mkdir(parents=True)
    (source / "index.html").write_text('<script src="assets/@VERSION@/js/main.js"></script>')
    from webapi.page_files import LIBRARIES

    for library in LIBRARIES:
        (modules / library).parent.mkdir(parents=True, exist_ok=True)
        (modules / library).write_text("")
    versions = []
    for number in range(KEPT_VERSIONS + 2):
        (source / "js" / "main.js").write_text(f"// {number}")
        write_page_files(target, source, modules)
        index = (target / "index.html").read_text()
        (version,) = {one.name for one in (target / "assets").iterdir() if one.name in index}
        assert (target / "assets" / version / "js" / "main.js").read_text() == f"// {number}"
        versions.append(version)
    assert len(set(versions)) == len(versions)
    left = {one.name for one in (target / "assets").iterdir()}
    assert left == set(versions[-KEPT_VERSIONS:])
    assert version_of({"a": b"bc"}) != version_of({"ab": b"c"})

"""Measures the first view of the page: how long a browser needs that has nothing of it yet."""

import os
import statistics
from typing import TYPE_CHECKING

from commandline.console import LOGGER, Parser, UserError, report, run_tool, set_up_logging
from screenshots import READY, demo_page, launched

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# The gateway keeps an answer for a second: each load is to be computed.
PAUSE_MS = 1100
# Notes when the figures are in the document and the browser has painted them.
WATCH = """
new MutationObserver((_, observer) => {
    if (!document.querySelector("main:not([aria-busy]) #content > *")) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => { window.shownAt = performance.now(); }));
}).observe(document, {childList: true, subtree: true, attributes: true});
"""
SHOWN = """() => new Promise(done => {
    const look = () => window.shownAt ? done(window.shownAt) : setTimeout(look, 20);
    look();
})"""
BYTES = """() => ["navigation", "resource"].flatMap(kind => performance.getEntriesByType(kind))
    .reduce((sum, entry) => sum + entry.transferSize, 0)"""


def load(browser: "Browser", url: str) -> tuple[float, int]:
    """Open the page in a new profile; return the milliseconds until it is shown, and its bytes."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="es-CO")
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(url)
    page.wait_for_selector(READY)
    result = page.evaluate(SHOWN), page.evaluate(BYTES)
    page.wait_for_timeout(PAUSE_MS)
    context.close()
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(
        prog="page_speed.py",
        description="Loads the page of the running demo in Chromium, with an empty cache.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong usage.",
    )
    parser.add_argument("--loads", type=int, default=15, help="default: 15, after one more")
    parser.add_argument("--tab", default="resumen", help="default: resumen")
    options = parser.parse_args(arguments)
    set_up_logging()
    # Of the packages for the tests: only this command and screenshots.py need it.
    from playwright.sync_api import sync_playwright

    try:
        address, token = demo_page("page_speed.py")
        url = f"{address}/?vista={options.tab}#token={token}"
        with sync_playwright() as playwright:
            browser = launched(playwright)
            loads = [load(browser, url) for _ in range(options.loads + 1)][1:]
            browser.close()
    except UserError as error:
        return report(error)
    times = sorted(time for time, _ in loads)
    LOGGER.info(
        "%s: shown after %.0f ms (median of %d loads; %.0f to %.0f), %d kB over the wire",
        options.tab, statistics.median(times), len(times), times[0], times[-1], loads[0][1] // 1000,
    )  # fmt: skip
    LOGGER.info(
        "load of the machine, with this: %.1f of %d cores", os.getloadavg()[0], os.cpu_count()
    )
    return 0


if __name__ == "__main__":
    run_tool(main)

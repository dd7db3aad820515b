"""Writes the pictures of docs/images: the page as the running demo shows it."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import LOCAL, PROJECT, Cluster
from commandline.console import LOGGER, Parser, UserError, report, run_tool, set_up_logging
from gateway import demo_gateway
from jwt_token import mint

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

IMAGES = PROJECT / "docs" / "images"
BROWSERS = LOCAL / "browsers"
READY = "main:not([aria-busy]) #content > *"
# By name: the tab, and the size of the window.
PICTURES = {
    "resumen-phone": ("resumen", 390, 844),
    "resumen": ("resumen", 1280, 900),
}
# Long enough that the page does not warn of its end.
SECONDS = 3600


def launched(playwright: "Playwright") -> "Browser":
    """Start the system's Chromium, or the one in .local/browsers. UserError if there is none."""
    browser = shutil.which("chromium") or next(
        (str(path) for path in BROWSERS.glob("chromium-*/*/chrome")), None
    )
    if browser is None:
        raise UserError("Chromium is missing", "Install it: scripts/install.sh --test")
    return playwright.chromium.launch(
        executable_path=browser, args=["--no-sandbox"] if os.geteuid() == 0 else []
    )


def demo_page(issuer: str) -> tuple[str, str]:
    """Return the address of the running demo and a reader's token. UserError if it is stopped."""
    gateway = demo_gateway(Cluster("demo"))
    if not gateway.is_running:
        raise UserError("the demo is not running", "Start it: make demo")
    return gateway.url, mint(gateway.secret(), "analytics_lector", SECONDS, issuer)


def take(url: str, token: str, directory: Path) -> list[Path]:
    """Take all pictures; return their files. UserError if there is no browser."""
    # Of the packages for the tests: only this command needs it.
    from playwright.sync_api import sync_playwright

    directory.mkdir(parents=True, exist_ok=True)
    written = []
    with sync_playwright() as playwright:
        browser = launched(playwright)
        for name, (tab, width, height) in PICTURES.items():
            page = browser.new_page(
                viewport={"width": width, "height": height}, locale="es-CO", color_scheme="light"
            )
            page.goto(f"{url}/?vista={tab}#token={token}")
            page.wait_for_selector(READY)
            path = directory / f"{name}.png"
            page.screenshot(path=str(path))
            written.append(path)
            page.close()
        browser.close()
    return written


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(
        prog="screenshots.py",
        description="Writes docs/images anew, from the page of the running demo.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong usage.",
    )
    parser.add_argument("--directory", type=Path, default=IMAGES, help="default: docs/images")
    options = parser.parse_args(arguments)
    set_up_logging()
    try:
        for path in take(*demo_page("make screenshots"), options.directory):
            LOGGER.info("wrote %s (%d kB)", path, path.stat().st_size // 1000)
    except UserError as error:
        return report(error)
    return 0


if __name__ == "__main__":
    run_tool(main)

"""The page in a real browser: how to open it, and what its texts must be."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from playwright.sync_api import Browser, BrowserContext, Page

from cluster import PROJECT
from conftest import Database
from gateway_testing import Api

LECTOR = "analytics_lector"
OPERADOR = "analytics_operador"
TABS = (
    "resumen",
    "embudo",
    "mercado",
    "finanzas",
    "ciudades",
    "asesores",
    "indicadores",
    "operacion",
)
NASTY_NAME = '<img src=x onerror="window.hacked = 1">'
NASTY_CITY = 'Puerto "Ñandú" d\'Oro & Cía'
AXE = PROJECT / ".local" / "node" / "node_modules" / "axe-core" / "axe.min.js"
KPIS = "/materialized-views/kpis"
READY = "main:not([aria-busy]) #content > *"
MONTHS = ("ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic")
# What a browser says of an answer that is an error, which some tests are about.
EXPECTED = "Failed to load resource"

Row = dict[str, Any]


# Copies of requests and their offers, one of each city and then the latest, until the month that
# runs has 110. On its first day it would have a few.
FILL_MONTH = (
    """
CREATE TEMPORARY TABLE copied AS
WITH month AS (
    SELECT
        began_at,
        (SELECT count(*) FROM public.solicitudes WHERE created_at >= began_at) AS requests
    FROM date_trunc('month', now() AT TIME ZONE 'America/Bogota') AS local (began),
        LATERAL (SELECT began AT TIME ZONE 'America/Bogota' AS began_at) AS instant
),
turn AS (
    SELECT
        id, created_at,
        row_number() OVER (PARTITION BY ciudad_origen ORDER BY created_at DESC) AS place
    FROM public.solicitudes, month
    WHERE created_at < began_at
)
SELECT
    id AS copied_id,
    gen_random_uuid() AS id,
    began_at + (now() - began_at) * (row_number() OVER (ORDER BY created_at) / 111.0)
    - created_at AS later
FROM (
    SELECT * FROM turn, month
    ORDER BY place > 1, created_at DESC
    LIMIT greatest(0, 110 - (SELECT requests FROM month))
) AS chosen
""",
    """
INSERT INTO public.solicitudes
SELECT (jsonb_populate_record(one, jsonb_build_object(
    'id', copied.id,
    'created_at', created_at + later,
    'updated_at', least(updated_at + later, now()),
    'fecha_respuesta_cliente', least(fecha_respuesta_cliente + later, now()),
    'fecha_evaluacion', least(fecha_evaluacion + later, now())
))).*
FROM public.solicitudes AS one JOIN copied ON copied_id = one.id
""",
    """
INSERT INTO public.ofertas
SELECT (jsonb_populate_record(one, jsonb_build_object(
    'id', gen_random_uuid(),
    'solicitud_id', copied.id,
    'created_at', least(created_at + later, now()),
    'updated_at', least(updated_at + later, now())
))).*
FROM public.ofertas AS one JOIN copied ON copied_id = one.solicitud_id
""",
    "DROP TABLE copied",
)


def give_awkward_names(database: Database) -> None:
    """Give the best advisor markup for a name, some advisors and requests an odd city.

    The month that runs has requests of each city, on its first day, too. And one day is without an
    answer, so that a median is missing. And requests without offers were accepted: a rate of the
    awarded ones does not count them.
    """
    city = NASTY_CITY.replace("'", "''")
    best = "SELECT asesor_id FROM analytics.mv_ranking_asesores WHERE ranking_nacional"
    database.execute(
        f"UPDATE public.usuarios SET nombre = '{NASTY_NAME}' WHERE id IN (SELECT usuario_id "
        f"FROM public.asesores WHERE id IN ({best} = 1))",
        f"UPDATE public.asesores SET ciudad = '{city}' WHERE id IN ({best} <= 3)",
        f"UPDATE public.solicitudes SET ciudad_origen = '{city}' WHERE ciudad_origen = 'Cúcuta'",
        "UPDATE public.solicitudes SET fecha_respuesta_cliente = NULL "
        "WHERE created_at BETWEEN now() - interval '41 days' AND now() - interval '39 days'",
        "UPDATE public.solicitudes SET cliente_acepto = true WHERE id IN (SELECT id FROM "
        "public.solicitudes WHERE estado = 'CERRADA_SIN_OFERTAS' ORDER BY created_at DESC LIMIT 9)",
        *FILL_MONTH,
        "SELECT * FROM refresh_all_mv()",
    )


def rounded(value: object, digits: int) -> str:
    """Return a number as people in Colombia write it."""
    number = Decimal(str(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{number:,}".replace(",", " ").replace(".", ",").replace(" ", ".")


def duration(seconds: object) -> str:
    """Return a time by its two largest units, rounded to the smaller one."""
    exact = Decimal(str(seconds))
    if exact < 0:
        return f"−{duration(-exact)}"
    smallest = "h" if exact >= 86400 else "min" if exact >= 3600 else "s"
    return whole_duration(exact, smallest)


def whole_duration(seconds: Decimal, smallest: str = "s") -> str:
    """Return a time in all units from days to the smallest one, to which it is rounded."""
    sizes = {"día": 86400, "h": 3600, "min": 60, "s": 1}
    left = int((seconds / sizes[smallest]).quantize(Decimal(1), ROUND_HALF_UP)) * sizes[smallest]
    words = []
    for unit, size in sizes.items():
        count, left = divmod(left, size)
        if count:
            words.append(f"{rounded(count, 0)} {'días' if unit == 'día' and count > 1 else unit}")
    return " ".join(words) or "0 s"


def shown(value: object, unit: str) -> str:
    """Return what the page must show for a value of the API, worked out apart from the page."""
    if value is None:
        return "—"
    if unit == "COP":
        sign = "−" if float(str(value)) < 0 else ""
        return f"{sign}$ {rounded(abs(float(str(value))), 0)}"
    if unit == "segundos":
        return duration(value)
    if unit == "pct":
        return f"{rounded(value, 1)} %"
    if unit == "razon":
        return rounded(value, 2)
    if unit == "dias":
        return f"{rounded(value, 0)} {'día' if value == 1 else 'días'}"
    if unit == "fecha":
        day = date.fromisoformat(str(value))
        return f"{day.day} {MONTHS[day.month - 1]} {day.year}"
    return rounded(value, 0) if unit == "conteo" else str(value)


def shown_pair(one: object, other: object, unit: str) -> list[str]:
    """Return two values beside each other: with more detail if they would read the same."""
    both = [one, other]
    words = [shown(value, unit) for value in both]
    if None in both or one == other or words[0] != words[1]:
        return words
    if unit == "segundos":
        return [whole_duration(Decimal(str(value))) for value in both]
    if unit == "pct":
        return [f"{rounded(value, 2)} %" for value in both]
    return [f"$ {rounded(value, 2)}" for value in both] if unit == "COP" else words


def shown_short(value: object, unit: str) -> str:
    """Return a value as it stands beside another one: money in millions."""
    if unit == "COP" and abs(float(str(value))) >= 1e6:
        millions = Decimal(str(value)) / 1_000_000
        text = rounded(millions, 0 if abs(millions) >= 100 else 1)
        return f"$ {text.removesuffix(',0')} M"
    return shown(value, unit)


def arrow(percent: float | None) -> str:
    """Return a difference as the page shows it."""
    if percent is None:
        return "—"
    number = rounded(abs(percent), 1)
    sign = "=" if number == "0,0" else "▲" if percent > 0 else "▼"
    return f"{sign} {number} %"


@dataclass
class Visit:
    """A page that is open, and all that it said and asked."""

    page: Page
    api: Api
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def go(self, vista: str = "resumen", role: str | None = LECTOR, **query: str) -> Page:
        """Open a tab with a token in the fragment; wait until its figures are there."""
        token = f"#token={self.api.token(role)}" if role else ""
        self.page.goto(f"{self.api.url}/?{urlencode({'vista': vista, **query})}{token}")
        self.ready()
        return self.page

    def ready(self) -> None:
        """Wait until the page has done what was asked."""
        self.page.wait_for_selector(READY)

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements, white space made plain."""
        return [plain(text) for text in self.page.locator(selector).all_inner_texts()]

    def text(self, selector: str) -> str:
        """Return the text of the one element."""
        (text,) = self.texts(selector)
        return text

    def table(self, name: str) -> list[list[str]]:
        """Return the cells of a table's body."""
        rows = self.page.locator(f"#{name} tbody").evaluate(
            "body => [...body.rows].map(row => [...row.cells].map(cell => cell.innerText))"
        )
        return [[plain(cell) for cell in row] for row in rows]

    def open_table(self, figure: str) -> list[list[str]]:
        """Open the table of a chart by its button; return its cells."""
        self.page.click(f"#{figure}-table")
        return self.table(f"{figure}-rows")

    def csv(self, figure: str) -> list[Row]:
        """Press a CSV button; return the rows of the file."""
        with self.page.expect_download() as download:
            self.page.click(f"#{figure}-csv")
        text = Path(download.value.path()).read_text(encoding="utf-8")
        return list(csv.DictReader(io.StringIO(text)))


def literal(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def plain(text: str) -> str:
    """Return a text with single spaces."""
    return re.sub(r"\s+", " ", text).strip()


def kpi(api: Api, view: str, **query: object) -> list[Row]:
    """Return rows of the API."""
    answer = api.get(f"{KPIS}/{view}?{urlencode(query, quote_via=quote)}", LECTOR)
    assert answer.status == 200, answer.body
    rows: list[Row] = answer.json()
    return rows


def catalogue(api: Api) -> dict[str, dict[str, Row]]:
    """Return the columns of each view, by their names."""
    return {
        entry["view"]: {column["name"]: column for column in entry["columns"]}
        for entry in api.get(KPIS, LECTOR).json()["kpis"]
    }


def cells(
    rows: Sequence[Row], columns: Sequence[str], units: Mapping[str, Row], time: str
) -> list[list[str]]:
    """Return the cells of a table over time as the page must show them."""
    return [
        [shown(row[time], "fecha"), *(shown(row[name], units[name]["unit"]) for name in columns)]
        for row in rows
    ]


def without_tag(table: list[list[str]]) -> list[list[str]]:
    """Return a table without the word that marks a period that is not over."""
    return [[first.removesuffix(" incompleto"), *others] for first, *others in table]


def violations(page: Page, *rules: str) -> list[str]:
    """Return what axe-core finds serious by all rules or by some, by rule and element."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        "rules => axe.run(document, {resultTypes: ['violations'], "
        "...(rules.length ? {runOnly: rules} : {})})",
        list(rules),
    )
    return [
        f"{one['id']}: {node['target']} {node['failureSummary'][:160]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """Return a browser profile of its own: storage, cache and settings."""
    context = browser.new_context(
        **{
            "viewport": {"width": 1280, "height": 900},
            "locale": "es-CO",
            "reduced_motion": "reduce",
            **options,
        }
    )
    context.set_default_timeout(20000)
    return context


@contextmanager
def visited(browser: Browser, api: Api, **options: Any) -> Iterator[Visit]:
    """Open an empty page in a profile of its own; check at the end what it said and asked."""
    context = new_context(browser, **options)
    try:
        with checked(context, api) as visit:
            yield visit
    finally:
        context.close()


@contextmanager
def checked(context: BrowserContext, api: Api) -> Iterator[Visit]:
    """Open an empty page; at the end nothing must have gone wrong or been asked of others."""
    visit = Visit(context.new_page(), api)
    visit.page.on("console", lambda message: visit.said.append(f"{message.type}: {message.text}"))
    visit.page.on("pageerror", lambda error: visit.said.append(f"error: {error}"))
    visit.page.on("request", lambda request: visit.asked.append(request.url))
    try:
        yield visit
        wrong = [text for text in visit.said if EXPECTED not in text and text[:5] == "error"]
        assert not wrong, wrong
        own = urlsplit(api.url).netloc
        others = [url for url in visit.asked if urlsplit(url).netloc not in (own, "")]
        assert not others, others
    finally:
        if visit.page.url.startswith("http"):
            visit.page.evaluate("localStorage.clear()")
        visit.page.close()


def transferred(page: Page) -> Callable[[], dict[str, int]]:
    """Count the bytes over the wire from now on; return what gives them by URL."""
    session = page.context.new_cdp_session(page)
    urls: dict[str, str] = {}
    sizes: dict[str, int] = {}
    session.on(
        "Network.requestWillBeSent",
        lambda event: urls.update({event["requestId"]: event["request"]["url"]}),
    )
    session.on(
        "Network.loadingFinished",
        lambda event: sizes.update({event["requestId"]: int(event["encodedDataLength"])}),
    )
    session.send("Network.enable")
    return lambda: {f"{urls[one]} {one}": size for one, size in sizes.items()}

"""The mail of a digest: numbers and words of both languages, and nothing in the data is markup."""

import copy
import email
import email.policy
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

import pytest

from conftest import Database
from digests.test_contents import contents
from digests.test_due import filled
from kpis.test_published import refresh
from services import digest_format as form
from services.digest_mail import in_html, message_of, plain
from services.digest_page import Page, page_of
from services.digest_texts import TEXTS, label
from services.mail import new_message

__all__ = ["filled"]

SYSTEM_SERVER_IS_ENOUGH = True

NOW = datetime(2026, 11, 27, 8, 0, tzinfo=UTC)
NASTY = 'L\'Él "<script>alert(1)</script>" & <img src=http://eve/x>'
FIGURE: dict[str, Any] = {
    "column": "solicitudes_creadas",
    "label_es": "Solicitudes creadas",
    "label_en": "Requests created",
    "unit": "conteo",
    "better": "up",
    "value": 55,
    "has_row": True,
    "previous": 50,
    "previous_pct": Decimal("10.00"),
    "year": None,
    "year_pct": None,
    "line": [50, None, 60, 55],
}
CONTENTS: dict[str, Any] = {
    "frequency": "daily",
    "period": "2026-11-26",
    "last_day": "2026-11-26",
    "is_of_cities": False,
    "refreshed_at": "2026-11-27 03:00",
    "sections": [
        {
            "view": "mv_embudo_operativo",
            "title_es": "Embudo operativo",
            "title_en": "Operational funnel",
            "grain": "day",
            "period": "2026-11-26",
            "is_incomplete": False,
            "city_key": None,
            "city": None,
            "periods": ["2026-11-23", "2026-11-24", "2026-11-25", "2026-11-26"],
            "figures": [FIGURE],
            "targets": None,
        }
    ],
    "csv": [{"name": "mv_embudo_operativo", "text": "dia,n\r\n2026-11-26,55\r\n"}],
    "notes": None,
    "problems": None,
    "partial": None,
}


class Elements(HTMLParser):
    """The elements, attributes and words of a document."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words += data


def page(language: str = "es", **changes: Any) -> Page:
    """Return the page of the example, changed: its figure by names of figures, else the whole."""
    answer = copy.deepcopy(CONTENTS)
    for name, value in changes.items():
        (answer["sections"][0]["figures"][0] if name in FIGURE else answer)[name] = value
    return page_of(answer, language)


def delivered(of: Page, recipient: str = "ana@example.com") -> EmailMessage:
    """Return the mail as it comes out of a server."""
    sent = bytes(message_of(of, "TeLOO <teloo@example.com>", recipient, "digest.1", NOW))
    return email.message_from_bytes(sent, policy=email.policy.default)


def test_both_languages_have_the_same_keys_and_values() -> None:
    assert set(TEXTS) == {"es", "en"}
    assert TEXTS["es"].keys() == TEXTS["en"].keys()
    for key, words in TEXTS["es"].items():
        filled_in = re.findall(r"\{\w+\}", words)
        assert sorted(filled_in) == sorted(re.findall(r"\{\w+\}", TEXTS["en"][key])), key
    for language in TEXTS:
        assert len(TEXTS[language]["months"].split()) == 12


def test_each_column_has_words_in_both_languages(filled: Database) -> None:
    assert (
        filled.rows(
            "SELECT v.view_name, kpi.column_name FROM kpi_engine.kpi_views() AS v CROSS JOIN "
            "kpi_engine.kpi_columns(v.relation) AS kpi WHERE kpi.label_en IS NULL"
        )
        == []
    )
    assert label("en", FIGURE) == "Requests created"
    nameless = {"column": "x", "label_es": "Uno (dos)", "label_en": None}
    assert label("es", nameless) == label("en", nameless) == "Uno"


@pytest.mark.parametrize(
    ("value", "unit", "spanish", "english"),
    [
        (1147, "conteo", "1.147", "1,147"),
        (0, "conteo", "0", "0"),
        (-1147, "conteo", "−1.147", "−1,147"),
        (Decimal("776974794.5"), "COP", "$ 776.974.795", "$ 776,974,795"),
        (Decimal("-1500.00"), "COP", "−$ 1.500", "−$ 1,500"),
        (Decimal("-0.4"), "COP", "$ 0", "$ 0"),
        (Decimal("62.55"), "pct", "62,6 %", "62.6 %"),
        (Decimal("2.335"), "razon", "2,34", "2.34"),
        (Decimal("11520.40"), "segundos", "3 h 12 min", "3 h 12 min"),
        (Decimal(187200), "segundos", "2 días 4 h", "2 days 4 h"),
        (Decimal(86400), "segundos", "1 día", "1 day"),
        (Decimal(117960), "segundos", "1 día 9 h", "1 day 9 h"),
        (Decimal(86380), "segundos", "1 día", "1 day"),
        (Decimal("86369.9"), "segundos", "23 h 59 min", "23 h 59 min"),
        (Decimal(172799), "segundos", "2 días", "2 days"),
        (Decimal("3599.5"), "segundos", "1 h", "1 h"),
        (Decimal("-59.6"), "segundos", "−1 min", "−1 min"),
        (Decimal("0.4"), "segundos", "0 s", "0 s"),
        (Decimal("36.24"), "dias", "36,2 días", "36.2 days"),
        (Decimal(1), "meses", "1 mes", "1 month"),
        (None, "COP", "—", "—"),
    ],
)
def test_figures_as_people_read_them(
    value: Decimal | int | None, unit: str, spanish: str, english: str
) -> None:
    assert form.figure(value, unit, "es") == spanish
    assert form.figure(value, unit, "en") == english


@pytest.mark.parametrize(
    ("day", "grain", "previous", "year"),
    [
        ("2026-03-01", "day", "2026-02-28", "2025-03-01"),
        ("2028-02-29", "day", "2028-02-28", "2027-02-28"),
        ("2026-01-05", "week", "2025-12-29", "2025-01-06"),
        ("2026-01-01", "month", "2025-12-01", "2025-01-01"),
        ("2026-03-01", "month", "2026-02-01", "2025-03-01"),
    ],
)
def test_earlier_periods_are_those_of_the_database(
    filled: Database, day: str, grain: str, previous: str, year: str
) -> None:
    for by, expected in (("previous", previous), ("year", year)):
        assert form.earlier(date.fromisoformat(day), grain, by).isoformat() == expected
        assert filled.rows(
            f"SELECT first_day::text FROM kpi_engine.period_before('{day}', '{grain}', '{by}', "
            "'2030-01-01')"
        ) == [(expected,)]


def test_the_subject_says_the_period_and_the_requests() -> None:
    assert page().subject == "TeLOO · 26 nov 2026 · 55 solicitudes"
    assert page("en").subject == "TeLOO · 26 Nov 2026 · 55 requests"
    assert page(value=1).subject == "TeLOO · 26 nov 2026 · 1 solicitud"
    assert page(value=None).subject == "TeLOO · 26 nov 2026 · — solicitudes"
    weekly = page(frequency="weekly", period="2026-11-16")
    assert weekly.subject.startswith("TeLOO · semana del 16 nov 2026 · 55 solicitudes")


def test_a_difference_has_its_direction_in_words() -> None:
    [card] = page().blocks[0].cards
    assert [change.words for change in card.changes] == [
        "▲ 10,0 %: mejor frente a 25 nov 2026",
        "26 nov 2025: — (sin dato)",
    ]
    [card] = page("en", better="down").blocks[0].cards
    assert (card.changes[0].words, card.changes[0].verdict) == (
        "▲ 10.0 %: worse compared with 25 Nov 2026",
        "worse",
    )
    [card] = page(better="none").blocks[0].cards
    assert (card.changes[0].words, card.changes[0].verdict) == (
        "▲ 10,0 % frente a 25 nov 2026",
        "",
    )
    [card] = page(previous_pct=Decimal("0.04")).blocks[0].cards
    assert card.changes[0].words == "= 0,0 % frente a 25 nov 2026"
    [card] = page("en", previous_pct=Decimal("0.04")).blocks[0].cards
    assert card.changes[0].words == "= 0.0 % compared with 25 Nov 2026"


@pytest.mark.parametrize(
    ("language", "grain", "is_incomplete", "words"),
    [
        ("es", "week", False, "▲ 10,0 %: mejor frente a la semana del 16 nov 2026"),
        ("en", "week", False, "▲ 10.0 %: better compared with the week of 16 Nov 2026"),
        ("es", "month", True, "▲ 10,0 %: mejor frente a los mismos días de oct 2026"),
        ("en", "month", True, "▲ 10.0 %: better compared with the same days of Oct 2026"),
    ],
)
def test_a_difference_names_the_earlier_period(
    language: str, grain: str, is_incomplete: bool, words: str
) -> None:
    answer = copy.deepcopy(CONTENTS)
    first_day = "2026-11-23" if grain == "week" else "2026-11-01"
    answer["sections"][0] |= {"grain": grain, "period": first_day, "is_incomplete": is_incomplete}
    [card] = page_of(answer, language).blocks[0].cards
    assert card.changes[0].words == words


@pytest.mark.parametrize(
    ("unit", "value", "target", "spanish"),
    [
        ("pct", "58.79", "58.80", "58,79 %, no cumple la meta de 58,80 %"),
        ("pct", "58.7999", "58.80", "58,7999 %, no cumple la meta de 58,8000 %"),
        ("pct", "58.80", "58.8", "58,8 %, no cumple la meta de 58,8 %"),
        ("pct", "57", "58.80", "57,0 %, no cumple la meta de 58,8 %"),
        (
            "segundos",
            "117000",
            "117120.5",
            "1 día 8 h 30 min, no cumple la meta de 1 día 8 h 32 min 1 s",
        ),
        ("segundos", "90.4", "90.2", "1 min 30,4 s, no cumple la meta de 1 min 30,2 s"),
        ("COP", "100.4", "100.2", "$ 100,40, no cumple la meta de $ 100,20"),
        ("razon", "2.331", "2.334", "2,331, no cumple la meta de 2,334"),
        ("dias", "1.04", "1", "1,04 días, no cumple la meta de 1,00 días"),
        ("conteo", "41", "42", "41, no cumple la meta de 42"),
    ],
)
def test_a_verdict_shows_figures_that_differ(
    unit: str, value: str, target: str, spanish: str
) -> None:
    answer = copy.deepcopy(CONTENTS)
    answer["sections"][0]["targets"] = [
        {
            "column": "x",
            "label_es": "Cifra",
            "unit": unit,
            "value": Decimal(value),
            "target": Decimal(target),
            "is_missed": True,
        }
    ]
    [targets] = [one for one in page_of(answer, "es").lists if one.title == "Metas"]
    assert targets.lines == [f"✕ Cifra, 26 nov 2026: {spanish}"]
    assert "Cifra, 26 Nov 2026" in " ".join(
        line for one in page_of(answer, "en").lists for line in one.lines
    )


@pytest.mark.parametrize(
    ("has_row", "spanish", "english"),
    [
        (True, "— (sin casos en este período)", "— (no cases in this period)"),
        (False, "— (sin datos de este período)", "— (no data of this period)"),
    ],
)
def test_a_missing_figure_is_a_dash_with_the_reason(
    has_row: bool, spanish: str, english: str
) -> None:
    assert f"Solicitudes creadas: {spanish}" in plain(page(value=None, has_row=has_row))
    assert f"Requests created: {english}" in plain(page("en", value=None, has_row=has_row))
    words = Elements(in_html(page(value=None, has_row=has_row))).words
    assert spanish in words


def test_the_line_is_a_picture_and_numbers() -> None:
    html = in_html(page())
    assert "23 nov 2026 a 26 nov 2026: 50 · — · 60 · 55" in html
    # Of four days, one without a figure, so that two of three pieces are missing.
    assert html.count("<polyline") == 1
    points = re.findall(r'points="([\d.]+),([\d.]+) ([\d.]+),([\d.]+)"', html)
    assert [tuple(map(float, found)) for found in points] == [(158.7, 4.0, 236.0, 20.0)]
    assert "<svg" not in in_html(page(line=[None, None, 5]))
    assert "<svg" in in_html(page(line=[5, 5]))


def test_the_mail_has_three_kinds_of_parts() -> None:
    mail = delivered(page())
    assert mail.get_content_type() == "multipart/mixed"
    alternative, attached = mail.iter_parts()
    assert alternative.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in alternative.iter_parts()] == [
        "text/plain",
        "text/html",
    ]
    assert attached.get_filename() == "2026-11-26-mv_embudo_operativo.csv"
    assert attached.get_content_type() == "text/csv"
    assert attached.get_param("charset") == "utf-8"
    assert attached.get_payload(decode=True) == b"dia,n\r\n2026-11-26,55\r\n"
    assert mail["Subject"] == "TeLOO · 26 nov 2026 · 55 solicitudes"
    assert (mail["To"], mail["Auto-Submitted"]) == ("ana@example.com", "auto-generated")
    assert str(mail["Message-ID"]).startswith("<teloo-analytics.digest.1.")
    # No line is longer than mail servers take.
    sent = bytes(message_of(page(), "a@example.com", "b@example.com", "digest.1", NOW))
    assert max(map(len, sent.splitlines())) < 998


def nasty_places(answer: dict[str, Any]) -> None:
    """Put markup wherever the database has a text."""
    section = answer["sections"][0]
    section |= {"title_es": NASTY, "title_en": NASTY, "city": NASTY, "city_key": NASTY}
    section["figures"][0] |= {"label_es": NASTY, "label_en": NASTY, "column": "unknown"}
    section["targets"] = [
        {
            "column": "unknown",
            "label_es": NASTY,
            "label_en": NASTY,
            "unit": "conteo",
            "better": "up",
            "target": 1,
            "value": 1,
            "is_missed": False,
        }
    ]
    answer["notes"] = [
        {"day": "2026-11-26", "text": NASTY, "title_es": NASTY, "title_en": NASTY},
        {"day": "2026-11-26", "text": "x", "title_es": None, "title_en": None},
    ]
    answer["problems"] = [{"problem": "unknown", "in_short": NASTY}]
    answer["partial"] = [
        {"origen": NASTY, "since": None},
        {"origen": NASTY, "since": "2026-11-26 18:00"},
    ]


@pytest.mark.parametrize("language", ["es", "en"])
@pytest.mark.parametrize("is_of_cities", [False, True])
def test_nothing_in_the_data_is_markup(language: str, is_of_cities: bool) -> None:
    answer = copy.deepcopy(CONTENTS)
    plain_tags = Elements(in_html(page_of(answer, language))).tags
    nasty_places(answer)
    answer["is_of_cities"] = is_of_cities
    html = in_html(page_of(answer, language))
    seen = Elements(html)
    assert seen.tags - {"ul", "li"} == plain_tags - {"ul", "li"}
    assert "script" not in seen.tags | {name for name, _ in seen.attributes}
    assert "alert(1)" in seen.words
    assert seen.words.count(NASTY) >= (4 if is_of_cities else 7)
    assert {name for name, _ in seen.attributes} <= {
        "lang",
        "charset",
        "name",
        "content",
        "style",
        "role",
        "xmlns",
        "width",
        "height",
        "viewbox",
        "aria-label",
        "fill",
        "stroke",
        "stroke-width",
        "stroke-dasharray",
        "points",
        "cx",
        "cy",
        "r",
    }
    labels = [value for name, value in seen.attributes if name == "aria-label"]
    assert labels[:1] == [f"{NASTY}, {page(language).blocks[0].cards[0].line_name}"]


def test_a_mail_loads_nothing() -> None:
    html = in_html(page())
    assert re.findall(r"https?://[^\"]*", html) == ["http://www.w3.org/2000/svg"]
    for word in ("src=", "href=", "url(", "@import", "<link", "<script", "<img"):
        assert word not in html


def test_line_ends_in_the_data_make_no_header_and_no_line() -> None:
    answer = copy.deepcopy(CONTENTS)
    evil = "Cali\r\nBcc: eve@example.com\n\n\u202e<b>"
    answer["is_of_cities"] = True
    answer["sections"][0] |= {"city": evil, "city_key": "CALI", "title_es": evil}
    mail = delivered(page_of(answer, "es"))
    assert mail["Bcc"] is None
    assert "Cali Bcc: eve@example.com <b>" in " ".join(str(mail["Subject"]).split())
    body = mail.get_body(("plain",))
    assert body
    assert not [line for line in body.get_content().splitlines() if line.startswith("Bcc")]
    subject = new_message("a@b.co", "c@d.co", "x\r\nBcc: eve@example.com", "1", NOW)["Subject"]
    assert subject == "x  Bcc: eve@example.com"
    with pytest.raises(ValueError, match="linefeed"):
        delivered(page(), "ana@example.com\nBcc: eve@example.com")


def test_a_city_with_a_quote_an_accent_and_markup(filled: Database) -> None:
    filled.execute(
        f"UPDATE solicitudes SET ciudad_origen = $city${NASTY}$city$ WHERE id IN "
        "(SELECT id FROM solicitudes WHERE created_at BETWEEN '2026-11-10' AND '2026-11-20' "
        "ORDER BY id LIMIT 3)"
    )
    refresh(filled, "2026-11-25 11:00:00-05")
    answer = contents(filled, "daily", [NASTY.lower()])
    one = page_of(answer, "es")
    assert one.subject == (
        f"TeLOO · 24 nov 2026 · {NASTY[:60].strip()} · 3 solicitudes en nov 2026"
    )
    assert NASTY[:60] in Elements(in_html(one)).words
    assert "<script" not in in_html(one)


def test_many_cities_are_counted_in_the_subject(filled: Database) -> None:
    few = page_of(contents(filled, "daily", ["Cali", "Bogota"]), "es")
    assert few.subject == "TeLOO · 24 nov 2026 · BOGOTA, CALI · 24 solicitudes en nov 2026"
    many = page_of(contents(filled, "daily", ["Cali", "Bogota", "C", "D"]), "en")
    assert many.subject == "TeLOO · 24 Nov 2026 · 4 cities · 24 requests in Nov 2026"


@pytest.mark.parametrize("is_of_cities", [False, True])
def test_a_mail_says_what_its_figures_lack(is_of_cities: bool) -> None:
    answer = copy.deepcopy(CONTENTS) | {"is_of_cities": is_of_cities}
    assert ("al día" in plain(page_of(answer, "es"))) is not is_of_cities
    answer["partial"] = [
        {"origen": "cali", "since": None},
        {"origen": "medellin", "since": "2026-11-23 18:00"},
    ]
    said = plain(page_of(answer, "es"))
    assert "al día" not in said
    assert "faltan datos de cali" in said
    assert "faltan datos de medellin desde 23 nov 2026, 18:00" in said
    said = plain(page_of(answer, "en"))
    assert "data of medellin are missing since 23 Nov 2026, 18:00" in said

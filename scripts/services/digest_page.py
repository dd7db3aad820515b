"""What a digest says in a language: words in order, for plain text and for HTML alike."""

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from services import digest_format as form
from services.digest_texts import label, text
from services.mail import one_line

NAMED_CITIES = 3
LONGEST_CITY = 60
LONGEST_SUBJECT = 200


@dataclass(frozen=True)
class Change:
    """A figure beside an earlier one; ``verdict`` is better, worse or nothing."""

    words: str
    verdict: str


@dataclass(frozen=True)
class Card:
    """A figure with its differences and its line, oldest first."""

    label: str
    value: str
    why: str
    changes: list[Change]
    line: list[Decimal | None]
    line_name: str
    line_words: str
    is_incomplete: bool


@dataclass(frozen=True)
class Block:
    """A view in a period, or a city of it."""

    title: str
    cards: list[Card]


@dataclass(frozen=True)
class Lines:
    """A heading and what is below it."""

    title: str
    lines: list[str]


@dataclass(frozen=True)
class Page:
    """All of a digest."""

    language: str
    subject: str
    title: str
    blocks: list[Block]
    lists: list[Lines]
    footer: list[str]
    # Name and text.
    files: list[tuple[str, str]]


def parsed(contents: str) -> dict[str, Any]:
    """Return the answer of kpi_engine.digest_contents(), with exact numbers."""
    return dict(json.loads(contents, parse_float=Decimal))


def page_of(contents: dict[str, Any], language: str) -> Page:
    """Return what a digest says."""
    period = _period(contents, language)
    title = f"{text(language, contents['frequency'])} · {period}"
    lists = [Lines(text(language, "partial"), _partial(contents, language))]
    if not contents["is_of_cities"]:
        lists += [
            Lines(text(language, "targets"), _targets(contents, language)),
            Lines(text(language, "notes"), _notes(contents, language)),
            Lines(text(language, "problems"), _problems(contents, language)),
        ]
    footer = []
    if contents["refreshed_at"]:
        instant = _instant(contents["refreshed_at"], language)
        footer.append(text(language, "refreshed", instant=instant))
    return Page(
        language,
        one_line(_subject(contents, period, language))[:LONGEST_SUBJECT],
        title,
        [_block(section, language) for section in contents["sections"]],
        [one for one in lists if one.lines],
        [*footer, text(language, "attached"), text(language, "why.you")],
        [(f"{contents['period']}-{file['name']}.csv", file["text"]) for file in contents["csv"]],
    )


def _period(contents: dict[str, Any], language: str) -> str:
    grain = {"daily": "day", "weekly": "week", "monthly": "month"}[contents["frequency"]]
    return form.period(date.fromisoformat(contents["period"]), grain, language)


def _instant(local: str, language: str) -> str:
    return f"{form.day(date.fromisoformat(local[:10]), language)}, {local[11:]}"


def _subject(contents: dict[str, Any], period: str, language: str) -> str:
    sections = contents["sections"]
    counts = [section["figures"][0]["value"] for section in sections]
    # The first figure of the first view, of each city.
    known = [n for n in (counts if contents["is_of_cities"] else counts[:1]) if n is not None]
    total = sum(known) if known else None
    words = text(
        language,
        "requests.one" if total == 1 else "requests.many",
        n=form.figure(total, "conteo", language),
    )
    parts = ["TeLOO", period]
    if contents["is_of_cities"]:
        parts.append(
            text(language, "cities", n=len(sections))
            if len(sections) > NAMED_CITIES
            else ", ".join(_city(section) for section in sections)
        )
    main = sections[0]
    named = form.period(date.fromisoformat(main["period"]), main["grain"], language)
    if named != period:
        words += f" {text(language, 'in', period=named)}"
    return " · ".join([*parts, words])


def _city(section: dict[str, Any]) -> str:
    return " ".join(str(section["city"] or section["city_key"]).split())[:LONGEST_CITY]


def _block(section: dict[str, Any], language: str) -> Block:
    first_day = date.fromisoformat(section["period"])
    title = f"{section[f'title_{language}']} · {form.period(first_day, section['grain'], language)}"
    if section["city_key"] is not None:
        title = f"{_city(section)} · {title}"
    if section["is_incomplete"]:
        title += f" ({text(language, 'running')})"
    return Block(title, [_card(figure, section, language) for figure in section["figures"]])


def _card(figure: dict[str, Any], section: dict[str, Any], language: str) -> Card:
    why = ""
    if figure["value"] is None:
        why = text(language, "why.nothing" if figure["has_row"] else "why.no_row")
    line = figure["line"] or []
    periods = [date.fromisoformat(day) for day in section["periods"] or []]
    name = ""
    if periods:
        first, last = (
            form.period(day, section["grain"], language) for day in (periods[0], periods[-1])
        )
        name = text(language, "line", first=first, last=last)
    return Card(
        label(language, figure),
        form.figure(figure["value"], figure["unit"], language),
        why,
        [_change(figure, section, by, language) for by in ("previous", "year")],
        line,
        name,
        " · ".join(form.figure(value, figure["unit"], language) for value in line),
        section["is_incomplete"],
    )


def _change(figure: dict[str, Any], section: dict[str, Any], by: str, language: str) -> Change:
    before = form.earlier(date.fromisoformat(section["period"]), section["grain"], by)
    named = form.period(before, section["grain"], language)
    percent = figure[f"{by}_pct"]
    if percent is None:
        value = figure[by]
        return Change(
            text(
                language,
                "before.days" if section["is_incomplete"] else "before",
                period=named,
                value=f"{form.DASH} ({text(language, 'why.before')})"
                if value is None
                else form.figure(value, figure["unit"], language),
            ),
            "",
        )
    whole = "whole.week" if section["grain"] == "week" else "whole"
    than = text(language, "same_days" if section["is_incomplete"] else whole, period=named)
    change = form.change(percent, language)
    if change.startswith("=") or figure["better"] == "none":
        return Change(text(language, "change.plain", change=change, than=than), "")
    verdict = "better" if (percent > 0) == (figure["better"] == "up") else "worse"
    word = text(language, verdict)
    return Change(text(language, "change", change=change, word=word, than=than), verdict)


def _targets(contents: dict[str, Any], language: str) -> list[str]:
    lines = []
    for section in contents["sections"]:
        first_day = date.fromisoformat(section["period"])
        named = form.period(first_day, section["grain"], language)
        for target in section["targets"] or []:
            key = {True: "missed", False: "met", None: "open"}[target["is_missed"]]
            value, wanted = form.pair(target["value"], target["target"], target["unit"], language)
            lines.append(
                text(
                    language,
                    f"target.{key}",
                    label=f"{label(language, target)}, {named}",
                    value=value,
                    target=wanted,
                )
            )
    return lines


def _notes(contents: dict[str, Any], language: str) -> list[str]:
    return [
        f"{form.day(date.fromisoformat(note['day']), language)}: {note['text']}"
        + (f" ({title})" if (title := note.get(f"title_{language}")) else "")
        for note in contents["notes"] or []
    ]


def _partial(contents: dict[str, Any], language: str) -> list[str]:
    return [
        text(language, "partial.since", origen=one["origen"], instant=_instant(since, language))
        if (since := one["since"])
        else text(language, "partial.ever", origen=one["origen"])
        for one in contents["partial"] or []
    ]


def _problems(contents: dict[str, Any], language: str) -> list[str]:
    words = [
        (language == "es" and found.get("in_spanish")) or found["in_short"]
        for found in contents["problems"] or []
    ]
    if not words and not contents["partial"]:
        words = [text(language, "problems.none")]
    return ["; ".join(words)] if words else []

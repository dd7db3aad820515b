"""Numbers, money, times and days as people read them in Spanish (Colombia) and English.

As web/js/format.js does it. A number is a Decimal, an int or None.
"""

from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from services.digest_texts import text

DASH = "—"
DAY, HOUR, MINUTE = 86400, 3600, 60
# A target has no more decimals.
MOST_DIGITS = 6
Figure = Decimal | int


def number(value: Figure, language: str, digits: int = 0) -> str:
    """Return a number with so many digits after the point, half away from zero."""
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    shown = f"{abs(rounded):,.{digits}f}"
    if language == "es":
        shown = shown.translate(str.maketrans(",.", ".,"))
    return f"−{shown}" if rounded < 0 else shown


def figure(value: Figure | None, unit: str, language: str) -> str:
    """Return a value in its unit; an em dash where there is none."""
    if value is None:
        return DASH
    match unit:
        case "COP":
            shown = number(value, language)
            return f"−$ {shown[1:]}" if shown.startswith("−") else f"$ {shown}"
        case "segundos":
            return duration(value, language)
        case "pct":
            return f"{number(value, language, 1)} %"
        case "dias":
            return f"{digits_needed(value, language)} {plural('day', value, language)}"
        case "meses":
            return f"{digits_needed(value, language)} {plural('month', value, language)}"
        case "razon":
            return number(value, language, 2)
        case _:
            return number(value, language, 0 if value == int(value) else 2)


def digits_needed(value: Figure, language: str) -> str:
    """Return a number with one digit after the point, or none."""
    tenth = Decimal(value).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return number(value, language, 0 if tenth == int(tenth) else 1)


def plural(word: str, value: Figure, language: str) -> str:
    """Return the word for one or for many, by what digits_needed() shows."""
    is_one = digits_needed(value, language) == "1"
    return text(language, f"{word}.{'one' if is_one else 'many'}")


def spelled(seconds: Figure, step: Decimal, language: str) -> str:
    """Return a duration in all its units that are not 0, rounded to a step of seconds."""
    steps = (abs(Decimal(seconds)) / step).quantize(Decimal(1), ROUND_HALF_UP)
    days, rest = divmod(steps * step, Decimal(DAY))
    hours, rest = divmod(rest, Decimal(HOUR))
    minutes, rest = divmod(rest, Decimal(MINUTE))
    digits = max(0, -int(step.as_tuple().exponent))
    parts = []
    if days:
        parts.append(f"{number(days, language)} {plural('day', days, language)}")
    if hours:
        parts.append(f"{hours} h")
    if minutes:
        parts.append(f"{minutes} min")
    if rest or not parts:
        parts.append(f"{number(rest, language, digits)} s")
    return ("−" if seconds < 0 and steps else "") + " ".join(parts)


def duration(seconds: Figure, language: str) -> str:
    """Return a duration in its two largest units, rounded: 3 h 12 min, 2 días 4 h."""
    size = abs(Decimal(seconds))
    step = HOUR if size >= DAY else MINUTE if size >= HOUR else 1
    return spelled(seconds, Decimal(step), language)


def exact(value: Figure, unit: str, language: str, digits: int) -> str:
    """Return a value in its unit with so many decimals; a duration in all its units."""
    shown = number(value, language, digits)
    match unit:
        case "COP":
            return f"−$ {shown[1:]}" if shown.startswith("−") else f"$ {shown}"
        case "segundos":
            return spelled(value, Decimal(1).scaleb(-digits), language)
        case "pct":
            return f"{shown} %"
        case "dias":
            return f"{shown} {text(language, 'day.many')}"
        case "meses":
            return f"{shown} {text(language, 'month.many')}"
        case _:
            return shown


def pair(one: Figure | None, other: Figure | None, unit: str, language: str) -> tuple[str, str]:
    """Return two values beside each other.

    If they differ and would read the same, both have more detail.
    """
    shown = (figure(one, unit, language), figure(other, unit, language))
    if one is None or other is None:
        return shown
    for digits in range(0 if unit == "segundos" else 2, MOST_DIGITS + 1):
        if one == other or shown[0] != shown[1]:
            break
        shown = (exact(one, unit, language, digits), exact(other, unit, language, digits))
    return shown


def day(value: date, language: str) -> str:
    """Return a day: 26 nov 2026."""
    return f"{value.day} {month(value, language)}"


def month(value: date, language: str) -> str:
    """Return a month: nov 2026."""
    return f"{text(language, 'months').split()[value.month - 1]} {value.year}"


def period(first_day: date, grain: str, language: str) -> str:
    """Return a period by its first day."""
    if grain == "month":
        return month(first_day, language)
    if grain == "week":
        return text(language, "week", day=day(first_day, language))
    return day(first_day, language)


def earlier(first_day: date, grain: str, by: str) -> date:
    """Return the period before, or a year before, as kpi_engine.period_before() does."""
    if by == "previous":
        last = first_day - timedelta(days=7 if grain == "week" else 1)
        return last.replace(day=1) if grain == "month" else last
    if grain == "week":
        return first_day - timedelta(days=364)
    is_leap_day = (first_day.month, first_day.day) == (2, 29)
    return first_day.replace(year=first_day.year - 1, day=28 if is_leap_day else first_day.day)


def change(percent: Figure, language: str) -> str:
    """Return a difference with its direction: ▲ 8,2 %."""
    shown = number(abs(Decimal(percent)), language, 1)
    arrow = "=" if shown == number(0, language, 1) else "▲" if percent > 0 else "▼"
    return f"{arrow} {shown} %"

"""The parts of nginx.conf that follow from the list of product paths: a text for each @NAME@."""

import re
from collections.abc import Callable, Iterable, Sequence

from webapi.endpoints import (
    JSON,
    MOST_PARAMETERS,
    RENAMED,
    SEGMENT,
    Endpoint,
    checked,
    more_methods,
)
from webapi.http_errors import LONGEST_URL, MISSING, body, nginx_bodies

INDENT = " " * 8


def placeholders(endpoints: Sequence[Endpoint]) -> dict[str, str]:
    """Return the texts, by the names of their places. Raises UserError for a wrong entry."""
    checked(endpoints)
    names = {name: None for one in endpoints if not one.rest for name in one.query_names}
    named = [name for name in names if name != "format"]
    parts = range(1, MOST_PARAMETERS + 1)
    more = more_methods(endpoints)
    everything, endpoints = endpoints, [one for one in endpoints if one not in more]
    return {
        "METHODS": by_path(endpoints, lambda one: methods_of(one.path, everything)),
        "PARAMETERS": by_path(endpoints, parameters_of),
        "FUNCTIONS": by_path(endpoints, lambda one: one.function),
        "MORE_METHODS": by_method(more, lambda _: "1"),
        "MORE_PARAMETERS_OF": by_method(more, parameters_of),
        "MORE_FUNCTIONS": by_method(more, lambda one: one.function),
        "RESTS": by_path(endpoints, lambda one: one.rest),
        "MEDIA": by_path(endpoints, lambda one: one.media if one.media != JSON else ""),
        "ROWS": by_path(endpoints, lambda one: "1" if one.answers_rows else ""),
        "SEGMENTS": lines(
            f'"{pattern(one.path, f"(?<segment>{SEGMENT})")}" "{one.segment}=$segment&";'
            for one in endpoints
            if one.segment
        ),
        "GIVEN": "\n".join(given(name) for name in named),
        "ALL_GIVEN": "".join(f"$given_{name}" for name in named),
        "PARTS": "".join(f"&*+(?<part_{number}>[^&]*+)" for number in parts) + "&*+",
        "REST_OF_PARTS": "&".join(f"$rest=$part_{number}" for number in parts) + "&",
        "MOST_PARAMETERS": str(MOST_PARAMETERS),
        "MORE_PARAMETERS": str(MOST_PARAMETERS + 1),
        "CACHED": any_path(one for one in endpoints if one.cached),
        "FRESH": any_path(
            one for one in endpoints if not (one.cached or one.writes or one.media != JSON)
        ),
        "OTHER_MEDIA": any_path(one for one in endpoints if one.media != JSON),
        "WRITING": any_path(one for one in endpoints if one.writes),
        "PROBES": any_function(one for one in endpoints if one.is_probe),
        "WRITERS": any_function(one for one in everything if one.writes),
        "ERRORS": lines(f"{status} '{written}';" for status, written in nginx_bodies().items()),
        "MISSING": body(404, MISSING),
        "LONGEST_URL": str(LONGEST_URL),
    }


def lines(entries: Iterable[str]) -> str:
    """Return lines of a block of nginx.conf."""
    return "\n".join(f"{INDENT}{entry}" for entry in entries)


def pattern(path: str, segment: str = SEGMENT) -> str:
    r"""Return the regular expression that a path with a variable part matches.

    ``\z``, since ``$`` is before a line feed at the end, too.
    """
    return rf"~^{alternative(path, segment)}\z"


def alternative(path: str, segment: str = SEGMENT) -> str:
    """Return a path as a part of a regular expression."""
    return re.sub(r"\{\w+\}", lambda _: segment, path)


def by_path(endpoints: Iterable[Endpoint], value_of: Callable[[Endpoint], str]) -> str:
    """Return the lines of a map of paths, for those that have a value."""
    return lines(
        f'"{pattern(one.path) if one.segment else one.path}" "{value}";'
        for one in endpoints
        if (value := value_of(one))
    )


def by_method(endpoints: Iterable[Endpoint], value_of: Callable[[Endpoint], str]) -> str:
    """Return the lines of a map of methods and paths."""
    return lines(f'"{one.method} {one.path}" "{value_of(one)}";' for one in endpoints)


def methods_of(path: str, endpoints: Iterable[Endpoint]) -> str:
    """Return the methods of a path, as the header Allow has them."""
    return ", ".join(
        "GET, HEAD" if one.method == "GET" else one.method for one in endpoints if one.path == path
    )


def parameters_of(endpoint: Endpoint) -> str:
    """Return the parameters of a path as the gateway lists them in an error."""
    names = ", ".join(endpoint.query_names)
    return f"{names}{', ' if names else ''}and others" if endpoint.rest else names


def given(name: str) -> str:
    """Return the map of a parameter: as it came, by the function's name for it, or nothing."""
    return lines(
        (
            f"map $args $given_{name} {{",
            f'    "~(?:^|&){name}=(?<given>[^&]*)" "{RENAMED.get(name, name)}=$given&";',
            '    default "";',
            "}",
        )
    ).replace(INDENT, " " * 4)


def any_path(endpoints: Iterable[Endpoint]) -> str:
    """Return the regular expression of some paths."""
    return "|".join(alternative(one.path) for one in endpoints)


def any_function(endpoints: Iterable[Endpoint]) -> str:
    """Return the regular expression of some functions."""
    return "|".join({one.function: None for one in endpoints})

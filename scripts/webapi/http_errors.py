"""The errors of the product paths: what each status means, and the gateway's own words for it.

nginx.conf (the map ``$error_body``) and the OpenAPI document are both made from this table.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

# The gateway refuses a URL that is longer.
LONGEST_URL = 8000
# A variable of nginx.conf that holds JSON, with its quotes.
HINT_IN_JSON = "$problem_hint"


@dataclass(frozen=True)
class HttpError:
    """One status. Texts with ``$`` name variables of nginx.conf.

    ``example`` (code, message) is what OpenAPI shows where the gateway's own words are not the
    usual ones: the error comes from PostgREST or from SQL, or its message is a variable.
    """

    meaning: str
    message: str = ""
    details: str | None = None
    hint: str | None = None
    example: tuple[str, str] | None = None


# In place of the gateway's own 404 where the path is known, and its function is not.
MISSING = HttpError(
    "The database lacks what this path needs: make migrate.",
    "the database lacks what this path needs",
    hint="make migrate brings it to this version; make doctor says what is missing.",
)

ERRORS: Mapping[int, HttpError] = {
    400: HttpError(
        "A parameter is malformed, out of range, missing, unknown, repeated or not UTF-8.",
        "$problem_message",
        hint=HINT_IN_JSON,
        example=("TELOO400", "parameter limit must be a whole number from 1 to 60"),
    ),
    401: HttpError(
        "There is no token, or it has expired, has another signature, or names no role of the API.",
        "the token is not valid here: send Authorization: Bearer and a token that is",
        "$token_details",
        "$where_tokens_are",
        example=("PGRST301", "JWT expired"),
    ),
    403: HttpError(
        "The role of the token may not do this.",
        example=("42501", "permission denied for function refresh"),
    ),
    404: HttpError(
        MISSING.meaning,
        "there is nothing at this path",
        hint="See /openapi.json.",
        example=("TELOO404", MISSING.message),
    ),
    405: HttpError(
        "This path does not take this method.",
        "this path does not take that method",
        hint="It takes $methods.",
    ),
    409: HttpError(
        "A refresh is already running.", example=("TELOO409", "a refresh is already running")
    ),
    412: HttpError(
        "What the request takes for granted (If-Match, If-Unmodified-Since) does not hold.",
        "what the request takes for granted (If-Match, If-Unmodified-Since) does not hold",
    ),
    413: HttpError(
        "The body of the request is too large.",
        "the request body is too large",
        "At most 64 kB are taken.",
    ),
    414: HttpError(
        "The URL is too long.",
        "the URL is too long",
        f"At most {LONGEST_URL} characters are taken.",
    ),
    415: HttpError(
        "The body of the request is not JSON.",
        "a body must be JSON",
        hint="Content-Type: application/json",
    ),
    429: HttpError("Too many requests.", "too many requests", hint="Try again in a moment."),
    431: HttpError("The headers are too large.", "the request headers are too large"),
    500: HttpError(
        "The request failed in the API itself: the logs say why.",
        "the request failed in the API itself",
        hint="The logs of PostgREST, of the database and of nginx say why.",
    ),
    503: HttpError(
        "A view was never populated, or the database is down.",
        "the API is not there at the moment",
        hint="Try again in a moment.",
        example=("TELOO503", "view mv_ranking_asesores was never populated"),
    ),
    504: HttpError(
        "The database took too long.",
        "the database took too long to answer",
        hint="Try again; if it stays, look at what else the database is doing.",
    ),
}


def body(status: int, error: HttpError) -> str:
    """Return the gateway's answer with an error: JSON in PostgREST's shape."""
    members = {
        "code": f"TELOO{status}",
        "message": error.message,
        "details": error.details,
        "hint": error.hint,
    }
    written = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    return written.replace(f'"{HINT_IN_JSON}"', HINT_IN_JSON)


def nginx_bodies() -> dict[int, str]:
    """Return the bodies of the errors that nginx answers by itself, by status."""
    bodies = {status: body(status, error) for status, error in ERRORS.items() if error.message}
    # nginx's own 403 is for a folder; that of a role without the right comes from PostgREST.
    return dict(sorted({**bodies, 403: bodies[404]}.items()))

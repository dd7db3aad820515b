"""Short ways to write the JSON schemas of the API's parameters and answers, with examples."""

from typing import Any

JsonObject = dict[str, Any]


def value(kind: str, example: object, **more: object) -> JsonObject:
    """Return the schema of one value, with an example of it."""
    return {"type": kind, **more, "examples": [example]}


def text(example: str) -> JsonObject:
    """Return the schema of a text."""
    return value("string", example)


def one_of(*values: str) -> JsonObject:
    """Return the schema of a text that is one of a few."""
    return value("string", values[0], enum=list(values))


def count(example: int) -> JsonObject:
    """Return the schema of a number of things."""
    return value("integer", example)


def number(example: float) -> JsonObject:
    """Return the schema of a number."""
    return value("number", example)


def flag(example: bool) -> JsonObject:
    """Return the schema of a yes or no."""
    return value("boolean", example)


def instant(example: str) -> JsonObject:
    """Return the schema of an instant."""
    return value("string", example, format="date-time")


def nullable(schema: JsonObject, *, null_example: bool = False) -> JsonObject:
    """Return the schema of what may be null as well, which may be the example."""
    more = {"examples": [None]} if null_example else {}
    return {**schema, "type": [schema["type"], "null"], **more}


def record(**properties: JsonObject) -> JsonObject:
    """Return the schema of an object that has all these properties."""
    return {"type": "object", "required": list(properties), "properties": properties}


def rows(schema: JsonObject) -> JsonObject:
    """Return the schema of an array."""
    return {"type": "array", "items": schema}


def whole(least: int, greatest: int, default: int | None = None) -> JsonObject:
    """Return the schema of a parameter that is a whole number."""
    schema: JsonObject = {"type": "integer", "minimum": least, "maximum": greatest}
    return schema if default is None else {**schema, "default": default}


def parameter(
    name: str,
    description: str,
    schema: JsonObject,
    example: object,
    *,
    required: bool = False,
    place: str = "query",
) -> JsonObject:
    """Return a parameter of the query string, or of the path (``place``)."""
    return {
        "name": name,
        "in": place,
        "description": description,
        "required": required or place == "path",
        "schema": schema,
        "example": example,
    }


def example_of(schema: JsonObject, schemas: JsonObject) -> Any:
    """Return an example of a schema: what its parts give as theirs."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rsplit("/", 1)[1]], schemas)
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], schemas)
    if "examples" in schema:
        return schema["examples"][0]
    if "items" in schema:
        return [example_of(schema["items"], schemas)]
    return {name: example_of(part, schemas) for name, part in schema["properties"].items()}

"""All that an installation consists of, as the catalogs and its own tables say, without oids."""

import psycopg
from psycopg import sql

from conftest import Database

OURS = "('analytics', 'kpi_engine', 'api')"
# Kind, name, and everything that can be known of an object of the package.
CATALOG = f"""
WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname IN {OURS})

SELECT kind, name, concat_ws(' | ', VARIADIC definition) FROM (
    SELECT 'relation' AS kind, c.oid::regclass::text AS name, ARRAY[
        c.relkind::text, c.relpersistence::text, c.relowner::regrole::text, c.relacl::text,
        obj_description(c.oid, 'pg_class'), c.reloptions::text, c.relispopulated::text,
        CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
        CASE WHEN c.relkind = 'i' THEN pg_get_indexdef(c.oid) END
    ] AS definition
    FROM pg_class AS c WHERE c.relnamespace IN (SELECT oid FROM ours)
    UNION ALL
    SELECT 'column', a.attrelid::regclass || '.' || a.attname, ARRAY[
        format_type(a.atttypid, a.atttypmod), a.attnotnull::text, a.attidentity::text,
        a.attgenerated::text, a.attacl::text, col_description(a.attrelid, a.attnum),
        pg_get_expr(d.adbin, d.adrelid)
    ]
    FROM pg_attribute AS a
    INNER JOIN pg_class AS c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace IN (SELECT oid FROM ours) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text, ARRAY[
        CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END,
        (SELECT row(g.aggtransfn, g.aggfinalfn, g.aggtranstype)::text FROM pg_aggregate AS g
            WHERE g.aggfnoid = p.oid AND g.aggtransfn::oid < 16384 AND g.aggfinalfn::oid < 16384),
        p.proowner::regrole::text, p.proacl::text, obj_description(p.oid, 'pg_proc')
    ]
    FROM pg_proc AS p WHERE p.pronamespace IN (SELECT oid FROM ours)
    UNION ALL
    SELECT 'constraint', conrelid::regclass || '.' || conname, ARRAY[
        pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint')
    ]
    FROM pg_constraint WHERE connamespace IN (SELECT oid FROM ours)
    UNION ALL
    SELECT 'trigger', t.tgrelid::regclass || '.' || t.tgname, ARRAY[
        pg_get_triggerdef(t.oid), t.tgenabled::text, obj_description(t.oid, 'pg_trigger')
    ]
    FROM pg_trigger AS t WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'type', t.oid::regtype::text, ARRAY[
        t.typtype::text, t.typowner::regrole::text, t.typacl::text,
        obj_description(t.oid, 'pg_type'),
        format_type(t.typbasetype, t.typtypmod)
    ]
    FROM pg_type AS t WHERE t.typnamespace IN (SELECT oid FROM ours)
    UNION ALL
    SELECT 'schema', nspname, ARRAY[
        nspowner::regrole::text, nspacl::text, obj_description(oid, 'pg_namespace')
    ]
    FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)'
    UNION ALL
    SELECT 'source', c.oid::regclass::text, ARRAY[c.relowner::regrole::text, c.relacl::text]
    FROM pg_class AS c
    WHERE
        c.relkind IN ('r', 'p')
        AND c.relnamespace NOT IN (SELECT oid FROM ours)
        AND c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
    UNION ALL
    SELECT 'setting', setrole::regrole::text, ARRAY[setconfig::text]
    FROM pg_db_role_setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL
    SELECT 'right on the database', 'database', ARRAY[datacl::text]
    FROM pg_database WHERE datname = current_database()
    UNION ALL
    SELECT 'default right', concat_ws(
        ' ', defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype
    ), ARRAY[defaclacl::text]
    FROM pg_default_acl
) AS object ORDER BY 1, 2, 3
"""
# Times, durations, and numbers that differ between databases.
OF_THE_MOMENT = {
    "duration_ms", "database_identity", "source_binding", "source_values",
    "today",
}  # fmt: skip


def rows_of(connection: psycopg.Connection, table: str) -> list[str]:
    """Return the rows of a table of ours as text, without times and what is of the moment."""
    columns = [
        str(name)
        for (name,) in connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 "
            "AND NOT attisdropped AND atttypid <> 'timestamptz'::regtype ORDER BY attname",
            [table],
        )
        if name not in OF_THE_MOMENT
    ]
    query = sql.SQL("SELECT row_to_json(t)::text FROM (SELECT {} FROM {}) AS t ORDER BY 1").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(*table.split("."))
    )
    return [str(row) for (row,) in connection.execute(query)]


def contents(connection: psycopg.Connection) -> dict[str, str]:
    """Return everything of an installation: by kind and name, what it is."""
    connection.execute("SET LOCAL search_path = pg_catalog")
    found = {f"{kind} {name}": str(what) for kind, name, what in connection.execute(CATALOG)}
    tables = connection.execute(
        "SELECT format('%s.%s', nspname, relname) FROM pg_class "
        "INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        f"WHERE relkind IN ('r', 'p') AND nspname IN {OURS}"
    ).fetchall()
    for (table,) in tables:
        found[f"rows {table}"] = "\n".join(rows_of(connection, str(table)))
    return found


def installation(database: Database) -> dict[str, str]:
    """Return the same of a database, as others see it."""
    with database.connect(autocommit=False) as connection:
        return contents(connection)


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return what is not the same in two installations, a line each with the beginning of both."""
    return [
        f"{name}: {difference(one.get(name), other.get(name))}"
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]


def difference(one: str | None, other: str | None) -> str:
    """Return where two texts begin to differ."""
    if one is None or other is None:
        return "only in the " + ("second" if one is None else "first")
    place = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
    start = max(0, place - 60)
    return f"{one[start : place + 60]!r} against {other[start : place + 60]!r}"

"""The page of rights in docs/reference: which role may do what with which object.

The rights are the effective ones: through PUBLIC and through other roles, too. So a grant that
nobody meant is a line that changes in a review.
"""

from collections import defaultdict
from typing import Any

import psycopg

# The owner may do everything, and nobody is a member of it.
ROLES = (
    "public",
    "analytics_anon",
    "analytics_lector",
    "analytics_operador",
    "analytics_scheduler",
    "analytics_authenticator",
    "analytics_hub",
)
# One row for each object of the package, role and right that the role has; role and right are NULL
# for an object that only its owner may use. PUBLIC is no role that has_…_privilege() takes by
# name, so its rights come from the list of grants.
MATRIX = """
WITH objects AS (
    SELECT
        'schema' AS kind, nspname::text AS schema_name, nspname::text AS object_name, oid,
        coalesce(nspacl, acldefault('n', nspowner)) AS acl, ARRAY['USAGE', 'CREATE'] AS rights,
        false AS is_definer
    FROM pg_namespace
    WHERE nspname IN ('analytics', 'api', 'kpi_engine')
    UNION ALL
    SELECT
        CASE relkind
            WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'S' THEN 'sequence'
            WHEN 'm' THEN 'materialized view' ELSE 'view'
        END,
        relnamespace::regnamespace::text, relname::text, oid,
        coalesce(
            relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, relowner)),
        CASE relkind
            WHEN 'S' THEN ARRAY['USAGE', 'SELECT', 'UPDATE']
            ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']
        END,
        false
    FROM pg_class
    WHERE
        relnamespace IN (
            'analytics'::regnamespace, 'api'::regnamespace, 'kpi_engine'::regnamespace)
        AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        -- Derived tables have two sets, which take turns.
        AND relname !~ '_[ab](_|$)'
    UNION ALL
    SELECT
        CASE prokind WHEN 'p' THEN 'procedure' ELSE 'function' END,
        pronamespace::regnamespace::text,
        proname || '(' || pg_get_function_identity_arguments(oid) || ')', oid,
        coalesce(proacl, acldefault('f', proowner)), ARRAY['EXECUTE'], prosecdef
    FROM pg_proc
    WHERE pronamespace IN (
        'analytics'::regnamespace, 'api'::regnamespace, 'kpi_engine'::regnamespace)
    UNION ALL
    SELECT
        'type', typnamespace::regnamespace::text, typname::text, oid,
        coalesce(typacl, acldefault('T', typowner)), ARRAY['USAGE'], false
    FROM pg_type
    WHERE
        typnamespace IN (
            'analytics'::regnamespace, 'api'::regnamespace, 'kpi_engine'::regnamespace)
        AND typtype IN ('d', 'e', 'r', 'b') AND typelem = 0
)

SELECT
    objects.schema_name, objects.kind, objects.object_name, objects.is_definer, given.role,
    given.rights
FROM objects
LEFT JOIN LATERAL (
    SELECT role.name AS role, array_agg(wanted.name ORDER BY wanted.place) AS rights
    FROM unnest(%s::text[]) AS role (name)
    CROSS JOIN unnest(objects.rights) WITH ORDINALITY AS wanted (name, place)
    WHERE CASE
        WHEN role.name = 'public' THEN EXISTS (
            SELECT FROM aclexplode(objects.acl) AS entry
            WHERE entry.grantee = 0 AND entry.privilege_type = wanted.name
        )
        WHEN objects.kind = 'schema'
            THEN has_schema_privilege(role.name, objects.oid, wanted.name)
        WHEN objects.kind = 'sequence'
            THEN has_sequence_privilege(role.name, objects.oid, wanted.name)
        WHEN objects.kind IN ('function', 'procedure')
            THEN has_function_privilege(role.name, objects.oid, wanted.name)
        WHEN objects.kind = 'type'
            THEN has_type_privilege(role.name, objects.oid, wanted.name)
        WHEN wanted.name IN ('DELETE', 'TRUNCATE', 'TRIGGER')
            THEN has_table_privilege(role.name, objects.oid, wanted.name)
        -- The whole table, or some columns of it.
        ELSE has_any_column_privilege(role.name, objects.oid, wanted.name)
    END
    GROUP BY role.name
) AS given ON true
ORDER BY objects.schema_name, objects.kind, objects.object_name COLLATE "C", given.role
"""
MEMBERS = """
SELECT member.rolname::text, role.rolname::text
FROM pg_auth_members
INNER JOIN pg_roles AS role ON role.oid = pg_auth_members.roleid
INNER JOIN pg_roles AS member ON member.oid = pg_auth_members.member
WHERE role.rolname = ANY (%(roles)s) AND member.rolname = ANY (%(roles)s)
ORDER BY 1, 2
"""
SOURCE = """
SELECT relname::text, array_agg(wanted.name ORDER BY wanted.place)
FROM kpi_engine.installation
INNER JOIN pg_class
    ON relnamespace = installation.source_schema::regnamespace AND relkind IN ('r', 'p')
CROSS JOIN unnest(
    ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']
) WITH ORDINALITY AS wanted (name, place)
WHERE has_table_privilege('analytics_owner', pg_class.oid, wanted.name)
GROUP BY relname
ORDER BY relname
"""


def rights(connection: psycopg.Connection) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what each role may do: by schema and kind, then by object."""
    found: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for schema, kind, name, is_definer, role, given in connection.execute(
        MATRIX, [list(ROLES)]
    ).fetchall():
        one = found[schema, kind].setdefault(name, {"definer": is_definer, "roles": {}})
        if role:
            one["roles"][role] = given
    return found

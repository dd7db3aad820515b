"""Names what an uninstallation removes for good, and what it leaves."""

import shlex

import psycopg
from psycopg import sql

from database import cron
from database.prerequisites import (
    ENGINE_SCHEMA,
    OWNER,
    ROLES,
    SCHEMAS,
    acting_as,
    ask,
    database_name,
    scalar,
)

HISTORY = {
    "refresh_log": "the log of refreshes",
    "refresh_jobs": "background refreshes and daily slots",
    "audit_log": "what the self-audit found",
    "alerts": "alerts",
    "alert_outbox": "notices of alerts",
    "publications": "when each view was published",
    "published_rows": "what was published",
    "closings": "closed periods",
    "restatements": "changes of closed periods",
    "gate_acceptances": "what operators let pass the gate",
    "targets": "targets",
    "target_results": "which targets were missed",
    "notes": "notes",
    "digest_subscriptions": "who gets digests by mail",
    "digest_deliveries": "which digests were sent",
}
# The prefix of what make indexes builds.
INDEX_PREFIX = "teloo_analytics_"


def servers_of_sites(connection: psycopg.Connection) -> list[str]:
    """Return the foreign servers that a hub made for its sites and analytics_owner still owns."""
    with acting_as(connection):
        if scalar(connection, "SELECT to_regclass('kpi_engine.hub_sites')") is None:
            return []
        rows = connection.execute(
            "SELECT server_name FROM kpi_engine.hub_sites "
            "INNER JOIN pg_foreign_server ON srvname = server_name "
            "WHERE pg_get_userbyid(srvowner) = %s ORDER BY 1",
            [OWNER],
        ).fetchall()
    return [str(name) for (name,) in rows]


def lost_sites(connection: psycopg.Connection) -> list[str]:
    """Return the sites of a hub, each with what adds it again: but its password."""
    if scalar(connection, "SELECT to_regclass('kpi_engine.hub_sites')") is None:
        return []
    rows = connection.execute(
        """
        SELECT site, ARRAY(
            SELECT '--' || option_name || '=' || option_value
            FROM pg_options_to_table(srvoptions)
            WHERE option_name IN ('host', 'port', 'dbname', 'sslmode')
            UNION ALL
            SELECT '--user=' || option_value
            FROM pg_user_mappings CROSS JOIN pg_options_to_table(umoptions)
            WHERE
                srvid = pg_foreign_server.oid
                AND usename = 'analytics_owner'
                AND option_name = 'user'
        )
        FROM kpi_engine.hub_sites
        LEFT JOIN pg_foreign_server ON srvname = server_name
        ORDER BY site
        """
    ).fetchall()
    return [
        f"lost: site {site} of the hub; again: scripts/hub.py add {shlex.join([site, *options])}"
        for site, options in rows
    ]


def losses(connection: psycopg.Connection) -> list[str]:
    """Return what is lost for good, with the statements that set it again after a new migrate."""
    with acting_as(connection):
        lines = lost_history(connection) + lost_sites(connection)
        statements = changed_settings(connection) + foreign_grants(connection)
        schema = scalar(
            connection, "SELECT string_agg(source_schema, ',') FROM kpi_engine.sources()"
        )
    if schema == ENGINE_SCHEMA:
        lines.append("lost: this is a hub; again: make migrate HUB=1")
    elif schema not in (None, "public", "teloo"):
        lines.append(
            f"lost: the tables are bound in schema {schema}; again: SOURCE_SCHEMA={schema} "
            "make migrate"
        )
    if statements:
        lines.append(
            "lost: settings and rights that were changed; after a new migrate this sets them again:"
        )
        lines += [f"    {statement};" for statement in statements]
    return lines


def lost_history(connection: psycopg.Connection) -> list[str]:
    """Return the tables of history that have rows, and how to keep each."""
    lines = []
    for table, words in HISTORY.items():
        if scalar(connection, "SELECT to_regclass(%s)", f"{ENGINE_SCHEMA}.{table}") is None:
            continue
        count = scalar(
            connection,
            sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(ENGINE_SCHEMA, table)),
        )
        if count:
            lines.append(
                f"lost: {words}, {count} row(s); to keep them, before: "
                f"\\copy {ENGINE_SCHEMA}.{table} TO '{table}.csv' CSV HEADER"
            )
    return lines


def changed_settings(connection: psycopg.Connection) -> list[str]:
    """Return statements for the settings that are not as a new migrate would have them."""
    if scalar(connection, "SELECT to_regclass('kpi_engine.settings')") is None:
        return []
    defaults = {name: value for name, value, _ in ask(connection, "setting_defaults")}
    return [
        sql.SQL("SELECT analytics.set_setting({}, {})").format(name, value).as_string(connection)
        for name, value in connection.execute(
            "SELECT name, value FROM kpi_engine.settings ORDER BY name"
        ).fetchall()
        # allow_pinned_clock follows ENVIRONMENT at the next migrate.
        if defaults.get(name, value) != value and name != "allow_pinned_clock"
    ]


def foreign_grants(connection: psycopg.Connection) -> list[str]:
    """Return the rights of others on our objects, and members of our roles, as statements."""
    rights = connection.execute(
        """
        SELECT format(
            'GRANT %%s ON %%s TO %%s%%s',
            privilege,
            object,
            CASE grantee WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(grantee)) END,
            CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
        )
        FROM (
            SELECT
                CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE '' END
                || format('%%I.%%I', nspname, relname) AS object,
                granted.grantee,
                granted.privilege_type AS privilege,
                granted.is_grantable
            FROM pg_class
            INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace
            CROSS JOIN LATERAL aclexplode(relacl) AS granted
            WHERE nspname = ANY (%(schemas)s) AND relkind IN ('r', 'v', 'm', 'p', 'S')
            UNION ALL
            SELECT
                'SCHEMA ' || quote_ident(nspname),
                granted.grantee,
                granted.privilege_type,
                granted.is_grantable
            FROM pg_namespace
            CROSS JOIN LATERAL aclexplode(nspacl) AS granted
            WHERE nspname = ANY (%(schemas)s)
            UNION ALL
            SELECT
                'ROUTINE ' || pg_proc.oid::regprocedure,
                granted.grantee,
                granted.privilege_type,
                granted.is_grantable
            FROM pg_proc
            INNER JOIN pg_namespace ON pg_namespace.oid = pronamespace
            CROSS JOIN LATERAL aclexplode(proacl) AS granted
            WHERE nspname = ANY (%(schemas)s)
        ) AS granted
        WHERE
            (grantee = 0 OR pg_get_userbyid(grantee) <> ALL (%(roles)s))
            AND pg_get_userbyid(grantee) <> session_user
        ORDER BY 1
        """,
        {"schemas": list(SCHEMAS), "roles": list(ROLES)},
    ).fetchall()
    members = connection.execute(
        "SELECT format('GRANT %%I TO %%I', granted.rolname, member.rolname) FROM pg_auth_members "
        "INNER JOIN pg_roles AS granted ON granted.oid = pg_auth_members.roleid "
        "INNER JOIN pg_roles AS member ON member.oid = pg_auth_members.member "
        "WHERE granted.rolname = ANY (%s) AND member.rolname <> ALL (%s) "
        "AND member.rolname <> session_user ORDER BY 1",
        [[role for role in ROLES if role != OWNER], list(ROLES)],
    ).fetchall()
    return [str(row[0]) for row in rights + members]


def leftovers(connection: psycopg.Connection) -> list[str]:
    """Return what stays, in this database or another one, with the statement that removes it."""
    indexes = connection.execute(
        "SELECT format('%%I.%%I', nspname, relname) FROM pg_class "
        "INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE relkind IN ('i', 'I') AND starts_with(relname, %s) ORDER BY 1",
        [INDEX_PREFIX],
    ).fetchall()
    lines = [
        f"index {name}, built by make indexes: DROP INDEX CONCURRENTLY {name};"
        for (name,) in indexes
    ]
    with acting_as(connection):
        is_hub = scalar(
            connection,
            "SELECT true FROM kpi_engine.installation WHERE to_jsonb(installation) "
            "->> 'source_schema' = %s",
            ENGINE_SCHEMA,
        )
    if is_hub and scalar(connection, "SELECT true FROM pg_extension WHERE extname = 'dblink'"):
        lines.append("extension dblink, if nobody else needs it: DROP EXTENSION dblink;")
    home = cron.cron_database(connection)
    here = database_name(connection)
    if home != here and not cron.has_extension(connection):
        trimming = f"teloo-analytics history: {here}"
        removal = sql.SQL(
            "DELETE FROM cron.job_run_details WHERE {runs} "
            "OR jobid IN (SELECT jobid FROM cron.job WHERE jobname = {trimming}); "
            "SELECT cron.unschedule(jobid) FROM cron.job WHERE database = {here} "
            "AND command = ANY ({commands}) OR jobname = {trimming}"
        ).format(
            runs=cron.runs_of(connection, []),
            trimming=trimming,
            here=here,
            commands=list(cron.JOBS.values()),
        )
        lines.append(
            f"jobs of pg_cron and their runs in database {home or 'that pg_cron lives in'}, where "
            "somebody made them for this one: have a superuser run there: "
            f"{removal.as_string(connection)};"
        )
    return lines

"""Brings a database to the current version of teloo-analytics, in one transaction."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from commandline.console import (
    LOGGER,
    Parser,
    UserError,
    database_url,
    environment,
    report,
    run_tool,
    set_up_logging,
)
from database import capture, cron, hub, locks, prerequisites
from database.prerequisites import (
    ENGINE_SCHEMA,
    MIGRATE_LOCK,
    OWNER,
    SCHEMA,
    SCHEMAS,
    acting_as,
    scalar,
)
from database.sql_files import (
    KPI_VIEW_PREFIX,
    SQL_DIRECTORY,
    SqlFile,
    contract_tables,
    dependency_order,
    load_migrations,
    load_objects,
    made_by,
    providers,
    rules_of,
    rules_of_views,
    split_name,
)
from database.version import package_version, version_key

STAGING = "analytics_staging"
REPLACED = "analytics_replaced"
SOURCE_VIEW_PREFIX = f"{ENGINE_SCHEMA}.src_"
# What a column of the contract may be: see source_view_definitions.sql.
VALUE_KINDS = (
    "uuid",
    "text",
    "integer",
    "numeric",
    "boolean",
    "instant",
    "instant as stored",
    "day",
)
SWAP_LOCK_TIMEOUT = "50ms"
SWAP_PATIENCE_SECONDS = 60.0

# What CREATE OR REPLACE answers when it can't replace: another result type, other columns,
# a view that was a materialized one.
CANNOT_REPLACE = (
    psycopg.errors.InvalidFunctionDefinition,
    psycopg.errors.InvalidTableDefinition,
    psycopg.errors.WrongObjectType,
)
# Two databases of one cluster being migrated at the same moment share the roles.
WORTH_ANOTHER_TRY = (
    psycopg.errors.DuplicateObject,
    psycopg.errors.UniqueViolation,
    psycopg.errors.InternalError_,
    psycopg.errors.DeadlockDetected,
)
# What a refresh reads and writes.
RELATION_KINDS = ("view", "materialized view")
TRIES = 5
CAPTURE_CURE = (
    "Until then each refresh computes everything again. Run make migrate again. Or, as the owner "
    "of the operational tables: CALL analytics.apply_change_capture();"
)
ZERO_CURE = "Write nullif(…, 0) around the divisor, or kpi_engine.percentage(part, whole)."


class HinderedError(UserError):
    """A file failed as it may because of another session: the next try may succeed."""


@contextmanager
def told_by_the_gate(cure: str | None = None) -> Iterator[None]:
    """Raise UserError where the gate or the breaker refuses, with this cure or with its own."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate != "TA001":
            raise
        raise UserError(
            f"{error.diag.message_primary}; nothing was changed",
            f"{cure or error.diag.message_hint} See docs/runbook.md, gate.",
        ) from error


def quoted_name(name: object) -> str:
    """Return a name as an identifier for a function that reads one, such as to_regnamespace()."""
    return '"' + str(name).replace('"', '""') + '"'


def quoted(object_name: str) -> str:
    """Return the name of a relation, as ``SqlFile.object_name`` has it, for a statement."""
    schema, name = split_name(object_name)
    return f'{schema}."{name}"'


def failed(item: SqlFile, error: psycopg.Error) -> UserError:
    """Return what a user is shown when the statements of a file fail."""
    return UserError(
        f"{item.label} failed; nothing was changed: {error.diag.message_primary} "
        f"(SQLSTATE {error.sqlstate})",
        ZERO_CURE if error.sqlstate == "22012" else prerequisites.details(error),
    )


def source_view(view_name: str, definition: str) -> SqlFile:
    """Return the generated text of a src_ view as an object to apply."""
    name = f"{ENGINE_SCHEMA}.{view_name}"
    return SqlFile(name=name, kind="source view", sql=definition, object_name=name)


def source_schemas(names: str | None) -> list[str]:
    """Return the schemas that SOURCE_SCHEMA names, such as ``bogota,medellin``, each once."""
    schemas = [name.strip() for name in (names or "").split(",") if name.strip()]
    if len(set(schemas)) < len(schemas):
        raise UserError(
            f"SOURCE_SCHEMA names a schema twice: {names}; nothing was changed",
            "Name each schema of operational tables once: SOURCE_SCHEMA=bogota,medellin",
        )
    return schemas


class Migration:
    """One run of migrate over one connection, inside its transaction."""

    def __init__(
        self,
        connection: psycopg.Connection,
        *,
        dry_run: bool = False,
        source_schema: str | None = None,
        directory: Path = SQL_DIRECTORY,
        hub: bool = False,
    ) -> None:
        self.connection = connection
        self.dry_run = dry_run
        # The source of a hub are empty tables of the engine's own.
        self.source_schema = ENGINE_SCHEMA if hub else source_schema
        self.migrations = load_migrations(directory)
        self.objects = load_objects(directory)
        self.changes: list[str] = []
        # By name: kind, checksum of the code, checksum of the text, file.
        self.ledger: dict[str, tuple[str, str, str, str]] = {}
        # By derived table: the object that declares it.
        self.declared = providers(self.objects)
        # By name; read once.
        self.functions: dict[str, dict[str, str]] | None = None
        # Created since.
        self.unread_functions: set[str] = set()
        # Rows of the ledger that are written all at once.
        self.unwritten: list[dict[str, object]] = []
        # Everything that an object reads, directly or not.
        self.needs: dict[str, set[str]] = {}
        self.staged: list[SqlFile] = []
        # Plain views that read what was built aside.
        self.followers: list[SqlFile] = []
        # What was moved out of the way: its names, and how to drop it at the end.
        self.names_set_aside: set[str] = set()
        self.replaced: list[tuple[str, str]] = []
        self.changed_functions: list[str] = []
        # src_ views that read another table or column than the one that has the name now.
        self.moved: set[str] = set()
        # By name; read once.
        self.described: dict[str, int] | None = None
        self.migrator = ""

    # -- what there is ---------------------------------------------------------------------

    def read_ledger(self) -> None:
        """Read what was applied; refuse a ledger that these files do not continue."""
        if scalar(self.connection, "SELECT to_regclass('kpi_engine.migration_ledger') IS NULL"):
            return
        prerequisites.refuse_hollow(self.connection)
        # Older versions have no such column.
        installed = scalar(
            self.connection,
            "SELECT to_jsonb(installation) ->> 'version' FROM kpi_engine.installation",
        )
        if installed and version_key(str(installed)) > version_key(package_version()):
            raise UserError(
                f"the database has teloo-analytics {installed}, these files are the older "
                f"{package_version()}; nothing was changed",
                f"Take version {installed} of teloo-analytics, or a newer one.",
            )
        rows = self.connection.execute(
            "SELECT name, kind, checksum, text_checksum, file FROM kpi_engine.migration_ledger"
        ).fetchall()
        self.ledger = {row[0]: row[1:] for row in rows}
        here = {migration.name: migration for migration in self.migrations}
        applied = sorted(name for name, (kind, *_) in self.ledger.items() if kind == "migration")
        for name in applied:
            if name not in here:
                raise UserError(
                    f"the database is newer than these files: sql/{name} was applied and is "
                    "not here",
                    "Take the version of teloo-analytics that has it, or a newer one.",
                )
            if here[name].checksum != self.ledger[name][1]:
                raise UserError(
                    f"sql/{name} was edited after it was applied; nothing was changed",
                    "Put it back as it was (git checkout) and write a new migration instead.",
                )
        self.refuse_lost_tables(applied)
        for migration in self.pending_migrations():
            if applied and migration.name < applied[-1]:
                raise UserError(
                    f"sql/{migration.name} is new, but comes before sql/{applied[-1]}, which "
                    "was applied; nothing was changed",
                    "Give the new migration the next number.",
                )

    def refuse_lost_tables(self, applied: list[str]) -> None:
        """Stop where something is gone that a migration made: none runs a second time."""
        lost = [
            name
            for (name,) in self.connection.execute(
                "SELECT name FROM unnest(%s::text[]) AS name "
                "WHERE to_regclass(name) IS NULL AND to_regtype(name) IS NULL",
                [made_by(item for item in self.migrations if item.name in applied)],
            ).fetchall()
        ]
        if lost:
            raise UserError(
                f"{', '.join(lost)} {'is' if len(lost) == 1 else 'are'} gone, and make migrate "
                "can't make it again: a migration runs once; nothing was changed",
                "Restore the database from a backup. Or take all away and install anew, which "
                "loses the history of the KPIs: make uninstall; make migrate; then "
                "SELECT * FROM refresh_all_mv();",
            )

    def pending_migrations(self) -> list[SqlFile]:
        """Return the migrations that were not applied yet."""
        return [migration for migration in self.migrations if migration.name not in self.ledger]

    def changes_relations(self) -> bool:
        """Tell whether tables or views will be made, changed or dropped.

        Of a hub only what migrations do is known before its objects are.
        """
        wanted = {item.name: item.checksum for item in self.objects if item.kind in RELATION_KINDS}
        known = {
            name: checksum
            for name, (kind, checksum, *_) in self.ledger.items()
            if kind in RELATION_KINDS
        }
        return bool(self.pending_migrations()) or (not self.is_hub() and wanted != known)

    def makes_tables(self) -> bool:
        """Tell whether tables or columns may be made: by migrations, or by declared tables."""
        return bool(self.pending_migrations()) or any(
            item.derived_table and self.ledger.get(item.name, ())[:2] != (item.kind, item.checksum)
            for item in self.objects
        )

    def is_pending(self, item: SqlFile) -> bool:
        """Tell whether an object has to be applied: new, changed, forced or gone."""
        if item.references() & self.names_set_aside or item.name in self.moved:
            return True
        if self.ledger.get(item.name, ())[:2] != (item.kind, item.checksum):
            return True
        find = self.function_identities if item.kind == "function" else self.relation_kind
        if not find(item.object_name):
            return True
        if item.derived_table and not self.relation_kind(f"kpi_engine.{item.derived_table}"):
            return True
        indexes = item.index_names()
        return bool(indexes) and bool(
            scalar(
                self.connection,
                "SELECT true FROM unnest(%s::text[]) AS name "
                "WHERE to_regclass(format('analytics.%%I', name)) IS NULL LIMIT 1",
                indexes,
            )
        )

    def pending(self) -> list[SqlFile]:
        """Return what the next run applies, without the src_ views."""
        if self.is_hub() and all(
            self.relation_kind(template.object_name) for template in hub.templates(self.objects)
        ):
            self.objects = hub.objects_of_hub(self.connection, self.objects)
        return self.pending_migrations() + [
            item for item in [*self.objects, *self.api_views()] if self.is_pending(item)
        ]

    def removed(self) -> list[str]:
        """Return what was applied and has no file any more, by the file that it had."""
        here = {item.name for item in [*self.migrations, *self.objects]}
        here |= {f"api.{item.name}" for item in self.kpi_views()}
        return [
            file or name
            for name, (kind, _, _, file) in self.ledger.items()
            if kind != "source view" and name not in here
        ]

    def kpi_views(self) -> list[SqlFile]:
        """Return the files of the KPI views."""
        return [
            item
            for item in self.objects
            if item.kind == "materialized view" and item.name.startswith(KPI_VIEW_PREFIX)
        ]

    def api_views(self) -> list[SqlFile]:
        """Write the view of schema api for each KPI view that is in its place."""
        names = [item.name for item in self.kpi_views() if item not in self.staged]
        if scalar(
            self.connection, "SELECT to_regprocedure('kpi_engine.kpi_api_view(regclass)') IS NULL"
        ):
            return []
        rows = self.connection.execute(
            "SELECT relname, kpi_engine.kpi_api_view(oid) FROM pg_class WHERE relkind = 'm' "
            "AND relnamespace = %s::regnamespace AND relname = ANY (%s) ORDER BY relname",
            [SCHEMA, names],
        ).fetchall()
        return [
            SqlFile(name=f"api.{name}", kind="api view", sql=text, object_name=f"api.{name}")
            for name, text in rows
        ]

    def say(self, message: str, *values: object) -> None:
        """Log what was done; nothing in a dry run, which does it only to roll it back."""
        if not self.dry_run:
            LOGGER.info(message, *values)

    # -- applying --------------------------------------------------------------------------

    def record(self, item: SqlFile, started: float) -> None:
        """Write the ledger row of a file that was just applied."""
        verb = "changed" if item.name in self.ledger else "applied"
        self.write_ledger(item, (time.monotonic() - started) * 1000)
        self.changes.append(f"{verb} {item.label}")
        self.say("%s %s (%.0f ms)", verb, item.label, (time.monotonic() - started) * 1000)

    def write_ledger(self, item: SqlFile, milliseconds: float | None = None) -> None:
        """Note the ledger row of a file; without a time, where its code was not applied."""
        self.unwritten.append(
            {
                "name": item.name,
                "kind": item.kind,
                "version": item.version,
                "file": item.file,
                "checksum": item.checksum,
                "text_checksum": item.text_checksum,
                "milliseconds": milliseconds,
            }
        )
        self.ledger[item.name] = (item.kind, item.checksum, item.text_checksum, item.file)

    def flush_ledger(self) -> None:
        """Write the ledger rows that were noted."""
        if not self.unwritten:
            return
        self.connection.cursor().executemany(
            """
            INSERT INTO kpi_engine.migration_ledger AS ledger
                (name, kind, version, file, checksum, text_checksum, duration_ms)
            VALUES (
                %(name)s, %(kind)s, %(version)s, %(file)s, %(checksum)s, %(text_checksum)s,
                round(%(milliseconds)s::numeric, 3)
            )
            ON CONFLICT (name) DO UPDATE SET
                kind = excluded.kind,
                file = excluded.file,
                checksum = excluded.checksum,
                text_checksum = excluded.text_checksum,
                duration_ms = coalesce(excluded.duration_ms, ledger.duration_ms),
                applied_by = excluded.applied_by,
                applied_at = excluded.applied_at
            """,
            self.unwritten,
        )
        self.unwritten = []

    def write_rules(self) -> None:
        """Write which objects decide what is in each derived table."""
        rows = [(table, rule) for table, rules in rules_of(self.objects).items() for rule in rules]
        self.connection.execute(
            """
            WITH wanted AS (
                SELECT * FROM unnest(%s::text[], %s::text[]) AS listed (table_name, rule_name)
            ),

            gone AS (
                DELETE FROM kpi_engine.derived_rules AS known
                WHERE NOT EXISTS (
                    SELECT FROM wanted
                    WHERE
                        wanted.table_name = known.table_name
                        AND wanted.rule_name = known.rule_name
                )
            )

            INSERT INTO kpi_engine.derived_rules (table_name, rule_name)
            SELECT wanted.table_name, wanted.rule_name FROM wanted
            ON CONFLICT DO NOTHING
            """,
            [[table for table, _ in rows], [rule for _, rule in rows]],
        )

    def note_text(self, item: SqlFile, *, comment: bool = False) -> None:
        """Take over what is no code: a reworded comment, a file that moved.

        With ``comment``, comments are made again even where they are the same.
        """
        _, _, text_checksum, file = self.ledger[item.name]
        if comment or text_checksum != item.text_checksum:
            with self.connection.transaction():
                self.connection.execute(f"SET LOCAL search_path = {SCHEMA}, pg_catalog, pg_temp")
                self.forget_comments(item)
                for statement in item.comments():
                    self.comment(item, statement)
                if item.derived_table:
                    self.connection.execute(
                        "SELECT kpi_engine.comment_derived_table(%s)", [item.derived_table]
                    )
                self.connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
            self.changes.append(f"reworded {item.label}")
            self.say("reworded %s", item.label)
        elif file == item.file:
            return
        self.write_ledger(item)

    def lacks_comments(self, item: SqlFile) -> bool:
        """Tell whether an object has fewer comments than its file gives it.

        A restore may leave them out (pg_restore --no-comments). The catalogue and the gate read
        those of the KPI views.
        """
        if self.described is None:
            rows = self.connection.execute(
                """
                SELECT
                    CASE WHEN nspname <> %s THEN nspname || '.' ELSE '' END || object.name,
                    count(*)
                FROM (
                    SELECT 'pg_class'::regclass, oid, relnamespace, relname FROM pg_class
                    UNION ALL
                    SELECT 'pg_proc'::regclass, oid, pronamespace, proname FROM pg_proc
                ) AS object (classoid, objoid, namespace, name)
                INNER JOIN pg_namespace ON pg_namespace.oid = namespace
                INNER JOIN pg_description USING (classoid, objoid)
                WHERE nspname = ANY (%s)
                GROUP BY 1
                """,
                [SCHEMA, list(SCHEMAS)],
            ).fetchall()
            self.described = dict(rows)
        given = [text for text in item.comments() if not text.startswith("COMMENT ON TRIGGER ")]
        return self.described.get(item.object_name, 0) < len(given)

    def forget_comments(self, item: SqlFile) -> None:
        """Take the comments of an object away: its file says again what it still says."""
        if item.kind == "migration":
            return
        if item.kind == "function":
            statements = [
                f"COMMENT ON ROUTINE {identity} IS NULL"
                for identity in self.function_identities(item.object_name)
            ]
        else:
            name = quoted(item.object_name)
            columns = self.connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) "
                "AND attnum > 0 AND NOT attisdropped "
                "AND col_description(attrelid, attnum) IS NOT NULL",
                [name],
            ).fetchall()
            kind = self.relation_kind(item.object_name)
            statements = [f"COMMENT ON {kind} {name} IS NULL"] if kind else []
            statements += [
                f"COMMENT ON COLUMN {name}.{quoted_name(str(column))} IS NULL"
                for (column,) in columns
            ]
        for statement in statements:
            self.connection.execute(statement.encode())

    def comment(self, item: SqlFile, statement: str) -> None:
        """Run a COMMENT statement; what a later migration took away has no comment any more."""
        try:
            with self.connection.transaction():
                self.connection.execute(statement.encode())
        except (
            psycopg.errors.UndefinedObject,
            psycopg.errors.UndefinedTable,
            psycopg.errors.UndefinedColumn,
            psycopg.errors.UndefinedFunction,
        ):
            if item.kind != "migration":
                raise

    def execute_file(self, item: SqlFile, *, replaces: bool = False) -> None:
        """Run the statements of a file; name the file when one fails.

        With ``replaces``, the caller can move what can't be replaced out of the way.
        """
        try:
            self.connection.execute(item.sql)
        except psycopg.Error as error:
            if replaces and isinstance(error, CANNOT_REPLACE):
                raise
            told = failed(item, error)
            if isinstance(error, WORTH_ANOTHER_TRY):
                raise HinderedError(str(told), told.hint) from error
            raise told from error

    def apply_migrations(self) -> None:
        """Run the versioned files that were not run yet."""
        # Or none is there any more.
        reworded = bool(self.ledger) and bool(
            scalar(
                self.connection,
                "SELECT obj_description(to_regnamespace(%s), 'pg_namespace') IS NULL",
                ENGINE_SCHEMA,
            )
        )
        if self.makes_tables():
            prerequisites.refuse_broad_publications(self.connection)
        for migration in self.migrations:
            if migration.name not in self.ledger:
                started = time.monotonic()
                self.execute_file(migration)
                self.record(migration, started)
            elif reworded or self.ledger[migration.name][2] != migration.text_checksum:
                # A later one may have given the same thing another comment.
                reworded = True
                self.note_text(migration, comment=True)

    def add_settings(self) -> None:
        """Insert the settings that are not there yet, with their defaults."""
        defaults = prerequisites.query("setting_defaults")
        missing = self.connection.execute(
            sql.SQL(
                "SELECT name FROM ({}) AS setting (name) "
                "WHERE name NOT IN (SELECT settings.name FROM kpi_engine.settings)"
            ).format(defaults)
        ).fetchall()
        if not missing:
            return
        # The validation that an earlier version left does not know a new setting yet.
        is_validated = scalar(
            self.connection,
            "SELECT true FROM pg_trigger WHERE tgname = 'validate_setting' "
            "AND tgrelid = 'kpi_engine.settings'::regclass",
        )
        if is_validated:
            self.connection.execute(
                "ALTER TABLE kpi_engine.settings DISABLE TRIGGER validate_setting"
            )
        self.connection.execute(
            sql.SQL(
                "INSERT INTO kpi_engine.settings (name, value, description) {} "
                "ON CONFLICT (name) DO NOTHING"
            ).format(defaults)
        )
        if is_validated:
            self.connection.execute(
                "ALTER TABLE kpi_engine.settings ENABLE TRIGGER validate_setting"
            )
        self.changes.append(f"added {len(missing)} setting(s)")
        self.say("added settings: %s", ", ".join(name for (name,) in missing))

    def make_schema(self, name: str) -> None:
        """Create a schema of this transaction's own: only the migrating role may."""
        with acting_as(self.connection, self.migrator):
            prerequisites.meet(
                self.connection,
                [prerequisites.create_requirement(self.connection)],
                "building views aside",
            )
            self.connection.execute(
                sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(
                    sql.Identifier(name), sql.Identifier(OWNER)
                )
            )

    def set_aside(self, kind: str, identity: str, name: str) -> None:
        """Move an object that can't be replaced out of the way, until nothing reads it.

        What reads it is applied again, and so reads the new one; then it is dropped.
        """
        # A KPI view and its view of schema api have the same name.
        schema, _, rest = identity.partition(".")
        aside = REPLACED if schema == SCHEMA else f"{REPLACED}_{schema}"
        if aside not in {known for known, _ in self.replaced}:
            self.make_schema(aside)
        self.connection.execute(f"ALTER {kind} {identity} SET SCHEMA {aside}")
        self.replaced.append((aside, f"{kind} {aside}.{rest}"))
        self.names_set_aside.add(name)

    def function_identities(self, name: str) -> dict[str, str]:
        """Return the functions, procedures and aggregates of a name: identity and row version."""
        if self.functions is None:
            self.functions = self.read_functions()
        if name in self.unread_functions:
            return self.functions_now(name)
        return self.functions.get(name, {})

    def functions_now(self, name: str) -> dict[str, str]:
        """Read the functions of a name anew, after a statement that changed them."""
        known = self.read_functions(name).get(name, {})
        self.unread_functions.discard(name)
        if self.functions is not None:
            self.functions[name] = known
        return known

    def read_functions(self, name: str | None = None) -> dict[str, dict[str, str]]:
        """Read the functions of our schemas, or those of one name."""
        schema, function = split_name(name) if name else (None, None)
        rows = self.connection.execute(
            """
            SELECT
                nspname,
                proname,
                format(
                    '%%I.%%I(%%s)', nspname, proname,
                    pg_get_function_identity_arguments(pg_proc.oid)
                ),
                pg_proc.xmin::text
            FROM pg_proc
            INNER JOIN pg_namespace ON pg_namespace.oid = pronamespace
            WHERE
                nspname = ANY (%s)
                AND (%s::text IS NULL OR proname = %s)
            """,
            [[schema] if schema else list(SCHEMAS), function, function],
        ).fetchall()
        found: dict[str, dict[str, str]] = {}
        for its_schema, its_name, identity, row_version in rows:
            key = its_name if its_schema == SCHEMA else f"{its_schema}.{its_name}"
            found.setdefault(key, {})[identity] = row_version
        return found

    def relation_kind(self, name: str) -> str | None:
        """Return what kind of view there is under a name: MATERIALIZED VIEW, VIEW or None."""
        kind = scalar(
            self.connection,
            "SELECT CASE relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END FROM pg_class "
            "WHERE relnamespace = to_regnamespace(%s) AND relname = %s",
            *split_name(name),
        )
        return None if kind is None else str(kind)

    def withdraw_grants(self, identity: str) -> None:
        """Take the rights of our roles away: the file grants again what it still grants."""
        others = ", ".join(role for role in prerequisites.ROLES if role != OWNER)
        self.connection.execute(f"REVOKE ALL ON {identity} FROM {others}")

    def apply_function(self, item: SqlFile) -> None:
        """Create or replace a function; other functions of its name are taken away."""
        name = item.object_name
        before = self.function_identities(name)
        if not before:
            self.execute_file(item)
            self.unread_functions.add(name)
            return
        for identity in before:
            self.withdraw_grants(f"ROUTINE {identity}")
        self.forget_comments(item)
        before = self.functions_now(name)
        try:
            with self.connection.transaction():
                self.execute_file(item, replaces=True)
            self.changed_functions.append(name)
        except CANNOT_REPLACE:
            for identity in before:
                self.set_aside("ROUTINE", identity, name)
            before = {}
            self.execute_file(item)
        after = self.functions_now(name)
        for identity, row_version in before.items():
            if after.get(identity) == row_version:
                self.set_aside("ROUTINE", identity, name)

    def apply_view(self, item: SqlFile) -> None:
        """Create or replace a plain view."""
        before = self.relation_kind(item.object_name)
        if before == "VIEW":
            self.withdraw_grants(quoted(item.object_name))
            self.forget_comments(item)
        if before is None:
            self.execute_file(item)
            return
        try:
            with self.connection.transaction():
                self.execute_file(item, replaces=True)
        except CANNOT_REPLACE:
            self.set_aside(before, quoted(item.object_name), item.object_name)
            self.execute_file(item)

    def reindex_changed_functions(self) -> None:
        """Build the indexes anew that hold values of a function whose body changed."""
        names = self.connection.execute(
            "SELECT unnest(kpi_engine.reindex_functions(%s))", [self.changed_functions]
        ).fetchall()
        self.changes += [f"built index {name} anew" for (name,) in names]

    def hold_refreshes(self) -> None:
        """Let a refresh and a tick that are running end first.

        A refresh that comes now is told to wait. A tick returns at once: else the two could wait
        for each other.
        """
        locks.take(self.connection, locks.REFRESH_LOCK, "a refresh", by_refreshes=True)
        # The first shows that this is no stranger (analytics.lock_holders).
        for table in ("kpi_engine.refresh_lock", "kpi_engine.tick_lock"):
            if scalar(self.connection, "SELECT to_regclass(%s) IS NOT NULL", table):
                self.connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE".encode())

    def stage(self, item: SqlFile) -> None:
        """Build a materialized view aside, populated where the present one is."""
        self.flush_ledger()
        self.refuse_taken_indexes(item)
        if not self.staged:
            self.hold_refreshes()
            self.make_schema(STAGING)
        self.connection.execute(f"SET LOCAL search_path = {STAGING}, pg_catalog, pg_temp")
        self.execute_file(item)
        self.connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
        self.refuse_held(item)
        if not self.dry_run and scalar(
            self.connection,
            "SELECT relispopulated FROM pg_class "
            "WHERE oid = to_regclass(format('analytics.%%I', %s::text))",
            item.object_name,
        ):
            LOGGER.info("building %s aside", item.object_name)
            # Facts that were never built would leave readers with an empty view.
            self.connection.execute(
                "SELECT kpi_engine.rebuild_in_transaction(analytics.today(), NULL) "
                "FROM kpi_engine.engine_state WHERE time_zone IS NULL"
            )
            self.fill_stale_tables()
            try:
                self.connection.execute(
                    sql.SQL("REFRESH MATERIALIZED VIEW {}").format(
                        sql.Identifier(STAGING, item.object_name)
                    )
                )
            except (psycopg.errors.IntegrityError, psycopg.errors.DataError) as error:
                raise failed(item, error) from error
        self.staged.append(item)

    def fill_stale_tables(self) -> None:
        """Compute derived tables whose rules changed: a view would show columns that are empty."""
        stale = [
            name
            for (name,) in self.connection.execute(
                "SELECT unnest(kpi_engine.stale_derived_tables())"
            ).fetchall()
        ]
        if not stale:
            return
        LOGGER.info("computing %s again", ", ".join(stale))
        self.connection.execute("SELECT kpi_engine.generate_statements()")
        with told_by_the_gate(
            "A view that is built anew would show these changes. Let a refresh hold them: "
            "SELECT * FROM analytics.refresh_all_mv(); Mend the data, or accept them: SELECT "
            "analytics.accept_gate('changes', 'once', 'the reason'); refresh again; then run "
            "migrate again."
        ):
            self.connection.execute(
                "SELECT kpi_engine.rebuild_in_transaction(engine_state.today, %s) "
                "FROM kpi_engine.engine_state",
                [stale],
            )

    def refuse_taken_indexes(self, item: SqlFile) -> None:
        """Refuse a view whose indexes another relation has, such as the view renamed by hand."""
        taken = self.connection.execute(
            "SELECT holder.relname, format('%%I.%%I', %s::text, holder.relname), "
            "array_agg(index.relname::text ORDER BY index.relname), bool_or(holder.relkind = 'm') "
            "FROM pg_index INNER JOIN pg_class AS index ON index.oid = pg_index.indexrelid "
            "INNER JOIN pg_class AS holder ON holder.oid = pg_index.indrelid "
            "WHERE index.relnamespace = to_regnamespace(%s) AND index.relname = ANY (%s) "
            "AND holder.relname <> %s GROUP BY holder.relname ORDER BY holder.relname LIMIT 1",
            [SCHEMA, SCHEMA, item.index_names(), item.object_name],
        ).fetchone()
        if taken is None:
            return
        name, holder, indexes, is_view = taken
        if name in {view.object_name for view in self.kpi_views()}:
            right = [f"{item.object_name}_{index.removeprefix(f'{name}_')}" for index in indexes]
            raise UserError(
                f"{item.path} makes index {', '.join(indexes)}, which view {name} has already; "
                "nothing was changed",
                f"Give it another name in {item.path}, such as {', '.join(right)}.",
            )
        kind = "MATERIALIZED VIEW" if is_view else "TABLE"
        cures = [f"DROP {kind} {holder};"]
        if is_view and not self.relation_kind(item.object_name):
            cures.insert(0, f"ALTER {kind} {holder} RENAME TO {item.object_name};")
        raise UserError(
            f"{item.path} can't be applied, because {holder} has its indexes "
            f"{', '.join(f'{SCHEMA}.{index}' for index in indexes)}; nothing was changed",
            f"Run {' or '.join(cures)} Then run migrate again.",
        )

    def refuse_held(self, item: SqlFile) -> None:
        """Refuse to build a view anew that the gate holds: it would show what the gate refused."""
        if scalar(
            self.connection, "SELECT to_regclass('kpi_engine.gate_holds') IS NOT NULL"
        ) and scalar(
            self.connection,
            "SELECT count(*) > 0 FROM kpi_engine.gate_holds WHERE view_name = %s",
            item.object_name,
        ):
            raise UserError(
                f"{item.path} changed, and the gate holds view {item.object_name} back; nothing "
                "was changed",
                "Built anew, it would show the figures that the gate refused. Accept them, or mend "
                "their cause and refresh; then run migrate again. See docs/runbook.md, gate.",
            )

    def swap_staged(self) -> None:
        """Put the materialized views that were built aside in their places, all at once.

        Waits for long readers in turns of SWAP_LOCK_TIMEOUT, holding nothing in between, so
        that other readers never queue long.
        """
        if not self.staged:
            return
        deadline = time.monotonic() + SWAP_PATIENCE_SECONDS
        present = {
            item.object_name: kind
            for item in self.staged
            if (kind := self.relation_kind(item.object_name)) is not None
        }
        names_before, replaced_before = set(self.names_set_aside), list(self.replaced)
        while True:
            try:
                with self.connection.transaction():
                    self.connection.execute(f"SET LOCAL lock_timeout = '{SWAP_LOCK_TIMEOUT}'")
                    for name, kind in present.items():
                        self.set_aside(kind, quoted(name), name)
                    self.connection.execute("SET LOCAL lock_timeout = 0")
                break
            except psycopg.errors.LockNotAvailable as error:
                self.names_set_aside, self.replaced = set(names_before), list(replaced_before)
                if time.monotonic() > deadline:
                    (row,) = self.connection.execute(
                        "SELECT coalesce(readers, ''), coalesce(cure, '') "
                        "FROM kpi_engine.view_readers(%s)",
                        [list(present)],
                    ).fetchall()
                    raise UserError(
                        f"{' or '.join(present)} is being read all the time{row[0]}; nothing was "
                        "changed",
                        f"{row[1]}Run migrate again when its long readers are done (see "
                        "pg_stat_activity).",
                    ) from error
                time.sleep(0.2)
        for item in self.staged:
            self.connection.execute(
                sql.SQL("ALTER MATERIALIZED VIEW {} SET SCHEMA {}").format(
                    sql.Identifier(STAGING, item.object_name), sql.Identifier(SCHEMA)
                )
            )
            if present.get(item.object_name) == "MATERIALIZED VIEW":
                self.connection.execute(
                    "SELECT kpi_engine.hand_over_rights(%s, %s)",
                    [f'{REPLACED}."{item.object_name}"', quoted(item.object_name)],
                )
        self.connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(STAGING)))
        self.staged = []
        followers, self.followers = self.followers, []
        for item in followers:
            self.apply_object(item)
        with told_by_the_gate():
            self.connection.execute("SELECT kpi_engine.note_new_views()")

    def apply_objects(self, objects: list[SqlFile]) -> None:
        """Apply what is pending of an ordered list of objects."""
        for item in objects:
            references = {self.declared.get(name, name) for name in item.references()}
            self.needs[item.object_name] = references.union(
                *(self.needs.get(name, set()) for name in references)
            )
            waiting = {waiting.object_name for waiting in [*self.staged, *self.followers]}
            if waiting & self.needs[item.object_name]:
                # It reads what was built aside: a plain view follows that to its place at
                # the end, for anything else it takes its place now.
                if item.kind == "view":
                    self.followers.append(item)
                    continue
                self.swap_staged()
            self.apply_object(item)

    def apply_object(self, item: SqlFile) -> None:
        """Apply one object where it is pending."""
        if not self.is_pending(item):
            self.note_text(item, comment=self.lacks_comments(item))
            return
        started = time.monotonic()
        if item.kind == "function":
            self.apply_function(item)
        elif item.kind == "materialized view":
            self.stage(item)
        else:
            self.apply_view(item)
        self.record(item, started)

    def is_hub(self) -> bool:
        """Tell whether this is, or is to become, a hub: its facts come from sites."""
        bound = scalar(self.connection, "SELECT source_schema FROM kpi_engine.installation")
        wanted = self.source_schema or bound
        if bound is not None and (wanted == ENGINE_SCHEMA) != (bound == ENGINE_SCHEMA):
            raise UserError(
                "an installation over operational tables does not become a hub, nor the other way "
                "round; nothing was changed",
                "Install the hub in a database of its own: make migrate HUB=1",
            )
        return wanted == ENGINE_SCHEMA

    def note_facts_version(self) -> None:
        """Note the rules of the facts, which sites and hub have to share."""
        version = hub.facts_version(self.objects)
        noted = self.connection.execute(
            "UPDATE kpi_engine.installation SET facts_version = %s "
            "WHERE facts_version IS DISTINCT FROM %s",
            [version, version],
        )
        if noted.rowcount:
            self.changes.append("noted the rules of the facts")

    def apply_hub_objects(self, ordered: list[SqlFile]) -> list[SqlFile]:
        """At a hub: make the mirror of the sites, and define the facts over it."""
        templates = hub.templates(self.objects)
        self.apply_objects(templates)
        self.objects = hub.objects_of_hub(self.connection, self.objects)
        by_name = {item.object_name: item for item in self.objects}
        self.write_rules()
        return [by_name[item.object_name] for item in ordered]

    def find_moved(self) -> None:
        """Find what has to be built anew, because a name means another table now."""
        messages = {}
        for name, message in self.connection.execute(
            "SELECT object_name, message FROM kpi_engine.moved_objects()"
        ).fetchall():
            self.moved.add(name)
            messages[message] = True
        for message in messages:
            LOGGER.warning("%s", message)

    def note_binding(self) -> None:
        """Note what the src_ views read now; what is bound anew is computed again."""
        try:
            if scalar(self.connection, "SELECT kpi_engine.confirm_binding()"):
                self.changes.append("noted what the source views read")
        except psycopg.errors.ObjectNotInPrerequisiteState as error:
            raise UserError(
                f"{error.diag.message_primary}; nothing was changed", prerequisites.details(error)
            ) from error

    def schemas_and_names(self, views: list[SqlFile]) -> list[list[str]]:
        """Return where each view is now, which may be new and not in its place, and its name."""
        return [
            [STAGING if item in self.staged else SCHEMA for item in views],
            [item.object_name for item in views],
        ]

    def check_kpi_views(self) -> None:
        """Refuse a KPI view whose key or COMMENTs do not say what the catalogue needs."""
        views = self.kpi_views()
        problems = self.connection.execute(
            "SELECT view.place, found.problem, found.right_form "
            "FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS view (schema, name, place) "
            "CROSS JOIN LATERAL "
            "kpi_engine.kpi_problems(format('%%I.%%I', view.schema, view.name)::regclass) AS found "
            "ORDER BY view.place",
            self.schemas_and_names(views),
        ).fetchall()
        if problems:
            first = problems[0][0]
            raise UserError(
                f"{views[first - 1].path}: "
                f"{'; '.join(problem for place, problem, _ in problems if place == first)}; "
                "nothing was changed",
                f"The right form:\n{problems[0][2]}",
            )
        self.refuse_other_units(views)

    def refuse_other_units(self, views: list[SqlFile]) -> None:
        """Refuse a column that gets another unit: its history and its targets have the old one.

        The view of schema api still has the words of before.
        """
        found = self.connection.execute(
            "SELECT view.place, kpi.column_name, before.words[1], kpi.unit "
            "FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS view (schema, name, place) "
            "CROSS JOIN LATERAL "
            "kpi_engine.kpi_columns(format('%%I.%%I', view.schema, view.name)::regclass) AS kpi "
            "INNER JOIN pg_attribute "
            "ON attrelid = to_regclass(format('api.%%I', view.name)) AND attname = column_name "
            "CROSS JOIN LATERAL "
            "kpi_engine.kpi_comment(col_description(attrelid, attnum)) AS before "
            "WHERE before.words[1] = ANY (kpi_engine.number_units()) "
            "AND before.words[1] <> kpi.unit AND EXISTS (SELECT FROM kpi_engine.publications "
            "WHERE view_name = view.name) ORDER BY view.place, attnum LIMIT 1",
            self.schemas_and_names(views),
        ).fetchone()
        if found:
            place, column, before, unit = found
            item = views[place - 1]
            raise UserError(
                f"{item.path}: column {column} of {item.object_name} has the unit {unit}, and had "
                f"{before}: its history and its targets are in {before}; nothing was changed",
                "Give the column another name. Or if its figures stay and only the word was wrong: "
                "take the file away, run make migrate, put the file back, run make migrate again.",
            )

    def apply_api_views(self) -> None:
        """Create the views of schema api over the KPI views; nobody writes files for them."""
        views = self.api_views()
        self.objects += views
        for view in views:
            self.apply_object(view)

    def check_contract(self) -> None:
        """Refuse a row of the contract that nothing would understand."""
        wrong = self.connection.execute(
            "SELECT table_in_a, column_name, value_kind, needed_in "
            "FROM kpi_engine.source_contract() "
            "WHERE needed_in <> ALL (%s) OR value_kind <> ALL (%s)",
            [["", "A", "B", "AB"], list(VALUE_KINDS)],
        ).fetchone()
        if wrong:
            table, column, kind, generations = wrong
            raise UserError(
                f"source_contract.sql: column {column} of {table} has the kind {kind} and is "
                f"needed in {generations or 'no generation'}; nothing was changed",
                f"Kinds: {', '.join(VALUE_KINDS)}. Needed in: 'A', 'B', 'AB' or ''.",
            )

    def source_views(self) -> list[SqlFile]:
        """Bind the operational tables: check the contract, grant, write the src_ views."""
        self.check_contract()
        found: list[tuple[str, str]] = []
        bound = [
            name
            for (name,) in self.connection.execute(
                "SELECT unnest(kpi_engine.bound_schemas())"
            ).fetchall()
        ]
        for schema in source_schemas(self.source_schema) or bound:
            try:
                found += self.connection.execute(
                    "SELECT source_schema, source_generation FROM kpi_engine.find_source(%s)",
                    [schema],
                ).fetchall()
            except (psycopg.errors.UndefinedTable, psycopg.errors.AmbiguousParameter) as error:
                raise UserError(
                    f"{error.diag.message_primary}; nothing was changed",
                    prerequisites.details(error),
                ) from error
        schemas, generations = [row[0] for row in found], [row[1] for row in found]
        had_origins = scalar(self.connection, "SELECT count(*) > 0 FROM kpi_engine.origins")
        if scalar(self.connection, "SELECT kpi_engine.note_sources(%s, %s)", schemas, generations):
            for row in found:
                self.changes.append("bound schema {}, generation {}".format(*row))
                self.say("source: schema %s, generation %s", *row)
            if had_origins or len(found) > 1:
                # What is computed from the source is computed for each origin.
                self.moved |= {
                    item.name
                    for item in self.objects
                    if item.derived_table
                    and any(name.startswith(SOURCE_VIEW_PREFIX) for name in item.references())
                }
        definitions = self.connection.execute(
            "SELECT view_name, source_schema, table_name, definition "
            "FROM kpi_engine.source_definitions()"
        ).fetchall()
        with acting_as(self.connection, self.migrator):
            for schema in schemas:
                self.changes += prerequisites.grant_source(
                    self.connection,
                    schema,
                    [table for _, its, table, _ in definitions if its == schema],
                )
        self.find_moved()
        return [source_view(view, definition) for view, _, _, definition in definitions]

    def drop_removed(self) -> None:
        """Drop what was set aside, then the objects whose files are gone."""
        self.flush_ledger()
        here = {item.name for item in [*self.migrations, *self.objects]}
        removed = sorted(set(self.ledger) - here)
        views = [name for name in removed if self.ledger[name][0] == "materialized view"]
        for name in views:
            self.hold_refreshes()
            self.connection.execute("SELECT kpi_engine.retire_view(%s)", [name])
        identities = [identity for _, identity in reversed(self.replaced)]
        for name in removed:
            if self.ledger[name][0] == "function":
                functions = self.functions_now(name)
                identities += [f"ROUTINE {key}" for key in functions]
            elif kind := self.relation_kind(name):
                identities.append(f"{kind} {quoted(name)}")
        self.drop(identities)
        for schema in sorted({schema for schema, _ in self.replaced}):
            self.connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(schema)))
        for name in removed:
            self.connection.execute(
                "DELETE FROM kpi_engine.migration_ledger WHERE name = %s", [name]
            )
            file = self.ledger[name][3] or name
            self.changes.append(f"removed {file}")
            LOGGER.info("removed %s", file)
        try:
            self.connection.execute("SELECT kpi_engine.refuse_vanished_columns()")
            self.connection.execute("SELECT kpi_engine.refuse_vanished_totals()")
            self.connection.execute("SELECT kpi_engine.refuse_vanished_views(%s)", [views])
            self.connection.execute("SELECT kpi_engine.forget_outside_sources()")
            forgotten = self.connection.execute(
                "SELECT name FROM unnest(kpi_engine.forget_derived_tables()) AS name"
            ).fetchall()
        except psycopg.errors.DependentObjectsStillExist as error:
            raise UserError(
                f"{error.diag.message_primary}; nothing was changed", prerequisites.details(error)
            ) from error
        self.changes += [f"dropped derived table {name}" for (name,) in forgotten]
        self.refuse_tables_without_rules()

    def refuse_tables_without_rules(self) -> None:
        """Refuse a derived table that no file declares in a form that is understood here.

        Nothing would tell that its rows are old, and so nobody would ever fill it.
        """
        names = scalar(
            self.connection,
            "SELECT string_agg(table_name, ', ' ORDER BY table_name) "
            "FROM kpi_engine.derived_tables AS known "
            "WHERE NOT EXISTS (SELECT FROM kpi_engine.derived_rules AS rule "
            "WHERE rule.table_name = known.table_name)",
        )
        if names:
            raise UserError(
                f"no file is known to declare derived table {names}; nothing was changed",
                "A line of its file must begin with "
                "SELECT kpi_engine.declare_derived_table('name', with the name as it is.",
            )

    def drop(self, identities: list[str]) -> None:
        """Drop objects, readers first; stop where somebody else's object reads one of them."""
        while identities:
            refusal = None
            left = []
            for identity in identities:
                try:
                    with self.connection.transaction():
                        self.connection.execute(f"DROP {identity}")
                except psycopg.errors.DependentObjectsStillExist as error:
                    refusal = error
                    left.append(identity)
            if refusal is not None and len(left) == len(identities):
                raise UserError(
                    "other objects read what has to be replaced; nothing was changed: "
                    f"{refusal.diag.message_detail}",
                    "Drop them, run migrate again, and create them again.",
                ) from refusal
            identities = left

    def settle(self) -> None:
        """Bring the rows that follow from the objects and from ENVIRONMENT up to date."""
        self.flush_ledger()
        rules = rules_of_views(self.objects)
        self.connection.execute(
            "SELECT kpi_engine.settle_objects(%s, %s)", [list(rules), list(rules.values())]
        )
        if self.changes:
            # Of what is generated, too, the code may be new.
            self.connection.execute("SELECT kpi_engine.generate_statements()")
        first_time = "applied migrations/0001_foundation.sql" in self.changes
        is_new_version = scalar(
            self.connection,
            "SELECT version IS DISTINCT FROM %s FROM kpi_engine.installation",
            package_version(),
        )
        if self.changes or is_new_version:
            # Also the same version: the ETags of the HTTP API have the number of this write.
            self.connection.execute(
                "UPDATE kpi_engine.installation SET version = %s", [package_version()]
            )
        if is_new_version:
            self.changes.append(f"version {package_version()}")
        wanted = None
        if environment() == "production":
            wanted = "off"
        elif first_time:
            wanted = "on"
        if (
            wanted
            and scalar(self.connection, "SELECT analytics.setting('allow_pinned_clock')") != wanted
        ):
            self.connection.execute(
                "SELECT analytics.set_setting('allow_pinned_clock', %s)", [wanted]
            )
            self.changes.append(f"set allow_pinned_clock to {wanted}")

    def run(self) -> list[str]:
        """Do everything; return what changed. The caller commits or rolls back."""
        connection = self.connection
        prerequisites.refuse_standby(connection)
        default_path = prerequisites.default_search_path(connection)
        prerequisites.pin_settings(connection)
        connection.execute("SET LOCAL check_function_bodies = off")
        self.migrator = str(scalar(connection, "SELECT current_user"))
        prerequisites.check_server(connection)
        prerequisites.note_event_triggers(connection)
        locks.take(connection, MIGRATE_LOCK, "a migrate", by_refreshes=False)
        prerequisites.refuse_renamed_owner(connection)
        self.changes += prerequisites.set_up_roles(
            connection,
            prerequisites.early_requirements(
                connection,
                source_schemas(self.source_schema),
                contract_tables(self.objects),
                prerequisites.database_search_path(connection) or default_path,
            ),
        )
        self.changes += prerequisites.set_up_schema(connection)
        prerequisites.refuse_shadowing(
            connection,
            [item.object_name for item in self.objects if item.kind == "materialized view"],
            default_path,
        )
        with acting_as(connection):
            self.changes += prerequisites.meet(
                connection,
                prerequisites.requirements(connection, "usage of schemas"),
                "the use of its schemas",
            )
            self.read_ledger()
            if self.ledger and self.changes_relations():
                # Before it locks one: a refresh writes to all of them, and people read them.
                self.hold_refreshes()
            self.apply_migrations()
            self.add_settings()
            self.apply_all_objects()
            self.settle()
        if prerequisites.append_to_search_path(connection, default_path):
            self.changes.append(f"appended {SCHEMA} to the search_path of the database")
        if not self.dry_run:
            self.changes += [f"scheduled {name}" for name in cron.arrange(connection)]
        # Last, since readers of a view that changed wait from here to the COMMIT.
        with acting_as(connection):
            self.check_kpi_views()
            if not self.dry_run:
                self.reindex_changed_functions()
                self.swap_staged()
            self.apply_api_views()
            if not self.dry_run:
                self.drop_removed()
            else:
                self.changes += [f"removed {name}" for name in self.removed()]
        with acting_as(connection):
            obstacles = connection.execute(
                "SELECT role_name, statements FROM kpi_engine.dump_obstacles()"
            ).fetchall()
        for role, statements in obstacles:
            LOGGER.warning(
                "pg_dump of this database fails as role %s, which may not read schemas %s: run "
                "%s; or make it a member of pg_read_all_data.",
                role,
                ", ".join(SCHEMAS),
                "; ".join(statements),
            )
        if self.changes:
            # A PostgREST that runs reads the functions again when this commits.
            connection.execute("NOTIFY pgrst, 'reload schema'")
        return self.changes

    def apply_all_objects(self) -> None:
        """Apply what needs no source, bind the source, then apply what reads it."""
        ordered = dependency_order(self.objects)
        is_hub = self.is_hub()
        self.note_facts_version()
        if not is_hub:
            self.write_rules()
        needs_source: set[str] = set()
        for item in ordered:
            # Materialized views are built from derived tables, which are built from the source.
            if item.kind == "materialized view" or any(
                name.startswith(SOURCE_VIEW_PREFIX) or self.declared.get(name, name) in needs_source
                for name in item.references()
            ):
                needs_source.add(item.object_name)
        self.apply_objects([item for item in ordered if item.object_name not in needs_source])
        if is_hub:
            self.connection.execute("SELECT kpi_engine.make_hub_source()")
        source_views = self.source_views()
        self.objects += source_views
        self.apply_objects(source_views)
        self.flush_ledger()
        self.note_binding()
        if is_hub:
            ordered = self.apply_hub_objects(ordered)
        self.apply_objects([item for item in ordered if item.object_name in needs_source])


@contextmanager
def told_what_landed() -> Iterator[None]:
    """Say of an error of change capture, or an interruption, that migrate itself is done by now."""
    done = "migrate is done, but"
    try:
        yield
    except UserError as error:
        raise UserError(f"{done} {error}", error.hint) from error
    except psycopg.Error as error:
        text = str(error.diag.message_primary or error).strip()
        code = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
        details = prerequisites.details(error)
        raise UserError(
            f"{done} change capture is not: {text}{code}",
            f"{details}\n{CAPTURE_CURE}" if details else CAPTURE_CURE,
        ) from error
    except KeyboardInterrupt:
        LOGGER.error("%s change capture is not: it was interrupted\n%s", done, CAPTURE_CURE)
        raise


def migrate(
    url: str,
    *,
    dry_run: bool = False,
    source_schema: str | None = None,
    directory: Path = SQL_DIRECTORY,
    hub: bool = False,
) -> list[str]:
    """Bring the database to the current version; return what changed, nothing if it was there.

    One transaction: raises UserError or psycopg.Error with the database as it was. Change
    capture on the operational tables follows in a short transaction of its own: its UserError
    says that the rest is done. With ``dry_run`` it does the same work, without building
    materialized views, scheduling or change capture, and rolls back.
    """
    for attempt in range(1, TRIES + 1):
        with prerequisites.connect(url, "migrate") as connection:
            connection.add_notice_handler(
                lambda diagnostic: LOGGER.log(
                    logging.WARNING
                    if diagnostic.severity_nonlocalized == "WARNING"
                    else logging.DEBUG,
                    "%s",
                    diagnostic.message_primary,
                )
            )
            try:
                changes = Migration(
                    connection,
                    dry_run=dry_run,
                    source_schema=source_schema,
                    directory=directory,
                    hub=hub,
                ).run()
            except (*WORTH_ANOTHER_TRY, HinderedError) as error:
                connection.rollback()
                if attempt == TRIES:
                    raise
                LOGGER.info("trying again: %s", str(error).partition("\n")[0])
                time.sleep(0.1 * attempt)
                continue
            if dry_run:
                connection.rollback()
                return changes
        with told_what_landed():
            return changes + capture.apply(url)
    raise AssertionError("unreachable")


def print_status(url: str, directory: Path = SQL_DIRECTORY) -> int:
    """Print what is applied and what is pending; return 0 when up to date, 3 when not."""
    with prerequisites.connect(url, "status") as connection:
        connection.read_only = True
        default_path = prerequisites.default_search_path(connection)
        prerequisites.pin_settings(connection)
        run = Migration(connection, directory=directory)
        if not scalar(
            connection, "SELECT true FROM pg_namespace WHERE nspname = %s", SCHEMA
        ) or not prerequisites.role_exists(connection, OWNER):
            database = prerequisites.database_name(connection)
            print(f"not installed in database {database}: run make migrate")
            return 3
        path = prerequisites.database_search_path(connection) or default_path
        has_cron = cron.has_extension(connection)
        try:
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
            run.read_ledger()
        except psycopg.errors.InsufficientPrivilege as error:
            raise UserError(
                "this role may not read analytics.migration_ledger",
                "Use the role that ran migrate.",
            ) from error
        pending, removed = run.pending(), run.removed()
        sources = connection.execute(
            "SELECT source_schema, source_generation FROM kpi_engine.sources()"
        ).fetchall()
        row = connection.execute(
            "SELECT cron_role, "
            "coalesce(to_jsonb(installation) ->> 'version', 'before 0.1.0'), "
            "(SELECT count(*) FROM kpi_engine.migration_ledger), "
            "(SELECT max(applied_at) FROM kpi_engine.migration_ledger) FROM kpi_engine.installation"
        ).fetchone()
        if row is None:
            raise UserError(
                "kpi_engine.installation has lost its row",
                "Restore the database from a backup. Or take all away and install anew, which "
                "loses the history of the KPIs: make uninstall; make migrate",
            )
        print(f"database      {prerequisites.database_name(connection)}")
        print(f"version       {row[1]} ({row[2]} files, the last at {row[3]:%Y-%m-%d %H:%M:%S %Z})")
        if [schema for schema, _ in sources] == [ENGINE_SCHEMA]:
            print("source        the sites of this hub")
            sources = []
        for schema, generation in sources:
            print(f"source        schema {schema}, generation {generation}")
        print(
            f"schedule      {f'pg_cron, as {row[0]}' if row[0] and has_cron else 'not by pg_cron'}"
        )
        for item in pending:
            print(f"pending       {item.path}")
        for name in removed:
            print(f"to be removed {name}")
        in_path = prerequisites.is_on_path(connection, path)
        if not in_path:
            print(f"pending       schema {SCHEMA} on the search_path of the database")
        if pending or removed or not in_path:
            return 3
        print("up to date")
        return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(
        prog="migrate.py",
        description="Brings a database to the current version of teloo-analytics. "
        "All in one transaction: everything lands or nothing does. Change capture follows in a "
        "transaction of its own.",
        epilog="Exit codes: 0 done or up to date, 1 failed: nothing was changed, or all is done "
        "but change capture and the message says so, 2 wrong usage, 3 status: something is "
        "pending. "
        "ENVIRONMENT=production writes JSON lines and forbids pinned clocks.",
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=["apply", "status"],
        default="apply",
        help="apply (default), or status: what is applied and what is pending",
    )
    parser.add_database_url()
    parser.add_argument(
        "--source-schema",
        default=os.environ.get("SOURCE_SCHEMA") or None,
        help="schema of the operational tables, or several with commas between; default: "
        "SOURCE_SCHEMA, else public or teloo",
    )
    parser.add_argument(
        "--hub",
        action="store_true",
        help="install a hub: no operational tables, its facts come from sites (scripts/hub.py)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="do it and roll back, without building materialized views or scheduling",
    )
    options = parser.parse_args(arguments)
    set_up_logging()
    try:
        environment()
        url = database_url(options.database_url)
        if options.command == "status":
            return print_status(url)
        if options.hub and options.source_schema:
            parser.error("a hub has no operational tables: leave SOURCE_SCHEMA away")
        changes = migrate(
            url, dry_run=options.dry_run, source_schema=options.source_schema, hub=options.hub
        )
    except UserError as error:
        return report(error)
    except psycopg.Error as error:
        return report(prerequisites.explained(error))
    if not changes:
        LOGGER.info("up to date: nothing changed")
    elif options.dry_run:
        LOGGER.info("dry run: %d change(s) would be made, nothing was changed", len(changes))
        for change in changes:
            LOGGER.info("would have: %s", change)
    else:
        LOGGER.info("done: %d change(s)", len(changes))
        if "applied migrations/0001_foundation.sql" in changes:
            LOGGER.info("now, in a new session: SELECT * FROM refresh_all_mv();")
    return 0


if __name__ == "__main__":
    run_tool(main)

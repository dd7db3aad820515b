-- What the functions of this room share; gone with the transaction.

CREATE TEMPORARY TABLE release_run (
    version text NOT NULL,
    facts_version text NOT NULL,
    -- The search_path of the database, or else of a new session.
    search_path text NOT NULL,
    migrator text NOT NULL,
    asked_schemas text[],
    contract_tables text[] NOT NULL
) ON COMMIT DROP;

-- Files in the order in which they are applied, then the views that are written here.
CREATE TEMPORARY TABLE release_files (
    place integer PRIMARY KEY,
    name text NOT NULL UNIQUE,
    kind text NOT NULL,
    file text NOT NULL DEFAULT '',
    version integer,
    contents text NOT NULL,
    checksum text NOT NULL,
    text_checksum text NOT NULL,
    needs_source boolean NOT NULL DEFAULT false,
    derived_table text,
    -- Objects that its text names, and those that it reads in any number of steps.
    named text[] NOT NULL DEFAULT '{}',
    needs text[] NOT NULL DEFAULT '{}',
    index_names text[] NOT NULL DEFAULT '{}',
    -- Where its COMMENT statements begin in contents, and how long they are.
    comment_starts integer[] NOT NULL DEFAULT '{}',
    comment_lengths integer[] NOT NULL DEFAULT '{}'
) ON COMMIT DROP;

-- Tables, sequences and types that only a migration makes: the one that makes it, and the one that
-- takes it away again.
CREATE TEMPORARY TABLE release_made (
    place integer PRIMARY KEY,
    name text NOT NULL,
    made_in text NOT NULL,
    gone_in text
) ON COMMIT DROP;

CREATE TEMPORARY TABLE release_rules (
    table_name text NOT NULL,
    rule_name text NOT NULL
) ON COMMIT DROP;

CREATE TEMPORARY TABLE release_changes (
    place integer GENERATED ALWAYS AS IDENTITY,
    change text NOT NULL
) ON COMMIT DROP;

-- Objects that were moved out of the way: how to drop them.
CREATE TEMPORARY TABLE release_aside (
    place integer GENERATED ALWAYS AS IDENTITY,
    schema_name text NOT NULL,
    identity text NOT NULL,
    name text NOT NULL
) ON COMMIT DROP;

-- Materialized views that were built aside, and plain views that wait for them.
CREATE TEMPORARY TABLE release_waiting (
    place integer GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    is_staged boolean NOT NULL
) ON COMMIT DROP;

CREATE TEMPORARY TABLE release_changed_functions (
    name text NOT NULL
) ON COMMIT DROP;

CREATE TEMPORARY TABLE release_moved (
    name text NOT NULL
) ON COMMIT DROP;

-- They are used as analytics_owner too.
GRANT ALL ON pg_temp.release_run, pg_temp.release_files, pg_temp.release_made,
pg_temp.release_rules, pg_temp.release_changes, pg_temp.release_aside, pg_temp.release_waiting,
pg_temp.release_changed_functions, pg_temp.release_moved TO public;

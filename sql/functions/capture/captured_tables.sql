-- Lists the source tables whose changes have to be noted, with their partitions.
--
-- Invariant: a statement fires the triggers of the table that it names. So three kinds need
-- triggers of their own: each partition, each table that inherits, and each table of which one of
-- ours is a partition. A table that a src_ view still reads is in the list under any name. A view
-- or foreign table can't be captured.
-- A partition is gone as soon as its DETACH … CONCURRENTLY has begun: the parent shows its rows no
-- more. A table above ours stays in the list until the end: older snapshots still write through it.
-- A table above or below several of ours, with rows of several kinds: any write to it means that
-- everything may have changed. So does one above ours without the key. A table below may have other
-- parents, which are above ours too.
-- A temporary table is for one session alone: others do not see its rows (source_problems).
-- place is table for a table that a src_ view reads or that has the name; part for one below it;
-- whole for one above it.

CREATE OR REPLACE FUNCTION kpi_engine.captured_tables()
RETURNS TABLE (
    relation oid,
    relation_kind char,
    entity text,
    function_name text,
    view_name text,
    place text
)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
ROWS 20
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $captured_tables$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        WITH RECURSIVE contract AS (
            SELECT
                sources.view_prefix || noted.view_suffix AS view_name,
                CASE sources.source_generation
                    WHEN 'B' THEN noted.table_in_b
                    ELSE noted.view_suffix
                END AS table_name,
                noted.entity,
                'note_changed_' || noted.key_column AS function_name,
                sources.source_schema
            FROM kpi_engine.sources()
            CROSS JOIN kpi_engine.noted_tables() AS noted
        ),

        wanted AS (
            SELECT pg_class.oid AS relation, contract.entity, contract.function_name, contract.view_name
            FROM contract
            INNER JOIN pg_namespace ON pg_namespace.nspname = contract.source_schema
            INNER JOIN pg_class
                ON pg_class.relnamespace = pg_namespace.oid
                AND pg_class.relname = contract.table_name
                AND pg_class.relkind IN ('r', 'p', 'v', 'm', 'f')
            UNION
            -- The tables that the src_ views read, under any name.
            SELECT pg_depend.refobjid, contract.entity, contract.function_name, contract.view_name
            FROM contract
            INNER JOIN pg_class AS view
                ON
                    view.relnamespace = 'kpi_engine'::regnamespace
                    AND view.relname = contract.view_name
            INNER JOIN pg_rewrite ON pg_rewrite.ev_class = view.oid
            INNER JOIN pg_depend
                ON
                    pg_depend.classid = 'pg_rewrite'::regclass
                    AND pg_depend.objid = pg_rewrite.oid
                    AND pg_depend.refclassid = 'pg_class'::regclass
                    AND pg_depend.refobjid <> view.oid
        ),

        below AS (
            SELECT wanted.*, 'table' AS place FROM wanted
            UNION
            SELECT
                pg_inherits.inhrelid, below.entity, below.function_name, below.view_name, 'part'
            FROM below
            INNER JOIN pg_inherits
                ON
                    pg_inherits.inhparent = below.relation
                    AND NOT pg_inherits.inhdetachpending
        ),

        above AS (
            SELECT below.* FROM below
            UNION
            SELECT
                pg_inherits.inhparent, above.entity, above.function_name, above.view_name, 'whole'
            FROM above
            INNER JOIN pg_inherits ON pg_inherits.inhrelid = above.relation
        )

        SELECT DISTINCT ON (found.relation)
            found.relation,
            pg_class.relkind::char,
            found.entity,
            CASE
                WHEN found.has_one_kind AND (found.place <> 'whole' OR EXISTS (
                    SELECT FROM pg_attribute
                    WHERE
                        pg_attribute.attrelid = found.relation
                        AND 'note_changed_' || pg_attribute.attname = found.function_name
                )) THEN found.function_name
                ELSE 'note_truncate'
            END,
            found.view_name,
            found.place
        FROM (
            SELECT
                listed.*,
                min(listed.kind) OVER of_relation = max(listed.kind) OVER of_relation AS has_one_kind
            FROM (
                SELECT below.*, concat_ws(' ', below.entity, below.function_name) AS kind FROM below
                UNION ALL
                SELECT above.*, concat_ws(' ', above.entity, above.function_name) FROM above
            ) AS listed
            WINDOW of_relation AS (PARTITION BY listed.relation)
        ) AS found
        INNER JOIN pg_class
            ON pg_class.oid = found.relation AND pg_class.relpersistence <> 't'
        ORDER BY
            found.relation,
            array_position(ARRAY['table', 'part', 'whole'], found.place),
            found.view_name;
END;
$captured_tables$;

COMMENT ON FUNCTION kpi_engine.captured_tables() IS
'Source tables and partitions on which change capture needs triggers, what their keys identify, '
'the trigger function that notes them, the src_ view that shows their rows, and whether they are '
'what it reads (table), a partition of it (part), or what it is a partition of (whole).';

REVOKE ALL ON FUNCTION kpi_engine.captured_tables() FROM public;

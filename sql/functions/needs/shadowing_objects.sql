-- Lists older objects that would win over ours on a search_path.
--
-- Invariant: no row if and only if plain refresh_all_mv(), get_mv_stats() and the names of the
-- views mean ours. migrate runs this query from the file.

CREATE OR REPLACE FUNCTION kpi_engine.shadowing_objects(p_path text, p_views text[])
RETURNS TABLE (object_name text, statement text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $shadowing_objects$
    WITH element AS (
        SELECT
            elements.place,
            CASE elements.schema_name
                -- The calling user, also if the calling function runs as its owner.
                WHEN '$user' THEN coalesce(nullif(current_setting('role'), 'none'), session_user)
                ELSE elements.schema_name
            END AS schema_name
        FROM kpi_engine.path_elements(p_path) AS elements
    ),

    before AS (
        SELECT pg_namespace.oid
        FROM element
        INNER JOIN pg_namespace ON pg_namespace.nspname = element.schema_name
        WHERE
            element.place < (
                SELECT coalesce(min(ours.place), 10000)
                FROM element AS ours
                WHERE ours.schema_name = 'analytics'
            )
    ),

    older AS (
        SELECT
            CASE pg_class.relkind
                WHEN 'm' THEN 'MATERIALIZED VIEW'
                WHEN 'v' THEN 'VIEW'
                WHEN 'f' THEN 'FOREIGN TABLE'
                WHEN 'S' THEN 'SEQUENCE'
                ELSE 'TABLE'
            END AS kind,
            format('%s.%I', pg_class.relnamespace::regnamespace, pg_class.relname) AS object_name
        FROM pg_class
        WHERE
            pg_class.relnamespace IN (SELECT before.oid FROM before)
            AND pg_class.relname = ANY (p_views)
            AND pg_class.relkind NOT IN ('i', 'I')
        UNION ALL
        SELECT
            CASE pg_proc.prokind
                WHEN 'p' THEN 'PROCEDURE'
                WHEN 'a' THEN 'AGGREGATE'
                ELSE 'FUNCTION'
            END,
            format(
                '%s.%I(%s)', pg_proc.pronamespace::regnamespace, pg_proc.proname,
                pg_get_function_identity_arguments(pg_proc.oid)
            )
        FROM pg_proc
        WHERE
            pg_proc.pronamespace IN (SELECT before.oid FROM before)
            -- Objects that users call without a schema.
            AND pg_proc.proname IN ('refresh_all_mv', 'get_mv_stats')
    )

    SELECT
        older.object_name,
        format('ALTER %s %s SET SCHEMA analytics_previous', older.kind, older.object_name)
    FROM older
    ORDER BY older.object_name;
$shadowing_objects$;

COMMENT ON FUNCTION kpi_engine.shadowing_objects(text, text[]) IS
'Objects that come before ours on a search_path and have the name of one of these views, or of '
'a function that users call without a schema; the statement that moves each. Internal to the '
'doctor and migrate.';

REVOKE ALL ON FUNCTION kpi_engine.shadowing_objects(text, text[]) FROM public;

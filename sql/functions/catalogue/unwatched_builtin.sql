-- Names what the query of a view reads of the server itself.
--
-- Invariant: PostgreSQL notes no dependency on what it brought itself. So this reads the tree that
-- it keeps of the view. What is VOLATILE is never watched. Of what is STABLE, functions that tell
-- of the session, the server or the catalog are not; the others follow from their arguments.

CREATE OR REPLACE FUNCTION kpi_engine.unwatched_builtin(p_view regclass)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $unwatched_builtin$
    WITH tree AS MATERIALIZED (
        SELECT pg_rewrite.ev_action::text AS words
        FROM pg_rewrite
        WHERE pg_rewrite.ev_class = p_view
    )

    SELECT found.name
    FROM (
        SELECT 1 AS place, format('catalog table %s', pg_class.oid::regclass) AS name
        FROM tree
        CROSS JOIN LATERAL regexp_matches(tree.words, ':relid (\d+)', 'g') AS match (parts)
        INNER JOIN pg_class ON pg_class.oid = match.parts[1]::oid
        INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
        WHERE pg_namespace.nspname IN ('pg_catalog', 'information_schema')
        UNION ALL
        SELECT 2, pg_proc.oid::regprocedure::text
        FROM tree
        CROSS JOIN LATERAL regexp_matches(tree.words, ':funcid (\d+)', 'g') AS match (parts)
        INNER JOIN pg_proc ON pg_proc.oid = match.parts[1]::oid
        WHERE
            pg_proc.pronamespace = 'pg_catalog'::regnamespace
            AND (
                pg_proc.provolatile = 'v'
                OR pg_proc.provolatile = 's' AND pg_proc.proname ~ concat(
                    '^(current_|has_|inet_|txid_|to_reg|pg_(?!typeof|column_size)|col_description|',
                    'obj_description|version$|session_user$)'
                )
            )
        UNION ALL
        SELECT 3, 'the name of the user or of the database'
        FROM tree
        -- The others tell the time: clock_words() has them.
        WHERE tree.words ~ '\{SQLVALUEFUNCTION :op (9|1\d) '
    ) AS found
    ORDER BY found.place, found.name
    LIMIT 1;
$unwatched_builtin$;

COMMENT ON FUNCTION kpi_engine.unwatched_builtin(regclass) IS
'A catalog table, or a function of PostgreSQL that tells of the session, the server or the '
'catalog, in the query of a view; NULL if there is none. Internal to '
'kpi_engine.unwatched_function().';

REVOKE ALL ON FUNCTION kpi_engine.unwatched_builtin(regclass) FROM public;

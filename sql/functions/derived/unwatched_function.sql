-- Names a function in a definition that may read what nobody watches.
--
-- Invariant: what a definition reads is known by its relations. A function that is not IMMUTABLE
-- may read more: a table, a setting, the clock. The time zone alone is watched: its change computes
-- all history again. The word IMMUTABLE is not believed: see read_by_body(). What PostgreSQL itself
-- brought is looked at by unwatched_builtin(), and the clock by clock_words().

CREATE OR REPLACE FUNCTION kpi_engine.unwatched_function(p_relation regclass)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $unwatched_function$
    -- Plain views are part of the definition that reads them.
    WITH RECURSIVE way AS (
        SELECT p_relation::oid AS relation
        UNION
        SELECT pg_class.oid
        FROM way
        INNER JOIN pg_rewrite ON pg_rewrite.ev_class = way.relation
        INNER JOIN pg_depend
            ON pg_depend.classid = 'pg_rewrite'::regclass
            AND pg_depend.objid = pg_rewrite.oid
            AND pg_depend.refclassid = 'pg_class'::regclass
        INNER JOIN pg_class ON pg_class.oid = pg_depend.refobjid AND pg_class.relkind = 'v'
    )

    SELECT found.name
    FROM (
        SELECT
            1 AS place,
            concat(
                pg_proc.oid::regprocedure,
                ' in ' || nullif(way.relation, p_relation)::regclass,
                ' (it says IMMUTABLE, and reads ' || CASE
                    WHEN pg_proc.provolatile = 'i' THEN kpi_engine.read_by_body(pg_proc.oid)
                END || ')'
            ) AS name
        FROM way
        INNER JOIN pg_rewrite ON pg_rewrite.ev_class = way.relation
        INNER JOIN pg_depend
            ON pg_depend.classid = 'pg_rewrite'::regclass
            AND pg_depend.objid = pg_rewrite.oid
            AND pg_depend.refclassid = 'pg_proc'::regclass
        INNER JOIN pg_proc ON pg_proc.oid = pg_depend.refobjid
        WHERE
            (pg_proc.provolatile <> 'i' OR kpi_engine.read_by_body(pg_proc.oid) IS NOT NULL)
            AND NOT (
                pg_proc.oid = 'analytics.setting(text)'::regprocedure
                AND pg_get_viewdef(way.relation) !~ '\msetting\((?!''time_zone''::text\))'
            )
        UNION ALL
        SELECT
            2,
            concat(
                kpi_engine.unwatched_builtin(way.relation),
                ' in ' || nullif(way.relation, p_relation)::regclass
            )
        FROM way
        WHERE kpi_engine.unwatched_builtin(way.relation) IS NOT NULL
    ) AS found
    ORDER BY found.place, found.name
    LIMIT 1;
$unwatched_function$;

COMMENT ON FUNCTION kpi_engine.unwatched_function(regclass) IS
'What a definition, or a plain view in it, calls or reads and nobody watches: a function that is '
'not IMMUTABLE, or only says so, or a thing of the server. NULL if there is none. '
'Internal to definition_problem() and kpi_problems().';

REVOKE ALL ON FUNCTION kpi_engine.unwatched_function(regclass) FROM public;

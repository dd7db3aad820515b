-- Names what the body of a function reads though the function says IMMUTABLE.
--
-- Invariant: PostgreSQL believes the word IMMUTABLE, and so would the engine. A body without a
-- fault reads no clock, no relation (by its schema and name, or by its name behind FROM or JOIN in
-- the function's own search_path), and calls only functions of the same kind. Comments in it do not
-- count.

CREATE OR REPLACE FUNCTION kpi_engine.read_by_body(p_function oid)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $read_by_body$
    WITH RECURSIVE called AS (
        SELECT p_function AS function
        UNION
        SELECT pg_proc.oid
        FROM called
        INNER JOIN pg_proc AS caller ON caller.oid = called.function
        INNER JOIN pg_language
            ON pg_language.oid = caller.prolang AND pg_language.lanname IN ('sql', 'plpgsql')
        CROSS JOIN LATERAL regexp_matches(
            lower(coalesce(pg_get_function_sqlbody(caller.oid), caller.prosrc)),
            '\m([a-z_]\w*)\.([a-z_]\w*)\s*\(', 'g'
        ) AS match (parts)
        INNER JOIN pg_namespace ON pg_namespace.nspname = match.parts[1]
        INNER JOIN pg_proc
            ON pg_proc.pronamespace = pg_namespace.oid AND pg_proc.proname = match.parts[2]
        WHERE caller.provolatile = 'i' AND pg_namespace.nspname <> 'pg_catalog'
    ),

    body AS (
        SELECT
            pg_proc.oid AS function,
            pg_proc.provolatile,
            regexp_replace(
                regexp_replace(
                    lower(coalesce(pg_get_function_sqlbody(pg_proc.oid), pg_proc.prosrc)),
                    '--[^\n]*|/\*.*?\*/', '', 'g'
                ),
                '\s+\(', '(', 'g'
            ) AS words,
            array_append(
                string_to_array(
                    translate(substring(
                        array_to_string(pg_proc.proconfig, E'\n') from '(?n)^search_path=(.*)$'
                    ), '" ', ''), ','
                ), 'pg_catalog'
            ) AS schemas
        FROM called
        INNER JOIN pg_proc ON pg_proc.oid = called.function
        INNER JOIN pg_language
            ON pg_language.oid = pg_proc.prolang AND pg_language.lanname IN ('sql', 'plpgsql')
    )

    SELECT coalesce(
        CASE WHEN body.provolatile <> 'i' THEN body.function::regprocedure::text END,
        clock.words,
        read.relation::text
    )
    FROM body
    CROSS JOIN LATERAL (
        SELECT coalesce(
            substring(body.words from concat('(?i)', kpi_engine.clock_words())),
            substring(body.words from '''\s*(?:now|today|yesterday|tomorrow)\s*'''),
            substring(body.words from '\mcurrent_setting\(')
        ) AS words
    ) AS clock
    LEFT JOIN LATERAL (
        SELECT pg_class.oid::regclass AS relation
        FROM (
            SELECT ARRAY[match.parts[1]] AS schemas, match.parts[2] AS name
            FROM regexp_matches(
                body.words, '\m([a-z_]\w*)\.([a-z_]\w*)\M(?!\()', 'g'
            ) AS match (parts)
            UNION ALL
            SELECT body.schemas, match.parts[1]
            FROM regexp_matches(
                body.words, '\m(?:from|join)\s+(?:only\s+)?([a-z_]\w*)\M(?![.(])', 'g'
            ) AS match (parts)
        ) AS named
        INNER JOIN pg_namespace ON pg_namespace.nspname = ANY (named.schemas)
        INNER JOIN pg_class
            ON
                pg_class.relnamespace = pg_namespace.oid
                AND pg_class.relname = named.name
                AND pg_class.relkind IN ('r', 'p', 'f', 'v', 'm')
        ORDER BY 1
        LIMIT 1
    ) AS read ON true
    WHERE
        body.provolatile <> 'i'
        OR clock.words IS NOT NULL
        OR read.relation IS NOT NULL
    ORDER BY 1
    LIMIT 1;
$read_by_body$;

COMMENT ON FUNCTION kpi_engine.read_by_body(oid) IS
'What the body of an IMMUTABLE function reads, or a function of another kind that it calls; NULL '
'if there is neither. Internal to kpi_engine.unwatched_function().';

REVOKE ALL ON FUNCTION kpi_engine.read_by_body(oid) FROM public;

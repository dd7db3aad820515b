-- Lists our functions whose code names something, with their code.
--
-- Invariant: comments do not count. PostgreSQL does not know what the body of a function reads, so
-- this looks for the name there.

CREATE OR REPLACE FUNCTION kpi_engine.functions_naming(p_name text)
RETURNS TABLE (name text, body text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $functions_naming$
    SELECT
        written.name,
        code.body
    FROM (
        SELECT
            pg_proc.oid::regprocedure::text AS name,
            concat(pg_proc.prosrc, pg_get_function_sqlbody(pg_proc.oid)) AS body
        FROM pg_proc
        INNER JOIN pg_namespace ON pg_namespace.oid = pg_proc.pronamespace
        INNER JOIN kpi_engine.package_schemas() AS ours
            ON ours.schema_name = pg_namespace.nspname
    ) AS written
    -- To take the comments out of each body would take a hundred times as long.
    INNER JOIN LATERAL (
        SELECT regexp_replace(written.body, '--[^\n]*', '', 'g') AS body
        WHERE strpos(written.body, p_name) > 0
    ) AS code ON code.body ~ format('\m%s\M', replace(p_name, '.', '\.'));
$functions_naming$;

COMMENT ON FUNCTION kpi_engine.functions_naming(text) IS
'Functions of the package whose code has this name as a word: name with types, and the code '
'without comments. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.functions_naming(text) FROM public;

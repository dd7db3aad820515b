-- The search_path that the database has to have; NULL: it has schema analytics already.

CREATE FUNCTION pg_temp.release_wanted_path()
RETURNS text
LANGUAGE sql
AS $release_wanted_path$
    SELECT concat_ws(
        ', ',
        CASE WHEN count(elements.schema_name) > 0 THEN p_path END,
        'analytics'
    )
    FROM (SELECT release_run.search_path AS p_path FROM pg_temp.release_run) AS asked
    LEFT JOIN LATERAL kpi_engine.path_elements(p_path) AS elements ON true
    GROUP BY p_path
    HAVING bool_or(elements.schema_name = 'analytics') IS NOT TRUE
$release_wanted_path$;

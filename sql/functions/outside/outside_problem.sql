-- Says what is wrong with the tables of other services behind the KPI views.
--
-- Invariant: NULL if nothing is declared, or all of it is in order and was read by the last
-- refresh. It never asks another server.

CREATE OR REPLACE FUNCTION kpi_engine.outside_problem()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $outside_problem$
BEGIN
    IF NOT EXISTS (SELECT FROM kpi_engine.outside_sources) THEN
        RETURN NULL;
    END IF;
    RETURN (
        WITH found AS (
            SELECT
                problems.view_name,
                problems.is_fatal,
                format('%s: %s%s', problems.message, problems.remedy, CASE
                    WHEN problems.is_fatal THEN '. Until then the view keeps its rows'
                END) AS words
            FROM kpi_engine.outside_problems() AS problems
        )

        SELECT string_agg(listed.words, '; ' ORDER BY listed.words)
        FROM (
            SELECT found.words FROM found
            UNION ALL
            SELECT format('%s. The view keeps the rows of %s; each refresh tries again',
                last_try.error_message, coalesce(
                    kpi_engine.iso_instant(view_state.last_success_at), 'no refresh yet'))
            FROM (
                SELECT DISTINCT outside_sources.view_name FROM kpi_engine.outside_sources
            ) AS declared
            LEFT JOIN kpi_engine.view_state ON view_state.view_name = declared.view_name
            CROSS JOIN LATERAL (
                SELECT refresh_log.error_message, refresh_log.error_sqlstate
                FROM kpi_engine.refresh_log
                WHERE refresh_log.view_name = declared.view_name
                ORDER BY refresh_log.log_id DESC
                LIMIT 1
            ) AS last_try
            WHERE
                last_try.error_sqlstate = 'TA002'
                AND NOT EXISTS (
                    SELECT FROM found
                    WHERE found.is_fatal AND found.view_name = declared.view_name
                )
        ) AS listed
    );
END;
$outside_problem$;

COMMENT ON FUNCTION kpi_engine.outside_problem() IS
'Text of the problem outside_source: which table of another service is another one, can''t be '
'read or watched, or is old, and what to do; NULL: none. Internal to analytics.health_problems().';

REVOKE ALL ON FUNCTION kpi_engine.outside_problem() FROM public;

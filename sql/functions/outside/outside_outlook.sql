-- Says what the next refresh will do with the tables of other services behind a view.
--
-- Invariant: it never asks another server. is_stale is NULL where only the refresh will know.

CREATE OR REPLACE FUNCTION kpi_engine.outside_outlook(p_view_name text)
RETURNS TABLE (reason text, is_stale boolean, fails boolean)
LANGUAGE sql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $outside_outlook$
    WITH outlook AS (
        SELECT
            outside_sources.source_name,
            CASE
                WHEN problem.message IS NOT NULL THEN 'it fails: ' || problem.message
                WHEN outside_sources.read_at IS NULL
                    THEN outside_sources.source_name || ' was never read'
                WHEN outside_sources.watch = 'reread'
                    THEN outside_sources.source_name || ' is read anew each time'
                WHEN bound.views_now IS DISTINCT FROM outside_sources.binding -> 'views'
                    THEN format('a view between it and %s is another one', outside_sources.source_name)
                WHEN outside_sources.watch = 'version'
                    THEN format('the version of %s is compared', outside_sources.source_name)
                WHEN NOT triggers.are_working
                    THEN format('no trigger notes changes of %s', outside_sources.source_name)
                WHEN
                    outside_sources.is_changed
                    OR triggers.signature IS DISTINCT FROM outside_sources.trigger_signature
                    OR EXISTS (
                        SELECT FROM kpi_engine.outside_changes
                        WHERE
                            outside_changes.source_relation
                            = kpi_engine.outside_relation(outside_sources.source_name)
                    )
                    THEN outside_sources.source_name || ' changed'
            END AS reason,
            problem.message IS NOT NULL AS fails,
            CASE
                WHEN
                    problem.message IS NULL
                    AND outside_sources.read_at IS NOT NULL
                    AND outside_sources.watch = 'version'
                    AND bound.views_now IS NOT DISTINCT FROM outside_sources.binding -> 'views'
                    THEN 'asked'
            END AS asked
        FROM kpi_engine.outside_sources
        CROSS JOIN LATERAL kpi_engine.outside_triggers(
            kpi_engine.outside_relation(outside_sources.source_name)
        ) AS triggers
        CROSS JOIN LATERAL (
            SELECT kpi_engine.outside_binding(
                to_regclass(format('analytics.%I', outside_sources.view_name)),
                kpi_engine.outside_relation(outside_sources.source_name)
            ) -> 'views' AS views_now
        ) AS bound
        LEFT JOIN LATERAL (
            SELECT problems.message
            FROM kpi_engine.outside_problems(outside_sources.view_name) AS problems
            WHERE problems.is_fatal AND problems.source_name = outside_sources.source_name
            LIMIT 1
        ) AS problem ON true
        WHERE outside_sources.view_name = p_view_name
    )

    SELECT
        string_agg(outlook.reason, '; ' ORDER BY outlook.source_name),
        CASE
            WHEN bool_or(outlook.reason IS NOT NULL AND outlook.asked IS NULL) THEN true
            WHEN bool_or(outlook.asked IS NOT NULL) THEN NULL
            ELSE false
        END,
        bool_or(outlook.fails)
    FROM outlook;
$outside_outlook$;

COMMENT ON FUNCTION kpi_engine.outside_outlook(text) IS
'Why the outside tables of a view will make the next refresh read it anew, as far as that is known '
'before: is_stale is NULL if a version has to be asked; fails if a table is not as declared. '
'Internal to analytics.explain_refresh().';

REVOKE ALL ON FUNCTION kpi_engine.outside_outlook(text) FROM public;

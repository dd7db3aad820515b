-- Empties the views that a restore filled with figures that no refresh published.
--
-- Invariant: afterwards no view shows what the gate held back, or data that were never published,
-- only because pg_restore filled it from the derived tables. Its readers get an error (55000, over
-- HTTP 503) until a refresh publishes it. A view in use for long is left for the next tick: this
-- returns false then.

CREATE OR REPLACE FUNCTION kpi_engine.empty_refilled_views()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $empty_refilled_views$
DECLARE
    v_relation regclass;
    v_is_done boolean := true;
BEGIN
    FOR v_relation IN
        SELECT refilled.relation
        FROM kpi_engine.views_not_noted() AS refilled
        WHERE
            refilled.is_behind
            OR EXISTS (
                SELECT FROM kpi_engine.gate_holds
                WHERE gate_holds.view_name = refilled.view_name
            )
    LOOP
        BEGIN
            EXECUTE format('REFRESH MATERIALIZED VIEW %s WITH NO DATA', v_relation);
            RAISE WARNING 'teloo-analytics: a restore filled view % with figures that were never '
                'published: it is empty until a refresh publishes it', v_relation
                USING HINT = 'SELECT problem, message FROM analytics.health_problems();';
        EXCEPTION WHEN OTHERS THEN
            v_is_done := false;
            RAISE WARNING 'teloo-analytics: a restore filled view % with figures that were never '
                'published, and it can''t be emptied: % (SQLSTATE %)', v_relation, SQLERRM, SQLSTATE
                USING HINT = 'The next tick or refresh tries again.';
        END;
    END LOOP;
    RETURN v_is_done;
END;
$empty_refilled_views$;

COMMENT ON FUNCTION kpi_engine.empty_refilled_views() IS
'Makes the materialized views that a restore filled with unpublished or refused figures WITH NO '
'DATA; false if one could not be emptied. Internal to kpi_engine.settle() and make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.empty_refilled_views() FROM public;

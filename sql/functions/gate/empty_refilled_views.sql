-- Empties the views that a restore filled with figures that no refresh published.
--
-- Invariant: afterwards no view shows what the gate held back, or data that were never published,
-- only because pg_restore filled it from the derived tables. Its readers get an error (55000, over
-- HTTP 503) until a refresh publishes it. kpi_engine.view_state has the view that the last publish
-- filled, by its number. A view in use for long is left for the next tick: this returns false then.

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
    -- Usually all are those that were published.
    IF NOT EXISTS (
        SELECT FROM kpi_engine.view_state
        WHERE
            view_state.noted_relation
            IS DISTINCT FROM to_regclass(format('analytics.%I', view_state.view_name))::oid
    ) THEN
        RETURN true;
    END IF;
    FOR v_relation IN
        SELECT listed.relation
        FROM kpi_engine.materialized_views() AS listed
        INNER JOIN kpi_engine.view_state ON view_state.view_name = listed.view_name
        WHERE
            listed.is_populated
            AND view_state.last_success_at IS NOT NULL
            AND view_state.noted_relation IS DISTINCT FROM listed.relation::oid
            AND (
                listed.needed_version > coalesce(view_state.published_version, -1)
                OR EXISTS (
                    SELECT FROM kpi_engine.gate_holds
                    WHERE gate_holds.view_name = listed.view_name
                )
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

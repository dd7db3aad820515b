-- Says what the next refresh will do with each view, and why.
--
-- Invariant: it decides by the same functions as the refresh: kpi_engine.next_rebuild_reason() and
-- kpi_engine.view_staleness(). It changes nothing.
-- SECURITY DEFINER: readers may know how much waits, but may not read the log of changes.

CREATE OR REPLACE FUNCTION analytics.explain_refresh()
RETURNS TABLE (
    view_name text,
    is_stale boolean,
    reason text,
    mode text,
    mode_reason text,
    requests_to_recompute bigint,
    changed_keys bigint,
    about_ms numeric
)
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET constraint_exclusion = off
SET search_path = pg_catalog, pg_temp
SET jit = off
SET row_security = off
AS $explain_refresh$
DECLARE
    v_waiting jsonb;
    v_new_day constant boolean := (
        SELECT engine_state.today IS DISTINCT FROM analytics.today() FROM kpi_engine.engine_state
    );
    v_request_tables constant text[] := ARRAY(
        SELECT derived_tables.table_name FROM kpi_engine.derived_tables
        WHERE 'solicitud' = ANY (derived_tables.root_entities)
    );
    v_view record;
    v_outlook record;
    v_requests bigint;
    v_other_keys bigint;
BEGIN
    PERFORM kpi_engine.require_source();
    SELECT
        coalesce(sum(cardinality(waiting.keys)) FILTER (WHERE waiting.entity = 'solicitud'), 0),
        coalesce(sum(cardinality(waiting.keys)) FILTER (WHERE waiting.entity <> 'solicitud'), 0),
        jsonb_object_agg(waiting.entity, cardinality(waiting.keys)) FILTER (
            WHERE waiting.entity <> 'solicitud'
        )
    INTO v_requests, v_other_keys, v_waiting
    FROM unnest(kpi_engine.waiting_changes()) AS waiting;

    mode_reason := kpi_engine.next_rebuild_reason();
    changed_keys := v_requests + v_other_keys;
    requests_to_recompute := v_requests;
    mode := 'incremental';
    IF mode_reason IS NOT NULL THEN
        mode := 'full';
        SELECT count(*) INTO requests_to_recompute FROM kpi_engine.src_solicitudes;
    ELSIF changed_keys = 0 AND NOT v_new_day THEN
        IF EXISTS (
            SELECT FROM kpi_engine.view_staleness() AS staleness
            WHERE staleness.reason IS NOT NULL AND staleness.relation IS NOT NULL
        ) THEN
            mode_reason := 'only publishing was left';
        ELSE
            mode := 'unchanged';
            mode_reason := 'nothing changed';
        END IF;
    ELSIF changed_keys = 0 THEN
        mode_reason := 'the windows move to another local day';
    ELSE
        mode_reason := format('%s changed keys', changed_keys);
    END IF;

    -- By the last runs of that mode. Several runs give a line through time and requests.
    SELECT round(coalesce(
        CASE
            WHEN mode <> 'unchanged' AND regr_slope(run.refresh_time_ms, run.requests_recomputed) > 0
                THEN greatest(
                    regr_slope(run.refresh_time_ms, run.requests_recomputed)
                    * requests_to_recompute
                    + regr_intercept(run.refresh_time_ms, run.requests_recomputed),
                    min(run.refresh_time_ms)::double precision
                )
        END,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY run.refresh_time_ms::double precision)
    )::numeric, 1)
    INTO about_ms
    FROM (
        SELECT refresh_log.refresh_time_ms, refresh_log.requests_recomputed
        FROM kpi_engine.refresh_log
        WHERE
            refresh_log.view_name IS NULL
            AND refresh_log.refresh_status = 'SUCCESS'
            AND refresh_log.mode = explain_refresh.mode
        ORDER BY refresh_log.log_id DESC
        LIMIT 20
    ) AS run;

    FOR v_view IN
        SELECT
            staleness.view_name,
            staleness.reason,
            staleness.reads_outside,
            listed.derived_tables
        FROM kpi_engine.view_staleness() AS staleness
        LEFT JOIN kpi_engine.materialized_views() AS listed
            ON listed.view_name = staleness.view_name
    LOOP
        view_name := v_view.view_name;
        reason := coalesce(
            v_view.reason,
            CASE
                WHEN mode = 'full' AND cardinality(v_view.derived_tables) > 0 THEN mode_reason
                WHEN v_requests > 0 AND v_view.derived_tables && v_request_tables
                    THEN format('%s requests changed', v_requests)
                WHEN NOT v_view.derived_tables <@ v_request_tables THEN
                    CASE
                        WHEN v_other_keys > 0
                            THEN format('changed since: %s', v_waiting)
                        WHEN v_new_day THEN 'the windows move to another local day'
                    END
            END
        );
        is_stale := reason IS NOT NULL;
        IF v_view.reads_outside THEN
            SELECT outlook.* INTO v_outlook
            FROM kpi_engine.outside_outlook(v_view.view_name) AS outlook;
            IF reason IS NULL OR v_outlook.fails THEN
                reason := v_outlook.reason;
                is_stale := v_outlook.is_stale;
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
END;
$explain_refresh$;

COMMENT ON FUNCTION analytics.explain_refresh() IS
'Says what the next refresh will do, one row for each view: whether and why the view is stale; '
'mode (full, incremental, unchanged) of the refresh, and why; how many requests it will compute '
'from the source; changed keys; about how many milliseconds it will take, by the last runs (NULL '
'if there are none). A stale view is not published again if its changes turn out to be invisible. '
'is_stale is NULL if only the refresh asks a table of another service whether it changed.';

REVOKE ALL ON FUNCTION analytics.explain_refresh() FROM public;
GRANT EXECUTE ON FUNCTION analytics.explain_refresh() TO analytics_lector, analytics_operador;

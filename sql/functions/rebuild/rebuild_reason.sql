-- Says why the next refresh has to compute everything again; NULL if it has not.
--
-- Invariant: NULL means that the pending changes give the same result as a recomputation. The
-- refresh and analytics.explain_refresh() both decide here.

CREATE OR REPLACE FUNCTION kpi_engine.rebuild_reason(
    p_changed_requests bigint, p_is_settled boolean DEFAULT false
)
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $rebuild_reason$
DECLARE
    v_state kpi_engine.engine_state;
    v_capture jsonb;
    v_known_requests bigint;
    v_threshold constant numeric := analytics.setting('rebuild_threshold_pct')::numeric;
    v_collation_change text;
BEGIN
    SELECT engine_state.* INTO STRICT v_state FROM kpi_engine.engine_state;
    IF NOT p_is_settled THEN
        v_collation_change := kpi_engine.collation_change();
    END IF;
    IF coalesce(v_state.rebuild_reason, v_collation_change) IS NOT NULL THEN
        RETURN coalesce(v_state.rebuild_reason, v_collation_change);
    ELSIF v_state.time_zone IS DISTINCT FROM analytics.setting('time_zone') THEN
        RETURN format('the setting time_zone changed from %s', v_state.time_zone);
    ELSIF
        v_state.zone_rules <> kpi_engine.zone_rules(
            v_state.time_zone, v_state.zone_from, v_state.zone_until) THEN
        RETURN format('the server has other rules of the zone %s than before', v_state.time_zone);
    ELSIF analytics.today() < v_state.today THEN
        RETURN format('the local day went back from %s', v_state.today);
    ELSIF analytics.setting('change_capture') = 'off' THEN
        RETURN 'the setting change_capture is off';
    END IF;
    v_capture := CASE
        WHEN p_is_settled OR kpi_engine.is_settled() THEN v_state.capture_signature
        ELSE kpi_engine.capture_signature()
    END;
    IF v_capture IS NULL OR v_capture IS DISTINCT FROM v_state.capture_signature THEN
        RETURN coalesce(
            analytics.capture_gap(),
            CASE
                WHEN v_state.database_identity <> kpi_engine.database_identity()
                    THEN 'restored from a dump'
                ELSE 'change capture was missing, disabled or replaced'
            END
        );
    END IF;
    IF p_changed_requests > 1000 THEN
        SELECT coalesce(sum(month_totals.requests), 0) INTO v_known_requests
        FROM kpi_engine.month_totals;
        IF 100 * p_changed_requests > v_threshold * v_known_requests THEN
            RETURN format(
                '%s changed requests are more than %s %% of %s (setting rebuild_threshold_pct)',
                p_changed_requests, v_threshold, v_known_requests
            );
        END IF;
    END IF;
    RETURN NULL;
END;
$rebuild_reason$;

COMMENT ON FUNCTION kpi_engine.rebuild_reason(bigint, boolean) IS
'Why everything has to be computed again from the source when so many requests have changed; '
'NULL when applying the changes is right and cheaper. p_is_settled: kpi_engine.settle() just found '
'nothing new. Internal to the refresh and its explanation.';

REVOKE ALL ON FUNCTION kpi_engine.rebuild_reason(bigint, boolean) FROM public;

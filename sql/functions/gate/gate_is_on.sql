-- Tells whether gate, breaker and the alert of restatements look at figures of this size.

CREATE OR REPLACE FUNCTION kpi_engine.gate_is_on()
RETURNS boolean
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $gate_is_on$
BEGIN
    -- PL/pgSQL keeps the plan: each publish calls this.
    RETURN
        analytics.setting('gate') = 'on'
        AND coalesce((SELECT sum(month_totals.requests) FROM kpi_engine.month_totals), 0)
        >= analytics.setting('gate_least_requests')::numeric;
END;
$gate_is_on$;

COMMENT ON FUNCTION kpi_engine.gate_is_on() IS
'True if the setting gate is on and there are as many requests as the setting gate_least_requests '
'says. Internal to the gate.';

REVOKE ALL ON FUNCTION kpi_engine.gate_is_on() FROM public;

-- Tells whether the gate looks at a publish that was just noted.
--
-- Invariant: it looks if there were enough requests before or after. So no loss switches it off.

CREATE OR REPLACE FUNCTION kpi_engine.gate_is_on(p_view_name text, p_run_id bigint)
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
        AND kpi_engine.requests_around(p_view_name, p_run_id)
        >= analytics.setting('gate_least_requests')::numeric;
END;
$gate_is_on$;

COMMENT ON FUNCTION kpi_engine.gate_is_on(text, bigint) IS
'True if the setting gate is on, and before or after this publish there are as many requests as '
'the setting gate_least_requests says. Internal to the gate.';

REVOKE ALL ON FUNCTION kpi_engine.gate_is_on(text, bigint) FROM public;

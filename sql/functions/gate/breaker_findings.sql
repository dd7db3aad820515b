-- Tells whether too many requests changed at once, as a finding of the gate.
--
-- Invariant: NULL if the refresh may go on. Only requests that were known count: a marketplace that
-- gets its first data, or many new requests, is no accident. An acceptance is for one refresh.

CREATE OR REPLACE FUNCTION kpi_engine.breaker_findings(p_changed bigint)
RETURNS jsonb
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $breaker_findings$
DECLARE
    v_limit constant text := analytics.setting('breaker_pct');
    v_known bigint;
BEGIN
    IF v_limit = 'off' OR coalesce(p_changed, 0) = 0 THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(sum(month_totals.requests), 0) INTO v_known FROM kpi_engine.month_totals;
    IF v_known < analytics.setting('gate_least_requests')::numeric
        OR p_changed * 100 <= v_limit::numeric * v_known
        OR EXISTS (
            SELECT FROM kpi_engine.acceptances_that_count('changes') AS accepted
            WHERE
                -- Older versions took normal too: it let each later mass change pass.
                accepted.how = 'once'
                -- Ordinary changes come on top while the refresh waits.
                AND (p_changed - accepted.after) * 100 <= v_limit::numeric * v_known
        ) THEN
        RETURN NULL;
    END IF;
    RETURN jsonb_build_array(jsonb_build_object(
        'rule', 'breaker', 'before', v_known, 'after', p_changed,
        'allowed', format('%s %%', v_limit)
    ));
END;
$breaker_findings$;

COMMENT ON FUNCTION kpi_engine.breaker_findings(bigint) IS
'The finding of the breaker, as a JSON array, where p_changed known requests are more than the '
'setting breaker_pct allows and no operator accepted it; else NULL. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.breaker_findings(bigint) FROM public;

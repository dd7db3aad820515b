-- Marks the requests of some local days to be computed again by the next refresh.
--
-- SECURITY DEFINER: operators do not write the pending changes.

CREATE OR REPLACE FUNCTION analytics.force_requests(p_from date, p_until date)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $force_requests$
DECLARE
    v_marked bigint;
BEGIN
    IF
        (p_from <= p_until) IS NOT TRUE
        -- No timestamp is outside, with the days around that kpi_engine.requests_of_days() adds.
        OR isfinite(p_from) AND p_from < '4712-01-01 BC'
        OR isfinite(p_until) AND p_until > '294275-12-31' THEN
        RAISE EXCEPTION 'p_from and p_until must be days from 4712 BC to 294275, p_from not after '
            'p_until'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %s and %s.', coalesce(p_from::text, 'NULL'), coalesce(
                      p_until::text, 'NULL')),
                  HINT = 'SELECT analytics.force_requests(''2026-01-01'', ''2026-01-31'');';
    END IF;
    PERFORM kpi_engine.require_source();
    PERFORM kpi_engine.hold_change_log();
    INSERT INTO kpi_engine.pending_changes (entity, key, epoch)
    SELECT 'solicitud', requests.solicitud_id, engine_state.epoch
    FROM kpi_engine.requests_of_days(p_from, p_until) AS requests
    CROSS JOIN kpi_engine.engine_state
    ON CONFLICT (entity, key) DO UPDATE SET epoch = excluded.epoch, is_applied = false;
    GET DIAGNOSTICS v_marked := ROW_COUNT;
    RETURN v_marked;
END;
$force_requests$;

COMMENT ON FUNCTION analytics.force_requests(date, date) IS
'Marks the requests of the local days p_from to p_until, both included. The next refresh computes '
'them again from the source. Returns how many. Errors: 22023 if the days are no range.';

REVOKE ALL ON FUNCTION analytics.force_requests(date, date) FROM public;
GRANT EXECUTE ON FUNCTION analytics.force_requests(date, date) TO analytics_operador;

-- Lets the changes of these requests pass, or raises, so that they wait for an operator.
--
-- Invariant: of the changed requests, only those that were known count.

CREATE OR REPLACE FUNCTION kpi_engine.check_changed_requests(p_ids uuid[])
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $check_changed_requests$
BEGIN
    IF kpi_engine.breaker_findings(cardinality(p_ids)) IS NOT NULL THEN
        PERFORM kpi_engine.check_breaker(count(*))
        FROM unnest(p_ids) AS changed (id)
        INNER JOIN kpi_engine.solicitud_facts ON solicitud_facts.solicitud_id = changed.id;
    END IF;
END;
$check_changed_requests$;

COMMENT ON FUNCTION kpi_engine.check_changed_requests(uuid[]) IS
'Raises SQLSTATE TA001 if these are too many known requests to change at once (setting '
'breaker_pct). Internal to the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.check_changed_requests(uuid[]) FROM public;

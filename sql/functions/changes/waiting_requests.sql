-- Lists the requests that changed and were not recomputed yet.
--
-- Invariant: it reads in the caller's snapshot. The facts of each request that is not in the list
-- equal the source in that snapshot.

CREATE OR REPLACE FUNCTION kpi_engine.waiting_requests()
RETURNS TABLE (solicitud_id uuid)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $waiting_requests$
    SELECT pending_changes.key
    FROM kpi_engine.pending_changes
    WHERE pending_changes.entity = 'solicitud' AND NOT pending_changes.is_applied
    UNION
    SELECT change_log.key
    FROM kpi_engine.change_log
    WHERE change_log.entity = 'solicitud'
    UNION
    SELECT offers.request
    FROM kpi_engine.requests_of_offers(ARRAY(
        SELECT DISTINCT change_log.key
        FROM kpi_engine.change_log
        WHERE change_log.entity = 'oferta'
    )) AS offers (request);
$waiting_requests$;

COMMENT ON FUNCTION kpi_engine.waiting_requests() IS
'Requests that the next refresh will recompute, as far as committed. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.waiting_requests() FROM public;

-- Lists the requests of these offers, by the source of this moment.
--
-- Invariant: each offer is looked up by the index. A planner that takes a table which was just
-- emptied and filled for an empty one would compare each key with each offer: OFFSET keeps it from
-- that. It reads in the caller's snapshot.

CREATE OR REPLACE FUNCTION kpi_engine.requests_of_offers(p_offers uuid[])
RETURNS SETOF uuid
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET random_page_cost = 1.1
SET jit = off
AS $requests_of_offers$
BEGIN
    -- PL/pgSQL keeps the plan: each refresh asks.
    RETURN QUERY
        SELECT DISTINCT offer.solicitud_id
        FROM unnest(p_offers) AS asked (id)
        CROSS JOIN LATERAL (
            SELECT src_ofertas.solicitud_id
            FROM kpi_engine.src_ofertas
            WHERE src_ofertas.id = asked.id AND src_ofertas.solicitud_id IS NOT NULL
            OFFSET 0
        ) AS offer;
END;
$requests_of_offers$;

COMMENT ON FUNCTION kpi_engine.requests_of_offers(uuid[]) IS
'The requests to which these offers belong now. An offer that is gone, or has no request, gives '
'none. Internal to what reads the change log.';

REVOKE ALL ON FUNCTION kpi_engine.requests_of_offers(uuid[]) FROM public;

-- The requests that belong to some local days, by the facts or by the source.
--
-- Invariant: a request whose fact is missing or has a wrong day is among them.

CREATE OR REPLACE FUNCTION kpi_engine.requests_of_days(p_from date, p_until date)
RETURNS TABLE (solicitud_id uuid)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $requests_of_days$
    SELECT solicitud_facts.solicitud_id
    FROM kpi_engine.solicitud_facts
    WHERE solicitud_facts.local_day BETWEEN p_from AND p_until
    UNION
    -- One more day at both ends: no zone is further from UTC.
    SELECT src_solicitudes.id
    FROM kpi_engine.src_solicitudes
    WHERE
        src_solicitudes.created_at_as_stored
        BETWEEN (p_from::timestamp AT TIME ZONE 'UTC') - interval '1 day'
        AND (p_until::timestamp AT TIME ZONE 'UTC') + interval '2 days'
    UNION
    -- Requests that belong to no month have the day -infinity.
    SELECT src_solicitudes.id
    FROM kpi_engine.src_solicitudes
    WHERE
        p_from = '-infinity'
        AND (
            src_solicitudes.created_at_as_stored IS NULL
            OR src_solicitudes.created_at_as_stored < '2000-01-02'
            OR src_solicitudes.created_at_as_stored >= '2099-12-30'
        );
$requests_of_days$;

COMMENT ON FUNCTION kpi_engine.requests_of_days(date, date) IS
'Requests of the local days p_from to p_until, both included, and some of the days around. From '
'-infinity on, with the requests that belong to no month. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.requests_of_days(date, date) FROM public;

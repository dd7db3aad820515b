-- Checksums the rules of a time zone: the instants at which local days begin.
--
-- Invariant: another value if one of these days began at another instant by the rules that the
-- server has now. An update of its time zone data can change these, also for days that are over.
-- NULL for a range that is not known.

CREATE OR REPLACE FUNCTION kpi_engine.zone_rules(p_time_zone text, p_from date, p_until date)
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $zone_rules$
BEGIN
    -- PL/pgSQL keeps the plan: each refresh asks. One hash of them all is the fastest.
    RETURN CASE WHEN p_from <= p_until THEN hash_array_extended(
        ARRAY(
            SELECT days.day AT TIME ZONE p_time_zone
            FROM generate_series(
                p_from::timestamp, p_until::timestamp, interval '1 day'
            ) AS days (day)
        ),
        0
    )::text END;
END;
$zone_rules$;

COMMENT ON FUNCTION kpi_engine.zone_rules(text, date, date) IS
'Checksum of the instants at which the local days p_from to p_until of a zone begin; NULL if one '
'of them is NULL. Internal to kpi_engine.rebuild_reason() and note_zone_rules().';

REVOKE ALL ON FUNCTION kpi_engine.zone_rules(text, date, date) FROM public;

-- Notes the rules of the time zone by which the facts are computed.
--
-- Invariant: the days of all facts are among those that it is about. A month at both ends is for
-- what comes before the next note.

CREATE OR REPLACE FUNCTION kpi_engine.note_zone_rules()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_zone_rules$
DECLARE
    v_from date;
    v_until date;
BEGIN
    SELECT
        least(min(month_totals.mes), analytics.today() - 90) - 31,
        greatest(max(month_totals.mes), analytics.today()) + 62
    INTO v_from, v_until
    FROM kpi_engine.month_totals
    WHERE isfinite(month_totals.mes);
    UPDATE kpi_engine.engine_state SET
        zone_from = v_from,
        zone_until = v_until,
        zone_rules = kpi_engine.zone_rules(engine_state.time_zone, v_from, v_until);
END;
$note_zone_rules$;

COMMENT ON FUNCTION kpi_engine.note_zone_rules() IS
'Notes in kpi_engine.engine_state by which rules of the zone the facts are computed. Internal to '
'kpi_engine.apply_changes().';

REVOKE ALL ON FUNCTION kpi_engine.note_zone_rules() FROM public;

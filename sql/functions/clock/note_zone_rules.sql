-- Notes the rules of the time zone by which the facts are computed.
--
-- Invariant: the days of all facts are among those that it is about: also of advisors who
-- registered long before the first request, and of offers that are dated ahead. (But for days
-- before 1970, of which zones have no reliable rules, and for what belongs to no day.) A month at
-- both ends is for what comes before the next note.

CREATE OR REPLACE FUNCTION kpi_engine.note_zone_rules()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_zone_rules$
DECLARE
    -- UTC began to count there. Some days are bounds (kpi_engine.local_date).
    c_first constant date := '1969-12-31';
    c_last constant date := '2199-12-31';
    v_from date;
    v_until date;
BEGIN
    SELECT
        least(min(known.first_day), analytics.today() - 90) - 31,
        greatest(max(known.last_day), analytics.today()) + 62
    INTO v_from, v_until
    FROM (
        SELECT min(month_totals.mes), max(month_totals.mes)
        FROM kpi_engine.month_totals
        WHERE isfinite(month_totals.mes)
        UNION ALL
        SELECT min(historica_facts.local_day), max(historica_facts.local_day)
        FROM kpi_engine.historica_facts
        WHERE historica_facts.local_day BETWEEN c_first AND c_last
        UNION ALL
        SELECT min(notificacion_facts.local_day), max(notificacion_facts.local_day)
        FROM kpi_engine.notificacion_facts
        WHERE notificacion_facts.local_day BETWEEN c_first AND c_last
        UNION ALL
        SELECT min(auditoria_facts.local_day), max(auditoria_facts.local_day)
        FROM kpi_engine.auditoria_facts
        WHERE auditoria_facts.local_day BETWEEN c_first AND c_last
        UNION ALL
        SELECT min(asesor_facts.registered_on), max(asesor_facts.registered_on)
        FROM kpi_engine.asesor_facts
        WHERE asesor_facts.registered_on BETWEEN c_first AND c_last
    ) AS known (first_day, last_day);
    UPDATE kpi_engine.engine_state SET
        zone_from = v_from,
        zone_until = v_until,
        zone_rules = kpi_engine.zone_rules(engine_state.time_zone, v_from, v_until);
END;
$note_zone_rules$;

COMMENT ON FUNCTION kpi_engine.note_zone_rules() IS
'Notes in kpi_engine.engine_state by which rules of the zone the facts are computed. Internal to '
'kpi_engine.apply_changes() and finish_rebuild().';

REVOKE ALL ON FUNCTION kpi_engine.note_zone_rules() FROM public;

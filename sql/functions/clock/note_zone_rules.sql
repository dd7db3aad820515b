-- Notes the rules of the time zone by which the facts are computed.
--
-- Invariant: the days of all facts are among those that it is about: also of advisors who
-- registered long before the first request, of offers that are dated ahead, and of facts that
-- somebody added. (But for days before 1970, of which zones have no reliable rules, and for what
-- belongs to no day.) A month at both ends is for what comes before the next note.

CREATE OR REPLACE FUNCTION kpi_engine.note_zone_rules()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_zone_rules$
DECLARE
    -- UTC began to count there. Some days are bounds (kpi_engine.local_date).
    c_days constant text := 'SELECT min(%1$I::date), max(%1$I::date) FROM kpi_engine.%2$I '
        'WHERE %1$I BETWEEN ''1969-12-31'' AND ''2199-12-31''';
    v_days text;
    v_first date;
    v_last date;
    v_from date;
    v_until date;
BEGIN
    -- All facts, also those that somebody added. Their periods begin on days of local_day.
    SELECT string_agg(
        format(c_days, columns.attname, derived_tables.table_name), E'\nUNION ALL\n'
    )
    INTO STRICT v_days
    FROM kpi_engine.derived_tables
    INNER JOIN pg_attribute AS columns
        ON columns.attrelid = to_regclass(format('kpi_engine.%I', derived_tables.table_name))
    WHERE
        derived_tables.upkeep = 'key'
        AND columns.attnum > 0
        AND columns.atttypid IN ('date'::regtype, 'timestamp'::regtype)
        AND NOT (
            columns.attname IN ('mes', 'semana', 'dia')
            AND EXISTS (
                SELECT FROM pg_attribute AS days
                WHERE days.attrelid = columns.attrelid AND days.attname = 'local_day'
            )
        );
    EXECUTE format(
        'SELECT min(known.first_day), max(known.last_day) FROM (%s) AS known (first_day, last_day)',
        v_days
    ) INTO STRICT v_first, v_last;
    v_from := least(v_first, analytics.today() - 90) - 31;
    v_until := greatest(v_last, analytics.today()) + 62;
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

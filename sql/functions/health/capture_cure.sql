-- Says what closes a gap of change capture.
--
-- Invariant: it helps. Triggers can't be made on a view or foreign table, and do not help where
-- somebody altered the log. Our tables come first: while one is UNLOGGED, nothing else helps.

CREATE OR REPLACE FUNCTION kpi_engine.capture_cure()
RETURNS TABLE (reason text, statements text[], in_words text)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $capture_cure$
DECLARE
    c_capture constant text := kpi_engine.capture_call();
    c_in_words constant text := 'CALL analytics.apply_change_capture(); as the owner of the '
        || 'operational tables';
    v_without_triggers constant text := (
        SELECT string_agg(
            captured.relation::regclass::text, ', ' ORDER BY captured.relation::regclass::text
        )
        FROM kpi_engine.captured_tables() AS captured
        WHERE captured.relation_kind NOT IN ('r', 'p')
    );
BEGIN
    SELECT
        array_agg(
            unlogged.statement || '  -- as a superuser or as analytics_owner'
            ORDER BY unlogged.place
        ),
        string_agg(unlogged.statement, ' ' ORDER BY unlogged.place)
        || ' as a superuser or as analytics_owner'
    INTO statements, in_words
    FROM kpi_engine.unlogged_tables() WITH ORDINALITY AS unlogged (name, statement, place);
    IF statements IS NOT NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;
    IF v_without_triggers IS NOT NULL THEN
        reason := v_without_triggers || ' can''t have triggers: a view or foreign table';
        statements := ARRAY[
            'SELECT analytics.set_setting(''change_capture'', ''off'');',
            c_capture,
            '-- Off, every refresh computes everything again: slower, just as right.'
        ];
        in_words := 'SELECT analytics.set_setting(''change_capture'', ''off''); then ' || c_in_words
            || ' (slower, just as right)';
    ELSIF kpi_engine.capture_obstacle() IS NOT NULL THEN
        statements := ARRAY[
            '-- Take away what was added (psql: \d kpi_engine.change_log shows it). If a table or '
            || 'function of ours is gone: $ make migrate',
            c_capture
        ];
        in_words := 'take away what was added to kpi_engine.change_log, or run make migrate for what '
            || 'is gone, then ' || c_in_words;
    ELSE
        statements := ARRAY[c_capture];
        in_words := c_in_words;
    END IF;
    RETURN NEXT;
END;
$capture_cure$;

COMMENT ON FUNCTION kpi_engine.capture_cure() IS
'What closes a gap of change capture: the statements, the same in words, and why no triggers can '
'be made (reason; NULL: they can). Internal to health and doctor.';

REVOKE ALL ON FUNCTION kpi_engine.capture_cure() FROM public;

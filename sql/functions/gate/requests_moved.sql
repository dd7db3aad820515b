-- Counts the known requests that a rebuild found changed or gone, before its set is read.
--
-- Invariant: it never returns NULL, which would let all pass. If the rules or the time zone
-- changed, or requests are not rebuilt, the rows can't be compared. Then known requests with a
-- pending change count, and those that are gone from the new set. The count is never below the one
-- that is held: it may come from a comparison that is no longer possible.

CREATE OR REPLACE FUNCTION kpi_engine.requests_moved()
RETURNS bigint
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS $requests_moved$
DECLARE
    v_facts kpi_engine.derived_tables;
    v_moved bigint;
BEGIN
    SELECT derived_tables.* INTO STRICT v_facts
    FROM kpi_engine.derived_tables
    WHERE derived_tables.table_name = 'solicitud_facts';
    IF v_facts.rebuilding_by = v_facts.rules_checksum
        AND EXISTS (
            SELECT FROM kpi_engine.engine_state
            WHERE engine_state.time_zone = analytics.setting('time_zone')
        ) THEN
        EXECUTE format(
            'SELECT count(*) FROM kpi_engine.%I AS known
             LEFT JOIN kpi_engine.%I AS fresh ON %s
             WHERE ROW(%s) IS DISTINCT FROM ROW(%s)',
            kpi_engine.set_of('solicitud_facts', false),
            kpi_engine.set_of('solicitud_facts', true),
            kpi_engine.column_list(v_facts.key_columns, 'known.%1$I = fresh.%1$I', ' AND '),
            kpi_engine.column_list(v_facts.key_columns || v_facts.value_columns, 'known.%1$I'),
            kpi_engine.column_list(v_facts.key_columns || v_facts.value_columns, 'fresh.%1$I')
        ) INTO v_moved;
        RETURN v_moved;
    END IF;
    EXECUTE format(
        'SELECT count(*) FROM kpi_engine.%I AS known
         LEFT JOIN kpi_engine.waiting_requests() AS waiting USING (solicitud_id)
         LEFT JOIN kpi_engine.%I AS fresh ON %s
         WHERE waiting.solicitud_id IS NOT NULL OR ($1 AND fresh.solicitud_id IS NULL)',
        kpi_engine.set_of('solicitud_facts', false),
        kpi_engine.set_of('solicitud_facts', true),
        kpi_engine.column_list(v_facts.key_columns, 'known.%1$I = fresh.%1$I', ' AND ')
    ) INTO v_moved USING v_facts.rebuilding_by IS NOT NULL;
    RETURN greatest(v_moved, (
        SELECT max(gate_holds.after) FROM kpi_engine.gate_holds
        WHERE gate_holds.view_name = 'changes'
    ));
END;
$requests_moved$;

COMMENT ON FUNCTION kpi_engine.requests_moved() IS
'How many of the requests that are read have another row, or none, in the set that a rebuild '
'filled; where that can''t be said, how many have a pending change, are gone or are held already. '
'Internal to the breaker.';

REVOKE ALL ON FUNCTION kpi_engine.requests_moved() FROM public;

-- Counts the known requests that a rebuild found changed or gone, before its set is read.
--
-- Invariant: NULL if the two sets can't be compared: requests are not rebuilt, or by other rules or
-- in another time zone than the ones that are read.

CREATE OR REPLACE FUNCTION kpi_engine.requests_moved()
RETURNS bigint
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $requests_moved$
DECLARE
    v_facts kpi_engine.derived_tables;
    v_moved bigint;
BEGIN
    SELECT derived_tables.* INTO v_facts
    FROM kpi_engine.derived_tables
    CROSS JOIN kpi_engine.engine_state
    WHERE
        derived_tables.table_name = 'solicitud_facts'
        AND derived_tables.rebuilding_by = derived_tables.rules_checksum
        AND engine_state.time_zone = analytics.setting('time_zone');
    IF FOUND THEN
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
    END IF;
    RETURN v_moved;
END;
$requests_moved$;

COMMENT ON FUNCTION kpi_engine.requests_moved() IS
'How many of the requests that are read have another row, or none, in the set that a rebuild '
'filled; NULL where that can''t be said. Internal to the breaker.';

REVOKE ALL ON FUNCTION kpi_engine.requests_moved() FROM public;

-- Names a derived table that is empty although its sources are not.
--
-- Invariant: it is asked once after a restore. It may also name a table that is rightly empty. Then
-- everything is computed again once, without need. It never misses a table that was lost as a
-- whole.

CREATE OR REPLACE FUNCTION kpi_engine.lost_derived_table()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $lost_derived_table$
DECLARE
    v_table kpi_engine.derived_tables;
    v_is_lost boolean;
BEGIN
    FOR v_table IN
        SELECT derived_tables.*
        FROM kpi_engine.derived_tables
        ORDER BY derived_tables.depth, derived_tables.table_name
    LOOP
        EXECUTE format(
            'SELECT NOT EXISTS (SELECT FROM kpi_engine.%I) AND (%s)',
            v_table.table_name,
            kpi_engine.column_list(
                array_remove(v_table.reads || v_table.source_view, NULL),
                'EXISTS (SELECT FROM kpi_engine.%1$I)', ' OR '
            )
        ) INTO v_is_lost;
        IF v_is_lost THEN
            RETURN v_table.table_name;
        END IF;
    END LOOP;
    RETURN NULL;
END;
$lost_derived_table$;

COMMENT ON FUNCTION kpi_engine.lost_derived_table() IS
'A derived table that has no rows though it should have some, as after a dump that left them out; '
'NULL where there is none. Internal to kpi_engine.recognize_database().';

REVOKE ALL ON FUNCTION kpi_engine.lost_derived_table() FROM public;

-- Lets the views show the sets that a rebuild filled.
--
-- Invariant: all views change in one moment, or none does. It waits for a session that reads one of
-- them, but only for a moment (lock_timeout of the caller). Readers of the materialized views are
-- not concerned.

CREATE OR REPLACE FUNCTION kpi_engine.activate_set()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $activate_set$
DECLARE
    v_table_name text;
BEGIN
    FOR v_table_name IN
        SELECT derived_tables.table_name
        FROM kpi_engine.derived_tables
        WHERE derived_tables.rebuilding_by IS NOT NULL
        ORDER BY derived_tables.table_name
    LOOP
        EXECUTE format(
            'CREATE OR REPLACE VIEW kpi_engine.%I AS SELECT * FROM kpi_engine.%I',
            v_table_name, kpi_engine.set_of(v_table_name, true)
        );
    END LOOP;
    UPDATE kpi_engine.derived_tables
    SET active_set = translate(derived_tables.active_set, 'ab', 'ba')
    WHERE derived_tables.rebuilding_by IS NOT NULL;
END;
$activate_set$;

COMMENT ON FUNCTION kpi_engine.activate_set() IS
'Makes the complete sets of a rebuild the ones that everybody reads. 55P03 when a view is '
'being read longer than lock_timeout. Internal to kpi_engine.publish_set().';

REVOKE ALL ON FUNCTION kpi_engine.activate_set() FROM public;

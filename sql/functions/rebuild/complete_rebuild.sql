-- Fills the derived tables of a rebuild that no batch filled.
--
-- Invariant: afterwards the new sets are complete for p_today.

CREATE OR REPLACE FUNCTION kpi_engine.complete_rebuild(p_today date)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- A definition that casts an instant to a day or a text means the same in each session.
SET timezone = 'UTC'
SET row_security = off
SET jit = off
AS $complete_rebuild$
DECLARE
    v_table kpi_engine.derived_tables;
BEGIN
    PERFORM kpi_engine.hold_time_zone(rebuild_batches.time_zone)
    FROM kpi_engine.rebuild_batches
    WHERE rebuild_batches.batch = 1;
    PERFORM kpi_engine.hold_source();
    PERFORM kpi_engine.require_own_ids(NULL);
    FOR v_table IN
        SELECT derived_tables.*
        FROM kpi_engine.derived_tables
        WHERE derived_tables.rebuilding_by IS NOT NULL
        ORDER BY derived_tables.depth, derived_tables.table_name
    LOOP
        -- These were filled batch by batch.
        IF v_table.source_view IS DISTINCT FROM 'src_solicitudes' THEN
            EXECUTE format(
                'DELETE FROM kpi_engine.%I', kpi_engine.set_of(v_table.table_name, true)
            );
            EXECUTE kpi_engine.fill_statement(v_table) USING p_today;
        END IF;
        -- Vacuum may have noted it as an empty table. The next tables read it.
        EXECUTE format('ANALYZE kpi_engine.%I', kpi_engine.set_of(v_table.table_name, true));
    END LOOP;
END;
$complete_rebuild$;

COMMENT ON FUNCTION kpi_engine.complete_rebuild(date) IS
'Fills the other sets of the derived tables that are rebuilt, each after those that it reads, for '
'windows that end with p_today. Internal to the rebuild.';

REVOKE ALL ON FUNCTION kpi_engine.complete_rebuild(date) FROM public;

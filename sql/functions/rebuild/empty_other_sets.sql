-- Empties the sets of the derived tables that nobody reads.
--
-- Invariant: it takes no lock that a reader or a dump could meet. (TRUNCATE would make a parallel
-- pg_dump fail.) autovacuum gives the space back. An empty table costs nothing.

CREATE OR REPLACE FUNCTION kpi_engine.empty_other_sets()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $empty_other_sets$
DECLARE
    v_set text;
BEGIN
    FOR v_set IN
        SELECT kpi_engine.set_of(derived_tables.table_name, true)
        FROM kpi_engine.derived_tables
        ORDER BY derived_tables.table_name
    LOOP
        EXECUTE format('DELETE FROM kpi_engine.%I', v_set);
    END LOOP;
END;
$empty_other_sets$;

COMMENT ON FUNCTION kpi_engine.empty_other_sets() IS
'Empties, for each derived table, the set that its view does not show. Internal to the rebuild.';

REVOKE ALL ON FUNCTION kpi_engine.empty_other_sets() FROM public;

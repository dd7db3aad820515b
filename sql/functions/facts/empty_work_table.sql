-- Empties a work table of the refresh.
--
-- Invariant: nobody but the one refresh that runs uses these tables. They are emptied by DELETE,
-- which writes no catalog and takes no lock that a dump could meet; autovacuum gives the space of
-- a large one back.

CREATE OR REPLACE FUNCTION kpi_engine.empty_work_table(p_table_name text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $empty_work_table$
BEGIN
    EXECUTE format('DELETE FROM kpi_engine.%I', p_table_name);
END;
$empty_work_table$;

COMMENT ON FUNCTION kpi_engine.empty_work_table(text) IS
'Empties a work table. Internal to the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.empty_work_table(text) FROM public;

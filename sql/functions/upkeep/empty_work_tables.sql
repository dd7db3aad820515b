-- Empties the work tables of a refresh.
--
-- Invariant: only the running refresh uses these tables. DELETE empties them: it writes no catalog
-- and takes no lock that a dump could meet. autovacuum gives the space of a large one back.

CREATE OR REPLACE FUNCTION kpi_engine.empty_work_tables(p_table_names text[])
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $empty_work_tables$
DECLARE
    v_table_name text;
BEGIN
    FOREACH v_table_name IN ARRAY p_table_names LOOP
        EXECUTE format('DELETE FROM kpi_engine.%I', 'changed_' || v_table_name);
    END LOOP;
END;
$empty_work_tables$;

COMMENT ON FUNCTION kpi_engine.empty_work_tables(text[]) IS
'Empties the work tables changed_<name> of these derived tables. Internal to the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.empty_work_tables(text[]) FROM public;

-- Empties the tables of a set that nobody reads, but for those to be kept.
--
-- Invariant: takes no lock that a reader or a dump could meet: TRUNCATE would make a parallel
-- pg_dump fail. Autovacuum gives the space back; a table that is empty costs nothing.

CREATE OR REPLACE FUNCTION kpi_engine.empty_set(p_suffix text, p_kept_tables text[])
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $empty_set$
DECLARE
    v_table_name text;
BEGIN
    FOR v_table_name IN
        SELECT derived_tables.table_name || p_suffix
        FROM kpi_engine.derived_tables
        WHERE derived_tables.table_name <> ALL (p_kept_tables)
        ORDER BY derived_tables.table_name
    LOOP
        EXECUTE format('DELETE FROM kpi_engine.%I', v_table_name);
    END LOOP;
END;
$empty_set$;

COMMENT ON FUNCTION kpi_engine.empty_set(text, text[]) IS
'Empties the derived tables of the set (suffix _a or _b) that the views do not show, but for '
'p_kept_tables. Internal to the rebuild.';

REVOKE ALL ON FUNCTION kpi_engine.empty_set(text, text[]) FROM public;

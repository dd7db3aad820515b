-- Counts the rows of a materialized view, exactly, without looking like one of its readers.
--
-- Invariant: a scan by TABLESAMPLE is not among the scans of pg_stat_all_tables, and SYSTEM (100)
-- takes every block; so what remains there is what readers did (kpi_engine.watch_usage()).

CREATE OR REPLACE FUNCTION kpi_engine.count_rows(p_view regclass)
RETURNS bigint
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $count_rows$
DECLARE
    v_rows bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM %s TABLESAMPLE SYSTEM (100)', p_view) INTO v_rows;
    RETURN v_rows;
END;
$count_rows$;

COMMENT ON FUNCTION kpi_engine.count_rows(regclass) IS
'Exact number of rows of a populated materialized view. The statistics don''t count it as a scan.';

REVOKE ALL ON FUNCTION kpi_engine.count_rows(regclass) FROM public;

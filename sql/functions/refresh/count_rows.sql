-- Counts the rows of a materialized view exactly, and does not look like a reader.
--
-- Invariant: pg_stat_all_tables does not count a scan by TABLESAMPLE, and SYSTEM (100) takes each
-- block. So the counted scans are those of readers (kpi_engine.watch_usage()). It counts by name,
-- because make migrate may put a new view in its place at any moment.

CREATE OR REPLACE FUNCTION kpi_engine.count_rows(p_view_name text)
RETURNS bigint
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $count_rows$
DECLARE
    v_rows bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM analytics.%I TABLESAMPLE SYSTEM (100)', p_view_name)
    INTO v_rows;
    RETURN v_rows;
END;
$count_rows$;

COMMENT ON FUNCTION kpi_engine.count_rows(text) IS
'Exact number of rows of a populated materialized view of schema analytics. The statistics don''t '
'count it as a scan.';

REVOKE ALL ON FUNCTION kpi_engine.count_rows(text) FROM public;

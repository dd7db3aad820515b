-- Names a temporary table of this session that inherits from an operational table.
--
-- Invariant: NULL if a read of the operational tables gives this session the rows that any other
-- session gets. Nobody but its session sees the rows of a temporary table.

CREATE OR REPLACE FUNCTION kpi_engine.temporary_part()
RETURNS text
LANGUAGE sql
STABLE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $temporary_part$
    SELECT min(pg_class.oid::regclass::text)
    FROM kpi_engine.captured_tables() AS captured
    INNER JOIN pg_inherits ON pg_inherits.inhparent = captured.relation
    INNER JOIN pg_class ON pg_class.oid = pg_inherits.inhrelid
    WHERE captured.place <> 'whole' AND pg_class.relnamespace = pg_my_temp_schema();
$temporary_part$;

COMMENT ON FUNCTION kpi_engine.temporary_part() IS
'A temporary table of this session below an operational table: a refresh would publish its rows. '
'NULL if there is none. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.temporary_part() FROM public;

-- Lists the partitions without triggers that may have rows.

CREATE OR REPLACE FUNCTION kpi_engine.parts_with_rows(p_signature jsonb)
RETURNS oid[]
LANGUAGE sql
VOLATILE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $parts_with_rows$
    SELECT coalesce(array_agg(captured.key::oid ORDER BY captured.key::oid), '{}')
    FROM jsonb_each(p_signature) AS captured
    WHERE captured.value ->> 2 IS NULL AND kpi_engine.has_rows(captured.key::oid);
$parts_with_rows$;

COMMENT ON FUNCTION kpi_engine.parts_with_rows(jsonb) IS
'Of the tables in a value of kpi_engine.capture_signature(), the partitions without triggers that '
'may hold a row now. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.parts_with_rows(jsonb) FROM public;

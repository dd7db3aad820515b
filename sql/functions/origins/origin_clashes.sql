-- Lists all rows of different origins that have the same id.
--
-- SECURITY DEFINER: operators get ids, never a row of a source table.

CREATE OR REPLACE FUNCTION analytics.origin_clashes()
RETURNS TABLE (table_name text, row_id uuid, origenes text[])
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $origin_clashes$
    SELECT clashes.table_name, clashes.row_id, clashes.origenes
    FROM kpi_engine.clashes_of_keys(NULL) AS clashes
    ORDER BY clashes.table_name, clashes.row_id;
$origin_clashes$;

COMMENT ON FUNCTION analytics.origin_clashes() IS
'Ids that rows of several origins have in the same table: the table, the id, and the origins. A '
'refresh that would count such a row fails and names it. It compares whole tables. No row: none, '
'or the operational tables are in one schema.';

REVOKE ALL ON FUNCTION analytics.origin_clashes() FROM public;
GRANT EXECUTE ON FUNCTION analytics.origin_clashes() TO analytics_operador;

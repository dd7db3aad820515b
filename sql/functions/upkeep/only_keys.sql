-- Names the keys of the rows that a statement deletes or updates.
--
-- It changes no result. The planner guesses far too many changed rows, and would read all of the
-- table to find some. It looks rows of a list of keys up by index.

CREATE OR REPLACE FUNCTION kpi_engine.only_keys(
    p_table kpi_engine.derived_tables, p_condition text
)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $only_keys$
    SELECT CASE WHEN p_table.upkeep = 'key' THEN format(
        ' AND target.%1$I = ANY (ARRAY(SELECT different.%1$I FROM different WHERE %2$s))',
        p_table.key_columns[1],
        p_condition
    ) END;
$only_keys$;

COMMENT ON FUNCTION kpi_engine.only_keys(kpi_engine.derived_tables, text) IS
'A condition on the rows of a table that is kept by key: their key is one of the changed rows that '
'fulfil p_condition. NULL for other tables: their keys have several columns. Internal to '
'kpi_engine.upkeep_statement().';

REVOKE ALL ON FUNCTION kpi_engine.only_keys(kpi_engine.derived_tables, text) FROM public;

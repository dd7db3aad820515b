-- Writes the condition that a row of a table kept by difference exists.
--
-- Invariant: a row whose sums are all 0 does not exist, for the refresh, the rebuild and the audit.

CREATE OR REPLACE FUNCTION kpi_engine.counts_something(p_table kpi_engine.derived_tables)
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $counts_something$
    SELECT CASE
        WHEN p_table.upkeep = 'difference' THEN string_agg(format('%I <> 0', summed.name), ' OR ')
        ELSE 'true'
    END
    FROM unnest(p_table.value_columns) AS summed (name)
    WHERE NOT p_table.extremes ? summed.name;
$counts_something$;

COMMENT ON FUNCTION kpi_engine.counts_something(kpi_engine.derived_tables) IS
'Condition on the rows of the definition of a derived table that the table holds. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.counts_something(kpi_engine.derived_tables) FROM public;

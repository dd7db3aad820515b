-- Rows of the source with values that can't be counted.
--
-- Shows kpi_engine.uncountable_rows. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.uncountable_rows AS
SELECT
    uncountable_rows.table_name,
    uncountable_rows.row_id,
    uncountable_rows.column_names,
    uncountable_rows.seen_at
FROM kpi_engine.uncountable_rows;

COMMENT ON VIEW analytics.uncountable_rows IS
'Rows of the operational tables with values that can''t be counted: out of range, or texts that '
'are too long. The values count as NULL or cut; what else the row holds counts.';

REVOKE ALL ON analytics.uncountable_rows FROM public;
GRANT SELECT ON analytics.uncountable_rows TO analytics_operador;

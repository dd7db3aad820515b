-- Lists the states that the rules need and that an enum type lacks.
--
-- Invariant: NULL for a type that is no enum: text may hold any state.

CREATE OR REPLACE FUNCTION kpi_engine.missing_states(
    p_type oid, p_table_name text, p_column_name text, p_generation text
)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $missing_states$
    SELECT string_agg(needed.label, ', ' ORDER BY needed.label)
    FROM kpi_engine.counted_states() AS needed
    WHERE
        p_column_name = 'estado'
        AND needed.table_name = p_table_name
        AND position(p_generation IN needed.generations) > 0
        AND EXISTS (SELECT FROM pg_enum WHERE pg_enum.enumtypid = p_type)
        AND NOT EXISTS (
            SELECT FROM pg_enum
            WHERE pg_enum.enumtypid = p_type AND pg_enum.enumlabel = needed.label
        );
$missing_states$;

COMMENT ON FUNCTION kpi_engine.missing_states(oid, text, text, text) IS
'States that the rules of the KPIs need in an enum column of the source and that its type lacks, '
'as a list; NULL where none is missing. Internal to kpi_engine.source_columns().';

REVOKE ALL ON FUNCTION kpi_engine.missing_states(oid, text, text, text) FROM public;

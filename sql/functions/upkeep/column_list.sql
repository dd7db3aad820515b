-- Writes a list of columns, each by a pattern.

CREATE OR REPLACE FUNCTION kpi_engine.column_list(
    p_columns text[], p_pattern text DEFAULT '%1$I', p_separator text DEFAULT ', '
)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $column_list$
BEGIN
    -- PL/pgSQL keeps the plan: each publish calls this.
    RETURN (
        SELECT string_agg(format(p_pattern, listed.name), p_separator ORDER BY listed.ordinality)
        FROM unnest(p_columns) WITH ORDINALITY AS listed (name, ordinality)
    );
END;
$column_list$;

COMMENT ON FUNCTION kpi_engine.column_list(text[], text, text) IS
'Names of columns as a part of a statement: each put into p_pattern as %1$I, with p_separator '
'between them. Internal to the derived tables.';

REVOKE ALL ON FUNCTION kpi_engine.column_list(text[], text, text) FROM public;

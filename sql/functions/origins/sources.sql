-- Lists the schemas of the operational tables, and how the views over each are called.
--
-- Invariant: one row, without an origin, unless kpi_engine.origins names several schemas.

CREATE OR REPLACE FUNCTION kpi_engine.sources()
RETURNS TABLE (
    origen text, source_schema text, source_generation text, number smallint, view_prefix text
)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
ROWS 1
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $sources$
#variable_conflict use_column
BEGIN
    -- PL/pgSQL keeps the plans: each refresh and each tick asks.
    RETURN QUERY
        SELECT
            origins.source_schema,
            origins.source_schema,
            origins.source_generation,
            origins.number,
            format('src_%s_', origins.number)
        FROM kpi_engine.origins
        ORDER BY origins.number;
    IF NOT FOUND THEN
        RETURN QUERY
            SELECT
                NULL::text,
                installation.source_schema,
                installation.source_generation,
                NULL::smallint,
                'src_'
            FROM kpi_engine.installation;
    END IF;
END;
$sources$;

COMMENT ON FUNCTION kpi_engine.sources() IS
'The schemas of the operational tables: the name of the origin (NULL if there is one schema), the '
'schema, its generation, its number, and the beginning of the names of the views over its tables: '
'src_ over one schema, src_<number>_ over several. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.sources() FROM public;

-- Writes a query that reads other rows than those of its relations.
--
-- Invariant: in this way one definition serves everything: the whole table, the rows of some keys,
-- the changed rows, the other set.
-- Each replaced relation becomes a WITH query of the same name. The definition reads the WITH query
-- instead.

CREATE OR REPLACE FUNCTION kpi_engine.query_over(p_definition text, p_replacements jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $query_over$
DECLARE
    v_definition text := p_definition;
    v_replacement record;
BEGIN
    FOR v_replacement IN SELECT * FROM jsonb_object_keys(p_replacements) AS listed (name) LOOP
        v_definition := regexp_replace(
            v_definition, format('\m(?:kpi_engine|analytics)\.%s\M', v_replacement.name),
            v_replacement.name, 'g'
        );
    END LOOP;
    RETURN coalesce(
        (
            SELECT 'WITH ' || string_agg(
                format('%I AS NOT MATERIALIZED (%s)', replacement.key, replacement.value), ', '
                ORDER BY replacement.key
            )
            FROM jsonb_each_text(p_replacements) AS replacement
        ) || ' ', ''
    ) || format('SELECT * FROM (%s) AS defined', v_definition);
END;
$query_over$;

COMMENT ON FUNCTION kpi_engine.query_over(text, jsonb) IS
'The query p_definition, reading other rows: p_replacements has, by the name of a relation of '
'schema kpi_engine or analytics, the query that takes its place. Internal to the derived tables.';

REVOKE ALL ON FUNCTION kpi_engine.query_over(text, jsonb) FROM public;

-- Lists which columns are the sums of columns of other views.
--
-- Invariant: it comes from the COMMENT of the column that is the total: the words in brackets end
-- with sum and the other column, such as [conteo, up, sum mv_embudo_operativo.solicitudes_creadas].
-- The total is over the rows of the other view that lie in the period.

CREATE OR REPLACE FUNCTION kpi_engine.declared_totals(p_view_name text DEFAULT NULL)
RETURNS TABLE (view_name text, column_name text, part_view text, part_column text)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $declared_totals$
#variable_conflict use_column
BEGIN
    -- PL/pgSQL keeps the plan: each publish calls this.
    RETURN QUERY
        SELECT
            pg_class.relname::text,
            pg_attribute.attname::text,
            split_part(substr(word.text, 5), '.', 1),
            split_part(substr(word.text, 5), '.', 2)
        FROM pg_class
        INNER JOIN pg_attribute
            ON pg_attribute.attrelid = pg_class.oid
            AND pg_attribute.attnum > 0
            AND NOT pg_attribute.attisdropped
        INNER JOIN pg_description
            ON pg_description.classoid = 'pg_class'::regclass
            AND pg_description.objoid = pg_class.oid
            AND pg_description.objsubid = pg_attribute.attnum
            AND pg_description.description LIKE '%, sum %'
            -- To read the words of a COMMENT takes longer than to look for a name.
            AND (
                p_view_name IS NULL
                OR pg_class.relname = p_view_name
                OR strpos(pg_description.description, ', sum ' || p_view_name || '.') > 0
            )
        CROSS JOIN LATERAL kpi_engine.kpi_comment(pg_description.description) AS comment
        CROSS JOIN LATERAL unnest(comment.words) AS word (text)
        WHERE
            pg_class.relnamespace = 'analytics'::regnamespace
            AND pg_class.relkind = 'm'
            AND word.text LIKE 'sum %';
END;
$declared_totals$;

COMMENT ON FUNCTION kpi_engine.declared_totals(text) IS
'Columns of KPI views that are sums of a column of another view, by their COMMENTs. With '
'p_view_name: those of this view, and those that are sums over it. Internal to the gate.';

REVOKE ALL ON FUNCTION kpi_engine.declared_totals(text) FROM public;

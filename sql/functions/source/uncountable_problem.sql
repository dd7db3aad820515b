-- Names the rows of the source that hold values that can't be counted.

CREATE OR REPLACE FUNCTION kpi_engine.uncountable_problem()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $uncountable_problem$
BEGIN
    -- PL/pgSQL keeps the plan: each tick calls this.
    RETURN (
        SELECT
            format(
                '%s row(s) of the operational tables hold values that can''t be counted and are left out, '
                'or texts that are cut: %s%s (all: SELECT * FROM analytics.uncountable_rows;). Have the '
                'source''s owner set them right',
                count(*),
                string_agg(
                    format('%s %s (%s)', listed.table_name, listed.row_id, listed.column_names), ', '
                    ORDER BY listed.place
                ) FILTER (WHERE listed.place <= 5),
                CASE WHEN count(*) > 5 THEN ' …' ELSE '' END
            )
        FROM (
            SELECT
                uncountable_rows.*,
                row_number() OVER (ORDER BY uncountable_rows.seen_at, uncountable_rows.row_id) AS place
            FROM kpi_engine.uncountable_rows
        ) AS listed
        HAVING count(*) > 0
    );
END;
$uncountable_problem$;

COMMENT ON FUNCTION kpi_engine.uncountable_problem() IS
'Text of the problem uncountable_rows: how many rows, the first five by table and id; NULL: none.';

REVOKE ALL ON FUNCTION kpi_engine.uncountable_problem() FROM public;

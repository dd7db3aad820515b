-- The rows of a KPI view, computed from the facts of some local days only.
--
-- Invariant: each figure is what the view would show if there were no request of any other day. It
-- uses the definitions of the derived tables, one after the other, and ends in the definition of
-- the view. It reads the facts as the last refresh left them, never the source, and writes nothing.
-- Facts without a local_day, such as those of advisors, are read in full: a column that follows
-- from them must be declared whole (kpi_engine.kpi_has_parts).

CREATE OR REPLACE FUNCTION kpi_engine.rows_of_part(
    p_relation regclass, p_first_day date, p_last_day date
)
RETURNS SETOF jsonb
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $rows_of_part$
DECLARE
    v_needed constant text[] := kpi_engine.derived_tables_behind(ARRAY[p_relation]);
    v_with text;
BEGIN
    SELECT string_agg(
        CASE
            WHEN needed.upkeep = 'key' THEN format(
                '%I AS NOT MATERIALIZED (SELECT * FROM kpi_engine.%I%s)',
                'part_' || needed.table_name,
                needed.table_name,
                CASE WHEN 'local_day' = ANY (needed.value_columns)
                    THEN ' WHERE local_day BETWEEN $1 AND $2'
                END
            )
            ELSE format(
                '%I AS MATERIALIZED (%s)',
                'part_' || needed.table_name,
                kpi_engine.query_over(
                    kpi_engine.definition_of(needed.table_name),
                    (
                        SELECT jsonb_object_agg(
                            read.name, format('SELECT * FROM %I', 'part_' || read.name))
                        FROM unnest(needed.reads) AS read (name)
                    )
                )
            )
        END,
        ', ' ORDER BY needed.depth, needed.table_name
    )
    INTO v_with
    FROM kpi_engine.derived_tables AS needed
    WHERE needed.table_name = ANY (v_needed);
    RETURN QUERY EXECUTE format(
        'WITH %s SELECT to_jsonb(shown) FROM (%s) AS shown',
        v_with,
        kpi_engine.query_over(
            kpi_engine.view_definition(p_relation),
            (
                SELECT jsonb_object_agg(
                    needed.name, format('SELECT * FROM %I', 'part_' || needed.name))
                FROM unnest(v_needed) AS needed (name)
            )
        )
    ) USING p_first_day, p_last_day;
END;
$rows_of_part$;

COMMENT ON FUNCTION kpi_engine.rows_of_part(regclass, date, date) IS
'Rows, as objects, of a KPI view from the facts of the local days p_first_day to p_last_day. The '
'cost follows the facts of these days. Internal to kpi_engine.kpi_compared_query().';

REVOKE ALL ON FUNCTION kpi_engine.rows_of_part(regclass, date, date) FROM public;

-- Writes the query that computes a KPI view from a part of the facts.
--
-- Invariant: each figure is what the view would show if there were no other facts. The query has
-- the definitions of the derived tables, one after the other, and of the views between them, and
-- ends in the definition of the view. It reads the facts as the last refresh left them, never the
-- source. It names the sets that are active in the caller's snapshot: a rebuild may have activated
-- others since.

CREATE OR REPLACE FUNCTION kpi_engine.query_over_facts(
    p_relation regclass, p_condition text, p_what text, p_column text DEFAULT NULL
)
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $query_over_facts$
DECLARE
    v_views constant regclass[] := kpi_engine.views_behind(p_relation);
    v_needed constant text[] := kpi_engine.derived_tables_behind(p_relation || v_views);
    v_with text;
    v_rows jsonb;
    v_between record;
BEGIN
    SELECT
        string_agg(
            CASE
                WHEN needed.upkeep = 'key' THEN format(
                    '%I AS NOT MATERIALIZED (SELECT * FROM kpi_engine.%I%s)',
                    'part_' || needed.table_name,
                    kpi_engine.set_of(needed.table_name, false),
                    CASE WHEN p_column IS NULL OR p_column = ANY (needed.value_columns)
                        THEN ' WHERE ' || p_condition
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
        ),
        jsonb_object_agg(
            needed.table_name, format('SELECT * FROM %I', 'part_' || needed.table_name)
        )
    INTO v_with, v_rows
    FROM kpi_engine.derived_tables AS needed
    WHERE needed.table_name = ANY (v_needed);
    v_between := kpi_engine.views_between(p_relation, v_views, 'part_', p_what, v_rows);
    RETURN format(
        'WITH %s%s SELECT to_jsonb(shown) FROM (%s) AS shown',
        v_with,
        v_between.queries,
        kpi_engine.query_over(kpi_engine.view_definition(p_relation), v_between.p_rows)
    );
END;
$query_over_facts$;

COMMENT ON FUNCTION kpi_engine.query_over_facts(regclass, text, text, text) IS
'The query of a KPI view, its rows as objects, over the facts for which p_condition is true. With '
'p_column, facts without such a column are read in full. p_what says what is computed, for '
'errors. Internal to kpi_engine.rows_of_part() and rows_of_facts().';

REVOKE ALL ON FUNCTION kpi_engine.query_over_facts(regclass, text, text, text) FROM public;

-- The rows of a KPI view, computed from the facts of one origin only.
--
-- Invariant: each figure is what an installation over this origin alone would show, ranks and
-- medians included. It uses the definitions of the derived tables, one after the other, and of the
-- views between them, and ends in the definition of the view. It reads the facts as the last
-- refresh left them, never the source, and writes nothing.

CREATE OR REPLACE FUNCTION kpi_engine.rows_of_facts(p_relation regclass, p_origen text)
RETURNS SETOF jsonb
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $rows_of_facts$
DECLARE
    v_views constant regclass[] := kpi_engine.views_behind(p_relation);
    v_needed constant text[] := kpi_engine.derived_tables_behind(p_relation || v_views);
    v_with text;
    v_rows jsonb;
    v_view record;
BEGIN
    SELECT
        string_agg(
            CASE
                WHEN needed.upkeep = 'key' THEN format(
                    '%I AS NOT MATERIALIZED (SELECT * FROM kpi_engine.%I WHERE origen = $1)',
                    'part_' || needed.table_name, needed.table_name
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
    FOR v_view IN
        SELECT
            pg_class.oid::regclass AS relation,
            pg_class.relname AS name,
            -- As kpi_engine.query_over() finds it in a definition.
            pg_class.relnamespace IN ('kpi_engine'::regnamespace, 'analytics'::regnamespace)
            AND quote_ident(pg_class.relname) = pg_class.relname AS is_found
        FROM unnest(v_views) WITH ORDINALITY AS behind (relation, place)
        INNER JOIN pg_class ON pg_class.oid = behind.relation
        ORDER BY behind.place
    LOOP
        IF NOT v_view.is_found THEN
            RAISE EXCEPTION '% can''t be computed for one origin', p_relation
                USING ERRCODE = 'feature_not_supported',
                      DETAIL = format('It reads derived tables through view %s.', v_view.relation),
                      HINT = 'Give the view between a lower-case name in schema analytics.';
        END IF;
        v_with := v_with || format(
            ', %I AS NOT MATERIALIZED (%s)',
            'part_' || v_view.name,
            kpi_engine.query_over(kpi_engine.view_definition(v_view.relation), v_rows)
        );
        v_rows := v_rows || jsonb_build_object(
            v_view.name, format('SELECT * FROM %I', 'part_' || v_view.name));
    END LOOP;
    RETURN QUERY EXECUTE format(
        'WITH %s SELECT to_jsonb(shown) FROM (%s) AS shown',
        v_with,
        kpi_engine.query_over(kpi_engine.view_definition(p_relation), v_rows)
    ) USING p_origen;
END;
$rows_of_facts$;

COMMENT ON FUNCTION kpi_engine.rows_of_facts(regclass, text) IS
'Rows, as objects, of a KPI view from the facts of one origin, of several. The cost follows the '
'facts of the origin. Internal to analytics.rows_of_origin().';

REVOKE ALL ON FUNCTION kpi_engine.rows_of_facts(regclass, text) FROM public;

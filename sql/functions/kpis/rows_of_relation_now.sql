-- The rows of a KPI view or derived table, as a refresh at this moment would make them.
--
-- Invariant: it reads everything in the caller's snapshot and writes nothing. So it reads the sets
-- that are active in this snapshot: a rebuild may have activated others since. It uses the WITH
-- queries of a refresh, one derived table after the other, and ends in the definition of the view.
-- If the view reads through other views, their definitions are WITH queries too.
-- If the next refresh would compute everything again, or a window moves, it computes everything
-- from the source.

CREATE OR REPLACE FUNCTION kpi_engine.rows_of_relation_now(p_relation regclass)
RETURNS SETOF jsonb
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET random_page_cost = 1.1
SET enable_mergejoin = off
SET jit = off
AS $rows_of_relation_now$
DECLARE
    v_today constant date := analytics.today();
    v_zone constant text := current_setting('timezone');
    v_today_before constant date := (SELECT engine_state.today FROM kpi_engine.engine_state);
    v_everything boolean;
    v_waiting kpi_engine.changed_keys[];
    v_needed text[];
    v_table kpi_engine.derived_tables;
    -- One list of keys for each table kept by key. The statement itself uses $1 and $2.
    v_keys kpi_engine.changed_keys[] := ARRAY[]::kpi_engine.changed_keys[];
    v_with text := 'window_end AS (SELECT $3 AS today)';
    v_rows jsonb;
    v_views constant regclass[] := kpi_engine.views_behind(p_relation);
    v_between record;
    v_definition text;
    v_part text;
    v_place integer;
    v_query text;
    v_name text;
BEGIN
    PERFORM kpi_engine.require_source();
    PERFORM kpi_engine.require_outside(p_relation);
    v_everything := kpi_engine.next_rebuild_reason() IS NOT NULL;
    v_needed := kpi_engine.derived_tables_behind(p_relation || v_views);
    v_everything := v_everything OR (
        v_today IS DISTINCT FROM v_today_before AND EXISTS (
            SELECT FROM kpi_engine.derived_tables
            WHERE
                derived_tables.table_name = ANY (v_needed)
                AND derived_tables.window_days IS NOT NULL
        )
    );
    v_waiting := CASE WHEN NOT v_everything THEN kpi_engine.waiting_changes() END;
    PERFORM kpi_engine.require_own_ids(v_waiting);
    FOR v_table IN
        SELECT derived_tables.*
        FROM kpi_engine.derived_tables
        WHERE derived_tables.table_name = ANY (v_needed)
        ORDER BY derived_tables.depth, derived_tables.table_name
    LOOP
        IF v_everything THEN
            v_part := format(
                ', %I AS MATERIALIZED (%s)', 'after_' || v_table.table_name,
                kpi_engine.query_over(
                    kpi_engine.definition_of(v_table.table_name),
                    coalesce((
                        SELECT jsonb_object_agg(
                            read.name, format('SELECT * FROM %I', 'after_' || read.name))
                        FROM unnest(v_table.reads) AS read (name)
                    ), '{}')
                )
            );
        ELSE
            v_part := format(
                ', %1$I AS MATERIALIZED (WITH %2$s %3$s),
                 %4$I AS NOT MATERIALIZED (
                     SELECT %5$s FROM kpi_engine.%6$I AS kept
                     WHERE NOT EXISTS (SELECT FROM %1$I AS changed WHERE %7$s)
                     UNION ALL
                     SELECT %5$s FROM %1$I WHERE sign = 1
                 )',
                'changed_' || v_table.table_name,
                v_table.changes,
                kpi_engine.rows_that_change(v_table),
                'after_' || v_table.table_name,
                kpi_engine.column_list(v_table.key_columns || v_table.value_columns),
                v_table.table_name,
                kpi_engine.column_list(v_table.key_columns, 'changed.%1$I = kept.%1$I', ' AND ')
            );
            IF v_table.upkeep = 'key' THEN
                v_place := cardinality(v_keys) + 1;
                v_keys[v_place].entity := v_table.table_name;
                v_table.table_name := kpi_engine.set_of(v_table.table_name, false);
                v_keys[v_place].keys := kpi_engine.keys_to_recompute(
                    v_table, v_waiting, v_today_before, v_today_before);
                v_part := regexp_replace(v_part, '\$1\M', format('($4)[%s].keys', v_place), 'g');
            END IF;
        END IF;
        v_with := v_with || v_part;
    END LOOP;

    v_rows := coalesce((
        SELECT jsonb_object_agg(needed.name, format('SELECT * FROM %I', 'after_' || needed.name))
        FROM unnest(v_needed) AS needed (name)
    ), '{}') || jsonb_build_object(
        'view_state',
        'SELECT view_name, $3 AS today, calculated_at FROM kpi_engine.view_state'
    );
    v_between := kpi_engine.views_between(p_relation, v_views, 'after_', 'this moment', v_rows);

    v_definition := format('SELECT * FROM %s', p_relation);
    IF (SELECT pg_class.relkind FROM pg_class WHERE pg_class.oid = p_relation) = 'm' THEN
        v_definition := kpi_engine.view_definition(p_relation);
    END IF;
    v_query := format(
        'WITH %s SELECT to_jsonb(shown) FROM (%s) AS shown',
        regexp_replace(v_with || v_between.queries, '\mkpi_engine\.window_end\M', 'window_end', 'g'),
        kpi_engine.query_over(v_definition, v_between.p_rows)
    );
    FOREACH v_name IN ARRAY v_needed LOOP
        v_query := regexp_replace(
            v_query, format('\mkpi_engine\.%s\M', v_name),
            'kpi_engine.' || kpi_engine.set_of(v_name, false), 'g');
    END LOOP;
    -- As in a refresh. Above, the clock may be pinned by the session's own zone.
    PERFORM set_config('timezone', 'UTC', true);
    RETURN QUERY EXECUTE v_query USING NULL::uuid[], v_today_before, v_today, v_keys;
    PERFORM set_config('timezone', v_zone, true);
    PERFORM kpi_engine.refuse_rewritten_source();
END;
$rows_of_relation_now$;

COMMENT ON FUNCTION kpi_engine.rows_of_relation_now(regclass) IS
'Rows, as objects, of a KPI view or derived table with the pending changes. The cost follows '
'these changes. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.rows_of_relation_now(regclass) FROM public;

-- The rows of a KPI view or derived table as they would be after a refresh at this moment.
--
-- Invariant: reads everything in the caller's snapshot and writes nothing: the same WITH queries as
-- a refresh, one derived table after the other, end in the definition of the view. Where the next
-- refresh would compute everything again, or a window moves, everything is computed from the source.

CREATE OR REPLACE FUNCTION analytics.rows_now(p_row_type anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET random_page_cost = 1.1
SET enable_mergejoin = off
SET jit = off
AS $rows_now$
DECLARE
    v_relation constant regclass := pg_typeof(p_row_type)::text::regclass;
    v_today constant date := analytics.today();
    v_today_before constant date := (SELECT engine_state.today FROM analytics.engine_state);
    v_everything boolean := analytics.next_rebuild_reason() IS NOT NULL;
    v_waiting analytics.changed_keys[];
    v_needed text[];
    v_table analytics.derived_tables;
    -- One list of keys for each table that is kept by key; $1 and $2 are of the statement.
    v_keys analytics.changed_keys[] := ARRAY[]::analytics.changed_keys[];
    v_with text := 'window_end AS (SELECT $3 AS today)';
    v_definition text;
    v_part text;
    v_place integer;
BEGIN
    PERFORM analytics.require_source();
    v_needed := analytics.derived_tables_behind(v_relation);
    v_everything := v_everything OR (
        v_today IS DISTINCT FROM v_today_before AND EXISTS (
            SELECT FROM analytics.derived_tables
            WHERE
                derived_tables.table_name = ANY (v_needed)
                AND derived_tables.window_days IS NOT NULL
        )
    );
    v_waiting := CASE WHEN NOT v_everything THEN analytics.waiting_changes() END;
    FOR v_table IN
        SELECT derived_tables.*
        FROM analytics.derived_tables
        WHERE derived_tables.table_name = ANY (v_needed)
        ORDER BY derived_tables.depth, derived_tables.table_name
    LOOP
        IF v_everything THEN
            v_part := format(
                ', %I AS MATERIALIZED (%s)', 'after_' || v_table.table_name,
                analytics.query_over(
                    analytics.definition_of(v_table.table_name),
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
                     SELECT %5$s FROM analytics.%6$I AS kept
                     WHERE NOT EXISTS (SELECT FROM %1$I AS changed WHERE %7$s)
                     UNION ALL
                     SELECT %5$s FROM %1$I WHERE sign = 1
                 )',
                'changed_' || v_table.table_name,
                analytics.changes_of(v_table),
                analytics.rows_that_change(v_table),
                'after_' || v_table.table_name,
                analytics.column_list(v_table.key_columns || v_table.value_columns),
                v_table.table_name,
                analytics.column_list(v_table.key_columns, 'changed.%1$I = kept.%1$I', ' AND ')
            );
            IF v_table.upkeep = 'key' THEN
                v_place := cardinality(v_keys) + 1;
                v_keys[v_place] := (
                    v_table.table_name,
                    analytics.keys_to_recompute(v_table, v_waiting, v_today_before, v_today_before)
                )::analytics.changed_keys;
                v_part := regexp_replace(v_part, '\$1\M', format('($4)[%s].keys', v_place), 'g');
            END IF;
        END IF;
        v_with := v_with || v_part;
    END LOOP;

    v_definition := CASE
        WHEN v_needed = ARRAY[]::text[] OR EXISTS (
            SELECT FROM pg_class WHERE pg_class.oid = v_relation AND pg_class.relkind = 'm'
        ) THEN rtrim(pg_get_viewdef(v_relation), ';')
        ELSE format('SELECT * FROM %s', v_relation)
    END;
    RETURN QUERY EXECUTE format(
        'WITH %s SELECT %s FROM (%s) AS shown',
        regexp_replace(v_with, '\manalytics\.window_end\M', 'window_end', 'g'),
        (
            SELECT string_agg(quote_ident(pg_attribute.attname), ', ' ORDER BY pg_attribute.attnum)
            FROM pg_attribute
            WHERE
                pg_attribute.attrelid = v_relation
                AND pg_attribute.attnum > 0
                AND NOT pg_attribute.attisdropped
        ),
        analytics.query_over(v_definition, (
            SELECT jsonb_object_agg(needed.name, format('SELECT * FROM %I', 'after_' || needed.name))
            FROM unnest(v_needed) AS needed (name)
        ))
    ) USING NULL::uuid[], v_today_before, v_today, v_keys;
END;
$rows_now$;

COMMENT ON FUNCTION analytics.rows_now(anyelement) IS
'Rows of the KPI view or derived table whose row type is given, such as '
'NULL::analytics.mv_metricas_mensuales, with the changes that wait for the next refresh. The cost '
'follows what changed. Internal to the real-time views.';

REVOKE ALL ON FUNCTION analytics.rows_now(anyelement) FROM public;

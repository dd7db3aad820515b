-- Compares rows of one derived table with the right rows, and heals them.
--
-- Invariant: one statement, and so one snapshot, reads both sides and the pending changes. A change
-- that is committed meanwhile is no difference. A pair of rows is left out if a change of either
-- side waits: the refresh will compute that row. The same statement writes each difference to
-- analytics.audit_log, by day and column, and heals it.

CREATE OR REPLACE FUNCTION kpi_engine.audit_table(
    p_table_name text,
    p_right_query text,
    p_known_condition text,
    p_not_waiting text,
    p_ids uuid[],
    p_from date,
    p_until date
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- A definition that casts an instant to a day or a text means the same in each session.
SET timezone = 'UTC'
SET random_page_cost = 1.1
SET enable_mergejoin = off
SET jit = off
AS $audit_table$
DECLARE
    v_columns text;
    v_key_columns text[];
    v_value_columns text[];
    v_day_column text;
    v_same_key text;
    v_cells bigint;
BEGIN
    SELECT
        kpi_engine.column_list(derived_tables.key_columns || derived_tables.value_columns),
        derived_tables.key_columns,
        derived_tables.value_columns,
        (
            SELECT listed.name
            FROM unnest(derived_tables.key_columns || derived_tables.value_columns) AS listed (name)
            WHERE listed.name IN ('local_day', 'dia', 'semana', 'mes')
            ORDER BY array_position(ARRAY['local_day', 'dia', 'semana', 'mes'], listed.name)
            LIMIT 1
        ),
        kpi_engine.column_list(derived_tables.key_columns, 'known.%1$I = fresh.%1$I', ' AND ')
    INTO STRICT v_columns, v_key_columns, v_value_columns, v_day_column, v_same_key
    FROM kpi_engine.derived_tables
    WHERE derived_tables.table_name = p_table_name;
    EXECUTE format(
        'WITH fresh AS MATERIALIZED (SELECT %2$s FROM (%3$s) AS computed),
         known AS MATERIALIZED (SELECT %2$s FROM kpi_engine.%1$I WHERE %4$s),
         different AS MATERIALIZED (
             SELECT
                 %5$s,
                 %6$s AS audited_day,
                 to_jsonb(fresh) AS fresh,
                 to_jsonb(known) AS known,
                 fresh.%7$s IS NULL AS is_extra,
                 known.%7$s IS NULL AS is_missing
             FROM fresh FULL JOIN known ON %8$s
             WHERE fresh.* IS DISTINCT FROM known.* AND (%13$s)
         ),
         gone AS (
             DELETE FROM kpi_engine.%1$I AS known USING different AS fresh
             WHERE fresh.is_extra AND %8$s
         ),
         come AS (
             INSERT INTO kpi_engine.%1$I (%2$s)
             SELECT fresh.* FROM fresh INNER JOIN different AS known ON %8$s
             ON CONFLICT (%9$s) DO UPDATE SET (%10$s) = ROW(%11$s)
         ),
         noted AS (
             INSERT INTO kpi_engine.audit_log
                 (table_name, local_day, column_name, cells, is_healed)
             SELECT %12$L, different.audited_day, cell.column_name, count(*), false
             FROM different
             CROSS JOIN LATERAL (
                 SELECT ''row'' AS column_name WHERE is_extra OR is_missing
                 UNION ALL
                 SELECT right_cell.key
                 FROM jsonb_each(different.fresh) AS right_cell
                 INNER JOIN jsonb_each(different.known) AS wrong_cell USING (key)
                 WHERE NOT is_extra AND NOT is_missing
                 AND right_cell.value IS DISTINCT FROM wrong_cell.value
             ) AS cell
             GROUP BY different.audited_day, cell.column_name
             RETURNING cells
         )
         SELECT coalesce(sum(cells), 0) FROM noted',
        p_table_name,
        v_columns,
        p_right_query,
        p_known_condition,
        (SELECT string_agg(format('coalesce(fresh.%1$s, known.%1$s) AS %1$s', name), ', ')
         FROM unnest(v_key_columns) AS name),
        CASE
            WHEN v_day_column IS NULL THEN 'NULL::date'
            ELSE format('coalesce(fresh.%1$I, known.%1$I)', v_day_column)
        END,
        v_key_columns[1],
        v_same_key,
        array_to_string(v_key_columns, ', '),
        array_to_string(v_value_columns, ', '),
        (SELECT string_agg(format('excluded.%s', name), ', ')
         FROM unnest(v_value_columns) AS name),
        p_table_name,
        coalesce(p_not_waiting, 'true')
    ) INTO v_cells USING p_ids, p_from, p_until;
    IF v_cells > 0 THEN
        PERFORM kpi_engine.note_derived_change(ARRAY[p_table_name]);
        PERFORM kpi_engine.note_hub_changes(ARRAY[p_table_name], true);
        -- This goes to the server's log. analytics.audit() warns its client once.
        RAISE LOG 'teloo-analytics: the audit found % wrong cell(s) in %, and set them right',
            v_cells, p_table_name;
    END IF;
    RETURN v_cells;
END;
$audit_table$;

COMMENT ON FUNCTION kpi_engine.audit_table(text, text, text, text, uuid[], date, date) IS
'Compares the rows of a derived table that fulfil p_known_condition with p_right_query. A pair of '
'rows (fresh: right, known: as it is) is compared if p_not_waiting is true (NULL: all). All three '
'may refer to $1 p_ids, $2 p_from and $3 p_until. Heals, logs and counts the cells that differed. '
'Internal.';

REVOKE ALL ON FUNCTION
kpi_engine.audit_table(text, text, text, text, uuid[], date, date) FROM public;

-- Lists the keys whose rows have to be computed again, for a table kept by key.
--
-- Invariant: the list has each row whose change was noted. It also has each row that leaves its
-- window when today moves.

CREATE OR REPLACE FUNCTION kpi_engine.keys_to_recompute(
    p_table kpi_engine.derived_tables,
    p_changes kpi_engine.changed_keys[],
    p_today_before date,
    p_today date
)
RETURNS uuid[]
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $keys_to_recompute$
DECLARE
    v_keys uuid[] := ARRAY[]::uuid[];
    v_more uuid[];
    v_entity record;
BEGIN
    FOR v_entity IN
        SELECT listed.key AS name, listed.value AS column_name
        FROM jsonb_each_text(p_table.entities) AS listed
    LOOP
        v_more := kpi_engine.keys_of(p_changes, v_entity.name);
        CONTINUE WHEN v_more = ARRAY[]::uuid[];
        IF v_entity.column_name <> p_table.key_columns[1] THEN
            EXECUTE format(
                'SELECT array_agg(%1$I) FROM kpi_engine.%2$I WHERE %3$I = ANY ($1)',
                p_table.key_columns[1], p_table.table_name, v_entity.column_name
            ) INTO v_more USING v_more;
        END IF;
        v_keys := CASE
            WHEN v_keys = ARRAY[]::uuid[] THEN coalesce(v_more, v_keys)
            ELSE ARRAY(SELECT unnest(v_keys) UNION SELECT unnest(v_more))
        END;
    END LOOP;
    IF p_today > p_today_before AND p_table.window_days IS NOT NULL THEN
        EXECUTE format(
            'SELECT array_agg(%1$I) FROM kpi_engine.%2$I WHERE local_day = ANY ($1)',
            p_table.key_columns[1], p_table.table_name
        ) INTO v_more
        USING kpi_engine.days_at_the_edge(p_table.window_days, p_today_before, p_today);
        v_keys := ARRAY(SELECT unnest(v_keys) UNION SELECT unnest(v_more));
    END IF;
    RETURN v_keys;
END;
$keys_to_recompute$;

COMMENT ON FUNCTION kpi_engine.keys_to_recompute(
    kpi_engine.derived_tables, kpi_engine.changed_keys[], date, date
) IS
'Keys of a derived table to compute again, each once: of the changes, and of the rows that leave '
'its windows when these end with p_today instead of p_today_before. Internal to the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.keys_to_recompute(
    kpi_engine.derived_tables, kpi_engine.changed_keys[], date, date
) FROM public;

-- Brings all derived tables up to date with the changes.
--
-- Invariant: each table comes after the tables that it reads, and moves by the changes in them. A
-- table without changes is not touched. Afterwards all windows end with p_today. The cost follows
-- the changes, not the length of history.

CREATE OR REPLACE FUNCTION kpi_engine.apply_upkeep(
    p_changes kpi_engine.changed_keys[], p_today date
)
RETURNS text[]
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- A definition that casts an instant to a day or a text means the same in each session.
SET timezone = 'UTC'
SET row_security = off
SET random_page_cost = 1.1
SET enable_mergejoin = off
SET jit = off
AS $apply_upkeep$
DECLARE
    v_today_before constant date := (SELECT engine_state.today FROM kpi_engine.engine_state);
    v_table kpi_engine.derived_tables;
    v_keys uuid[];
    v_rows bigint;
    v_touched text[] := ARRAY[]::text[];
    v_changed text[] := ARRAY[]::text[];
BEGIN
    IF p_today > v_today_before THEN
        UPDATE kpi_engine.engine_state SET today = p_today;
    END IF;
    FOR v_table IN
        SELECT derived_tables.*
        FROM kpi_engine.derived_tables
        ORDER BY derived_tables.depth, derived_tables.table_name
    LOOP
        v_keys := NULL;
        IF v_table.upkeep = 'key' THEN
            v_keys := kpi_engine.keys_to_recompute(v_table, p_changes, v_today_before, p_today);
        END IF;
        v_rows := 0;
        IF v_keys <> ARRAY[]::uuid[] OR v_table.reads && v_touched THEN
            EXECUTE v_table.statement USING v_keys, v_today_before;
            GET DIAGNOSTICS v_rows := ROW_COUNT;
        END IF;
        IF v_rows > 0 THEN
            v_changed := v_changed || v_table.table_name;
        END IF;
        IF p_today > v_today_before THEN
            v_rows := v_rows
                + kpi_engine.add_rows_at_the_edge(v_table, v_today_before, p_today);
        END IF;
        IF v_rows > 0 THEN
            v_touched := v_touched || v_table.table_name;
        END IF;
        -- The planner guesses rows by the file, which an earlier refresh may have left large.
        IF v_rows > 1000 OR (
            v_rows > 0
            AND pg_relation_size(format('kpi_engine.%I', 'changed_' || v_table.table_name)) > 262144
        ) THEN
            EXECUTE format('ANALYZE kpi_engine.%I', 'changed_' || v_table.table_name);
        END IF;
    END LOOP;
    PERFORM kpi_engine.note_hub_changes(v_changed, false);
    PERFORM kpi_engine.empty_work_tables(v_touched);
    RETURN v_changed;
END;
$apply_upkeep$;

COMMENT ON FUNCTION kpi_engine.apply_upkeep(kpi_engine.changed_keys[], date) IS
'Recomputes the rows of these keys from the source, moves everything that follows from them, and '
'moves the windows to p_today (not before the day with which they end). Returns the derived '
'tables that changed. Internal to kpi_engine.apply_later_changes().';

REVOKE ALL ON FUNCTION kpi_engine.apply_upkeep(kpi_engine.changed_keys[], date) FROM public;

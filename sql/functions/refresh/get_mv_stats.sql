-- Size, rows and age of each materialized view.
--
-- Invariant: a view that make migrate replaces meanwhile is counted by its name, and one that is
-- dropped is left out.
-- SECURITY DEFINER: it also counts views that the reader may not read.

CREATE OR REPLACE FUNCTION analytics.get_mv_stats()
RETURNS TABLE (
    view_name text,
    row_count bigint,
    size_bytes bigint,
    last_refresh timestamptz,
    is_populated boolean
)
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET constraint_exclusion = off
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $get_mv_stats$
DECLARE
    v_view record;
BEGIN
    FOR v_view IN
        SELECT materialized_views.*, view_state.last_success_at
        FROM kpi_engine.materialized_views()
        LEFT JOIN kpi_engine.view_state USING (view_name)
    LOOP
        view_name := v_view.view_name;
        is_populated := v_view.is_populated;
        last_refresh := v_view.last_success_at;
        row_count := NULL;
        IF is_populated THEN
            BEGIN
                row_count := kpi_engine.count_rows(view_name);
            EXCEPTION
                WHEN undefined_table THEN
                    CONTINUE;
                WHEN insufficient_privilege THEN
                    RAISE WARNING 'teloo-analytics: view % belongs to somebody else: not counted',
                        view_name
                        USING HINT = format(
                            'ALTER MATERIALIZED VIEW analytics.%I OWNER TO analytics_owner;',
                            view_name);
            END;
        END IF;
        -- It waits for a swap, and then the relation that had the name is gone.
        FOR v_try IN 1..2 LOOP
            size_bytes := pg_total_relation_size(to_regclass(format('analytics.%I', view_name)));
            EXIT WHEN size_bytes IS NOT NULL;
        END LOOP;
        CONTINUE WHEN size_bytes IS NULL;
        RETURN NEXT;
    END LOOP;
END;
$get_mv_stats$;

COMMENT ON FUNCTION analytics.get_mv_stats() IS
'One row for each materialized view of schema analytics: view_name, row_count (exact; NULL before '
'the first refresh, and, with a warning, for a view of another owner), size_bytes (with indexes), '
'last_refresh (last success; NULL before the first), is_populated.';

REVOKE ALL ON FUNCTION analytics.get_mv_stats() FROM public;
GRANT EXECUTE ON FUNCTION analytics.get_mv_stats() TO analytics_lector, analytics_operador;

-- Builds a materialized view aside, populated where the present one is.

CREATE FUNCTION pg_temp.release_stage(p_name text)
RETURNS void
LANGUAGE plpgsql
AS $release_stage$
DECLARE
    v_stale text[];
BEGIN
    IF to_regnamespace('analytics_staging') IS NULL THEN
        PERFORM pg_temp.release_hold_refreshes();
        PERFORM pg_temp.release_make_schema('analytics_staging');
    END IF;
    PERFORM set_config('search_path', 'analytics_staging, pg_catalog, pg_temp', true);
    PERFORM pg_temp.release_execute(p_name);
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
    IF to_regclass('kpi_engine.gate_holds') IS NOT NULL AND EXISTS (
        SELECT FROM kpi_engine.gate_holds WHERE gate_holds.view_name = p_name
    ) THEN
        RAISE EXCEPTION 'view % changed, and the gate holds it back; nothing was changed', p_name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Built anew, it would show the figures that the gate refused. Accept them, '
                         'or mend their cause and refresh; then run the file again.';
    END IF;
    IF (
        SELECT pg_class.relispopulated FROM pg_class
        WHERE pg_class.oid = to_regclass(format('analytics.%I', p_name))
    ) THEN
        -- Facts that were never built would leave readers with an empty view.
        PERFORM kpi_engine.rebuild_in_transaction(analytics.today(), NULL)
        FROM kpi_engine.engine_state WHERE engine_state.time_zone IS NULL;
        -- Nor may it show columns that nothing has filled yet.
        v_stale := kpi_engine.stale_derived_tables();
        IF v_stale <> '{}' THEN
            PERFORM kpi_engine.generate_statements();
            BEGIN
                PERFORM kpi_engine.rebuild_in_transaction(engine_state.today, v_stale)
                FROM kpi_engine.engine_state;
            EXCEPTION WHEN SQLSTATE 'TA001' THEN
                RAISE EXCEPTION '%; nothing was changed', SQLERRM
                    USING ERRCODE = 'object_not_in_prerequisite_state',
                          HINT = 'A view that is built anew would show these changes. Let a refresh '
                                 'hold them: SELECT * FROM analytics.refresh_all_mv(); Mend the '
                                 'data, or accept them: SELECT analytics.accept_gate(''changes'', '
                                 '''once'', ''the reason''); refresh again; then run the file again.';
            END;
        END IF;
        EXECUTE format('REFRESH MATERIALIZED VIEW analytics_staging.%I', p_name);
    END IF;
    INSERT INTO pg_temp.release_waiting (name, is_staged) VALUES (p_name, true);
END;
$release_stage$;

-- Refreshes one materialized view, and says what it did.
--
-- Invariant: afterwards the view holds what its definition gives. A view with calculado_at, or over
-- tables of other services, is published again only if another column changed. Readers don't wait,
-- once the view is populated and has its unique index. Scans of the view by this function are noted
-- (kpi_engine.watch_usage).
-- It raises the errors of the refresh. The caller decides what a failure means.

CREATE OR REPLACE FUNCTION kpi_engine.refresh_view(p_view record, p_force boolean)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
-- REFRESH … CONCURRENTLY analyzes its temporary tables. Their plans need no more than sizes.
SET default_statistics_target = 1
AS $refresh_view$
DECLARE
    v_changed boolean := true;
    v_scans bigint;
    v_lock_timeout text;
    v_zone text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class WHERE pg_class.oid = p_view.relation) THEN
        RAISE EXCEPTION 'materialized view analytics.% is gone', quote_ident(p_view.view_name)
            USING ERRCODE = 'undefined_table',
                  HINT = 'make migrate creates it again, or forgets it if it is not of this package.';
    END IF;

    INSERT INTO kpi_engine.view_state AS state (
        view_name, today, calculated_at, settings_checksum
    )
    VALUES (
        p_view.view_name, analytics.today(), analytics.now(),
        CASE WHEN p_view.reads_settings THEN kpi_engine.settings_checksum() END
    )
    ON CONFLICT (view_name) DO UPDATE
    SET today = excluded.today, settings_checksum = excluded.settings_checksum
    WHERE
        (state.today, state.settings_checksum)
        IS DISTINCT FROM (excluded.today, excluded.settings_checksum);

    v_scans := kpi_engine.scans_so_far(p_view.relation);
    IF (p_view.has_calculado_at OR p_view.reads_outside) AND p_view.is_populated AND NOT p_force THEN
        v_changed := kpi_engine.view_differs(p_view.view_name) OR EXISTS (
            SELECT FROM kpi_engine.view_state
            WHERE
                view_state.view_name = p_view.view_name
                -- A clock was wrong.
                AND view_state.calculated_at
                > greatest(analytics.now(), clock_timestamp()) + kpi_engine.clock_tolerance()
        );
    END IF;

    IF v_changed THEN
        UPDATE kpi_engine.view_state SET calculated_at = analytics.now()
        WHERE view_state.view_name = p_view.view_name;
        -- A definition that casts an instant to a day or a text means the same in each session. The
        -- clock above may be pinned by the zone of this one.
        v_zone := current_setting('timezone');
        PERFORM set_config('timezone', 'UTC', true);
        IF p_view.is_populated AND p_view.has_unique_index THEN
            EXECUTE format('REFRESH MATERIALIZED VIEW CONCURRENTLY %s', p_view.relation);
        ELSE
            IF p_view.is_populated THEN
                RAISE WARNING 'teloo-analytics: view % has no plain unique index: '
                    'its readers wait during the refresh', p_view.view_name
                    USING HINT = 'make migrate builds the view again with its indexes.';
            END IF;
            -- This needs the view for itself. A dump that reads the view may take hours.
            v_lock_timeout := current_setting('lock_timeout');
            PERFORM set_config('lock_timeout', '1min', true);
            EXECUTE format('REFRESH MATERIALIZED VIEW %s', p_view.relation);
            PERFORM set_config('lock_timeout', v_lock_timeout, true);
        END IF;
        PERFORM set_config('timezone', v_zone, true);
    END IF;
    INSERT INTO kpi_engine.own_scans (relation, scans)
    SELECT p_view.relation, own.scans
    FROM (SELECT kpi_engine.scans_so_far(p_view.relation) - v_scans AS scans) AS own
    WHERE own.scans > 0;
    RETURN v_changed;
END;
$refresh_view$;

COMMENT ON FUNCTION kpi_engine.refresh_view(record, boolean) IS
'Refreshes one materialized view, a row of kpi_engine.view_staleness(). Returns false if its '
'contents were right already and it was not published again. Internal to kpi_engine.run_refresh() '
'and refresh_outside_view().';

REVOKE ALL ON FUNCTION kpi_engine.refresh_view(record, boolean) FROM public;

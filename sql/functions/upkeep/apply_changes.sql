-- Brings all derived tables up to date, by what changed or by everything.
--
-- Invariant: after the commit, the derived tables are what the source gave at some moment not
-- before this call (kpi_engine.apply_later_changes). Each change that was not seen still waits in
-- the log. To compute a row twice gives the same result. If the source changes faster than that,
-- engine_state.is_half_seen says so: it computes twice at most.

CREATE OR REPLACE FUNCTION kpi_engine.apply_changes(
    p_force boolean,
    p_is_again boolean DEFAULT false,
    OUT mode text,
    OUT reason text,
    OUT requests bigint
)
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = on
AS $apply_changes$
DECLARE
    v_is_settled boolean;
    v_today date;
    v_today_before date;
    -- With which day the windows of the tables end that are computed again.
    v_rebuilt_to date;
    v_changes kpi_engine.changed_keys[];
    v_keys bigint;
    v_changed_tables text[] := ARRAY[]::text[];
    -- NULL: all are computed again.
    v_stale_tables text[];
    v_scans jsonb;
    v_applied record;
    v_is_half_seen boolean := false;
    v_has_moved_on boolean;
BEGIN
    v_is_settled := kpi_engine.settle();
    PERFORM kpi_engine.note_origins(true);
    PERFORM kpi_engine.hold_time_zone(NULL);
    -- It may have waited for another zone.
    v_today := analytics.today();
    v_rebuilt_to := v_today;
    v_today_before := (SELECT engine_state.today FROM kpi_engine.engine_state);
    PERFORM kpi_engine.note_hub_changes(ARRAY[]::text[], false);
    SELECT
        array_agg(ROW(taken.entity, taken.keys)::kpi_engine.changed_keys),
        coalesce(sum(cardinality(taken.keys)), 0)
    INTO v_changes, v_keys
    FROM kpi_engine.take_changes() AS taken;
    requests := cardinality(kpi_engine.keys_of(v_changes, 'solicitud'));
    PERFORM kpi_engine.check_changed_requests(kpi_engine.keys_of(v_changes, 'solicitud'));

    reason := kpi_engine.everything_reason(kpi_engine.keys_of(v_changes, 'everything'));
    IF reason IS NOT NULL THEN
        -- These keys wait no longer. The breaker has to know that changes were missed.
        PERFORM kpi_engine.note_rebuild_reason(reason);
    END IF;
    reason := CASE
        WHEN p_force THEN 'it was forced'
        ELSE coalesce(reason, kpi_engine.rebuild_reason(requests, v_is_settled))
    END;
    IF reason IS NOT NULL OR v_keys > 1000 THEN
        PERFORM kpi_engine.distrust_statistics();
    END IF;
    IF reason IS NULL THEN
        -- First the tables of changed rules, for the day of the last refresh. Then the changes.
        v_stale_tables := kpi_engine.stale_derived_tables();
        v_rebuilt_to := v_today_before;
    END IF;
    IF reason IS NOT NULL OR v_stale_tables <> ARRAY[]::text[] THEN
        v_changed_tables := kpi_engine.rebuild_in_transaction(v_rebuilt_to, v_stale_tables);
        v_applied := kpi_engine.apply_later_changes(NULL, v_rebuilt_to);
        v_changed_tables := v_changed_tables || v_applied.changed_tables;
        v_is_half_seen := v_applied.is_half_seen;
    END IF;
    IF reason IS NOT NULL THEN
        mode := 'full';
        SELECT coalesce(sum(month_totals.requests), 0) INTO requests FROM kpi_engine.month_totals;
        IF requests <= 100000 THEN
            PERFORM kpi_engine.note_uncountable_rows(true);
        END IF;
    ELSIF v_keys = 0 AND v_today = v_today_before THEN
        mode := 'unchanged';
        reason := 'nothing changed';
    ELSE
        mode := 'incremental';
        -- For another local day nothing was taken, which holds it.
        PERFORM kpi_engine.hold_source();
        v_scans := kpi_engine.source_scans();
        v_applied := kpi_engine.apply_later_changes(
            coalesce(v_changes, ARRAY[]::kpi_engine.changed_keys[]), v_today
        );
        v_changed_tables := v_changed_tables || v_applied.changed_tables;
        v_is_half_seen := v_is_half_seen OR v_applied.is_half_seen;
        requests := v_applied.requests;
        reason := CASE
            WHEN v_applied.keys = 0 THEN 'the windows move to another local day'
            ELSE format('%s changed keys', v_applied.keys)
        END;
        -- Rows that came after kpi_engine.settle() may have been read. The locks of the reading keep
        -- them from being truncated before this looks.
        UPDATE kpi_engine.engine_state
        SET parts_with_rows = kpi_engine.parts_with_rows(kpi_engine.capture_signature())
        WHERE engine_state.catalog_fingerprint IS NULL;
        -- Source tables that were read as a whole, although little changed: an index would help.
        INSERT INTO kpi_engine.own_scans (relation, scans)
        SELECT seen.relation::oid, own.scans
        FROM jsonb_each_text(kpi_engine.source_scans()) AS seen (relation, scans)
        CROSS JOIN LATERAL (
            SELECT seen.scans::bigint - coalesce((v_scans ->> seen.relation)::bigint, 0) AS scans
        ) AS own
        WHERE
            own.scans > 0
            AND 20 * requests <= (SELECT sum(month_totals.requests) FROM kpi_engine.month_totals);
    END IF;
    IF v_stale_tables <> ARRAY[]::text[] THEN
        mode := 'full';
        reason := format('the rules of %s changed', array_to_string(v_stale_tables, ', '));
    END IF;
    PERFORM kpi_engine.note_derived_change(v_changed_tables);
    IF EXISTS (
        SELECT FROM kpi_engine.engine_state
        WHERE engine_state.zone_rules IS NULL OR v_today IS DISTINCT FROM v_today_before
    ) OR v_stale_tables <> ARRAY[]::text[] THEN
        PERFORM kpi_engine.note_zone_rules();
    END IF;
    v_has_moved_on := mode <> 'unchanged' AND kpi_engine.has_moved_on();
    UPDATE kpi_engine.engine_state SET is_half_seen = v_is_half_seen OR v_has_moved_on
    WHERE engine_state.is_half_seen <> (v_is_half_seen OR v_has_moved_on);
    -- Once: a service that empties a table all the time would keep this from ever ending. After
    -- everything was computed, the next refresh does it again: health says so until then.
    IF v_has_moved_on AND NOT p_is_again AND v_stale_tables IS NOT NULL THEN
        -- What was read may show a part of it. Now it is noted, or everything is computed again.
        SELECT applied.* INTO v_applied FROM kpi_engine.apply_changes(false, true) AS applied;
        IF v_applied.mode = 'full' THEN
            mode := v_applied.mode;
            reason := v_applied.reason;
            requests := v_applied.requests;
        ELSE
            requests := requests + v_applied.requests;
        END IF;
    END IF;
END;
$apply_changes$;

COMMENT ON FUNCTION kpi_engine.apply_changes(boolean, boolean) IS
'Applies the changes to the derived tables, or computes them again (with p_force, or if '
'kpi_engine.rebuild_reason() says so). Returns the mode (full, incremental or unchanged), the '
'reason, and the number of recomputed requests. p_is_again: it was called just before, in this '
'refresh. Internal: the caller holds the refresh lock.';

REVOKE ALL ON FUNCTION kpi_engine.apply_changes(boolean, boolean) FROM public;

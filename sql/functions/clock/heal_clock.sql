-- First in each tick: finds the stamps of a wrong clock, and makes them void.
--
-- Invariant: afterwards no stamp in the future stops any work or any report. A slot in the future
-- is marked and not removed, because the clock may be wrong now and may have been right then. When
-- its instant comes again, a success counts if the clock jumped there. It does not count if time
-- went by; then the slot is free again. analytics.scheduler_state says what was found.

CREATE OR REPLACE FUNCTION kpi_engine.heal_clock()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $heal_clock$
DECLARE
    v_now constant timestamptz := analytics.now();
    v_latest constant timestamptz := v_now + kpi_engine.clock_tolerance();
    v_wall constant timestamptz := clock_timestamp();
    v_latest_wall constant timestamptz := v_wall + kpi_engine.clock_tolerance();
    v_state kpi_engine.scheduler_state;
    v_restored timestamptz;
    v_last_slot timestamptz;
    v_last_success timestamptz;
    v_found text;
BEGIN
    SELECT scheduler_state.* INTO STRICT v_state FROM kpi_engine.scheduler_state FOR UPDATE;

    -- This comes before the marks of this tick. Continuous ticks show that time went by.
    WITH restored AS (
        UPDATE kpi_engine.refresh_jobs SET is_void = false
        WHERE
            refresh_jobs.is_void
            AND v_now - v_state.ticked_for > interval '1 hour'
            AND refresh_jobs.slot_at <= (
                SELECT max(done.slot_at)
                FROM kpi_engine.refresh_jobs AS done
                WHERE
                    done.is_void
                    AND done.slot_at <= v_now
                    AND done.state IN ('SUCCESS', 'RUNNING')
            )
        RETURNING refresh_jobs.slot_at
    )

    SELECT max(restored.slot_at) INTO v_restored FROM restored;
    IF EXISTS (SELECT FROM kpi_engine.view_state WHERE view_state.last_success_at < v_restored) THEN
        -- The clock was behind, and is right again: the figures may be those of an old day.
        PERFORM kpi_engine.queue_refresh(false, 'analytics.tick()');
    END IF;
    UPDATE kpi_engine.refresh_jobs SET
        is_void = false,
        is_missed = false,
        triggered_by = 'request',
        slot_date = NULL,
        slot_at = NULL,
        state = CASE refresh_jobs.state WHEN 'QUEUED' THEN 'MISSED' ELSE refresh_jobs.state END,
        error = coalesce(refresh_jobs.error || '; ', '') || format(
            'a clock that was wrong took it for the slot of %s', refresh_jobs.slot_date)
    WHERE refresh_jobs.is_void AND refresh_jobs.slot_at <= v_now;
    WITH marked AS (
        UPDATE kpi_engine.refresh_jobs SET is_void = true
        WHERE refresh_jobs.slot_at > v_latest AND NOT refresh_jobs.is_void
        RETURNING refresh_jobs.slot_at
    )

    SELECT max(marked.slot_at) INTO v_last_slot FROM marked;

    -- A retry with such a time would wait for it. A run since such a time would never be overdue.
    UPDATE kpi_engine.refresh_jobs SET finished_at = v_wall, run_after = v_wall
    WHERE refresh_jobs.state = 'QUEUED' AND refresh_jobs.finished_at > v_latest_wall;
    UPDATE kpi_engine.refresh_jobs SET started_at = v_wall
    WHERE refresh_jobs.state = 'RUNNING' AND refresh_jobs.started_at > v_latest_wall;
    UPDATE kpi_engine.alerts SET
        first_seen_at = v_wall,
        last_seen_at = v_wall,
        raised_at = least(alerts.raised_at, v_wall)
    WHERE alerts.cleared_at IS NULL AND alerts.first_seen_at > v_latest_wall;
    UPDATE kpi_engine.alert_outbox SET
        next_attempt_at = v_wall,
        created_at = least(alert_outbox.created_at, v_wall)
    WHERE
        alert_outbox.delivered_at IS NULL
        AND isfinite(alert_outbox.next_attempt_at)
        -- The longest wait between two attempts is an hour.
        AND alert_outbox.next_attempt_at > v_latest_wall + interval '1 hour';
    UPDATE kpi_engine.digest_deliveries SET
        next_attempt_at = v_wall,
        created_at = least(digest_deliveries.created_at, v_wall)
    WHERE
        digest_deliveries.delivered_at IS NULL
        AND isfinite(digest_deliveries.next_attempt_at)
        AND digest_deliveries.next_attempt_at > v_latest_wall + interval '1 hour';

    SELECT max(view_state.last_success_at) INTO v_last_success FROM kpi_engine.view_state
    -- A clock that is pinned to the past is no fault.
    WHERE view_state.last_success_at > greatest(v_latest, v_latest_wall);
    v_found := concat_ws(
        ', ',
        'the last tick of ' || CASE
            WHEN v_state.last_tick_at > v_latest_wall
                THEN kpi_engine.iso_instant(v_state.last_tick_at)
        END,
        'the daily slot of ' || kpi_engine.iso_instant(v_last_slot),
        'the last success of ' || kpi_engine.iso_instant(v_last_success),
        'the start of the schedule at ' || CASE
            WHEN v_state.scheduled_since > greatest(v_latest, v_latest_wall)
                AND v_state.scheduled_instead IS NULL
                THEN kpi_engine.iso_instant(v_state.scheduled_since)
        END
    );
    UPDATE kpi_engine.scheduler_state SET
        ticked_for = v_now,
        last_tick_at = v_wall,
        scheduled_instead = CASE
            WHEN greatest(v_state.scheduled_since, v_state.schedule_changed_at) > v_latest
                THEN least(v_state.scheduled_instead, v_now)
        END,
        refresh_seen_at = CASE WHEN v_state.refresh_seen_at <= v_latest THEN refresh_seen_at END,
        no_changes_at = CASE WHEN v_state.no_changes_at <= v_latest THEN no_changes_at END,
        refresh_cancelled_at = CASE
            WHEN v_state.refresh_cancelled_at <= v_latest_wall THEN refresh_cancelled_at
        END,
        clock_fault_at = CASE
            WHEN v_found <> '' THEN v_now
            WHEN v_state.clock_fault_at <= v_latest THEN clock_fault_at
        END,
        clock_fault = coalesce(nullif(v_found, ''), clock_fault);
    IF v_found = '' THEN
        RETURN;
    END IF;
    IF coalesce(v_state.clock_fault_at NOT BETWEEN v_now - interval '1 hour' AND v_latest, true) THEN
        RAISE WARNING 'teloo-analytics: the clock was or is wrong: at % these were in the future: %',
            kpi_engine.iso_instant(v_now), v_found
            USING HINT = 'They are void, and the schedule goes on. Mend the server''s clock (NTP).';
        IF v_last_success IS NOT NULL THEN
            -- The figures may be those of a future day.
            PERFORM kpi_engine.queue_refresh(false, 'analytics.tick()');
        END IF;
    END IF;
END;
$heal_clock$;

COMMENT ON FUNCTION kpi_engine.heal_clock() IS
'Stamps the tick, and makes void what is stamped with a later time than now: slots, ticks, '
'successes, retries, alerts. Internal to analytics.tick().';

REVOKE ALL ON FUNCTION kpi_engine.heal_clock() FROM public;

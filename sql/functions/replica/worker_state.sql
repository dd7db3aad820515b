-- Says what the worker of a subscription tells of itself, and whether it has work left.
--
-- Invariant: is_caught_up only if the last word of the publisher was that nothing waits there, and
-- the worker is in no transaction. A publisher says so when it has sent all it has. While it sends,
-- each change is a later word, also the changes of a backlog: their times are those at which they
-- were sent, and say nothing of when they were committed.
-- The first such word that a worker gets does not count: the publisher gives it before it has
-- looked for changes. A tick or a refresh notes which word of a new worker it saw first. One after
-- it counts.
-- A busy worker has no work left only between two transactions. So this looks a few times.
-- One case is not seen: a publisher that reads through many writes of others for over half a minute
-- sends nothing, and answers when the worker asks whether it is there.

CREATE OR REPLACE FUNCTION kpi_engine.worker_state(
    p_subscription_id oid,
    OUT is_running boolean,
    OUT is_caught_up boolean,
    OUT as_of timestamptz,
    OUT bytes_behind numeric,
    OUT worker_pid integer,
    OUT first_word_at timestamptz
)
LANGUAGE plpgsql
VOLATILE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $worker_state$
DECLARE
    v_told record;
BEGIN
    -- For NULL the function below has the workers of all subscriptions.
    IF p_subscription_id IS NULL THEN
        RETURN;
    END IF;
    SELECT marks.worker_pid, marks.first_word_at
    INTO worker_pid, first_word_at
    FROM (
        SELECT known.subscription_id, known.worker_pid, known.first_word_at
        FROM kpi_engine.subscription_marks AS known
        UNION ALL
        SELECT feeding.subscription_id, feeding.worker_pid, feeding.first_word_at
        FROM kpi_engine.feeding_marks AS feeding
    ) AS marks
    WHERE marks.subscription_id = p_subscription_id
    LIMIT 1;
    FOR v_look IN 1..20 LOOP
        SELECT told.* INTO v_told
        FROM pg_stat_get_subscription(p_subscription_id) AS told
        WHERE told.relid IS NULL
        ORDER BY told.last_msg_send_time DESC NULLS LAST
        LIMIT 1;
        is_running := v_told.received_lsn IS NOT NULL;
        IF v_told.pid IS DISTINCT FROM worker_pid THEN
            worker_pid := v_told.pid;
            first_word_at := NULL;
        END IF;
        IF first_word_at IS NULL AND v_told.latest_end_lsn IS NOT NULL THEN
            first_word_at := v_told.latest_end_time;
        END IF;
        is_caught_up := is_running AND coalesce(
            v_told.latest_end_lsn = v_told.received_lsn
            AND v_told.latest_end_time = v_told.last_msg_send_time
            AND v_told.latest_end_time <> first_word_at
            AND NOT EXISTS (
                SELECT FROM pg_locks
                WHERE pg_locks.pid = v_told.pid AND pg_locks.locktype = 'virtualxid'
            ),
            false
        );
        EXIT WHEN is_caught_up OR NOT is_running;
        PERFORM pg_sleep(0.001);
    END LOOP;
    -- The clock of the publisher may be ahead.
    as_of := CASE
        WHEN is_caught_up THEN least(v_told.latest_end_time, v_told.last_msg_receipt_time)
    END;
    bytes_behind := CASE
        WHEN is_running THEN greatest(0, v_told.received_lsn - v_told.latest_end_lsn)
    END;
END;
$worker_state$;

COMMENT ON FUNCTION kpi_engine.worker_state(oid) IS
'Whether the worker of a subscription runs and has heard from the publisher; whether it has '
'applied all that the publisher had when it said so last, and when that was (as_of; NULL while it '
'has work left, or that is not known); bytes that it got and has not confirmed; its process; the '
'word of the publisher that does not count, because it may be its first. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.worker_state(oid) FROM public;

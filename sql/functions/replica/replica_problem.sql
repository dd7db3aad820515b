-- Says why the operational tables here are behind those of the publisher.
--
-- Invariant: no row if the setting replica_lag is off, or all subscriptions keep up. It has one
-- cause for each subscription: the first of the list that holds.

CREATE OR REPLACE FUNCTION kpi_engine.replica_problem()
RETURNS TABLE (severity text, message text)
LANGUAGE plpgsql
STABLE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $replica_problem$
DECLARE
    v_setting constant text := analytics.setting('replica_lag');
    v_followed record;
    v_uncopied text[];
BEGIN
    IF v_setting = 'off' THEN
        RETURN;
    END IF;
    FOR v_followed IN
        SELECT behind.*, quote_ident(behind.subscription) AS name
        FROM analytics.replication() AS behind
    LOOP
        -- Also tables that the figures do not read: a key of theirs, or their slot at the publisher,
        -- stands in the way of others.
        v_uncopied := ARRAY(
            SELECT pg_subscription_rel.srrelid::regclass::text
            FROM pg_subscription
            INNER JOIN pg_subscription_rel ON pg_subscription_rel.srsubid = pg_subscription.oid
            WHERE
                pg_subscription.subname = v_followed.subscription
                AND pg_subscription_rel.srsubstate NOT IN ('r', 's')
            ORDER BY 1
        );
        IF v_followed.lost <> ARRAY[]::text[] THEN
            severity := 'unhealthy';
            message := kpi_engine.lost_tables(v_followed.subscription);
        ELSIF NOT v_followed.is_enabled THEN
            severity := 'unhealthy';
            message := format(
                'subscription %s is disabled: the figures stay as old as its last change. ALTER '
                'SUBSCRIPTION %s ENABLE;', v_followed.name, v_followed.name);
        ELSIF pg_is_in_recovery() THEN
            -- The workers run at the primary. Its health says how they are.
            CONTINUE;
        ELSIF NOT v_followed.is_running THEN
            severity := 'unhealthy';
            message := format(
                'subscription %s has no worker: the publisher is away, its slot is gone or a copy of '
                'this server reads it (make doctor asks), or a change can''t be applied. The log of '
                'this server says which; SELECT * FROM pg_stat_subscription_stats; counts the errors',
                v_followed.name)
                || kpi_engine.shared_tables_hint(v_followed.subscription);
        ELSIF v_followed.is_failing THEN
            severity := 'unhealthy';
            message := format(
                'subscription %s failed twice, and its worker has not applied all since: it catches up, '
                'or a change can''t be applied and fails each time. The log of this server says which; '
                'the figures have what came before', v_followed.name)
                || kpi_engine.shared_tables_hint(v_followed.subscription);
        ELSIF v_uncopied <> ARRAY[]::text[] AND EXISTS (
            SELECT FROM pg_stat_subscription_stats AS stats
            WHERE stats.subname = v_followed.subscription AND stats.sync_error_count > 0
        ) THEN
            severity := CASE
                WHEN v_followed.copying = ARRAY[]::text[] THEN 'degraded'
                ELSE 'unhealthy'
            END;
            message := format(
                'subscription %s can''t copy %s: it was tried and failed. The log of this server says '
                'why. Often rows are here already: %s', v_followed.name,
                array_to_string(v_uncopied, ', '),
                kpi_engine.copy_again(v_followed.subscription, v_uncopied));
        ELSIF v_followed.copying <> ARRAY[]::text[] THEN
            severity := 'degraded';
            message := format(
                'subscription %s still copies %s: the figures lack what is not here yet',
                v_followed.name, array_to_string(v_followed.copying, ', '));
        ELSIF v_followed.seconds_behind > extract(EPOCH FROM v_setting::interval) THEN
            severity := 'degraded';
            message := format(
                'subscription %s is %s seconds behind its publisher, and the setting replica_lag is '
                '%s: it catches up, more comes than its worker can apply, or the worker waits for a '
                'lock (SELECT * FROM pg_locks WHERE NOT granted;)', v_followed.name, round(v_followed.seconds_behind),
                v_setting);
        ELSE
            CONTINUE;
        END IF;
        RETURN NEXT;
    END LOOP;
END;
$replica_problem$;

COMMENT ON FUNCTION kpi_engine.replica_problem() IS
'Severity and text of the problem replica_lag, for each subscription that is behind or stopped. '
'Internal to analytics.health_problems().';

REVOKE ALL ON FUNCTION kpi_engine.replica_problem() FROM public;

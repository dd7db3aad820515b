-- Says which subscriptions bring the rows of an outside table, and how far each is.
--
-- Invariant: no row if none does. as_of moves on only when the worker has no work left
-- (kpi_engine.worker_state); until then it is what a tick or a refresh saw last. NULL: not known.
-- cause is NULL for one that keeps up, and if the setting replica_lag is off.

CREATE OR REPLACE FUNCTION kpi_engine.feeding(p_source oid)
RETURNS TABLE (
    subscription text, subscription_id oid, cause text, remedy text, as_of timestamptz
)
LANGUAGE plpgsql
VOLATILE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $feeding$
#variable_conflict use_column
DECLARE
    v_limit text;
BEGIN
    -- Usually there is no subscription.
    IF p_source IS NULL
        OR NOT EXISTS (SELECT FROM pg_subscription_rel)
        AND NOT EXISTS (SELECT FROM kpi_engine.followed_tables) THEN
        RETURN;
    END IF;
    v_limit := analytics.setting('replica_lag');
    RETURN QUERY
        SELECT
            found.subscription,
            found.subscription_id,
            found.cause,
            CASE found.cause
                WHEN 'does not bring all of its rows'
                    THEN kpi_engine.lost_tables(found.subscription, p_source)
                WHEN 'is disabled' THEN format('ALTER SUBSCRIPTION %I ENABLE;', found.subscription)
                ELSE 'the log of this server says why, see replica_lag in the runbook'
            END,
            found.as_of
        FROM (
            SELECT
                its.subscription,
                its.subscription_id,
                CASE
                    WHEN v_limit = 'off' THEN NULL
                    WHEN its.lacks_rows THEN 'does not bring all of its rows'
                    WHEN pg_is_in_recovery() THEN NULL
                    WHEN NOT pg_subscription.subenabled THEN 'is disabled'
                    WHEN NOT worker.is_running THEN 'has no worker'
                    WHEN NOT its.is_copied THEN 'still copies it'
                    WHEN
                        coalesce(worker.as_of, known.as_of)
                        < clock_timestamp() - nullif(v_limit, 'off')::interval
                        THEN 'is behind its publisher'
                END AS cause,
                CASE
                    WHEN its.is_copied AND NOT its.lacks_rows
                        THEN coalesce(worker.as_of, known.as_of)
                END AS as_of
            FROM (
                SELECT
                    followed.subscription,
                    max(followed.subscription_id) AS subscription_id,
                    bool_and(followed.state IN ('s', 'r')) AS is_copied,
                    bool_or(followed.lacks IS NOT NULL) AS lacks_rows
                FROM kpi_engine.followed() AS followed
                WHERE followed.outside_of = p_source
                GROUP BY followed.subscription
            ) AS its
            LEFT JOIN pg_subscription ON pg_subscription.oid = its.subscription_id
            CROSS JOIN LATERAL kpi_engine.worker_state(its.subscription_id) AS worker
            LEFT JOIN kpi_engine.feeding_marks AS known
                ON known.subscription_id = its.subscription_id
        ) AS found;
END;
$feeding$;

COMMENT ON FUNCTION kpi_engine.feeding(oid) IS
'Subscriptions that bring the rows of an outside table: why one is behind (NULL: it is not), what '
'to do, and until when its changes are here. Internal to the views of other services.';

REVOKE ALL ON FUNCTION kpi_engine.feeding(oid) FROM public;

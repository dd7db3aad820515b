-- Says how far each of several origins is at this moment.
--
-- Invariant: no row if there is one origin. An origin is a schema, or, where several subscriptions
-- write into the same tables, a subscription. It is behind for the same reasons as those of the
-- problem replica_lag. Without a worker nobody knows how far it is: as_of is what a tick or a
-- refresh saw last. An origin that no subscription writes is never behind.

CREATE OR REPLACE FUNCTION kpi_engine.origin_states()
RETURNS TABLE (origen text, subscriptions text[], cause text, as_of timestamptz)
LANGUAGE plpgsql
STABLE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $origin_states$
#variable_conflict use_column
DECLARE
    v_has_schemas constant boolean := EXISTS (SELECT FROM kpi_engine.origins);
    v_limit constant text := analytics.setting('replica_lag');
BEGIN
    -- Usually there are neither.
    IF NOT v_has_schemas
        AND (SELECT count(DISTINCT srsubid) < 2 FROM pg_subscription_rel)
        AND (SELECT count(DISTINCT subscription) < 2 FROM kpi_engine.followed_tables) THEN
        RETURN;
    END IF;
    RETURN QUERY
        WITH written AS (
            SELECT DISTINCT followed.source_schema, behind.*
            FROM analytics.replication() AS behind
            INNER JOIN kpi_engine.followed() AS followed
                ON followed.subscription = behind.subscription AND followed.outside_of IS NULL
        ),

        told AS (
            SELECT
                CASE WHEN v_has_schemas THEN written.source_schema ELSE written.subscription END
                AS origen,
                written.subscription,
                CASE
                    WHEN written.lost <> ARRAY[]::text[] THEN 'gone'
                    WHEN NOT written.is_enabled THEN 'disabled'
                    WHEN NOT written.is_running THEN 'no worker'
                    WHEN written.is_failing THEN 'failing'
                    WHEN written.copying <> ARRAY[]::text[] THEN 'copying'
                    WHEN
                        v_limit <> 'off'
                        AND written.seconds_behind > extract(EPOCH FROM v_limit::interval)
                        THEN 'late'
                END AS cause,
                CASE
                    WHEN
                        written.is_enabled AND written.is_running
                        AND written.copying = ARRAY[]::text[]
                        AND written.lost = ARRAY[]::text[]
                        THEN written.as_of
                END AS as_of
            FROM written
        )

        SELECT
            listed.origen,
            coalesce(
                array_agg(told.subscription ORDER BY told.subscription) FILTER (
                    WHERE told.subscription IS NOT NULL
                ),
                ARRAY[]::text[]
            ),
            -- A worker ends with a standby's recovery, and the marks are those of the primary.
            CASE WHEN v_limit <> 'off' AND NOT pg_is_in_recovery() THEN min(told.cause) END,
            CASE
                WHEN count(told.subscription) = 0 THEN clock_timestamp()
                WHEN count(told.as_of) < count(told.subscription) THEN min(origin_marks.as_of)
                ELSE greatest(min(told.as_of), min(origin_marks.as_of))
            END
        FROM (
            SELECT origins.source_schema AS origen FROM kpi_engine.origins
            UNION
            SELECT told.origen FROM told WHERE NOT v_has_schemas
        ) AS listed
        LEFT JOIN told ON told.origen = listed.origen
        LEFT JOIN kpi_engine.origin_marks ON origin_marks.origen = listed.origen
        GROUP BY listed.origen
        HAVING v_has_schemas OR (SELECT count(DISTINCT told.origen) FROM told) > 1
        ORDER BY listed.origen;
END;
$origin_states$;

COMMENT ON FUNCTION kpi_engine.origin_states() IS
'Each of several origins at this moment: the subscriptions that bring it, why it is behind '
'(gone, disabled, no worker, failing, copying, late; NULL: it is not, or replica_lag is off), and '
'until when its changes are here. Internal to analytics.origins() and '
'kpi_engine.note_origins().';

REVOKE ALL ON FUNCTION kpi_engine.origin_states() FROM public;

-- Names the source tables whose changes are not noted.
--
-- Invariant: NULL if and only if each write to each source table and partition is noted, and a
-- crash does not take the notes or what was computed from them.

CREATE OR REPLACE FUNCTION analytics.capture_gap()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $capture_gap$
BEGIN
    IF kpi_engine.is_settled() THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT nullif(concat_ws(
            '; ',
            'change capture is not working on ' || string_agg(
                DISTINCT captured.relation::regclass::text, ', '
            ) FILTER (WHERE NOT captured.is_lossless),
            'change capture can''t note changes: ' || kpi_engine.capture_obstacle(),
            (
                SELECT
                    'a crash of the server empties '
                    || string_agg(unlogged.name, ', ' ORDER BY unlogged.name) || ' (UNLOGGED)'
                FROM kpi_engine.unlogged_tables() AS unlogged
            ),
            (
                SELECT string_agg(
                    format(
                        'subscription %I writes %s, and change capture can''t see it',
                        subscribed.name, subscribed.tables
                    ), '; '
                )
                FROM (
                    SELECT
                        written.subscription AS name,
                        string_agg(written.relation::regclass::text, ', ' ORDER BY written.relation)
                            AS tables
                    FROM kpi_engine.capture_by_table() AS written
                    WHERE written.subscription IS NOT NULL
                    GROUP BY written.subscription
                ) AS subscribed
            )
        ), '')
        FROM kpi_engine.capture_by_table() AS captured
    );
END;
$capture_gap$;

COMMENT ON FUNCTION analytics.capture_gap() IS
'Names the source tables and partitions without working change capture, what stops their '
'triggers, subscriptions that write past them, and tables of ours that a crash would empty. NULL '
'if there is no gap.';

REVOKE ALL ON FUNCTION analytics.capture_gap() FROM public;

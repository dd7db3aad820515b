-- Once an hour: notes how often the views, their indexes and the HTTP API were used.
--
-- Invariant: a use is what PostgreSQL's statistics gained since the last look, without the scans of
-- refreshes. A refresh notes its scans when it commits. The statistics show them up to a minute
-- later. A part that can't be taken off yet is taken off the next time. Statistics that were reset,
-- and a view that was built again, count from 0.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.watch_usage()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $watch_usage$
BEGIN
    UPDATE kpi_engine.scheduler_state SET usage_watched_at = analytics.now()
    WHERE
        scheduler_state.usage_watched_at IS NULL
        OR analytics.now() - scheduler_state.usage_watched_at >= interval '1 hour'
        -- A clock that was set back must not stop it.
        OR scheduler_state.usage_watched_at > analytics.now();
    IF NOT FOUND THEN
        RETURN false;
    END IF;

    WITH own AS MATERIALIZED (
        DELETE FROM kpi_engine.own_scans RETURNING own_scans.relation, own_scans.scans
    ),

    noted AS MATERIALIZED (
        SELECT own.relation, sum(own.scans)::bigint AS scans FROM own GROUP BY own.relation
    ),

    indexes AS MATERIALIZED (
        SELECT
            pg_index.indrelid,
            pg_index.indexrelid,
            pg_index.indisunique,
            pg_stat_get_numscans(pg_index.indexrelid) AS scans
        FROM pg_index
        INNER JOIN pg_class ON pg_class.oid = pg_index.indrelid
        WHERE pg_class.relnamespace = 'analytics'::regnamespace AND pg_class.relkind = 'm'
    ),

    seen AS (
        SELECT
            'view' AS kind,
            pg_class.relname::text AS name,
            pg_class.oid,
            pg_stat_get_numscans(pg_class.oid) + coalesce((
                SELECT sum(indexes.scans)::bigint
                FROM indexes
                WHERE indexes.indrelid = pg_class.oid
            ), 0) AS counter
        FROM pg_class
        WHERE pg_class.relnamespace = 'analytics'::regnamespace AND pg_class.relkind = 'm'
        UNION ALL
        SELECT 'index', pg_class.relname::text, pg_class.oid, indexes.scans
        FROM indexes
        INNER JOIN pg_class ON pg_class.oid = indexes.indexrelid
        WHERE NOT indexes.indisunique
        UNION ALL
        -- Counted only with track_functions. PostgREST's sessions have it.
        SELECT 'endpoint', pg_proc.proname::text, pg_proc.oid,
            coalesce(pg_stat_get_function_calls(pg_proc.oid), 0)
        FROM pg_proc
        WHERE pg_proc.pronamespace = 'api'::regnamespace
    ),

    compared AS MATERIALIZED (
        SELECT
            seen.*,
            CASE
                -- At the first look there is nothing to compare with.
                WHEN watched.name IS NULL THEN least(seen.counter - coalesce(noted.scans, 0), 0)
                WHEN watched.object_id <> seen.oid OR watched.counter > seen.counter
                    THEN seen.counter - coalesce(noted.scans, 0)
                ELSE seen.counter - watched.counter - watched.own_scans
                    - coalesce(noted.scans, 0)
            END AS uses
        FROM seen
        LEFT JOIN kpi_engine.usage_watched AS watched
            ON watched.kind = seen.kind AND watched.name = seen.name
        LEFT JOIN noted ON noted.relation = seen.oid AND seen.kind = 'view'
    ),

    watched AS (
        INSERT INTO kpi_engine.usage_watched AS known (
            kind, name, object_id, watched_since, counter, own_scans
        )
        SELECT
            compared.kind, compared.name, compared.oid, analytics.now(), compared.counter,
            greatest(-compared.uses, 0)
        FROM compared
        ON CONFLICT (kind, name) DO UPDATE SET
            object_id = excluded.object_id,
            counter = excluded.counter,
            own_scans = excluded.own_scans,
            watched_since = least(known.watched_since, excluded.watched_since)
    ),

    gone AS (
        DELETE FROM kpi_engine.usage_watched AS known
        WHERE NOT EXISTS (
            SELECT FROM compared
            WHERE compared.kind = known.kind AND compared.name = known.name
        )
    )

    INSERT INTO kpi_engine.usage_by_hour AS known (kind, name, hour, uses)
    SELECT used.kind, used.name, date_trunc('hour', analytics.now()), used.uses
    FROM (
        SELECT compared.kind, compared.name, compared.uses FROM compared
        UNION ALL
        SELECT 'source table', noted.relation::regclass::text, noted.scans
        FROM noted
        INNER JOIN pg_class ON pg_class.oid = noted.relation AND pg_class.relkind = 'r'
    ) AS used
    WHERE used.uses > 0
    ON CONFLICT (kind, name, hour) DO UPDATE SET uses = known.uses + excluded.uses;
    RETURN true;
END;
$watch_usage$;

COMMENT ON FUNCTION kpi_engine.watch_usage() IS
'Once an hour (of analytics.now()) adds to analytics.usage_by_hour what was used since the last '
'look; returns whether it looked. Internal to analytics.tick().';

REVOKE ALL ON FUNCTION kpi_engine.watch_usage() FROM public;

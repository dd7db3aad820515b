-- Says who keeps KPI views from being replaced.

CREATE OR REPLACE FUNCTION kpi_engine.view_readers(
    p_view_names text[], OUT readers text, OUT cure text
)
LANGUAGE sql
STABLE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $view_readers$
    SELECT
        ' by ' || string_agg(DISTINCT coalesce(
            'process ' || held.pid, format('prepared transaction %L', prepared.gid)
        ), ', '),
        'A prepared transaction stays until somebody ends it: '
        || string_agg(DISTINCT format('ROLLBACK PREPARED %L; ', prepared.gid), '')
            FILTER (WHERE prepared.gid IS NOT NULL)
    FROM pg_locks AS held
    INNER JOIN pg_database
        ON pg_database.oid = held.database AND pg_database.datname = current_database()
    INNER JOIN pg_class ON pg_class.oid = held.relation
    -- A prepared transaction has no process, but its own lock of its id.
    LEFT JOIN pg_locks AS its_id
        ON
            held.pid IS NULL AND its_id.pid IS NULL
            AND its_id.locktype = 'transactionid'
            AND its_id.virtualtransaction = held.virtualtransaction
    LEFT JOIN pg_prepared_xacts AS prepared ON prepared.transaction = its_id.transactionid
    WHERE
        pg_class.relnamespace = to_regnamespace('analytics')
        AND pg_class.relname = ANY (p_view_names)
        AND held.granted
        AND held.pid IS DISTINCT FROM pg_backend_pid();
$view_readers$;

COMMENT ON FUNCTION kpi_engine.view_readers(text[]) IS
'Who holds a lock on one of these views of schema analytics: the words to put behind "is being '
'read", and how to end prepared transactions. NULL each where there is none. Internal to make '
'migrate and to the file of a release.';

REVOKE ALL ON FUNCTION kpi_engine.view_readers(text[]) FROM public;

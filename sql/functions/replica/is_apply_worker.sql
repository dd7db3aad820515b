-- Tells whether this session applies the changes of a subscription.
--
-- Invariant: any role may ask. pg_stat_activity shows the kind of a session to its own role alone.

CREATE OR REPLACE FUNCTION kpi_engine.is_apply_worker()
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $is_apply_worker$
    SELECT EXISTS (
        SELECT FROM pg_stat_get_subscription(NULL) AS worker
        WHERE worker.pid = pg_backend_pid()
    );
$is_apply_worker$;

COMMENT ON FUNCTION kpi_engine.is_apply_worker() IS
'True in the worker of a subscription that applies changes or copies a table. Internal to change '
'capture.';

REVOKE ALL ON FUNCTION kpi_engine.is_apply_worker() FROM public;

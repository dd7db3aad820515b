-- Lets one session at a time take rows from the change log. Writers never wait for it.
--
-- Invariant: after it, a lost change of this transaction is noted again, because a note from before
-- may be taken now.

CREATE OR REPLACE FUNCTION kpi_engine.hold_change_log(p_wait boolean DEFAULT true)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $hold_change_log$
BEGIN
    IF p_wait THEN
        LOCK TABLE kpi_engine.change_log_lock IN EXCLUSIVE MODE;
    ELSE
        LOCK TABLE kpi_engine.change_log_lock IN EXCLUSIVE MODE NOWAIT;
    END IF;
    PERFORM set_config('analytics.lost_change', '', true);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    IF p_wait THEN
        RAISE;
    END IF;
    RETURN false;
END;
$hold_change_log$;

COMMENT ON FUNCTION kpi_engine.hold_change_log(boolean) IS
'Takes the lock of sessions that take rows from kpi_engine.change_log, for the transaction. '
'Returns false if another session has it and this one is not to wait. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.hold_change_log(boolean) FROM public;

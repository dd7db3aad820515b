-- Says why a refresh can't begin: another one is running, or a stranger holds its lock.
--
-- SECURITY DEFINER: analytics.rebuild() and work() ask with the rights of their caller. The caller
-- may not read who the holder is.

CREATE OR REPLACE FUNCTION kpi_engine.raise_refresh_running(p_only_strangers boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $raise_refresh_running$
DECLARE
    v_holder record;
BEGIN
    SELECT lock_holders.* INTO v_holder
    FROM analytics.lock_holders()
    WHERE lock_holders.is_stranger
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'process % (role %, application %) holds the refresh lock and is no refresh',
            v_holder.pid, quote_ident(v_holder.role_name), quote_literal(v_holder.application)
            USING ERRCODE = 'lock_not_available',
                  DETAIL = 'No refresh can begin while it does; nothing was changed.',
                  HINT = format('SELECT pg_terminate_backend(%s);', v_holder.pid);
    END IF;
    IF p_only_strangers THEN
        RETURN;
    END IF;
    RAISE EXCEPTION 'a refresh is already running'
        USING ERRCODE = 'lock_not_available',
              DETAIL = 'One refresh, rebuild or audit runs at a time; nothing was changed.',
              HINT = 'Try again when it is done, or see analytics.refresh_log and '
                     'analytics.rebuild_progress.';
END;
$raise_refresh_running$;

COMMENT ON FUNCTION kpi_engine.raise_refresh_running(boolean) IS
'Raises 55P03. It names the session that holds the refresh lock, if that is a stranger. '
'p_only_strangers: raises only then. Internal to functions that take the lock.';

REVOKE ALL ON FUNCTION kpi_engine.raise_refresh_running(boolean) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.raise_refresh_running(boolean) TO analytics_operador;

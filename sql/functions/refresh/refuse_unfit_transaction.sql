-- Refuses a transaction or a server in which a refresh or an audit can't be.
--
-- Invariant: no serializable writer fails because of what we read. A database may have serializable
-- or read only as its default: then the hint names the statement that changes the default.

CREATE OR REPLACE FUNCTION kpi_engine.refuse_unfit_transaction(p_what text, p_statement text)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $refuse_unfit_transaction$
BEGIN
    IF current_setting('transaction_isolation') = 'serializable' THEN
        RAISE EXCEPTION '% must not run in a serializable transaction', p_what
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'It could make serializable writers fail; nothing was changed.',
                  HINT = kpi_engine.setting_origin(
                             'default_transaction_isolation', 'read committed')
                         || format('BEGIN ISOLATION LEVEL READ COMMITTED; %s; COMMIT;', p_statement);
    END IF;
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION '% must run at the primary: this server is a standby', p_what
            USING ERRCODE = 'read_only_sql_transaction',
                  DETAIL = 'Nothing was changed. A standby shows what its primary published.',
                  HINT = 'Connect to the primary (primary_conninfo of this server names it), or '
                         'promote this server.';
    END IF;
    IF current_setting('transaction_read_only') = 'on' THEN
        RAISE EXCEPTION '% must not run in a read-only transaction', p_what
            USING ERRCODE = 'read_only_sql_transaction',
                  DETAIL = 'Nothing was changed.',
                  HINT = kpi_engine.setting_origin('default_transaction_read_only', 'off')
                         || format('BEGIN READ WRITE; %s; COMMIT;', p_statement);
    END IF;
END;
$refuse_unfit_transaction$;

COMMENT ON FUNCTION kpi_engine.refuse_unfit_transaction(text, text) IS
'p_what must not run here: raises 55000 in a serializable transaction, and 25006 at a standby and '
'in a read-only transaction. p_statement: the statement that may be run in another one. Internal '
'to refreshes and audits.';

REVOKE ALL ON FUNCTION kpi_engine.refuse_unfit_transaction(text, text) FROM public;

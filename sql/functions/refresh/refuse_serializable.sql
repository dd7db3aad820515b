-- Refuses to read much of the source in a serializable transaction.
--
-- Invariant: no serializable writer fails because of what we read. A database may have serializable
-- as its default.

CREATE OR REPLACE FUNCTION kpi_engine.refuse_serializable(p_what text, p_statement text)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $refuse_serializable$
BEGIN
    IF current_setting('transaction_isolation') = 'serializable' THEN
        RAISE EXCEPTION '% must not run in a serializable transaction', p_what
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'It could make serializable writers fail; nothing was changed.',
                  HINT = kpi_engine.setting_origin(
                             'default_transaction_isolation', 'read committed')
                         || format('BEGIN ISOLATION LEVEL READ COMMITTED; %s; COMMIT;', p_statement);
    END IF;
END;
$refuse_serializable$;

COMMENT ON FUNCTION kpi_engine.refuse_serializable(text, text) IS
'Raises 55000 in a serializable transaction: p_what must not run there. p_statement: the statement '
'that may be run in another one. Internal to refreshes and audits.';

REVOKE ALL ON FUNCTION kpi_engine.refuse_serializable(text, text) FROM public;

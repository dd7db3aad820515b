-- The clock of the package: the start of the statement, or the pinned instant.
--
-- Not the start of the transaction: a load may go before a refresh in the same transaction, and
-- nobody saw before what the refresh publishes. After a COMMIT in a procedure the transaction is
-- younger than the statement.
-- It is one expression, so that PostgreSQL puts it into the statements that use it.

CREATE OR REPLACE FUNCTION analytics.now()
RETURNS timestamptz
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE
    WHEN kpi_engine.clock_is_pinned() THEN kpi_engine.pinned_now()
    ELSE greatest(transaction_timestamp(), statement_timestamp())
END;

COMMENT ON FUNCTION analytics.now() IS
'The clock of the package: the start of the statement (in a procedure: of its last transaction), '
'or the instant that SET analytics.now pins, if the setting allow_pinned_clock is on. Errors: '
'42501 not allowed, 22023 not an instant.';

REVOKE ALL ON FUNCTION analytics.now() FROM public;
GRANT EXECUTE ON FUNCTION analytics.now() TO analytics_lector, analytics_operador;

-- Sets, for this transaction, the settings of PostgreSQL on which functions depend.
--
-- It is for procedures: they commit, so they can't have SET clauses. Functions that are called from
-- outside have the same settings in their SET clauses.

CREATE OR REPLACE FUNCTION kpi_engine.pin_settings()
RETURNS void
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
BEGIN ATOMIC
    SELECT
        set_config('standard_conforming_strings', 'on', true) AS standard_conforming_strings,
        set_config('quote_all_identifiers', 'off', true) AS quote_all_identifiers,
        set_config('datestyle', 'ISO, YMD', true) AS datestyle,
        set_config('intervalstyle', 'postgres', true) AS intervalstyle,
        set_config('extra_float_digits', '1', true) AS extra_float_digits,
        set_config('bytea_output', 'hex', true) AS bytea_output,
        set_config('constraint_exclusion', 'off', true) AS constraint_exclusion,
        set_config('idle_in_transaction_session_timeout', '0', true) AS idle_timeout,
        -- PostgreSQL 15 and 16 have no such setting.
        CASE
            WHEN current_setting('server_version_num')::integer >= 170000
                THEN set_config('transaction_timeout', '0', true)
        END AS transaction_timeout;
END;

COMMENT ON FUNCTION kpi_engine.pin_settings() IS
'Sets for the rest of the transaction the settings on which our functions depend. Internal to the '
'procedures that commit.';

REVOKE ALL ON FUNCTION kpi_engine.pin_settings() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.pin_settings() TO analytics_operador, analytics_scheduler;

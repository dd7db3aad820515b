-- Sets for this transaction what functions depend on, whatever database and role have set.
--
-- For procedures: they commit, and so can't have SET clauses. Functions that are called from
-- outside have the same in theirs.

CREATE OR REPLACE FUNCTION analytics.pin_settings()
RETURNS void
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
BEGIN ATOMIC
    SELECT
        set_config('standard_conforming_strings', 'on', true),
        set_config('quote_all_identifiers', 'off', true),
        set_config('datestyle', 'ISO, YMD', true),
        set_config('intervalstyle', 'postgres', true),
        set_config('extra_float_digits', '1', true),
        set_config('bytea_output', 'hex', true),
        set_config('constraint_exclusion', 'off', true),
        set_config('idle_in_transaction_session_timeout', '0', true);
END;

COMMENT ON FUNCTION analytics.pin_settings() IS
'Sets for the rest of the transaction the settings on which our functions depend. Internal to the '
'procedures that commit.';

REVOKE ALL ON FUNCTION analytics.pin_settings() FROM public;
GRANT EXECUTE ON FUNCTION analytics.pin_settings() TO analytics_operador, analytics_scheduler;

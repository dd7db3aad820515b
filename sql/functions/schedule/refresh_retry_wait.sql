-- How long a failed refresh waits for its next attempt.
--
-- Invariant: the retries of the daily refresh and those for the setting target_lag wait for the
-- same time.

CREATE OR REPLACE FUNCTION kpi_engine.refresh_retry_wait(p_failures bigint)
RETURNS interval
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN (
    analytics.setting('refresh_retry_minutes')::integer
    * least(2.0 ^ (p_failures - 1), 1000000)
    * interval '1 minute'
);

COMMENT ON FUNCTION kpi_engine.refresh_retry_wait(bigint) IS
'How long a refresh that failed p_failures times in a row waits: as long as the setting '
'refresh_retry_minutes, then twice that time, and so on. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.refresh_retry_wait(bigint) FROM public;

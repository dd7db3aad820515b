-- How long what could not be delivered waits for its next attempt.
--
-- Invariant: notices of alerts and digests wait for the same time.

CREATE OR REPLACE FUNCTION kpi_engine.retry_wait(p_attempts integer)
RETURNS interval
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN least(
    interval '15 seconds' * 2.0 ^ least(p_attempts - 1, 20), interval '1 hour'
);

COMMENT ON FUNCTION kpi_engine.retry_wait(integer) IS
'How long a delivery that failed for the p_attempts-th time waits: 15 seconds, then twice that '
'time, an hour at the most. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.retry_wait(integer) FROM public;

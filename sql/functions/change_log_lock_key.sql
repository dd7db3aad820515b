-- Names the advisory lock of those who take from the change log. Writers never take it.

CREATE OR REPLACE FUNCTION analytics.change_log_lock_key()
RETURNS bigint
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN hashtextextended('teloo-analytics change log', 0);

COMMENT ON FUNCTION analytics.change_log_lock_key() IS
'Key of the advisory lock that a session holds for its transaction when it takes rows from '
'analytics.change_log. Internal.';

REVOKE ALL ON FUNCTION analytics.change_log_lock_key() FROM public;

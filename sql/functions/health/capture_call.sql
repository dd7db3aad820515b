-- The statement that makes the triggers of change capture, as operators are told it.

CREATE OR REPLACE FUNCTION kpi_engine.capture_call()
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN (
    'CALL analytics.apply_change_capture();  -- as the owner of the operational tables, outside '
    || 'a transaction block'
);

COMMENT ON FUNCTION kpi_engine.capture_call() IS
'The call that makes or drops the triggers of change capture, and who makes it. Internal to health '
'and doctor.';

REVOKE ALL ON FUNCTION kpi_engine.capture_call() FROM public;

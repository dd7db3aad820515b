-- The key that says that triggers of change capture are new.

CREATE OR REPLACE FUNCTION kpi_engine.new_triggers_key()
RETURNS uuid
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN 'eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee'::uuid;

COMMENT ON FUNCTION kpi_engine.new_triggers_key() IS
'Key under the entity everything: triggers of change capture are new, so changes before them were '
'missed. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.new_triggers_key() FROM public;

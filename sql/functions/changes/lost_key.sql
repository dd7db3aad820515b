-- The key of a change that could not be noted by its key.
--
-- kpi_engine.note_lost_change() has it as a literal: it calls nothing that it does not need.

CREATE OR REPLACE FUNCTION kpi_engine.lost_key()
RETURNS uuid
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid;

COMMENT ON FUNCTION kpi_engine.lost_key() IS
'Key under the entity everything: a change could not be noted by key, perhaps in a table of '
'another service. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.lost_key() FROM public;

-- Lists the trigger functions that write the change log.

CREATE OR REPLACE FUNCTION kpi_engine.noting_functions()
RETURNS name[]
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN ARRAY[
    'note_changed_id', 'note_changed_solicitud_id', 'note_changed_oferta_id',
    'note_row_id', 'note_row_solicitud_id', 'note_row_oferta_id', 'note_truncate'
]::name[];

COMMENT ON FUNCTION kpi_engine.noting_functions() IS
'Names of the trigger functions of change capture that write kpi_engine.change_log. Internal to '
'change capture.';

REVOKE ALL ON FUNCTION kpi_engine.noting_functions() FROM public;

-- Trigger function of change capture: notes the requests that changed rows belong to.
--
-- Invariant: only appends keys, in the writer's own transaction: no join, no lock that
-- two writers could wait for. A row that moves notes its old request and its new one.
-- SECURITY DEFINER: writers have no right on schema analytics.

CREATE OR REPLACE FUNCTION analytics.note_changed_solicitud_id()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $note_changed_solicitud_id$
BEGIN
    IF tg_op = 'INSERT' THEN
        INSERT INTO analytics.change_log (entity, key)
        SELECT tg_argv[0], new_row.solicitud_id FROM new_row WHERE new_row.solicitud_id IS NOT NULL;
    ELSIF tg_op = 'DELETE' THEN
        INSERT INTO analytics.change_log (entity, key)
        SELECT tg_argv[0], old_row.solicitud_id FROM old_row WHERE old_row.solicitud_id IS NOT NULL;
    ELSE
        INSERT INTO analytics.change_log (entity, key)
        SELECT tg_argv[0], new_row.solicitud_id FROM new_row WHERE new_row.solicitud_id IS NOT NULL
        UNION ALL
        SELECT tg_argv[0], old_row.solicitud_id
        FROM old_row
        WHERE
            old_row.solicitud_id IS NOT NULL
            AND NOT EXISTS (SELECT FROM new_row WHERE new_row.solicitud_id = old_row.solicitud_id);
    END IF;
    RETURN NULL;
END;
$note_changed_solicitud_id$;

COMMENT ON FUNCTION analytics.note_changed_solicitud_id() IS
'Statement-level trigger of change capture on operational tables: appends the requests that '
'rows came to, left or changed in to analytics.change_log.';

REVOKE ALL ON FUNCTION analytics.note_changed_solicitud_id() FROM public;

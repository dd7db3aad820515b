-- Trigger function of change capture: notes the ids of the changed rows.
--
-- Invariant: only appends keys, in the writer's own transaction: no join, no lock that
-- two writers could wait for. The trigger's argument says what the ids identify.
-- SECURITY DEFINER: writers have no right on schema analytics.

CREATE OR REPLACE FUNCTION analytics.note_changed_id()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $note_changed_id$
BEGIN
    IF tg_op = 'INSERT' THEN
        INSERT INTO analytics.change_log (entity, key)
        SELECT tg_argv[0], new_row.id FROM new_row;
    ELSIF tg_op = 'DELETE' THEN
        INSERT INTO analytics.change_log (entity, key)
        SELECT tg_argv[0], old_row.id FROM old_row;
    ELSE
        INSERT INTO analytics.change_log (entity, key)
        SELECT tg_argv[0], new_row.id FROM new_row
        UNION ALL
        SELECT tg_argv[0], old_row.id
        FROM old_row
        WHERE NOT EXISTS (SELECT FROM new_row WHERE new_row.id = old_row.id);
    END IF;
    RETURN NULL;
END;
$note_changed_id$;

COMMENT ON FUNCTION analytics.note_changed_id() IS
'Statement-level trigger of change capture on operational tables: appends the ids of the rows '
'that came, went or changed to analytics.change_log.';

REVOKE ALL ON FUNCTION analytics.note_changed_id() FROM public;

-- Trigger function of change capture: notes that a whole table was emptied.
--
-- SECURITY DEFINER: writers have no right on schema analytics.

CREATE OR REPLACE FUNCTION analytics.note_truncate()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $note_truncate$
BEGIN
    INSERT INTO analytics.change_log (entity) VALUES ('everything');
    RETURN NULL;
END;
$note_truncate$;

COMMENT ON FUNCTION analytics.note_truncate() IS
'TRUNCATE trigger of change capture on operational tables: the next refresh computes '
'everything again.';

REVOKE ALL ON FUNCTION analytics.note_truncate() FROM public;

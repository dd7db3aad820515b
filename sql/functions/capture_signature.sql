-- What the catalog shows of change capture, as one value to compare.
--
-- Invariant: differs from an earlier value when, in between, a trigger was disabled,
-- dropped or made anew (its catalog row was written), a partition was attached, detached, made
-- or dropped, or the log, a trigger function, the schema or a right on them was changed: then
-- changes may have been missed, also where all is well again.

CREATE OR REPLACE FUNCTION analytics.capture_signature()
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $capture_signature$
    SELECT CASE
        WHEN bool_and(capture_triggers.is_working) AND analytics.capture_obstacle() IS NULL
            THEN md5(string_agg(
                concat_ws(
                    ' ', capture_triggers.relation, capture_triggers.trigger_name,
                    capture_triggers.row_version
                ), ',' ORDER BY capture_triggers.relation, capture_triggers.trigger_name
            ) || (
                SELECT string_agg(part.row_version, ',' ORDER BY part.kind, part.name)
                FROM (
                    SELECT 1, pg_namespace.nspname, pg_namespace.xmin::text
                    FROM pg_namespace
                    WHERE pg_namespace.nspname = 'analytics'
                    UNION ALL
                    SELECT 2, pg_class.relname, concat_ws(' ', pg_class.oid, pg_class.xmin)
                    FROM pg_class
                    WHERE pg_class.oid = 'analytics.change_log'::regclass
                    UNION ALL
                    SELECT 3, pg_attribute.attname, pg_attribute.xmin::text
                    FROM pg_attribute
                    WHERE
                        pg_attribute.attrelid = 'analytics.change_log'::regclass
                        AND pg_attribute.attnum > 0
                    UNION ALL
                    SELECT 4, pg_proc.proname, concat_ws(' ', pg_proc.oid, pg_proc.xmin)
                    FROM pg_proc
                    WHERE
                        pg_proc.pronamespace = 'analytics'::regnamespace
                        AND pg_proc.proname IN (
                            'note_changed_id', 'note_changed_solicitud_id',
                            'note_changed_oferta_id', 'note_truncate'
                        )
                ) AS part (kind, name, row_version)
            ))
    END
    FROM analytics.capture_triggers()
    WHERE capture_triggers.definition IS NOT NULL;
$capture_signature$;

COMMENT ON FUNCTION analytics.capture_signature() IS
'Fingerprint of the triggers of change capture and of the tables they are on; NULL where one '
'is missing or does not work. Internal.';

REVOKE ALL ON FUNCTION analytics.capture_signature() FROM public;

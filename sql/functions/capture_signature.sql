-- What the catalog shows of change capture, as one value to compare.
--
-- Invariant: differs from an earlier value when, in between, a trigger was disabled,
-- dropped or made anew (its catalog row was written), or a partition was attached, detached,
-- made or dropped: then changes may have been missed, also where all is well again.

CREATE OR REPLACE FUNCTION analytics.capture_signature()
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $capture_signature$
    SELECT CASE
        WHEN bool_and(capture_triggers.is_working) THEN md5(string_agg(
            concat_ws(
                ' ', capture_triggers.relation, capture_triggers.trigger_name,
                capture_triggers.row_version
            ), ',' ORDER BY capture_triggers.relation, capture_triggers.trigger_name
        ))
    END
    FROM analytics.capture_triggers()
    WHERE capture_triggers.definition IS NOT NULL;
$capture_signature$;

COMMENT ON FUNCTION analytics.capture_signature() IS
'Fingerprint of the triggers of change capture and of the tables they are on; NULL where one '
'is missing or does not work. Internal.';

REVOKE ALL ON FUNCTION analytics.capture_signature() FROM public;

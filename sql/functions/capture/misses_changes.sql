-- Tells whether a trigger may have missed a change between two states of change capture.
--
-- Invariant: false only if each write between the two was noted, or was one to a partition without
-- triggers, or to one whose columns changed. kpi_engine.settle_capture() notes such partitions as a
-- whole. A value of an older release has no versions of columns.

CREATE OR REPLACE FUNCTION kpi_engine.misses_changes(p_known jsonb, p_now jsonb)
RETURNS boolean
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $misses_changes$
BEGIN
    IF p_known IS NULL OR p_now IS NULL THEN
        RETURN true;
    END IF;
    RETURN EXISTS (
        SELECT FROM jsonb_each(p_known) AS known
        INNER JOIN jsonb_each(p_now) AS fresh ON fresh.key = known.key
        WHERE
            (
                fresh.value - 3 <> known.value - 3
                -- Its triggers are new. The rows before them are noted.
                AND NOT (known.value ->> 2 IS NULL AND known.value ->> 1 = 'part')
            )
            OR (fresh.value -> 3 <> known.value -> 3 AND fresh.value ->> 1 <> 'part')
    ) OR EXISTS (
        -- A whole table: its rows, or rows that went through it, were not noted.
        SELECT FROM jsonb_each(p_now) AS fresh
        WHERE fresh.value ->> 1 <> 'part' AND NOT p_known ? fresh.key
    ) OR EXISTS (
        SELECT FROM jsonb_each(p_known) AS known
        WHERE known.value ->> 1 = 'table' AND NOT p_now ? known.key
    );
END;
$misses_changes$;

COMMENT ON FUNCTION kpi_engine.misses_changes(jsonb, jsonb) IS
'Whether change capture may have missed a write between two values of '
'kpi_engine.capture_signature(). NULL for one of them: it may. Internal to change capture.';

REVOKE ALL ON FUNCTION kpi_engine.misses_changes(jsonb, jsonb) FROM public;

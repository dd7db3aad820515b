-- Compares the derived tables with a full recomputation from the source, and heals them.
--
-- Invariant: all of history, or one part of it: parts 1 to n - 1 are equal shares of the local
-- days with requests, open at both ends; part n is the advisors.
-- SECURITY DEFINER: operators do not own the derived tables.

CREATE OR REPLACE FUNCTION analytics.audit(p_part integer DEFAULT NULL, p_parts integer DEFAULT 30)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $audit$
DECLARE
    v_first date;
    v_days integer;
    v_cells bigint := 0;
    v_shares constant integer := greatest(p_parts - 1, 1);
BEGIN
    IF p_parts IS NULL OR p_parts < 1 OR p_part < 1 OR p_part > p_parts THEN
        RAISE EXCEPTION 'p_part must be one of the p_parts parts'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got part %s of %s.', p_part, p_parts),
                  HINT = 'Omit both for everything; else 1 <= p_part <= p_parts.';
    END IF;
    IF NOT pg_try_advisory_xact_lock(analytics.refresh_lock_key()) THEN
        RAISE EXCEPTION 'a refresh is already running'
            USING ERRCODE = 'lock_not_available',
                  HINT = 'Try again when it is done.';
    END IF;
    IF analytics.next_rebuild_reason() IS NOT NULL THEN
        RAISE NOTICE 'teloo-analytics: nothing to audit: the next refresh computes everything again';
        RETURN 0;
    END IF;
    SELECT
        min(solicitud_facts.local_day),
        max(solicitud_facts.local_day) - min(solicitud_facts.local_day) + 1
    INTO v_first, v_days
    FROM analytics.solicitud_facts
    WHERE solicitud_facts.local_day > '-infinity';

    FOR v_part IN coalesce(p_part, 1) .. coalesce(p_part, p_parts) LOOP
        IF v_part <= v_shares THEN
            v_cells := v_cells + analytics.audit_requests(
                CASE
                    WHEN v_part = 1 THEN date '-infinity'
                    ELSE v_first + v_days * (v_part - 1) / v_shares
                END,
                CASE
                    WHEN v_part = v_shares THEN date '2099-12-31'
                    ELSE coalesce(v_first + v_days * v_part / v_shares - 1, date '-infinity')
                END
            );
        END IF;
        IF v_part = p_parts THEN
            v_cells := v_cells + analytics.audit_advisors();
        END IF;
    END LOOP;
    RETURN v_cells;
END;
$audit$;

COMMENT ON FUNCTION analytics.audit(integer, integer) IS
'Compares facts, months, reference counts and advisors'' totals with the source: everything, or '
'part p_part of p_parts. Differences are healed, listed in analytics.audit_log by day and column, '
'and counted: 0 is well. Changes that wait for the next refresh are no differences. Errors: '
'22023 for no such part, 55P03 while a refresh runs.';

REVOKE ALL ON FUNCTION analytics.audit(integer, integer) FROM public;
GRANT EXECUTE ON FUNCTION analytics.audit(integer, integer) TO analytics_operador;

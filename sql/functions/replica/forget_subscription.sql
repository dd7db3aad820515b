-- Says that a subscription does not bring some tables, or not all of their rows, and that this is
-- meant.
--
-- Invariant: a table that no subscription brings is then written here, as long as none brings it.
-- SECURITY DEFINER: operators write no table of the engine.

CREATE OR REPLACE FUNCTION analytics.forget_subscription(p_subscription text)
RETURNS integer
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $forget_subscription$
DECLARE
    v_forgotten oid[];
BEGIN
    SELECT array_agg(followed.relation) INTO v_forgotten
    FROM kpi_engine.followed() AS followed
    WHERE followed.subscription = p_subscription AND followed.lacks IS NOT NULL;
    IF v_forgotten IS NULL THEN
        RAISE EXCEPTION 'subscription % lacks no table', quote_nullable(p_subscription)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'SELECT subscription, lost FROM analytics.replication();';
    END IF;
    DELETE FROM kpi_engine.followed_tables AS known
    USING kpi_engine.followed() AS followed
    WHERE
        known.subscription = p_subscription
        AND followed.table_name = known.table_name
        AND followed.relation = ANY (v_forgotten);
    DELETE FROM kpi_engine.absent_tables AS absent
    USING kpi_engine.followed() AS followed
    WHERE
        (followed.source_schema, followed.table_name) = (absent.source_schema, absent.table_name)
        AND followed.relation = ANY (v_forgotten);
    DELETE FROM kpi_engine.incomplete_tables AS incomplete
    USING pg_subscription
    WHERE
        pg_subscription.subname = p_subscription
        AND incomplete.subscription_id = pg_subscription.oid;
    INSERT INTO kpi_engine.written_here (table_name)
    SELECT DISTINCT followed.table_name
    FROM kpi_engine.followed() AS followed
    WHERE followed.lacks = 'absent' AND followed.relation = ANY (v_forgotten);
    DELETE FROM kpi_engine.subscription_marks AS known
    WHERE
        known.subscription = p_subscription
        AND NOT EXISTS (
            SELECT FROM kpi_engine.followed_tables
            WHERE followed_tables.subscription = p_subscription
        );
    -- What it did not bring any more was the reason why the figures counted as behind.
    PERFORM kpi_engine.note_origins(false);
    RETURN cardinality(v_forgotten);
END;
$forget_subscription$;

COMMENT ON FUNCTION analytics.forget_subscription(text) IS
'Says that it is meant that a subscription does not bring tables of the figures, or rows, such as '
'one that was dropped because the service writes here now, or a table that is written here: health '
'does not miss them from then on. Returns how many tables. Errors: 22023 if it misses none of this '
'subscription.';

REVOKE ALL ON FUNCTION analytics.forget_subscription(text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.forget_subscription(text) TO analytics_operador;

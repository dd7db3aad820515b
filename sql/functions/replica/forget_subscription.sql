-- Says that a subscription does not bring its tables any more, and that this is meant.
--
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
    v_forgotten integer;
BEGIN
    DELETE FROM kpi_engine.followed_tables AS known
    USING kpi_engine.followed() AS followed
    WHERE
        known.subscription = p_subscription
        AND followed.subscription = known.subscription
        AND followed.table_name = known.table_name
        AND followed.is_lost;
    GET DIAGNOSTICS v_forgotten := ROW_COUNT;
    IF v_forgotten = 0 THEN
        RAISE EXCEPTION 'there is no table that subscription % brought and does not bring any more',
            quote_nullable(p_subscription)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'SELECT subscription, lost FROM analytics.replication();';
    END IF;
    DELETE FROM kpi_engine.subscription_marks AS known
    WHERE
        known.subscription = p_subscription
        AND NOT EXISTS (
            SELECT FROM kpi_engine.followed_tables
            WHERE followed_tables.subscription = p_subscription
        );
    -- What it did not bring any more was the reason why the figures counted as behind.
    PERFORM kpi_engine.note_origins(false);
    RETURN v_forgotten;
END;
$forget_subscription$;

COMMENT ON FUNCTION analytics.forget_subscription(text) IS
'Says that it is meant that a subscription does not bring operational tables any more, such as '
'one that was dropped because the service writes here now: health does not miss them from then '
'on. Returns how many tables. Errors: 22023 if it misses none of this subscription.';

REVOKE ALL ON FUNCTION analytics.forget_subscription(text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.forget_subscription(text) TO analytics_operador;

-- What reads the clock or chance, as pg_get_viewdef() writes it.

CREATE OR REPLACE FUNCTION kpi_engine.clock_words()
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $clock_words$
    SELECT
        '\m(?:CURRENT_DATE|CURRENT_TIME|CURRENT_TIMESTAMP|LOCALTIME|LOCALTIMESTAMP)\M'
        '|\m(?:now|today|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|random|'
        'gen_random_uuid)\(|''(?:now|today|yesterday|tomorrow)''::'
        -- With one argument it counts to today.
        '|\mage\((?:[^(),]|\([^()]*\))*\)';
$clock_words$;

COMMENT ON FUNCTION kpi_engine.clock_words() IS
'A regular expression for what makes a definition depend on the clock or on chance.';

REVOKE ALL ON FUNCTION kpi_engine.clock_words() FROM public;

-- Leaves out of a row of the history what does not fit the type that its column has now.
--
-- Invariant: jsonb_populate_record(p_row, …) of the result does not fail. It rounds no number and
-- makes no day of an instant: what would be another value there is left out, too, and is NULL.
-- Usually all of them fit, and the row is returned as it is.

CREATE OR REPLACE FUNCTION kpi_engine.fitting_values(p_row anyelement, p_contents jsonb)
RETURNS jsonb
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $fitting_values$
DECLARE
    v_row jsonb;
    v_fitting jsonb := '{}';
    v_name text;
    v_value jsonb;
BEGIN
    v_row := to_jsonb(jsonb_populate_record(p_row, p_contents));
    IF v_row @> p_contents THEN
        RETURN p_contents;
    END IF;
    RETURN p_contents - ARRAY(
        SELECT published.key
        FROM jsonb_each(p_contents) AS published
        WHERE
            jsonb_typeof(published.value) = jsonb_typeof(v_row -> published.key)
            AND CASE jsonb_typeof(published.value)
                WHEN 'number' THEN v_row -> published.key <> published.value
                -- An instant in another zone has the same length.
                WHEN 'string'
                    THEN length(v_row ->> published.key) < length(published.value #>> '{}')
            END
    );
EXCEPTION WHEN data_exception THEN
    FOR v_name, v_value IN SELECT * FROM jsonb_each(p_contents) LOOP
        BEGIN
            PERFORM jsonb_populate_record(p_row, jsonb_build_object(v_name, v_value));
            v_fitting := v_fitting || jsonb_build_object(v_name, v_value);
        EXCEPTION WHEN data_exception THEN
            -- It is left out.
            NULL;
        END;
    END LOOP;
    RETURN kpi_engine.fitting_values(p_row, v_fitting);
END;
$fitting_values$;

COMMENT ON FUNCTION kpi_engine.fitting_values(anyelement, jsonb) IS
'p_contents, a row of the history, without the values that do not fit the columns of p_row. '
'Internal.';

REVOKE ALL ON FUNCTION kpi_engine.fitting_values(anyelement, jsonb) FROM public;

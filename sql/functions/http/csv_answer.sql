-- The step of the aggregate api.csv: turns the answer of a function of schema api into CSV.
--
-- Invariant: the caller gets the whole answer or an error. Only an array becomes CSV. Anything
-- else, also a row of a view, ends with status 406.

CREATE OR REPLACE FUNCTION kpi_engine.csv_answer(
    p_csv api."text/vnd.teloo.csv", p_answer anyelement -- noqa: RF05
)
RETURNS api."text/vnd.teloo.csv" -- noqa: RF05
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $csv_answer$
DECLARE
    v_answer constant json := to_json(p_answer);
BEGIN
    IF p_csv IS NOT NULL OR json_typeof(v_answer) <> 'array' THEN
        PERFORM kpi_engine.raise_http_error(
            406,
            'this answer is not an array of rows: it can''t be CSV',
            NULL,
            'Send Accept: application/json. At /rest/, views give CSV with Accept: text/csv.'
        );
    END IF;
    -- PostgREST would name the media type of this aggregate.
    PERFORM set_config(
        'response.headers',
        (
            coalesce(nullif(current_setting('response.headers', true), '')::jsonb, '[]')
            || '[{"Content-Type": "text/csv; charset=utf-8"}]'
        )::text,
        true
    );
    RETURN kpi_engine.csv_lines(
        v_answer,
        coalesce(nullif(current_setting('analytics.answer_columns', true), ''), '[]')::json
    );
END;
$csv_answer$;

COMMENT ON FUNCTION kpi_engine.csv_answer(api."text/vnd.teloo.csv", anyelement) IS -- noqa: RF05
'Turns the answer of a function of schema api, an array of rows, into CSV. For the aggregate '
'api.csv alone. Error: status 406 where it is something else.';

REVOKE ALL ON FUNCTION kpi_engine.csv_answer(api."text/vnd.teloo.csv", anyelement) -- noqa: RF05
FROM public;

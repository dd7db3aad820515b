-- Turns answers of the functions of schema api into CSV, for each path that answers an array.
--
-- Invariant: PostgREST runs this aggregate only for Accept: text/vnd.teloo.csv. The gateway sends
-- that instead of text/csv. For text/csv itself PostgREST has its own CSV, which serves the views
-- at /rest/ row by row.

CREATE OR REPLACE AGGREGATE api.csv(anyelement) ( -- noqa: LT01
    sfunc = kpi_engine.csv_answer,
    stype = api."text/vnd.teloo.csv" -- noqa: RF05
);

COMMENT ON AGGREGATE api.csv(anyelement) IS -- noqa: LT01
'The answer of a function of this schema as CSV, if it is an array of rows.';

REVOKE ALL ON FUNCTION api.csv(anyelement) FROM public;
GRANT EXECUTE ON FUNCTION api.csv(anyelement) TO analytics_lector, analytics_operador;

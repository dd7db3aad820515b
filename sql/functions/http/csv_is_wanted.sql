-- Whether the HTTP request of this transaction is answered in CSV.
--
-- Invariant: true for each Accept that lets PostgREST choose text/csv, or the media type of
-- api.csv. The gateway hands on one media type where CSV is in the list, so that true means CSV.

CREATE OR REPLACE FUNCTION kpi_engine.csv_is_wanted()
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN coalesce(
    nullif(current_setting('request.headers', true), '')::json ->> 'accept'
    ~* 'text/(vnd\.teloo\.)?csv',
    false
);

COMMENT ON FUNCTION kpi_engine.csv_is_wanted() IS
'True in an HTTP request that is answered in CSV, as PostgREST shows its headers.';

REVOKE ALL ON FUNCTION kpi_engine.csv_is_wanted() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.csv_is_wanted() TO analytics_lector, analytics_operador;

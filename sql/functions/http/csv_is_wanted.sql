-- Tells whether the HTTP request of this transaction is answered in CSV.
--
-- Invariant: true for each Accept with which PostgREST chooses text/csv, or the media type of
-- api.csv. If CSV is in the list, the gateway passes only one media type, so true means CSV.

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

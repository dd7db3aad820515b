-- The HTTP API: schema api, what its roles may, and what a request can ask for.

COMMENT ON SCHEMA api IS
'The HTTP API of teloo-analytics: what PostgREST serves. One function per endpoint and '
'read-only views, nothing else.';
GRANT USAGE ON SCHEMA api TO analytics_anon, analytics_lector, analytics_operador;
-- It has nothing to call there, but shows that this database uses the role.
GRANT USAGE ON SCHEMA api TO analytics_authenticator;
-- Only for analytics.check_request(), which PostgREST runs before each request.
GRANT USAGE ON SCHEMA analytics TO analytics_anon;

ALTER TABLE kpi_engine.refresh_jobs ADD COLUMN force boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN kpi_engine.refresh_jobs.force IS
'True where everything is to be computed again from the source.';
-- Asking again while one waits finds the same job.
CREATE UNIQUE INDEX refresh_jobs_one_request ON kpi_engine.refresh_jobs (force)
WHERE state = 'QUEUED' AND triggered_by = 'request' AND attempts = 0;

-- PostgREST answers a function that returns a domain of this name with this media type.
CREATE DOMAIN api."text/plain" AS text; -- noqa: RF05
COMMENT ON DOMAIN api."text/plain" IS -- noqa: RF05
'Plain text, such as the metrics that Prometheus reads.';
GRANT USAGE ON TYPE api."text/plain" TO analytics_lector, analytics_operador; -- noqa: RF05

-- The same for an aggregate, here api.csv.
CREATE DOMAIN api."text/vnd.teloo.csv" AS text; -- noqa: RF05
COMMENT ON DOMAIN api."text/vnd.teloo.csv" IS -- noqa: RF05
'What the gateway asks PostgREST for where a client wants an array of rows as CSV.';
GRANT USAGE ON TYPE api."text/vnd.teloo.csv" -- noqa: RF05
TO analytics_lector, analytics_operador;

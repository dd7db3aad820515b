-- Scheduling, monitoring and alerting.

-- PostgREST's configuration says the audience, to itself and to analytics.check_request.
DELETE FROM analytics.settings WHERE name = 'api_audience';

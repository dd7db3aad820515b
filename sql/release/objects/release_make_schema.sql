-- Creates a schema of this transaction's own: only the migrating role may.

CREATE FUNCTION pg_temp.release_make_schema(p_name text)
RETURNS void
LANGUAGE plpgsql
AS $release_make_schema$
BEGIN
    PERFORM set_config('role', (SELECT release_run.migrator FROM pg_temp.release_run), true);
    PERFORM pg_temp.release_meet('create', false);
    EXECUTE format('CREATE SCHEMA %I AUTHORIZATION analytics_owner', p_name);
    PERFORM set_config('role', 'analytics_owner', true);
END;
$release_make_schema$;

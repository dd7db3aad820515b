-- Lists the checks of the doctor that SQL makes, in their order.
--
-- Invariant: each has a branch in the function of its group, kpi_engine.doctor_<group>(), and a
-- line "name: words" in the COMMENT of that function. The check pg_cron has a function of its own.
-- needs_data: left out if our tables lost their rows. is_owners: made with the rights of
-- analytics_owner, so that a missing right is a fault. counts_rows: may take long on a large
-- source. scripts/doctor.py reads the same list in this file. docs/reference/doctor.md is made from
-- it: make reference.

CREATE OR REPLACE FUNCTION kpi_engine.doctor_checks()
RETURNS TABLE (
    place integer,
    group_name text,
    check_name text,
    needs_data boolean,
    is_owners boolean,
    counts_rows boolean
)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $doctor_checks$
    SELECT
        checks.place,
        checks.group_name,
        checks.check_name,
        checks.needs_data,
        checks.is_owners,
        checks.counts_rows
    FROM (
        VALUES
        (1, 'server', 'version and encoding', false, true, false),
        (2, 'server', 'vacuum and statistics', false, true, false),
        (3, 'server', 'connections', false, true, false),
        (4, 'installation', 'data', false, true, false),
        (5, 'installation', 'objects', true, true, false),
        (6, 'installation', 'search_path', true, true, false),
        (7, 'installation', 'owners', true, true, false),
        (8, 'installation', 'derived tables', true, true, false),
        (9, 'roles', 'attributes', false, true, false),
        (10, 'roles', 'memberships', false, true, false),
        (11, 'roles', 'what they need', true, true, false),
        (12, 'roles', 'right to cancel', false, true, false),
        (13, 'roles', 'right to dump', true, true, false),
        (14, 'roles', 'nothing for PUBLIC', true, true, false),
        (15, 'settings', 'values', true, true, false),
        (16, 'settings', 'clock', true, true, false),
        (17, 'settings', 'targets', true, true, false),
        (18, 'source', 'contract', true, true, false),
        (19, 'source', 'right to read', true, true, false),
        (20, 'source', 'code of others', true, true, false),
        (21, 'source', 'change capture', true, true, false),
        (22, 'source', 'ways around capture', true, true, false),
        (23, 'source', 'subscribers of others', true, true, false),
        (24, 'source', 'indexes', true, true, false),
        (25, 'source', 'requests without a month', true, true, true),
        (26, 'source', 'values that can''t be counted', true, true, true),
        (27, 'schedule', 'pg_cron', true, false, false),
        (28, 'schedule', 'jobs', true, true, false),
        (29, 'schedule', 'notices', true, true, false),
        (30, 'schedule', 'digests', true, true, false),
        (31, 'refresh', 'health', true, true, false),
        (32, 'refresh', 'last runs', true, true, false),
        (33, 'refresh', 'changes that wait', true, true, true),
        (34, 'refresh', 'rebuild', true, true, false),
        (35, 'refresh', 'usage', true, true, false),
        (36, 'storage', 'size and dead rows', true, false, false),
        (37, 'storage', 'autovacuum of our tables', true, false, false),
        (38, 'storage', 'invalid indexes', true, false, false),
        (39, 'storage', 'what holds vacuum back', true, false, false)
    ) AS checks (place, group_name, check_name, needs_data, is_owners, counts_rows);
$doctor_checks$;

COMMENT ON FUNCTION kpi_engine.doctor_checks() IS
'The checks of analytics.doctor(): place, group, name; whether a check needs the rows of our '
'tables, is made with the rights of analytics_owner, counts rows. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.doctor_checks() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.doctor_checks() TO analytics_operador;

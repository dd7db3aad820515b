-- Says which tables of a subscription lack rows that it does not bring by itself, and what to do:
-- the operational ones, or those of p_outside, a table of another service.

CREATE OR REPLACE FUNCTION kpi_engine.lost_tables(
    p_subscription text, p_outside oid DEFAULT NULL
)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $lost_tables$
    SELECT string_agg(
        format(
            CASE lost.lacks
                WHEN 'gone' THEN
                    'subscription %1$I does not bring %2$s any more: it was dropped, or they left its '
                    'publication, and what changes there is missing in the figures. Create it again, or '
                    'put them back and ALTER SUBSCRIPTION %1$I REFRESH PUBLICATION; if rows are here '
                    'already, before that: %3$s; if it is meant: %4$s'
                WHEN 'absent' THEN
                    'subscription %1$I does not bring %2$s, and it brings other operational tables: rows '
                    'are missing in the figures. ALTER SUBSCRIPTION %1$I REFRESH PUBLICATION; brings what '
                    'its publication has; if the publication lacks them, add them there before; if '
                    'they are written here: %4$s'
                WHEN 'uncopied' THEN
                    'subscription %1$I brings %2$s without a copy (copy_data = false): what changed '
                    'there before is missing in the figures. To copy it: %3$s; if nothing changed: %4$s'
                WHEN 'emptied' THEN
                    '%2$s of subscription %1$I was emptied by TRUNCATE, here or by another subscription, '
                    'and is not copied again by itself: rows are missing in the figures. To copy '
                    'again: %3$s; if it is meant: %4$s'
                WHEN 'missed' THEN
                    'updates of subscription %1$I found no row here (confl_update_missing of '
                    'pg_stat_subscription_stats): rows were deleted here, or never came. To copy '
                    'again: %3$s; if it is meant: %4$s'
                WHEN 'promoted' THEN
                    'this server was promoted or recovered, and its publisher sends nothing twice: the '
                    'figures lack what subscription %1$I had confirmed before and this server had not '
                    'received, if there is any. Nobody can know it here. If it had received all: %4$s; '
                    'else, to copy again: %3$s'
                ELSE
                    'a transaction of subscription %1$I was skipped (ALTER SUBSCRIPTION … SKIP): its '
                    'changes are missing in the figures. To copy again: %3$s; if it changed nothing '
                    'else: %4$s'
            END,
            p_subscription,
            lost.tables,
            kpi_engine.copy_again(p_subscription),
            format('SELECT analytics.forget_subscription(%L);', p_subscription)
        ),
        '; ' ORDER BY lost.lacks
    )
    FROM (
        SELECT
            followed.lacks,
            string_agg(followed.table_name, ', ' ORDER BY followed.table_name) AS tables
        FROM kpi_engine.followed() AS followed
        WHERE
            followed.subscription = p_subscription
            AND followed.lacks IS NOT NULL
            AND followed.outside_of IS NOT DISTINCT FROM p_outside
        GROUP BY followed.lacks
    ) AS lost;
$lost_tables$;

COMMENT ON FUNCTION kpi_engine.lost_tables(text, oid) IS
'Which tables of a subscription lack rows that it does not bring by itself, why, and what to do; '
'NULL: none. The operational ones, or those of p_outside, a declared table of another service. '
'Internal to kpi_engine.replica_problem() and feeding().';

REVOKE ALL ON FUNCTION kpi_engine.lost_tables(text, oid) FROM public;

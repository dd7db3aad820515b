-- Returns the role that PostgREST became for this request.
--
-- In a SECURITY DEFINER function current_user is its owner.

CREATE OR REPLACE FUNCTION kpi_engine.api_caller()
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN coalesce(nullif(current_setting('role'), 'none'), session_user);

COMMENT ON FUNCTION kpi_engine.api_caller() IS
'Role of the caller of a SECURITY DEFINER function: that of SET ROLE, else that of the login.';

REVOKE ALL ON FUNCTION kpi_engine.api_caller() FROM public;

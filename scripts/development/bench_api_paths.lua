-- wrk: asks for another number of months each time, so that the micro-cache answers few.
local number = 0

function request()
    number = number % 60 + 1
    return wrk.format(nil, "/materialized-views/monthly-metrics?limit=" .. number)
end

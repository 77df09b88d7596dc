-- A schedule: the operator's condition Ready, told apart by what can be waited for and what cannot.
local conditions = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    conditions[condition.type] = condition
  end
end

local ready = conditions["Ready"]
if ready == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Waiting for the operator" }
end
if ready.status == "True" then
  if ready.reason == "Suspended" then
    return { status = "Suspended", message = "Suspended: no new backups are made" }
  end
  return { status = "Healthy", message = ready.message }
end

local message = ready.reason .. ": " .. ready.message
local stalled = conditions["Stalled"] ~= nil and conditions["Stalled"].status == "True"
-- Before the first run is due, a claim may still be on its way; a policy that was changed is about to be enforced.
if not stalled and (obj.status.lastScheduleTime == nil or ready.reason == "Pruning") then
  return { status = "Progressing", message = message }
end
return { status = "Degraded", message = message }

-- One backup: it completes or fails once and for all. Healthy only while its set is verified.
local conditions = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    conditions[condition.type] = condition
  end
end

local function is(type, status)
  return conditions[type] ~= nil and conditions[type].status == status
end

local function said(type)
  return conditions[type].reason .. ": " .. conditions[type].message
end

-- Failed, or standing down for OpenShift's own operator.
if is("Stalled", "True") then
  return { status = "Degraded", message = said("Stalled") }
end
if is("Completed", "True") then
  if is("Verified", "True") then
    return { status = "Healthy", message = said("Completed") }
  end
  if is("Verified", "False") then
    return { status = "Degraded", message = said("Verified") }
  end
end
if is("Ready", "False") then
  return { status = "Progressing", message = said("Ready") }
end
return { status = "Progressing", message = "Waiting for the operator" }

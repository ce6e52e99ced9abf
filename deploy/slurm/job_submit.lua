-- Asks the verifier before a job is queued: may the tenant of its account use these devices here, now?
--
-- For slurm.conf: JobSubmitPlugins=lua; this file beside it. It asks with curl for at most two seconds and fails
-- open: where the verifier does not answer, the job is queued and slurmctld's log says so. What is used
-- nevertheless is measured and judged.
--
-- CONFIG is a curl configuration file, mode 0600, owned by slurmctld's user; it has the token of a [[reader]] that
-- may ask, so that it stands in no command line:
--
--   header = "Authorization: Bearer affiant-reader-..."

local CONFIG = "/etc/affiant/slurm.curl"
local URL = "https://affiant.example.org/v1/check"
local SITE = "hall-2"

-- The tenant of an account, as bindings have it (slurm_account), and the class of a partition's devices.
local TENANTS = { ["acme"] = "acme" }
local CLASSES = { ["h100"] = "3A090.a", ["l4"] = "uncontrolled" }

local function plain(text)
   return type(text) == "string" and text:match("^[%w%-%._]+$") ~= nil
end

local function wants_gpus(job)
   -- By name: a list would end at the first that is not asked for.
   for _, name in ipairs({ "gres", "tres_per_job", "tres_per_node", "tres_per_task", "tres_per_socket" }) do
      local asked = job[name]
      if type(asked) == "string" and asked:find("gpu", 1, true) then
         return true
      end
   end
   return false
end

local function check(tenant, class)
   local question = string.format('{"tenant":"%s","class":"%s","site":"%s"}', tenant, class, SITE)
   local command = string.format(
      "curl --silent --show-error --max-time 2 --config %s --header 'Content-Type: application/json' --data '%s' %s",
      CONFIG, question, URL)
   local pipe = io.popen(command, "r")
   if pipe == nil then
      return nil
   end
   local answer = pipe:read("*a") or ""
   pipe:close()
   if answer:find('"allowed":true', 1, true) then
      return true
   elseif answer:find('"allowed":false', 1, true) then
      return false, answer
   end
   return nil
end

-- Whether a job of this account may be on this partition. What cannot be told is let in, and logged.
local function may(account, partition)
   local tenant = plain(account) and TENANTS[account] or nil
   local class = plain(partition) and CLASSES[partition] or "unknown"
   if tenant == nil then
      slurm.log_info("affiant: account %s has no tenant here; the job is queued, its use will be a finding", tostring(account))
      return slurm.SUCCESS
   end
   local allowed, why = check(tenant, class)
   if allowed == nil then
      slurm.log_error("affiant: the verifier does not answer; the job of %s is queued unasked", tenant)
      return slurm.SUCCESS
   elseif not allowed then
      slurm.log_info("affiant: a job of %s on %s was not queued: %s", tenant, class, why)
      slurm.log_user("affiant: %s may not use %s here now; ask your compliance office", tenant, class)
      return slurm.ERROR
   end
   return slurm.SUCCESS
end

-- Whether one of these partitions, as in "h100,l4", has devices that CLASSES names.
local function has_devices(partition)
   for name in (partition or ""):gmatch("[^,]+") do
      if CLASSES[name] ~= nil then
         return true
      end
   end
   return false
end

function slurm_job_submit(job, partitions, uid)
   if not wants_gpus(job) then
      return slurm.SUCCESS
   end
   return may(job.account or job.default_account, job.partition)
end

-- A queued job that goes to another partition or account, or asks for other devices, is asked about anew. `job` has
-- what changes, `record` what stays. Not every Slurm tells here which GPUs the job has asked for already, so on a
-- partition of CLASSES it is taken to want some.
function slurm_job_modify(job, record, partitions, uid)
   local moved = job.partition ~= nil and job.partition ~= record.partition
   local given = job.account ~= nil and job.account ~= record.account
   local partition = job.partition or record.partition
   if wants_gpus(job) or ((moved or given) and has_devices(partition)) then
      return may(job.account or record.account, partition)
   end
   return slurm.SUCCESS
end

return slurm.SUCCESS

#include <algorithm>
#include <troupe/base/text.hpp>
#include <troupe/metadata/checks.hpp>
#include <troupe/metadata/state.hpp>

/// Which modules there are and who has them: load_module, module_held, delete_module.
namespace troupe::metadata {

result<response> state::on(const load_module& c, std::int64_t now) {
  TROUPE_TRY_VOID(checks::module(c.module));
  for (const auto holder : c.module.holders)
    if (find_member(holder) == nullptr)
      return error{errc::invalid_argument,
                   "member " + to_string(holder) + ", a holder of module " + c.module.name + ", is not known"};
  const auto at =
      std::find_if(modules_.begin(), modules_.end(), [&](const auto& m) { return m.hash == c.module.hash; });
  if (at == modules_.end() && modules_.size() >= modules_max)
    return error{errc::resource_exhausted,
                 "the cluster has " + std::to_string(modules_max) + " modules already: delete some"};

  auto fresh = c.module;
  if (at != modules_.end()) {
    fresh.holders.insert(fresh.holders.end(), at->holders.begin(), at->holders.end());
    modules_.erase(at);  // loaded again: it is the newest now
  }
  std::sort(fresh.holders.begin(), fresh.holders.end());
  fresh.holders.erase(std::unique(fresh.holders.begin(), fresh.holders.end()), fresh.holders.end());
  fresh.loaded_at_unix_ms = now;
  modules_.push_back(std::move(fresh));
  return response{.text = c.module.hash};
}

result<response> state::on(const module_held& c, std::int64_t) {
  const auto at = std::find_if(modules_.begin(), modules_.end(), [&](const auto& m) { return m.hash == c.hash; });
  if (at == modules_.end()) return error{errc::not_found, "module " + checks::shorten(c.hash) + " is not loaded"};
  if (find_member(c.holder) == nullptr)
    return error{errc::not_found, "member " + to_string(c.holder) + " is not known"};
  auto& holders = at->holders;
  const auto place = std::lower_bound(holders.begin(), holders.end(), c.holder);
  if (place == holders.end() || *place != c.holder) holders.insert(place, c.holder);
  return response{.text = c.hash};
}

result<response> state::on(const delete_module& c, std::int64_t) {
  const auto named = [&](const module_info& m) { return m.name == c.name; };
  if (std::none_of(modules_.begin(), modules_.end(), named))
    return error{errc::not_found, "no module is called " + checks::shorten(c.name)};
  for (const auto& m : modules_)
    if (named(m))
      for (const auto running : running_)
        if (jobs_.at(running).module_hash == m.hash)
          return error{errc::failed_precondition,
                       "job " + to_string(running) + " runs module " + m.name + ": wait for it, or cancel it"};
  modules_.erase(std::remove_if(modules_.begin(), modules_.end(), named), modules_.end());
  return response{.text = c.name};
}

const module_info* state::find_module(std::string_view hash) const {
  const auto at = std::find_if(modules_.begin(), modules_.end(), [&](const auto& m) { return m.hash == hash; });
  return at == modules_.end() ? nullptr : &*at;
}

result<const module_info*> state::resolve_module(std::string_view job_name, std::string_view hash) const {
  const auto has_job = [&](const module_info& m) {
    return std::any_of(m.jobs.begin(), m.jobs.end(), [&](const auto& j) { return j.name == job_name; });
  };
  const auto job_text = checks::shorten(std::string(job_name));
  if (hash.empty()) {
    const auto newest = std::find_if(modules_.rbegin(), modules_.rend(), has_job);
    if (newest == modules_.rend())
      return error{errc::not_found,
                   "no loaded module has a job called " + job_text + ": load one with «module load FILE.so»"};
    return &*newest;
  }
  const auto hash_text = checks::shorten(std::string(hash));
  if (hash.size() < 6 || hash.size() > 64)
    return error{errc::invalid_argument, "«" + hash_text + "» is not a module's hash: give 6 to 64 of its digits"};
  const module_info* found = nullptr;
  for (const auto& m : modules_) {
    if (!std::string_view(m.hash).starts_with(hash)) continue;
    if (found != nullptr)
      return error{errc::invalid_argument,
                   "more than one module's hash begins with " + hash_text + ": give more digits"};
    found = &m;
  }
  if (found == nullptr) return error{errc::not_found, "no loaded module's hash begins with " + hash_text};
  if (!has_job(*found))
    return error{errc::not_found, "module " + found->name + " (" + hash_text + ") has no job called " + job_text};
  return found;
}

}  // namespace troupe::metadata

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>
#include <troupe/base/process.hpp>
#include <troupe/storage/data_directory.hpp>

namespace troupe::storage {
namespace {

namespace json = boost::json;

constexpr std::int64_t identity_version = 1;
constexpr std::chrono::seconds ending_time_max{10};
constexpr std::chrono::milliseconds ending_pause{5};
constexpr std::size_t identity_bytes_max = 1 << 20;
constexpr std::string_view identity_name = "identity.json";

std::string identity_text(const identity& who) {
  json::array seeds;
  for (const auto& seed : who.seeds) seeds.emplace_back(seed);
  const json::object o{{"version", identity_version},
                       {"cluster_id", to_string(who.cluster_id)},
                       {"member_id", to_string(who.member_id)},
                       {"name", who.name},
                       {"address", who.address},
                       {"incarnation", who.incarnation.value},
                       {"seeds", std::move(seeds)},
                       {"keeps_log", who.keeps_log}};
  return json::serialize(o) + "\n";
}

result<identity> parse_identity(std::string_view text) {
  const auto refuse = [](errc code, std::string_view why) { return error{code, std::string(why)}; };
  boost::system::error_code failed;
  const auto parsed = json::parse(text, failed);
  const auto* o = failed ? nullptr : parsed.if_object();
  if (o == nullptr) return refuse(errc::corrupted, "it is not a JSON object");
  const auto string_at = [&](std::string_view key) -> result<std::string> {
    const auto* v = o->if_contains(key);
    const auto* s = v == nullptr ? nullptr : v->if_string();
    if (s == nullptr) return error{errc::corrupted, "\"" + std::string(key) + "\" is missing or no string"};
    return std::string(s->data(), s->size());
  };
  const auto number_at = [&](std::string_view key) -> result<std::uint64_t> {
    boost::system::error_code no_number;
    const auto* v = o->if_contains(key);
    const auto n = v == nullptr ? 0 : v->to_number<std::uint64_t>(no_number);
    if (v == nullptr || no_number)
      return error{errc::corrupted, "\"" + std::string(key) + "\" is missing or no number from 0 on"};
    return n;
  };
  TROUPE_TRY(const std::uint64_t version, number_at("version"));
  if (version != static_cast<std::uint64_t>(identity_version))
    return refuse(errc::unsupported, "version " + std::to_string(version) + "; use a newer troupe");
  identity who;
  TROUPE_TRY(const std::string cluster, string_at("cluster_id"));
  TROUPE_TRY(const std::string member, string_at("member_id"));
  TROUPE_TRY(who.name, string_at("name"));
  TROUPE_TRY(who.address, string_at("address"));
  TROUPE_TRY(who.incarnation.value, number_at("incarnation"));
  const auto cluster_id = troupe::cluster_id::parse(cluster);
  const auto member_id = troupe::member_id::parse(member);
  if (!cluster_id || !member_id || member_id->is_nil()) return refuse(errc::corrupted, "its ids are no UUIDs");
  who.cluster_id = *cluster_id;
  who.member_id = *member_id;
  const auto* keeps_log = o->if_contains("keeps_log");  // younger than the format
  if (keeps_log != nullptr && !keeps_log->is_bool())
    return refuse(errc::corrupted, "\"keeps_log\" is neither true nor false");
  who.keeps_log = keeps_log != nullptr && keeps_log->get_bool();
  const auto* seeds = o->if_contains("seeds");
  const auto* list = seeds == nullptr ? nullptr : seeds->if_array();
  if (list == nullptr) return refuse(errc::corrupted, "\"seeds\" is missing or no list");
  for (const auto& seed : *list) {
    const auto* s = seed.if_string();
    if (s == nullptr) return refuse(errc::corrupted, "\"seeds\" holds something that is no string");
    who.seeds.emplace_back(s->data(), s->size());
  }
  return who;
}

}  // namespace

result<data_directory> data_directory::open(const std::string& path, file_operations& operations) {
  TROUPE_TRY_VOID(make_directory(operations, path));
  TROUPE_TRY(file lock, file::open(operations, path + "/lock", O_RDWR | O_CREAT));
  const auto deadline = std::chrono::steady_clock::now() + ending_time_max;
  while (::flock(lock.descriptor(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return error::from_errno("lock", path, errno);
    auto pid = read_file(operations, path + "/lock", 64);
    while (pid && !pid->empty() && pid->back() == '\n') pid->pop_back();
    // A process that was just killed keeps its locks until its memory is freed.
    if (pid && is_ending(std::atoi(pid->c_str())) && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(ending_pause);
      continue;
    }
    return error{errc::failed_precondition, "data directory " + path + " is in use by process " +
                                                (pid && !pid->empty() ? *pid : "unknown") +
                                                "; stop it, or use another directory"};
  }
  // Only for people and messages; on a full disk there is room for it where an earlier one stood, or it stays away.
  const auto own_pid = std::to_string(::getpid()) + "\n";
  const auto noted = lock.write(own_pid, 0);
  if (!noted && noted.error().code() != errc::resource_exhausted) return noted.error();
  TROUPE_TRY_VOID(lock.truncate(noted ? own_pid.size() : 0));
  data_directory directory(path, std::move(lock), operations);
  for (const auto& folder : {directory.raft(), directory.segments(), directory.modules(), directory.spill(),
                             directory.logs(), directory.path() + "/kept", directory.job_logs()})
    TROUPE_TRY_VOID(make_directory(operations, folder));
  return directory;
}

result<std::optional<identity>> data_directory::load_identity() const {
  const auto file_path = path_ + "/" + std::string(identity_name);
  const auto text = read_file(*operations_, file_path, identity_bytes_max);
  if (!text && text.error().code() == errc::not_found) return std::optional<identity>{};
  if (!text) return text.error();
  auto who = parse_identity(*text);
  if (!who) return who.error().with_context(file_path);
  return std::optional<identity>(std::move(*who));
}

result<void> data_directory::save_identity(const identity& who) {
  const auto text = identity_text(who);
  const bytes_view part = text;
  return replace_file(*operations_, path_, identity_name, {&part, 1});
}

result<std::string> data_directory::holds_data() const {
  for (const auto* folder : {"raft", "segments", "logs", "modules"}) {
    const auto where = path_ + "/" + folder;
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(where.c_str()), &::closedir);
    if (!directory) return error::from_errno("list", where, errno);
    while (const auto* entry = ::readdir(directory.get())) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") return std::string(folder) + "/" + name;
    }
  }
  return std::string();
}

result<std::size_t> data_directory::purge_spill() {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(spill().c_str()), &::closedir);
  if (!directory) return error::from_errno("list", spill(), errno);
  std::size_t removed = 0;
  while (const auto* entry = ::readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const auto file_path = spill() + "/" + name;
    if (operations_->unlink(file_path.c_str()) != 0) return error::from_errno("remove", file_path, errno);
    ++removed;
  }
  return removed;
}

result<std::uint64_t> data_directory::free_bytes() const {
  struct statvfs info {};
  if (::statvfs(path_.c_str(), &info) != 0) return error::from_errno("statvfs", path_, errno);
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

}  // namespace troupe::storage
